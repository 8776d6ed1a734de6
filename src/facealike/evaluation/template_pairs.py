"""Evaluate pairs of templates of several photos, as IJB-B and IJB-C do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.template_lists import read_template_pairs
from ..detection.face_policy import DEFAULT_FACE
from ..embedding.face_model import Model
from ..imaging.photo_digest import photo_digests
from ..metrics.similarity import paired_cosines
from ..metrics.verification import roc, supported_fmrs
from ..types import Embeddings
from ..utils.escape import markdown, shown
from ..utils.markdown_table import markdown_table
from ..utils.result import Result
from ..utils.wording import rate_text
from .embed_dataset import embed_photos
from .evaluator import DEFAULT_OPTIONS, EvaluationOptions
from .leakage import check_overlap
from .listed_landmarks import embed_at_landmarks
from .verification_result import FAILURE_SCORE, Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class TemplateEvaluation(Result):
    """The result of pairs of templates.

    Examples:
        >>> TemplateEvaluator("IJBC")(Model.load()).tar_at_far[1e-4]

    Args:
        evaluation: The scores of the pairs; one in which a template has no face scores -1.
        templates: The number of templates.
        empty: How many of them have no photo with a face: failures to enroll.
    """

    evaluation: Evaluation
    templates: int
    empty: int

    @cached_property
    def tar_at_far(self) -> dict[float, float]:
        """The share of genuine pairs accepted at each FAR from 0.1 down that the impostor pairs support.

        Over all pairs: one in which a template has no face is rejected.
        """
        of = self.evaluation
        curve = roc(of.scores, of.same)
        return {far: 1 - curve.fnmr_at_fmr(far) for far in supported_fmrs(of.impostor)}

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by name: the TAR at each FAR, and those of ``evaluation``."""
        return {**{f"tar@{far:g}": tar for far, tar in self.tar_at_far.items()}, **self.evaluation.metrics}

    @property
    def primary(self) -> str:
        """The name of the figure to compare models by: the TAR at a FAR of 1e-4, or the lowest above it."""
        return f"tar@{min((far for far in self.tar_at_far if far >= 1e-4), default=0.1):g}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": "templates",
            "templates": self.templates,
            "empty": self.empty,
            "tar_at_far": {f"{far:g}": round(tar, 6) for far, tar in self.tar_at_far.items()},
            "pairs": self.evaluation.to_dict(),
        }

    def to_markdown(self) -> str:
        """Return the TAR at each FAR as a table, with the result below in one sentence."""
        rows = [[rate_text(far), f"{tar:.4f}"] for far, tar in self.tar_at_far.items()]
        return f"{markdown_table(['FAR', 'TAR'], rows, text_columns=())}\n\n{markdown(str(self))}\n"

    def _brief(self) -> str:
        return f"{self.evaluation.name}: {self.templates:,} templates, {self.evaluation.pairs:,} pairs"

    def __str__(self) -> str:
        of = self.evaluation
        tars = ", ".join(f"{tar:.4f} at FAR {rate_text(far)}" for far, tar in self.tar_at_far.items())
        empty = (
            f"; {self.empty:,} templates have no photo with a face (failure to enroll: "
            f"{rate_text(self.empty / self.templates)}), and their pairs count as rejected"
        ) * bool(self.empty)
        seen = "" if of.leaked else "; whether these people took part in training is not known"
        leaked = "; LEAKED: photos of these people took part in training" if of.leaked else seen
        return (
            f"{of.name}: TAR {tars or 'not measured'} on {of.pairs:,} pairs of {self.templates:,} templates "
            f"of {of.photos or 0:,} photos{empty}{leaked}"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the ROC curve of all pairs; see ``Evaluation.plot``."""
        return self.evaluation.plot(ax)


@dataclass(frozen=True)
class TemplateEvaluator:
    """Score the pairs of templates of a folder of IJB-B or IJB-C.

    Photos are aligned by the landmarks of the list ``*_name_5pts_score.txt``, as the field does.  Without it,
    or by a model that aligns boxes, a face is looked for in every photo of ``loose_crop``, and one without a
    face is left out of its template.  The lists have no names, so there are no intervals, and people of the
    training are found by equal photos only.

    Uses the options ``threshold`` and ``allow_overlap``.

    Examples:
        >>> print(TemplateEvaluator("IJBC")(Model.load()))

    Args:
        folder: See ``read_template_pairs``.
        options: See ``EvaluationOptions``.

    Raises:
        DataError: The lists cannot be used.
        FacealikeError: The errors of ``PairEvaluator``.
    """

    folder: str | Path
    options: EvaluationOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        self.options.check_used("TemplateEvaluator", "threshold", "allow_overlap")

    def __call__(self, model: Model) -> TemplateEvaluation:
        """Return the scores of all pairs by ``model``."""
        options = self.options
        face = options.face or DEFAULT_FACE
        limit = model.threshold if options.threshold is None else float(options.threshold)
        listed = read_template_pairs(self.folder)
        photos = list(dict.fromkeys(map(str, listed.photos)))
        digests = photo_digests(photos, progress=options.progress, strict=options.strict)
        # The number of a template is no name, so that only equal photos are found.
        named = dict(zip(map(str, listed.photos), map(str, listed.template.tolist()), strict=True))
        leaked = check_overlap(model.file, photos, options.allow_overlap, digests=digests, named=named)
        place = {photo: i for i, photo in enumerate(photos)}
        given = None
        if listed.landmarks is not None and model.preprocessing.align != "box":
            given = np.zeros((len(photos), 5, 2))
            given[[place[str(photo)] for photo in listed.photos]] = listed.landmarks
        vectors, found, unused = (
            embed_photos(model, photos, face, options.cache, options.progress, options.strict)
            if given is None
            else embed_at_landmarks(model, photos, given, options.progress, options.strict)
        ).or_raise(f"{shown(self.folder)}: no face found in any photo; check the folder")
        rows = np.array([place[str(photo)] for photo in listed.photos], dtype=np.int64)
        used = found[rows]
        templates, there = template_means(
            vectors[rows[used]], listed.template[used], listed.medium[used], int(listed.template.max()) + 1
        )
        compared = there[listed.first] & there[listed.second]
        scores = np.full(len(listed.same), FAILURE_SCORE)
        scores[compared] = paired_cosines(templates, listed.first[compared], listed.second[compared])
        calibration = model.file.calibration
        own = options.threshold is None
        evaluation = Evaluation(
            name=Path(self.folder).resolve().name,
            scores=scores,
            same=listed.same,
            threshold=limit,
            threshold_from=calibration.chosen_on if own else "the caller",
            leaked=leaked,
            failures=int(np.sum(~compared)),
            photos=len(photos),
            missing=int(np.sum(~found)),
            unused=unused,
            face=face if given is None else None,
            learned_faces=calibration.faces if own else (),
        )
        return TemplateEvaluation(evaluation, len(there), int(np.sum(~there)))


def template_means(
    vectors: Embeddings, template: NDArray[np.int64], medium: NDArray[np.int64], count: int
) -> tuple[Embeddings, NDArray[np.bool_]]:
    """Return the unit vector of each template, (count, d), and whether it has one, (count,).

    The mean of the photos of a medium, then the sum over the media, so that a video of a thousand frames
    counts as much as a still.

    Source: ``image2template_feature`` in ``evaluation/IJB`` of InsightFace, without weights by the detector.

    Args:
        vectors: Unit vectors of photos, (n, d).
        template: The template of each, numbered from 0, (n,).
        medium: The medium of each, (n,).
        count: The number of templates.
    """
    both, place, sizes = np.unique(
        np.stack([template, medium], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    media = np.zeros((len(both), vectors.shape[1]))
    np.add.at(media, place.reshape(-1), vectors)
    sums = np.zeros((count, vectors.shape[1]))
    np.add.at(sums, both[:, 0], media / sizes[:, np.newaxis])
    lengths = np.linalg.norm(sums, axis=1)
    there = lengths > 0
    sums[there] /= lengths[there, np.newaxis]
    return sums.astype(np.float32), there
