"""Random seeds of single training steps."""

from __future__ import annotations

import numpy as np


def step_seed(seed: int, part: int, step: int) -> int:
    """Return the seed of one step, so that a resumed run makes the same draws.

    Args:
        seed: Seed of the run.
        part: Number of the use, to keep uses independent.
        step: The step.
    """
    return int(np.random.SeedSequence([seed, part, step]).generate_state(1)[0])
