"""Enroll a person, ask who visitors are, and forget the person.

python examples/identify_visitor.py "Grace Hopper" examples/photos/hopper.jpg \
    examples/photos/hopper-turned.jpg examples/photos/collins.jpg
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from facealike import FacealikeError, Gallery

FPIR = 0.001  # of 1,000 visitors who are not enrolled, one may be taken for somebody who is


def main(name: str, photo: str, *visitors: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # a real gallery stays where you put it
        gallery = Gallery.open(Path(folder) / "people.db")
        print(gallery.enroll(name, [photo]))
        for visitor in visitors:
            try:
                found = gallery.identify(visitor, fpir=FPIR)
            except FacealikeError as error:  # no face in it, or not readable: the other visitors count
                print(f"identify_visitor.py: {error}", file=sys.stderr)
                continue
            for line in found.lines():
                print(line)
        print(f"{name}: forgotten, templates removed: {gallery.forget(name)}")
        gallery.close()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: identify_visitor.py NAME PHOTO VISITOR...")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"identify_visitor.py: {error}")
