"""Digests of photos: equal for copies under any name and any metadata, for nothing else (issue 19 A12)."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.errors import ImageNotFound
from facealike.imaging.photo_digest import PhotoDigest, photo_digest, photo_digests, salted, same_photos

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 16, 3)).astype(np.uint8)


def png(pixels: np.ndarray, level: int = 6) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, "PNG", compress_level=level)
    return stream.getvalue()


def test_bytes_and_pixels_by_definition() -> None:
    data = png(PIXELS)
    found = photo_digest(data)
    assert found.file == hashlib.sha256(data).hexdigest()
    assert found.pixels == hashlib.sha256(b"24x16 RGB\n" + PIXELS.tobytes()).hexdigest()
    assert photo_digest(PIXELS) == PhotoDigest(found.pixels, found.pixels)


def test_saved_again_without_loss_has_other_bytes_and_equal_pixels() -> None:
    one, other = photo_digest(png(PIXELS, 1)), photo_digest(png(PIXELS, 9))
    assert one.file != other.file and one.pixels == other.pixels


def test_one_pixel_or_another_shape_is_another_photo() -> None:
    changed = PIXELS.copy()
    changed[3, 4, 1] ^= 1
    assert len({photo_digest(each).pixels for each in (PIXELS, changed, PIXELS.reshape(16, 24, 3))}) == 3


def test_a_turned_jpeg_and_its_upright_pixels_are_the_same_photo() -> None:
    """EXIF is applied first: what is compared is what a viewer shows."""
    image, exif = PillowImage.fromarray(PIXELS), PillowImage.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    image.transpose(PillowImage.Transpose.ROTATE_90).save(stream, "PNG", exif=exif)
    assert photo_digest(stream.getvalue()).pixels == photo_digest(PIXELS).pixels


def test_many_in_order_and_none_for_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(PIXELS, 1))
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(png(PIXELS, 9))
    (tmp_path / "bad.png").write_bytes(b"x")
    (tmp_path / "d.png").write_bytes(png(255 - PIXELS))
    names = ["d.png", "bad.png", "a.png", "missing.png", "b.png", "c.png"]
    seen: list[tuple[int, int]] = []
    found = photo_digests(
        [tmp_path / name for name in names], progress=lambda done, all_: seen.append((done, all_))
    )
    assert [digest is None for digest in found] == [False, True, False, True, False, False]
    assert same_photos(found) == [0, 1, 2, 3, 2, 2]
    assert seen == [(i, 6) for i in range(1, 7)]
    assert photo_digests([tmp_path / name for name in names], threads=1) == found
    with pytest.raises(ImageNotFound, match=r"missing\.png"):
        photo_digest(tmp_path / "missing.png")


def test_a_salt_hides_which_photo_it_was() -> None:
    digest = photo_digest(PIXELS).pixels
    assert salted(digest, "a") == hashlib.sha256(f"a\0{digest}".encode()).hexdigest()[:16]
    assert salted(digest, "a") != salted(digest, "b")
