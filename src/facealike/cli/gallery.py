"""``facealike gallery``: enroll people in one file, and ask who a face is."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..gallery.store_url import is_url
from .console import command, print_json, print_table, progress_bar, say, show
from .options import (
    DEFAULT_FACE_CHOICE,
    FaceOption,
    JsonOption,
    KeyFileOption,
    ModelOption,
    ThresholdOption,
    check_folder,
    check_there,
)

if TYPE_CHECKING:
    from ..embedding.face_model import Model
    from ..gallery.candidates import CandidateList
    from ..gallery.enrollment import BulkEnrollment
    from ..gallery.gallery import Gallery


class AggregationChoice(str, Enum):
    """``Aggregation`` once more, as typer wants it."""

    best_or_mean = "best-or-mean"
    best = "best"
    mean = "mean"
    weighted = "weighted"


app = typer.Typer(help="Enroll people, and ask who a face is.", no_args_is_help=True)

GalleryArgument = Annotated[
    str, typer.Argument(metavar="GALLERY", show_default=False, help="The file of the gallery, or its URL.")
]
PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", show_default=False, help="A name.")]
PhotoArgument = Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False, help="A photo.")]
TopOption = Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many candidates.")]
FpirOption = Annotated[
    float,
    typer.Option(
        "--fpir",
        metavar="P",
        help="Target share of searches of people not enrolled that return a candidate.",
    ),
]
PriorOption = Annotated[
    float,
    typer.Option("--prior", metavar="P", help="Share of searches whose person is enrolled."),
]

AggregationOption = Annotated[
    AggregationChoice,
    typer.Option("--aggregation", help="How several templates of a person give one score."),
]


def open_gallery(
    place: str,
    model: Model | Path | None,
    key_file: Path | None = None,
    new: bool = False,
    aggregation: AggregationChoice = AggregationChoice.best_or_mean,
    search_device: str = "cpu",
) -> Gallery:
    """Open a gallery to embed photos."""
    from ..gallery.gallery import Gallery

    if not new:
        check_gallery(place)
    elif not is_url(place):
        check_folder(Path(place))
    chosen = "default" if model is None else str(model) if isinstance(model, Path) else model
    return Gallery.open(place, chosen, aggregation.value, key_file, search_device)


def open_any(place: str, model: Path | None = None, key_file: Path | None = None) -> Gallery:
    """Open a gallery that embeds no photo: one of any model, unless one is named."""
    from ..gallery.gallery import Gallery

    if not is_url(place):
        check_gallery(place)
    return Gallery.open(place, None if model is None else str(model), key_file=key_file)


def check_gallery(place: str) -> None:
    """Refuse a gallery that is not there, and that opening it with a model would create."""
    if is_url(place):
        from ..gallery.location import open_store

        open_store(place, None).close()
    elif not Path(place).exists():
        raise UsageError(f"{place}: no such gallery; facealike gallery enroll makes one")


@app.command()
@command
def enroll(
    gallery: GalleryArgument,
    person: Annotated[
        str | None, typer.Argument(metavar="PERSON", show_default=False, help="A name.")
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO...", show_default=False, help="Photos of the person."),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER|CSV|PARQUET",
            help="Enroll many people: a folder with one sub-folder a person, a CSV or Parquet file with the "
            "columns person, photo and, where wanted, metadata, or a Parquet file of embeddings with the "
            "columns person and vector.",
        ),
    ] = None,
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    min_quality: Annotated[
        float, typer.Option("--min-quality", metavar="Q", min=0, max=1, help="Refuse faces below it.")
    ] = 0.0,
    refuse_duplicates: Annotated[
        bool,
        typer.Option(
            "--refuse-duplicates",
            help="Refuse a person who looks like another enrolled one; without it, that is reported.",
        ),
    ] = False,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Enroll a person, or with --from many; the file is made if there is none.

    A photo counts once.  Listed are photos that cannot be enrolled, with the reason, people who look like
    another enrolled person, and photos that look like none of the person's others.  With --from, an
    interrupted command goes on where it was: photos that are enrolled already are not embedded again.

    Exit code: 0, or 2 if no photo could be enrolled.
    """
    from ..gallery.people_list import read_people

    if (source is None) == (person is None):
        raise UsageError(
            "give a person and photos, or --from with a folder of people, a CSV or a Parquet file"
        )
    listed = None
    if source is None and not photos:
        raise UsageError(f"{person}: give at least one photo to enroll")
    if source is not None:
        check_there(source)
        if source.is_dir():
            listed = read_people(source)  # before a gallery is made
    elif photos is not None and not any(photo.exists() for photo in photos):
        check_there(photos[0])
    opened = open_gallery(gallery, model, key_file, new=True)
    if source is not None:
        with progress_bar("enrolling") as progress:
            result = opened.enroll_all(
                listed or source, face=face.policy, min_quality=min_quality, progress=progress,
                refuse_duplicates=refuse_duplicates,
            )  # fmt: skip
        return report_bulk(result, as_json)
    assert person is not None and photos is not None
    enrolled = opened.enroll(person, photos, face.policy, min_quality, refuse_duplicates=refuse_duplicates)
    if as_json:
        print_json(enrolled.to_dict())
        return 0
    show(str(enrolled))
    for photo, reason in enrolled.refused:
        show(f"  {reason if photo in reason else f'{photo}: {reason}'}")
    for one in (*enrolled.lookalikes, *enrolled.outliers):
        show(f"  {one}")
    return 0


def report_bulk(result: BulkEnrollment, as_json: bool) -> int:
    """Print what became of many photos and return the exit code."""
    if as_json:
        print_json(result.to_dict())
    else:
        show(str(result))
        duplicates = [one for one in result.lookalikes if one.duplicate]
        for one in (*result.refused, *duplicates, *result.outliers):
            show(f"  {one}")
    if result.added or result.known:
        return 0
    say("no photo could be enrolled; the reasons are listed")
    return 2


@app.command()
@command
def identify(
    gallery: GalleryArgument,
    photo: PhotoArgument,
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    top: TopOption = 5,
    fpir: FpirOption = 0.01,
    prior: PriorOption = 0.5,
    aggregation: AggregationOption = AggregationChoice.best_or_mean,
    search_device: Annotated[
        str,
        typer.Option(
            "--search-device", metavar="DEVICE", help="Where the templates are searched: cpu or cuda:N."
        ),
    ] = "cpu",
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say who a face may be: match, uncertain or unknown, and the candidates.

    Exit code: 0 match, 1 unknown or uncertain, 2 an error, 3 no face found, 4 several faces where --face
    only allows one.
    """
    opened = open_gallery(gallery, model, key_file, aggregation=aggregation, search_device=search_device)
    found = opened.identify(photo, top, fpir, face.policy, prior=prior)
    return report_candidates(found, as_json)


def report_candidates(found: CandidateList, as_json: bool) -> int:
    """Print candidates and return the exit code of their decision."""
    if as_json:
        print_json(found.to_dict())
    else:
        for number, line in enumerate(found.lines()):
            show(f"  {line}" if number else line)
    return 0 if found.decision == "match" else 1


@app.command()
@command
def verify(
    gallery: GalleryArgument,
    photo: PhotoArgument,
    person: PersonArgument,
    model: ModelOption = None,
    threshold: ThresholdOption = None,
    fmr: Annotated[
        float | None,
        typer.Option("--fmr", metavar="F", help="Use the threshold for this false match rate."),
    ] = None,
    prior: Annotated[
        float,
        typer.Option("--prior", metavar="P", help="Share of genuine claims: photos that do show the person."),
    ] = 0.5,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    aggregation: AggregationOption = AggregationChoice.best_or_mean,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say whether a photo shows an enrolled person; all templates of the person decide.

    Exit code: 0 the same person, 1 different people, 2 an error, 3 no face found, 4 several faces where
    --face only allows one.
    """
    opened = open_gallery(gallery, model, key_file, aggregation=aggregation)
    result = opened.verify(photo, person, threshold, face.policy, fmr=fmr, prior=prior)
    if as_json:
        print_json(result.to_dict())
    else:
        for line in (*result.lines(), *result.comparison.warnings):
            show(line)
        show(f"{photo}: {result.comparison.faces[0]}, {result.comparison.quality[0]}")
        show(f"model {result.comparison.model} on {result.comparison.device}")
    return 0 if result.same else 1


@app.command()
@command
def correct(
    gallery: GalleryArgument,
    photo: PhotoArgument,
    person: Annotated[
        str,
        typer.Option(
            "--not-person", metavar="PERSON", show_default=False, help="Whom the photo does not show."
        ),
    ],
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """State that a photo does not show a person: it never counts for that person again.

    A template of that photo is removed for good.  Exit code: 0, or 2 on an error.
    """
    removed = open_any(gallery, key_file=key_file).correct(photo, not_person=person)
    if as_json:
        print_json({"photo": str(photo), "not_person": person, "removed": removed})
    else:
        show(f"{photo}: not {person}; {removed} {'template' if removed == 1 else 'templates'} removed")
    return 0


@app.command()
@command
def forget(
    gallery: GalleryArgument, person: PersonArgument, model: ModelOption = None,
    key_file: KeyFileOption = None, as_json: JsonOption = False,
) -> int:  # fmt: skip
    """Remove a person for good.  Exit code: 0, or 2 if no person of this name is enrolled."""
    count = open_any(gallery, model, key_file).forget(person)
    if as_json:
        print_json({"person": person, "removed": count})
    else:
        show(f"{person}: forgotten, {count} {'template' if count == 1 else 'templates'} removed")
    return 0


@app.command("list")
@command
def list_(
    gallery: GalleryArgument, model: ModelOption = None, key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:  # fmt: skip
    """List the enrolled people.  Exit code: 0, or 2 on an error."""
    people = open_any(gallery, model, key_file).people()
    if as_json:
        print_json({"people": people})
    else:
        print_table(["person", "templates"], [[name, str(count)] for name, count in people.items()])
    return 0


@app.command()
@command
def info(gallery: GalleryArgument, key_file: KeyFileOption = None, as_json: JsonOption = False) -> int:
    """Show how many people and templates there are, the model, the dates and the size.

    Exit code: 0, or 2 on an error.
    """
    found = open_any(gallery, key_file=key_file).info().to_dict()
    if as_json:
        print_json(found)
    else:
        for name, value in found.items():
            show(f"{LABELS.get(name, name)}: {_shown(value)}")
    return 0


LABELS = {
    "first": "first enrolled",
    "last": "last enrolled",
    "mapped": "mapped from another model",
    "calibrated_for": "calibrated for",
}
"""What ``info`` calls the figures whose name alone does not say it."""


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


@app.command()
@command
def check(gallery: GalleryArgument, key_file: KeyFileOption = None, as_json: JsonOption = False) -> int:
    """Check that a gallery is whole: the file, the vectors, the digests and the index.

    Exit code: 0 whole, 1 damaged, 2 an error, such as a file that is no gallery.
    """
    result = open_any(gallery, key_file=key_file).check()
    if as_json:
        print_json(result.to_dict())
    else:
        show(str(result))
        for problem in result.problems:
            show(f"  {problem}")
    return 0 if result.whole else 1
