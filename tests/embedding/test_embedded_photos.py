"""Issue 19 D2: ``Model.embed(on_error="skip")`` and ``Model.stream``: face, quality, reason of each photo."""

from __future__ import annotations

import gc
import io
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from facealike import EmbeddedFace, EmbeddedPhoto, Model
from facealike.detection.dlib_hog import DlibDetector
from facealike.errors import (
    DetectorError,
    ImageNotFound,
    NoFaceFound,
    SeveralFaces,
    UnreadableImage,
    UsageError,
)
from facealike.quality.score import face_quality
from facealike.types import Face
from support.flat_color_model import ColourDetector, ColourModel, by_hand, make_coloured
from support.thread_checks import left, none_left_behind  # noqa: F401 (a fixture)
from support.tiny_model import astronaut, tiny_model_file

COLOUR = np.full((12, 12, 3), (200, 90, 30), np.uint8)
BLACK = np.zeros((12, 12, 3), np.uint8)
TWO_FACES = np.full((12, 12, 3), (0, 0, 255), np.uint8)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Thirty photos of one colour each; the 5th shows nobody, the 17th is none, the 20th is not there."""
    found = sorted(make_coloured(tmp_path, 10).rglob("*.png"))
    PillowImage.new("RGB", (12, 12)).save(found[5])
    found[17].write_bytes(b"no image")
    found[20].unlink()
    return found


@pytest.mark.parametrize("threads", [1, 3, None])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_d2_every_photo_is_a_row_in_its_place(paths: list[Path], threads: int | None, batch: int) -> None:
    """Issue 19 D2: one bad photo ended ``Model.embed``, and said nothing of the others."""
    rows = ColourModel().embed(paths, batch=batch, threads=threads, on_error="skip")
    assert [(row.index, row.photo) for row in rows] == [(i, str(path)) for i, path in enumerate(paths)]
    bad = {5: NoFaceFound, 17: UnreadableImage, 20: ImageNotFound}
    good = [row for row in rows if row.index not in bad]
    assert all(len(row.faces) == 1 and row.reason is None and row.error is None for row in good)
    vectors = np.stack([row.faces[0].embedding for row in good])
    np.testing.assert_allclose(vectors, by_hand([Path(row.photo) for row in good]), atol=1e-6)
    assert vectors.dtype == np.float32
    for index, error in bad.items():
        assert rows[index].faces == () and type(rows[index].error) is error
        assert str(paths[index]) in (rows[index].reason or "")


def test_d2_raise_gives_what_it_gave(paths: list[Path]) -> None:
    """Issue 19 D2: without ``on_error`` the result is an array, and the first error is raised."""
    model = ColourModel()
    model.embedder = type("E", (), {"dimensions": 3})()
    good = [path for i, path in enumerate(paths) if i not in (5, 17, 20)]
    for rows in (model.embed(good), model.embed(good, on_error="raise")):
        np.testing.assert_allclose(rows, by_hand(good), atol=1e-6)
    with pytest.raises(NoFaceFound):
        model.embed(paths)


def test_d2_the_face_policy_says_how_many_faces_a_row_has() -> None:
    """Issue 19 D2: all faces of a photo, and ``only`` with several is a row with a reason."""
    photos = [COLOUR, TWO_FACES, BLACK]
    rows = ColourModel().embed(photos, face="all", on_error="skip")
    assert [len(row.faces) for row in rows] == [1, 2, 0]
    assert [row.photo for row in rows] == ["image 1", "image 2", "image 3"]
    rows = ColourModel().embed(photos, face="only", on_error="skip")
    assert [len(row.faces) for row in rows] == [1, 0, 0]
    assert isinstance(rows[1].error, SeveralFaces) and isinstance(rows[2].error, NoFaceFound)
    assert [len(row.faces) for row in ColourModel().embed(photos, on_error="skip")] == [1, 1, 0]


KINDS: dict[str, tuple[Any, int]] = {
    "one": (COLOUR, 1), "two": (TWO_FACES, 2), "none": (BLACK, 0), "bad": (b"no image", 0),
    "gone": ("nowhere.png", 0),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=12), st.integers(1, 5), st.sampled_from([1, 2]))
def test_d2_any_mix_of_photos_keeps_its_order(kinds: list[str], batch: int, threads: int) -> None:
    """Issue 19 D2: each row has the vectors of its own photo, however photos fall into batches."""
    model = ColourModel()
    rows = list(model.stream((KINDS[k][0] for k in kinds), face="all", batch=batch, threads=threads))
    assert [row.index for row in rows] == list(range(len(kinds)))
    assert [len(row.faces) for row in rows] == [KINDS[kind][1] for kind in kinds]
    assert model.embedded == sum(KINDS[kind][1] for kind in kinds)
    for kind, row in zip(kinds, rows, strict=True):
        assert (row.reason is None) == bool(row.faces)
        for face in row.faces:
            colour = KINDS[kind][0][0, 0] / np.linalg.norm(KINDS[kind][0][0, 0].astype(float))
            np.testing.assert_allclose(face.embedding, colour, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_d2_a_stream_that_raises_gives_the_rows_before_it(paths: list[Path], threads: int) -> None:
    """Issue 19 D2: the error comes in its place, of a photo as of the iterable of photos itself."""
    rows: list[EmbeddedPhoto] = []
    with pytest.raises(NoFaceFound, match=paths[5].name):
        rows.extend(ColourModel().stream(paths, on_error="raise", threads=threads))
    assert [row.index for row in rows] == [0, 1, 2, 3, 4]

    def failing() -> Iterator[Path]:
        yield from paths[:4]
        raise OSError("the drive is gone")

    rows.clear()
    with pytest.raises(OSError, match="the drive is gone"):
        rows.extend(ColourModel().stream(failing(), threads=threads))
    assert [row.index for row in rows] == [0, 1, 2, 3]


def test_d2_a_stream_holds_few_photos() -> None:
    """Issue 19 D2: photos are drawn as rows are taken, and none stays in memory."""
    alive: list[weakref.ref[Any]] = []
    most = 0

    def photos() -> Iterator[Any]:
        nonlocal most
        for _ in range(300):
            most = max(most, sum(ref() is not None for ref in alive))
            photo = COLOUR.copy()
            alive.append(weakref.ref(photo))
            yield photo

    stream = ColourModel().stream(photos(), batch=4, threads=2)
    first = next(stream)
    assert first.index == 0 and len(alive) <= 32
    assert sum(1 for _ in stream) == 299 and most <= 16
    gc.collect()
    assert not any(ref() is not None for ref in alive)


def test_d2_a_stream_that_is_left_leaves_no_thread(paths: list[Path]) -> None:
    stream: Any = ColourModel().stream(paths, threads=3, batch=2)
    assert next(stream).index == 0 and left()
    stream.close()
    assert left() == []
    assert list(ColourModel().stream([])) == [] and ColourModel().embed([], on_error="skip") == []


def test_d2_faces_and_quality_are_those_of_the_photo() -> None:
    """Issue 19 D2: box and quality by a real detector; the vector is that of the face's crop."""
    model = Model(tiny_model_file(), "cpu")
    half = astronaut()[:, :400]
    two = np.concatenate([half, half[:, ::-1]], axis=1)
    buffer = io.BytesIO()
    PillowImage.fromarray(two).save(buffer, "PNG")
    (row,) = model.embed([buffer.getvalue()], face="all", on_error="skip")
    expected: list[Face] = DlibDetector().detect(two)
    assert len(expected) >= 2 and [each.face for each in row.faces] == expected
    for each in row.faces:
        assert each.face is not None and each.quality == face_quality(two, each.face, "dlib-hog")
        by_hand = model.embed_crops(model.crop(two, each.face)[None])[0]
        np.testing.assert_allclose(each.embedding, by_hand, atol=1e-6)
    (quick,) = model.stream([two], quality=False)
    assert quick.faces[0].quality is None and quick.faces[0].face is not None
    (crop,) = model.embed([half], aligned=True, on_error="skip")
    assert (crop.faces[0].face, crop.faces[0].quality) == (None, None)


def test_d2_a_row_can_be_printed_and_stored(paths: list[Path]) -> None:
    """Issue 19 D2 and A1: one line, JSON, and no truth by accident."""
    rows = ColourModel().embed([*paths[4:6], TWO_FACES], face="all", on_error="skip")
    told = json.loads(json.dumps([row.to_dict() for row in rows]))
    assert [len(row["faces"]) for row in told] == [1, 0, 2] and told[0]["reason"] is None
    assert told[1]["error"] == "NoFaceFound" and "no face found" in told[1]["reason"]
    assert told[2]["photo"] == "image 3" and told[2]["index"] == 2
    np.testing.assert_allclose(told[2]["faces"][1]["embedding"], [0, 0, 1], atol=1e-6)
    assert told[2]["faces"][1]["face"]["box"] == [0, 0, 12, 12] and told[2]["faces"][1]["quality"]
    assert str(rows[2]).startswith("image 3: face 12x12 at (0, 0), confidence 1.00, quality ")
    assert repr(rows[2]) == "<EmbeddedPhoto: 2 faces, image 3>"
    assert repr(rows[1]).startswith("<EmbeddedPhoto: no face, ")
    with pytest.raises(UsageError, match=r"ask for \.faces"):
        bool(rows[0])
    assert isinstance(rows[0].faces[0], EmbeddedFace)


def test_d2_arguments_that_make_no_sense_are_refused_at_once() -> None:
    """Issue 19 D2: by a sentence, and when the stream is asked for, not at its first row."""
    model: Any = ColourModel()
    for single in ("a.jpg", Path("a.jpg"), b"bytes", bytearray(b"x"), COLOUR, io.BytesIO(b"x")):
        for call in (model.stream, lambda photos: model.embed(photos, on_error="skip")):
            with pytest.raises(UsageError, match="put a single image in a list"):
                call(single)
    with pytest.raises(UsageError, match="as a list or another iterable, not as int"):
        model.stream(3)
    with pytest.raises(UsageError, match="on_error is 'raise' or 'skip', not 'ignore'"):
        model.embed([COLOUR], on_error="ignore")
    for policy in ("any", "best"):
        with pytest.raises(UsageError, match=f"one of largest, central, only, all, not '{policy}'"):
            model.stream([COLOUR], face=policy)
    with pytest.raises(UsageError, match="at least one crop, not 0"):
        model.stream([COLOUR], batch=0)
    with pytest.raises(UsageError, match=r"on_error='skip' and stream\(\) return every face"):
        model.embed([COLOUR], face="all")
    with pytest.raises(UsageError, match=r"stream\(\) takes what has no length"):
        model.embed(iter([COLOUR]))


def test_d2_what_fails_in_every_photo_is_raised() -> None:
    """Issue 19 D2: a detector or network that does not work is no property of a photo."""

    class Broken(ColourModel):
        def embed_crops(self, crops: Any, batch: int = 64) -> Any:
            raise DetectorError("broken")

        embed_many = embed_crops

    assert isinstance(Broken().detector, ColourDetector)
    with pytest.raises(DetectorError, match="broken"):
        Broken().embed([COLOUR], on_error="skip")
