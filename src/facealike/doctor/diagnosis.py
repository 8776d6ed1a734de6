"""What an examination of the installation found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..utils.result import Shown


@dataclass(frozen=True, repr=False)
class Finding(Shown):
    """One thing that was examined.

    Attributes:
        name: What was examined.
        value: What was found.
        problem: What is wrong with it; None where nothing is.
        cure: What to do about it.
    """

    name: str
    value: str
    problem: str | None = None
    cure: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.name}: {self.value if self.problem is None else f'{self.problem}; {self.cure}'}"


@dataclass(frozen=True, repr=False)
class Diagnosis(Shown):
    """Everything that was examined; true where there is no problem.

    Examples:
        >>> for each in diagnose().problems:
        ...     print(each.problem, each.cure)
    """

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings with a problem."""
        return tuple(each for each in self.findings if each.problem is not None)

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return not self.problems

    def __bool__(self) -> bool:
        """Return ``healthy``."""
        return self.healthy

    def to_dict(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "findings": [each.to_dict() for each in self.findings]}

    def __str__(self) -> str:
        count = len(self.problems)
        found = "no problem" if not count else "1 problem" if count == 1 else f"{count} problems"
        return f"{len(self.findings)} things examined, {found}"
