"""Embed many photos, few of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from ..detection.face_policy import DEFAULT_FACE, FacePolicy
from ..errors import FacealikeError
from ..types import Embeddings, Face, Image
from ..utils.escape import shown
from .batching import in_batches
from .cropper import cut_all
from .face_model import MANY, Model


def embed_stream(
    model: Model,
    paths: Sequence[Path],
    face: FacePolicy = DEFAULT_FACE,
    aligned: bool = False,
    batch: int = 64,
    failed: Callable[[Path, FacealikeError], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> Iterator[tuple[list[Path], list[Face | None], Embeddings]]:
    """Embed many photos a batch at a time: the paths, the faces and their unit vectors, in order.

    With ``face="all"`` a photo gives as many rows as it has faces.  A photo that fails is handed to
    ``failed`` with its error and left out; without ``failed`` the error is raised.  ``progress`` is
    told how many photos are cut, of how many.  Both are called by the caller's thread, in order.

    ``threads`` None takes one a core, 1 does all in the caller's thread; see ``facealike.embedding.cropper``.
    They end when the stream ends, fails or is closed.
    """

    many = len(paths) >= MANY

    def crops() -> Iterator[tuple[tuple[Path, Face | None], Image]]:
        named = ((path, shown(path)) for path in paths)
        with closing(cut_all(model.cutter(aligned, many), named, face, threads)) as photos:
            for done, (path, cuts) in enumerate(zip(paths, photos, strict=True), start=1):
                if isinstance(cuts, FacealikeError):
                    if failed is None:
                        raise cuts
                    failed(path, cuts)
                    cuts = []
                if progress is not None:
                    progress(done, len(paths))
                yield from (((path, cut.face), cut.crop) for cut in cuts)

    embed = model.embed_many if many else model.embed_crops
    with closing(in_batches(embed, crops(), batch, threads)) as batches:
        for keys, vectors in batches:
            yield [path for path, _ in keys], [found for _, found in keys], vectors
