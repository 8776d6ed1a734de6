"""What can go wrong with a photo of a face, done to good ones; for benchmarks/quality/quality.py."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

from facealike import Box, Face, read_image
from facealike.detection.base import scale_face
from facealike.types import Image

Degradation = Callable[[Image, Face], tuple[Image, Face]]
"""A photo and a face in it to another photo, and where the face lies there."""


def shrink(factor: float) -> Degradation:
    def run(image: Image, face: Face) -> tuple[Image, Face]:
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        small = PillowImage.fromarray(image).resize(size, PillowImage.Resampling.BOX)
        return np.asarray(small), scale_face(face, factor)

    return run


def pixels(change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Degradation:
    """A change of values that leaves everything in its place."""
    return lambda image, face: (
        np.clip(np.rint(change(image.astype(np.float64))), 0, 255).astype(np.uint8),
        face,
    )


def blur(sigma: float) -> Degradation:
    def run(image: Image, face: Face) -> tuple[Image, Face]:
        return np.asarray(PillowImage.fromarray(image).filter(ImageFilter.GaussianBlur(sigma))), face

    return run


def jpeg(quality: int) -> Degradation:
    def run(image: Image, face: Face) -> tuple[Image, Face]:
        stream = io.BytesIO()
        PillowImage.fromarray(image).save(stream, "JPEG", quality=quality)
        return read_image(stream.getvalue()), face

    return run


def noise(sigma: float) -> Degradation:
    return pixels(lambda image: image + np.random.default_rng(0).normal(0, sigma, image.shape))


def light_from_the_right(least: float) -> Degradation:
    def change(image: NDArray[np.float64]) -> NDArray[np.float64]:
        place = np.linspace(-10, 10, image.shape[1])
        return image * (least + (1 - least) / (1 + np.exp(-place)))[None, :, None]

    return pixels(change)


def cut(part: float) -> Degradation:
    """The photo ends where ``part`` of the face's width, seen from its left, is gone."""

    def run(image: Image, face: Face) -> tuple[Image, Face]:
        points = np.array(face.landmarks)
        apart = np.hypot(*(points[1] - points[0]))
        start = int(max(0, points[:, 0].mean() - 1.05 * apart + part * 2.1 * apart))
        moved = Box(face.box.left - start, face.box.top, face.box.right - start, face.box.bottom)
        landmarks = tuple((float(x) - start, float(y)) for x, y in points)
        return np.ascontiguousarray(image[:, start:]), Face(moved, face.confidence, landmarks)

    return run


def roll(degrees: float) -> Degradation:
    def run(image: Image, face: Face) -> tuple[Image, Face]:
        turned = PillowImage.fromarray(image).rotate(degrees, PillowImage.Resampling.BILINEAR)
        angle = np.radians(degrees)
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        centre = np.array([image.shape[1] - 1, image.shape[0] - 1]) / 2
        points = (np.array(face.landmarks) - centre) @ matrix.T + centre
        return np.asarray(turned), replace(face, landmarks=tuple((float(x), float(y)) for x, y in points))

    return run


def both(first: Degradation, second: Degradation) -> Degradation:
    return lambda image, face: second(*first(image, face))


DEGRADATIONS: dict[str, Degradation] = {
    "none": lambda image, face: (image, face),
    **{f"shrink {f:g}": shrink(f) for f in (0.6, 0.4, 0.3, 0.22, 0.16, 0.11)},
    **{f"blur {s:g}": blur(s) for s in (1, 2, 3, 4.5, 6)},
    **{f"dark {k:g}": pixels(lambda image, k=k: image * k) for k in (0.3, 0.1, 0.04)},
    **{f"bright {k:g}": pixels(lambda image, k=k: image * k) for k in (2, 3)},
    **{f"flat {k:g}": pixels(lambda image, k=k: 128 + k * (image - 128)) for k in (0.3, 0.1)},
    "side light": light_from_the_right(0.1),
    **{f"noise {s}": noise(s) for s in (10, 20, 30, 50)},
    "jpeg 8": jpeg(8),
    **{f"cut {p:g}": cut(p) for p in (0.15, 0.3, 0.45)},
    **{f"roll {d}": roll(d) for d in (20, 35)},
    "shrink 0.4, blur 2": both(blur(2), shrink(0.4)),
    "blur 2, dark 0.1": both(blur(2), pixels(lambda image: image * 0.1)),
}
