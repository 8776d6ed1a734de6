"""Which pairs are shown, in which order, and that the page really shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PillowImage

from facealike.errors import DataError, UsageError
from facealike.plotting import drawing
from facealike.plotting import montage as m


class Pairs(NamedTuple):
    """Has the fields of data.PairIndices."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    same: NDArray[np.bool_]


def crop_of(index: int, size: int = m.TILE) -> NDArray[np.uint8]:
    """A crop whose one colour says which image it is."""
    return np.full((size, size, 3), (index % 256, index // 256, 7), dtype=np.uint8)


def take(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.stack([crop_of(int(i)) for i in indices])


def many(n: int) -> Pairs:
    """Pair i shows the images 2i and 2i + 1; even pairs are genuine."""
    index = np.arange(n)
    return Pairs(2 * index, 2 * index + 1, index % 2 == 0)


def pairs_on(page: PillowImage.Image) -> list[tuple[int, tuple[int, int, int]]]:
    """(pair, colour of its frame) for each cell of the page, in reading order."""
    pixels = np.asarray(page).astype(int)
    found = []
    height, width = pixels.shape[:2]
    frames = {m.RIGHT, m.WRONG, m.NEUTRAL}
    y = 0
    while y + m.CELL_HEIGHT - m.CAPTION <= height:
        step = 1
        for x in range(m.MARGIN, width - m.CELL_WIDTH, m.CELL_WIDTH + m.GAP):
            corner = tuple(pixels[y, x])
            whole_edge = (pixels[y, x : x + m.CELL_WIDTH] == pixels[y, x]).all()
            if corner in frames and whole_edge:
                first = pixels[y + m.FRAME + 5, x + m.FRAME + 5]
                second = pixels[y + m.FRAME + 5, x + 2 * m.FRAME + m.TILE + 5]
                assert first[2] == second[2] == 7
                a, b = (int(p[0] + 256 * p[1]) for p in (first, second))
                assert b == a + 1
                found.append((a // 2, corner))
                step = m.TILE + 2 * m.FRAME
        y += step
    return found


def page_of(cells: Sequence[m.MontageCell], columns: int, title: str) -> PillowImage.Image:
    return m.sections_montage([m.Section("", "", tuple(cells))], columns, title)


# ---- the page ---------------------------------------------------------------------------------


def test_every_cell_is_on_the_page_whole_and_framed() -> None:
    cells = [
        m.MontageCell(crop_of(0), crop_of(1), "0.71", True),
        m.MontageCell(crop_of(2), crop_of(3), "0.10", False),
        m.MontageCell(crop_of(4), crop_of(5), "who knows"),
    ]
    page = page_of(cells, 2, "Title")
    assert page.mode == "RGB"
    assert page.getpixel((0, 0)) == (255, 255, 255)
    assert pairs_on(page) == [(0, m.RIGHT), (1, m.WRONG), (2, m.NEUTRAL)]
    pixels = np.asarray(page)
    for index in range(6):
        assert (pixels == crop_of(index)[0, 0]).all(axis=2).sum() == m.TILE**2


def test_crops_of_another_size_fill_the_cell() -> None:
    page = page_of([m.MontageCell(crop_of(0, 40), crop_of(1, 300), "")], 1, "")
    assert pairs_on(page) == [(0, m.NEUTRAL)]
    assert (np.asarray(page) == crop_of(1)[0, 0]).all(axis=2).sum() == m.TILE**2


def test_labels_stand_below_their_crops_and_move_nothing_else() -> None:
    """Issue 19 D6: a mislabelled folder is found by its name."""
    plain = m.MontageCell(crop_of(0), crop_of(1))
    named = m.MontageCell(crop_of(0), crop_of(1), labels=(("Ann", "1.jpg"), ("Bob" * 99,)))
    pages = [np.asarray(page_of([cell, cell, cell], 2, "")) for cell in (plain, named)]
    assert pages[1].shape[0] == pages[0].shape[0] + 2 * 2 * m.LABEL
    assert pairs_on(PillowImage.fromarray(pages[1])) == [(0, m.NEUTRAL)] * 3
    below = pages[1][m.MARGIN + m.TILE + 2 * m.FRAME :][: 2 * m.LABEL]
    ink = (below.max(axis=2) < 128).any(axis=0)
    middle = m.MARGIN + m.FRAME + m.TILE + m.FRAME
    assert ink[m.MARGIN : middle].any() and ink[middle : middle + m.TILE].any()
    assert not ink[middle + m.TILE : m.MARGIN + m.CELL_WIDTH + m.GAP].any(), "a long name is shortened"


@pytest.mark.parametrize("text", ["x", "Aaron_Peirsol_0001.jpg", "w" * 500, "\x1b[31m\n", "ü" * 40, ""])
def test_a_shortened_text_fits_and_keeps_both_ends(text: str) -> None:
    short = drawing.shortened(text, 11, 112)
    assert drawing.text_width(short, 11) <= 112 and short.isprintable()
    assert short[:2] == text[:2] and short[-2:] == text[-2:] if text.isprintable() else True


def test_sign_and_word_tell_right_from_wrong_without_colour() -> None:
    pages = [
        np.asarray(page_of([m.MontageCell(crop_of(0), crop_of(1), "", right)], 1, "").convert("L"))
        for right in (True, False)
    ]
    caption = slice(-m.MARGIN - m.CAPTION, -m.MARGIN)
    dark = [page[caption] < 160 for page in pages]
    assert all(mask.sum() > 50 for mask in dark)
    assert (dark[0] != dark[1]).sum() > 50


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(1, 5), st.text(max_size=200), st.text(max_size=60))
def test_any_number_of_cells_and_any_text_can_be_drawn(n: int, columns: int, title: str, note: str) -> None:
    cells = [m.MontageCell(crop_of(2 * i), crop_of(2 * i + 1), note, i % 2 == 0) for i in range(n)]
    page = page_of(cells, columns, title)
    assert [pair for pair, _ in pairs_on(page)] == list(range(n))


def test_a_long_title_is_wrapped_and_hides_nothing() -> None:
    short, long = (page_of([m.MontageCell(crop_of(0), crop_of(1), "")], 1, "word " * k) for k in (1, 40))
    assert long.height > short.height
    assert long.width == short.width
    assert pairs_on(long) == [(0, m.NEUTRAL)]
    assert (np.asarray(long)[:, -m.MARGIN // 2 :] == 255).all()


def test_cells_are_checked() -> None:
    good = crop_of(0)
    for bad in (good.astype(np.float32), good[:, :50], good[..., 0], good[:0]):
        with pytest.raises(UsageError, match="a cell shows"):
            m.MontageCell(good, bad, "")
    with pytest.raises(UsageError, match="at least one column"):
        page_of([], 0, "")


# ---- which pairs ------------------------------------------------------------------------------


def test_sample_shows_both_kinds_spread_over_the_list() -> None:
    shown = pairs_on(m.sample_pairs_montage(take, many(101), "Pairs", each=3, columns=2))
    assert [pair for pair, _ in shown] == [0, 50, 100, 1, 49, 99]
    assert {colour for _, colour in shown} == {m.NEUTRAL}


def test_sample_of_few_pairs_shows_them_all() -> None:
    shown = pairs_on(m.sample_pairs_montage(take, many(5), "Pairs", each=8))
    assert [pair for pair, _ in shown] == [0, 2, 4, 1, 3]


def test_predictions_show_the_worst_mistakes_first() -> None:
    pairs = many(10)
    scores = np.array([0.9, 0.1, 0.2, 0.8, 0.1, 0.6, 0.5, 0.4, 0.6, 0.0])
    #        genuine:  acc       rej       rej       acc       acc
    shown = pairs_on(m.predictions_montage(take, pairs, scores, 0.5, "Test", each=2, columns=2))
    right_same, right_different, wrong_same, wrong_different = (
        [0, 6],  # 0.9 and, exactly at the threshold, 0.5: the two ends
        [9, 7],  # 0.0 and 0.4
        [4, 2],  # 0.1, 0.2
        [3, 5],  # 0.8, 0.6
    )
    expected = [(i, m.RIGHT) for i in right_same + right_different]
    expected += [(i, m.WRONG) for i in wrong_same + wrong_different]
    assert shown == expected


def test_predictions_without_mistakes_say_none() -> None:
    pairs = many(6)
    page = m.predictions_montage(take, pairs, np.where(pairs.same, 0.9, 0.1), 0.5, "Test")
    assert len(pairs_on(page)) == 6
    assert {colour for _, colour in pairs_on(page)} == {m.RIGHT}


def test_only_the_pairs_that_are_shown_are_read() -> None:
    asked: list[int] = []

    def counting(indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        asked.extend(int(i) for i in indices)
        return take(indices)

    rng = np.random.default_rng(0)
    m.predictions_montage(counting, many(1000), rng.normal(size=1000), 0.0, "Test", each=4)
    assert len(asked) == 4 * 4 * 2


def test_scores_are_checked() -> None:
    with pytest.raises(UsageError, match="one score a pair"):
        m.predictions_montage(take, many(3), [0.1, 0.2], 0.5, "")
    with pytest.raises(UsageError, match="NaN"):
        m.predictions_montage(take, many(2), [0.1, np.nan], 0.5, "")


# ---- files ------------------------------------------------------------------------------------


def test_png_is_exact_and_jpeg_close(tmp_path: Path) -> None:
    page = page_of([m.MontageCell(crop_of(0), crop_of(200), "0.5", True)], 1, "Title")
    for name in ("a.png", "a.jpg", "a.JPEG"):
        drawing.save_picture(page, tmp_path / name)
        with PillowImage.open(tmp_path / name) as back:
            assert back.format == ("PNG" if name.endswith("png") else "JPEG")
            difference = np.abs(np.asarray(back, dtype=int) - np.asarray(page, dtype=int))
        assert difference.max() == 0 if name.endswith("png") else difference.mean() < 3
    assert len(list(tmp_path.iterdir())) == 3


def test_unwritable_pictures_are_one_sentence(tmp_path: Path) -> None:
    page = PillowImage.new("RGB", (2, 2))
    with pytest.raises(UsageError, match=r"a\.gif: a picture is written as"):
        drawing.save_picture(page, tmp_path / "a.gif")
    with pytest.raises(DataError, match="cannot be written"):
        drawing.save_picture(page, tmp_path / "no" / "a.png")
    assert list(tmp_path.iterdir()) == []
