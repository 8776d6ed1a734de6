"""Train a detector on scenes composed of pseudo-labeled photos, from the data to the ONNX file.

    python -m facealike.train.detector.run --photos LFW --chips FAIRFACE/train --teacher yunet.onnx \\
        --work FOLDER --out detector.onnx

The command labels the photos once (``pseudo_labels``), composes scenes (``scenes``), trains on them and
writes the network.  The same command continues an interrupted run.  More ``--steps`` than before prolong a
run whose learning rate has not begun to fall; with no more than are done already, only the file is written.
Of LFW only training people are used (``datasets.splits.split_of``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...datasets.people import People
from ...detection.yunet import YuNetDetector
from ..command import log_line
from .command import detector_parser, images_in, limited, run_command
from .loss import Targets
from .pseudo_labels import FAINT, Kind, Sources, collect
from .scenes import compose
from .training import DEFAULT_LOOP, DetectorRecipe, DetectorRun, LoopOptions, fit


class SceneBatches(Dataset[tuple[Tensor, Targets]]):
    """Item i is batch i of a run: BGR uint8 (batch, 3, SIDE, SIDE) and its targets, always the same."""

    def __init__(self, folder: Path, recipe: DetectorRecipe) -> None:
        self.folder, self.recipe = folder, recipe
        self._sources: Sources | None = None  # opened by each worker for itself

    def __len__(self) -> int:
        return self.recipe.steps

    def __getitem__(self, number: int) -> tuple[Tensor, Targets]:
        if self._sources is None:
            self._sources = Sources(self.folder)
        rngs = [np.random.default_rng([self.recipe.seed, number, i]) for i in range(self.recipe.batch)]
        scenes = [compose(rng, self._sources) for rng in rngs]
        pixels = np.stack([scene.image[:, :, ::-1] for scene in scenes])
        return torch.from_numpy(pixels).permute(0, 3, 1, 2), Targets.of(scenes)


def train_detector(
    sources: Path, recipe: DetectorRecipe, work: Path, out: Path, loop: LoopOptions = DEFAULT_LOOP
) -> bytes:
    """Train until ``recipe.steps``; return the ONNX file, also written to ``out``.

    Args:
        sources: Folder of the shards that ``prepare`` wrote.
        recipe: The length of the run and its rates.
        work: Folder of ``state.pt``, from which training continues where it exists, and of ``log.csv``.
        out: The ONNX file to write.
        loop: See ``LoopOptions``.

    Raises:
        DataError: ``sources`` lacks images or backgrounds.
        TrainingError: The state cannot be resumed, or the loss is NaN or infinite.
    """
    Sources(sources)  # raises at once if something is missing
    return fit(DetectorRun(recipe, work / "state.pt"), SceneBatches(sources, recipe), out, loop)


def prepare(photos: Path, chips: Path, teacher: Path, folder: Path, limit: int | None = None) -> None:
    """Label LFW's training people and the chips into ``folder``, at most ``limit`` photos of each."""
    detector = YuNetDetector(teacher, min_confidence=FAINT, threads=torch.get_num_threads())

    def report(done: int, of: int) -> None:
        log_line(f"labeled {done:,} of {of:,}")

    paths: dict[Kind, list[Path]] = {
        "photos": list(People.from_folder(photos).split("train").paths),
        "chips": images_in(chips),
    }
    for kind, chosen in limited(paths, limit):
        collect(chosen, kind, detector, folder, report)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    options = detector_parser(__doc__).parse_args(arguments)

    def train(recipe: DetectorRecipe, loop: LoopOptions) -> bytes:
        sources = options.work / "sources"
        prepare(options.photos, options.chips, options.teacher, sources, options.limit)
        return train_detector(sources, recipe, options.work, options.out, loop)

    run_command("detector_run", options, train)


if __name__ == "__main__":
    main()
