"""Make the photos in examples/photos from those that Matplotlib and scikit-image ship.

    pip install "facealike[train,dev]"
    python examples/make_photos.py [FOLDER]

Both originals are in the public domain; examples/photos/ORIGIN.md tells where they come from.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import cbook
from PIL import Image, ImageEnhance
from skimage import data

from facealike import DlibDetector, Face, read_image


def turned(photo: Image.Image) -> Image.Image:
    """A poor second copy: 8 degrees off, its black corners cut away, darker and smaller."""
    width, height = photo.size
    rotated = photo.rotate(8, Image.Resampling.BICUBIC)
    inner = rotated.crop((width // 10, height // 10, width - width // 10, height - height // 10))
    return ImageEnhance.Brightness(inner).enhance(0.55).resize((320, 375), Image.Resampling.LANCZOS)


def the_face(path: Path) -> Face:
    """The one face in a photo; the examples would be worth little if it were not there to be found."""
    faces = DlibDetector().detect(read_image(path))
    if len(faces) != 1:
        raise SystemExit(f"{path}: {len(faces)} faces found where there is one")
    return faces[0]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    hopper = Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    (folder / "hopper.jpg").write_bytes(hopper.read_bytes())
    # Head and shoulders only: once a JPEG has coarsened the folds of the suit, dlib sees a face in
    # them too.
    portrait = Image.fromarray(data.astronaut()).crop((60, 0, 380, 400))
    portrait.save(folder / "collins.jpg", quality=92)
    turned(Image.open(hopper)).save(folder / "hopper-turned.jpg", quality=35)
    for path in sorted(folder.glob("*.jpg")):
        print(f"{path}: {the_face(path)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "photos")
