"""Augmentation of whole batches as tensors; each image has its own random draw.

All draws come from the generator that is passed in, so that a step can be repeated exactly.

Cost is memory traffic, one pass over the batch per operation.  So brightness, contrast and saturation are one
linear map of pixel and gray, the grid is made by broadcasting, and tensors made here are changed in place.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..distributed.collectives import portion
from ..recipe.schema import AugmentSpec

BEND_POINTS = 4  # points per side of the grid of random shifts


class Augmentation:
    """Augment training images with the strengths in ``spec``; zero leaves images as they are."""

    def __init__(self, spec: AugmentSpec) -> None:
        self.spec = spec

    def __call__(self, images: Tensor, generator: Generator, total: int | None = None) -> Tensor:
        """Return augmented images; float (n, 3, S, S) in 0..255, as the input.

        Args:
            images: The images.
            generator: All draws come from it.
            total: Images of the whole batch, of which ``images`` are the portion of this process; None
                takes ``images`` as the whole.
        """
        draw = Draw(images, generator, total)
        moved = self._geometry(images, draw)
        # From here on the batch is changed in place.
        images = moved.clone() if moved is images else moved
        self._resolution(images, draw)
        self._color(images, draw)
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
        axis = (2 * torch.arange(side, device=images.device) + 1) / side - 1  # pixel centers, -1 to 1
        x, y = axis.view(1, 1, side, 1), axis.view(1, side, 1, 1)
        column, row = torch.cat([cos, sin], dim=3), torch.cat([-sin, cos], dim=3)
        # Where in the photo each pixel comes from: (n, 1, S, 2) + (n, S, 1, 2).
        grid = x * (mirror * column) + (y * row + torch.cat([dx, dy], dim=3))
        if self.spec.bend:
            grid = grid + self._bends(images, draw)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _bends(self, images: Tensor, draw: Draw) -> Tensor:
        """Return the shift of each pixel, (n, S, S, 2): random shifts of a coarse grid, interpolated."""
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
            # One size for the batch keeps this a single tensor operation; "area" averages pixels.
            chosen, small = (
                draw.chosen(self.spec.low_resolution),
                int(side * draw.once(0.25, 0.6)),
            )
            coarse = F.interpolate(images[chosen], size=small, mode="area")
            images[chosen] = F.interpolate(coarse, size=side, mode="bilinear", align_corners=False)

    def _color(self, images: Tensor, draw: Draw) -> None:
        """Change brightness, then contrast, then saturation, as one map of pixel and gray."""
        spec = self.spec
        if not (spec.brightness or spec.contrast or spec.saturation or spec.gray):
            return
        one = torch.ones(len(images), 1, 1, 1, device=images.device)
        bright = one + draw.uniform(-1, 1) * spec.brightness if spec.brightness else one
        contrast = one + draw.uniform(-1, 1) * spec.contrast if spec.contrast else one
        keep = one
        if spec.saturation or spec.gray:
            keep = one + draw.uniform(-1, 1) * spec.saturation
            keep = torch.where(draw.chance(spec.gray), 0.0, keep)
        # x -> bright x; then times contrast about the mean; then times keep about the gray.
        gray = images.mean(dim=1, keepdim=True)
        mean = gray.mean(dim=(2, 3), keepdim=True)
        gain = bright * contrast
        images.mul_(gain * keep).add_(gray.mul_(gain * (1 - keep)).add_(mean * bright * (1 - contrast)))

    def _occlusion(self, images: Tensor, draw: Draw) -> None:
        if not self.spec.cutout:
            return
        side = images.shape[-1]
        axis = torch.arange(side, device=images.device)
        inside = []
        for shape in ((1, 1, side, 1), (1, 1, 1, side)):
            center, half = draw.uniform(0, side), draw.uniform(0.08, 0.22) * side
            inside.append((axis.view(shape) - center).abs() <= half)
        chosen, value = draw.chosen(self.spec.cutout), draw.uniform(0, 255)
        hole = inside[0][chosen] & inside[1][chosen]
        images[chosen] = torch.where(hole, value[chosen], images[chosen])


def shrink(images: Tensor, side: int) -> Tensor:
    """Return images (n, 3, S, S) reduced to (n, 3, side, side); each pixel is a mean over those it covers."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def mix(images: Tensor, alpha: float, generator: Generator) -> tuple[Tensor, Tensor, float]:
    """Return mixed images, the partner of each image (n,), and the share of the image itself.

    One share is drawn for the batch from Beta(alpha, alpha); the loss is mixed alike.

    Source:
        Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    return images[partner].lerp_(images, share), partner, share


class Draw:
    """Random numbers, one per image, of shape (n, 1, 1, 1) to broadcast over a batch."""

    def __init__(self, images: Tensor, generator: Generator, total: int | None = None) -> None:
        self._count, self._device, self._generator = total or len(images), images.device, generator
        # Draws are made for the whole batch, so that they do not depend on the number of processes.
        self._mine = slice(None) if total is None else portion(total)

    def uniform(self, low: float, high: float) -> Tensor:
        """Return numbers in [low, high)."""
        # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
        return self._all_uniform(low, high)[self._mine].to(self._device)

    def once(self, low: float, high: float) -> float:
        """Return one number in [low, high) for the whole batch."""
        return float(self._all_uniform(low, high)[0])

    def _all_uniform(self, low: float, high: float) -> Tensor:
        unit = torch.rand(self._count, 1, 1, 1, generator=self._generator)
        return low + (high - low) * unit

    def chance(self, probability: float) -> Tensor:
        """Return bools that are true with ``probability``."""
        return self.uniform(0, 1) < probability

    def chosen(self, probability: float) -> Tensor:
        """Return the indices of images, each chosen with ``probability``."""
        return self.chance(probability).flatten().nonzero().flatten()

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers (n, *shape)."""
        return torch.randn(self._count, *shape, generator=self._generator)[self._mine].to(self._device)
