"""The detector of photos that are crops, aligned to ArcFace's template already."""

from __future__ import annotations

from typing import Any

from ..imaging.align import TEMPLATE_112
from ..types import Box, Face, Image


class TemplateFace:
    """Find the one face of an aligned crop: the whole image, its landmarks those of the template.

    A model then crops it as it crops any face, whatever its own size and alignment.
    """

    has_landmarks, weights, thread_safe = True, None, True

    @property
    def spec(self) -> dict[str, Any]:
        return {"kind": "template"}

    def detect(self, image: Image) -> list[Face]:
        """Return the face of an aligned crop of any size."""
        height, width = image.shape[:2]
        landmarks = tuple((x * width / 112, y * height / 112) for x, y in TEMPLATE_112.tolist())
        return [Face(Box(0, 0, width, height), 1.0, landmarks)]
