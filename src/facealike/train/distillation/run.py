"""Learn faces from a teacher: photos of people whom nobody has named, one run, one model file.

The run folder is that of ``run.py``, without the pictures of pairs: there are no people to judge by.
What the model can do is for ``facealike calibrate`` and ``facealike evaluate`` to say, on people; until
then it has no threshold.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ...calibration.calibration import Calibration
from ...datasets.people import People, unlabelled_photos
from ...datasets.seen import Seen
from ...detection.base import Detector
from ...detection.registry import detector_license, named_detector
from ...embedding.crop_cache import Crops, cached_crops
from ...errors import DataError
from ...imaging.align import DLIB_CHIP_SIZE
from ...imaging.photo_digest import photo_digests
from ...imaging.photo_warning import UnusedPhoto, left_out_told, unused_counts, unused_rows, unused_told
from ...model_file.card import new_card
from ...model_file.locate import read_model_file
from ...model_file.model_file import ModelFile
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.quantization import SHOWN
from ...types import Progress
from ...utils.atomic_write import write_text
from ...utils.result import Result
from ..data.batches import chunk_loader, step_loader
from ..data.preprocessing import choose_preprocessing
from ..data.samplers import Indices
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
from ..model_card import INTENDED_USE, licences
from ..networks.dlib_resnet import DlibTeacher
from ..optim.mixed_precision import autocast, digits
from ..options import TrainingKeywords, TrainingOptions, run_folder, with_keywords
from ..provenance import git_commit, machine, versions
from ..recipe.schema import Recipe
from .module import StudentModule, agreement
from .teacher_batches import Lesson, Lessons, LessonSteps

if TYPE_CHECKING:
    from typing_extensions import Unpack

KEPT_ASIDE = 0.05  # part of the photos that the student is judged on, by the hash of their names
MOST_KEPT = 2048  # of them at most
FEWEST = 64
WATCHED = ("val_error", "val_correlation")
SAID = {"val_error": "error", "val_correlation": "correlation of distances"}


@dataclass(frozen=True, repr=False)
class DistilResult(Result):
    """What a run left behind; ``agreement`` with the teacher is on photos that were kept aside.

    ``agreement_learnt`` is on photos that it learnt from, as they are: far better there, it knows these
    photos and wants more of them; hardly better, it has room for no more and wants a larger network, or
    more time.  ``no_face`` and ``unused`` are the photos that were left out, as in ``TrainResult``.
    """

    model_path: Path
    run: Path
    model_id: str
    epochs: int
    seconds: float
    device: str
    agreement: dict[str, float]
    agreement_learnt: dict[str, float]
    no_face: int = 0
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
            "no_face": self.no_face,
            **unused_rows(self.unused),
        }

    def __str__(self) -> str:
        aside, learnt = (
            ", ".join(f"{name} {value:.3f}" for name, value in each.items())
            for each in (self.agreement, self.agreement_learnt)
        )
        return (
            f"agreement with the teacher on photos kept aside: {aside}\n"
            f"on photos it learnt from: {learnt}\n"
            f"model {self.model_id} in {self.model_path}, not calibrated yet"
            + left_out_told({"no_face": self.no_face, **unused_counts(self.unused)})
        )


@dataclass(frozen=True, eq=False)
class Photos:
    """Teacher's crops of all photos, and which rows of them are learnt from and which kept aside."""

    root: Path
    chips: Crops
    learnt: Indices
    aside: Indices
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

    Example:
        >>> result = distil("photos", load_recipe("distilled"), "small.facealike")
        >>> result.agreement["correlation"]
        0.97
    """
    started = time.perf_counter()
    out = Path(out)
    run = run_folder(out, run)
    options = with_keywords(options, keywords)
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

    lessons = Lessons(
        photos.chips, photos.learnt, DlibTeacher.load(), recipe, torch.device(device_name.split(" ")[0])
    )
    steps = LessonSteps(lessons, recipe)
    plain = lessons.plain(photos.learnt[:: max(1, len(photos.learnt) // SHOWN)])
    module = StudentModule(recipe, photos.preprocessing, steps.steps * recipe.training.epochs, plain)
    size = recipe.training.batch_size
    log = EpochLog(run / "log.csv", steps.steps * size, not sys.stderr.isatty(), WATCHED, SAID)
    trainer = make_trainer(run, recipe.training, steps.steps, accelerator, devices, [log, keep_last(run)])
    print(
        f"training on {device_name}: {len(photos.learnt):,} photos, {len(photos.aside):,} kept aside",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    loader = step_loader(steps, steps.steps, done // steps.steps)
    aside = chunk_loader(_chunks(lessons.plain(photos.aside)))
    run_loop(trainer, module, loader, aside, last)
    kept = torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    module.load_state_dict(kept["state_dict"])
    centre = plain.descriptors.mean(dim=0)
    net, faces = recipe.network, photos.preprocessing.normalise(plain.crops.numpy())
    agreed = {name.removeprefix("val_"): log.rows[-1][name] for name in WATCHED}
    learnt = agreement(described(module, plain), plain.descriptors)
    onnx = export_student(module.judged, recipe.crop.size, net.mirror, centre, net.bits, faces)
    metrics = {"agreement": agreed, "agreement_learnt": learnt}
    file = _model_file(photos, recipe, onnx, device_name, log.rows, metrics, module.initialisation)
    write_model(file, run, out)
    write_text(run / "results.json", json.dumps(metrics, indent=2) + "\n")
    return DistilResult(
        out, run, file.id, len(log.rows), time.perf_counter() - started, device_name, agreed, learnt,
        photos.chips.no_face, photos.chips.unused,
    )  # fmt: skip


@torch.no_grad()
def described(module: StudentModule, lesson: Lesson) -> Tensor:
    """What the finished student says of a lesson's faces (n, d), as precisely as when it was validated."""
    module.cpu().eval()
    with autocast(module.recipe.training.precision, "cpu"):
        return torch.cat([module.describe(batch["images"]) for batch in _chunks(lesson)])


def read_photos(
    root: Path, recipe: Recipe, detector: Detector | None, cache: Path, progress: Progress | None = None,
    strict: bool = False,
) -> Photos:  # fmt: skip
    """Find the face in each photo once, and cut it as the teacher wants it.

    Photos that cannot be read are left out and told; with ``strict`` the first of them is an ImageError.
    """
    detector = detector if detector is not None else named_detector(recipe.crop.detector)
    preprocessing = choose_preprocessing(recipe, detector)
    people = unlabelled_photos(root)
    chips = cached_crops(
        people.paths, None if recipe.teacher.aligned else detector, Preprocessing(DLIB_CHIP_SIZE, "chip"),
        recipe.data.face, cache, progress, strict=strict,
    )  # fmt: skip
    rows = np.flatnonzero(chips.found)
    aside = np.array([kept_aside(people.names[row]) for row in rows], dtype=bool)
    learnt, judged = rows[~aside], rows[aside][:MOST_KEPT]
    if len(learnt) < FEWEST or len(judged) < 2:
        raise DataError(
            f"{root}: a face was found in {len(rows)} photos, too few to learn from a teacher; "
            f"give some thousands of photos{unused_told(chips.unused, ' (', 'photos there')}"
            + ")"
            * bool(chips.unused)
        )
    about = (detector.spec, preprocessing.to_dict())
    return Photos(
        root, chips, learnt, judged, detector, preprocessing, _fingerprint(people, chips, rows, about),
        people.paths,
    )  # fmt: skip


def kept_aside(name: str) -> bool:
    """Whether the photo of that name, relative to the folder, is kept aside to judge the student by."""
    drawn = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    return drawn / 2**64 < KEPT_ASIDE


def _fingerprint(people: People, chips: Crops, rows: Indices, about: Any) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{people.names[row]}\n".encode("utf-8", "surrogateescape"))
    for start in range(0, len(rows), 256):
        digest.update(chips.take(rows[start : start + 256]).data)
    digest.update(repr(about).encode())
    return digest.hexdigest()


def _chunks(lesson: Lesson, size: int = 256) -> list[dict[str, Tensor]]:
    return [
        {"images": lesson.crops[i : i + size], "descriptors": lesson.descriptors[i : i + size]}
        for i in range(0, len(lesson.crops), size)
    ]


def _model_file(
    photos: Photos, recipe: Recipe, onnx: bytes, device: str, rows: list[dict[str, float]],
    metrics: dict[str, Any], initialisation: str,
) -> ModelFile:  # fmt: skip
    card = new_card(
        recipe.card.name or recipe.name,
        licences(recipe),
        licence={
            "code": "Apache-2.0",
            "weights": recipe.card.weights_licence,
            "training_data": recipe.card.data_licence,
            "detector": detector_license(photos.detector),
        },
        data={
            "folder": photos.root.name,
            "fingerprint": photos.fingerprint,
            "photos": len(photos.learnt),
            "kept_aside": len(photos.aside),
            **({"left_out": unused_counts(photos.chips.unused)} if photos.chips.unused else {}),
            "people": "not known: nobody has named them",
        },
        recipe=recipe.to_dict(),
        provenance={
            "initialisation": initialisation,
            "teacher": "dlib's face network (public domain, CC0), dlib_face_recognition_resnet_model_v1",
            "outside_data": "what the teacher was trained on; no people of its own",
            "command": shlex.join(["facealike", *sys.argv[1:]]),
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
            Seen.of((), photo_digests([photos.paths[row] for row in photos.learnt])),
            *(read_model_file(recipe.network.start).card.trained_records if recipe.network.start else ()),
        ),
    )
    return ModelFile(
        onnx, photos.preprocessing, photos.detector.spec, photos.detector.weights, card, Calibration.none()
    )
