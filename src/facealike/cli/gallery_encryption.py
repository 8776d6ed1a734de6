"""``facealike gallery new-key``, ``encrypt``, ``decrypt`` and ``rekey``: encryption of a gallery's file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import command, print_json, show
from .gallery import GalleryArgument
from .options import JsonOption, KeyFileOption, check_folder


@command
def new_key(
    out: Annotated[
        Path, typer.Argument(metavar="FILE", show_default=False, help="The new file; keep it safe.")
    ],
    as_json: JsonOption = False,
) -> int:
    """Write a new random key to a file that only its owner can read.

    Without its key no one can read an encrypted gallery again.  Exit code: 0, or 2 on an error.
    """
    from ..gallery.gallery_key import write_new_key

    check_folder(out)
    write_new_key(out)
    if as_json:
        print_json({"out": str(out)})
    else:
        show(f"{out}: a new key; keep a copy apart from the gallery")
    return 0


@command
def encrypt(gallery: GalleryArgument, key_file: KeyFileOption = None, as_json: JsonOption = False) -> int:
    """Encrypt a gallery in place; from then on every command needs its key.

    No other process may use the gallery meanwhile.  Needs facealike[encryption].

    Exit code: 0, or 2 on an error.
    """
    from ..gallery.encryption import encrypt_gallery

    return _report("encrypted", gallery, encrypt_gallery(gallery, key_file), as_json)


@command
def decrypt(gallery: GalleryArgument, key_file: KeyFileOption = None, as_json: JsonOption = False) -> int:
    """Decrypt a gallery in place.  Exit code: 0, or 2 on an error."""
    from ..gallery.encryption import decrypt_gallery

    return _report("decrypted", gallery, decrypt_gallery(gallery, key_file), as_json)


@command
def rekey(
    gallery: GalleryArgument,
    new_key_file: Annotated[
        Path,
        typer.Option("--new-key-file", metavar="FILE", show_default=False, help="The file of the new key."),
    ],
    key_file: KeyFileOption = None,
    as_json: JsonOption = False,
) -> int:
    """Encrypt a gallery anew with another key; a crash leaves it whole, with the old key or the new one.

    Exit code: 0, or 2 on an error.
    """
    from ..gallery.encryption import rekey_gallery

    return _report("encrypted anew", gallery, rekey_gallery(gallery, new_key_file, key_file), as_json)


def _report(done: str, gallery: str, count: int, as_json: bool) -> int:
    if as_json:
        print_json({"gallery": gallery, "done": done, "templates": count})
    else:
        show(f"{gallery}: {done}, {count:,} {'template' if count == 1 else 'templates'}")
    return 0
