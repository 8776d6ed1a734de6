"""The schema of recipes: a tree of frozen dataclasses that are checked when they are made.

No torch is imported here, so that recipes can be read and checked without it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...detection.face_policy import DEFAULT_FACE
from .names import file_names
from .validate import check

Precision = Literal["auto", "bf16", "32"]


@dataclass(frozen=True)
class DataSpec:
    """``[data]``: which face of a photo is used, and how people are split.

    Args:
        face: Which face of a photo with several.
        split: ``identity`` splits people; ``image`` splits the photos of each person, which leaks people
            into the validation and is for comparison only.
        max_images_per_identity: Photos of one person at most; 0 is no limit.
        unlabeled: A folder of further photos without identity labels.  Each is a class of its own, and the
            card states it.
        weighting: How often the samplers ``images`` and ``mixed`` draw an image of a person with n images:
            1 (``images``), 1/n (``identities``) or 1/sqrt(n) (``root``).
    """

    face: Literal["largest", "central", "only"] = DEFAULT_FACE
    split: Literal["identity", "image"] = "identity"
    max_images_per_identity: int = 0
    unlabeled: str = ""
    weighting: Literal["images", "identities", "root"] = "images"


@dataclass(frozen=True)
class CropSpec:
    """``[crop]``: the detector and the face crop.

    Args:
        size: Side of the crop, 32 to 512 pixels; 0 takes the whole crop of ``network.start``.
        detector: The detector's name or its .onnx file.
        align: ``landmarks`` (ArcFace template), ``chip`` (dlib's template), ``box``, or ``auto``:
            landmarks where the detector has them.
        margin: For ``box``: what is added on each side, relative to the box.
        edge: For ``box``: ``pad`` or ``clip`` what lies outside the photo.
        context: For ``landmarks``: additional surroundings on each side, relative to the crop.
    """

    size: int = 96
    detector: str = "facealike"
    align: Literal["auto", "landmarks", "chip", "box"] = "auto"
    margin: float = 0.2
    edge: Literal["pad", "clip"] = "pad"
    context: float = 0.0


@dataclass(frozen=True)
class NetworkSpec:
    """``[network]``: the architecture, its first weights and its precision after training.

    Args:
        kind: ``resnet``; ``legacy``, the plain CNN of the script that facealike replaces; ``dlib``, which
            begins with dlib's network and weights and keeps their shape and crops; or ``start``, the network
            of ``start`` as it is, to which of these keys only ``bits`` applies.
        widths: Channels of each stage.
        blocks: Residual blocks of each stage after the first.
        dimensions: Dimensions of the embedding.
        dropout: Dropout before the embedding.
        drop_path: How often the last residual block is skipped in training; earlier ones are skipped less
            (``resnet`` only).
        pool: How features become a vector: ``average``, a ``grid`` of 3 x 3 averages, or ``flatten``.
        standardize: Bring each crop to mean 0 and variance 1 first.
        mirror: Average the embeddings of a crop and its mirror image.
        bits: Precision of the weights in the model file: 32, 16 (half the size) or 8 (a quarter).
        branches: Networks side by side, each with its part of ``dimensions`` (``resnet`` only).
        start: The model, by path or name, whose weights training begins with, for ``start`` and, with a
            teacher, for ``resnet``; empty is random weights.
    """

    kind: Literal["resnet", "legacy", "dlib", "start"] = "resnet"
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 1)
    dimensions: int = 128
    dropout: float = 0.3
    drop_path: float = 0.0
    pool: Literal["average", "grid", "flatten"] = "average"
    standardize: bool = False
    mirror: bool = True
    bits: int = 32
    branches: int = 1
    start: str = ""


@dataclass(frozen=True)
class LossSpec:
    """``[loss]``: contrastive, triplet and multi-similarity compare images; the others classify people.

    Args:
        name: The loss.
        margin: A distance (contrastive, triplet), a cosine (cosface), radians (arcface, subcenter-arcface),
            both (adaface), or the cosine between genuine and impostor pairs (multi-similarity).
        scale: Scale of the logits; for multi-similarity the weight of impostor pairs.
        miner: Which pairs or triplets of a batch count: ``all``, the ``hard`` ones, or (triplet) the
            ``semihard`` ones.
        centers: Class vectors per person (subcenter-arcface).
        class_share: Share of the people that each step classifies among: those of its batch and random other
            ones (arcface, cosface, adaface).  Below 1 the class vectors are divided among the processes.
        pair_weight: Weight of a contrastive loss on hard pairs that is added to a classifying loss.
        pair_margin: The margin of that loss, a distance.
        halves: Classify the first half of the embedding and compare the second.
        anchor: With ``network.start``: weight of the mean squared distance of the embeddings from those of
            the start, which limits forgetting; 0 is none.
    """

    name: Literal[
        "contrastive", "triplet", "multi-similarity", "arcface", "cosface", "adaface", "subcenter-arcface"
    ] = "contrastive"
    margin: float = 1.0
    scale: float = 32.0
    miner: Literal["all", "hard", "semihard"] = "all"
    centers: int = 3
    class_share: float = 1.0
    pair_weight: float = 0.0
    pair_margin: float = 1.2
    halves: bool = False
    anchor: float = 0.0

    @property
    def parts(self) -> int:
        """Parts of the embedding that are trained for different losses and weigh the same in a score."""
        return 2 if self.halves else 1


@dataclass(frozen=True)
class SamplerSpec:
    """``[sampler]``: which images form a batch; see ``facealike.train.data.samplers``.

    Args:
        name: The sampler.
        images_per_identity: Images of each person in a batch of ``identities`` and ``mixed``.
        single_share: Share of people with one photo only; negative takes people as they come.
        identity_share: For ``mixed``: share of the batch that is drawn by person.
    """

    name: Literal["pairs", "identities", "images", "mixed"] = "pairs"
    images_per_identity: int = 4
    single_share: float = -1.0
    identity_share: float = 0.5


@dataclass(frozen=True)
class TrainingSpec:
    """``[training]``: the length of a run, its optimizer and its schedule.

    Args:
        epochs: Epochs of the run.
        steps_per_epoch: Steps of an epoch; 0 is one pass of the sampler.
        batch_size: Images per step.
        learning_rate: The largest learning rate of AdamW.
        muon: The largest learning rate of Muon, which then trains the convolutions; 0 is AdamW for all.
        weight_decay: Weight decay of AdamW.
        schedule: ``one-cycle`` or ``constant``.
        warm_up: Share of the steps in which the learning rate rises.
        patience: Epochs without a better validation F1 before training stops; 0 never stops.
        ema: Decay of the exponential moving average of the weights, which is evaluated and exported in
            their place; 0 uses the weights themselves.
        keep: The epoch that is exported.
        precision: ``bf16`` mixed precision, ``32`` bits, or ``auto``: the faster one on this processor.
        sizes: Sides that crops are reduced to, each for an equal share of the steps, ending with
            ``crop.size`` (``resnet`` without flattening only); empty is always ``crop.size``.
    """

    epochs: int = 20
    steps_per_epoch: int = 0
    batch_size: int = 128
    learning_rate: float = 2e-3
    muon: float = 0.0
    weight_decay: float = 0.05
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    warm_up: float = 0.2
    patience: int = 0
    ema: float = 0.0
    keep: Literal["best", "last"] = "best"
    precision: Precision = "auto"
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class AugmentSpec:
    """``[augment]``: augmentation of training images.

    Args:
        flip: Probability of a mirror image.
        rotation: Largest angle, in degrees.
        scale: Largest relative change of size.
        shift: Largest shift, relative to the side.
        bend: Standard deviation of a smooth deformation, relative to the side.
        brightness: Largest relative change.
        contrast: Largest relative change.
        saturation: Largest relative change.
        gray: Probability of a gray image.
        blur: Probability of blur.
        low_resolution: Probability of a reduced resolution.
        cutout: Probability of a hidden rectangle.
        noise: Largest standard deviation of noise, in gray levels.
        mixup: Parameter of the Beta distribution that shares of two mixed images are drawn from, for
            classifying losses; 0 is none.
    """

    flip: float = 0.5
    rotation: float = 10.0
    scale: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    cutout: float = 0.0
    noise: float = 0.0
    mixup: float = 0.0


@dataclass(frozen=True)
class StudentSpec(AugmentSpec):
    """``[student]``: augmentation of the student's input only; the teacher's target stays the same."""

    flip: float = 0.0
    rotation: float = 0.0


@dataclass(frozen=True)
class TeacherSpec:
    """``[teacher]``: reproduce the embeddings of another network; no identity labels are used.

    Args:
        name: The teacher; empty is none, and people are classified or compared.
        aligned: The photos are the teacher's crops already, as FairFace's are dlib's; no detector runs.
        faces: Augmented faces that the teacher embeds for each epoch; 0 is as many as there are photos.
        passes: Passes of the student over them before new ones are made.
        blend: Share of the faces that are blended with another one.
        descriptor_weight: Weight of the squared error of the embeddings.
        distance_weight: Weight of the squared error of the distances between them.
    """

    name: Literal["", "dlib"] = ""
    aligned: bool = False
    faces: int = 0
    passes: int = 1
    blend: float = 0.5
    descriptor_weight: float = 4.0
    distance_weight: float = 8.0


@dataclass(frozen=True)
class CardSpec:
    """``[card]``: what the card of the finished model states.

    Args:
        name: Name of the model; empty is that of the recipe.
        weights_license: License of the weights; programs understand names of the SPDX list ("Apache-2.0").
        data_license: License of the training photos, likewise.
        limits: Known limits of the model.
    """

    name: str = ""
    weights_license: str = "as the trainer of this model states"
    data_license: str = "as the owner of the photos states"
    limits: str = "Accuracy on people unlike those of the training photos, children above all, is not known."


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run, but for the photos.

    Examples:
        >>> recipe = load_recipe("fine-tuned", ["training.epochs=8"])
        >>> recipe.training.epochs
        8

    Args:
        name: Name of the recipe.
        description: One line for the list of recipes.
        seed: Random seed of the run.
        data: See ``DataSpec``.
        crop: See ``CropSpec``.
        network: See ``NetworkSpec``.
        loss: See ``LossSpec``.
        sampler: See ``SamplerSpec``.
        training: See ``TrainingSpec``.
        augment: See ``AugmentSpec``; with a teacher, of what teacher and student both see.
        teacher: See ``TeacherSpec``.
        student: See ``StudentSpec``.
        card: See ``CardSpec``.

    Raises:
        RecipeError: A value is out of range or does not fit another one.
    """

    name: str
    description: str = ""
    seed: int = 0
    data: DataSpec = field(default_factory=DataSpec)
    crop: CropSpec = field(default_factory=CropSpec)
    network: NetworkSpec = field(default_factory=NetworkSpec)
    loss: LossSpec = field(default_factory=LossSpec)
    sampler: SamplerSpec = field(default_factory=SamplerSpec)
    training: TrainingSpec = field(default_factory=TrainingSpec)
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    teacher: TeacherSpec = field(default_factory=TeacherSpec)
    student: StudentSpec = field(default_factory=StudentSpec)
    card: CardSpec = field(default_factory=CardSpec)

    def __post_init__(self) -> None:
        check(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as nested dicts with the keys of run.json and of model cards.

        Some of these keys keep an older spelling (``grey`` for ``gray``); ``recipe_from_dict`` reads both.
        """
        return file_names(asdict(self))
