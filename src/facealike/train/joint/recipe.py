"""The recipe of a joint run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import UsageError
from .groups import GROUP
from .student import StudentChanges
from .views import ViewSpec, file_keys


@dataclass(frozen=True)
class JointRecipe:
    """The length of a joint run and its rates.

    Args:
        dimensions: Dimensions of the branch's embedding.
        rounds: Rounds of targets to store.
        copies: Stored maps of each view, augmented differently.
        steps: Steps of the whole run.
        batch: Faces per step: a multiple of ``GROUP``, or fewer, which are one group.
        rate: The largest learning rate of AdamW.
        muon: The largest learning rate of Muon; 0 is AdamW for all.
        last: The largest learning rate of the last layer.
        decay: Weight decay.
        similarity: Weight of the similarities of all pairs in the loss.
        local: Weight of the similarities within groups of near faces.
        climb: Steps of the warm-up.
        fall: Share of the steps, at the end, in which the rates fall.
        average: Decay of the exponential moving average (EMA) of the weights.
        seed: Random seed.
        jitter: Largest rotation (degrees), scale and shift of the student's crops.
        views: See ``ViewSpec``.
        changes: Augmentation of the student's crops.

    Raises:
        UsageError: The batch is not made of whole groups.
    """

    dimensions: int = 88  # 128 miss 0.1 % fewer genuine pairs, in a model of more than 10 MB
    rounds: int = 8
    copies: int = 2
    steps: int = 20_000
    batch: int = 192
    rate: float = 1e-4
    muon: float = 1e-3  # 0.01 undoes the start: the loss rose from 0.37 to 0.50 in 50 steps
    last: float = 5e-6  # 6,144 inputs move each output: 1e-4 undoes the least-squares fit in 20 steps
    decay: float = 0.02
    similarity: float = 20.0
    local: float = 20.0
    climb: int = 100
    fall: float = 0.5
    average: float = 0.998
    seed: int = 0
    jitter: tuple[float, float, float] = (4.0, 0.05, 0.02)
    views: ViewSpec = field(default_factory=ViewSpec)
    changes: StudentChanges = field(default_factory=StudentChanges)

    def __post_init__(self) -> None:
        if self.batch < 2 or self.batch % self.group:
            raise UsageError(f"--batch: a multiple of {GROUP}, or a smaller number, not {self.batch}")

    @property
    def group(self) -> int:
        """Faces in a group of near ones."""
        return max(1, min(GROUP, self.batch))

    def to_dict(self) -> dict[str, Any]:
        """Return the fields with the keys of state.pt and of the model card."""
        table = asdict(self)
        changes = {**table["changes"], "augment": file_keys(table["changes"]["augment"])}
        return {**table, "views": file_keys(table["views"]), "changes": changes}

    def factor_at(self, step: int) -> float:
        """Return the factor of the rates in a step, counted from 0."""
        left = min(1.0, (self.steps - step) / max(1.0, self.steps * self.fall))
        return min(1.0, (step + 1) / self.climb) * (0.01 + 0.99 * left)
