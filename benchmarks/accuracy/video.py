"""Measure tracks and their identification on clips composed of photos of LFW's test people (needs LFW).

    python -m benchmarks.accuracy.video LFW --write

Each clip shows two test people; ``composed_clips`` draws it, and it is encoded and decoded as any other.
Tracking rows, for rates of frames, and for videos of several clips in which tracks are joined:

    by          how tracks are joined: by the mean ``score`` of their faces, as the product does, or by the
                ``cosine`` of their templates
    purity      share of the tracked faces that are of the person whom most faces of their track show
    apart       tracks a person before tracks are joined, and ``joined`` after it
    missed      share of the people without a track of two faces or more

Identification rows, one for each way to search a track in a gallery of one photo each of people who are not
test people:

    frame       every face alone
    best        the face of the highest quality
    mean        the mean of all, with the score that ``on_scale_of_one`` puts on the scale of single faces
    weighted    the mean weighted by quality, likewise: what the product does
    cosine      the cosine of that mean, as if it were a single face

FPIR is of tracks of people who are not enrolled, ``found`` of tracks of people of whom another photo is
enrolled as well: matched, and to the right person.  Each person has the same weight, and intervals are from
resampling people.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.composed_clips import RATE, SECONDS, Actor, actors, frames, person_at
from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.calibration.survival_threshold import survival_threshold
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embed_dataset import embed_photos
from facealike.gallery.aggregation import on_scale_of_one
from facealike.gallery.search import FACES
from facealike.gallery.threshold import threshold_at_fpir
from facealike.metrics.similarity import unit_rows
from facealike.video.frames import reading
from facealike.video.joining import join_tracks
from facealike.video.options import FPS, MIN_QUALITY, TrackOptions, track_thresholds, tracker_settings
from facealike.video.template import mean_embedding, template_of
from facealike.video.tracker import FaceInFrame, Tracker
from facealike.video.tracking import faces_of_frames
from facealike.video.writing import written_video

TRACKING, IDENTIFICATION = RESULTS / "video_tracking.csv", RESULTS / "video_identification.csv"
RATES = (2.0, 4.0, FPS, 25.0)
ENROLLED, TARGETS = 1000, (0.01, 0.03, 0.1)
PHOTOS_SHOWN = 4
VIDEOS = (1, 20, 100)
WAYS = ("frame", "best", "mean", "weighted", "cosine")
RESAMPLES = 1000

CLIP = round(SECONDS * RATE)  # frames

Vectors = NDArray[np.float32]
Track = tuple[FaceInFrame, ...]
Survival = Sequence[tuple[float, float]]


class Seen(NamedTuple):
    """The tracks of clips that follow each other, before and after joining, with who is at a place."""

    casts: Sequence[Sequence[Actor]]
    apart: list[Track]
    joined: list[Track]

    def people(self, track: Track) -> list[str | None]:
        """Return whose each face of a track is."""
        places = [(*divmod(face.frame, CLIP), face.face.box.center) for face in track]
        return [person_at(self.casts[clip], frame, *center) for clip, frame, center in places]


def in_one_video(clips: Sequence[Seen], threshold: float, by: str) -> Seen:
    """Return the tracks of clips as those of one video in which they follow each other, joined anew."""
    apart = [
        tuple(face._replace(frame=face.frame + number * CLIP) for face in track)
        for number, clip in enumerate(clips)
        for track in clip.apart
    ]
    given = apart
    if by == "cosine":  # the mean of equal unit vectors is that vector
        given = [tuple(face._replace(embedding=template_of(track)) for face in track) for track in apart]
    joined = join_tracks(given, threshold, MIN_QUALITY)
    return Seen([cast for clip in clips for cast in clip.casts], apart, joined)


def tracked(path: Path, model: Model, fps: float, cast: Sequence[Actor]) -> Seen:
    """Track the faces of a clip as ``track_faces`` does, and keep the faces' vectors."""
    options = TrackOptions(fps=fps, min_faces=1)
    thresholds = track_thresholds(model.calibration, options)
    tracker = Tracker(tracker_settings(thresholds, options))
    with reading(path) as reader:
        for at, faces in faces_of_frames(reader, model, options):
            tracker.add(at, faces)
    apart = tracker.finished()
    assert thresholds.join is not None
    return Seen([cast], apart, join_tracks(apart, thresholds.join, options.min_quality))


def purity(clips: Sequence[Seen]) -> dict[str, object]:
    """Return the share of faces that are of the person of their track, and tracks a person."""
    right = total = strange = 0
    counts: dict[str, list[int]] = {"apart": [], "joined": []}
    for clip in clips:
        for kind, tracks in (("apart", clip.apart), ("joined", clip.joined)):
            of: Counter[str] = Counter()
            for track in tracks:
                shown = [name for name in clip.people(track) if name is not None]
                strange += (len(track) - len(shown)) * (kind == "joined")
                if not shown:
                    continue
                person, most = Counter(shown).most_common(1)[0]
                if len(track) > 1:
                    of[person] += 1
                if kind == "joined":
                    right, total = right + most, total + len(shown)
            counts[kind] += [of[actor.name] for cast in clip.casts for actor in cast]
    return {
        "people": len(counts["joined"]), "faces": total, "elsewhere": strange,
        "purity": f"{right / total:.4f}",
        "apart": f"{np.mean(counts['apart']):.3f}", "joined": f"{np.mean(counts['joined']):.3f}",
        "missed": f"{np.mean(np.array(counts['joined']) == 0):.4f}",
    }  # fmt: skip


def scores(track: Track, way: str, enrolled: Vectors, typical: float) -> NDArray[np.float64]:
    """Return the scores (n, m) of a track with enrolled photos (m, d): n is 1, or one for each face."""
    vectors = np.stack([face.embedding for face in track])
    weights = [face.quality for face in track]
    if way == "frame":
        return (vectors @ enrolled.T).astype(np.float64)
    if way == "best":
        return (vectors[int(np.argmax(weights))][None] @ enrolled.T).astype(np.float64)
    mean = mean_embedding(vectors, [1.0] * len(track) if way == "mean" else weights)
    products, square = mean[None] @ enrolled.T, mean @ mean
    if way == "cosine":
        return (products / np.sqrt(square)).astype(np.float64)
    return on_scale_of_one(products, square, FACES, typical)


def by_person(clips: Sequence[Seen]) -> dict[str, list[Track]]:
    """Return the tracks of two faces and more of each person: of whom most of their faces are."""
    found: dict[str, list[Track]] = defaultdict(list)
    for clip in clips:
        for track in clip.joined:
            shown = Counter(name for name in clip.people(track) if name is not None)
            if len(track) > 1 and shown:
                found[shown.most_common(1)[0][0]].append(track)
    return found


def identification(
    tracks: dict[str, list[Track]], own: dict[str, Vectors], others: Vectors,
    survival: Survival, seed: int,
) -> Iterator[dict[str, object]]:  # fmt: skip
    """Yield a row for each way and target FPIR.

    Args:
        tracks: The tracks of each test person.
        own: The enrolled photo of those of whom there is another one.
        others: A photo each of the other people in the gallery, (n, d).
        survival: The table of impostor scores of the model's calibration.
        seed: Seed of the resampling.
    """
    rng = np.random.default_rng(seed)
    typical, _ = survival_threshold(survival, 0.5)
    for way in WAYS:
        best = {
            name: [scores(track, way, others, typical).max(axis=1) for track in each]
            for name, each in tracks.items()
        }
        mated = {
            name: [scores(track, way, own[name][None], typical)[:, 0] for track in tracks[name]]
            for name in own
            if name in tracks
        }
        for target in TARGETS:
            at = threshold_at_fpir(survival, target, len(others)).threshold
            false = [_mean([high >= at for high in each]) for each in best.values()]
            with_own = threshold_at_fpir(survival, target, len(others) + 1).threshold
            right = []
            for name, found in mated.items():
                alone = [high < with_own for high in best[name]]  # two matches are no decision
                right.append(_mean([(s >= with_own) & ok for s, ok in zip(found, alone, strict=True)]))
            row: dict[str, object] = {
                "way": way,
                "enrolled": len(others),
                "target": target,
                "threshold": f"{at:.4f}",
            }
            for key, values in (("fpir", false), ("found", right)):
                low, high = _interval(np.array(values), rng)
                row |= {
                    f"{key}_people": len(values), key: f"{np.mean(values):.4f}", f"{key}_low": f"{low:.4f}",
                    f"{key}_high": f"{high:.4f}",
                }  # fmt: skip
            yield row


def _mean(parts: Sequence[NDArray[np.bool_]]) -> float:
    """Return the mean over the tracks of a person, each of which counts alike."""
    return float(np.mean([part.mean() for part in parts]))


def _interval(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("people", type=Path, help="LFW, one sub-folder a person")
    parser.add_argument("--model", help="a model file; the default model without it")
    parser.add_argument("--cache", type=Path, help="keep face crops of the gallery here")
    parser.add_argument("--clips", type=int, default=200, help="so many clips of two people each")
    parser.add_argument("--few", type=int, default=16, help="clips that every rate is tried on")
    parser.add_argument("--seed", type=int, default=0, help="of the people, the photos and their ways")
    parser.add_argument("--write", action="store_true", help="append to the CSV files")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    everyone, model = People.from_folder(options.people), Model.load(options.model)
    photos: dict[str, list[Path]] = defaultdict(list)
    for label, path in zip(everyone.labels, everyone.paths, strict=True):
        photos[everyone.names[label]].append(path)
    test = [name for name in everyone.names if split_of(name) == "test"]
    shuffled = {name: [photos[name][i] for i in rng.permutation(len(photos[name]))] for name in test}
    enrolled = {name: paths[0] for name, paths in shuffled.items() if len(paths) > 1}
    shown = {name: paths[len(paths) > 1 :][:PHOTOS_SHOWN] for name, paths in shuffled.items()}
    order = [test[i] for i in rng.permutation(len(test))]
    pairs = [order[i : i + 2] for i in range(0, len(order) - 1, 2)][: options.clips]

    clips: dict[float, list[Seen]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for number, pair in enumerate(pairs):
            cast = actors([(name, shown[name]) for name in pair], number % 2 == 1, rng)
            path = Path(folder) / "clip.mp4"
            with written_video(path, RATE) as add:
                for i, picture in enumerate(frames(cast, rng)):
                    add(picture, i / RATE)
            for fps in RATES if number < options.few else (FPS,):
                clips[fps].append(tracked(path, model, fps, cast))
            if number % 20 == 0:
                print(f"clip {number + 1} of {len(pairs)}", flush=True)

    about = {**circumstances("onnxruntime", "av"), "model": model.id, "seed": options.seed}
    join = track_thresholds(model.calibration, TrackOptions()).join
    assert join is not None
    rows = [
        {"fps": fps, "clips_a_video": 1, "by": "score", **purity(each[: options.few])}
        for fps, each in clips.items()
    ]
    for size in VIDEOS:
        blocks = [clips[FPS][i : i + size] for i in range(0, len(clips[FPS]), size)]
        for by in ("score", "cosine"):
            videos = [in_one_video(block, join, by) for block in blocks]
            rows.append({"fps": FPS, "clips_a_video": size, "by": by, **purity(videos)})
    for row in rows:
        print(row, flush=True)
    gallery = [photos[name][0] for name in everyone.names if split_of(name) != "test"]
    chosen = [gallery[i] for i in rng.permutation(len(gallery))]
    others = embed_photos(
        model, [str(path) for path in chosen[: ENROLLED + 50]], LFW_FACE, options.cache, None
    )
    mates = embed_photos(model, [str(path) for path in enrolled.values()], LFW_FACE, options.cache, None)
    own = {
        name: unit_rows(vector[None])[0].astype(np.float32)
        for name, vector, found in zip(enrolled, mates.vectors, mates.found, strict=True)
        if found
    }
    found = list(
        identification(
            by_person(clips[FPS]), own, others.vectors[others.found][:ENROLLED],
            model.calibration.check().tail, options.seed,
        )
    )  # fmt: skip
    for row in found:
        print(row, flush=True)
    if options.write:
        append_rows(TRACKING, [{**about, **row} for row in rows])
        append_rows(IDENTIFICATION, [{**about, **row} for row in found])


if __name__ == "__main__":
    main()
