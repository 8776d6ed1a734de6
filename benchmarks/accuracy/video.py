"""Measure tracks and their identification on clips composed of photos of LFW's test people (needs LFW).

    python -m benchmarks.accuracy.video LFW --write

Each clip shows two test people; ``composed_clips`` draws it, and it is encoded and decoded as any other.
Tracking rows, one for each rate of frames:

    purity      share of the tracked faces that are of the person whom most faces of their track show
    apart       tracks a person before tracks are joined, and ``joined`` after it
    missed      share of the people without a track of two faces or more

Identification rows, one for each way to search a track in a gallery of one photo each of people who are not
test people: every face alone (``frame``), the face of the highest quality (``best``), the mean of all
(``mean``), the mean weighted by quality (``weighted``).  FPIR is of tracks of people who are not enrolled,
``found`` of tracks of people of whom another photo is enrolled as well: matched, and to the right person.
Each person has the same weight, and intervals are from resampling people.
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

from benchmarks.accuracy.composed_clips import RATE, Actor, actors, frames, person_at
from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.datasets.people import People
from facealike.datasets.splits import split_of
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.embed_dataset import embed_photos
from facealike.gallery.threshold import threshold_at_fpir
from facealike.metrics.similarity import unit_rows
from facealike.video.frames import reading
from facealike.video.joining import join_tracks
from facealike.video.options import FPS, TrackOptions, track_thresholds, tracker_settings
from facealike.video.template import weighted_template
from facealike.video.tracker import FaceInFrame, Tracker
from facealike.video.tracking import faces_of_frames
from facealike.video.writing import written_video

TRACKING, IDENTIFICATION = RESULTS / "video_tracking.csv", RESULTS / "video_identification.csv"
RATES = (2.0, 4.0, FPS, 25.0)
SIZES, TARGETS = (1000,), (0.01, 0.1)
PHOTOS_SHOWN = 4
WAYS = ("frame", "best", "mean", "weighted")
RESAMPLES = 1000

Vectors = NDArray[np.float32]
Track = tuple[FaceInFrame, ...]


class Seen(NamedTuple):
    """The tracks of a clip, before and after joining, with who is at a place."""

    cast: Sequence[Actor]
    apart: list[Track]
    joined: list[Track]

    def people(self, track: Track) -> list[str | None]:
        """Return whose each face of a track is."""
        return [person_at(self.cast, face.frame, *face.face.box.center) for face in track]


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
    return Seen(cast, apart, join_tracks(apart, thresholds.join, options.min_quality))


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
            counts[kind] += [of[actor.name] for actor in clip.cast]
    return {
        "people": len(counts["joined"]), "faces": total, "elsewhere": strange,
        "purity": f"{right / total:.4f}",
        "apart": f"{np.mean(counts['apart']):.3f}", "joined": f"{np.mean(counts['joined']):.3f}",
        "missed": f"{np.mean(np.array(counts['joined']) == 0):.4f}",
    }  # fmt: skip


def searched(track: Track, way: str) -> Vectors:
    """Return the vectors (n, d) by which a track is searched."""
    vectors = np.stack([face.embedding for face in track])
    weights = [face.quality for face in track]
    if way == "frame":
        return vectors
    if way == "best":
        return vectors[int(np.argmax(weights))][None]
    return weighted_template(vectors, [1.0] * len(track) if way == "mean" else weights)[None]


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
    survival: Sequence[tuple[float, float]], seed: int,
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
    for way in WAYS:
        best = {
            name: [(searched(track, way) @ others.T).max(axis=1) for track in each]
            for name, each in tracks.items()
        }
        mated = {
            name: [searched(track, way) @ own[name] for track in tracks[name]]
            for name in own
            if name in tracks
        }
        for target in TARGETS:
            at = threshold_at_fpir(survival, target, len(others)).threshold
            false = [_mean([high >= at for high in each]) for each in best.values()]
            with_own = threshold_at_fpir(survival, target, len(others) + 1).threshold
            right = []
            for name, scores in mated.items():
                alone = [high < with_own for high in best[name]]  # two matches are no decision
                right.append(_mean([(s >= with_own) & ok for s, ok in zip(scores, alone, strict=True)]))
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
    rows = [
        {"fps": fps, "clips": len(each), **purity(each)}
        for fps, each in [*((fps, clips[fps][: options.few]) for fps in RATES), (FPS, clips[FPS])]
    ]
    for row in rows:
        print(row, flush=True)
    gallery = [photos[name][0] for name in everyone.names if split_of(name) != "test"]
    chosen = [gallery[i] for i in rng.permutation(len(gallery))]
    size = SIZES[0]
    others = embed_photos(model, [str(path) for path in chosen[: size + 50]], LFW_FACE, options.cache, None)
    mates = embed_photos(model, [str(path) for path in enrolled.values()], LFW_FACE, options.cache, None)
    own = {
        name: unit_rows(vector[None])[0].astype(np.float32)
        for name, vector, found in zip(enrolled, mates.vectors, mates.found, strict=True)
        if found
    }
    found = list(
        identification(
            by_person(clips[FPS]), own, others.vectors[others.found][:size],
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
