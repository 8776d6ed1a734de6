"""Issue 19 D3: ``compare --draw`` and ``detect --draw`` show boxes, points, crops, score and verdict."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw
from typer.testing import CliRunner, Result

from facealike.cli import app
from facealike.imaging.scaled_jpeg import Photo
from facealike.plotting.drawing import BLUE, MARGIN, PAPER, VERMILION, font, text_width, wrapped
from facealike.quality.result import Quality
from facealike.reports import face_picture
from facealike.reports.face_picture import BRIGHT, COLUMN, CROP, GAP, Side, comparison_picture, faces_picture
from facealike.types import Box, Face
from facealike.verification.result import Comparison
from support.tiny_model import astronaut, hopper_path, tiny_model_file

POINTS = ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8))  # of a box, by its sides

Pixels = NDArray[np.uint8]


def face_at(left: float, top: float, width: float, height: float) -> Face:
    points = tuple((left + x * width, top + y * height) for x, y in POINTS)
    return Face(Box(left, top, left + width, top + height), 0.9, points)


def grey(width: int, height: int) -> Photo:
    return Photo(np.full((height, width, 3), 100, np.uint8))


def is_color(page: Any, color: tuple[int, int, int]) -> NDArray[np.bool_]:
    return np.asarray((np.asarray(page) == color).all(axis=2))


def extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is marked, the last ones included."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def tile_of(page: PillowImage.Image) -> tuple[int, int, int, int]:
    """Where the grey photo of ``grey`` lies on the page."""
    return extent(is_color(page, (100, 100, 100)))


def compared(score: float, *faces: Face | None, **more: Any) -> Comparison:
    return Comparison(score, 0.5, (faces[0], faces[1]), "0123456789ab", "cpu", **more)


def sides(*photos: Photo, name: str = "a.jpg", caption: str = "face") -> list[Side]:
    crops = [np.full((32, 32, 3), value, np.uint8) for value in (11, 22)]
    return [Side(photo, name, caption, crop) for photo, crop in zip(photos, crops, strict=True)]


# ---- one photo --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "shown"),
    [
        (300, 200, (480, 320)), (1000, 500, (1000, 500)), (6000, 4000, (1280, 853)), (30, 40, (240, 320)),
        (1, 1, (8, 8)), (4000, 2, (1280, 1)),
    ],
)  # fmt: skip
def test_a_photo_is_drawn_at_a_sensible_size_with_its_face_in_place(
    width: int, height: int, shown: tuple[int, int]
) -> None:
    plain = faces_picture(grey(width, height), [], "a.jpg")
    left, top, right, bottom = tile_of(plain)
    assert (right - left + 1, bottom - top + 1) == shown and left == MARGIN
    assert plain.width == max(shown[0], face_picture.NARROWEST) + 2 * MARGIN
    if min(shown) < 100:
        return
    face = face_at(width / 4, height / 4, width / 2, height / 2)
    marked = is_color(faces_picture(grey(width, height), [(face, Quality(1.0))], "a.jpg"), BRIGHT)
    box = extent(marked)
    wanted = [left + shown[0] / 4, top + shown[1] / 4, left + 3 * shown[0] / 4, top + 3 * shown[1] / 4]
    assert np.allclose(box, wanted, atol=2)
    scale = shown[0] / width
    for x, y in face.landmarks or ():
        at = round(top + (y + 0.5) * scale - 0.5), round(left + (x + 0.5) * scale - 0.5)
        assert marked[at], "a dot on each landmark"


def test_a_large_jpeg_is_drawn_where_its_whole_has_its_face(tmp_path: Path) -> None:
    """Decoded reduced, but its coordinates are those of the whole photo."""
    pixels = np.full((3000, 4000, 3), 200, np.uint8)
    pixels[1000:2000, 1000:2200] = (30, 30, 200)
    PillowImage.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    photo = Photo(tmp_path / "a.jpg", 500)
    assert photo.factor == 8
    page = faces_picture(photo, [(Face(Box(1000, 1000, 2200, 2000), 0.9), Quality(1.0))], "a.jpg")
    seen = np.asarray(page).astype(int)
    blue = extent((seen[..., 2] > 150) & (seen[..., 0] < 90))
    assert np.allclose(extent(is_color(page, BRIGHT)), np.add(blue, (-4, -4, 4, 4)), atol=4)


@pytest.mark.parametrize(
    "face",
    [
        face_at(-60, 40, 120, 120), face_at(350, -50, 120, 120), face_at(-200, -200, 900, 900),
        face_at(399, 299, 1, 1), face_at(0, 0, 1, 1), face_at(-80, 100, 60, 60),
    ],
)  # fmt: skip
def test_a_face_at_the_edge_or_a_tiny_one_is_seen_and_marks_nothing_outside(face: Face) -> None:
    page = faces_picture(grey(500, 400), [(face, Quality(1.0))], "a.jpg")
    left, top, right, bottom = tile_of(faces_picture(grey(500, 400), [], "a.jpg"))
    marked = is_color(page, BRIGHT)
    inside = marked[top : bottom + 1, left : right + 1]
    assert inside.sum() == marked.sum() >= 20
    dots = sum(0 <= x < 500 and 0 <= y < 400 for x, y in face.landmarks or ())
    assert inside.sum() >= 20 + dots


def test_numbers_lead_from_the_text_to_the_boxes_and_hide_no_landmark() -> None:
    faces = [(face_at(20 + 90 * (i % 9), 5 + 130 * (i // 9), 70, 100), Quality(1.0)) for i in range(27)]
    one = is_color(faces_picture(grey(840, 400), faces[:1], "a.jpg"), BRIGHT)
    page = faces_picture(grey(840, 400), faces, "a.jpg")
    left, top, _, bottom = tile_of(faces_picture(grey(840, 400), [], "a.jpg"))
    marked = is_color(page, BRIGHT)
    assert marked.sum() > 27 * one.sum(), "numbers beside 27 boxes"
    for face, _ in faces:
        for x, y in face.landmarks or ():
            spot = marked[top + round(y) - 3 : top + round(y) + 4, left + round(x) - 3 : left + round(x) + 4]
            assert 4 <= spot.sum() <= 25, "a dot of its own, with its dark edge"
    assert page.height > bottom + 27 * 20, "a line for each"


def test_a_crowd_is_described_up_to_a_limit() -> None:
    faces = [(face_at(3.0 * i, 10, 2, 3), Quality(0.5, ("small",))) for i in range(300)]
    few, many, all_of_them = (faces_picture(grey(900, 100), faces[:n], "a.jpg") for n in (60, 61, 300))
    assert many.height == few.height + 22 and all_of_them.height == many.height


# ---- a comparison -----------------------------------------------------------------------------


@pytest.mark.parametrize(("score", "color", "other"), [(0.9, BLUE, VERMILION), (0.1, VERMILION, BLUE)])
def test_a_comparison_shows_verdict_photos_and_crops(
    score: float, color: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    face = face_at(100, 100, 100, 130)
    page = comparison_picture(compared(score, face, face), *sides(grey(460, 400), grey(300, 460)))
    assert page.width == 2 * (MARGIN + COLUMN) + GAP
    assert is_color(page, color).sum() > 100, "the verdict in its color"
    assert not is_color(page, other).any()
    bright = is_color(page, BRIGHT)
    middle = MARGIN + COLUMN + GAP // 2
    assert bright[:, :middle].sum() > 500 and bright[:, middle:].sum() > 500, "a box on each photo"
    for value in (11, 22):
        left, top, right, bottom = extent(is_color(page, (value,) * 3))
        assert (right - left + 1, bottom - top + 1) == (CROP, CROP), "each crop, whole"
    pixels, clear = np.asarray(page), MARGIN - 2  # the curve of a letter may reach one pixel out
    edge = np.concatenate([pixels[:, :clear].reshape(-1, 3), pixels[:, -clear:].reshape(-1, 3)])
    assert (edge == PAPER).all(), "nothing runs into the margin"


def test_crops_that_were_given_have_no_box() -> None:
    page = comparison_picture(compared(0.9, None, None), *sides(grey(90, 90), grey(90, 90)))
    assert not is_color(page, BRIGHT).any()


def texts_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, str, int]]:
    """Every text that is drawn from now on: x, y, text, size."""
    drawn: list[tuple[float, float, str, int]] = []
    real = ImageDraw.ImageDraw.text

    def text(self: Any, xy: Any, text: str, *rest: Any, **more: Any) -> Any:
        drawn.append((*xy, text, more["font"].size))
        return real(self, xy, text, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return drawn


HOSTILE = ["x" * 5000, "\x1b[31m\n" * 300, "Владимир 張偉 😀 " * 40, "a.jpg", " ", "\ud800\x00"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_is_cut_off_or_meets_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = texts_of(monkeypatch)
    face, quality = face_at(10, 10, 30, 40), Quality(0.3, (name or "x",) * 3)
    result = compared(
        0.4, face, face, probability=0.05, fmr=0.3, band=(0.3, 0.6), threshold_from=name, warnings=(name,) * 2
    )
    photos = grey(60, 90), grey(90, 60)
    for draw in (
        lambda: comparison_picture(result, *sides(*photos, name=name, caption=f"{face}, {quality}")),
        lambda: faces_picture(photos[0], [(face, quality)], name),
    ):
        page = draw()
        places = sorted((y, x, x + text_width(text, size), y + size) for x, y, text, size in drawn)
        assert places and all(text.isprintable() for _, _, text, _ in drawn)
        assert all(x >= MARGIN and end <= page.width - MARGIN + 1 for _, x, end, _ in places)
        assert places[-1][3] <= page.height - 10
        for i, (_, x, end, low) in enumerate(places):
            for other_y, other_x, other_end, _ in places[i + 1 :]:
                assert other_y >= low or other_x >= end or other_end <= x, "two texts meet"
        drawn.clear()


def test_the_picture_has_every_sentence_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = texts_of(monkeypatch)
    face = face_at(10, 10, 30, 40)
    result = compared(0.4, face, face, probability=0.05, fmr=0.3, warnings=("the first face is dark",))
    comparison_picture(
        result, *sides(grey(60, 90), grey(90, 60), name="one.jpg", caption="the larger of 2 faces")
    )
    told = " ".join(text for _, _, text, _ in drawn)
    for sentence in (*result.lines(), *result.warnings, "one.jpg", "the larger of 2 faces"):
        assert sentence in told
    assert "different people (match probability 0.05" in told and "score 0.400, threshold 0.500" in told


def test_a_word_that_is_too_wide_is_broken() -> None:
    lines = wrapped("short " + "w" * 300 + " end", 16, 200)
    assert all(text_width(line, 16) <= 200 for line in lines) and len(lines) > 10
    assert "".join(lines).replace(" ", "") == "short" + "w" * 300 + "end"
    assert font(16) is font(16)


# ---- the command line -------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and photos: a.png, many.png with two faces, none.png without one."""
    folder = tmp_path_factory.mktemp("draw")
    tiny_model_file().write(folder / "tiny.facealike")
    for name, pixels in {
        "a.png": astronaut(),
        "many.png": np.concatenate([astronaut()[:, :400]] * 2, axis=1),
        "none.png": np.full((90, 120, 3), 128, np.uint8),
    }.items():
        PillowImage.fromarray(pixels).save(folder / name)
    return folder


@pytest.mark.parametrize("ending", ["png", "jpg", "JPEG"])
def test_compare_draws_and_says_the_same_as_ever(home: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"Владимир.{ending}"
    command = ["compare", home / "a.png", hopper_path(), "-m", home / "tiny.facealike"]
    plain, drawn = run(*command), run(*command, "--draw", out)
    assert (drawn.exit_code, drawn.stdout) == (plain.exit_code, plain.stdout)
    with PillowImage.open(out) as page:
        assert page.size[0] == 2 * (MARGIN + COLUMN) + GAP
        assert page.format == ("PNG" if ending == "png" else "JPEG")
    assert [path.name for path in tmp_path.iterdir()] == [out.name], "no half-written file is left"
    assert "score" in json.loads(run(*command, "--draw", out, "--json").stdout)


def test_compare_draws_the_crops_that_were_compared(home: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The right face of several, in the very pixels that the embedder was given."""
    from facealike.embedding.face_model import Model

    given: list[Pixels] = []
    real = Model.embed_crops
    monkeypatch.setattr(Model, "embed_crops", lambda self, crops: given.extend(crops) or real(self, crops))
    drawn: list[Side] = []
    monkeypatch.setattr(
        face_picture,
        "comparison_picture",
        lambda result, *both: drawn.extend(both) or PillowImage.new("RGB", (9, 9)),
    )
    for more in ([], ["--aligned"], ["--face", "central"]):
        given.clear(), drawn.clear()
        run(
            "compare",
            home / "many.png",
            hopper_path(),
            "-m",
            home / "tiny.facealike",
            "--draw",
            tmp_path / "a.png",
            *more,
        )
        assert len(given) == 2 and all(
            np.array_equal(side.crop, crop) for side, crop in zip(drawn, given, strict=True)
        )
    assert "the central of" in drawn[0].caption


def test_detect_draws_one_photo(home: Path, tmp_path: Path) -> None:
    for name, boxes in (("many.png", True), ("none.png", False)):
        out = tmp_path / name
        result = run("detect", home / name, "-m", home / "tiny.facealike", "--draw", out)
        assert result.exit_code == (0 if boxes else 3)
        with PillowImage.open(out) as page:
            assert is_color(page.convert("RGB"), BRIGHT).any() == boxes


def refused(result: Result, *parts: str) -> None:
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("facealike: ") and result.stderr.count("\n") == 1
    assert all(part in result.stderr for part in parts), result.stderr


@pytest.mark.parametrize("command", ["compare", "detect"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(
    home: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*_: Any, **__: Any) -> Any:
        raise AssertionError("the work began")

    monkeypatch.setattr("facealike.embedding.face_model.read_model_file", worked)
    photo = tmp_path / "photo.png"
    PillowImage.new("RGB", (9, 9)).save(photo)
    before = photo.read_bytes()
    words = [command, photo, *([photo] * (command == "compare")), "--draw"]
    (tmp_path / "folder.png").mkdir()
    refused(run(*words, tmp_path / "a.txt"), "a.txt", "a picture is written as .png, .jpg or .jpeg")
    refused(run(*words, tmp_path / "a"), "a picture is written as")
    refused(run(*words, tmp_path / "no" / "a.png"), "the folder to write this to does not exist")
    refused(run(*words, tmp_path / "folder.png"), "this is a folder")
    refused(run(*words, photo), "this is the photo itself")
    (tmp_path / "link.png").symlink_to(photo)
    refused(run(*words, tmp_path / "link.png"), "this is the photo itself")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        refused(run(*words, tmp_path / "locked" / "a.png"), "cannot be written")
    refused(run(*words, tmp_path / ("x" * 300 + ".png")), "name too long")
    assert photo.read_bytes() == before and not list(tmp_path.glob(".*"))


def test_pairs_refuses_an_ending_before_the_work(tmp_path: Path) -> None:
    """It read all photos first."""
    refused(run("pairs", tmp_path / "nobody", "-o", tmp_path / "a.gif"), "a picture is written as")


def test_a_list_and_several_photos_are_not_drawn(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    (tmp_path / "list.csv").write_text("a,b\n")
    refused(
        run("compare", "--pairs", tmp_path / "list.csv", "--out", tmp_path / "s.csv", "--draw", out),
        "--draw",
        "list",
    )
    refused(run("detect", home / "a.png", home / "many.png", "--draw", out), "--draw", "one photo")
    refused(run("detect", home, "--draw", out), "--draw", "one photo")
    assert not out.exists()
