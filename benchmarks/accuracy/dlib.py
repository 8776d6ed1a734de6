"""dlib's face network as we run it against dlib itself: the same descriptors, and in what time.

    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.accuracy.dlib equal --write
    FACEALIKE_LFW=lfw-deepfunneled python -m benchmarks.accuracy.dlib speed --write
    FACEALIKE_LFW=... FACEALIKE_LFW_PAIRS=pairs.txt python -m benchmarks.accuracy.dlib view2 --write
    FACEALIKE_LFW=... python -m benchmarks.accuracy.dlib tuned --model MODEL --cache CROPS --write

`tuned` sets a model of `facealike train LFW --init dlib --set data.face=central` against dlib's network as it
was, on LFW's test people, both with a threshold from the calibration people.

Needs the extra `dlib`; torch is measured where it is installed.  One thread throughout.  `speed` runs dlib
and ours in turns, a round each, and tells the median round.  Beside the time by the clock stands the
processor's time, which a busy machine lengthens much less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.detection.face_policy import LFW_FACE
from facealike.embedding.face_model import Model
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.lfw_view2 import evaluate_view2
from facealike.evaluation.verification import evaluate_split
from facealike.imaging.align import box_crop
from facealike.imaging.read import read_image
from facealike.metrics.bootstrap import difference_interval
from facealike.model_zoo.dlib import dlib_model, lift
from facealike.model_zoo.dlib_onnx import to_onnx
from facealike.model_zoo.dlib_weights import MEAN, SIZE, STD, find_dlib_weights, read_dlib_resnet
from facealike.types import Box

CSV = RESULTS / "dlib.csv"
MIDDLE = Box(63, 60, 187, 184)  # of a photo of LFW; where its face is, but for the fit


def lfw() -> Path:
    folder = os.environ.get("FACEALIKE_LFW")
    if not folder:
        sys.exit("set FACEALIKE_LFW to the folder of LFW's people")
    return Path(folder)


def chips(count: int) -> np.ndarray:
    """Faces of ``count`` people, uint8 (n, 150, 150, 3)."""
    people = sorted(path for path in lfw().iterdir() if path.is_dir())
    photos = [min(person.glob("*.jpg")) for person in people[:: max(1, len(people) // count)][:count]]
    return np.stack([box_crop(read_image(photo), MIDDLE, SIZE, 0.0) for photo in photos])


def normalised(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(((images - np.array(MEAN)) / STD).transpose(0, 3, 1, 2), dtype=np.float32)


def session(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    made = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda crops: made.run(None, {"crops": crops})[0]


def dlib_network() -> Callable[[np.ndarray], np.ndarray]:
    import dlib

    network = dlib.face_recognition_model_v1(str(find_dlib_weights()))
    return lambda images: np.array([network.compute_face_descriptor(image) for image in images])


def equal(count: int) -> list[dict[str, object]]:
    """The largest difference of a descriptor's number from dlib's own."""
    images = chips(count)
    net = read_dlib_resnet(find_dlib_weights().read_bytes())
    theirs, ours = dlib_network(), session(to_onnx(net))
    model = Model(dlib_model(find_dlib_weights()), "cpu", 1)
    largest = {"onnxruntime": 0.0, "the model's lifted vectors": 0.0, "torch": 0.0}
    teach = torch_network(net)
    for start in range(0, count, 50):
        batch = images[start : start + 50]
        wanted = theirs(batch)
        found = {"onnxruntime": ours(normalised(batch)) - wanted}
        found["the model's lifted vectors"] = model.embed_crops(batch, 10) - lift(wanted)
        if teach is not None:
            found["torch"] = teach(batch) - wanted
        for name, difference in found.items():
            largest[name] = max(largest[name], float(np.abs(difference).max()))
        print(f"{start + len(batch)} of {count}:", largest, flush=True)
    return [
        {"what": f"largest difference from dlib, {name}", "faces": count, "value": f"{value:.2g}"}
        for name, value in largest.items()
    ]


def torch_network(net: object) -> Callable[[np.ndarray], np.ndarray] | None:
    try:
        import torch

        from facealike.train.networks.dlib_resnet import DlibTeacher
    except ImportError:
        return None
    torch.set_num_threads(1)
    teacher = DlibTeacher(net)  # type: ignore[arg-type]

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return teacher(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float()).numpy()

    return run


def torch_batches(net: object, images: np.ndarray) -> dict[str, tuple[int, Callable[[], object]]]:
    """bfloat16 and float32 on batches, channels last: a teacher's way."""
    if torch_network(net) is None:
        return {}
    import torch

    from facealike.train.networks.dlib_resnet import DlibTeacher

    teacher = DlibTeacher(net).to(memory_format=torch.channels_last)  # type: ignore[arg-type]

    def run(batch: int, half: bool) -> object:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            x = torch.from_numpy(np.resize(images, (batch, *images.shape[1:]))).permute(0, 3, 1, 2).float()
            return teacher(x)

    ways = [(batch, half) for batch in (64, 128) for half in (True, False)]
    return {
        f"torch {'bfloat16' if half else 'float32'}, batches of {batch}": (
            batch,
            lambda batch=batch, half=half: run(batch, half),
        )
        for batch, half in ways
    }


def speed(rounds: int) -> list[dict[str, object]]:
    """Milliseconds a face, by the clock and of the processor."""
    images = chips(8)
    net = read_dlib_resnet(find_dlib_weights().read_bytes())
    theirs, ours = dlib_network(), session(to_onnx(net))
    crops = normalised(images)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "dlib, one face": (2, lambda: theirs(images[:2])),
        "onnxruntime, one face": (8, lambda: [ours(crops[i : i + 1]) for i in range(8)]),
        "onnxruntime, batches of 8": (8, lambda: ours(crops)),
        **torch_batches(net, images),
    }
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, (faces, run) in ways.items():
            wall, busy = time.perf_counter(), time.process_time()
            run()
            used = time.perf_counter() - wall, time.process_time() - busy
            if turn:  # the first one warms up
                spent[name].append((1000 * used[0] / faces, 1000 * used[1] / faces))
    rows: list[dict[str, object]] = []
    base = statistics.median(busy for _, busy in spent["dlib, one face"])
    for name, times in spent.items():
        wall, busy = (statistics.median(column) for column in zip(*times, strict=True))
        rows.append({
            "what": name, "faces": ways[name][0] * rounds, "value": f"{busy:.2f} ms of the processor a face",
            "detail": f"{wall:.2f} ms by the clock; {base / busy:.1f} times as fast as dlib",
        })  # fmt: skip
    return rows


def view2() -> list[dict[str, object]]:
    """LFW View 2 of the model that `facealike models add dlib` makes."""
    pairs = os.environ.get("FACEALIKE_LFW_PAIRS")
    if not pairs:
        sys.exit("set FACEALIKE_LFW_PAIRS to LFW's pairs.txt")
    model = Model(dlib_model(find_dlib_weights()), "cpu", 1)
    result = evaluate_view2(model, lfw(), pairs)
    print(result)
    at_tolerance = result.evaluation
    return [
        {
            "what": f"View 2, {model.file.detector_spec['kind']}", "faces": result.evaluation.pairs,
            "value": f"{result.accuracy:.4f} +- {result.standard_error:.4f}",
            "detail": f"at dlib's tolerance {at_tolerance.accuracy:.4f}, FMR {at_tolerance.fmr:.4f}; "
            + ", ".join(f"TAR {tar:.4f} at FAR {far:g}" for far, tar in result.tar_at_far.items()),
        }
    ]  # fmt: skip


def tuned(path: Path | None, cache: Path | None) -> list[dict[str, object]]:
    """F1 on strangers of a network that was tuned on LFW's training people, and of the frozen one."""
    if path is None:
        sys.exit(
            "name the model with --model: facealike train LFW --init dlib --set data.face=central makes it"
        )
    frozen = dlib_model(find_dlib_weights())
    calibration = calibrate(Model(frozen, "cpu"), lfw(), face=LFW_FACE, cache=cache)
    models = {
        "frozen": Model(replace(frozen, calibration=calibration), "cpu"),
        "tuned": Model.load(path, "cpu"),
    }
    found = {
        name: evaluate_split(model, lfw(), "test", face=LFW_FACE, cache=cache)
        for name, model in models.items()
    }
    rows: list[dict[str, object]] = [
        {
            "what": f"F1 on strangers, {name}, {models[name].id}", "faces": e.pairs,
            "value": f"{e.f1:.4f} [{e.intervals()['f1'].low:.4f}, {e.intervals()['f1'].high:.4f}]",
            "detail": f"AUC {e.auc:.4f}, threshold {e.threshold:.4f}, {e.failures} pairs without a face",
        }
        for name, e in found.items()
    ]  # fmt: skip
    ours, theirs = found["tuned"], found["frozen"]
    assert ours.first is not None and ours.second is not None
    gap = difference_interval(
        ours.scores, ours.threshold, theirs.scores, theirs.threshold, ours.same, ours.first, ours.second
    )
    difference = f"{gap.estimate:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
    return [*rows, {"what": "F1 on strangers, tuned less frozen", "faces": ours.pairs, "value": difference}]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=["equal", "speed", "view2", "tuned"])
    parser.add_argument("--faces", type=int, default=1000, help="of `equal`")
    parser.add_argument("--rounds", type=int, default=7, help="of `speed`")
    parser.add_argument("--model", type=Path, help="of `tuned`")
    parser.add_argument("--cache", type=Path, help="of `tuned`: the folder of face crops")
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], list[dict[str, object]]]] = {
        "equal": lambda: equal(arguments.faces), "speed": lambda: speed(arguments.rounds), "view2": view2,
        "tuned": lambda: tuned(arguments.model, arguments.cache),
    }  # fmt: skip
    about = circumstances("numpy", "onnxruntime", "dlib-bin")
    rows = [
        {**about, "load_average": round(os.getloadavg()[0], 1), "detail": "", **row}
        for row in parts[arguments.part]()
    ]
    for row in rows:
        print(row["what"], row["faces"], row["value"], row["detail"], sep="; ")
    if arguments.write:
        append_rows(CSV, rows)


if __name__ == "__main__":
    main()
