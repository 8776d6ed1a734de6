"""Copies are found however they were changed, and other photos are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

from facealike.auditing.copies import Copy, find_copies
from facealike.auditing.examined import ExaminedPhoto, examine_photos, gray_square
from facealike.embedding.face_model import Model
from facealike.imaging.photo_digest import photo_digest
from support.paths import ROOT
from support.tiny_model import tiny_model_file

PORTRAIT = ROOT / "examples" / "photos" / "hopper.jpg"
OTHER = ROOT / "examples" / "photos" / "collins.jpg"


def changed(kind: str) -> PillowImage.Image:
    photo = PillowImage.open(PORTRAIT).convert("RGB")
    width, height = photo.size
    return {
        "resized": lambda: photo.resize((width // 2, height // 2)),
        "mirrored": lambda: ImageOps.mirror(photo),
        "cropped": lambda: photo.crop((round(0.03 * width), 0, width, height - round(0.04 * height))),
        "compressed": lambda: photo,
    }[kind]()


def without_face(path: Path) -> ExaminedPhoto:
    pixels = np.asarray(PillowImage.open(path).convert("RGB"))
    return ExaminedPhoto(str(path), photo_digest(str(path)), gray_square(pixels))


@pytest.mark.parametrize("kind", ["resized", "mirrored", "cropped", "compressed"])
def test_a_changed_copy_is_found_with_a_face_and_without(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "copy.jpg"
    changed(kind).save(path, quality=60)
    model = Model.load()
    photos = examine_photos(model, [PORTRAIT, OTHER, path], "largest")
    (copy,) = find_copies(photos, [0, 1, 0])
    assert (copy.first, copy.second, copy.exact, copy.mirrored) == (0, 2, False, kind == "mirrored")
    assert 0.95 <= copy.correlation <= 1
    (alone,) = find_copies([without_face(each) for each in (PORTRAIT, OTHER, path)], [0, 1, 0])
    assert (alone.first, alone.second) == (0, 2)


def test_equal_pixels_are_an_exact_copy_once_each(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        PillowImage.open(PORTRAIT).save(tmp_path / name)
    photos = [without_face(path) for path in (PORTRAIT, tmp_path / "one.png", OTHER, tmp_path / "two.png")]
    assert find_copies(photos, [0, 0, 1, 2]) == [Copy(0, 1, 1.0, True, False), Copy(0, 3, 1.0, True, False)]


def test_photos_of_one_color_are_no_copies_of_others(tmp_path: Path) -> None:
    paths = []
    for level in (0, 80, 255):
        paths.append(tmp_path / f"{level}.png")
        PillowImage.new("RGB", (64, 64), (level,) * 3).save(paths[-1])
    assert find_copies([without_face(path) for path in paths], [0, 0, 0]) == []


def test_a_photo_that_cannot_be_read_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    photos = examine_photos(Model(tiny_model_file()), [tmp_path / "broken.jpg"], "largest")
    assert photos[0].problem and photos[0].digest is None and find_copies(photos * 2, [0, 0]) == []
