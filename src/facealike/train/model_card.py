"""Texts of the card of a trained model."""

from __future__ import annotations

from dataclasses import dataclass

from ..model_file.licenses import License
from ..model_file.model_file import ModelFile
from .recipe.schema import CardSpec, Recipe

INITIAL_WEIGHTS = {"dlib": "dlib's face network (public domain, CC0), dlib_face_recognition_resnet_model_v1"}


INTENDED_USE = (
    "Comparing two photos of consenting people one to one, where a person can overrule the answer. Not for "
    "surveillance, and not for decisions with legal or similar effect without human review."
)


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """The weights that training began with.

    Args:
        file: The model; None for dlib's network.
        metrics: F1 and AUC on the validation people before training.
        kept: No epoch was better, so that the finished model has these weights.
    """

    file: ModelFile | None
    metrics: dict[str, float]
    kept: bool


def initialization(recipe: Recipe, initial: InitialWeights | None) -> str:
    """Return in words what training began with and whether its weights were kept."""
    text = INITIAL_WEIGHTS.get(recipe.network.kind, "random; no teacher, no pre-training")
    if initial is not None and initial.file is not None:
        text = weights_of(initial.file)
    if initial is not None and initial.kept:
        text += "; these weights were kept, for no epoch did better on the validation people"
    return text


def weights_of(model: ModelFile) -> str:
    """Return the card's text for a network that begins with the weights of ``model``."""
    known = model.card.provenance
    before = ", ".join(f"{key} {known[key]}" for key in ("epochs", "seed", "commit") if key in known)
    return f"the weights of model {model.id}" + (f" ({before})" if before else "")


def license_names(recipe: Recipe, initial: InitialWeights | None = None) -> dict[str, str]:
    """Return the names of the licenses of a model's parts, as the recipe's card states them.

    Where it states the trainer's own terms only, those of the model that training began with are added.
    """
    card, unstated = recipe.card, CardSpec()
    named = {"code": "Apache-2.0", "weights": card.weights_license, "training_data": card.data_license}
    if initial is not None and initial.file is not None:
        before = initial.file.card.licence
        for part, trainers in (
            ("weights", unstated.weights_license),
            ("training_data", unstated.data_license),
        ):
            if named[part] == trainers:
                named[part] += f"; of the model it began with: {before.get(part, 'not stated')}"
    return named


def licenses(recipe: Recipe, initial: InitialWeights | None = None) -> dict[str, License]:
    """Return the licenses of ``license_names``; those of the SPDX list are understood by programs."""
    return {part: License.named(name) for part, name in license_names(recipe, initial).items()}
