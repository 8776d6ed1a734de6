"""Batch normalization over the images of all processes, so that a batch may be divided without a change.

torch's own ``SyncBatchNorm`` runs on a GPU only; this one runs on a CPU, too, and is exact for parts of
different sizes.

Source: Ioffe and Szegedy, "Batch normalization", ICML 2015; means and variances of parts are combined as in
Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .collectives import count


def synchronized(network: nn.Module) -> nn.Module:
    """Replace all batch normalization in ``network``, if there are several processes; return the network.

    Parameters and statistics are shared with the original and keep their names.
    """
    if count() == 1:
        return network
    if isinstance(network, nn.BatchNorm1d | nn.BatchNorm2d):
        return SynchronizedBatchNorm.of(network)
    for name, child in list(network.named_children()):
        setattr(network, name, synchronized(child))
    return network


class SynchronizedBatchNorm(_BatchNorm):
    """Batch normalization of (n, c, ...) whose statistics in training are those of all processes."""

    @classmethod
    def of(cls, other: _BatchNorm) -> SynchronizedBatchNorm:
        """Return one with the settings, parameters and statistics of ``other``."""
        made = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            setattr(made, name, getattr(other, name))
        return made.train(other.training)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError("batch normalization takes (n, c, ...)")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        mean, variance, items = moments(input.detach())
        settings: Any = self  # torch's types allow a layer without statistics
        with torch.no_grad():
            settings.num_batches_tracked.add_(1)
            settings.running_mean.lerp_(mean, settings.momentum)
            settings.running_var.lerp_(variance * (items / max(items - 1, 1)), settings.momentum)
        apply: Any = _Normalize.apply
        normalized: Tensor = apply(input, self.weight, self.bias, mean, variance, (self.eps, items))
        return normalized


def moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return mean and variance of each channel, (c,), over all processes, and the number of items."""
    over = [0, *range(2, x.dim())]
    items = x.numel() // x.shape[1]
    variance, mean = torch.var_mean(x.float(), over, correction=0)
    own = torch.cat([mean, variance, mean.new_tensor([items])])
    parts = [torch.empty_like(own) for _ in range(count())]
    dist.all_gather(parts, own)
    means, variances, sizes = torch.stack(parts).double().tensor_split([len(mean), 2 * len(mean)], dim=1)
    share = sizes / sizes.sum()
    whole = (share * means).sum(dim=0)
    spread = (share * (variances + (means - whole).square())).sum(dim=0)
    return whole.float(), spread.float(), int(sizes.sum())


class _Normalize(torch.autograd.Function):
    """The normalization with given statistics; its gradient counts that these depend on the input."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor,
        settings: tuple[float, int],
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.items = settings
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, ctx.eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, mean, variance = ctx.saved_tensors
        shape = (1, -1, *[1] * (x.dim() - 2))
        over = [0, *range(2, x.dim())]
        inverse = torch.rsqrt(variance + ctx.eps)
        given = gradients[0].float()
        normal = (x.float() - mean.view(shape)) * inverse.view(shape)
        own = torch.stack([given.sum(dim=over), (given * normal).sum(dim=over)])
        whole = own.clone()
        dist.all_reduce(whole)
        level, slope = (whole / ctx.items).view(2, *shape)
        scale = (weight.float() * inverse).view(shape)
        back = (given - level - normal * slope) * scale
        return back.to(x.dtype), own[1].to(weight.dtype), own[0].to(weight.dtype), None, None, None
