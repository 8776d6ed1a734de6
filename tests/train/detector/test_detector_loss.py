"""The detector's loss against slow twins, and what it must and must not push."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facealike.train.detector.loss import (
    CANDIDATES,
    KNEE,
    NEAR,
    SIZES,
    WEIGHTS,
    Targets,
    assign,
    detector_loss,
    eiou_loss,
    pairwise_iou,
)  # fmt: skip
from facealike.train.detector.network import Prediction, cells, to_pixels
from facealike.train.detector.scenes import Scene

SIDE = 128


def scene(boxes: list[list[float]], ignore: list[list[float]] | None = None) -> Scene:
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    middle, side = (array[:, None, :2] + array[:, None, 2:]) / 2, array[:, None, 2:] - array[:, None, :2]
    offsets = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.15, 0.25], [0.15, 0.25]])
    points = (middle + offsets * side).astype(np.float32)
    return Scene(
        np.zeros((SIDE, SIDE, 3), np.uint8), array, points,
        np.array(ignore or [], dtype=np.float32).reshape(-1, 4),
    )  # fmt: skip


def guess(seed: int, n: int = 1) -> Prediction:
    corners, _ = cells(SIDE, SIDE)
    g = torch.Generator().manual_seed(seed)
    shape = (n, len(corners))
    return Prediction(
        torch.randn(shape, generator=g), torch.randn(shape, generator=g),
        torch.randn((*shape, 4), generator=g) * 0.4 + 0.5, torch.randn((*shape, 10), generator=g),
    )  # fmt: skip


def perfect(boxes: np.ndarray, points: np.ndarray) -> Prediction:
    """What says that every cell belongs to the one face."""
    corners, strides = cells(SIDE, SIDE)
    box, point = torch.from_numpy(boxes[0]), torch.from_numpy(points[0])
    centre = ((box[:2] + box[2:]) / 2 - corners) / strides[:, None]
    size = ((box[2:] - box[:2]) / strides[:, None]).log()
    kps = (point[None] - corners[:, None]) / strides[:, None, None]
    logits = torch.full((1, len(corners)), 3.0)
    return Prediction(logits, logits, torch.cat([centre, size], 1)[None], kps.flatten(1)[None])


def iou(a: list[float], b: list[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_overlap_and_eiou_against_loops() -> None:
    g = torch.Generator().manual_seed(0)
    low = torch.rand((2, 30, 2), generator=g) * 20
    a, b = torch.cat([low, low + 1 + torch.rand((2, 30, 2), generator=g) * 20], dim=2)
    loss = eiou_loss(a, b)
    for i, (one, other) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
        overlap = iou(one, other)
        assert float(pairwise_iou(a[i], b[i])) == pytest.approx(overlap, abs=1e-5)
        wide = max(one[2], other[2]) - min(one[0], other[0])
        high = max(one[3], other[3]) - min(one[1], other[1])
        dx = (one[0] + one[2] - other[0] - other[2]) / 2
        dy = (one[1] + one[3] - other[1] - other[3]) / 2
        dw, dh = (one[2] - one[0]) - (other[2] - other[0]), (one[3] - one[1]) - (other[3] - other[1])
        expected = 1 - overlap + (dx**2 + dy**2) / (wide**2 + high**2) + dw**2 / wide**2 + dh**2 / high**2
        assert float(loss[i]) == pytest.approx(expected, abs=1e-4)
    assert float(eiou_loss(a, a).abs().max()) < 1e-5


def slow_assign(prediction: Prediction, scenes: list[Scene]) -> np.ndarray:
    """SimOTA as loops over scenes, faces and cells."""
    corners, strides = cells(SIDE, SIDE)
    predicted = to_pixels(prediction, corners, strides)[0].numpy()
    belief = (prediction.cls.sigmoid() * prediction.obj.sigmoid()).sqrt().numpy()
    result = np.full(prediction.cls.shape, -1)
    for n, one in enumerate(scenes):
        least = np.full(len(corners), np.inf)
        for face, box in enumerate(one.boxes):
            middle, size = (box[:2] + box[2:]) / 2, math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
            costs = {}
            for cell, (corner, stride) in enumerate(zip(corners.numpy(), strides.tolist(), strict=True)):
                low, high = SIZES[int(stride)]
                if np.abs(corner + stride / 2 - middle).max() < NEAR * stride and low <= size < high:
                    overlap = iou(predicted[n, cell].tolist(), box.tolist())
                    cost = -math.log(belief[n, cell]) - 3 * math.log(overlap + 1e-7)
                    costs[cell] = (cost, overlap)
            best = sorted((overlap for _, overlap in costs.values()), reverse=True)[:CANDIDATES]
            many = max(1, round(sum(best)))
            for cell in sorted(costs, key=lambda cell: costs[cell][0])[:many]:
                if costs[cell][0] < least[cell]:
                    least[cell], result[n, cell] = costs[cell][0], face
    return result


@pytest.mark.parametrize("seed", range(4))
def test_assignment_against_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = []
    for count in (3, 0, 1):
        corner, size = rng.uniform(0, 90, (count, 2)), rng.uniform(12, 100, (count, 1))
        scenes.append(scene(np.concatenate([corner, corner + size * [1, 1.2]], axis=1).tolist()))
    prediction, (corners, strides) = guess(seed, 3), cells(SIDE, SIDE)
    boxes, _ = to_pixels(prediction, corners, strides)
    found = assign(prediction, boxes, corners, strides, Targets.of(scenes)).numpy()
    np.testing.assert_array_equal(found, slow_assign(prediction, scenes))
    assert (found >= 0).any() and (found[1] == -1).all()


def test_a_perfect_answer_pays_nothing_for_place() -> None:
    one = scene([[30, 28, 70, 80]])
    corners, strides = cells(SIDE, SIDE)
    losses, count = detector_loss(perfect(one.boxes, one.points), corners, strides, Targets.of([one]))
    assert count >= CANDIDATES - 1
    assert float(losses.box) < 1e-3 and float(losses.points) < 1e-3
    # Overlap 1 is what cls has to say, and every cell but those for the face is wrong to say it.
    assert float(losses.cls) == pytest.approx(math.log1p(math.exp(-3)), abs=1e-3)
    assert float(losses.obj) > 10


def test_landmarks_pay_their_distance_in_parts_of_the_face() -> None:
    one = scene([[30, 28, 70, 80]])
    off = Scene(one.image, one.boxes, one.points + np.float32(2.0), one.ignore)
    corners, strides = cells(SIDE, SIDE)
    losses, _ = detector_loss(perfect(one.boxes, one.points), corners, strides, Targets.of([off]))
    part = 2 / math.sqrt(40 * 52)
    assert float(losses.points) == pytest.approx(float(WEIGHTS.points) * (part - KNEE / 2), rel=1e-3)


def test_nothing_is_learned_where_it_is_ignored() -> None:
    box = [40.0, 40.0, 90.0, 90.0]
    corners, strides = cells(SIDE, SIDE)
    prediction = guess(0)
    for tensor in prediction:
        tensor.requires_grad_()
    losses, count = detector_loss(prediction, corners, strides, Targets.of([scene([], [box])]))
    assert count == 0
    losses.total.backward()
    middle = corners + strides[:, None] / 2
    inside = ((middle > 40) & (middle < 90)).all(dim=1)
    gradient = prediction.obj.grad[0]
    assert inside.any() and (gradient[inside] == 0).all() and (gradient[~inside] > 0).all()
    assert all(float(part.detach()) == 0 for part in (losses.box, losses.points, losses.cls))


def test_a_sure_face_in_an_ignored_place_still_counts() -> None:
    box = [40.0, 40.0, 90.0, 90.0]
    corners, strides = cells(SIDE, SIDE)
    prediction = guess(0)
    prediction.obj.requires_grad_()
    losses, count = detector_loss(
        prediction, corners, strides, Targets.of([scene([box], [[0, 0, 128, 128]])])
    )
    losses.obj.backward()
    assert count > 0 and int((prediction.obj.grad < 0).sum()) == count and not (prediction.obj.grad > 0).any()
