"""Issue 19 C6: every command walks a folder by the same rules, and says what it passes over."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from facealike.cli import app
from facealike.datasets.folders import find_photos
from facealike.datasets.people import People, unlabeled_photos
from facealike.errors import DataError, UnreadableImage
from facealike.imaging import formats
from facealike.imaging.photo_warning import PhotoWarning
from facealike.imaging.read import read_image
from support.tiny_model import astronaut, hopper_path, tiny_model_file

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def photo(path: Path, kind: str = "JPEG", array: Any = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    PillowImage.fromarray(astronaut() if array is None else array).save(stream, kind, **options)
    path.write_bytes(stream.getvalue())
    return path


@pytest.fixture
def messy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two people and everything that lies about in real folders; a machine that cannot read HEIC."""
    monkeypatch.setattr(formats, "_heic", lambda: None)
    formats.readable_extensions.cache_clear()
    root = tmp_path / "people"
    photo(root / "Ada" / "a.jpg")
    photo(root / "Ada" / "b.JFIF")
    photo(root / "Ada" / "c.jpe")
    photo(root / "Bob" / "d.avif", "AVIF")
    (root / "Bob" / "e.png").symlink_to(photo(tmp_path / "elsewhere.png", "PNG"))
    photo(root / "Ada" / ".hidden.jpg")
    photo(root / ".thumbs" / "x.jpg")
    photo(root / "__MACOSX" / "x.jpg")
    for litter in ("Ada/.DS_Store", "Ada/Thumbs.db", "desktop.ini"):
        (root / litter).write_bytes(b"\0")
    (root / "Ada" / "f.heic").write_bytes(HEIC)
    (root / "Ada" / "notes.txt").write_text("x")
    (root / "Bob" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    return root


def test_a_link_to_itself_ends_no_walk(tmp_path: Path) -> None:
    """The system refuses to look at such a link; the whole folder counted as unreadable."""
    photo(tmp_path / "Ada" / "a.jpg")
    for place in (tmp_path, tmp_path / "Ada"):
        (place / "self").symlink_to("self")
    with pytest.warns(PhotoWarning, match="2 entries are passed over: 2 .cannot be read"):
        assert [path.name for path in People.from_folder(tmp_path).paths] == ["a.jpg"]
    found, skipped = find_photos(tmp_path)
    assert [path.name for path in found] == ["a.jpg"] and [one.path.name for one in skipped] == [
        "self",
        "self",
    ]


def test_people_and_trees_are_walked_alike(messy: Path) -> None:
    with pytest.warns(PhotoWarning, match="3 entries are passed over") as told:
        people = People.from_folder(messy)
    (message,) = [str(w.message) for w in told]
    assert '1 (.heic: pip install "facealike[heic]")' in message and "1 (.txt is no photo)" in message
    assert "1 (a link that leads nowhere)" in message and "f.heic, notes.txt, gone.jpg" in message
    assert [p.name for p in people.paths] == ["a.jpg", "b.JFIF", "c.jpe", "d.avif", "e.png"]
    found, skipped = find_photos(messy)
    assert tuple(found) == people.paths
    assert {s.path for s in skipped} == {s.path for s in people.skipped} and len(skipped) == 3
    with pytest.warns(PhotoWarning, match="3 entries are passed over"):
        assert unlabeled_photos(messy).paths == people.paths


def test_every_command_that_walks_says_what_it_passes_over(messy: Path, tmp_path: Path) -> None:
    model = tmp_path / "tiny.facealike"
    tiny_model_file().write(model)
    for arguments in (
        ["embed", messy, "-o", tmp_path / "e.npz", "-m", model, "--aligned", "--json"],
        ["data", "summary", messy, "--json"],
        ["pairs", messy, "-o", tmp_path / "p.png", "--split", "train", "-m", model, "--json"],
        ["evaluate", model, messy, "--split", "all", "--json"],
        ["calibrate", model, messy, "--split", "all", "-o", tmp_path / "c.facealike", "--json"],
    ):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.stderr.count("3 entries are passed over") == 1, (arguments, done.stderr)
        json.loads(done.stdout)  # warnings never reach stdout
    assert done.stderr.startswith("facealike: warning: ")


def test_what_lies_outside_a_person_is_named(tmp_path: Path) -> None:
    photo(tmp_path / "Ada" / "a.jpg")
    photo(tmp_path / "loose.jpg")
    photo(tmp_path / "Ada" / "more" / "b.jpg")
    (tmp_path / "Nobody").mkdir()
    with pytest.warns(PhotoWarning, match="3 entries are passed over"):
        people = People.from_folder(tmp_path)
    assert len(people) == 1
    assert {(s.path.name, s.why) for s in people.skipped} == {
        ("loose.jpg", "in no folder of a person"),
        ("more", "a folder within a person's"),
        ("Nobody", "a folder without photos"),
    }


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    photo(tmp_path / "a" / "x.jpg")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(photo(tmp_path.parent / f"{tmp_path.name}-out" / "y.jpg").parent)
    found, skipped = find_photos(tmp_path)
    assert found == [tmp_path / "a" / "x.jpg", tmp_path / "linked" / "y.jpg"]
    assert [(s.path.name, s.why) for s in skipped] == [
        ("circle", "a link to a folder that is searched already")
    ]
    with pytest.raises(DataError, match="this folder cannot be read"):
        find_photos(tmp_path / "none")


def test_a_clean_folder_gives_no_warning(tmp_path: Path) -> None:
    photo(tmp_path / "Ada" / "a.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert People.from_folder(tmp_path).skipped == ()


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_phones_formats_are_read(kind: str, tmp_path: Path) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    options = {"quality": 95}
    path = photo(tmp_path / "x.bin", kind, np.asarray(PillowImage.open(hopper_path())), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read_image(path)
    expected = read_image(hopper_path())
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4
    with pytest.raises(UnreadableImage, match="a damaged or truncated"):
        read_image(path.read_bytes()[:3000])


def test_a_heic_photo_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_heic", lambda: None)
    monkeypatch.setitem(formats._OPENERS, "HEIC", formats._late("HEIC", lambda: None))
    with pytest.raises(UnreadableImage, match=r'a HEIC image, .* pip install "facealike\[heic\]"'):
        read_image(HEIC)
    assert formats.cure(".avif") is None or "Pillow" in formats.CURES["AVIF"]


def test_a_film_is_no_photo() -> None:
    with pytest.raises(UnreadableImage, match="it looks like a film"):
        read_image(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + bytes(64))


@pytest.fixture(autouse=True)
def _fresh_extensions() -> Any:
    yield
    formats.readable_extensions.cache_clear()
