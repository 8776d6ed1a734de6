"""Splits that keep people apart.

The split depends only on a person's name: the SHA-256 of the name, its accents composed, is read as a number
between 0 and 1.  No file of splits is needed, adding or removing people moves no other person, and no person
can be in training on one machine and in the test on another.  A test of face verification depends on that: a
model that has seen other photos of the same people in training looks far better than it is.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from .seen import composed

Split = Literal["train", "validation", "calibration", "test"]


SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")


# A position in [0, 1) below the first of these is the test, below the second calibration, and so on.
# Never change them: people of published tests would move into training.  Validation chooses epochs
# and recipes; calibration only ever thresholds and probabilities, and no model trains on either.
TEST_BELOW, CALIBRATION_BELOW, VALIDATION_BELOW = 0.15, 0.20, 0.25


def split_of(name: str) -> Split:
    """Return the split of a person: 15 % test, 5 % calibration, 5 % validation, the rest train.

    The same on every machine and in every version, whoever else is in the folder.  Blanks around the name and
    the encoding of its accents do not matter.  Case does: folding it would move people of published tests,
    such as LFW's, into training.
    """
    position = position_of(name)
    if position < TEST_BELOW:
        return "test"
    if position < CALIBRATION_BELOW:
        return "calibration"
    return "validation" if position < VALIDATION_BELOW else "train"


def position_of(name: str) -> float:
    """Return the number in [0, 1) that the person's name hashes to, by which ``split_of`` decides."""
    digest = hashlib.sha256(composed(name).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
