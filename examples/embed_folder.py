"""Embed a folder of photos once, then list the pairs that are most alike.

The photos may lie in folders of their own, one a person: FOLDER/NAME/1.jpg.

python examples/embed_folder.py examples/photos
"""

from __future__ import annotations

import sys
import tempfile
from heapq import nlargest
from itertools import combinations
from pathlib import Path

import numpy as np

from facealike import FacealikeError, Model, load_embeddings, save_embeddings


def main(folder: str, model_path: str | None = None) -> None:
    # Photos in the folder itself, and in folders below it such as NAME/1.jpg.
    photos = sorted(
        str(path) for path in Path(folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    )
    model = Model.load(model_path)
    faces, found = [], []
    for row in model.stream(photos):
        if row.reason is None:
            faces.append(row.faces[0].embedding)
            found.append(row.photo)
        else:  # no face in it, or not readable: the others count
            print(f"embed_folder.py: {row.reason}", file=sys.stderr)
    if len(found) < 2:
        sys.exit(f"embed_folder.py: {folder}: fewer than two photos with a face in this folder")
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "faces.npz"
        save_embeddings(store, np.stack(faces), found, model)
        # The file names its model: one of another model is refused, not compared.
        vectors, paths = load_embeddings(store, model)
    scores = vectors @ vectors.T  # the rows are unit vectors, so this is the cosine of every pair
    pairs = nlargest(10, combinations(range(len(paths)), 2), key=lambda pair: scores[pair])

    def name(path: str) -> str:
        return str(Path(path).relative_to(folder))

    for a, b in pairs:
        verdict = "same" if scores[a, b] >= model.threshold else "different"
        print(f"{scores[a, b]:6.3f}  {verdict:<9}  {name(paths[a])}  {name(paths[b])}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: embed_folder.py FOLDER [MODEL]")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"embed_folder.py: {error}")
