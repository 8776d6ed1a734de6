"""Small chips and teachers for the tests of joint runs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from facealike.train.joint.targets import CHUNK, Teacher

COUNT = 20  # chips


def random_chips() -> np.ndarray:
    """Chips of coarse noise, uint8 (COUNT, 144, 144, 3)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (COUNT, 12, 12, 3), dtype=np.uint8).repeat(12, 1).repeat(12, 2)


def mean_teacher(name: str, size: int, width: int, weight: float) -> Teacher:
    """A linear network over the means of a grid of cells."""
    matrix = np.random.default_rng(size).normal(size=(48, width)).astype(np.float32)

    def embed(crops: torch.Tensor) -> np.ndarray:
        assert crops.shape[1:] == (3, size, size) and len(crops) <= CHUNK
        cells = F.adaptive_avg_pool2d(crops, 4).flatten(1).numpy()
        return (cells - 100) @ matrix

    return Teacher(name, size, embed, weight)


TEACHERS = (mean_teacher("first", 112, 8, 0.6), mean_teacher("second", 128, 12, 0.4))
