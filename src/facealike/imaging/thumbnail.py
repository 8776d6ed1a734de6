"""Small pictures of faces and photos, as JPEG."""

from __future__ import annotations

import io

from PIL import Image as PillowImage

from ..types import Image


def jpeg_thumbnail(image: Image, side: int, quality: int) -> bytes:
    """Return an image as a JPEG whose longer side has at most ``side`` pixels.

    Args:
        image: RGB uint8 (H, W, 3).
        side: In pixels.
        quality: Of the JPEG, 1 to 95.
    """
    picture = PillowImage.fromarray(image)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
