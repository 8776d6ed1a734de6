"""Similarity transforms, applied to images and points; scaling of images and boxes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PillowImage

from ..errors import UsageError
from ..types import Box, Image


def similarity_transform(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation, uniform scale and shift that bring ``source`` closest to ``target``.

    Args:
        source: Points, (n, 2) with n >= 2.
        target: Points, (n, 2).

    Returns:
        A (2, 3) matrix M with target ~ M @ [x, y, 1]; never a reflection.

    Raises:
        UsageError: The shapes do not fit, a point is not finite, or all source points coincide.

    Source: Umeyama 1991, equation 43.
    """
    a = np.asarray(source, dtype=np.float64)
    b = np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise UsageError(f"two equal sets of at least two points are needed, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UsageError("the landmarks must be finite; no face can be aligned by these")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    centered_a, centered_b = a - mean_a, b - mean_b
    variance = (centered_a**2).sum() / len(a)
    if variance < 1e-12:
        raise UsageError("the landmarks all lie on one point; no face can be aligned by them")
    u, singular, vt = np.linalg.svd(centered_b.T @ centered_a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = (singular * sign).sum() / variance
    matrix = np.empty((2, 3))
    matrix[:, :2] = scale * rotation
    matrix[:, 2] = mean_b - matrix[:, :2] @ mean_a
    return matrix


def warp(image: Image, matrix: ArrayLike, size: int) -> Image:
    """Resample ``image`` by ``matrix`` (2, 3) into a (size, size, 3) crop; black outside.

    Bilinear.  Where the crop is much smaller than its source, the source is first averaged over whole blocks
    of pixels against aliasing.

    Raises:
        UsageError: The transform is not finite or not invertible.
    """
    m = np.asarray(matrix, dtype=np.float64)
    determinant = float(np.linalg.det(m[:, :2])) if np.isfinite(m).all() else 0.0
    if abs(determinant) < 1e-12:
        raise UsageError("the transform of a crop must be finite and invertible")
    inverse = np.linalg.inv(m[:, :2])
    # Pillow counts from pixel edges, our coordinates from pixel centers: half a pixel apart.
    offset = 0.5 - inverse @ (m[:, 2] + 0.5)
    shrink = max(1, min(int(1.0 / np.sqrt(abs(determinant))), *image.shape[:2]))
    part, start = _seen(image, inverse, offset, size, shrink)
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    source, offset = PillowImage.fromarray(part), offset - start
    if shrink > 1:
        source = source.reduce(shrink)
        inverse, offset = inverse / shrink, offset / shrink
    coefficients = (
        inverse[0, 0], inverse[0, 1], offset[0],
        inverse[1, 0], inverse[1, 1], offset[1],
    )  # fmt: skip
    crop = source.transform(
        (size, size), PillowImage.Transform.AFFINE, coefficients, PillowImage.Resampling.BILINEAR
    )
    return np.asarray(crop)


def _seen(
    image: Image, inverse: NDArray[np.floating], offset: NDArray[np.floating], size: int, shrink: int
) -> tuple[Image, tuple[int, int]]:
    """Return the part of ``image`` that a crop samples, and its left and upper edge.

    Pillow copies all pixels it is given, and in a photo of a crowd each face needs few of them.  The part
    begins between two blocks of ``shrink`` pixels, so the blocks are those of the whole image.
    """
    margin = 2 * shrink  # bilinear interpolation takes the next pixel
    ends = []
    for row, start, end in zip(inverse.tolist(), offset.tolist(), image.shape[1::-1], strict=True):
        low = start + size * sum(min(value, 0.0) for value in row)
        high = start + size * sum(max(value, 0.0) for value in row)
        first, last = math.floor((low - margin) / shrink), math.ceil((high + margin) / shrink)
        ends.append(tuple(min(max(block * shrink, 0), end) for block in (first, last)))
    (left, right), (top, bottom) = ends
    return image[top:bottom, left:right], (left, top)


def expand(box: Box, margin: float) -> Box:
    """Return ``box`` with ``margin`` times its width and height added on every side."""
    dx, dy = box.width * margin, box.height * margin
    return Box(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy)


def fit_within(image: Image, max_side: int) -> tuple[Image, float]:
    """Return ``image`` scaled down until no side exceeds ``max_side``, and the scale (<= 1)."""
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if scale == 1.0:
        return image, 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(small), scale


def transform_points(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (n, 2) transformed by ``matrix`` (2, 3)."""
    moved: NDArray[np.float64] = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse (2, 3) of the transform ``matrix`` (2, 3)."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inverse, -(inverse @ matrix[:, 2:])], axis=1)
