"""Compare ways to group photos by person, on people whose names are known (needs LFW and ``[train]``).

    python -m benchmarks.accuracy.clustering LFW --split calibration,validation --write
    python -m benchmarks.accuracy.clustering LFW --split test --write

Every face of every photo is grouped.  The face nearest to the middle of a photo is that of the person it is
named after (LFW's rule), and only those are counted; the others may be drawn into a group, or draw one.
Rows are B-cubed and pairwise precision, recall and F1 of

    default     what ``facealike cluster`` does: average linkage with cannot-link for faces of one photo,
                of the faces of at least its lowest quality; the others count as groups of one
    average     the same of all faces
    continued   what it does when a random half of the photos is grouped first, and the rest is added: groups
                of several faces stay, and no two of them are merged
    named       the same of the named face of each photo alone, so without cannot-link
    components  connected components of all pairs above the threshold
    whispers    Chinese whispers on those pairs (Biemann, TextGraphs 2006), 20 rounds, seed 0
    hdbscan     HDBSCAN of scikit-learn, clusters of two or more, the rest single; it has no threshold

at thresholds for target FMRs from the calibration of the model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.calibration.survival_threshold import survival_threshold
from facealike.clustering.average_linkage import average_linkage
from facealike.clustering.cluster import same_photo
from facealike.clustering.evaluation import FMRS
from facealike.clustering.faces import PhotoFace, photo_faces
from facealike.clustering.neighbors import neighbors_above
from facealike.clustering.options import MIN_QUALITY
from facealike.datasets.people import People
from facealike.datasets.splits import SPLITS, split_of
from facealike.embedding.face_model import Model
from facealike.metrics.clustering import cluster_agreement

CSV = RESULTS / "clustering.csv"
ROUNDS = 20  # of Chinese whispers

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
Group = Callable[[float], Ints]


def default(
    faces: Sequence[PhotoFace], vectors: Vectors, threshold: float, begun: Ints | None = None
) -> Ints:
    """What the command does; poor faces are groups of one.  ``begun`` are groups that are there."""
    good = np.array([i for i, face in enumerate(faces) if face.quality >= MIN_QUALITY], dtype=np.int64)
    labels = len(faces) + np.arange(len(faces))
    alone = same_photo([faces[i] for i in good])
    groups = None if begun is None else begun[good]
    labels[good] = average_linkage(vectors[good], threshold, alone=alone, groups=groups)
    return labels


def continued(faces: Sequence[PhotoFace], vectors: Vectors, threshold: float, seed: int = 0) -> Ints:
    """What the command does in two runs, the first on a random half of the photos; see ``default``."""
    photos = sorted({face.photo for face in faces})
    rng = np.random.default_rng(seed)
    first = {photos[i] for i in rng.permutation(len(photos))[: len(photos) // 2].tolist()}
    before = np.array([i for i, face in enumerate(faces) if face.photo in first], dtype=np.int64)
    labels = default([faces[i] for i in before], vectors[before], threshold)
    found, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    begun = np.full(len(faces), -1)
    begun[before] = np.where(sizes[place] > 1, np.arange(len(found))[place], -1)
    return default(faces, vectors, threshold, begun)


def components(vectors: Vectors, threshold: float) -> Ints:
    """Connected components of the pairs above the threshold."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = neighbors_above(vectors, threshold, len(vectors))
    count = len(vectors)
    return np.asarray(connected_components(coo_matrix((np.ones(len(a)), (a, b)), (count, count)), False)[1])


def whispers(vectors: Vectors, threshold: float, seed: int = 0) -> Ints:
    """Chinese whispers: each vector takes the label with the highest sum of scores among its neighbors."""
    a, b = neighbors_above(vectors, threshold, len(vectors))
    ends, partners = np.concatenate([a, b]), np.concatenate([b, a])
    weights = np.einsum("ij,ij->i", vectors[ends], vectors[partners])
    order = np.argsort(ends, kind="stable")
    edges = np.searchsorted(ends[order], np.arange(len(vectors) + 1))
    partners, weights = partners[order], weights[order]
    labels, rng = np.arange(len(vectors)), np.random.default_rng(seed)
    for _ in range(ROUNDS):
        for i in rng.permutation(len(vectors)):
            near = slice(edges[i], edges[i + 1])
            if edges[i] < edges[i + 1]:
                found, place = np.unique(labels[partners[near]], return_inverse=True)
                labels[i] = found[np.argmax(np.bincount(place, weights[near]))]
    return labels


def hdbscan(vectors: Vectors) -> Ints:
    """HDBSCAN with Euclidean distances of unit vectors; what it calls noise stays single."""
    from sklearn.cluster import HDBSCAN

    labels = HDBSCAN(min_cluster_size=2, copy=True).fit_predict(vectors.astype(np.float64)).astype(np.int64)
    noise = np.flatnonzero(labels < 0)
    labels[noise] = labels.max() + 1 + np.arange(len(noise))
    return labels


def named_faces(faces: Sequence[PhotoFace]) -> Ints:
    """The face of each photo that is nearest to its middle; (photos with a face,)."""
    best: dict[str, tuple[float, int]] = {}
    middles: dict[str, tuple[float, float]] = {}
    for i, face in enumerate(faces):
        if face.photo not in middles:
            with PillowImage.open(face.photo) as photo:
                middles[face.photo] = photo.width / 2, photo.height / 2
        (x, y), (right, down) = face.face.box.center, middles[face.photo]
        best[face.photo] = min(best.get(face.photo, (np.inf, 0)), ((x - right) ** 2 + (y - down) ** 2, i))
    return np.array(sorted(i for _, i in best.values()), dtype=np.int64)


def measure(
    model: Model, people: People, cache: Path | None, slow: bool, fmrs: Sequence[float] = FMRS
) -> Iterator[dict[str, object]]:
    """Yield the rows: method, target FMR, threshold, seconds and the agreement with the people."""
    started = time.perf_counter()
    found = photo_faces(model, [str(path) for path in people.paths], "all", cache)
    embedding = time.perf_counter() - started
    vectors = np.stack([face.embedding for face in found.faces])
    named = named_faces(found.faces)
    owner = {str(path): int(label) for path, label in zip(people.paths, people.labels, strict=True)}
    true = np.array([owner[found.faces[i].photo] for i in named])
    alone = same_photo(found.faces)
    print(f"{len(vectors)} faces, {found.photos} photos, {embedding:.0f} s to embed", flush=True)

    def row(method: str, group: Callable[[], Ints], fmr: object, threshold: object) -> dict[str, object]:
        begin = time.perf_counter()
        labels = group()
        seconds = time.perf_counter() - begin
        agreement = cluster_agreement(labels[named] if len(labels) == len(vectors) else labels, true)
        figures = {name: f"{v:.4f}" if isinstance(v, float) else v for name, v in agreement.to_dict().items()}
        return {"method": method, "fmr": fmr, "threshold": threshold, "seconds": f"{seconds:.2f}", **figures}

    if slow:
        yield row("hdbscan", lambda: hdbscan(vectors), "", "")
    for fmr in fmrs:
        cut, _ = survival_threshold(model.calibration.check().tail, fmr)
        methods: dict[str, Group] = {
            "default": lambda t: default(found.faces, vectors, t),
            "continued": lambda t: continued(found.faces, vectors, t),
            "average": lambda t: average_linkage(vectors, t, alone=alone),
            "named": lambda t: average_linkage(vectors[named], t),
            "components": lambda t: components(vectors, t),
        }
        if slow:
            methods["whispers"] = lambda t: whispers(vectors, t)
        for method, group in methods.items():
            yield row(method, lambda group=group, cut=cut: group(cut), f"{fmr:g}", f"{cut:.4f}")  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("people", type=Path, help="LFW, one sub-folder a person")
    parser.add_argument("--split", default="test", help="splits, separated by commas, or all")
    parser.add_argument("--model", help="a model file; the default model without it")
    parser.add_argument("--cache", type=Path, help="keep faces and embeddings here")
    parser.add_argument("--fmr", type=float, action="append", help="a target FMR; by default eight of them")
    parser.add_argument("--quick", action="store_true", help="without HDBSCAN and Chinese whispers")
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    wanted = SPLITS if options.split == "all" else options.split.split(",")
    everyone = People.from_folder(options.people)
    chosen = np.array([split_of(name) in wanted for name in everyone.names])
    people = everyone.select(chosen[everyone.labels])
    model = Model.load(options.model)
    rows = []
    for row in measure(model, people, options.cache, not options.quick, options.fmr or FMRS):
        print(
            f"{row['method']:10} FMR {row['fmr']:6} clusters {row['clusters']:6} B-cubed {row['bcubed_f1']} "
            f"({row['bcubed_precision']}, {row['bcubed_recall']}) pairwise {row['f1']} ({row['precision']}, "
            f"{row['recall']}) {row['seconds']} s",
            flush=True,
        )
        rows.append(
            {**circumstances("onnxruntime"), "model": model.id, "split": options.split, "seed": 0, **row}
        )
    if options.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
