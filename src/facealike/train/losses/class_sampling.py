"""Classification losses over a sample of the classes, with the classes divided among the processes.

Each step classifies among the people of its batch and random other ones.  Only their class vectors are read,
get a gradient and are changed by the optimizer (``optim.row_adamw``).  The sample follows from the seed of
the step and not from the number of processes; each process keeps the vectors of its part of the classes.

Source: An et al., "Killing two birds with one stone: efficient and robust training of face recognition CNNs
by partial FC", CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..distributed.collectives import count, entering, highest, portion, summed, whole_on_main
from ..recipe.schema import LossSpec
from .adaface import AdaFaceMargin
from .margins import AngularMargin, CosineMargin

BLOCK = 65_536  # class vectors that are drawn at a time, so that no process draws all of them at once
DEVIATION = 0.01  # of the first class vectors; see classifier in criterion.py


class SampledClasses(nn.Module):
    """The mean cross-entropy of embeddings (n, d) and labels (n,) over a sample of ``people`` classes.

    With ``class_share`` 1 it is the loss of all classes.  Embeddings and labels are those of the whole batch,
    and every process returns the same loss.

    Args:
        spec: The recipe's ``[loss]``: ``cosface``, ``arcface`` or ``adaface``.
        people: Number of classes.
        dimensions: d.
    """

    def __init__(self, spec: LossSpec, people: int, dimensions: int) -> None:
        super().__init__()
        self.people, self.scale = people, spec.scale
        self.sampled = max(1, round(spec.class_share * people))
        margins = {"cosface": CosineMargin, "arcface": AngularMargin, "adaface": AdaFaceMargin}
        self.margin: nn.Module = margins[spec.name](spec.margin)
        self.part = portion(people)
        self.vectors = nn.Parameter(first_vectors(people, dimensions, self.part))
        self._seed = 0

    def at_step(self, seed: int) -> None:
        """Draw the classes of the following calls from ``seed``."""
        self._seed = seed

    def chosen(self, labels: Tensor) -> Tensor:
        """Return the classes of the sample, sorted: those of ``labels`` and random other ones."""
        own = torch.unique(labels).cpu()
        # Drawn on the CPU, so that a seed means the same on every device.
        keys = torch.rand(self.people, generator=Generator().manual_seed(self._seed))
        keys[own] = 2.0
        return keys.topk(max(self.sampled, len(own))).indices.sort().values

    def forward(self, embeddings: Tensor, labels: Tensor, _: Any = None) -> Tensor:
        margin: Any = self.margin
        quality = margin.quality(embeddings.detach().norm(dim=1))
        classes = self.chosen(labels)
        mine = classes[(classes >= self.part.start) & (classes < self.part.stop)] - self.part.start
        mine = mine.to(labels.device)
        vectors = F.embedding(mine, self.vectors, sparse=True)
        cosines = F.normalize(entering(embeddings)) @ F.normalize(vectors).T
        # The images whose own class is among the vectors of this process, and its column.
        rows = ((labels >= self.part.start) & (labels < self.part.stop)).nonzero().flatten()
        columns = torch.searchsorted(mine, labels[rows] - self.part.start)
        target = self.scale * margin.with_margin(cosines[rows, columns], quality[rows])
        logits = (self.scale * cosines).index_put((rows, columns), target)
        lowest = logits.new_full((len(logits), 1), -torch.inf)  # a process may have no class of the sample
        most = highest(torch.cat([logits, lowest], dim=1).amax(dim=1))
        total = summed(torch.exp(logits - most[:, None]).sum(dim=1))
        own = summed(logits.new_zeros(len(logits)).index_put((rows,), target))
        return (most + total.log() - own).mean()


def first_vectors(people: int, dimensions: int, part: slice) -> Tensor:
    """Return the first vectors of the classes of ``part``, from torch's random state."""
    seed = int(torch.randint(2**62, ()))
    vectors = torch.empty(part.stop - part.start, dimensions)
    for start in range(part.start // BLOCK * BLOCK, part.stop, BLOCK):
        block = torch.empty(min(BLOCK, people - start), dimensions)
        block.normal_(std=DEVIATION, generator=Generator().manual_seed(seed + start))
        first, last = max(start, part.start), min(start + BLOCK, part.stop)
        vectors[first - part.start : last - part.start] = block[first - start : last - start]
    return vectors


def sampled_classes(module: nn.Module) -> dict[str, SampledClasses]:
    """Return the losses in ``module`` that sample classes, under the names of their vectors."""
    return {
        f"{name}.vectors".removeprefix("."): child
        for name, child in module.named_modules() if isinstance(child, SampledClasses)
    }  # fmt: skip


def join_parts(module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Put the vectors of all processes, and their optimizer's state, into the checkpoint of the first one.

    So a run continues with any number of processes.  All processes must call it.

    Args:
        module: The module in training.
        checkpoint: Lightning's checkpoint with the part of this process.
    """
    if count() > 1:
        _replace(module, checkpoint, lambda rows, loss: whole_on_main(rows, loss.people))


def take_part(module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Leave the part of this process in a checkpoint with the vectors of all classes."""
    if count() > 1:
        _replace(module, checkpoint, lambda rows, loss: rows[loss.part].clone())


def _replace(
    module: nn.Module, checkpoint: dict[str, Any], change: Callable[[Tensor, SampledClasses], Tensor | None]
) -> None:
    """Replace the class vectors in a checkpoint, and the state of each of their rows."""
    losses = sampled_classes(module)
    for name, loss in losses.items():
        checkpoint["state_dict"][name] = change(checkpoint["state_dict"][name], loss)
    for optimizer in checkpoint.get("optimizer_states", ()):  # none in a checkpoint of weights only
        groups = [group for group in optimizer["param_groups"] if group.get("rows")]
        numbers = [number for group in groups for number in group["params"]]
        for number, loss in zip(numbers, losses.values(), strict=True):
            # Not changed in place: the optimizer goes on with the same dictionary.
            old = optimizer["state"].get(number, {})
            optimizer["state"][number] = {key: change(value, loss) for key, value in old.items()}
