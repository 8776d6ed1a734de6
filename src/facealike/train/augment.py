"""Augmentation of whole batches as tensors: every image gets its own draw, no loop over images.

All draws come from the generator that is handed in, so a step can be repeated exactly.  Strength
zero of any part leaves the images as they are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from .recipe import AugmentSpec


class Augmentation:
    """Changes training images as strongly as ``spec`` says."""

    def __init__(self, spec: AugmentSpec) -> None:
        self.spec = spec

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Float images (n, 3, S, S) in 0..255 -> the same shape and range."""
        draw = Draw(images, generator)
        images = self._geometry(images, draw)
        images = self._resolution(images, draw)
        images = self._colour(images, draw)
        images = self._occlusion(images, draw)
        if self.spec.noise:
            level = draw.uniform(0, self.spec.noise)
            images = images + level * draw.normal_like(images)
        return images.clamp(0, 255)

    def _geometry(self, images: Tensor, draw: Draw) -> Tensor:
        mirror = torch.where(draw.chance(self.spec.flip), -1.0, 1.0).flatten()
        if not (self.spec.rotation or self.spec.scale or self.spec.shift):
            return torch.where(mirror.view(-1, 1, 1, 1) < 0, images.flip(3), images)
        angle = draw.uniform(-1, 1).flatten() * math.radians(self.spec.rotation)
        zoom = torch.exp(draw.uniform(-1, 1).flatten() * math.log1p(self.spec.scale))
        dx, dy = (draw.uniform(-2, 2).flatten() * self.spec.shift for _ in range(2))
        cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
        rows = torch.stack([cos * mirror, -sin, dx, sin * mirror, cos, dy], dim=1)
        grid = F.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _resolution(self, images: Tensor, draw: Draw) -> Tensor:
        side = images.shape[-1]
        if self.spec.blur:
            chosen, weight = draw.chosen(self.spec.blur), draw.uniform(0.3, 1.0)
            part = images[chosen]
            soft = F.avg_pool2d(F.pad(part, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
            images[chosen] = part.lerp(soft, weight[chosen])
        if self.spec.low_resolution:
            # One small size a batch keeps this a single tensor operation; "area" averages pixels.
            chosen, small = (
                draw.chosen(self.spec.low_resolution),
                int(side * float(draw.uniform(0.25, 0.6)[0])),
            )
            coarse = F.interpolate(images[chosen], size=small, mode="area")
            images[chosen] = F.interpolate(coarse, size=side, mode="bilinear", align_corners=False)
        return images

    def _colour(self, images: Tensor, draw: Draw) -> Tensor:
        if self.spec.brightness:
            images = images * (1 + draw.uniform(-1, 1) * self.spec.brightness)
        if self.spec.contrast:
            mean = images.mean(dim=(1, 2, 3), keepdim=True)
            images = (images - mean) * (1 + draw.uniform(-1, 1) * self.spec.contrast) + mean
        if self.spec.saturation or self.spec.grey:
            grey = images.mean(dim=1, keepdim=True)
            keep = 1 + draw.uniform(-1, 1) * self.spec.saturation
            keep = torch.where(draw.chance(self.spec.grey), 0.0, keep)
            images = (images - grey) * keep + grey
        return images

    def _occlusion(self, images: Tensor, draw: Draw) -> Tensor:
        if not self.spec.cutout:
            return images
        side = images.shape[-1]
        axis = torch.arange(side, device=images.device)
        inside = []
        for shape in ((1, 1, side, 1), (1, 1, 1, side)):
            centre, half = draw.uniform(0, side), draw.uniform(0.08, 0.22) * side
            inside.append((axis.view(shape) - centre).abs() <= half)
        hole = inside[0] & inside[1] & draw.chance(self.spec.cutout)
        return torch.where(hole, draw.uniform(0, 255), images)


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

    def normal_like(self, images: Tensor) -> Tensor:
        return torch.randn(images.shape, generator=self._generator).to(self._device)
