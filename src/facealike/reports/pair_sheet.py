"""A picture of pairs of photos as a model receives them: genuine pairs, then impostor pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage

from ..datasets.pair_sampling import balanced_pairs
from ..datasets.people import People
from ..detection.face_policy import FacePolicy
from ..embedding.cropper import FaceCropper
from ..embedding.unused_photos import NO_FACE, UNUSED, unused_photo
from ..errors import DataError, FacealikeError, FaceError
from ..imaging.photo_warning import UnusedPhoto, unused_summary
from ..plotting.montage import MontageCell, Section, sections_montage
from ..types import Image, PairIndices
from ..utils.escape import shown

SPARE = 4
"""Pairs drawn for each pair shown, since some photos may show no face."""


@dataclass(frozen=True, eq=False)
class PairSheet:
    """A picture of pairs, the pairs, and the photos that were left out on the way."""

    picture: PillowImage.Image
    pairs: PairIndices
    unused: tuple[UnusedPhoto, ...]


def pair_sheet(
    people: People, title: str, cropper: FaceCropper, policy: FacePolicy, count: int, seed: int,
    failed: Callable[[FacealikeError], None],
) -> PairSheet:  # fmt: skip
    """Draw ``count`` genuine and ``count`` impostor pairs whose photos show the face asked for.

    Args:
        people: The photos to draw pairs from.
        title: The heading of the picture.
        cropper: Crops the faces.
        policy: Which face of a photo is meant.
        count: Pairs of each kind, or fewer where there are no more.
        seed: Seed of the draw.
        failed: Called with the error of each photo that cannot be read.

    Raises:
        DataError: No pair can be drawn, or no photo of those drawn shows a face.
    """
    crops = _Crops(people, cropper, policy, failed)
    pairs = _with_faces(balanced_pairs(people.labels, seed, SPARE * count), crops, count, seed)
    picture = sections_montage(
        [_section(pairs, crops, True), _section(pairs, crops, False)],
        columns=4,
        title=title,
        subtitle=f"drawn with seed {seed} from {people}; photos without the face asked for are left out",
    )
    return PairSheet(picture, pairs, tuple(crops.unused))


class _Crops:
    """The face crop of each photo by its index, made once; None where the face is not found."""

    def __init__(
        self, people: People, cropper: FaceCropper, policy: FacePolicy,
        failed: Callable[[FacealikeError], None] = lambda error: None,
    ) -> None:  # fmt: skip
        self._people, self._cropper, self._policy, self._failed = people, cropper, policy, failed
        self._made: dict[int, Image | None] = {}
        self.unused: list[UnusedPhoto] = []

    def names(self, index: int) -> tuple[str, str]:
        """The person and the file of a photo."""
        return self._people.names[self._people.labels[index]], self._people.paths[index].name

    def __call__(self, index: int) -> Image | None:
        if index not in self._made:
            self._made[index] = self._crop(index)
        return self._made[index]

    def _crop(self, index: int) -> Image | None:
        path = self._people.paths[index]
        try:
            return self._cropper(path, self._policy, shown(path))[0].crop
        except (*NO_FACE, *UNUSED) as error:
            self.unused.append(unused_photo(path, error))
            if isinstance(error, UNUSED) and not isinstance(error, FaceError):
                self._failed(error)
            return None


def _with_faces(drawn: PairIndices, crops: _Crops, count: int, seed: int) -> PairIndices:
    """``count`` pairs of each kind whose photos both show the face asked for."""
    kept: list[int] = []
    for kind in (True, False):
        found = 0
        # Shuffled, since the drawn pairs are sorted by person.
        for i in np.random.default_rng(seed).permutation(np.flatnonzero(drawn.same == kind)):
            if found == count:
                break
            if crops(int(drawn.a[i])) is not None and crops(int(drawn.b[i])) is not None:
                kept.append(int(i))
                found += 1
    if not kept:
        raise DataError(
            "no face found in any of the photos drawn; check the folder, or choose another --face"
            + unused_summary(crops.unused)
        )
    return PairIndices(drawn.a[kept], drawn.b[kept], drawn.same[kept])


def _section(pairs: PairIndices, crops: _Crops, same: bool) -> Section:
    cells = []
    for a, b in zip(pairs.a[pairs.same == same].tolist(), pairs.b[pairs.same == same].tolist(), strict=True):
        left, right = crops(a), crops(b)
        assert left is not None and right is not None  # _with_faces has kept no other pair
        cells.append(MontageCell(left, right, labels=(crops.names(a), crops.names(b))))
    return Section("Same person" if same else "Different people", "", tuple(cells))
