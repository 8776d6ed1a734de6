"""Train the network that classifies which way up a face is, on a YuNet detector's faces.

    python -m facealike.train.orientation.run --pool FOLDER --teacher yunet.onnx \\
        --detector detector.onnx --out turned.onnx

``FOLDER`` is the pool of images that ``facealike.train.detector.dense_distillation`` collects.  The file that
is written is the detector, which carries the network; without ``--detector`` it is the network alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...detection.orientation import SIZE, TURNS, with_orientation
from ...detection.yunet import YuNetDetector
from ...model_zoo.quantization import convert_fp16
from ...utils.atomic_write import write_bytes
from ..command import add_recipe_options, command_parser, log_line, one_sentence_errors
from ..detector.pictures import Pool
from ..export_onnx import to_onnx
from ..networks.ema import Average
from ..networks.resnet import convolution
from ..optim.mixed_precision import autocast
from .crops import FAINT, PER_PHOTO, collect, examples

HELD_OUT = 0.05
"""Share of the crops on which the network is measured."""
WIDTHS = (16, 32, 64, 64)
PER_SCENE = 20 * PER_PHOTO
"""Places taken from a picture without people: they are few, and large."""


@dataclass(frozen=True)
class OrientationRecipe:
    """The length of a run and its rate.

    Args:
        steps: Steps of the whole run.
        batch: Crops per step; half of them are faces.
        rate: The largest learning rate.
        seed: Random seed.
    """

    steps: int = 5000
    batch: int = 256
    rate: float = 4e-3
    seed: int = 0


RECIPE_OPTIONS = tuple(field.name for field in fields(OrientationRecipe))


class OrientationNet(nn.Module):
    """Crops, (n, 3, SIZE, SIZE) in 0..1, to logits (n, 5)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, out in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [convolution(wide, out, 2), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTHS[-1] * (SIZE // 16) ** 2, TURNS + 1)

    def forward(self, crops: Tensor) -> Tensor:
        """Return logits (n, 5)."""
        made: Tensor = self.head(self.body(crops * 2 - 1).flatten(1))
        return made


class Probabilities(nn.Module):
    """The network with a softmax, for the exporter."""

    def __init__(self, network: OrientationNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> Tensor:
        """Return probabilities (n, 5)."""
        logits: Tensor = self.network(crops)
        return logits.softmax(dim=1)


def gather(pool: Pool, teacher: YuNetDetector, limit: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return stored crops of at most ``limit`` photos and as many chips, and whether each is a face."""
    rng = np.random.default_rng(seed)
    made = [each for some in (pool.photos, pool.chips) for each in collect(some[:limit], teacher, rng)]
    made += collect(pool.scenery, teacher, rng, PER_SCENE)
    order = rng.permutation(len(made))
    crops: NDArray[np.uint8] = np.stack([made[i][0] for i in order])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous(), torch.tensor([made[i][1] for i in order])


def train(crops: Tensor, face: Tensor, recipe: OrientationRecipe) -> OrientationNet:
    """Return the averaged network at the end of the run."""
    torch.manual_seed(recipe.seed)
    half = recipe.batch // 2
    network = OrientationNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = Average(network, 0.998)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.steps, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(recipe.seed)
    kinds = [torch.nonzero(face == kind)[:, 0] for kind in (True, False)]
    begun = time.perf_counter()
    for step in range(1, recipe.steps + 1):
        drawn = [kind[torch.randint(len(kind), (half,), generator=generator)] for kind in kinds]
        rows = torch.cat(drawn)[torch.randperm(2 * half, generator=generator)]
        shown, classes = examples(crops[rows], face[rows], generator)
        with autocast("auto", "cpu"):
            logits = network(shown.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), classes, label_smoothing=0.02)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        average.update(network, step)
        if step % 200 == 0:
            log_line(f"step {step}: loss {loss.item():.4f}, {time.perf_counter() - begun:.0f} s")
    made: OrientationNet = average.network.eval()  # type: ignore[assignment]
    return made


@torch.no_grad()
def measure(network: OrientationNet, crops: Tensor, face: Tensor) -> dict[str, float]:
    """Return the shares of faces with the right turn, of missed faces, and of places taken for faces."""
    shown, classes = examples(crops, face, torch.Generator().manual_seed(1))
    found = network(shown).argmax(dim=1)
    return {
        "right": float((found == classes)[face].float().mean()),
        "missed": float((found == TURNS)[face].float().mean()),
        "false": float((found != TURNS)[~face].float().mean()),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--pool", type=Path, required=True, help="photos.npy, chips.npy and scenery.npy")
    parser.add_argument("--teacher", type=Path, required=True, help="a YuNet-format ONNX")
    parser.add_argument("--detector", type=Path, help="a YuNet-format ONNX that is to carry the network")
    parser.add_argument("--out", type=Path, required=True, help="write the file here")
    parser.add_argument("--limit", type=int, default=6000, help="at most so many photos, and so many chips")
    add_recipe_options(parser, OrientationRecipe(), *RECIPE_OPTIONS)
    options = parser.parse_args(arguments)
    with one_sentence_errors("orientation"):
        recipe = OrientationRecipe(**{name: getattr(options, name) for name in RECIPE_OPTIONS})
        teacher = YuNetDetector(options.teacher, FAINT, threads=1)
        crops, face = gather(Pool.open(options.pool), teacher, options.limit, recipe.seed)
        log_line(f"{int(face.sum()):,} faces and {int((~face).sum()):,} places without one")
        held = int(len(face) * HELD_OUT)
        network = train(crops[held:], face[held:], recipe)
        log_line(str(measure(network, crops[:held], face[:held])))
        example = torch.rand(4, 3, SIZE, SIZE)
        network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        content = convert_fp16(to_onnx(Probabilities(network).eval(), example, "crops", "probabilities"))
        if options.detector is not None:
            content = with_orientation(options.detector.read_bytes(), content)
        write_bytes(options.out, content)


if __name__ == "__main__":
    main()
