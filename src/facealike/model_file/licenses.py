"""Licenses in a form that a program can check.

Names are those of the SPDX license list (https://spdx.org/licenses) where it has the license.  Nothing here
is legal advice: ``commercial`` repeats what the text of the license says about commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..errors import LicenseRefused, ModelError
from ..utils.json_fields import checked_table, from_dict, in_words
from ..utils.result import Result

PARTS = ("code", "weights", "training_data")

# Licenses whose text settles the question of commercial use.
COMMERCIAL_BY_SPDX = {
    **dict.fromkeys(
        [
            "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0",
            "ISC", "MIT", "MPL-2.0", "Unlicense", "Zlib",
        ],
        True,
    ),
    **dict.fromkeys(["CC-BY-NC-2.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-ND-4.0"], False),
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class License(Result):
    """The license of one part of a model.

    Attributes:
        name: The license's common name.
        spdx: Its identifier in the SPDX list, or None.
        commercial: Whether commercial use is allowed; None if that is not certain.
        source: Where it is stated.

    Raises:
        ModelError: A value has another type.
    """

    ASK: ClassVar[str] = "ask .commercial, which is None if that is not certain"

    name: str
    spdx: str | None = None
    commercial: bool | None = None
    source: str = ""

    def __post_init__(self) -> None:
        nothing = type(None)
        kinds = {"name": (str,), "spdx": (str, nothing), "commercial": (bool, nothing), "source": (str,)}
        for field, allowed in kinds.items():
            if not isinstance(getattr(self, field), allowed):
                raise ModelError(f"licence: {field} must not be {in_words(getattr(self, field))}")

    @classmethod
    def named(cls, name: str, source: str = "") -> License:
        """Return the license of this name; ``commercial`` is known for some SPDX identifiers."""
        known = {spdx.lower(): spdx for spdx in COMMERCIAL_BY_SPDX}.get(name.strip().lower())
        return cls(known or name.strip(), known, COMMERCIAL_BY_SPDX.get(known or ""), source)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        use = {True: "commercial use allowed", False: "no commercial use", None: "commercial use not stated"}
        return f"{self.name} ({use[self.commercial]})"


def read_licenses(values: Any, what: str) -> dict[str, License]:
    """Return the licenses of the parts of a model from a dict of dicts; ModelError for an invalid one."""
    table = checked_table(values, what)
    unknown = sorted(set(table) - set(PARTS))
    if unknown:
        raise ModelError(f"{what}: the parts are {', '.join(PARTS)}, not {in_words(', '.join(unknown))}")
    return {
        part: entry
        if isinstance(entry, License)
        else from_dict(License, entry, f"{what}: {part}", ("spdx", "commercial", "source"))
        for part, entry in table.items()
    }


def check_commercial(licences: Mapping[str, License], name: str) -> None:
    """Check that the code and weights of a model surely allow commercial use.

    The training data do not decide: whether their terms extend to the weights is disputed.  The card states
    them separately.

    Raises:
        LicenseRefused: They forbid it, or it is not certain.
    """
    for part in ("weights", "code"):
        licence = licences.get(part)
        if licence is not None and licence.commercial is False:
            raise LicenseRefused(
                f"{name}: the license of its {part} ({licence.name}) allows no commercial use; choose "
                "another model, or leave out --commercial-only"
            )
    weights = licences.get("weights")
    if weights is None or weights.commercial is None:
        stated = "nothing" if weights is None else weights.name
        raise LicenseRefused(
            f"{name}: its weights state no license that surely allows commercial use ({stated}); name it "
            "with --license, or leave out --commercial-only"
        )
