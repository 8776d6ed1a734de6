"""Check the values of a recipe and their combinations; each message names the key."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from ...errors import RecipeError

if TYPE_CHECKING:
    from .schema import Recipe

# Losses that classify people, and the miners of each loss.
CLASSIFYING = ("arcface", "cosface", "adaface", "subcenter-arcface")
SAMPLED = ("arcface", "cosface", "adaface")  # may classify among a sample of the people
MINERS = {
    "contrastive": ("all", "hard"), "triplet": ("all", "hard", "semihard"),
    "multi-similarity": ("all", "hard"), **dict.fromkeys(CLASSIFYING, ("all",)),
}  # fmt: skip
_AUGMENT_LIMITS = {"bend": 0.2, "rotation": 180.0, "noise": 255.0}  # the others are at most 1


def check(recipe: Recipe) -> None:
    """Raise RecipeError for the first value that is out of range or does not fit another.

    Args:
        recipe: The recipe; its types are right already.
    """
    _require(recipe.seed >= 0, "seed", "must not be negative")
    if recipe.crop.size or recipe.network.kind != "start":
        _require(32 <= recipe.crop.size <= 512, "crop.size", "must lie between 32 and 512")
    _require(0 <= recipe.crop.margin <= 2, "crop.margin", "must lie between 0 and 2")
    _require(0 <= recipe.crop.context <= 2, "crop.context", "must lie between 0 and 2")
    _require(
        recipe.crop.context == 0 or recipe.crop.align in ("auto", "landmarks"),
        "crop.context",
        "fits align = 'landmarks' only",
    )
    _require(recipe.data.max_images_per_identity >= 0, "data.max_images_per_identity", "must not be negative")
    _require(
        recipe.data.weighting == "images" or recipe.sampler.name in ("images", "mixed"),
        "data.weighting", "fits sampler.name = 'images' or 'mixed' only",
    )  # fmt: skip
    net = recipe.network
    _require(2 <= net.dimensions <= 4096, "network.dimensions", "must lie between 2 and 4096")
    _require(0 <= net.dropout < 1, "network.dropout", "must lie in [0, 1)")
    _require(
        1 <= net.branches <= 8 and net.dimensions % net.branches == 0,
        "network.branches", "must lie between 1 and 8, and divide network.dimensions",
    )  # fmt: skip
    _require(net.branches == 1 or net.kind == "resnet", "network.branches", "fits kind = 'resnet' only")
    _require(net.bits in (8, 16, 32), "network.bits", "must be 8, 16 or 32")
    _require(0 <= net.drop_path < 1, "network.drop_path", "must lie in [0, 1)")
    _require(net.drop_path == 0 or net.kind == "resnet", "network.drop_path", "fits kind = 'resnet' only")
    _require(all(w > 0 for w in net.widths) and len(net.widths) > 0, "network.widths", "must be positive")
    if net.kind == "resnet":
        _require(
            len(net.blocks) == len(net.widths) - 1 and all(b > 0 for b in net.blocks),
            "network.blocks", "must hold one positive number for each width after the first",
        )  # fmt: skip
    elif net.kind == "legacy":
        # Each layer halves the side; at least one pixel must remain.
        _require(
            -(-recipe.crop.size // 2) >> len(net.widths) >= 1,
            "network.widths", f"must hold fewer layers for crops of {recipe.crop.size} pixels",
        )  # fmt: skip
    elif net.kind == "start":
        _check_network_of_start(recipe)
    else:
        _require(recipe.crop.size == 150, "crop.size", "must be 150, that of dlib's network")
        _require(recipe.crop.align == "chip", "crop.align", "must be 'chip', the crop of dlib's network")
        _require(
            net.dimensions == 129, "network.dimensions", "must be 129, those of dlib's network on the sphere"
        )
    _require(recipe.loss.margin >= 0, "loss.margin", "must not be negative")
    _require(recipe.loss.scale > 0, "loss.scale", "must be positive")
    _require(1 <= recipe.loss.centers <= 100, "loss.centers", "must lie between 1 and 100")
    _require(0 < recipe.loss.class_share <= 1, "loss.class_share", "must lie in (0, 1]")
    _require(
        recipe.loss.class_share == 1 or recipe.loss.name in SAMPLED,
        "loss.class_share", f"below 1 fits loss.name = {' or '.join(SAMPLED)} only",
    )  # fmt: skip
    _require(recipe.loss.pair_weight >= 0, "loss.pair_weight", "must not be negative")
    _require(0 < recipe.loss.pair_margin <= 2, "loss.pair_margin", "must lie between 0 and 2")
    _require(
        recipe.loss.pair_weight == 0 or recipe.loss.name in CLASSIFYING,
        "loss.pair_weight", f"fits loss.name = {' or '.join(CLASSIFYING)} only",
    )  # fmt: skip
    _require(
        not recipe.loss.halves or (recipe.loss.pair_weight > 0 and net.dimensions % 2 == 0),
        "loss.halves", "needs loss.pair_weight above 0 and an even network.dimensions",
    )  # fmt: skip
    _require(
        recipe.loss.miner in MINERS[recipe.loss.name],
        "loss.miner", f"for {recipe.loss.name} is one of {', '.join(MINERS[recipe.loss.name])}",
    )  # fmt: skip
    _require(
        recipe.sampler.name != "pairs" or recipe.loss.name == "contrastive",
        "sampler.name", "'pairs' fits loss.name = 'contrastive' only",
    )  # fmt: skip
    _require(
        recipe.sampler.name not in ("images", "mixed") or recipe.loss.name in CLASSIFYING,
        "sampler.name", f"'images' or 'mixed' fits loss.name = {' or '.join(CLASSIFYING)} only",
    )  # fmt: skip
    _require(recipe.sampler.images_per_identity >= 2, "sampler.images_per_identity", "must be at least 2")
    _require(0 < recipe.sampler.identity_share < 1, "sampler.identity_share", "must lie between 0 and 1")
    _require(recipe.sampler.single_share <= 1, "sampler.single_share", "must not exceed 1")
    for table, spec in (("augment", recipe.augment), ("student", recipe.student)):
        for entry in fields(spec):
            value, most = getattr(spec, entry.name), _AUGMENT_LIMITS.get(entry.name, 1.0)
            _require(0 <= value <= most, f"{table}.{entry.name}", f"must lie between 0 and {most:g}")
    _require(
        recipe.augment.mixup == 0 or (recipe.loss.name in CLASSIFYING and not recipe.loss.pair_weight),
        "augment.mixup", f"fits loss.name = {' or '.join(CLASSIFYING)} without loss.pair_weight only",
    )  # fmt: skip
    run = recipe.training
    _require(run.epochs >= 1, "training.epochs", "must be at least 1")
    _require(run.steps_per_epoch >= 0, "training.steps_per_epoch", "must not be negative")
    _require(4 <= run.batch_size <= 65536, "training.batch_size", "must lie between 4 and 65536")
    _require(
        recipe.sampler.name != "pairs" or run.batch_size >= 6,
        "training.batch_size", "must be at least 6 for the sampler 'pairs' (three images each pair)",
    )  # fmt: skip
    _require(0 < run.learning_rate <= 100, "training.learning_rate", "must lie between 0 and 100")
    _require(run.weight_decay >= 0, "training.weight_decay", "must not be negative")
    _require(0 < run.warm_up < 1, "training.warm_up", "must lie between 0 and 1")
    _require(run.patience >= 0, "training.patience", "must not be negative")
    _require(0 <= run.muon <= 1, "training.muon", "must lie between 0 and 1")
    _require(0 <= run.ema < 1, "training.ema", "must lie in [0, 1)")
    _require(
        not run.sizes or (run.sizes[-1] == recipe.crop.size and min(run.sizes) >= 32
                          and list(run.sizes) == sorted(run.sizes)),
        "training.sizes", f"must rise from at least 32 to crop.size = {recipe.crop.size}",
    )  # fmt: skip
    _require(
        not run.sizes or (net.kind == "resnet" and net.pool != "flatten"),
        "training.sizes", "fits kind = 'resnet' with pool = 'average' or 'grid' only",
    )  # fmt: skip
    _check_teacher(recipe)


def _check_teacher(recipe: Recipe) -> None:
    """Check the keys of distillation."""
    teacher, run = recipe.teacher, recipe.training
    _require(teacher.faces >= 0, "teacher.faces", "must not be negative")
    _require(1 <= teacher.passes <= 100, "teacher.passes", "must lie between 1 and 100")
    _require(0 <= teacher.blend <= 1, "teacher.blend", "must lie between 0 and 1")
    for key in ("descriptor_weight", "distance_weight"):
        _require(getattr(teacher, key) >= 0, f"teacher.{key}", "must not be negative")
    _require(
        teacher.descriptor_weight + teacher.distance_weight > 0,
        "teacher.descriptor_weight", "or distance_weight must be positive",
    )  # fmt: skip
    if not teacher.name:
        _check_start(recipe)
        return
    _require(
        recipe.network.kind == "resnet" and recipe.network.dimensions == 128,
        "network.dimensions", "must be 128, of kind = 'resnet', to distil dlib's network",
    )  # fmt: skip
    _require(
        not recipe.network.start or recipe.network.pool != "flatten",
        "network.start", "fits pool = 'average' or 'grid' only",
    )  # fmt: skip
    _require(recipe.network.branches == 1, "network.branches", "must be 1 with a teacher")
    _require(recipe.crop.align == "chip", "crop.align", "must be 'chip', the teacher's own crop")
    _require(run.steps_per_epoch == 0, "training.steps_per_epoch", "follows from teacher.faces; leave it 0")
    _require(
        recipe.augment.mixup == recipe.student.mixup == 0, "augment.mixup", "is teacher.blend with a teacher"
    )


def _check_start(recipe: Recipe) -> None:
    """Check the keys of fine-tuning."""
    start = recipe.network.start
    _require(recipe.loss.anchor >= 0, "loss.anchor", "must not be negative")
    _require(recipe.loss.anchor == 0 or bool(start), "loss.anchor", "needs network.start")
    if not start:
        return
    _require(
        recipe.network.kind == "start", "network.start", "fits kind = 'start' only, unless there is a teacher"
    )
    _require(not recipe.loss.halves, "network.start", "does not fit loss.halves")


def _check_network_of_start(recipe: Recipe) -> None:
    """Check the keys of a network that is taken from a model as it is."""
    net, crop = recipe.network, recipe.crop
    _require(bool(net.start), "network.start", "must name a model with kind = 'start'")
    _require(net.dropout == 0, "network.dropout", "must be 0 with kind = 'start'")
    _require(not net.mirror, "network.mirror", "must be false with kind = 'start'")
    _require(not net.standardize, "network.standardize", "must be false with kind = 'start'")
    if crop.size == 0:
        plain = type(crop)(size=0, detector=crop.detector)
        for entry in fields(crop):
            _require(
                getattr(crop, entry.name) == getattr(plain, entry.name),
                f"crop.{entry.name}", "must be left out with crop.size = 0, the crop of the start",
            )  # fmt: skip


def _require(holds: bool, key: str, rule: str) -> None:
    if not holds:
        raise RecipeError(f"the recipe's {key} {rule}; correct that line or --set {key}=...")
