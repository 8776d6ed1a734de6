"""Find the worst errors of an evaluation, and the crops the model received.

A wrong decision is not always the model's: a photo in the folder of another person, or of the wrong one of
two faces, appears here first.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as PillowImage

from ..detection.face_policy import FacePolicy
from ..embedding.cropper import FaceCropper
from ..errors import FacealikeError
from ..evaluation.scores_file import ScoredPairs
from ..evaluation.verification_result import FAILURE_SCORE
from ..model_file.model_file import ModelFile
from ..types import Image
from ..utils.escape import shown

SIDE = 112  # of a thumbnail, in pixels
QUALITY = 82  # of its JPEG


class Mistake(NamedTuple):
    """A pair with a wrong decision; paths as in the file of scores."""

    a: str
    b: str
    score: float
    same: bool


def hardest_mistakes(scored: ScoredPairs, same: bool, count: int) -> tuple[tuple[Mistake, ...], int]:
    """Return the ``count`` worst errors among the genuine (``same``) or impostor pairs, and their number.

    Worst first.  Each photo appears once: one bad photo is in many bad pairs.  Pairs in which no face was
    found have no score and are left out.  None where the photos are not known.
    """
    if scored.a is None or scored.b is None:
        return (), 0
    scores, truth = scored.evaluation.scores, scored.evaluation.same
    wrong = (truth == same) & ((scores >= scored.evaluation.threshold) != truth) & (scores > FAILURE_SCORE)
    order = np.flatnonzero(wrong)
    order = order[np.argsort(scores[order] if same else -scores[order], kind="stable")]
    chosen: list[Mistake] = []
    used: set[str] = set()
    for i in order.tolist():
        a, b = scored.a[i], scored.b[i]
        if len(chosen) == count:
            break
        if not {a, b} & used:
            used |= {a, b}
            chosen.append(Mistake(a, b, float(scores[i]), same))
    return tuple(chosen), len(order)


def face_thumbnails(
    photos: Iterable[str], root: Path, model: ModelFile, face: FacePolicy,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, bytes]:  # fmt: skip
    """Return the face crop of each photo below ``root`` as a small JPEG.

    Photos that cannot be read or show no face are left out.

    Raises:
        DetectorError: The model's detector cannot run here.
    """
    cropper = FaceCropper.of_file(model)
    names = list(dict.fromkeys(photos))
    crops = {}
    for done, name in enumerate(names, start=1):
        with suppress(FacealikeError):  # reported by the caller
            crops[name] = _jpeg(cropper(root / name, face, shown(name))[0].crop)
        if progress is not None:
            progress(done, len(names))
    return crops


def _jpeg(crop: Image) -> bytes:
    picture = PillowImage.fromarray(crop)
    if picture.width != SIDE:
        picture = picture.resize((SIDE, SIDE), PillowImage.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
