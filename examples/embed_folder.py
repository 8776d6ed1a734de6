"""Embed a folder of photos once, then list the pairs that are most alike.

python examples/embed_folder.py examples/photos
"""

from __future__ import annotations

import sys
import tempfile
from itertools import combinations
from pathlib import Path

from facealike import FacealikeError, Model, load_embeddings, save_embeddings


def main(folder: str, model_path: str | None = None) -> None:
    photos = sorted(str(path) for path in Path(folder).glob("*.jpg"))
    model = Model.load(model_path)
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "faces.npz"
        save_embeddings(store, model.embed(photos), photos, model)
        # The file names its model: one of another model is refused, not compared.
        vectors, paths = load_embeddings(store, model)
    scores = vectors @ vectors.T  # the rows are unit vectors, so this is the cosine of every pair
    pairs = sorted(combinations(range(len(paths)), 2), key=lambda pair: -scores[pair])
    for a, b in pairs[:10]:
        verdict = "same" if scores[a, b] >= model.threshold else "different"
        print(f"{scores[a, b]:6.3f}  {verdict:<9}  {Path(paths[a]).name}  {Path(paths[b]).name}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: embed_folder.py FOLDER [MODEL]")
    try:
        main(*sys.argv[1:])
    except FacealikeError as error:
        sys.exit(f"embed_folder.py: {error}")
