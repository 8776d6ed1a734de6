"""``facealike cluster``: group the photos of a folder by person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, UsageError
from .console import LISTED, command, print_json, print_table, progress_bar, say, show, show_list
from .gallery import FpirOption, open_gallery
from .options import (
    DeviceOption,
    DrawOption,
    JsonOption,
    KeyFileOption,
    ModelOption,
    ThresholdOption,
    check_picture,
)

if TYPE_CHECKING:
    from ..clustering.result import Clustering


@command
def cluster(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", show_default=False, help="Photos, also in folders below it."),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="DIR",
            help="Write a folder a person with links to their photos, or add to those that it has written.",
        ),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the photos instead of linking to them.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what --to would write.")] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the table of faces.")
    ] = None,
    fmr: Annotated[
        float | None,
        typer.Option(
            "--fmr",
            metavar="P",
            help="Target FMR of two faces; lower splits people, higher merges them.",
            show_default="0.0001",
        ),
    ] = None,
    threshold: ThresholdOption = None,
    min_quality: Annotated[
        float, typer.Option("--min-quality", metavar="Q", min=0, max=1, help="Do not group faces below it.")
    ] = 0.8,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="CSV",
            help="Pairs of faces that are the same person or not: columns a, b, same, face_a, face_b.",
        ),
    ] = None,
    same_photo: Annotated[
        bool, typer.Option("--same-photo", help="Two faces of one photo may be one person, as in a collage.")
    ] = False,
    name_from: Annotated[
        str | None,
        typer.Option("--name-from", metavar="GALLERY", help="Name people who are enrolled in this gallery."),
    ] = None,
    fpir: FpirOption = 0.001,
    key_file: KeyFileOption = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", metavar="DIR", help="Keep faces and embeddings, so that a second run is quick."
        ),
    ] = None,
    draw: DrawOption = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> int:
    """Group the faces in a folder of photos by person.

    People are numbered from 1, the most faces first.  Two faces of one photo are two people.  With
    --name-from, people who match one enrolled person at the target FPIR have their name.  Given the folder
    of an earlier command, --to adds what is new: people keep their numbers, and whatever you have renamed,
    moved or deleted there stays so.  No photo is moved or changed.  A photo without a face, or that cannot
    be read, ends no command.  With --cache an interrupted command goes on where it was.

    Exit code: 0, 2 on an error, 3 if no photo has a face.
    """
    from ..clustering.cluster import cluster as group
    from ..clustering.names import check_naming
    from ..clustering.people_folders import plan_people
    from ..clustering.people_record import check_people
    from ..embedding.face_model import Model
    from ..utils.atomic_write import write_text
    from .options import check_folder

    if to is None and (copy or dry_run):
        raise UsageError("--copy and --dry-run belong to --to; give a folder to write to")
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photos; check the path")
    if to is not None:
        _check_outside(to, folder)
        check_people(to)
    if csv is not None:
        check_folder(csv)
    if draw is not None:
        check_picture(draw)
    loaded = Model.load(model, device)
    gallery = None if name_from is None else open_gallery(name_from, loaded, key_file)
    if gallery is not None:
        check_naming(loaded.calibration, fpir)
    with progress_bar("finding faces") as progress:
        result = group(
            folder, loaded, corrections=corrections, people=to, cache=cache,
            progress=progress, fmr=fmr, threshold=threshold,
            min_quality=min_quality, same_photo=same_photo,
        )  # fmt: skip
    if gallery is not None:
        result = result.name_from(gallery, fpir)
        gallery.close()
    saved = None
    if to is not None:
        saved = plan_people(result, to, copy) if dry_run else result.save(to, copy)
    if csv is not None:
        write_text(csv, result.to_csv())
    if draw is not None:
        from ..plotting.drawing import save_picture

        save_picture(result.plot(), draw)
    if as_json:
        print_json({**result.to_dict(), "folders": None if saved is None else saved.to_dict()})
    else:
        _show(result)
        if saved is not None:
            for name, photo in saved.entries if dry_run else ():
                show(f"  {name}: {photo}")
            show(str(saved))
    if not result.faces:
        say(f"{folder}: no face found in any photo of this folder; check the folder")
        return 3
    return 0


def _show(result: Clustering) -> None:
    rows = [
        [result.label(person), f"{len(faces):,}", faces[0].photo]
        for person in result.numbers[:LISTED]
        if (faces := result.faces_of(person))
    ]
    if rows:
        print_table(["person", "faces", "first photo"], rows)
    if result.people > LISTED:
        show(f"and {result.people - LISTED:,} more; --csv, --to and --json have all")
    show_list(
        [
            f"to review: {result.label(pair.a)} and {result.label(pair.b)} may be one, score {pair.score:.3f}"
            for pair in result.review
        ],
        "--to and --json have all",
    )
    show_list(
        [
            f"not grouped: {face.photo}, face {face.number}, quality {face.quality:.3f}"
            for face in result.poor
        ],
        "--csv, --to and --json have all",
    )
    show(str(result))


def _check_outside(to: Path, folder: Path) -> None:
    """Refuse a folder below the photos, where the next run would find the links."""
    target, photos = to.absolute(), folder.absolute()
    if photos.resolve() in (target.resolve(), *target.resolve().parents):
        raise UsageError(f"{to}: this is in the folder of the photos; write the people to another folder")
