"""The commands and Python snippets of the documents, and stand-ins for the reader's own files."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from support.paths import ROOT
from support.tiny_model import tiny_model_file, tiny_onnx
from support.video_clips import two_people, write_clip

PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")]
    + list((ROOT / "docs").rglob("*.md"))
)
LANGUAGES = {"console", "python", "text"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MANY = 12  # people, two photos each, so that a calibration can be learned from them


@dataclass(frozen=True)
class Command:
    """A line after ``$``, and what the page says that it prints."""

    line: str
    output: str


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """The language and the text of each fenced block."""
    return [(match[1], match[2]) for match in FENCE.finditer(page.read_text("utf-8"))]


def commands(block: str) -> list[Command]:
    """The commands of a console block, with continued lines joined and remarks removed."""
    found: list[Command] = []
    for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        found.append(Command(" ".join(line.split("  # ")[0].split()), output))
    return found


NUMBER = re.compile(r"\b(?=[0-9]*[a-f])[0-9a-f]{12}\b|[0-9][0-9,]*(?:\.[0-9]+)?")
"""An id of a model, or a number."""


def found_output(expected: str, found: str) -> str | None:
    """Return ``expected`` with the numbers that were ``found``; None where more than numbers differs.

    A line ``...`` stands for any lines.
    """
    pattern = "".join(
        r"(?:.*\n)*" if line == "..." else rf"({_any_numbers(line)})\n" for line in expected.splitlines()
    )
    match = re.fullmatch(pattern, found)
    if match is None:
        return None
    lines = iter(match.groups())
    return "".join("...\n" if line == "..." else f"{next(lines)}\n" for line in expected.splitlines())


def _any_numbers(line: str) -> str:
    """A pattern of the line with any other numbers."""
    words = [re.escape(part) for part in NUMBER.split(line)]
    return f"(?:{NUMBER.pattern})".join(words)


def same_numbers(expected: str, found: str) -> bool:
    """Whether the numbers of two outputs are the same, up to what another processor computes.

    Scores and thresholds, with three decimals, agree within 0.003, other decimals within 0.03 or a tenth, and
    counts, which may be pixels, times or odds, within a quarter.  Ids of models are the same.
    """
    return all(map(_near, NUMBER.findall(expected), NUMBER.findall(found)))


def _near(expected: str, found: str) -> bool:
    if re.search("[a-f]", expected + found):
        return expected == found
    a, b = (float(number.replace(",", "")) for number in (expected, found))
    decimals = len(expected.partition(".")[2])
    if decimals == 0:
        return abs(a - b) <= max(1, 0.25 * abs(b))
    return abs(a - b) <= (0.003 if decimals >= 3 else max(0.03, 0.1 * abs(b)))


def make_folder(root: Path) -> Path:
    """Every file that the documents name, under the names that docs/contributing.md lists."""
    photos = ROOT / "examples" / "photos"
    for copy, original in {
        "one": "hopper", "other": "hopper-turned", "party": "hopper", "wedding": "collins",
    }.items():  # fmt: skip
        (root / f"{copy}.jpg").write_bytes((photos / f"{original}.jpg").read_bytes())
    (root / "examples").symlink_to(ROOT / "examples")
    (root / "photos").mkdir()
    for original in ("hopper", "collins"):
        (root / "photos" / f"{original}.jpg").write_bytes((photos / f"{original}.jpg").read_bytes())
        PillowImage.open(photos / f"{original}.jpg").save(root / "photos" / f"{original}-copy.png")
    _write(root / "list.csv", [["a", "b"], ["hopper.jpg", "collins.jpg"], ["hopper.jpg", "hopper-copy.png"]])
    make_mixed_people(root)
    if find_spec("av") is not None:
        write_clip(root / "clip.mp4", 2, two_people)
    tiny_model_file().write(root / "mine.facealike")
    (root / "mine.onnx").write_bytes(tiny_onnx(112))
    return root


def make_mixed_people(root: Path) -> None:
    """Mixtures of the example photos, each a person: the detector finds a face in every photo."""
    first, second = (
        np.asarray(PillowImage.open(ROOT / "examples" / "photos" / f"{name}.jpg").resize((160, 190)), float)
        for name in ("hopper", "collins")
    )
    pairs, groups = [["a", "b", "same"]], [["file", "race", "gender", "age"]]
    for person in range(MANY):
        folder = root / "people" / f"Person_{person:02d}"
        folder.mkdir(parents=True)
        share, tint = person / (MANY - 1), np.random.default_rng(person).uniform(0.7, 1.1, 3)
        for photo in range(2):
            mixed = ((1 - share) * first + share * second) * tint * (1 - 0.1 * photo)
            PillowImage.fromarray(mixed.clip(0, 255).astype(np.uint8)).save(folder / f"{photo}.png")
            groups.append([f"{folder.name}/{photo}.png", "Black", "Female", "20-29"])
        pairs.append([f"{folder.name}/0.png", f"{folder.name}/1.png", "1"])
        pairs.append([f"{folder.name}/0.png", f"Person_{(person + 5) % MANY:02d}/1.png", "0"])
    _write(root / "pairs.csv", pairs)
    _write(root / "groups.csv", groups)


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
