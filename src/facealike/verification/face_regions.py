"""The regions of a face crop, by the five landmarks: forehead, eyes, nose, cheeks, mouth, chin, and the rest.

Heights are counted from the line of the eyes (0) to that of the mouth (1), widths in distances of the eyes
from the middle line of the face, which passes between the eyes, the tip of the nose and the mouth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageFilter

REGIONS = ("forehead", "eyes", "nose", "cheeks", "mouth", "chin", "surroundings")
"""The regions, from top to bottom; they share out the crop."""

HALF_FACE, HALF_NOSE, HALF_MOUTH = 1.05, 0.36, 0.6  # half widths, in distances of the eyes
BROWS, BELOW_EYES, BELOW_NOSE, BELOW_MOUTH = -0.4, 0.3, 0.74, 1.3  # heights
SOFT_EDGE = 0.02  # radius of the blur of the edges, as a share of the crop's side


def region_masks(landmarks: NDArray[np.float64], size: int) -> NDArray[np.float32] | None:
    """Return one mask a region, float32 (7, size, size), in the order of ``REGIONS``.

    Args:
        landmarks: The five landmarks in pixels of the crop, (5, 2).
        size: The side of the crop.

    Returns:
        The masks; None where the landmarks are no face's: the mouth not below the eyes, or the eyes on one
        place.
    """
    left, right, nose, corner_left, corner_right = landmarks
    eyes, mouth = (left + right) / 2, (corner_left + corner_right) / 2
    width = float(np.hypot(*(right - left)))
    if width < 1:
        return None
    across = (right - left) / width
    down = np.array([-across[1], across[0]])
    height = float((mouth - eyes) @ down)
    if height < 1:
        return None

    def place(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (points - eyes) @ across / width, (points - eyes) @ down / height

    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).astype(np.float64)
    x, y = place(grid)
    (nose_x, mouth_x), (nose_y, _) = place(np.stack([nose, mouth]))
    x = np.abs(x - np.interp(y, [0, np.clip(nose_y, 0.2, 0.9), 1], [0, nose_x, mouth_x]))
    face = x <= HALF_FACE
    middle = face & (y >= BELOW_EYES) & (y < BELOW_MOUTH)
    found = {
        "forehead": face & (y < BROWS),
        "eyes": face & (y >= BROWS) & (y < BELOW_EYES),
        "nose": middle & (x <= HALF_NOSE) & (y < BELOW_NOSE),
        "mouth": middle & (x <= HALF_MOUTH) & (y >= BELOW_NOSE),
        "chin": face & (y >= BELOW_MOUTH),
        "surroundings": ~face,
    }
    found["cheeks"] = middle & ~found["nose"] & ~found["mouth"]
    masks: NDArray[np.float32] = np.stack([_soft(found[name], size) for name in REGIONS])
    return masks


def _soft(mask: NDArray[np.bool_], size: int) -> NDArray[np.float32]:
    picture = PillowImage.fromarray(mask.astype(np.uint8) * 255)
    blurred = picture.filter(ImageFilter.GaussianBlur(SOFT_EDGE * size))
    soft: NDArray[np.float32] = np.asarray(blurred, dtype=np.float32) / np.float32(255)
    return soft
