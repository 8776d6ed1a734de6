"""Seeds of single training steps, so that a resumed run draws what it would have drawn."""

from __future__ import annotations

import numpy as np


def step_seed(seed: int, part: int, step: int) -> int:
    """A seed of its own for each step, so that a resumed run draws what it would have drawn."""
    return int(np.random.SeedSequence([seed, part, step]).generate_state(1)[0])
