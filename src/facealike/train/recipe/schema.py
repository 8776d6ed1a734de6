"""Recipes: everything that decides what a training run does, with no unknown keys.

A recipe is a tree of frozen dataclasses, checked when it is made. No torch is imported here.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...detection.face_policy import DEFAULT_FACE
from .validate import check

if sys.version_info >= (3, 11):
    pass
else:
    pass


Precision = Literal["auto", "bf16", "32"]


@dataclass(frozen=True)
class DataSpec:
    """``[data]``: which face of a photo, how people are split, how many images of one person.

    ``unlabelled``: a folder of further photos, of people nobody has named: each is taken for a person
    of its own, and the card says so.  ``weighting``: how often an image of a person with n images is
    drawn by the samplers ``images`` and ``mixed``: 1 (``images``), 1/n (``identities``: all people
    equally often) or 1/sqrt(n) (``root``).
    """

    face: Literal["largest", "central", "only"] = DEFAULT_FACE
    split: Literal["identity", "image"] = "identity"
    max_images_per_identity: int = 0
    unlabelled: str = ""
    weighting: Literal["images", "identities", "root"] = "images"


@dataclass(frozen=True)
class CropSpec:
    """``[crop]``: the detector and the canonical crop; ``align = "auto"`` uses landmarks if there are any;
    ``chip`` is dlib's own way of cropping by them.

    ``context``: how much more of the surroundings a crop by landmarks shows on each side, as a part of
    the usual crop's; ``margin`` and ``edge`` are for crops by the box.
    """

    size: int = 96
    detector: str = "facealike"
    align: Literal["auto", "landmarks", "chip", "box"] = "auto"
    margin: float = 0.2
    edge: Literal["pad", "clip"] = "pad"
    context: float = 0.0


@dataclass(frozen=True)
class NetworkSpec:
    """``[network]``: see ``train/network.py``.  ``mirror`` averages a face and its mirror image.

    ``kind = "dlib"`` begins from dlib's network and its weights, whose shape and crops it keeps.
    ``bits``: 32, 16 (half the file) or 8 (a quarter of it, and of the time), which the weights get after
    training.  ``drop_path``: how often the last residual block is skipped in training, and earlier ones
    less (resnet only).  ``standardise``: each crop is brought to mean 0 and variance 1 first.
    ``branches``: so many bodies side by side, each for its part of ``dimensions`` (resnet only).
    ``start``: the model, by its path or name, whose weights training begins with; empty is random ones.
    """

    kind: Literal["resnet", "seed", "dlib"] = "resnet"
    widths: tuple[int, ...] = (32, 64, 128, 256)
    blocks: tuple[int, ...] = (1, 1, 1)
    dimensions: int = 128
    dropout: float = 0.3
    drop_path: float = 0.0
    pool: Literal["average", "grid", "flatten"] = "average"
    standardise: bool = False
    mirror: bool = True
    bits: int = 32
    branches: int = 1
    start: str = ""


@dataclass(frozen=True)
class LossSpec:
    """``[loss]``: contrastive, triplet and multi-similarity compare images, the others classify people.

    ``margin``: a distance (contrastive, triplet), a cosine (cosface), radians (arcface,
    subcentre-arcface), both of them (adaface), or the cosine that parts the same from different
    people (multi-similarity, whose ``scale`` weighs the latter).  ``scale``: of the logits of losses
    that classify.  ``centres``: vectors for each person of subcentre-arcface.  ``miner``: which pairs
    or triplets of a batch count: ``all``, only the ``hard`` ones, or (triplet) the ``semihard`` ones.
    ``pair_weight``: how much of a contrastive loss on the hard pairs of the batch is added to a loss
    that classifies; ``pair_margin`` is the distance it asks for between two people.  ``halves``: the
    first half of the embedding is classified and the second compared, so that each learns its own.
    ``anchor``: with ``network.start``, the weight of the mean squared distance of outputs from those of the
    start, so that what it knew is not forgotten; 0 is none.
    """

    name: Literal[
        "contrastive", "triplet", "multi-similarity", "arcface", "cosface", "adaface", "subcentre-arcface"
    ] = "contrastive"
    margin: float = 1.0
    scale: float = 32.0
    miner: Literal["all", "hard", "semihard"] = "all"
    centres: int = 3
    pair_weight: float = 0.0
    pair_margin: float = 1.2
    halves: bool = False
    anchor: float = 0.0

    @property
    def parts(self) -> int:
        """Parts of the embedding that were trained for different ends, and weigh the same in a score."""
        return 2 if self.halves else 1


@dataclass(frozen=True)
class SamplerSpec:
    """``[sampler]``: see ``sampling.py``.

    ``single_share`` < 0 takes people as they come.  ``mixed`` draws ``identity_share`` of a batch by
    people and the rest by images.
    """

    name: Literal["pairs", "identities", "images", "mixed"] = "pairs"
    images_per_identity: int = 4
    single_share: float = -1.0
    identity_share: float = 0.5


@dataclass(frozen=True)
class TrainingSpec:
    """``[training]``: the schedule.  ``steps_per_epoch = 0`` is one pass of the sampler.

    ``patience``: epochs without a better F1 on unseen people before training stops; 0 never stops.
    ``ema``: decay of a running average of the weights that is validated and exported in their place;
    0 takes the weights as they are.  ``keep``: the epoch that the model is made of.  ``sizes``: sides
    that the crops are shrunk to, each for an equal part of the steps, ending with ``crop.size``: early
    steps on small crops cost less (kind "resnet" without flattening only); empty is never.  ``muon``:
    the learning rate of Muon, which trains the convolutions then, and AdamW the rest; 0 is AdamW for all.
    ``precision``: bfloat16 beside float32, float32 alone, or whichever the processor is faster in.
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
    """``[augment]``: how strongly training images are changed.

    flip: probability of a mirror image.  rotation: degrees to either side.  scale: largest relative
    change of size.  shift: largest shift as a part of the side.  bend: standard deviation of a smooth
    deformation, as a part of the side.  brightness, contrast, saturation: largest relative change.
    grey, blur, low_resolution, cutout: probabilities.  noise: largest standard deviation in grey levels.
    mixup: two images of a batch are laid over each other, their shares drawn from Beta(mixup, mixup), for
    losses that classify (0: never).
    """

    flip: float = 0.5
    rotation: float = 10.0
    scale: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    cutout: float = 0.0
    noise: float = 0.0
    mixup: float = 0.0


@dataclass(frozen=True)
class StudentSpec(AugmentSpec):
    """``[student]``: what is changed behind the teacher's back; its verdict is to hold all the same."""

    flip: float = 0.0
    rotation: float = 0.0


@dataclass(frozen=True)
class TeacherSpec:
    """``[teacher]``: learn what another network says of faces, not who they are; see ``distillation.py``.

    ``name``: the teacher; empty is none, and people are learnt.  ``aligned``: the photos are the teacher's
    own crops already, as FairFace's are of dlib; no detector looks at them.  ``faces``: how many changed
    faces it describes for each epoch (0: as many as there are photos).  ``passes``: how often the student
    sees each of them before new ones are made.  ``blend``: share of faces that are laid over another one.
    ``descriptor_weight`` and ``distance_weight``: of the squared error of the descriptors, and of the
    distances between them.
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
    """``[card]``: what the finished model says of itself; only its owner can know the licences.

    A licence that is named as the SPDX list names it ("Apache-2.0") is understood by programs, too.
    """

    name: str = ""
    weights_licence: str = "as the trainer of this model states"
    data_licence: str = "as the owner of the photos states"
    limits: str = "Accuracy on people unlike those of the training photos, children above all, is not known."


@dataclass(frozen=True)
class Recipe:
    """One training run, but for the photos and the machine.

    With a teacher, ``augment`` changes what teacher and student both see, and ``student`` what the
    student alone sees.
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
        return asdict(self)
