"""Distil a detector densely: the student reproduces the teacher's output in every cell of every picture.

The teacher is any YuNet-format ONNX.  Its confidence, box and landmarks in each cell are the targets, so that
places without a face are examples too.  Some of the pictures are turned by 90, 180 or 270 degrees together
with the teacher's output, so that the student detects turned faces, which the teacher does not.

    python -m facealike.train.detector.dense_distillation --photos LFW --chips FAIRFACE/train \\
        --scenery FOLDER --teacher yunet.onnx --work FOLDER --out detector.onnx

Of LFW only training people are used (``datasets.splits.split_of``).  The same command continues an
interrupted run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ...datasets.people import People
from ...detection.yunet import STRIDES
from ...types import Image
from ...utils.onnx_session import Session
from .command import detector_parser, images_in, limited, run_command
from .loss import eiou_loss, landmark_distance
from .network import Prediction, load_exported, to_pixels
from .pictures import FACES, SCENERY, SIDE, Pool, collect_images, compose, mosaic
from .stored_pictures import StoredPictures, enlarged_part, varied
from .teacher_maps import Maps, turn
from .training import DEFAULT_LOOP, DetectorRecipe, DetectorRun, LoopOptions, fit

TURNED = 0.2
"""Share of the pictures that are turned by 90, 180 or 270 degrees."""
MOSAICS = 0.35
"""Share of the stored pictures that are several others side by side, smaller."""
PARTS = 0.15
"""Share of the stored pictures that are a part of another, enlarged."""
CONSIDERED = 0.2
"""Least confidence of the teacher at which a cell's box and landmarks count."""
DISTINCT = 50_000
"""Pictures that are composed; 18 GB."""


class Teacher:
    """A YuNet-format ONNX file; its output for every cell of a picture."""

    def __init__(self, weights: bytes) -> None:
        self._session = Session(weights, "the teacher", threads=1)
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: Image) -> Maps:
        """Return the output for an RGB picture, uint8 (H, W, 3), whose sides are multiples of 32."""
        batch = np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
        raw = dict(zip(self._names, self._session.run(None, {self._input: batch}), strict=True))
        parts = []
        for stride in STRIDES:
            cls, obj = (np.clip(raw[f"{kind}_{stride}"].reshape(-1, 1), 0, 1) for kind in ("cls", "obj"))
            box, points = raw[f"bbox_{stride}"].reshape(-1, 4), raw[f"kps_{stride}"].reshape(-1, 10)
            parts.append(np.concatenate([np.sqrt(cls * obj), box, points], axis=1))
        return np.concatenate(parts).astype(np.float32)


class Losses(NamedTuple):
    """The weighted parts of the loss."""

    confidence: Tensor
    box: Tensor
    points: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.confidence + self.box + self.points


WEIGHTS = (2.0, 8.0, 60.0)


def distillation_loss(prediction: Prediction, target: Tensor, corners: Tensor, strides: Tensor) -> Losses:
    """Return the distillation loss, relative to the number of cells with a face.

    Both logits are trained on the teacher's confidence, so that their geometric mean equals it.  Boxes use
    EIoU; landmarks use a smooth L1 distance relative to the size of the face.  Both are weighted by the
    teacher's confidence.

    Args:
        prediction: The student's output.
        target: The teacher's output (n, cells, 15), see ``Maps``.
        corners: See ``cells``.
        strides: See ``cells``.

    Source:
        The classification term: quality focal loss, Li et al., "Generalized focal loss", NeurIPS 2020.
    """
    belief = target[..., 0]
    count = belief.sum().clamp(min=1)
    bce = functional.binary_cross_entropy_with_logits
    everywhere = bce(prediction.obj, belief, reduction="none")
    apart = (prediction.cls.sigmoid() - belief).abs().detach()
    hard = bce(prediction.cls, belief, reduction="none") * apart
    picture, cell = torch.nonzero(belief >= CONSIDERED, as_tuple=True)
    seen = Prediction(*(part[picture, cell][None] for part in prediction))
    wanted = target[picture, cell]
    true = Prediction(seen.cls, seen.obj, wanted[None, :, 1:5], wanted[None, :, 5:])
    boxes, points = to_pixels(seen, corners[cell], strides[cell])
    true_boxes, true_points = to_pixels(true, corners[cell], strides[cell])
    size = (true_boxes[0, :, 2:] - true_boxes[0, :, :2]).prod(dim=1).clamp(min=1).sqrt()
    far = landmark_distance(points[0], true_points[0], size)
    weight = wanted[:, 0]
    parts = (
        everywhere.sum() + 2 * hard.sum(),
        (eiou_loss(boxes[0], true_boxes[0]) * weight).sum(),
        (far * weight).sum(),
    )
    return Losses(*(factor * part / count for factor, part in zip(WEIGHTS, parts, strict=True)))


class PictureBatches(Dataset[tuple[Tensor, Tensor]]):
    """Item i is batch i of a run: BGR uint8 (batch, 3, SIDE, SIDE) and targets (batch, cells, 15).

    Args:
        pool: Folder that ``prepare`` filled.
        teacher: A YuNet-format ONNX file.
        recipe: The length of the run.
        store: Folder of the composed pictures.
        distinct: How many are composed; further batches use them again.
    """

    def __init__(
        self, pool: Path, teacher: bytes, recipe: DetectorRecipe, store: Path, distinct: int = DISTINCT
    ) -> None:
        self.pool, self.teacher, self.recipe = pool, teacher, recipe
        self.store, self.distinct = store, distinct
        self._opened: StoredPictures | None = None  # opened by each worker for itself
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if self._opened is None:
            self._opened = self._open()
        pixels, targets = [], []
        for i in range(number * self.recipe.batch, (number + 1) * self.recipe.batch):
            rng = np.random.default_rng([self.recipe.seed, 1, i])
            image, maps = varied(rng, *self._opened[self._stored_number(i)])
            quarters = int(rng.integers(1, 4)) if rng.random() < TURNED else 0
            image, maps = turn(image, maps, quarters)
            pixels.append(image[:, :, ::-1])
            targets.append(maps)
        return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(targets))

    def _stored_number(self, i: int) -> int:
        """Return which stored picture comes as picture i: all of them in random order, again and again."""
        cycle, place = divmod(i, self.distinct)
        if self._order is None or self._order[0] != cycle:
            order = np.random.default_rng([self.recipe.seed, 2, cycle]).permutation(self.distinct)
            self._order = (cycle, order)
        return int(self._order[1][place])

    def _open(self) -> StoredPictures:
        pool, teacher, seed = Pool.open(self.pool), Teacher(self.teacher), self.recipe.seed

        def make(number: int, earlier: Callable[[int], Image]) -> tuple[Image, Maps]:
            rng = np.random.default_rng([seed, 0, number])
            kind = rng.random() if number else 1.0
            if kind < MOSAICS:
                n = 2 if rng.random() < 0.7 else 3
                image = mosaic([earlier(int(i)) for i in rng.integers(0, number, n * n)], SIDE)
            elif kind < MOSAICS + PARTS:
                image = enlarged_part(rng, earlier(int(rng.integers(0, number))))
            else:
                image = compose(rng, pool)
            return image, teacher(image)

        return StoredPictures(self.store, self.distinct, SIDE, make)


class DistillationRun(DetectorRun):
    """A run whose loss is ``distillation_loss``."""

    columns = ("confidence", "box", "points")

    def __init__(self, recipe: DetectorRecipe, state: Path) -> None:
        super().__init__(recipe, state, SIDE)

    def loss(self, prediction: Prediction, targets: Tensor) -> tuple[Tensor, list[float]]:
        losses = distillation_loss(prediction, targets, self.corners, self.strides)
        return losses.total, [float(part.detach()) for part in losses]

    def begin_with(self, detector: bytes) -> None:
        """Initialize the network with the weights of a detector that ``export`` wrote."""
        load_exported(self.network, detector)
        self.average.load_state_dict(self.network.state_dict())


def distil_detector(
    pool: Path, teacher: bytes, recipe: DetectorRecipe, work: Path, out: Path,
    loop: LoopOptions = DEFAULT_LOOP, start: bytes | None = None, distinct: int = DISTINCT,
) -> bytes:  # fmt: skip
    """Distil until ``recipe.steps``; return the ONNX file, also written to ``out``.

    Args:
        pool: Folder that ``prepare`` filled.
        teacher: A YuNet-format ONNX file.
        recipe: The length of the run and its rates.
        work: Folder of ``state.pt``, from which training continues where it exists, of ``log.csv`` and of the
            composed pictures.
        out: The ONNX file to write.
        loop: See ``LoopOptions``.
        start: A detector that ``export`` wrote; a new run begins with its weights.
        distinct: How many pictures are composed.

    Raises:
        DataError: ``pool`` lacks images.
        TrainingError: The state cannot be resumed, or the loss is NaN or infinite.
    """
    Pool.open(pool)  # raises at once if something is missing
    run = DistillationRun(recipe, work / "state.pt")
    if start is not None and run.step == 0:
        run.begin_with(start)
    batches = PictureBatches(pool, teacher, recipe, work / "composed", distinct)
    return fit(run, batches, out, loop)


def prepare(photos: Path, chips: Path, scenery: Path, folder: Path, limit: int | None = None) -> None:
    """Collect the images to compose of into ``folder``, at most ``limit`` of each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "photos": list(People.from_folder(photos).split("train").paths),
        "chips": images_in(chips),
        "scenery": images_in(scenery),
    }
    sides = {"photos": FACES["photos"][0], "chips": FACES["chips"][0], "scenery": SCENERY}
    missing = {name: listed for name, listed in paths.items() if not (folder / f"{name}.npy").exists()}
    for name, chosen in limited(missing, limit):
        collect_images(chosen, sides[name], folder / f"{name}.npy")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = detector_parser(__doc__)
    parser.add_argument("--scenery", type=Path, required=True, help="pictures without people")
    parser.add_argument("--start", type=Path, help="begin with the weights of this detector of ours")
    parser.add_argument("--distinct", type=int, default=DISTINCT, help="pictures to compose")
    options = parser.parse_args(arguments)

    def train(recipe: DetectorRecipe, loop: LoopOptions) -> bytes:
        pool = options.work / "pool"
        prepare(options.photos, options.chips, options.scenery, pool, options.limit)
        start = None if options.start is None else options.start.read_bytes()
        return distil_detector(
            pool, options.teacher.read_bytes(), recipe, options.work, options.out, loop, start,
            options.distinct,
        )  # fmt: skip

    run_command("detector_distillation", options, train)


if __name__ == "__main__":
    main()
