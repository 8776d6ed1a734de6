"""Which processes train together: from the options, and from the environment of torchrun and SLURM."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...errors import TrainingError, UsageError
from ..options import TrainingOptions

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
SLURM = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST")  # only within srun
DEFAULT_PORT = 29500  # that of torchrun


class OtherProcessFailed(TrainingError):
    """Another process of the run has ended; its own message states why."""


@dataclass(frozen=True)
class World:
    """The place of one process among all that train together.

    Args:
        rank: Number of the process; process 0 writes all files.
        count: Processes in all.
        local_rank: Number of the process on its machine, and of its GPU.
        local_count: Processes on each machine.
        meeting: Where the processes meet, as torch takes it: ``env://`` or ``tcp://HOST:PORT``.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int
    meeting: str

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.count // self.local_count

    def on_this_machine(self) -> list[World]:
        """Return the places of all processes of this machine; this one is the first of them."""
        return [
            replace(self, rank=self.rank + number, local_rank=number) for number in range(self.local_count)
        ]


def started_world(options: TrainingOptions, environment: Mapping[str, str] = os.environ) -> World | None:
    """Return the place that torchrun or ``srun`` gave to this process, or None if neither started it.

    Tasks of ``srun`` are runs of their own unless several devices or nodes are asked for.

    Raises:
        UsageError: They started other numbers of processes or machines than ``options`` ask for.
    """
    asked = options.devices * options.nodes
    if all(name in environment for name in TORCHRUN):
        rank, count, local, each = (int(environment[name]) for name in TORCHRUN)
        if asked == count == 1:
            return None
        world, by = World(rank, count, local, each, "env://"), "torchrun"
    elif asked > 1 and all(name in environment for name in SLURM):
        rank, local, count = (int(environment[name]) for name in SLURM[:3])
        machines = int(environment.get("SLURM_STEP_NUM_NODES", "1"))
        host = first_host(environment[SLURM[3]])
        # The same port for all processes of a job, and another one for another job on the same machine.
        port = environment.get("MASTER_PORT", str(15000 + int(environment.get("SLURM_JOB_ID", "0")) % 10000))
        meeting = f"tcp://{environment.get('MASTER_ADDR', host)}:{port}"
        world, by = World(rank, count, local, max(1, count // machines), meeting), "srun"
    else:
        return None
    if (world.local_count, world.nodes) != (options.devices, options.nodes):
        raise UsageError(
            f"{by} started {world.local_count} processes on each of {world.nodes} machines; the same numbers "
            f"are needed as --devices {world.local_count} --nodes {world.nodes}, and not --devices "
            f"{options.devices} --nodes {options.nodes}"
        )
    return world


def own_world(options: TrainingOptions, port: int, environment: Mapping[str, str] = os.environ) -> World:
    """Return the place of the first process of this machine, if neither torchrun nor ``srun`` starts them.

    Args:
        options: Devices and nodes, not both 1.
        port: A free port, for a run on this machine alone.
        environment: With several machines: MASTER_ADDR, NODE_RANK and, unless it is 29500, MASTER_PORT.

    Raises:
        UsageError: There are several machines, and the environment does not name them.
    """
    each, machines = options.devices, options.nodes
    if machines == 1:
        return World(0, each, 0, each, f"tcp://127.0.0.1:{port}")
    address, number = environment.get("MASTER_ADDR", ""), environment.get("NODE_RANK", "")
    if not address or not number.isdigit() or int(number) >= machines:
        raise UsageError(
            f"--nodes {machines} has to know the other machines: start the command on each of them with "
            "torchrun or srun, or set MASTER_ADDR to the name of the first one and NODE_RANK to 0, 1, ..."
        )
    meeting = f"tcp://{address}:{environment.get('MASTER_PORT', DEFAULT_PORT)}"
    return World(int(number) * each, machines * each, 0, each, meeting)


def several(options: TrainingOptions, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether ``options`` or torchrun ask for several processes.

    Raises:
        UsageError: A number is below 1, or differs from that of torchrun or ``srun``.
    """
    if options.devices < 1 or options.nodes < 1:
        raise UsageError("--devices and --nodes are at least 1")
    return options.devices * options.nodes > 1 or started_world(options, environment) is not None


def is_first(options: TrainingOptions) -> bool:
    """Return whether this process prints the result; those that torchrun or ``srun`` add do not."""
    world = started_world(options)
    if world is None and options.nodes > 1:
        world = own_world(options, 0)
    return world is None or world.rank == 0


def refuse_several(options: TrainingOptions, why: str) -> None:
    """Refuse several processes where they are not supported.

    Args:
        options: The options of the run.
        why: What does not work in several processes, and what to do: the end of the sentence.

    Raises:
        UsageError: There are several processes.
    """
    if several(options):
        raise UsageError(f"--devices and --nodes above 1 do not fit here: {why}")


def first_host(hosts: str) -> str:
    """Return the first host of a list as SLURM writes it: "n1" of "n1,n2" and "n03" of "n[03-05,9]".

    Examples:
        >>> first_host("gpu[012-014,20],big")
        'gpu012'
    """
    name, bracket, numbers = re.split(r",(?![^\[]*\])", hosts)[0].partition("[")
    if not bracket:
        return name
    inside, _, rest = numbers.partition("]")
    return name + re.split(r"[-,]", inside)[0] + rest
