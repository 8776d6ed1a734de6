"""Write the model file of a finished joint run; it is not calibrated yet."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...calibration.calibration import Calibration
from ...detection.registry import default_detector, detector_license
from ...model_file.card import ModelCard, new_card
from ...model_file.licenses import License
from ...model_file.locate import read_model_file
from ...model_file.model_file import ModelFile
from ...model_file.preprocessing import Preprocessing
from ...model_zoo.dlib_weights import MEAN, STD
from ...model_zoo.quantization import CALIBRATION_CROPS
from ..data.augment import shrink
from ..export_onnx import export_embedder
from ..model_card import INTENDED_USE
from ..provenance import command_line, git_commit, machine, versions
from .student import SIZE, JointStudent
from .targets import TargetsAbout
from .training import JointRun

LICENSES = {"code": "Apache-2.0", "weights": "Apache-2.0", "training_data": "CC-BY-4.0"}
INITIALIZATION = "dlib's face network (CC0), dlib_face_recognition_resnet_model_v1"
LIMITS = (
    "What its teachers cannot tell apart it cannot either. Small children, and people of one race, gender "
    "and age, pass for one person more often than others do: see the groups among its metrics."
)


class Embedding(nn.Module):
    """The student without its own normalization of crops, for the exporter."""

    def __init__(self, student: JointStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, crops: Tensor) -> Tensor:
        """Return embeddings of normalized crops (n, 3, SIZE, SIZE)."""
        return self.student.embed(crops)


def write_model(
    run: JointRun, about: TargetsAbout, chips: NDArray[np.uint8], out: Path, bits: int = 8
) -> ModelFile:
    """Write dlib's network with the run's averaged branch to ``out`` and return the model file.

    Args:
        run: The run.
        about: The teachers, for the card.
        chips: Training chips, for the activation ranges of INT8.
        out: The ``.facealike`` file.
        bits: 32, 16 or 8; more are used where quantization would change embeddings too much.
    """
    preprocessing = Preprocessing(SIZE, "chip", mean=MEAN, std=(STD,) * 3)
    faces = preprocessing.normalize(
        plain_crops(chips[:: max(1, len(chips) // CALIBRATION_CROPS)][:CALIBRATION_CROPS])
    )
    onnx = export_embedder(Embedding(run.student().eval()), SIZE, False, bits=bits, faces=faces)
    detector = default_detector()
    file = ModelFile(
        onnx, preprocessing, detector.spec, detector.weights,
        _card(run, about, chips, detector_license(detector)), Calibration.none(),
    )  # fmt: skip
    file.write(out)
    return file


def teacher_digest(name: str) -> str:
    """Return the SHA-256 of a stored teacher's network."""
    return str(read_model_file(name).card.provenance.get("sha256", ""))


def plain_crops(chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return chips, uint8 (n, S, S, 3), resized to the student's crops (n, SIZE, SIZE, 3)."""
    images = torch.from_numpy(np.array(chips)).permute(0, 3, 1, 2).float()
    crops = shrink(images, SIZE).round().clamp(0, 255).to(torch.uint8)
    made: NDArray[np.uint8] = crops.permute(0, 2, 3, 1).contiguous().numpy()
    return made


def _card(run: JointRun, about: TargetsAbout, chips: NDArray[np.uint8], detector: str) -> ModelCard:
    fingerprint = hashlib.sha256(
        repr((chips.shape, int(chips[::97].astype(np.int64).sum()))).encode()
    ).hexdigest()
    teachers = {
        name: {"weight": weight, "sha256": teacher_digest(name)}
        for name, weight in zip(about.teachers, about.weights, strict=True)
    }
    return new_card(
        "facealike-default",
        {part: License.named(name) for part, name in LICENSES.items()},
        licence={**LICENSES, "detector": detector},
        data={
            "folder": "FairFace (CC BY 4.0), 144 px",
            "fingerprint": fingerprint,
            "photos": len(chips),
            "people": "not known: no identity labels are used",
        },
        recipe={"joint": run.recipe.to_dict()},
        provenance={
            "initialisation": INITIALIZATION
            + (f"; the branch of model {run.start_id}" if run.start_id else ""),
            "teachers": teachers,
            "outside_data": "what the teachers were trained on; no people of its own",
            "command": command_line(["python", "-m", "facealike.train.joint.run"], sys.argv[1:]),
            "commit": git_commit(),
            "seed": run.recipe.seed,
            "machine": machine(),
            "steps": run.step,
            "faces": run.step * run.recipe.batch,
            "versions": versions(),
        },
        identity_salt=fingerprint[:16],
        intended_use=INTENDED_USE,
        limits=LIMITS,
    )
