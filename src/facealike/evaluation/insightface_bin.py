"""Evaluate verification on a ``.bin`` file of InsightFace, whose images are aligned crops."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..datasets.insightface_bin import unpack_pairs
from ..detection.template_face import TemplateFace
from ..embedding.face_model import Model
from .evaluator import DEFAULT_OPTIONS, EvaluationOptions
from .verification import PairEvaluator
from .verification_result import Evaluation


@dataclass(frozen=True)
class BinEvaluator:
    """Score the pairs of a ``.bin`` file of InsightFace.

    No face is looked for: each image is taken for a crop aligned to ArcFace's template, from which the model
    makes its own.  The file does not say who is on the photos, so there are no intervals, and whether these
    people took part in training is not known.  ``fold_accuracy`` is the figure that papers quote.

    Examples:
        >>> BinEvaluator("agedb_30.bin")(Model.load()).auc

    Args:
        file: The file.
        options: Those of ``PairEvaluator``.

    Raises:
        DataError: It is no such file.
        FacealikeError: The errors of ``PairEvaluator``.
    """

    file: str | Path
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __call__(self, model: Model) -> Evaluation:
        """Return the scores of all pairs by ``model``."""
        with tempfile.TemporaryDirectory(prefix="facealike-") as folder:
            pairs = unpack_pairs(Path(self.file), Path(folder))
            return PairEvaluator(pairs, Path(self.file).stem, self.options)(model.behind(TemplateFace()))
