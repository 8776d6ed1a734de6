"""SimOTA assignment of cells to faces, and the detector's losses.

Of the cells near the center of a face, those with the lowest cost are assigned to it, as many as the sum of
their overlaps.  Boxes use EIoU; landmarks use a smooth L1 distance relative to the size of the face.

Source: Ge et al., "YOLOX", 2021, section 2.3 (SimOTA, as in YuNet); Zhang et al., "Focal and efficient IOU
loss", Neurocomputing 2022 (EIoU).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .network import Prediction, to_pixels
from .scenes import Scene

NEAR = 2.0
"""A cell may be assigned to faces whose center is nearer than this many strides on both axes."""
CANDIDATES = 10
SIZES = {8: (0.0, 72.0), 16: (28.0, 160.0), 32: (64.0, 1e9)}
"""Sizes of faces for each stride: the square root of the box's area, in pixels."""
KNEE = 0.01
"""Landmark errors below this part of the face's size are squared, larger ones are linear."""


class Targets(NamedTuple):
    """The faces of n scenes, padded to g faces and i ignored boxes.

    Args:
        boxes: (n, g, 4).
        points: (n, g, 5, 2).
        real: bool (n, g), false for padding.
        ignore: (n, i, 4), padded with empty boxes.
    """

    boxes: Tensor
    points: Tensor
    real: Tensor
    ignore: Tensor

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> Targets:
        """Return the targets of ``scenes``."""
        n = len(scenes)
        faces = max(1, *(len(scene.boxes) for scene in scenes))
        ignored = max(1, *(len(scene.ignore) for scene in scenes))
        boxes = np.tile(np.array([-9e3, -9e3, -8.9e3, -8.9e3], dtype=np.float32), (n, faces, 1))
        points = np.zeros((n, faces, 5, 2), dtype=np.float32)
        real = np.zeros((n, faces), dtype=bool)
        ignore = np.full((n, ignored, 4), -9e3, dtype=np.float32)
        for i, scene in enumerate(scenes):
            k = len(scene.boxes)
            boxes[i, :k], points[i, :k], real[i, :k] = scene.boxes, scene.points, True
            ignore[i, : len(scene.ignore)] = scene.ignore
        return cls(*(torch.from_numpy(array) for array in (boxes, points, real, ignore)))


class Losses(NamedTuple):
    """The weighted parts of the loss."""

    cls: Tensor
    obj: Tensor
    box: Tensor
    points: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.cls + self.obj + self.box + self.points


WEIGHTS = Losses(*(torch.tensor(weight) for weight in (1.0, 1.0, 4.0, 60.0)))


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of boxes that broadcast: (..., 4), (..., 4) -> (...)."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    area_a, area_b = ((x[..., 2:] - x[..., :2]).clamp(min=0).prod(dim=-1) for x in (a, b))
    return shared / (area_a + area_b - shared).clamp(min=1e-6)


def eiou_loss(a: Tensor, b: Tensor) -> Tensor:
    """Return the EIoU loss: (n, 4), (n, 4) -> (n,).

    It is 1 - IoU plus the distance of the centers and the differences of width and height, each relative to
    the box around both.
    """
    around = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    middles = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    sides = (a[:, 2:] - a[:, :2]) - (b[:, 2:] - b[:, :2])
    squared = around.square().clamp(min=1e-6)
    far = middles.square().sum(dim=1) / squared.sum(dim=1)
    return 1 - pairwise_iou(a, b) + far + (sides.square() / squared).sum(dim=1)


def landmark_distance(points: Tensor, true: Tensor, size: Tensor) -> Tensor:
    """Return the smooth L1 distance of landmarks (n, 5, 2), relative to the sizes (n,) of the faces: (n,)."""
    apart = (points - true) / size[:, None, None]
    far = functional.smooth_l1_loss(apart, torch.zeros_like(apart), beta=KNEE, reduction="none")
    return far.mean(dim=(1, 2))


def _candidates(corners: Tensor, strides: Tensor, boxes: Tensor) -> Tensor:
    """Return bool (n, g, cells): the cell is near the face's center, and its stride fits the face's size."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    size = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1).sqrt()
    low = torch.tensor([SIZES[int(s)][0] for s in strides.tolist()])
    high = torch.tensor([SIZES[int(s)][1] for s in strides.tolist()])
    away = (corners + strides[:, None] / 2 - middle[:, :, None]).abs().amax(dim=-1)
    return (away < NEAR * strides) & (size[..., None] >= low) & (size[..., None] < high)


@torch.no_grad()
def assign(
    prediction: Prediction, boxes: Tensor, corners: Tensor, strides: Tensor, targets: Targets
) -> Tensor:
    """Return the face that each cell is assigned to, or -1: int64 (n, cells).

    Args:
        prediction: The network's output.
        boxes: Its boxes (n, cells, 4), in pixels.
        corners: See ``cells``.
        strides: See ``cells``.
        targets: The faces.
    """
    allowed = _candidates(corners, strides, targets.boxes) & targets.real[..., None]
    overlap = pairwise_iou(boxes[:, None], targets.boxes[:, :, None]) * allowed
    belief = (prediction.cls.sigmoid() * prediction.obj.sigmoid()).sqrt().clamp(1e-6, 1 - 1e-6)
    cost = -belief.log()[:, None] - 3 * (overlap + 1e-7).log()
    cost = torch.where(allowed, cost, 1e6)
    best, index = cost.topk(min(CANDIDATES, cost.shape[2]), dim=2, largest=False)
    wanted = overlap.topk(best.shape[2], dim=2).values.sum(dim=2).round().clamp(min=1)
    chosen = (torch.arange(best.shape[2]) < wanted[..., None]) & (best < 1e6)
    taken = torch.full_like(cost, 1e6).scatter(2, index, torch.where(chosen, best, 1e6))
    least, face = taken.min(dim=1)
    return torch.where(least < 1e6, face, -1)


def detector_loss(
    prediction: Prediction, corners: Tensor, strides: Tensor, targets: Targets
) -> tuple[Losses, int]:
    """Return the loss of n scenes, relative to the number of assigned cells, and that number."""
    boxes, points = to_pixels(prediction, corners, strides)
    face = assign(prediction, boxes, corners, strides, targets)
    scene, cell = torch.nonzero(face >= 0, as_tuple=True)
    count = max(len(cell), 1)
    face_here = face[scene, cell]
    true_box, true_points = targets.boxes[scene, face_here], targets.points[scene, face_here]

    middles = corners + strides[:, None] / 2
    inside = ((middles[None, None] > targets.ignore[:, :, None, :2]).all(dim=-1)) & (
        (middles[None, None] < targets.ignore[:, :, None, 2:]).all(dim=-1)
    )
    counted = ~inside.any(dim=1) | (face >= 0)
    obj = functional.binary_cross_entropy_with_logits(prediction.obj, (face >= 0).float(), reduction="none")

    chosen = boxes[scene, cell]
    quality = pairwise_iou(chosen.detach(), true_box)
    cls = functional.binary_cross_entropy_with_logits(prediction.cls[scene, cell], quality, reduction="none")
    size = (true_box[:, 2:] - true_box[:, :2]).prod(dim=1).sqrt()
    far = landmark_distance(points[scene, cell], true_points, size)
    parts = (cls.sum(), (obj * counted).sum(), eiou_loss(chosen, true_box).sum(), far.sum())
    return Losses(*(weight * part / count for weight, part in zip(WEIGHTS, parts, strict=True))), len(cell)
