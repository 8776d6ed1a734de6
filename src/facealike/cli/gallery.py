"""``facealike gallery``: enroll people in one file, and ask who a face is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .console import command, print_json, print_table, show
from .options import DEFAULT_FACE_CHOICE, FaceOption, JsonOption, ModelOption, check_folder

if TYPE_CHECKING:
    from ..gallery.gallery import Gallery

app = typer.Typer(help="Enroll people, and ask who a face is.", no_args_is_help=True)

GalleryArgument = Annotated[
    Path, typer.Argument(metavar="GALLERY", show_default=False, help="The file of the gallery.")
]
PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", show_default=False, help="A name.")]


def _open(path: Path, model: Path | None, new: bool = False) -> Gallery:
    from ..gallery.gallery import Gallery

    if new:
        check_folder(path)
    elif not path.is_file():
        raise UsageError(f"{path}: no such gallery; facealike gallery enroll makes one")
    return Gallery.open(path, "default" if model is None else str(model))


@app.command()
@command
def enroll(
    gallery: GalleryArgument,
    person: PersonArgument,
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", show_default=False, help="Photos of the person.")
    ],
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    min_quality: Annotated[
        float, typer.Option("--min-quality", metavar="Q", min=0, max=1, help="Refuse faces below it.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> int:
    """Enroll a person; the file is made if there is none.

    A photo counts once.  Photos that cannot be enrolled are listed with the reason.

    Exit code: 0, or 2 if no photo could be enrolled.
    """
    opened = _open(gallery, model, new=True)
    result = opened.enroll(person, photos, face.policy, min_quality)
    if as_json:
        print_json(result.to_dict())
        return 0
    show(str(result))
    for photo, reason in result.refused:
        show(f"  {reason if photo in reason else f'{photo}: {reason}'}")
    return 0


@app.command()
@command
def identify(
    gallery: GalleryArgument,
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False, help="A photo.")],
    model: ModelOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many candidates.")] = 5,
    fpir: Annotated[
        float,
        typer.Option(
            "--fpir",
            metavar="P",
            help="Target share of searches of people not enrolled that return somebody.",
        ),
    ] = 0.01,
    as_json: JsonOption = False,
) -> int:
    """Say who a face may be: match, uncertain or unknown, and the candidates.

    Exit code: 0 match, 1 unknown or uncertain, 2 an error, 3 no face found, 4 several faces where --face
    only allows one.
    """
    found = _open(gallery, model).identify(photo, top, fpir, face.policy)
    if as_json:
        print_json(found.to_dict())
    else:
        show(str(found))
        if found.threshold is not None:
            show(f"  threshold {found.threshold}")
    return 0 if found.decision == "match" else 1


@app.command()
@command
def forget(
    gallery: GalleryArgument, person: PersonArgument, model: ModelOption = None, as_json: JsonOption = False
) -> int:
    """Remove a person for good.  Exit code: 0, or 2 if nobody of this name is enrolled."""
    count = _open(gallery, model).forget(person)
    if as_json:
        print_json({"person": person, "removed": count})
    else:
        show(f"{person}: forgotten, {count} {'template' if count == 1 else 'templates'} removed")
    return 0


@app.command("list")
@command
def list_(gallery: GalleryArgument, model: ModelOption = None, as_json: JsonOption = False) -> int:
    """List the enrolled people.  Exit code: 0, or 2 on an error."""
    people = _open(gallery, model).people()
    if as_json:
        print_json({"people": people})
    else:
        print_table(["person", "templates"], [[name, str(count)] for name, count in people.items()])
    return 0
