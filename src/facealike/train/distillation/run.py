"""Train a student to reproduce a teacher's embeddings of photos without identity labels.

The run folder is that of ``embedder/run.py``, without pairs and their figures.  The model has no threshold
until ``facealike calibrate`` sets it on labeled people.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...calibration.calibration import Calibration
from ...datasets.people import People, unlabeled_photos
from ...datasets.seen import Seen
from ...detection.base import Detector
from ...detection.registry import detector_license, named_detector
from ...embedding.crop_cache import Crops, cached_crops
from ...errors import DataError
from ...imaging.align import DLIB_CHIP_SIZE
from ...imaging.photo_digest import photo_digests
from ...imaging.photo_warning import (
    UnusedPhoto,
    left_out_counts,
    left_out_rows,
    left_out_summary,
    unused_summary,
)
from ...model_file.card import new_card
from ...model_file.locate import read_model_file
from ...model_file.model_file import ModelFile
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.quantization import CALIBRATION_CROPS
from ...types import Progress
from ...utils.atomic_write import write_text
from ...utils.result import Result
from ..data.batches import chunk_loader, step_loader
from ..data.preprocessing import choose_preprocessing
from ..data.samplers import Indices
from ..distributed.world import refuse_several
from ..export_onnx import export_student
from ..lightning.callbacks import EpochLog
from ..lightning.trainer import (
    begin,
    checkpoint_of,
    choose_device,
    keep_last,
    make_trainer,
    own_run,
    run_loop,
    write_model,
)
from ..model_card import INTENDED_USE, licenses
from ..networks.dlib_resnet import DlibTeacher
from ..optim.mixed_precision import autocast, digits
from ..options import TrainingKeywords, TrainingOptions, run_folder, with_keywords
from ..provenance import command_line, git_commit, machine, versions
from ..recipe.schema import Recipe
from .module import StudentModule, agreement
from .teacher_batches import DistillationSteps, TeacherBatches, TeacherData

if TYPE_CHECKING:
    from typing_extensions import Unpack

HELD_OUT = 0.05  # share of the photos, chosen by the hash of their names
MOST_HELD_OUT = 2048  # photos
MIN_PHOTOS = 64  # to train on
WATCHED = ("val_error", "val_correlation")
REPORTED = {"val_error": "error", "val_correlation": "correlation of distances"}


@dataclass(frozen=True, repr=False)
class DistilResult(Result):
    """The result of ``distil``.

    Args:
        model_path: The model file.
        run: The run folder.
        model_id: Id of the model.
        epochs: Epochs that were trained.
        seconds: Time of this call.
        device: The device.
        agreement: Agreement with the teacher on held-out photos; see ``distillation.module.agreement``.
        agreement_learnt: Agreement on training photos without augmentation.  If it is much better, more
            photos help; if it is similar, a larger network or longer training helps.
        unused: The photos that were left out, with the reasons.
    """

    model_path: Path
    run: Path
    model_id: str
    epochs: int
    seconds: float
    device: str
    agreement: dict[str, float]
    agreement_learnt: dict[str, float]
    unused: tuple[UnusedPhoto, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": str(self.model_path),
            "run": str(self.run),
            "model_id": self.model_id,
            "epochs": self.epochs,
            "seconds": round(self.seconds, 1),
            "device": self.device,
            "agreement": self.agreement,
            "agreement_learnt": self.agreement_learnt,
            **left_out_rows(self.unused),
        }

    def __str__(self) -> str:
        held_out, trained = (
            ", ".join(f"{name} {value:.3f}" for name, value in each.items())
            for each in (self.agreement, self.agreement_learnt)
        )
        return (
            f"agreement with the teacher on held-out photos: {held_out}\n"
            f"on training photos: {trained}\n"
            f"model {self.model_id} in {self.model_path}, not calibrated yet"
            + left_out_summary(left_out_counts(self.unused))
        )


@dataclass(frozen=True, eq=False)
class Photos:
    """The teacher's crops of all photos, and the rows of them for training and held out."""

    root: Path
    chips: Crops
    train: Indices
    held_out: Indices
    detector: Detector
    preprocessing: Preprocessing
    fingerprint: str
    paths: tuple[Path, ...]


def distil(
    photos_dir: str | Path,
    recipe: Recipe,
    out: str | Path,
    run: str | Path | None = None,
    options: TrainingOptions | None = None,
    **keywords: Unpack[TrainingKeywords],
) -> DistilResult:
    """Train the student of ``recipe`` on every photo in a folder and write the model to ``out``.

    Arguments and errors are those of ``train``.  No identity labels are used: sub-folders of
    ``photos_dir`` have no meaning.

    Examples:
        >>> result = distil("photos", load_recipe("distilled"), "small.facealike")
        >>> result.agreement["correlation"]
        0.97
    """
    started = time.perf_counter()
    out = Path(out)
    run = run_folder(out, run)
    options = with_keywords(options, keywords)
    refuse_several(options, "a recipe with a teacher trains in one process; leave them out")
    with own_run(run):
        return _distil(Path(photos_dir), recipe, out, run, options, started)


def _distil(
    root: Path, recipe: Recipe, out: Path, run: Path, options: TrainingOptions, started: float
) -> DistilResult:
    """``distil``, in a run folder that is locked."""
    cache = options.crops_folder(run.parent)
    accelerator, devices, device_name = choose_device(options.device)
    last = checkpoint_of(out, run, options.resume)
    photos = read_photos(root, recipe, options.detector, cache, options.progress, options.strict)
    done = begin(run, out, recipe, photos.fingerprint, photos.root, device_name, last, cache)

    batches = TeacherBatches(
        photos.chips, photos.train, DlibTeacher.load(), recipe, torch.device(device_name.split(" ")[0])
    )
    steps = DistillationSteps(batches, recipe)
    plain = batches.plain(photos.train[:: max(1, len(photos.train) // CALIBRATION_CROPS)])
    module = StudentModule(recipe, photos.preprocessing, steps.steps * recipe.training.epochs, plain)
    size = recipe.training.batch_size
    log = EpochLog(run / "log.csv", steps.steps * size, not sys.stderr.isatty(), WATCHED, REPORTED)
    trainer = make_trainer(run, recipe.training, steps.steps, accelerator, devices, [log, keep_last(run)])
    print(
        f"training on {device_name}: {len(photos.train):,} photos, {len(photos.held_out):,} held out",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    loader = step_loader(steps, steps.steps, done // steps.steps)
    held_out = chunk_loader(_chunks(batches.plain(photos.held_out)))
    run_loop(trainer, module, loader, held_out, last)
    kept = torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(kept["state_dict"])
    center = plain.descriptors.mean(dim=0)
    net, faces = recipe.network, photos.preprocessing.normalize(plain.crops.numpy())
    agreed = {name.removeprefix("val_"): log.rows[-1][name] for name in WATCHED}
    trained = agreement(described(module, plain), plain.descriptors)
    onnx = export_student(module.evaluated, recipe.crop.size, net.mirror, center, net.bits, faces)
    metrics = {"agreement": agreed, "agreement_learnt": trained}
    file = _model_file(photos, recipe, onnx, device_name, log.rows, metrics, module.initialization)
    write_model(file, run, out)
    write_text(run / "results.json", json.dumps(metrics, indent=2) + "\n")
    return DistilResult(
        out, run, file.id, len(log.rows), time.perf_counter() - started, device_name, agreed, trained,
        photos.chips.unused,
    )  # fmt: skip


@torch.no_grad()
def described(module: StudentModule, data: TeacherData) -> Tensor:
    """Return the finished student's embeddings (n, d), in the precision of validation."""
    module.cpu().eval()
    with autocast(module.recipe.training.precision, "cpu"):
        return torch.cat([module.describe(batch["images"]) for batch in _chunks(data)])


def read_photos(
    root: Path, recipe: Recipe, detector: Detector | None, cache: Path, progress: Progress | None = None,
    strict: bool = False,
) -> Photos:  # fmt: skip
    """Detect the face of each photo and crop it for the teacher.

    Raises:
        DataError: There are too few photos with a face.
        ImageError: With ``strict``, a photo that cannot be read.
    """
    detector = detector if detector is not None else named_detector(recipe.crop.detector)
    preprocessing = choose_preprocessing(recipe, detector)
    people = unlabeled_photos(root)
    chips = cached_crops(
        people.paths, None if recipe.teacher.aligned else detector, Preprocessing(DLIB_CHIP_SIZE, "chip"),
        recipe.data.face, cache, progress, strict=strict,
    )  # fmt: skip
    rows = np.flatnonzero(chips.found)
    chosen = np.array([is_held_out(people.names[row]) for row in rows], dtype=bool)
    train, held_out = rows[~chosen], rows[chosen][:MOST_HELD_OUT]
    if len(train) < MIN_PHOTOS or len(held_out) < 2:
        raise DataError(
            f"{root}: a face was found in {len(rows)} photos, too few to distil a teacher; "
            f"give some thousands of photos{unused_summary(chips.unused, ' (', 'photos there', ')')}"
        )
    about = (detector.spec, preprocessing.to_dict())
    return Photos(
        root, chips, train, held_out, detector, preprocessing, _fingerprint(people, chips, rows, about),
        people.paths,
    )  # fmt: skip


def is_held_out(name: str) -> bool:
    """Return whether the photo of that name, relative to the folder, is held out."""
    drawn = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    return drawn / 2**64 < HELD_OUT


def _fingerprint(people: People, chips: Crops, rows: Indices, about: Any) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{people.names[row]}\n".encode("utf-8", "surrogateescape"))
    for start in range(0, len(rows), 256):
        digest.update(chips.take(rows[start : start + 256]).data)
    digest.update(repr(about).encode())
    return digest.hexdigest()


def _chunks(data: TeacherData, size: int = 256) -> list[dict[str, Tensor]]:
    return [
        {"images": data.crops[i : i + size], "descriptors": data.descriptors[i : i + size]}
        for i in range(0, len(data.crops), size)
    ]


def _model_file(
    photos: Photos, recipe: Recipe, onnx: bytes, device: str, rows: list[dict[str, float]],
    metrics: dict[str, Any], initialization: str,
) -> ModelFile:  # fmt: skip
    card = new_card(
        recipe.card.name or recipe.name,
        licenses(recipe),
        licence={
            "code": "Apache-2.0",
            "weights": recipe.card.weights_license,
            "training_data": recipe.card.data_license,
            "detector": detector_license(photos.detector),
        },
        data={
            "folder": photos.root.name,
            "fingerprint": photos.fingerprint,
            "photos": len(photos.train),
            "kept_aside": len(photos.held_out),
            **({"left_out": left_out_counts(photos.chips.unused)} if photos.chips.unused else {}),
            "people": "not known: no identity labels are used",
        },
        recipe=recipe.to_dict(),
        provenance={
            "initialisation": initialization,
            "teacher": "dlib's face network (public domain, CC0), dlib_face_recognition_resnet_model_v1",
            "outside_data": "what the teacher was trained on; no people of its own",
            "command": command_line(["facealike"], sys.argv[1:]),
            "commit": git_commit(),
            "seed": recipe.seed,
            "machine": machine(),
            "device": device,
            "precision": digits(recipe.training.precision, device),
            "seconds": round(sum(row["seconds"] for row in rows)),
            "epochs": len(rows),
            "versions": versions(),
        },
        metrics=metrics,
        intended_use=INTENDED_USE,
        limits=recipe.card.limits,
        trained_on=(
            Seen.of((), photo_digests([photos.paths[row] for row in photos.train])),
            *(read_model_file(recipe.network.start).card.trained_records if recipe.network.start else ()),
        ),
    )
    return ModelFile(
        onnx, photos.preprocessing, photos.detector.spec, photos.detector.weights, card, Calibration.none()
    )
