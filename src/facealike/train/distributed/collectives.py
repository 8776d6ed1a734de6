"""What the processes of a run exchange: rows of a batch, with gradients, and sums.

Rows of a batch are divided in order: process r of P has rows n r / P to n (r + 1) / P.  Each process computes
the loss of the whole batch from the gathered embeddings, and DistributedDataParallel takes the *mean* of the
weights' gradients.  So the gradient of the rows that a process contributed is multiplied by P in ``gather``:
the mean is then the gradient that one process with the whole batch would have.

In one process all functions return their argument.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...errors import TrainingError

_slow: Any = None  # a group on the CPU for long waits, see group.joined


def rank() -> int:
    """Return the number of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this is process 0, which writes and prints."""
    return rank() == 0


def portion(total: int) -> slice:
    """Return the rows of this process out of ``total``."""
    return bounds(total)[rank()]


def bounds(total: int) -> list[slice]:
    """Return the rows of each process out of ``total``."""
    ends = [total * number // count() for number in range(count() + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def check_portions(*totals: int) -> None:
    """Refuse totals of which some process would have nothing.

    Raises:
        TrainingError: There are more processes than images in a batch or photos to validate on.
    """
    if min(totals) < count():
        raise TrainingError(
            f"{min(totals)} images cannot be divided among {count()} processes; lower --devices or raise "
            "training.batch_size"
        )


def gather(rows: Tensor, total: int) -> Tensor:
    """Return the rows of all processes, (total, ...), from those of this process, with a gradient.

    The gradient of the own rows is multiplied by the number of processes, because DistributedDataParallel
    divides by it.  It is complete only if each process computes the same loss from the gathered rows.
    """
    apply: Any = _Gather.apply
    gathered: Tensor = rows if count() == 1 else apply(rows, total)
    return gathered


def whole_on_main(rows: Tensor, total: int) -> Tensor | None:
    """Return the rows of all processes, (total, ...), on the CPU of process 0, and None in the others.

    Only process 0 needs the memory for all of them.
    """
    if count() == 1:
        return rows
    mine = _padded(rows.detach().cpu(), total)
    if not is_main():
        dist.gather(mine, None, group=_slow)
        return None
    parts = [torch.empty_like(mine) for _ in range(count())]
    dist.gather(mine, parts, group=_slow)
    return _joined(parts, total)


def entering(replicated: Tensor) -> Tensor:
    """Return a tensor that is equal in all processes, each of which continues with a part of the work.

    Its gradient is the sum of those of all processes.
    """
    apply: Any = _Entering.apply
    same: Tensor = replicated if count() == 1 else apply(replicated)
    return same


def summed(part: Tensor) -> Tensor:
    """Return the sum over all processes; the gradient of each part is that of the sum."""
    apply: Any = _Summed.apply
    total: Tensor = part if count() == 1 else apply(part)
    return total


def highest(part: Tensor) -> Tensor:
    """Return the largest of all processes, element by element, without a gradient."""
    most = part.detach().clone()
    if count() > 1:
        dist.all_reduce(most, dist.ReduceOp.MAX)
    return most


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, total: int) -> Tensor:
        ctx.total = total
        mine = _padded(rows, total)
        parts = [torch.empty_like(mine) for _ in range(count())]
        # NCCL gathers tensors on a GPU only.
        dist.all_gather(parts, mine, group=None if rows.is_cuda else _slow)
        return _joined(parts, total)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0][portion(ctx.total)] * count(), None


class _Entering(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, replicated: Tensor) -> Tensor:
        return replicated.view_as(replicated)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _all_summed(gradients[0])


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return _all_summed(part)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def _all_summed(part: Tensor) -> Tensor:
    total = part.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def _padded(rows: Tensor, total: int) -> Tensor:
    """Return the rows with zeros after them, as many in each process."""
    most = -(-total // count())
    padding = rows.new_zeros(most - len(rows), *rows.shape[1:])
    return torch.cat([rows.detach(), padding]).contiguous()


def _joined(parts: list[Tensor], total: int) -> Tensor:
    sizes = [rows.stop - rows.start for rows in bounds(total)]
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
