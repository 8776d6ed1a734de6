"""Augmentation of whole batches as tensors: every image gets its own draw, no loop over images.

All draws come from the generator that is handed in, so a step can be repeated exactly.  Strength
zero of any part leaves the images as they are.

What is written here is what costs: each pass over a batch is memory to be moved.  So colour is one
linear map of pixel and grey instead of three, the grid is made by broadcasting, and tensors that this
module made itself are changed in place.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..recipe.schema import AugmentSpec

BEND_POINTS = 4  # a side, of the grid whose shifts bend a face


class Augmentation:
    """Changes training images as strongly as ``spec`` says."""

    def __init__(self, spec: AugmentSpec) -> None:
        self.spec = spec

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Float images (n, 3, S, S) in 0..255 -> the same shape and range."""
        draw = Draw(images, generator)
        moved = self._geometry(images, draw)
        # From here on the batch is ours to change.
        images = moved.clone() if moved is images else moved
        self._resolution(images, draw)
        self._colour(images, draw)
        self._occlusion(images, draw)
        if self.spec.noise:
            level = draw.uniform(0, self.spec.noise)
            images.addcmul_(draw.normal(*images.shape[1:]), level)
        return images.clamp_(0, 255)

    def _geometry(self, images: Tensor, draw: Draw) -> Tensor:
        mirrored = draw.chance(self.spec.flip)
        if not (self.spec.rotation or self.spec.scale or self.spec.shift or self.spec.bend):
            if self.spec.flip:
                return torch.where(mirrored, images.flip(3), images)
            return images
        mirror = torch.where(mirrored, -1.0, 1.0)
        angle = draw.uniform(-1, 1) * math.radians(self.spec.rotation)
        zoom = torch.exp(draw.uniform(-1, 1) * math.log1p(self.spec.scale))
        dx, dy = (draw.uniform(-2, 2) * self.spec.shift for _ in range(2))
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        side = images.shape[-1]
        axis = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # of pixel centres, -1 to 1
        x, y = axis.view(1, 1, side, 1), axis.view(1, side, 1, 1)
        column, row = torch.cat([cos, sin], dim=3), torch.cat([-sin, cos], dim=3)
        # Where in the photo each pixel comes from: (n, 1, S, 2) + (n, S, 1, 2).
        grid = x * (mirror * column) + (y * row + torch.cat([dx, dy], dim=3))
        if self.spec.bend:
            grid = grid + self._bends(images, draw)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _bends(self, images: Tensor, draw: Draw) -> Tensor:
        """How far each pixel is moved, (n, S, S, 2): random shifts of a coarse grid, made smooth."""
        side = images.shape[-1]
        coarse = 2 * self.spec.bend * draw.normal(2, BEND_POINTS, BEND_POINTS)
        smooth = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
        return smooth.permute(0, 2, 3, 1)

    def _resolution(self, images: Tensor, draw: Draw) -> None:
        side = images.shape[-1]
        if self.spec.blur:
            chosen, weight = draw.chosen(self.spec.blur), draw.uniform(0.3, 1.0)
            part = images[chosen]
            soft = F.avg_pool2d(F.pad(part, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
            images[chosen] = part.lerp_(soft, weight[chosen])
        if self.spec.low_resolution:
            # One small size a batch keeps this a single tensor operation; "area" averages pixels.
            chosen, small = (
                draw.chosen(self.spec.low_resolution),
                int(side * float(draw.uniform(0.25, 0.6)[0])),
            )
            coarse = F.interpolate(images[chosen], size=small, mode="area")
            images[chosen] = F.interpolate(coarse, size=side, mode="bilinear", align_corners=False)

    def _colour(self, images: Tensor, draw: Draw) -> None:
        """Brightness, contrast and saturation, one after the other, as one map of pixel and grey."""
        spec = self.spec
        if not (spec.brightness or spec.contrast or spec.saturation or spec.grey):
            return
        one = torch.ones(len(images), 1, 1, 1, device=images.device)
        bright = one + draw.uniform(-1, 1) * spec.brightness if spec.brightness else one
        contrast = one + draw.uniform(-1, 1) * spec.contrast if spec.contrast else one
        keep = one
        if spec.saturation or spec.grey:
            keep = one + draw.uniform(-1, 1) * spec.saturation
            keep = torch.where(draw.chance(spec.grey), 0.0, keep)
        # x -> bright x; about its mean, times contrast; about its grey, times keep.
        grey = images.mean(dim=1, keepdim=True)
        mean = grey.mean(dim=(2, 3), keepdim=True)
        pull = bright * contrast
        images.mul_(pull * keep).add_(grey.mul_(pull * (1 - keep)).add_(mean * bright * (1 - contrast)))

    def _occlusion(self, images: Tensor, draw: Draw) -> None:
        if not self.spec.cutout:
            return
        side = images.shape[-1]
        axis = torch.arange(side, device=images.device)
        inside = []
        for shape in ((1, 1, side, 1), (1, 1, 1, side)):
            centre, half = draw.uniform(0, side), draw.uniform(0.08, 0.22) * side
            inside.append((axis.view(shape) - centre).abs() <= half)
        chosen, value = draw.chosen(self.spec.cutout), draw.uniform(0, 255)
        hole = inside[0][chosen] & inside[1][chosen]
        images[chosen] = torch.where(hole, value[chosen], images[chosen])


def shrink(images: Tensor, side: int) -> Tensor:
    """Images (n, 3, S, S) -> (n, 3, side, side), each pixel a mean over those it covers."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def mix(images: Tensor, alpha: float, generator: Generator) -> tuple[Tensor, Tensor, float]:
    """Each image laid over another one: the mixed images, each one's partner (n,), and its own share.

    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018: one
    share a batch, from Beta(alpha, alpha); the loss is mixed alike.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    return images[partner].lerp_(images, share), partner, share


class Draw:
    """Random numbers, one an image, shaped (n, 1, 1, 1) to broadcast over a batch."""

    def __init__(self, images: Tensor, generator: Generator) -> None:
        self._count, self._device, self._generator = len(images), images.device, generator

    def uniform(self, low: float, high: float) -> Tensor:
        # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
        unit = torch.rand(self._count, 1, 1, 1, generator=self._generator)
        return (low + (high - low) * unit).to(self._device)

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def chosen(self, probability: float) -> Tensor:
        """Indices of the images that a change is applied to."""
        return self.chance(probability).flatten().nonzero().flatten()

    def normal(self, *shape: int) -> Tensor:
        """(n, *shape), of mean 0 and variance 1."""
        return torch.randn(self._count, *shape, generator=self._generator).to(self._device)
