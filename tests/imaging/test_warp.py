"""``warp`` copies only the part of a photo that it samples, and samples as if it had copied all of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from facealike.imaging.geometry import warp

NEAR = 1e-6  # pixels


def warp_of_everything(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """``warp`` with a copy of all pixels of the image."""
    inverse = np.linalg.inv(matrix[:, :2])
    offset = 0.5 - inverse @ (matrix[:, 2] + 0.5)
    source, shrink = Image.fromarray(image), int(1 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    shrink = max(1, min(shrink, *image.shape[:2]))
    inverse, offset = inverse / shrink, offset / shrink
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    return np.asarray(
        source.reduce(shrink).transform(
            (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
        )
    )


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([0, math.pi / 2, math.pi]) | st.floats(-math.pi, math.pi), st.floats(-5, 1.5),
    st.tuples(st.floats(-150, 400), st.floats(-150, 300)), st.integers(1, 70),
)  # fmt: skip
@example(0, 1.0, (0.0, 9.0), 2)
def test_warp_of_a_part_is_that_of_the_whole_image(
    angle: float, log_scale: float, middle: tuple[float, float], size: int
) -> None:
    image = np.random.default_rng(size).integers(0, 256, (143, 251, 3), dtype=np.uint8)
    c, s = (math.exp(log_scale) * value for value in (math.cos(angle), math.sin(angle)))
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0]])
    matrix[:, 2] = size / 2 - matrix[:, :2] @ middle
    # The part has its own origin, so a value halfway between two gray levels may be rounded otherwise: it is
    # rounded as in the whole image, moved by a millionth of a pixel at most.
    moves = [np.array([[0, 0, x], [0, 0, y]]) for x in (-NEAR, 0, NEAR) for y in (-NEAR, 0, NEAR)]
    whole = [warp_of_everything(image, matrix + move, size) for move in moves]
    part = warp(image, matrix, size)
    assert (np.min(whole, axis=0) <= part).all() and (part <= np.max(whole, axis=0)).all()


def test_warp_copies_only_what_it_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[tuple[int, ...]] = []
    copy = Image.fromarray

    def recorded(part: np.ndarray) -> Image.Image:
        copied.append(part.shape)
        return copy(part)

    monkeypatch.setattr(Image, "fromarray", recorded)
    warp(np.zeros((3000, 4000, 3), np.uint8), [[1.0, 0, -2000], [0, 1, -1500]], 112)
    assert len(copied) == 1 and max(copied[0]) <= 112 + 6
