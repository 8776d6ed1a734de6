"""Random seeds of single training steps."""

from __future__ import annotations

import numpy as np


def step_seed(seed: int, part: int, step: int, process: int = 0) -> int:
    """Return the seed of one step, so that a resumed run makes the same draws.

    Args:
        seed: Seed of the run.
        part: Number of the use, to keep uses independent.
        step: The step.
        process: Number of the process, where processes must differ.
    """
    entropy = [seed, part, step, *([process] if process else [])]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
