"""The shape of every evaluator: built from data and options, called on a model, returns a result."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

from ..detection.face_policy import FACE_POLICIES, FacePolicy
from ..embedding.face_model import Model
from ..errors import UsageError
from ..types import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALWAYS_USED = ("face", "cache", "progress", "strict")


class EvaluationKeywords(TypedDict, total=False):
    """The fields of ``EvaluationOptions`` but ``face``, as keyword arguments of ``evaluate_pairs``."""

    allow_overlap: bool
    allow_duplicates: bool
    cache: str | Path | None
    progress: Progress | None
    strict: bool
    threshold: float | None
    skip_missing: bool
    seed: int
    resamples: int


@dataclass(frozen=True)
class EvaluationOptions:
    """What evaluators have in common.  An evaluator refuses an option that it does not use.

    Examples:
        >>> options = EvaluationOptions(face="central", allow_overlap=True)
        >>> result = SplitEvaluator("people", "test", options=options)(Model.load())

    Args:
        face: Which face of a photo is used; None for ``largest``, or ``central`` in LFW View 2.
        allow_overlap: Accept people of the training or calibration, and mark the result as leaked.
        allow_duplicates: Accept a photo that lies in the folders of several people, and count it.
        cache: A folder that keeps the face crops, so that a second run is fast.
        progress: Called with (done, total) photos, once for each pass over them.
        strict: Raise at the first photo that cannot be used, instead of leaving it out.
        threshold: Replaces the threshold of the model.
        skip_missing: Leave pairs without a face out of FAR and FRR too.
        seed: Of whatever is drawn at random: pairs, searches, resamples.
        resamples: Number of bootstrap resamples.

    Raises:
        UsageError: ``face`` is not one of ``largest``, ``central`` and ``only``.
    """

    face: FacePolicy | None = None
    allow_overlap: bool = False
    allow_duplicates: bool = False
    cache: str | Path | None = None
    progress: Progress | None = None
    strict: bool = False
    threshold: float | None = None
    skip_missing: bool = False
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        if self.face is not None and (self.face not in FACE_POLICIES or self.face == "all"):
            raise UsageError(
                "an evaluation or calibration needs one face a photo: largest, central or only, not "
                f"{self.face!r}"
            )

    def check_used(self, user: str, *used: str) -> None:
        """Raise UsageError where an option is set that is neither in ``used`` nor used by every evaluator."""
        for field in fields(self):
            unused = field.name not in (*ALWAYS_USED, *used)
            if unused and getattr(self, field.name) != field.default:
                raise UsageError(f"{user} does not use the option {field.name}; leave it out")


DEFAULT_OPTIONS = EvaluationOptions()


class EvaluationResult(Protocol):
    """The result of an evaluator: its figures by name, ``primary`` naming the one to compare models by."""

    @property
    def metrics(self) -> dict[str, float]: ...
    @property
    def primary(self) -> str: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_markdown(self) -> str: ...
    def plot(self, ax: Axes | None = None) -> Axes: ...


R_co = TypeVar("R_co", bound=EvaluationResult, covariant=True)


class Evaluator(Protocol[R_co]):
    """Built from data, called on a model."""

    def __call__(self, model: Model) -> R_co: ...
