"""dlib's network with a branch beside it, and the loss."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facealike.model_zoo.dlib_weights import STD, find_dlib_weights, read_dlib_resnet
from facealike.train.joint.branch import PLACES, RIDGE
from facealike.train.joint.student import (
    BRANCH_LIFT,
    DLIB_LIFT,
    DLIB_SHARE,
    SIZE,
    JointStudent,
    joint_loss,
)
from facealike.train.networks.dlib_resnet import LiftedDlib
from support.dlib_file import dlib_weights
from support.one_thread import one_thread  # noqa: F401 (a fixture)


@pytest.fixture(scope="module")
def student() -> JointStudent:
    dlib_weights()  # skips without the package
    return JointStudent.start(6).eval()


@pytest.mark.parametrize("count", [400, 30])
def test_the_last_layer_is_the_ridge_regression(count: int, student: JointStudent) -> None:
    branch = copy.deepcopy(student.branch).requires_grad_(False)
    width = 60
    branch.matrix = torch.nn.Linear(width, 6).requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(count, width, generator=rng)
    truth = torch.randn(width, 6, generator=rng)
    targets = F.normalize(features @ truth + 3.0, dim=1)
    branch.fit(features, targets)
    # The gradient of the ridge loss is zero at its minimum.
    mean, spread = features.mean(0), features.std(0) + 1e-4
    x = (features - mean) / spread
    solved = branch.matrix.weight.T * spread[:, None]
    residual = x @ solved - (targets - targets.mean(0))
    gradient = x.T @ residual + RIDGE * len(x) * solved
    assert float(gradient.abs().max()) < 1e-2
    torch.testing.assert_close(branch.matrix(features).mean(0), targets.mean(0), atol=1e-4, rtol=0)


def test_the_branch_is_its_features_and_its_last_layer(student: JointStudent) -> None:
    maps = student.trunk(torch.rand(2, 3, SIZE, SIZE) * 255)
    assert maps.shape == (2, 64, 17, 17)
    features = student.branch.features(maps)
    assert features.shape == (2, (256 + 128) * PLACES**2)
    torch.testing.assert_close(student.branch(maps), student.branch.matrix(features), atol=1e-4, rtol=1e-4)


def test_an_embedding_joins_the_branch_with_lifted_descriptors(student: JointStudent) -> None:
    images = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 255
    lifted = LiftedDlib(read_dlib_resnet(find_dlib_weights().read_bytes()), DLIB_LIFT)
    with torch.no_grad():
        found = JointStudent(student.dlib, student.branch, norm=3.0)(images)
        raw = student.branch(student.trunk(images)) * BRANCH_LIFT / 3.0
        wanted = lifted((images - student.mean) / STD)
    square = raw.square().sum(dim=1, keepdim=True)
    own = torch.cat([2 * raw, 1 - square], dim=1) / (1 + square)
    assert found.shape == (3, 6 + 130)
    torch.testing.assert_close(found[:, :7], math.sqrt(1 - DLIB_SHARE) * own, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[:, 7:], math.sqrt(DLIB_SHARE) * wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)


def test_only_the_branch_is_trained(student: JointStudent) -> None:
    fresh = JointStudent.start(6)
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in fresh.parameters() if p.requires_grad], lr=1e-3)
    fresh.train()(torch.rand(2, 3, SIZE, SIZE) * 255)[:, :2].sum().backward()
    optimizer.step()
    for name, value in fresh.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("dlib."), name


def test_the_branch_begins_with_dlibs_own_blocks(student: JointStudent) -> None:
    for name, value in student.branch.state_dict().items():
        stage, _, rest = name.partition(".")
        if stage != "matrix":
            torch.testing.assert_close(student.dlib.state_dict()[f"blocks.{rest}"], value)


def test_the_loss_is_that_of_its_words() -> None:
    rng = np.random.default_rng(0)
    own, target = rng.normal(size=(2, 6, 5))
    target /= np.linalg.norm(target, axis=1, keepdims=True)
    unit = own / np.linalg.norm(own, axis=1, keepdims=True)
    point = np.mean([1 - unit[i] @ target[i] for i in range(6)])
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    squares = {(i, j): (unit[i] @ unit[j] - target[i] @ target[j]) ** 2 for i, j in pairs}
    apart = np.mean(list(squares.values()))
    near = np.mean([squares[i, j] for i, j in pairs if i // 3 == j // 3])
    loss, parts = joint_loss(torch.tensor(own), torch.tensor(target, dtype=torch.float32), (3.0, 2.0), 3)
    np.testing.assert_allclose([float(part) for part in parts], [point, apart, near], rtol=1e-4)
    assert float(loss) == pytest.approx(point + 3 * apart + 2 * near, rel=1e-4)
