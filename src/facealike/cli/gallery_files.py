"""``facealike gallery compact``, ``export`` and ``import``: the file of a gallery, and portable copies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..gallery.store_url import is_url
from .console import command, print_json, show
from .gallery import GalleryArgument, open_any, open_gallery
from .options import JsonOption, KeyFileOption, ModelOption, check_folder, check_there


@command
def compact(gallery: GalleryArgument, key_file: KeyFileOption = None, as_json: JsonOption = False) -> int:
    """Rewrite the file without the space that forgotten people have left.

    Exit code: 0, or 2 on an error.
    """
    freed = open_any(gallery, key_file=key_file).compact()
    if as_json:
        print_json({"gallery": str(gallery), "freed": freed})
    else:
        show(f"{gallery}: {freed:,} bytes freed")
    return 0


@command
def export(
    gallery: GalleryArgument,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Where to write.")
    ],
    plain: Annotated[
        bool, typer.Option("--plain", help="Also write what an encrypted gallery holds, in plain text.")
    ] = False,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write people, templates and corrections to one portable file of JSON lines.

    With a FILE that ends with .parquet, write a table of the templates, without corrections.
    The file is not encrypted: of an encrypted gallery it is written only with --plain.

    Exit code: 0, or 2 on an error.
    """
    opened = open_any(gallery, key_file=key_file)
    check_folder(out)
    if not is_url(gallery) and out.exists() and out.samefile(gallery):
        raise UsageError(f"{out}: this is the gallery itself; give another file")
    count = opened.export(out, plain)
    if as_json:
        print_json({"out": str(out), "model": opened.store.model_id, "templates": count})
    else:
        show(f"{out}: {count:,} {'template' if count == 1 else 'templates'} of model {opened.store.model_id}")
    return 0


@command
def import_(
    gallery: GalleryArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", show_default=False, help="What facealike gallery export has written."),
    ],
    model: ModelOption = None,
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Add an exported gallery, all of it or nothing; the gallery is made if there is none.

    Photos that are enrolled already are skipped, and so are those that a correction excludes.

    Exit code: 0, or 2 on an error, such as embeddings of another model.
    """
    check_there(file)
    result = open_gallery(gallery, model, key_file, new=True).import_(file)
    if as_json:
        print_json(result.to_dict())
    else:
        show(str(result))
    return 0
