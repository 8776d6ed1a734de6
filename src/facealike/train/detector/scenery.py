"""Sort pictures without people into those to train a detector on and those to measure it on.

    python -m facealike.train.detector.scenery WALLPAPERS --out FOLDER

writes ``FOLDER/train`` and ``FOLDER/test``.  Desktop wallpapers are packaged in many sizes, often as a light
and a dark variant.  One of each is kept, at 1,600 pixels at most, and all variants of a picture are on one
side.  The side is a property of the picture's name, so that more folders never move a picture.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PillowImage

from ...embedding.unused_photos import readable_photos
from ...errors import DataError
from ...utils.atomic_write import write_bytes
from ..command import command_parser, one_sentence_errors
from .command import images_in
from .pictures import SIDE

LARGEST = 1600
SIZE = re.compile(r"\d+x\d+$")
VARIANT = re.compile(r"_\d+x\d+$|-[dl]$")


def picture_name(path: Path) -> str:
    """Return the name that all sizes and variants of a picture share.

    Examples:
        >>> picture_name(Path("wallpapers/Kite/contents/images/1280x800.jpg"))
        'Kite'
        >>> picture_name(Path("backgrounds/gnome/adwaita-d.webp"))
        'adwaita'
    """
    if SIZE.match(path.stem) and len(path.parts) > 3:
        return path.parts[-4]
    return VARIANT.sub("", path.stem)


def side_of(name: str) -> str:
    """Return ``train`` or ``test``, half of all names each."""
    return "train" if hashlib.sha256(name.encode()).digest()[-1] % 2 else "test"


def sort_scenery(paths: Sequence[Path], out: Path) -> dict[str, int]:
    """Write one PNG of each picture into ``out/train`` or ``out/test``; return how many are in each.

    Pictures that cannot be read are left out, with a warning, and so are those smaller than a training
    picture.

    Raises:
        DataError: No picture is left.
    """
    seen: set[str] = set()
    counts = {"train": 0, "test": 0}
    for path, image in readable_photos([path for path in paths if not path.is_symlink()]):
        picture = PillowImage.fromarray(image)
        picture.thumbnail((LARGEST, LARGEST))
        digest = hashlib.sha256(picture.tobytes()).hexdigest()
        if digest in seen or min(picture.size) < SIDE:
            continue
        seen.add(digest)
        name = picture_name(path)
        whole = io.BytesIO()
        picture.save(whole, "PNG", compress_level=1)
        folder = out / side_of(name)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{name}-{digest[:6]}.png", whole.getvalue())
        counts[side_of(name)] += 1
    if not seen:
        raise DataError(f"no picture of {SIDE} pixels or more; check the folders")
    return counts


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of pictures without people")
    parser.add_argument("--out", type=Path, required=True, help="the folders train and test are made here")
    options = parser.parse_args(arguments)
    with one_sentence_errors("scenery"):
        counts = sort_scenery([path for folder in options.folders for path in images_in(folder)], options.out)
    print(f"{options.out}: {counts['train']} for training, {counts['test']} for tests", file=sys.stderr)


if __name__ == "__main__":
    main()
