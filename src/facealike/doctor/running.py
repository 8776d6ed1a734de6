"""Run the model: is every part whole, where does it run, and how long does a photo take?"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from ..embedding.face_model import Model
from ..errors import FacealikeError
from ..model_zoo.self_test import verify_model
from .diagnosis import Finding

RUNS = 5

EXPECTED = {"find faces": 30.0, "embed a face": 30.0}
"""Milliseconds that one core takes at most for each step on a photo of 250 x 250: twice what both take
together on the slowest machine of docs/results/performance.md."""


def running_findings(path: str | os.PathLike[str] | None, device: str) -> Iterator[Finding]:
    """Examine a model by running it.

    Args:
        path: A model file or the name of a stored model; None for the default model.
        device: ``auto``, ``cpu`` or ``cuda:N``.
    """
    import onnxruntime

    offered = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    try:
        verified = verify_model(path, device)
        start = time.perf_counter()
        model = Model.load(path, device, threads=1)
        loading = (time.perf_counter() - start) * 1000
    except FacealikeError as error:
        sentence, _, cure = str(error).partition("; ")
        yield Finding("model", sentence, sentence, cure or "install facealike again")
        return
    yield Finding("model", str(verified))
    where = f"{model.device}; onnxruntime offers {', '.join(offered)}"
    if model.device == "cpu" and "CUDA" in offered and device == "auto":
        yield Finding(
            "device", where, "onnxruntime has CUDA support and could not start it",
            "install the CUDA and cuDNN that its version needs, or ask for --device cpu",
        )  # fmt: skip
    else:
        yield Finding("device", where)
    yield Finding("load the model", f"{loading:.0f} ms")
    yield from timings(model)


def timings(model: Model) -> Iterator[Finding]:
    """Time the steps on a drawn photo of 250 x 250 pixels, on one thread."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (250, 250, 3), dtype=np.uint8)
    side = model.preprocessing.size
    crop = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    steps: dict[str, Callable[[], object]] = {
        "find faces": lambda: model.detector.detect(photo),
        "embed a face": lambda: model.embed_crops(crop),
    }
    for name, step in steps.items():
        spent = median_milliseconds(step)
        value = f"{spent:.1f} ms"
        if spent > EXPECTED[name] and model.device == "cpu":
            yield Finding(
                name, value, f"it takes {value}, and {EXPECTED[name]:.0f} ms at most are expected",
                "see whether other programs use the processor, and whether a container limits it",
            )  # fmt: skip
        else:
            yield Finding(name, value)


def median_milliseconds(step: Callable[[], object]) -> float:
    """Return the median time of a step after a first run, which is not counted."""
    step()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)
