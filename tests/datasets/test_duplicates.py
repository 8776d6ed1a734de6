"""Photos that are there twice are counted once and reported (issue 19 A12)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from facealike.datasets.duplicates import without_copies
from facealike.datasets.people import People
from facealike.errors import DataError
from facealike.evaluation.all_pairs import evaluate_exhaustive
from facealike.evaluation.calibrate import calibrate
from facealike.evaluation.identification import evaluate_identification
from facealike.evaluation.verification import evaluate_pairs, evaluate_split
from facealike.evaluation.verification_table import table_markdown
from facealike.types import Pair
from support.flat_color_model import ColourModel, make_coloured


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_coloured(tmp_path_factory.mktemp("once"))


@pytest.fixture(scope="module")
def thrice(once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos, each with a copy of equal bytes and one of equal pixels."""
    root = tmp_path_factory.mktemp("thrice") / "people"
    shutil.copytree(once, root)
    note = PngInfo()
    note.add_text("Comment", "saved again")
    for path in sorted(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"{path.stem}x-copy.png"))
        PillowImage.open(path).save(path.with_name(f"{path.stem}x-note.png"), pnginfo=note)
    return root


def test_every_photo_of_a_person_stays_once(once: Path, thrice: Path) -> None:
    found = without_copies(People.from_folder(thrice), thrice)
    assert [path.relative_to(thrice) for path in found.people.paths] == [
        path.relative_to(once) for path in People.from_folder(once).paths
    ]
    assert (found.copies, found.shared, len(found.digests)) == (2 * 180, 0, 180)


@pytest.mark.parametrize("protocol", ["split", "exhaustive", "identification"])
def test_copies_move_no_figure_and_are_reported(once: Path, thrice: Path, protocol: str) -> None:
    run = {
        "split": evaluate_split, "exhaustive": evaluate_exhaustive, "identification": evaluate_identification,
    }[protocol]  # fmt: skip
    before, after = run(ColourModel(), once, "all"), run(ColourModel(), thrice, "all")  # type: ignore[operator]
    assert after.copies == 360 and before.copies == 0
    tables = [dict(result.to_dict()) for result in (before, after)]
    assert tables[1].pop("copies") == 360 and tables[0].pop("copies") == 0
    assert tables[0] == tables[1]
    assert "360 more photos were left out as copies of others" in str(after)
    told = table_markdown([after]) if protocol == "split" else after.to_markdown()
    assert "360 more photos were left out as copies of others" in told
    assert "copies" not in str(before)


def test_copies_move_no_calibration_and_are_reported(once: Path, thrice: Path) -> None:
    before, after = (calibrate(ColourModel(), root, split="all", resamples=50) for root in (once, thrice))
    assert (before.copies, after.copies) == (0, 360)
    assert (before.threshold, before.pairs, before.operating_points) == (
        after.threshold, after.pairs, after.operating_points,
    )  # fmt: skip
    assert after.to_dict()["copies"] == 360 and "copies" not in before.to_dict()
    assert "360 more photos were left out as copies of others" in str(after)
    assert type(after).from_dict(after.to_dict()).copies == 360


def test_one_photo_under_two_names_is_an_error_unless_accepted(once: Path, tmp_path: Path) -> None:
    root = tmp_path / "people"
    shutil.copytree(once, root)
    shutil.copy(root / "Person_00" / "0.png", root / "Person_01" / "other.png")
    refused = (
        "1 photo is under two names, the first .*0.png and .*other.png; remove one of .*--allow-duplicates"
    )
    for run in (evaluate_split, evaluate_exhaustive, evaluate_identification):
        with pytest.raises(DataError, match=refused):
            run(ColourModel(), root, "all")  # type: ignore[operator]
    with pytest.raises(DataError, match=refused):
        calibrate(ColourModel(), root, split="all")
    result = evaluate_exhaustive(ColourModel(), root, "all", allow_duplicates=True)
    assert (result.copies, result.shared, result.photos) == (0, 1, 181)
    assert "1 photo is there under two names" in str(result)
    split = evaluate_split(ColourModel(), root, "all", allow_duplicates=True)
    assert split.photos is not None and split.to_dict()["shared"] == 1
    for told in (str(split), table_markdown([split])):
        assert "1 photo is there under two names" in told


def test_a_list_keeps_its_pairs_and_those_of_one_photo_are_counted(thrice: Path) -> None:
    def photo(person: int, name: str) -> str:
        return str(thrice / f"Person_{person:02d}" / name)

    pairs = [
        Pair(photo(0, "0.png"), photo(0, "0.png"), True),
        Pair(photo(0, "0.png"), photo(0, "0x-copy.png"), True),
        Pair(photo(0, "0x-note.png"), photo(0, "0x-copy.png"), True),
        Pair(photo(0, "0.png"), photo(0, "1.png"), True),
        Pair(photo(0, "0.png"), photo(1, "0.png"), False),
    ]
    result = evaluate_pairs(ColourModel(), pairs, "mine")
    assert (result.pairs, result.copied_pairs, result.to_dict()["copied_pairs"]) == (5, 3, 3)
    assert np.allclose(result.scores[:3], 1)
    for told in (str(result), table_markdown([result])):
        assert "3 of the pairs are of one photo with itself or its copy" in told
