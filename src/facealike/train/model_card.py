"""What the card of a trained model says."""

from __future__ import annotations

from dataclasses import dataclass

from ..model_file.licenses import Licence
from ..model_file.model_file import ModelFile
from .recipe.schema import Recipe

INITIALISATION = {"dlib": "dlib's face network (public domain, CC0), dlib_face_recognition_resnet_model_v1"}


INTENDED_USE = (
    "Comparing two photos of consenting people one to one, where a person can overrule the answer. Not for "
    "surveillance, and not for decisions with legal or similar effect without human review."
)


@dataclass(frozen=True, eq=False)
class Begun:
    """What training began with: the model, None for dlib's network; F1 and AUC on the validation people
    before.

    ``kept`` says that no epoch did better, so that the finished model has the weights it began with.
    """

    file: ModelFile | None
    before: dict[str, float]
    kept: bool


def initialisation(recipe: Recipe, begun: Begun | None) -> str:
    """What training began with, and whether its weights were kept, in words."""
    told = INITIALISATION.get(recipe.network.kind, "random; no teacher, no pre-training")
    if begun is not None and begun.file is not None:
        told = weights_of(begun.file)
    if begun is not None and begun.kept:
        told += "; these weights were kept, for no epoch did better on the validation people"
    return told


def weights_of(model: ModelFile) -> str:
    """Whose weights a network begins with, as the card says it."""
    told = model.card.provenance
    before = ", ".join(f"{key} {told[key]}" for key in ("epochs", "seed", "commit") if key in told)
    return f"the weights of model {model.id}" + (f" ({before})" if before else "")


def licences(recipe: Recipe) -> dict[str, Licence]:
    """What the recipe's card says, for programs: known where it names a licence of the SPDX list."""
    card = recipe.card
    named = {"code": "Apache-2.0", "weights": card.weights_licence, "training_data": card.data_licence}
    return {part: Licence.named(name) for part, name in named.items()}
