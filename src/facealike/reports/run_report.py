"""Write the report of a training run as one HTML page and as Markdown."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from ..detection.face_policy import DEFAULT_FACE, FACE_POLICIES, FacePolicy
from ..errors import DataError, UsageError
from ..utils.atomic_write import write_bytes, write_text
from ..utils.escape import shown
from ..utils.result import Result
from . import run_sections as sections
from .elements import Document, Paragraph, PhotoPair, PhotoPairs, Section
from .hardest_errors import Mistake, face_thumbnails, hardest_mistakes
from .html import to_html
from .markdown import to_markdown
from .run_folder import Run, read_run

MISTAKES = 12  # of each kind

MISLABELLED = (
    "These are the decisions furthest on the wrong side of the threshold, each photo once at most. Look at "
    "them before blaming the model: a photo filed under another person's name, or the wrong one of two "
    "faces in a photo, shows up here first. They are the worst and not the typical mistakes, so they say "
    "nothing about how often mistakes happen."
)
CONSENT = " This page holds photos of people: share it only as those photos may be shared."


@dataclass(frozen=True, repr=False)
class Report(Result):
    """The files of a report.

    Args:
        html: The HTML page.
        markdown: The Markdown.
        pictures: Those of the Markdown.
        missing: What the report could have and has not, and why, in sentences.
    """

    ASK: ClassVar[str] = "ask .missing for what it lacks"

    html: Path
    markdown: Path
    pictures: tuple[Path, ...]
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "html": str(self.html),
            "markdown": str(self.markdown),
            "pictures": [str(path) for path in self.pictures],
            "missing": list(self.missing),
        }

    def __str__(self) -> str:
        lacking = f"; {len(self.missing)} parts are missing, named at its end" if self.missing else ""
        return f"report in {self.html} and {self.markdown}{lacking}"


def report(
    run: str | Path,
    out: str | Path | None = None,
    data: str | Path | None = None,
    thumbnails: bool | None = None,
    mistakes: int = MISTAKES,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write the report of the training run in the folder ``run``.

    A run of an older facealike, or one that is not finished, gives a report of what exists.  The HTML file is
    self-contained; the Markdown lies beside it with the ending .md, and its figures in a folder beside that.

    Examples:
        >>> print(report("model-run").html)

    Args:
        run: The folder of a run.
        out: The HTML file to write; None for report.html in ``run``.
        data: The folder of people, where it was moved since the run.
        thumbnails: False shows no photo, True shows them in the Markdown too; None shows the worst errors of
            each kind in the HTML only.
        mistakes: How many errors of each kind.
        progress: Called with (done, total) of their photos.

    Raises:
        DataError: The folder holds no run, or a file cannot be written.
        UsageError: ``out`` does not end in .html.
    """
    page = Path(out) if out is not None else Path(run) / "report.html"
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{shown(page)}: the report is an HTML file; give a name that ends in .html")
    found = read_run(run)
    photos, lacking = _mistakes(found, data, thumbnails, mistakes, progress)
    document = _document(found, photos, lacking)
    folder = page.with_name(f"{page.stem}-pictures")
    pictures = document.pictures()
    try:
        if pictures:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{shown(folder)}: this folder cannot be made ({error.strerror}); choose another --out"
        ) from None
    for name, content in pictures.items():
        write_bytes(folder / name, content)
    markdown = page.with_suffix(".md")
    write_text(markdown, to_markdown(document, folder.name))
    write_text(page, to_html(document))
    files = tuple(folder / name for name in pictures)
    return Report(page, markdown, files, (*found.missing, *lacking))


def _document(run: Run, photos: Section | None, lacking: tuple[str, ...]) -> Document:
    from .. import __version__

    name = shown(run.folder.resolve().name)
    parts = (
        sections.summary(run),
        sections.warnings(run),
        sections.results(run),
        sections.errors(run),
        sections.scores(run),
        photos,
        sections.comparison(run),
        sections.training(run),
        sections.card(run),
        sections.missing(run, lacking),
    )
    model = "no finished model" if run.model is None else f"model {run.model.card.name} ({run.model.id})"
    recipe = run.recipe.get("name")
    made = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return Document(
        title=f"Training run {name}",
        subtitle=model + (f", recipe {recipe}" if isinstance(recipe, str) else ""),
        sections=tuple(part for part in parts if part is not None),
        end=f"Made by facealike {__version__} on {made} from the run folder {name}.",
    )


def _mistakes(
    run: Run, data: str | Path | None, wanted: bool | None, count: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[Section | None, tuple[str, ...]]:  # fmt: skip
    """The section of the worst errors, and what it lacks."""
    scored = None if run.main is None else run.scored.get(run.main.name)
    if scored is None:
        return None, ()
    found = {same: hardest_mistakes(scored, same, count) for same in (False, True)}
    groups = {same: mistakes for same, (mistakes, _) in found.items()}
    if not any(groups.values()):
        return None, () if scored.a is not None else ("the hardest mistakes: the photos are not known",)
    crops: dict[str, bytes] = {}
    lacking: tuple[str, ...] = ()
    if wanted is not False:
        crops, lacking = _crops(run, data, [p for group in groups.values() for p in group], progress)
    text = MISLABELLED + (CONSENT if crops else "")
    blocks = [
        PhotoPairs(
            f"{caption}: the worst of {found[same][1]:,} {kind}es",
            _photo_pairs(kind.replace(" ", "-"), groups[same], crops),
            crops_in_markdown=wanted is True,
        )
        for same, kind, caption in (
            (False, "false match", "Different people, taken for the same person"),
            (True, "false non-match", "The same person, taken for different people"),
        )
        if groups[same]
    ]
    return Section("mistakes", "The hardest mistakes", (Paragraph(text), *blocks)), lacking


def _crops(
    run: Run, data: str | Path | None, pairs: list[Mistake], progress: Callable[[int, int], None] | None
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    prefix = "thumbnails of the hardest mistakes: "
    root = data if data is not None else run.facts.get("root")
    if not isinstance(root, str | Path):
        return {}, (f"{prefix}the run does not say where its photos are; name the folder with --data",)
    if not Path(root).is_dir():
        return {}, (f"{prefix}the photos are no longer in {shown(root)}; name the folder with --data",)
    if run.model is None:
        return {}, (f"{prefix}without its model the crops cannot be made",)
    table = run.recipe.get("data")
    policy = table.get("face") if isinstance(table, dict) else None
    face = cast("FacePolicy", policy if policy in FACE_POLICIES and policy != "all" else DEFAULT_FACE)
    photos = [photo for pair in pairs for photo in (pair.a, pair.b)]
    crops = face_thumbnails(photos, Path(root), run.model, face, progress)
    if len(crops) < len(set(photos)):
        return crops, (f"{prefix}some photos in {shown(root)} cannot be read or show no face any more",)
    return crops, ()


def _photo_pairs(name: str, group: tuple[Mistake, ...], crops: dict[str, bytes]) -> tuple[PhotoPair, ...]:
    pairs = []
    for number, mistake in enumerate(group, start=1):
        both = (crops[mistake.a], crops[mistake.b]) if {mistake.a, mistake.b} <= set(crops) else None
        verdict = "decided: different people" if mistake.same else "decided: same person"
        pairs.append(PhotoPair(
            f"{name}-{number:02d}", _name(mistake.a), _name(mistake.b), f"{mistake.score:.3f}", verdict, both
        ))  # fmt: skip
    return tuple(pairs)


def _name(photo: str) -> str:
    """A photo's path; without the folder where the file is named after it, as in LFW."""
    folder, _, file = photo.rpartition("/")
    person = folder.rpartition("/")[2]
    return shown(file if person and file.startswith(person) else photo)
