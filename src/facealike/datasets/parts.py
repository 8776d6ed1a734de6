"""Divide the people of a folder into parts for training, validation, calibration and test, each large enough.

In a large folder ``data.split_of`` decides: 15, 5 and 5 % are held out.  In a small one that leaves a
handful of people in a part, from whom no threshold can be learned and no epoch chosen.  Then each held-out
part takes more of the people who would train, in the order of the number that their name hashes to.  Nobody
of the test moves into another part, so ``facealike evaluate --split test`` asks only people who were not
trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .people import People
from .splits import Split, position_of, split_of

USABLE = 20  # people with two photos in a held-out part, where there are enough
SHARE = 7  # one in so many people is held out for a part, where there are fewer
FEWEST_CALIBRATION = 10  # people with two photos that a calibration needs; see ``calibrate``


@dataclass(frozen=True)
class Parts:
    """Names of the people of each part.

    ``shared`` says that validation and calibration are the same people: there are too few for two parts.
    ``larger`` says that the held-out parts are larger than ``split_of`` makes them.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    shared: bool = False
    larger: bool = False

    def of(self, split: Split) -> tuple[str, ...]:
        names: tuple[str, ...] = getattr(self, split)
        return names

    def __str__(self) -> str:
        counts = f"{len(self.train)} people train, {len(self.test)} test"
        if self.shared:
            return f"{counts}, and {len(self.validation)} both validate and calibrate"
        return f"{counts}, {len(self.validation)} validate and {len(self.calibration)} calibrate"

    def told(self) -> str:
        """What was done about a folder of few people, in a sentence; empty where nothing was."""
        if not self.larger:
            return ""
        people = len({*self.train, *self.validation, *self.calibration, *self.test})
        return f"{people} people are few, so more of them are held out than in a large folder: {self}"


def divide(people: People) -> Parts:
    """The parts of these people.

    A held-out part that ``split_of`` leaves with fewer than 20 people who have two photos, or fewer than
    one in seven of all of them where that is less, gets as many.  Where a calibration would not have ten
    people then, validation and calibration share theirs.
    """
    photos = dict(zip(people.names, np.bincount(people.labels, minlength=len(people.names)), strict=True))
    ordered = sorted(photos, key=position_of)
    several = np.array([photos[name] > 1 for name in ordered], dtype=bool)
    usual = [split_of(name) for name in ordered]
    wanted = min(USABLE, int(several.sum()) // SHARE)
    # The parts lie one after the other in this order: the test first, and training last.
    ends, start = [], 0
    for part in ("test", "calibration", "validation"):
        enough = np.flatnonzero(np.cumsum(several[start:]) == wanted)[:1] + 1 if wanted else [0]
        usual_end = max((place + 1 for place, split in enumerate(usual) if split == part), default=0)
        start = max(start + int(enough[0]), usual_end)
        ends.append(start)
    test, calibration, validation = ordered[: ends[0]], ordered[ends[0] : ends[1]], ordered[ends[1] : ends[2]]
    larger = any(split == "train" for split in usual[: ends[2]])
    shared = wanted > 0 and int(several[ends[0] : ends[1]].sum()) < FEWEST_CALIBRATION
    if shared:
        calibration = validation = [*calibration, *validation]
    train = ordered[ends[2] :]
    return Parts(tuple(train), tuple(validation), tuple(calibration), tuple(test), shared, larger)
