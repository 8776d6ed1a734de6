"""Training steps in bfloat16 and in float32: which of the two this processor is faster in.

    python -m benchmarks.speed.mixed_precision [--threads N] [--write]

Images a second, of the student of the recipe `distilled` (forward and backward) and of its teacher
(forward).  The column `auto` tells what training takes here by itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.common.record import RESULTS, append_rows, circumstances
from facealike.train import load_recipe
from facealike.train.networks.build import first_network
from facealike.train.networks.dlib_resnet import DlibTeacher
from facealike.train.optim.mixed_precision import digits

CSV = RESULTS / "mixed_precision.csv"
LEAST = 3.0  # seconds that a measurement lasts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--write", action="store_true", help=f"append to {CSV.name}")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = measure(options.threads)
    for row in rows:
        print(f"{row['what']:<28} bfloat16 {row['bfloat16']:>8}  float32 {row['float32']:>8}  a second")
    print(f"training takes {rows[0]['auto']} here")
    if options.write:
        append_rows(CSV, rows)


def measure(threads: int) -> list[dict[str, Any]]:
    begun = {**circumstances("torch"), "threads": threads, "auto": digits("auto", "cpu")}
    named = {f"student at {side} px": student(side) for side in (48, 64, 96)}
    named["teacher"] = teacher()
    return [
        {**begun, "what": what, "bfloat16": rate(step, count, True), "float32": rate(step, count, False)}
        for what, (step, count) in named.items()
    ]


Step = Callable[[bool], None]


def student(side: int) -> tuple[Step, int]:
    network = first_network(load_recipe("distilled"))
    images = torch.randn(64, 3, side, side).contiguous(memory_format=torch.channels_last)

    def step(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, half):
            said: Tensor = network(images)
        said.float().square().mean().backward()

    return step, len(images)


def teacher() -> tuple[Step, int]:
    network = DlibTeacher.load().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    chips = torch.rand(32, 3, 150, 150).mul(255).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def step(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, half):
            network(chips)

    return step, len(chips)


def rate(step: Step, count: int, half: bool) -> float:
    step(half)  # the first one sets up
    begun, steps = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < LEAST:
        step(half)
        steps += 1
    return round(steps * count / passed, 1)


if __name__ == "__main__":
    main()
