"""What a licence allows, in a form that a program can check.

Names are those of the SPDX licence list (https://spdx.org/licenses) where it has the licence.  Nothing
here is legal advice: ``commercial`` repeats what the licence's own text says about commercial use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..errors import LicenceRefused, ModelError
from ..utils.json_fields import checked_table, from_dict, in_words
from ..utils.result import Result

PARTS = ("code", "weights", "training_data")

# Licences whose text settles the question; any other one is for its reader to judge.
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
class Licence(Result):
    """The licence of one part of a model.

    ``name`` is what people call it, ``spdx`` its identifier in the SPDX list, None where it has none.
    ``commercial`` says whether commercial use is allowed, None where nobody can say for certain.
    ``source`` is where it is stated.  Raises ModelError for values of another type.
    """

    ASK: ClassVar[str] = "ask .commercial, which is None where nobody can say"

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
    def named(cls, name: str, source: str = "") -> Licence:
        """The licence that people call ``name``; whether it is commercial is known for some of SPDX."""
        known = {spdx.lower(): spdx for spdx in COMMERCIAL_BY_SPDX}.get(name.strip().lower())
        return cls(known or name.strip(), known, COMMERCIAL_BY_SPDX.get(known or ""), source)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        use = {True: "commercial use allowed", False: "no commercial use", None: "commercial use not stated"}
        return f"{self.name} ({use[self.commercial]})"


def read_licences(values: Any, what: str) -> dict[str, Licence]:
    """The licences of the parts of a model, from a table of tables; ModelError for a senseless one."""
    table = checked_table(values, what)
    unknown = sorted(set(table) - set(PARTS))
    if unknown:
        raise ModelError(f"{what}: the parts are {', '.join(PARTS)}, not {in_words(', '.join(unknown))}")
    return {
        part: entry
        if isinstance(entry, Licence)
        else from_dict(Licence, entry, f"{what}: {part}", ("spdx", "commercial", "source"))
        for part, entry in table.items()
    }


def check_commercial(licences: Mapping[str, Licence], name: str) -> None:
    """Refuse a model whose code or weights may not be used commercially, or of which nobody knows.

    The training data do not decide: whether their terms reach the weights is disputed, and the card
    states them beside.  Raises LicenceRefused, naming the licence.
    """
    for part in ("weights", "code"):
        licence = licences.get(part)
        if licence is not None and licence.commercial is False:
            raise LicenceRefused(
                f"{name}: the licence of its {part} ({licence.name}) allows no commercial use; choose "
                "another model, or leave out --commercial-only"
            )
    weights = licences.get("weights")
    if weights is None or weights.commercial is None:
        told = "nothing" if weights is None else weights.name
        raise LicenceRefused(
            f"{name}: its weights state no licence that surely allows commercial use ({told}); name it with "
            "--licence, or leave out --commercial-only"
        )
