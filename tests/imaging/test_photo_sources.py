"""Issue 19 D1: a path, bytes, an open file, a Pillow image or an array, wherever a photo is accepted."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from facealike.embedding.face_model import Model
from facealike.errors import ImageNotFound, ImageTooLarge, UnreadableImage, UsageError
from facealike.imaging import formats
from facealike.imaging.read import read_image
from facealike.verification.compare import compare
from support.corrupt_images import webp_of_size
from support.tiny_model import astronaut, hopper_path, tiny_model_file


class Somewhere:
    """An os.PathLike that is no Path."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return self.path


HOPPER = Path(hopper_path())
SOURCES: dict[str, Callable[[], Any]] = {
    "path": lambda: HOPPER,
    "text": lambda: str(HOPPER),
    "os.PathLike": lambda: Somewhere(str(HOPPER)),
    "bytes": HOPPER.read_bytes,
    "bytearray": lambda: bytearray(HOPPER.read_bytes()),
    "memoryview": lambda: memoryview(HOPPER.read_bytes()),
    "BytesIO": lambda: io.BytesIO(HOPPER.read_bytes()),
    "open file": lambda: HOPPER.open("rb"),
    "Pillow image": lambda: PillowImage.open(HOPPER),
    "array": lambda: read_image(HOPPER),
    "floats": lambda: read_image(HOPPER).astype(np.float32) / 255,
    "doubles": lambda: read_image(HOPPER) / 255,
}


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(tiny_model_file(), device="cpu")


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source_gives_the_same_pixels_face_and_score(kind: str, model: Model) -> None:
    make = SOURCES[kind]
    np.testing.assert_array_equal(read_image(make()), read_image(HOPPER))
    (found,), (expected,) = model.faces(make()), model.faces(HOPPER)
    assert (found.face, found.quality) == (expected.face, expected.quality)
    np.testing.assert_array_equal(found.crop, expected.crop)
    np.testing.assert_array_equal(model.embed([make()]), model.embed([HOPPER]))
    assert compare(make(), make(), model).score == pytest.approx(1, abs=1e-6)


def test_an_open_file_is_read_from_its_beginning_and_may_be_read_again() -> None:
    file = io.BytesIO(HOPPER.read_bytes())
    file.seek(0, io.SEEK_END)
    for _ in range(2):
        np.testing.assert_array_equal(read_image(file), read_image(HOPPER))


def test_a_pillow_image_is_turned_upright_as_its_file_is(tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.fromarray(astronaut()[:300]).save(tmp_path / "turned.jpg", exif=exif)
    with PillowImage.open(tmp_path / "turned.jpg") as image:
        np.testing.assert_array_equal(read_image(image), read_image(tmp_path / "turned.jpg"))
    clear = PillowImage.fromarray(np.zeros((4, 4, 4), np.uint8), "RGBA")
    assert (read_image(clear) == 255).all()


def test_floats_are_rounded_from_0_to_1_and_never_guessed_at() -> None:
    values = np.array([[0.0, 1.0, 0.5, 0.1]], np.float32)
    assert read_image(values)[0, :, 0].tolist() == [0, 255, 128, 26]
    for wrong in (values * 255, values - 0.01, values * np.nan, values + 0.001):
        with pytest.raises(UsageError, match=r"goes from 0 \(black\) to 1 \(white\), not from"):
            read_image(wrong)
    whole = read_image(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8).astype(float) / 255)
    assert whole.dtype == np.uint8 and len(np.unique(whole)) > 100


@pytest.mark.parametrize("address", ["https://example.org/a.jpg", "http://example.org/a.jpg"])
def test_a_web_address_gets_a_sentence(address: str) -> None:
    for source in (address, Path(address)):
        with pytest.raises(ImageNotFound, match="a web address, and facealike opens no network connection"):
            read_image(source)


def test_what_is_wrong_with_an_open_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    with (tmp_path / "a.txt").open() as text, pytest.raises(UsageError, match=r"a\.txt: opened as text"):
        read_image(text)  # type: ignore[arg-type]
    with pytest.raises(UnreadableImage, match="the open file: the file is empty"):
        read_image(io.BytesIO())
    with pytest.raises(UnreadableImage, match="upload: not an image"):
        read_image(io.BytesIO(b"x"), name="upload")
    with pytest.raises(ImageTooLarge, match="over the limit of"):
        read_image(io.BytesIO(bytes(100)), max_bytes=99)
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(UnreadableImage, match="the open file: cannot be read"):
        read_image(closed)
    with HOPPER.open("rb") as file:
        image = PillowImage.open(file)
    with pytest.raises(UnreadableImage, match="this Pillow image cannot be loaded"):
        read_image(image)


def test_a_webp_that_is_too_large_is_refused_before_a_decoder_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Issue 19 E: the mutant without ``webp_size`` survived; Pillow claims the canvas on opening."""
    monkeypatch.setitem(formats._OPENERS, "WebP", lambda _: pytest.fail("opened"))
    with pytest.raises(ImageTooLarge, match="16000 x 16000 pixels are over the limit"):
        read_image(webp_of_size(16000, 16000))
