"""Issue 19 C5: a JPEG that lacks only its last bytes is used, with a warning of how much is missing."""

from __future__ import annotations

import io
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.cli import app
from facealike.errors import UnreadableImage
from facealike.imaging.photo_warning import PhotoWarning
from facealike.imaging.read import read_image
from facealike.imaging.scaled_jpeg import Photo
from support.tiny_model import astronaut, hopper_path, tiny_model_file


def jpeg(array: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(array).save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


def read(data: bytes) -> tuple[Any, str | None]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        image = read_image(data, name="mine.jpg")
    (message,) = [str(w.message) for w in told] or [None]
    return image, message


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True}, {"restart_marker_rows": 4}])
@pytest.mark.parametrize("lost", [2, 3, 20, 300, 1000])
def test_a_few_lost_bytes_cost_the_last_rows_and_no_others(options: dict[str, Any], lost: int) -> None:
    data = jpeg(astronaut(), **options)
    whole, silence = read(data)
    assert silence is None
    image, note = read(data[:-lost])
    differ = np.flatnonzero((image != whole).any(axis=(1, 2)))
    first = differ[0] if len(differ) else len(whole)
    assert note is not None and note.startswith("mine.jpg: a JPEG that lacks its last bytes")
    stated = re.search(r"with them ([0-9.]+)% of the picture's height", note)
    if lost == 2:  # the end marker alone
        assert first == 512
    # A row of blocks, and the rows above it that take a little of its color.
    lacks = float(stated[1]) / 100 if stated else 0.0
    assert (512 - first - 18) / 512 <= lacks <= (512 - first + 18) / 512


@pytest.mark.parametrize("portrait", ["astronaut", "hopper"])
def test_a_progressive_jpeg_lacks_detail_or_is_refused(portrait: str) -> None:
    array = astronaut() if portrait == "astronaut" else np.asarray(PillowImage.open(hopper_path()))
    data = jpeg(array, progressive=True)
    whole, _ = read(data)
    image, note = read(data[:-40])
    assert note is not None and "lacks its last bytes" in note
    # The last scan holds the last bit of each coefficient: what is lost is hardly visible.
    differ = np.abs(image.astype(int) - whole)
    assert differ.mean() < 0.5 and not differ[: len(whole) * 94 // 100].any()
    with pytest.raises(UnreadableImage, match="a damaged or truncated JPEG image that lacks some detail"):
        read_image(data[: len(data) // 2])


def test_a_larger_part_is_refused_with_its_size() -> None:
    data = jpeg(astronaut())
    with pytest.raises(UnreadableImage, match=r"truncated JPEG image that lacks \d\d% of the height"):
        read_image(data[: len(data) // 2])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_reduced_and_turned_photos_are_completed_too(orientation: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    data = jpeg(np.asarray(PillowImage.fromarray(astronaut()).resize((1600, 1200))), exif=exif)
    whole, photo = Photo(data, 400), Photo(data[:-500], 400)
    assert photo.factor == whole.factor == 4 and photo.note is not None and whole.note is None
    assert photo.shape == whole.shape and photo.reduced.shape == whole.reduced.shape
    assert (photo.reduced != whole.reduced).mean() < 0.05


def test_a_real_photo_that_lacks_its_end_is_compared(tmp_path: Path) -> None:
    data = Path(hopper_path()).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:-200])
    with pytest.warns(PhotoWarning, match=r"cut\.jpg: a JPEG that lacks its last bytes"):
        image = read_image(tmp_path / "cut.jpg")
    np.testing.assert_array_equal(image[:570], read_image(hopper_path())[:570])


def test_the_warning_reaches_the_user_of_every_command(tmp_path: Path) -> None:
    photo, model = tmp_path / "people" / "Ada" / "cut.jpg", tmp_path / "tiny.facealike"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(Path(hopper_path()).read_bytes()[:-200])
    (photo.parent / "good.jpg").write_bytes(Path(hopper_path()).read_bytes())
    tiny_model_file().write(model)
    for arguments in (
        ["compare", photo, hopper_path(), "-m", model, "--json"],
        ["detect", photo, "--json"],
        ["embed", photo, "-o", tmp_path / "e.npz", "-m", model, "--json"],
        ["embed", photo.parent, "-o", tmp_path / "e.npz", "-m", model, "--json"],
    ):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.exit_code == 0, (arguments, done.stderr)
        assert done.stderr.count("cut.jpg: a JPEG that lacks its last bytes") == 1, (arguments, done.stderr)
        json.loads(done.stdout)


def test_the_note_says_how_much_is_missing() -> None:
    """Found by mutation: a lost end marker costs no picture, lost rows are told in percent."""
    data = jpeg(astronaut())
    assert "with them hardly anything of the picture" in str(read(data[:-2])[1])
    assert re.search(r"with them [0-9.]+% of the picture's height", str(read(data[:-1000])[1]))
