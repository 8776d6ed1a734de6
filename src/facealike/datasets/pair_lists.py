"""Lists of pairs: the format of LFW, CSV, and those of ``published_pairs``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import DataError
from ..imaging.formats import IMAGE_EXTENSIONS
from ..types import Pair
from ..utils.csv_table import open_table, read_text
from ..utils.escape import shown
from .published_pairs import PROTOCOL, cfp_pairs, is_two_line_list, two_line_pairs

_PHOTOS = ("image", "img", "photo", "picture", "file", "filename", "path")


PAIR_COLUMNS = {
    "a": tuple(name + end for name in _PHOTOS for end in ("1", "a")),
    "b": tuple(name + end for name in _PHOTOS for end in ("2", "b")),
    "same": ("issame", "sameperson", "match", "genuine"),
}
"""Further names of the columns of a list of pairs, as ``open_table`` compares them."""


_TRUTH = {"1": True, "true": True, "yes": True, "same": True}


_TRUTH |= {"0": False, "false": False, "no": False, "different": False}


def read_pairs(path: str | Path, root: str | Path | None = None) -> list[Pair]:
    """Read the pairs of a file, in its order; every photo is checked to exist.

    The formats are distinguished by the first line.  LFW (Huang et al., 2007; ``pairs.txt``,
    ``pairsDevTrain.txt``): the number of folds, if any, and of pairs; then for each fold that many lines
    "name i j" and as many "name1 i name2 j", meaning ``root/name/name_000i.jpg`` (or another image
    extension).  CSV: a header with the columns a, b, same (1 or 0; empty or no column: not known) and fold
    (optional), separated by commas, semicolons or tabs (``facealike.utils.csv_table``).  CALFW and CPLFW: two
    lines a pair, ``two_line_pairs``; their photos may also lie in ``images`` beside the file.  A folder is
    that of CFP, frontal with profile (``cfp_pairs``).

    Args:
        path: The file, or the folder of CFP.
        root: Where relative paths are looked up, and then beside the file.

    Raises:
        DataError: The list cannot be read, or a line cannot be used; the message names the file and the line.
    """
    file = Path(path)
    if _is_file(file / PROTOCOL):
        return cfp_pairs(file)
    try:
        if not _is_file(file):
            raise DataError(f"{shown(file)}: no such file of pairs; check the path")
        text = read_text(file)
    except OSError as error:
        raise DataError(f"{shown(file)}: cannot be read ({error.strerror}); check the file") from None
    except ValueError:
        raise DataError(
            f"{shown(file)}: not a text file in UTF-8; give an LFW or CSV list of pairs"
        ) from None
    lines = [(i, line.strip()) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise DataError(f"{shown(file)}: the file is empty; give an LFW or CSV list of pairs")
    folder = file.parent if root is None else Path(root)
    if re.fullmatch(r"\d{1,9}(\s+\d{1,9})?", lines[0][1]):
        return _lfw_pairs(file, lines, folder)
    if is_two_line_list(lines[0][1]):
        return two_line_pairs(file, lines, [folder, file.parent, file.parent / "images"])
    return _csv_pairs(file, [folder, file.parent])


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises for a name that is too long)


def _wrong(file: Path, line: int, what: str) -> DataError:
    return DataError(f"{shown(file)}, line {line}: {what}")


def _lfw_pairs(file: Path, lines: list[tuple[int, str]], root: Path) -> list[Pair]:
    header = [int(word) for word in lines[0][1].split()]
    folds, each = (None, header[0]) if len(header) == 1 else (header[0], header[1])
    wanted = (folds or 1) * 2 * each
    if not wanted:
        raise _wrong(file, lines[0][0], "the header announces no pairs; use the official file")
    if len(lines) - 1 != wanted:
        raise _wrong(
            file,
            lines[-1][0],
            f"{len(lines) - 1} pairs where the header announces {wanted}; download it again",
        )
    pairs: list[Pair] = []
    for position, (number, line) in enumerate(lines[1:]):
        words = [word.strip() for word in line.split("\t")] if "\t" in line else line.split()
        fold = None if folds is None else position // (2 * each) + 1
        if position % (2 * each) < each:
            if len(words) != 3:
                raise _wrong(file, number, "a pair of one person reads: name, number, number; correct it")
            name, i, j = words
            a, b = _lfw_photo(file, number, root, name, i), _lfw_photo(file, number, root, name, j)
            pairs.append(Pair(a, b, True, fold))
        else:
            if len(words) != 4:
                raise _wrong(
                    file, number, "a pair of two people reads: name, number, name, number; correct it"
                )
            a = _lfw_photo(file, number, root, *words[:2])
            b = _lfw_photo(file, number, root, *words[2:])
            pairs.append(Pair(a, b, False, fold))
    return pairs


def _lfw_photo(file: Path, line: int, root: Path, name: str, number: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}", number):
        raise _wrong(file, line, f"{shown(number)!r} is not the number of a photo; correct it")
    if not name or name.startswith(".") or re.search(r"[/\\\0]", name):
        raise _wrong(file, line, f"{shown(name)!r} is not the name of a person; correct it")
    stem = f"{name}_{int(number):04d}"
    for extension in IMAGE_EXTENSIONS:
        photo = root / name / (stem + extension)
        if _is_file(photo):
            return str(photo)
    raise _wrong(file, line, f"no photo {shown(root / name / stem)}.jpg; check the folder of people")


def _csv_pairs(file: Path, folders: list[Path]) -> list[Pair]:
    pairs: list[Pair] = []
    with open_table(file, "list of pairs", ("a", "b"), PAIR_COLUMNS) as table:
        if not {"a", "b"} <= set(table.columns):
            raise _wrong(
                file, table.line, "neither an LFW header nor CSV with the columns a, b and same; add a header"
            )
        for number, cell, _ in table.whole_rows():
            a, b = (_csv_photo(file, number, folders, cell[column]) for column in ("a", "b"))
            pairs.append(Pair(a, b, *_truth_and_fold(file, number, cell)))
        if not pairs:
            raise _wrong(file, table.line, "a header and no pairs; add at least one line")
    return pairs


def _truth_and_fold(file: Path, number: int, cell: dict[str, str]) -> tuple[bool | None, int | None]:
    truth = cell.get("same", "").lower()
    if truth and truth not in _TRUTH:
        raise _wrong(file, number, f"same is 1 or 0, not {shown(truth)!r}; correct it")
    fold = cell.get("fold", "")
    if fold and not re.fullmatch(r"[0-9]{1,9}", fold):
        raise _wrong(file, number, f"fold is an integer, not {shown(fold)!r}; correct it")
    return _TRUTH[truth] if truth else None, int(fold) if fold else None


def _csv_photo(file: Path, line: int, folders: list[Path], value: str) -> str:
    if not value or "\0" in value:
        raise _wrong(file, line, "a photo is missing; name two photos")
    for folder in folders:
        photo = folder / value
        if _is_file(photo):
            return str(photo)
    raise _wrong(file, line, f"no photo {shown(value)} in {shown(folders[0])}; check the folder")
