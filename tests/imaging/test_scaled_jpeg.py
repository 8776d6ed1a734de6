"""Photos decoded at the size needed: the same coordinates and nearly the same crops as from all pixels."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from facealike.detection.dlib_hog import DlibDetector
from facealike.detection.yunet import YuNetDetector
from facealike.embedding.cropper import FaceCropper
from facealike.embedding.face_model import Model
from facealike.errors import ImageNotFound, ImageTooLarge, UnreadableImage, UsageError
from facealike.imaging.align import TEMPLATE_112
from facealike.imaging.read import jpeg_size, read_image
from facealike.imaging.scaled_jpeg import Photo
from facealike.model_file.preprocessing import Preprocessing
from facealike.types import Box, Face, Image
from support.data_paths import needs_data
from support.tiny_model import astronaut, hopper_path


def jpeg(array: Image, orientation: int = 1, **options: Any) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    PillowImage.fromarray(array).save(stream, "JPEG", quality=92, exif=exif, **options)
    return stream.getvalue()


def smooth(height: int, width: int) -> Image:
    y, x = np.mgrid[:height, :width]
    channels = [128 + 90 * np.sin(x / 31), 128 + 90 * np.cos(y / 23), 128 + 60 * np.sin((x + y) / 47)]
    return np.stack(channels, axis=2).astype(np.uint8)


@cache
def large_portrait(width: int = 1600) -> bytes:
    """The astronaut enlarged, with the noise of a sensor, which would show if pixels were just left out."""
    image = PillowImage.fromarray(astronaut()).resize((width, width), PillowImage.Resampling.BICUBIC)
    noise = 6 * np.random.default_rng(0).standard_normal((width, width, 1), dtype=np.float32)
    return jpeg(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


# ---- how much is decoded ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "side", "factor"),
    [
        (1599, 1200, 800, 1), (1600, 1200, 800, 2), (1200, 1600, 800, 2), (3199, 20, 800, 2),
        (3200, 20, 800, 4), (900, 640, 100, 8), (6400, 5, 800, 4), (1600, 1, 400, 1), (250, 250, 800, 1),
    ],
)  # fmt: skip
def test_a_jpeg_keeps_the_pixels_that_are_needed(width: int, height: int, side: int, factor: int) -> None:
    data = jpeg(smooth(height, width))
    photo = Photo(data, side)
    assert photo.factor == factor and photo.shape == (height, width, 3)
    assert photo.reduced.shape == (-(-height // factor), -(-width // factor), 3)
    assert max(photo.reduced.shape) >= min(side, max(width, height))
    np.testing.assert_array_equal(photo.whole, read_image(data))


def test_other_photos_are_taken_whole() -> None:
    image = smooth(300, 400)
    stream = io.BytesIO()
    PillowImage.fromarray(image).save(stream, "PNG")
    for source in (image, stream.getvalue(), PillowImage.fromarray(image)):
        photo = Photo(source, 50)
        assert photo.factor == 1 and photo.shape == image.shape and photo.whole is photo.reduced
    assert Photo(jpeg(image)).factor == 1
    face = Face(Box(1, 2, 3, 4), 1.0)
    assert photo.outward(face) is face and photo.inward(face) is face


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_greys_and_inks_are_reduced_too(mode: str) -> None:
    stream = io.BytesIO()
    PillowImage.fromarray(smooth(320, 480)).convert(mode).save(stream, "JPEG", quality=95)
    photo = Photo(stream.getvalue(), 100)
    assert photo.factor == 4 and photo.reduced.shape == (80, 120, 3)
    averaged = photo.whole.reshape(80, 4, 120, 4, 3).mean(axis=(1, 3))
    assert np.abs(photo.reduced - averaged).mean() < 3


def test_reducing_averages() -> None:
    """No pixel is merely left out: noise shrinks as it does in a mean of 4 x 4."""
    noise = np.random.default_rng(1).integers(0, 256, (640, 640, 1), dtype=np.uint8)
    data = jpeg(np.repeat(noise, 3, axis=2), subsampling=0)
    photo = Photo(data, 160)
    assert photo.factor == 4
    averaged = photo.whole.reshape(160, 4, 160, 4, 3).mean(axis=(1, 3))
    assert np.abs(photo.reduced - averaged).mean() < 4 and photo.reduced.std() < 0.35 * photo.whole.std()


# ---- coordinates ------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(1603, 1205), (1209, 1606)])
def test_a_point_stays_where_it_is(orientation: int, width: int, height: int) -> None:
    """The centre of a bright disc, by its weights, in the whole photo and in the reduced one."""
    y, x = np.mgrid[:height, :width]
    disc = np.clip(60 - np.hypot(x - 0.3 * width, y - 0.7 * height), 0, 1) * 255
    photo = Photo(jpeg(np.repeat(disc[:, :, None].astype(np.uint8), 3, axis=2), orientation), 200)
    assert photo.factor == 8 and photo.shape == photo.whole.shape

    def centre(image: Image) -> tuple[float, float]:
        weights = image[:, :, 0].astype(np.float64)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        return float((weights * x).sum() / weights.sum()), float((weights * y).sum() / weights.sum())

    there, here = centre(photo.whole), centre(photo.reduced)
    face = photo.inward(Face(Box(0, 0, 9, 9), 1.0, (there,) * 5))
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx(here, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(
    orientation=st.integers(1, 8), width=st.integers(64, 90), height=st.integers(64, 90),
    corner=st.tuples(st.floats(-20, 90), st.floats(-20, 90)), size=st.floats(1, 60),
)  # fmt: skip
def test_inward_undoes_outward(
    orientation: int, width: int, height: int, corner: tuple[float, float], size: float
) -> None:
    photo = Photo(jpeg(np.zeros((height, width, 3), np.uint8), orientation), 8)
    assert photo.factor == 8
    box = Box(corner[0], corner[1], corner[0] + size, corner[1] + size)
    face = Face(box, 0.5, ((1.0, 2.0), (3.0, 2.5), (2.0, 3.0), (1.0, 4.0), (3.0, 4.0)))
    there = photo.outward(face)
    back = photo.inward(there)
    assert np.allclose(back.box, face.box) and there.box.width == pytest.approx(8 * size)
    # Landmarks go out like the edges that detectors take them for, and in like the centres they are.
    shift = np.asarray(face.landmarks) - np.asarray(back.landmarks)
    assert shift == pytest.approx(np.full((5, 2), 7 / 16))


# ---- crops ------------------------------------------------------------------------------------


def face_of_width(eyes: float, x: float = 780.0, y: float = 620.0, turn: float = 0.2) -> Face:
    """A face with ``eyes`` pixels between the eyes, as wide in its box as detectors see it."""
    points = (TEMPLATE_112 - TEMPLATE_112.mean(axis=0)) * eyes / 35.24
    points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + [x, y]
    box = Box(x - eyes, y - 1.2 * eyes, x + eyes, y + 1.3 * eyes)
    return Face(box, 1.0, tuple((float(a), float(b)) for a, b in points))


@pytest.mark.parametrize("align", ["landmarks", "box"])
def test_crops_of_a_large_jpeg_agree_with_those_from_all_its_pixels(align: Any) -> None:
    photo = Photo(large_portrait(), 400)
    assert photo.factor == 4
    reduced = 0
    for size in (64, 112, 150):
        cutting = Preprocessing(size, align)
        for eyes in (10, 40, 90, 140, 250, 400):
            face = face_of_width(eyes)
            image, inside = photo.view(face, size)
            crop, expected = cutting.crop(image, inside), cutting.crop(photo.whole, face)
            difference = np.abs(crop.astype(int) - expected)
            if image is photo.reduced:
                reduced += 1
                assert inside.box.width >= size  # enough pixels: nothing was enlarged
                # The rest is noise, averaged over other blocks of pixels; a crop that lies half a pixel
                # off differs by twice as much.
                assert difference.mean() < 3.5
            else:
                assert difference.max() == 0 and face.box.width < 4 * size
    assert reduced == 6


class Found:
    """A detector that sees one face, given in the whole photo's coordinates, at any size of the photo."""

    has_landmarks, spec, weights, thread_safe, max_side = True, {"kind": "found"}, None, True, 400

    def __init__(self, face: Face, width: int) -> None:
        self.face, self.width = face, width
        self.seen: list[tuple[int, ...]] = []

    def detect(self, image: Image) -> list[Face]:
        self.seen.append(image.shape)
        k = image.shape[1] / self.width
        assert self.face.landmarks is not None
        points = tuple((x * k, y * k) for x, y in self.face.landmarks)
        return [Face(Box(*(v * k for v in self.face.box)), 1.0, points)]


@pytest.mark.parametrize("eyes", [20.0, 300.0])
def test_a_cropper_reports_faces_in_the_whole_photo(eyes: float) -> None:
    data = large_portrait()
    face, cutting = face_of_width(eyes), Preprocessing(96, "landmarks")
    detector = Found(face, 1600)
    (cut,) = FaceCropper(detector, cutting)(data, "only", "photo")  # type: ignore[arg-type]
    found, crop = cut.face, cut.crop
    assert detector.seen == [(400, 400, 3)]
    assert found is not None and found.landmarks is not None and face.landmarks is not None
    assert np.allclose(found.box, face.box) and np.allclose(found.landmarks, face.landmarks)
    expected = cutting.crop(read_image(data), face)
    assert np.abs(crop.astype(int) - expected).mean() < (3.5 if eyes > 100 else 1e-9)


def detectors() -> list[Any]:
    return ["shipped", pytest.param("yunet", marks=needs_data("FACEALIKE_YUNET"))]


@pytest.mark.parametrize("kind", detectors())
def test_the_embedding_of_a_large_photo_hardly_depends_on_how_it_was_decoded(kind: str) -> None:
    model = Model.load(device="cpu", threads=1)
    detector = YuNetDetector(os.environ["FACEALIKE_YUNET"], threads=1) if kind == "yunet" else model.detector
    hopper = np.asarray(PillowImage.open(hopper_path()).convert("RGB").resize((1600, 1894)))
    cropper = FaceCropper(detector, model.preprocessing)
    for data in (large_portrait(), jpeg(hopper)):
        assert cropper.photo(data).factor > 1
        seen, full = cropper(data, "all", "photo")[0], cropper(read_image(data), "all", "photo")[0]
        face, expected = seen.face, full.face  # an array is taken whole
        assert face is not None and expected is not None
        assert np.abs(np.subtract(face.box, expected.box)).max() < 0.06 * expected.box.width
        vectors = model.embed_crops(np.stack([seen.crop, full.crop]))
        assert vectors[0] @ vectors[1] > 0.99


# ---- errors -----------------------------------------------------------------------------------


def test_errors_are_those_of_reading_it_whole(tmp_path: Path) -> None:
    data = jpeg(smooth(900, 1200))
    with pytest.raises(UnreadableImage, match="upload 7: a damaged or truncated JPEG"):
        _ = Photo(data[: len(data) // 2], 200, "upload 7").reduced
    with pytest.raises(UnreadableImage, match="the image: not an image"):
        _ = Photo(b"no image", 200).reduced
    with pytest.raises(ImageNotFound, match=r"nowhere\.jpg: no such file"):
        Photo(tmp_path / "nowhere.jpg", 200)
    with pytest.raises(
        UsageError, match="an image is a path, bytes, an open file, a Pillow image or an array, not int"
    ):
        _ = Photo(5, 200).reduced  # type: ignore[arg-type]
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(UnreadableImage, match=r"cut\.jpg: a damaged"):
        _ = Photo(tmp_path / "cut.jpg", 200).reduced


def test_the_limit_on_pixels_is_on_the_whole_photo() -> None:
    data = jpeg(smooth(400, 400))
    assert read_image(data, reduce=8).shape == (50, 50, 3)
    with pytest.raises(ImageTooLarge, match="400 x 400"):
        read_image(data, reduce=8, max_pixels=400 * 400 - 1)


def test_a_header_that_says_nothing_is_no_size() -> None:
    data = jpeg(smooth(30, 50), orientation=6)
    assert jpeg_size(data) == (50, 30, 6)
    assert jpeg_size(data[:10]) is None and jpeg_size(b"") is None and jpeg_size(b"BM") is None


def test_detectors_of_ours_state_the_size_they_look_at() -> None:
    """Without it every photo would be decoded whole, and nobody would notice."""
    assert FaceCropper(DlibDetector(max_side=640), Preprocessing(64, "box")).photo(
        jpeg(np.zeros((1280, 1280, 3), np.uint8))
    ).factor == 2  # fmt: skip
