"""Two processes (gloo, on the CPU) train what one process trains, and one that fails ends both."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from facealike.errors import DeviceError, TrainingError, UsageError
from facealike.train import TrainingOptions, load_recipe, train, train_folds
from facealike.train.distributed.collectives import bounds, check_portions, gather
from facealike.train.distributed.launch import free_port, launch
from facealike.train.distributed.world import World, first_host, is_first, own_world, several, started_world
from facealike.train.lightning.trainer import choose_device
from support import failing_processes, two_processes
from support.drawn_people import make_people, tiny_recipe
from support.training_runs import one_thread

__all__ = ["one_thread"]

TWO = TrainingOptions(devices=2)


def two(work: Any) -> Any:
    return launch(own_world(TWO, free_port()), work)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_people(tmp_path_factory.mktemp("people") / "people")


@pytest.fixture(scope="module")
def found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes found, in one start; ``folder`` holds their runs."""
    folder = tmp_path_factory.mktemp("two")
    result: dict[str, Any] = two(partial(two_processes.together, root, folder))
    return {**result, "folder": folder}


@pytest.mark.parametrize("name", two_processes.LOSSES)
def test_a_step_of_two_processes_is_that_of_one(found: dict[str, Any], name: str) -> None:
    """Loss, gradients of network and class vectors, and running statistics, for parts of unequal size."""
    one, both = two_processes.step(two_processes.LOSSES[name]), found["steps"][name]
    assert both.loss == pytest.approx(one.loss, rel=1e-5)
    assert one.gradients.keys() == both.gradients.keys() and len(one.gradients) >= 7
    largest = max(float(gradient.abs().max()) for gradient in one.gradients.values())
    assert largest > 1e-2
    for key, expected in one.gradients.items():
        torch.testing.assert_close(both.gradients[key], expected, atol=1e-5 * largest, rtol=1e-4, msg=key)
    for key, expected in one.statistics.items():
        torch.testing.assert_close(both.statistics[key], expected, atol=1e-5, rtol=1e-5, msg=key)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", two_processes.RUNS)
def test_a_run_of_two_processes_has_the_weights_of_one(
    found: dict[str, Any], root: Path, tmp_path: Path, name: str
) -> None:
    """Eighteen steps of a whole run: samplers, augmentation, mixup, EMA, optimizer and schedule."""
    one = two_processes.weights(root, tmp_path, two_processes.RUNS[name])
    assert_same(found[name], one)
    assert any(key.startswith("average.") for key in one) == (name == "classes")
    if name == "sample":  # stopped in its third epoch, and continued by one process
        begun = found["folder"] / "begun"
        assert_same(two_processes.weights(root, begun, two_processes.RUNS[name], resume=True), one)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=5e-4, rtol=1e-3, msg=key)


def test_batch_normalization_keeps_its_names(found: dict[str, Any]) -> None:
    assert found["names"] == list(two_processes.Network().state_dict()) and found["kind"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("killed", "process 1 of 2 was killed"),
        ("raised", "the disk of the second"),
        ("noticed", "the disk of the second"),
    ],
)
def test_a_process_that_fails_ends_the_others_with_one_sentence(
    how: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # otherwise they ask torch for its threads
    started = time.monotonic()
    with pytest.raises(TrainingError, match=message) as caught:
        two(partial(failing_processes.one_fails, how))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 60  # the first would have waited for ten minutes


def test_the_first_process_reports_and_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    seen: list[tuple[int, int]] = []
    world = own_world(TWO, free_port())
    assert launch(world, failing_processes.report, lambda *counts: seen.append(counts)) == (0, 2)
    assert seen == [(3, 4)]


# ---- without other processes ----------------------------------------------------------------------


def test_one_process_exchanges_nothing() -> None:
    rows = torch.ones(3, 2, requires_grad=True)
    assert gather(rows, 3) is rows and bounds(3) == [slice(0, 3)]
    check_portions(1)
    with pytest.raises(TrainingError, match="0 images cannot be divided among 1 process"):
        check_portions(4, 0)


def test_worlds_of_torchrun_and_srun() -> None:
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    asked = TrainingOptions(devices=4, nodes=2)
    assert started_world(asked, torchrun) == World(5, 8, 1, 4, "env://")
    assert started_world(asked, {}) is None
    srun = {
        "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_JOB_ID": "123456",
    }  # fmt: skip
    world = started_world(asked, srun)
    assert world == World(5, 8, 1, 4, "tcp://gpu07:18456") and world.nodes == 2
    assert started_world(TrainingOptions(), srun) is None, "tasks that are runs of their own"
    for environment, options in ((torchrun, TWO), (torchrun, TrainingOptions()), (srun, TWO)):
        with pytest.raises(
            UsageError, match=r"started 4 processes on each of 2 machines; .* --devices 4 --nodes 2"
        ):
            started_world(options, environment)
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    assert not several(TrainingOptions(), alone) and several(TWO, {})


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("n[03-05,9],m1", "n03"), ("gpu-[2,4]", "gpu-2"), ("r[1-2]-x", "r1-x")],
)
def test_the_first_host_of_a_list(hosts: str, first: str) -> None:
    assert first_host(hosts) == first


def test_worlds_of_our_own() -> None:
    world = own_world(TrainingOptions(devices=3), 4321)
    assert [(w.rank, w.local_rank) for w in world.on_this_machine()] == [(0, 0), (1, 1), (2, 2)]
    assert world.meeting == "tcp://127.0.0.1:4321" and world.nodes == 1
    both = TrainingOptions(devices=2, nodes=2)
    second = own_world(both, 0, {"MASTER_ADDR": "a", "NODE_RANK": "1"})
    assert [w.rank for w in second.on_this_machine()] == [2, 3] and second.meeting == "tcp://a:29500"
    for wrong in ({}, {"MASTER_ADDR": "a"}, {"MASTER_ADDR": "a", "NODE_RANK": "2"}):
        with pytest.raises(UsageError, match="--nodes 2 has to know the other machines"):
            own_world(both, 0, wrong)
    assert is_first(TWO)


def test_devices_of_several_processes() -> None:
    world = World(0, 4, 0, 2, "env://")
    assert choose_device("cpu", world)[:2] == ("cpu", 2)
    assert choose_device("cpu", world)[2].startswith("cpu (4 processes on 2 machines, ")
    with pytest.raises(DeviceError, match="CUDA_VISIBLE_DEVICES"):
        choose_device("cuda:1", world)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--devices 2 was asked for, but torch sees 0 CUDA devices"):
            choose_device("cuda", world)


def test_what_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    from facealike.train import distil

    with pytest.raises(UsageError, match="a recipe with a teacher trains in one process"):
        distil(tmp_path, load_recipe("distilled"), tmp_path / "m.facealike", devices=2)
    with pytest.raises(UsageError, match="folds need no other process"):
        train_folds(tmp_path, tiny_recipe(), tmp_path / "pairs.txt", tmp_path / "out", nodes=2)
    with pytest.raises(UsageError, match="at least 1"):
        train(tmp_path, tiny_recipe(), tmp_path / "m.facealike", devices=0)
    with pytest.raises(UsageError, match="cannot be sent"):
        train(tmp_path, tiny_recipe(), tmp_path / "m.facealike", devices=2, detector=Unsendable())


class Unsendable:
    """A detector that cannot be pickled."""

    has_landmarks, weights = False, None
    spec: dict[str, Any] = {}  # noqa: RUF012

    def __reduce__(self) -> Any:
        raise TypeError("not this one")

    def detect(self, image: Any) -> list[Any]:
        return []
