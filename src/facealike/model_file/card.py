"""The card of a model: what it is, where it comes from, and what it may be used for."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from ..datasets.seen import Seen, read_records
from ..errors import ModelError
from ..utils.json_fields import (
    MAX_TEXT,
    check_lengths,
    check_plain,
    check_types,
    from_dict,
    in_words,
    to_json,
)  # fmt: skip
from ..utils.result import Shown
from .licenses import License, read_licenses


@dataclass(frozen=True, repr=False)
class ModelCard(Shown):
    """The card of a model.

    Attributes:
        name: The model's name.
        created: The date, ISO 8601.
        licence: The license of each part (``code``, ``weights``, ``training_data``, ``detector``), as text.
        data: The training data: folder, fingerprint, counts.
        recipe: The settings of the training run.
        provenance: Command, commit, seed, machine and versions.
        metrics: Results of evaluations, by name.
        identity_salt: The salt of ``identity_hashes``.
        identity_hashes: In older cards the training people, as ``identity_hash(identity_salt, name)``.
        intended_use: What the model is for.
        limits: What it cannot do.
        licences: The licenses of code, weights and training data in a form that a program can check; empty in
            older cards.
        trained_on: The people and photos it was trained on, as salted digests, with those of the model it
            started from, so that an evaluation can refuse an overlap.

    Raises:
        ModelError: A field has a wrong type or is too long.
    """

    name: str
    created: str
    licence: dict[str, str]
    data: dict[str, Any]
    recipe: dict[str, Any]
    provenance: dict[str, Any]
    metrics: dict[str, Any]
    identity_salt: str
    identity_hashes: tuple[str, ...]
    intended_use: str
    limits: str
    licences: dict[str, License] = field(default_factory=dict)
    trained_on: tuple[Seen, ...] = ()

    def __post_init__(self) -> None:
        texts = ("name", "created", "identity_salt", "intended_use", "limits")
        tables = ("licence", "data", "recipe", "provenance", "metrics")
        check_types(self, "card", **dict.fromkeys(texts, str), **dict.fromkeys(tables, dict))
        for table in tables:
            # Through JSON and back: a copy, equal to what a reader of the file will see.
            check_plain(getattr(self, table), f"card: {table}")
            object.__setattr__(self, table, json.loads(to_json(getattr(self, table), f"card: {table}")))
        check_lengths(self, "card", name=200, created=200, identity_salt=200)
        check_lengths(self, "card", intended_use=MAX_TEXT, limits=MAX_TEXT)
        for part, text in self.licence.items():
            if not isinstance(text, str):
                raise ModelError(
                    f"card: the license of {in_words(part)} must be a text, not {in_words(text)}"
                )
        hashes = self.identity_hashes
        if not isinstance(hashes, list | tuple) or not all(isinstance(h, str) for h in hashes):
            raise ModelError("card: identity_hashes must be a list of texts")
        object.__setattr__(self, "identity_hashes", tuple(hashes))
        object.__setattr__(self, "licences", read_licenses(self.licences, "card: licences"))
        object.__setattr__(self, "trained_on", read_records(self.trained_on, "card: trained_on"))

    @cached_property
    def trained_records(self) -> tuple[Seen, ...]:
        """The people the model was trained on: ``trained_on``, and ``identity_hashes`` of an older card."""
        old = [Seen.of_hashes(self.identity_salt, self.identity_hashes)] if self.identity_hashes else []
        return (*old, *self.trained_on)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as a dict for JSON."""
        table = {**asdict(self), "identity_hashes": list(self.identity_hashes)}
        # Left out when empty, so that older cards keep their bytes.
        if not self.licences:
            del table["licences"]
        del table["trained_on"]
        if self.trained_on:
            table["trained_on"] = [record.to_dict() for record in self.trained_on]
        return table

    @classmethod
    def from_dict(cls, values: Any) -> ModelCard:
        """Return the card of a dict made by ``to_dict``; ModelError for an invalid entry."""
        return from_dict(cls, values, "card", ["licences", "trained_on"])

    def __str__(self) -> str:
        licences = ", ".join(f"{part}: {text}" for part, text in self.licence.items())
        return (
            f"{self.name}, made {self.created}\nlicence: {licences}\n"
            f"for: {self.intended_use}\nlimits: {self.limits}"
        )


def new_card(name: str, licences: Mapping[str, License], **entries: Any) -> ModelCard:
    """Return the card of a model made today.

    Args:
        name: The model's name.
        licences: The licenses of its code, weights and training data.
        entries: Further fields of ``ModelCard``.  ``data``, ``recipe``, ``provenance``, ``intended_use`` and
            ``limits`` are required; ``licence`` repeats the names in ``licences`` unless given.

    Raises:
        ModelError: A field has a wrong type or length.
    """
    defaults = {
        "created": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "licence": {part: licence.name for part, licence in licences.items()},
        "metrics": {},
        "identity_salt": "",
        "identity_hashes": (),
    }
    return ModelCard(name=name, licences=dict(licences), **{**defaults, **entries})
