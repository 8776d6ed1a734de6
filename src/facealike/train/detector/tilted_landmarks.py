"""Teach a distilled detector the landmarks of tilted faces.

YuNet places the landmarks of a face that is tilted by 20 degrees as if it were tilted by about 5, and a
network that is distilled from its output does the same.  Here the network goes on with two kinds of pictures:
those of the distillation, on which it keeps the teacher's confidences and boxes, and scenes of labeled photos
that are turned together with their landmarks (``scenes``), on which only landmarks are trained.

    python -m facealike.train.detector.tilted_landmarks --photos LFW --chips FAIRFACE/train \\
        --teacher yunet.onnx --distilled FOLDER --start detector.onnx --work FOLDER --out tilted.onnx

``--distilled`` is the work folder of ``dense_distillation``.  The same command continues an interrupted run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .command import detector_parser, run_command
from .dense_distillation import (
    DISTINCT,
    DistillationRun,
    PictureBatches,
    distillation_loss,
)
from .dense_distillation import WEIGHTS as DISTILLATION_WEIGHTS
from .loss import Targets, landmark_distance, pairwise_iou
from .network import Prediction, cells, to_pixels
from .pictures import Pool
from .pseudo_labels import Sources
from .run import prepare
from .scenes import SIDE, compose
from .training import DEFAULT_LOOP, DetectorRecipe, LoopOptions, fit

RECIPE = DetectorRecipe(steps=1500, batch=20, rate=7e-4, muon=2.5e-3, climb=60, fall=0.7)
SCENES = 12
"""Labeled scenes per step, beside the pictures of the distillation."""
SPEAKS = 0.15
"""Confidence from which on a cell's landmarks are trained; less confident cells are never reported."""
SAME = 0.5
"""IoU with a face from which on a cell's box means that face."""


class MixedTargets(NamedTuple):
    """What a step needs beside the pictures of the distillation.

    Args:
        maps: The teacher's output for them, (batch, cells, 15).
        scenes: BGR uint8 (``SCENES``, 3, SIDE, SIDE).
        faces: The faces in the scenes.
    """

    maps: Tensor
    scenes: Tensor
    faces: Targets


class MixedBatches(Dataset[tuple[Tensor, MixedTargets]]):
    """Item i is batch i of a run: pictures of a distillation, and labeled scenes.

    Args:
        pictures: The pictures of the distillation.
        labeled: Folder of the labeled photos, see ``pseudo_labels``.
        seed: Random seed of the scenes.
    """

    def __init__(self, pictures: PictureBatches, labeled: Path, seed: int) -> None:
        self.pictures, self.labeled, self.seed = pictures, labeled, seed
        self._sources: Sources | None = None  # opened by each worker for itself

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, number: int) -> tuple[Tensor, MixedTargets]:
        if self._sources is None:
            self._sources = Sources(self.labeled)
        pixels, maps = self.pictures[number]
        rngs = [np.random.default_rng([self.seed, 3, number, i]) for i in range(SCENES)]
        made = [compose(rng, self._sources) for rng in rngs]
        scenes = torch.from_numpy(np.stack([scene.image[:, :, ::-1] for scene in made])).permute(0, 3, 1, 2)
        return pixels, MixedTargets(maps, scenes, Targets.of(made))


def landmark_loss(prediction: Prediction, corners: Tensor, strides: Tensor, faces: Targets) -> Tensor:
    """Return the smooth L1 distance of landmarks, relative to the size of the face, weighted by confidence.

    Every cell counts that is confident and whose box is that of a face, for a detection's landmarks are the
    mean over all of them.

    Args:
        prediction: The network's output for n scenes.
        corners: See ``cells``.
        strides: See ``cells``.
        faces: The faces of the scenes.
    """
    boxes, points = to_pixels(prediction, corners, strides)
    confidence = (prediction.cls.sigmoid() * prediction.obj.sigmoid()).sqrt().detach()
    overlap = pairwise_iou(boxes.detach()[:, None], faces.boxes[:, :, None]) * faces.real[..., None]
    best, face = overlap.max(dim=1)
    scene, cell = torch.nonzero((best > SAME) & (confidence > SPEAKS), as_tuple=True)
    wanted = face[scene, cell]
    box, true = faces.boxes[scene, wanted], faces.points[scene, wanted]
    size = (box[:, 2:] - box[:, :2]).prod(dim=1).sqrt()
    far = landmark_distance(points[scene, cell], true, size)
    weight = confidence[scene, cell]
    return (far * weight).sum() / weight.sum().clamp(min=1e-6)


class TiltedRun(DistillationRun):
    """A run that keeps confidences and boxes and trains landmarks on labeled scenes."""

    def __init__(self, recipe: DetectorRecipe, state: Path) -> None:
        super().__init__(recipe, state)
        self._scene_cells = cells(SIDE, SIDE)

    def batch_loss(self, pixels: Tensor, targets: MixedTargets) -> tuple[Tensor, list[float]]:
        maps, scenes, faces = targets
        kept = distillation_loss(self.predict(pixels), maps, self.corners, self.strides)
        points = DISTILLATION_WEIGHTS[2] * landmark_loss(
            self.predict(scenes), *self._scene_cells, Targets(*faces)
        )
        parts = (kept.confidence, kept.box, points)
        return kept.confidence + kept.box + points, [float(part.detach()) for part in parts]


def teach_tilted(
    distilled: Path, labeled: Path, teacher: bytes, start: bytes, recipe: DetectorRecipe, work: Path,
    out: Path, loop: LoopOptions = DEFAULT_LOOP, distinct: int = DISTINCT,
) -> bytes:  # fmt: skip
    """Train until ``recipe.steps``; return the ONNX file, also written to ``out``.

    Args:
        distilled: Work folder of a distillation: its ``pool`` and its ``composed`` pictures.
        labeled: Folder of the labeled photos, see ``run.prepare``.
        teacher: The distillation's teacher.
        start: The detector that the distillation wrote.
        recipe: The length of the run and its rates.
        work: Folder of ``state.pt``, from which training continues where it exists, and of ``log.csv``.
        out: The ONNX file to write.
        loop: See ``LoopOptions``.
        distinct: How many pictures the distillation composed.

    Raises:
        DataError: A folder lacks images.
        TrainingError: The state cannot be resumed, or the loss is NaN or infinite.
    """
    Pool.open(distilled / "pool")  # these two raise at once if something is missing
    Sources(labeled)
    run = TiltedRun(recipe, work / "state.pt")
    if run.step == 0:
        run.begin_with(start)
    pictures = PictureBatches(distilled / "pool", teacher, recipe, distilled / "composed", distinct)
    return fit(run, MixedBatches(pictures, labeled, recipe.seed), out, loop)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = detector_parser(__doc__)
    parser.add_argument("--distilled", type=Path, required=True, help="work folder of dense_distillation")
    parser.add_argument("--start", type=Path, required=True, help="the detector that it wrote")
    parser.add_argument("--distinct", type=int, default=DISTINCT, help="pictures that it composed")
    parser.set_defaults(steps=RECIPE.steps, batch=RECIPE.batch, rate=RECIPE.rate, muon=RECIPE.muon)
    options = parser.parse_args(arguments)

    def train(recipe: DetectorRecipe, loop: LoopOptions) -> bytes:
        labeled = options.work / "sources"
        prepare(options.photos, options.chips, options.teacher, labeled, options.limit)
        return teach_tilted(
            options.distilled, labeled, options.teacher.read_bytes(), options.start.read_bytes(),
            replace(recipe, climb=RECIPE.climb, fall=RECIPE.fall), options.work, options.out, loop,
            options.distinct,
        )  # fmt: skip

    run_command("tilted_landmarks", options, train)


if __name__ == "__main__":
    main()
