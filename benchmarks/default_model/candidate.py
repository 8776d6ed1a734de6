"""Whether a model file may become the default model, by size, card and calibration; and what would change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facealike.embedding.face_model import Model
from facealike.verification.compare import compare

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
LARGEST = 10_000_000
"""Bytes."""
FMRS = {0.1, 0.01, 0.001, 0.0001, 1e-05}
"""Target FMRs that the documents name."""


def objections(model: Model, size: int) -> Iterator[str]:
    """Yield a sentence for each reason why a model file of ``size`` bytes cannot be the default model."""
    card, calibration = model.file.card, model.file.calibration
    if size > LARGEST:
        yield f"it has {size:,} bytes, and the most that is allowed is {LARGEST:,}"
    for name in ("test", "lfw-view2", "groups"):
        if name not in card.metrics:
            yield f"its card lacks the metrics {name!r}: scripts/release_model.py --pairs --groups"
    if "seen" not in card.data:
        yield "its card does not say what each part saw: run scripts/release_model.py"
    if not {"code", "weights", "training_data"} <= {
        name for name, one in card.licences.items() if one.commercial
    }:
        yield "its licenses do not allow commercial use"
    if calibration is None or not calibration.seen:
        yield "it is not calibrated, or does not record on whom: run scripts/release_model.py"
    elif {point.fmr for point in calibration.operating_points} != FMRS:
        yield f"its calibration does not have the operating points {sorted(FMRS)}"
    else:
        for other, same in (("collins.jpg", False), ("hopper-turned.jpg", True)):
            if compare(PHOTOS / "hopper.jpg", PHOTOS / other, model).same is not same:
                yield f"its verdict on the example photos hopper.jpg and {other} is wrong"


def figures(model: Model, size: int) -> dict[str, str]:
    """Return what changes with the model: size, time and the figures of its card."""
    card = model.file.card.metrics
    test, view2, spread = card["test"], card["lfw-view2"], card["groups"]["spread"]
    worst = {name: f"{found['worst']}: {100 * found['worst_fmr'][0]:.2f} %" for name, found in spread.items()}
    return {
        "bytes": f"{size:,}",
        "numbers of an embedding": str(model.embedder.dimensions),
        "ms to embed one crop": f"{milliseconds(model):.1f}",
        "threshold": f"{model.threshold:.3f}",
        "View 2": f"{view2['accuracy']:.4f}",
        "test people, F1": f"{test['f1']:.3f}",
        "test people, FNMR": f"{100 * test['fnmr']:.1f} %",
        **{f"highest FMR by {name}": told for name, told in worst.items()},
    }


def milliseconds(model: Model, runs: int = 30) -> float:
    """Return the median time of one crop on one thread."""
    model = Model(model.file, "cpu", threads=1)
    (face,) = model.faces(PHOTOS / "collins.jpg", quality=False)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        model.embed_crops(face.crop[None])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))
