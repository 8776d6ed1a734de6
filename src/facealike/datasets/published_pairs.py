"""Lists of pairs as CALFW, CPLFW and CFP publish them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DataError
from ..imaging.formats import IMAGE_EXTENSIONS
from ..types import Pair
from ..utils.csv_table import read_text
from ..utils.escape import shown
from .ten_folds import with_ten_folds

PROTOCOL = Path("Protocol", "Pair_list_F.txt")
"""The file that a folder of CFP is known by."""


def is_two_line_list(line: str) -> bool:
    """Return whether a list that begins with this line has two lines a pair, as CALFW's and CPLFW's have."""
    words = line.split()
    return (
        len(words) == 2 and Path(words[0]).suffix.lower() in IMAGE_EXTENSIONS and words[1].isascii()
        and words[1].isdigit()
    )  # fmt: skip


def two_line_pairs(file: Path, lines: Sequence[tuple[int, str]], folders: Sequence[Path]) -> list[Pair]:
    """Read pairs of two lines each: the name of a photo, and a number that is 0 for two people.

    CPLFW writes 1 for one person.  CALFW writes the fold, 1 to 10, and has none for pairs of two people, so
    the folds are those of the order (``with_ten_folds``).  The person is the name of the photo without its
    number, as in ``Aaron_Eckhart_0001.jpg``, if that agrees with the truth of every pair.

    Source: ``pairs_CALFW.txt`` (Zheng et al., arXiv 1708.08197) and ``pairs_CPLFW.txt`` (Zheng and Deng,
        2018).

    Args:
        file: Named in messages.
        lines: Each with its number.
        folders: Where the photos are looked up, in this order.

    Raises:
        DataError: A line cannot be used; the message names the file and the line.
    """
    if len(lines) % 2:
        raise _wrong(file, lines[-1][0], "a photo without a second one; a pair takes two lines")
    pairs = []
    for (number, one), (other_number, other) in zip(lines[::2], lines[1::2], strict=True):
        if not is_two_line_list(one) or not is_two_line_list(other):
            bad = number if not is_two_line_list(one) else other_number
            raise _wrong(file, bad, "a line reads: photo, number (0 for two people); correct it")
        (a, same), (b, also) = one.split(), other.split()
        if int(same) != int(also):
            raise _wrong(
                file, other_number, f"{also} where the first photo of the pair has {same}; correct it"
            )
        photos = _photo(file, number, folders, a), _photo(file, other_number, folders, b)
        pairs.append(Pair(*photos, int(same) != 0))
    return with_ten_folds(_with_people(pairs))


def _with_people(pairs: list[Pair]) -> list[Pair]:
    """Return the pairs with the people that the names of the photos tell."""
    found = []
    for pair in pairs:
        names = [re.fullmatch(r"(.+)_[0-9]{1,4}", Path(photo).stem) for photo in (pair.a, pair.b)]
        if names[0] is None or names[1] is None or (names[0][1] == names[1][1]) is not pair.same:
            return pairs
        found.append(replace(pair, people=(names[0][1], names[1][1])))
    return found


def cfp_pairs(folder: Path) -> list[Pair]:
    """Read the pairs of a folder of CFP, frontal with profile (CFP-FP), in ten folds.

    ``Protocol/Pair_list_F.txt`` and ``_P.txt`` number the photos from 1, and ``same.txt`` and ``diff.txt`` in
    ``Protocol/Split/FP/01`` and so on pair the numbers.  A photo lies in
    ``Data/Images/<number of the person>/frontal`` or ``profile``.

    Source: Sengupta et al., WACV 2016, and the Readme of the set.

    Args:
        folder: Holds ``Data`` and ``Protocol``.

    Raises:
        DataError: A file is missing or a line cannot be used; the message names it.
    """
    protocol = folder / PROTOCOL.parent
    frontal = _numbered(protocol / PROTOCOL.name)
    profile = _numbered(protocol / "Pair_list_P.txt")
    splits = protocol / "Split" / "FP"
    folds = sorted(path for path in splits.glob("*") if path.is_dir() and path.name.isdigit())
    if not folds:
        raise DataError(f"{shown(splits)}: no folds there; give the folder of CFP as it was unpacked")
    pairs = []
    for fold in folds:
        for name, same in (("same.txt", True), ("diff.txt", False)):
            for number, line in _lines(fold / name):
                words = re.fullmatch(r"([0-9]{1,6})\s*,\s*([0-9]{1,6})", line)
                if words is None or int(words[1]) not in frontal or int(words[2]) not in profile:
                    raise _wrong(fold / name, number, "not two numbers of photos; download CFP again")
                photos = frontal[int(words[1])], profile[int(words[2])]
                people = Path(photos[0]).parents[1].name, Path(photos[1]).parents[1].name
                pairs.append(Pair(*photos, same, int(fold.name), people))
    return pairs


def _numbered(file: Path) -> dict[int, str]:
    """Return the photo of each number; the file's paths are relative to its own folder."""
    photos = {}
    for number, line in _lines(file):
        words = line.split(maxsplit=1)
        if len(words) != 2 or not re.fullmatch("[0-9]{1,6}", words[0]):
            raise _wrong(file, number, "not a number and a photo; download CFP again")
        photos[int(words[0])] = _photo(file, number, [file.parent], words[1].replace("\\", "/"))
    return photos


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = read_text(file)
    except FileNotFoundError:
        raise DataError(f"{shown(file)}: no such file; give the folder of CFP as it was unpacked") from None
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read ({error.strerror}); check the file") from None
    except ValueError:
        raise DataError(f"{shown(file)}: not a text file in UTF-8; download CFP again") from None
    return ((i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip())


def _photo(file: Path, line: int, folders: Sequence[Path], name: str) -> str:
    if "\0" not in name:
        for folder in folders:
            photo = os.path.normpath(folder / name)
            if os.path.isfile(photo):  # noqa: PTH113 (Path.is_file raises for a name that is too long)
                return photo
    raise _wrong(file, line, f"no photo {shown(name)} in {shown(folders[0])}; check the folder")


def _wrong(file: Path, line: int, what: str) -> DataError:
    return DataError(f"{shown(file)}, line {line}: {what}")
