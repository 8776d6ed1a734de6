"""Divide the people of a folder into training, validation, calibration and test, each large enough.

In a large folder ``split_of`` decides: 15, 5 and 5 % are held out.  In a small one that leaves too few people
in a part to fit a threshold or choose an epoch.  Then each held-out part takes more of the training people,
in the order of the number that their name hashes to.  No person of the test moves into another part, so
``facealike evaluate --split test`` uses only people who were not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .people import People
from .splits import Split, position_of, split_of

MIN_PART = 20  # people with two photos in a held-out part, in a folder that is large enough
SMALL_FOLDER_DIVISOR = 7  # one person in so many is held out for a part, in a smaller folder
MIN_CALIBRATION_PEOPLE = 10  # people with two photos; see ``calibrate``


@dataclass(frozen=True)
class Parts:
    """The names of the people of each part.

    Args:
        train: Of the training.
        validation: Of the validation.
        calibration: Of the calibration.
        test: Of the test.
        shared: Whether validation and calibration are the same people, as there are too few for two parts.
        larger: Whether the held-out parts are larger than ``split_of`` makes them.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    shared: bool = False
    larger: bool = False

    def of(self, split: Split) -> tuple[str, ...]:
        """Return the names of the people of one split."""
        names: tuple[str, ...] = getattr(self, split)
        return names

    def __str__(self) -> str:
        counts = f"{len(self.train)} people train, {len(self.test)} test"
        if self.shared:
            return f"{counts}, and {len(self.validation)} both validate and calibrate"
        return f"{counts}, {len(self.validation)} validate and {len(self.calibration)} calibrate"

    def note(self) -> str:
        """Return in a sentence how few people were divided; empty for a large folder."""
        if not self.larger:
            return ""
        people = len({*self.train, *self.validation, *self.calibration, *self.test})
        return f"{people} people are few, so more of them are held out than in a large folder: {self}"


def divide(people: People) -> Parts:
    """Divide people into parts.

    A held-out part that ``split_of`` leaves with fewer than 20 people who have two photos, or fewer than one
    in seven of all of them where that is less, is filled up to that number.  Where a calibration would then
    have fewer than ten people, validation and calibration share theirs.
    """
    photos = dict(zip(people.names, np.bincount(people.labels, minlength=len(people.names)), strict=True))
    ordered = sorted(photos, key=position_of)
    several = np.array([photos[name] > 1 for name in ordered], dtype=bool)
    usual = [split_of(name) for name in ordered]
    wanted = min(MIN_PART, int(several.sum()) // SMALL_FOLDER_DIVISOR)
    # The parts lie one after the other in this order: the test first, and training last.
    ends, start = [], 0
    for part in ("test", "calibration", "validation"):
        enough = np.flatnonzero(np.cumsum(several[start:]) == wanted)[:1] + 1 if wanted else [0]
        usual_end = max((place + 1 for place, split in enumerate(usual) if split == part), default=0)
        start = max(start + int(enough[0]), usual_end)
        ends.append(start)
    test, calibration, validation = ordered[: ends[0]], ordered[ends[0] : ends[1]], ordered[ends[1] : ends[2]]
    larger = any(split == "train" for split in usual[: ends[2]])
    shared = wanted > 0 and int(several[ends[0] : ends[1]].sum()) < MIN_CALIBRATION_PEOPLE
    if shared:
        calibration = validation = [*calibration, *validation]
    train = ordered[ends[2] :]
    return Parts(tuple(train), tuple(validation), tuple(calibration), tuple(test), shared, larger)
