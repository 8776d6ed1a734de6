"""``facealike pairs``: look at the pairs before trusting any number about them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, FaceError, UsageError
from .console import command, print_json, report_error, show
from .options import (
    DEFAULT_FACE_CHOICE,
    DetectorOption,
    FaceChoice,
    FaceOption,
    JsonOption,
    ModelOption,
    check_picture,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..datasets.people import People
    from ..detection.base import Detector
    from ..detection.face_policy import FacePolicy
    from ..imaging.photo_warning import UnusedPhoto
    from ..model_file.preprocessing import Preprocessing
    from ..plotting.montage import Section
    from ..types import PairIndices

SPARE = 4  # pairs drawn for each pair shown, as some photos may show no face


class PairSplit(str, Enum):
    """A split, or everybody."""

    train = "train"
    validation = "validation"
    calibration = "calibration"
    test = "test"
    all = "all"


@command
def pairs(
    people: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="One sub-folder of photos a person.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.png", show_default=False, help="Where to write.")
    ],
    split: Annotated[PairSplit, typer.Option("--split", help="Whose pairs.")] = PairSplit.train,
    count: Annotated[int, typer.Option("--count", min=1, max=200, help="Pairs of each kind.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed draws other pairs.")] = 0,
    model: ModelOption = None,
    detector: DetectorOption = None,
    face: FaceOption = DEFAULT_FACE_CHOICE,
    as_json: JsonOption = False,
) -> int:
    """Draw a picture of pairs as a model sees them, with the names of their folders and files.

    The crops are those the model would get, or those that fit the detector named with --detector.

    Exit code: 0, or 2 on an error.
    """
    from ..datasets.pair_sampling import balanced_pairs
    from ..datasets.people import People
    from ..imaging.photo_warning import unused_rows
    from ..plotting.drawing import save_picture
    from ..plotting.montage import sections_montage

    check_picture(out)
    if face is FaceChoice.all:
        raise UsageError("a pair needs one face a photo, so choose largest, central or only, not 'all'")
    everybody = People.from_folder(people)
    chosen = everybody if split is PairSplit.all else everybody.split(split.value)
    if len(chosen) == 0:
        raise DataError(
            f"{people}: nobody in this folder belongs to the split {split.value}; choose --split all"
        )
    cropper = _Cropper(chosen, *_eyes(model, detector), face.policy)
    usable = _with_faces(balanced_pairs(chosen.labels, seed, SPARE * count), cropper, count, seed)
    page = sections_montage(
        [_section(usable, cropper, True), _section(usable, cropper, False)],
        columns=4,
        title="Pairs of everybody" if split is PairSplit.all else f"Pairs of the split {split.value}",
        subtitle=f"drawn with seed {seed} from {chosen}; photos without the face asked for are passed over",
    )
    save_picture(page, out)
    genuine = int(usable.same.sum())
    if as_json:
        shown = [
            {"a": str(chosen.paths[a]), "b": str(chosen.paths[b]), "same": bool(same)}
            for a, b, same in zip(usable.a, usable.b, usable.same, strict=True)
        ]
        print_json(
            {
                "out": str(out),
                "split": split.value,
                "seed": seed,
                "pairs": shown,
                **unused_rows(cropper.unused),
            }
        )
    else:
        show(f"{out}: {genuine} pairs of one person, {len(usable.same) - genuine} of two{cropper.told()}")
    return 0


class _Cropper:
    """The crops of photos by index, each made once; None where the face is not found."""

    def __init__(
        self, people: People, detector: Detector, preprocessing: Preprocessing, policy: FacePolicy
    ) -> None:
        from ..embedding.cropper import Cutter

        self._people, self._policy = people, policy
        self._cutter = Cutter(detector, preprocessing)
        self._made: dict[int, NDArray[np.uint8] | None] = {}
        self.unused: list[UnusedPhoto] = []

    def told(self) -> str:
        """How many photos could not be used, to follow on a result."""
        from ..imaging.photo_warning import unused_told

        return unused_told(self.unused)

    def names(self, index: int) -> tuple[str, str]:
        """The person and the file of a photo."""
        return self._people.names[self._people.labels[index]], self._people.paths[index].name

    def crop(self, index: int) -> NDArray[np.uint8] | None:
        from ..embedding.crop_cache import NO_FACE, UNUSED, unused_photo
        from ..utils.escape import shown

        if index not in self._made:
            path = self._people.paths[index]
            try:
                self._made[index] = self._cutter(path, self._policy, shown(path))[0].crop
            except NO_FACE:
                self._made[index] = None
            except UNUSED as error:
                self._made[index] = None
                self.unused.append(unused_photo(path, error))
                if not isinstance(error, FaceError):
                    report_error(error)
        return self._made[index]


def _eyes(model: Path | None, detector: str | None) -> tuple[Detector, Preprocessing]:
    """Detector and crop of a model, or a detector with the crop that fits it."""
    from ..detection.registry import make_detector, named_detector
    from ..model_file.locate import read_model_file
    from ..model_file.preprocessing import Preprocessing

    if model is not None and detector is not None:
        raise UsageError("give --model or --detector, not both: a model brings its own detector")
    if detector is None:
        file = read_model_file(model)
        return make_detector(file.detector_spec, file.detector_weights), file.preprocessing
    finder = named_detector(detector)
    return finder, Preprocessing(112, "landmarks" if finder.has_landmarks else "box")


def _with_faces(drawn: PairIndices, cropper: _Cropper, count: int, seed: int) -> PairIndices:
    """``count`` pairs of each kind whose photos both show the face asked for."""
    import numpy as np

    from ..types import PairIndices

    kept: list[int] = []
    for kind in (True, False):
        found = 0
        # Shuffled, for the drawn pairs are sorted by person.
        for i in np.random.default_rng(seed).permutation(np.flatnonzero(drawn.same == kind)):
            if found == count:
                break
            if cropper.crop(int(drawn.a[i])) is not None and cropper.crop(int(drawn.b[i])) is not None:
                kept.append(int(i))
                found += 1
    if not kept:
        raise DataError(
            "no face found in any of the photos drawn; check the folder, or choose another --face"
            + cropper.told()
        )
    return PairIndices(drawn.a[kept], drawn.b[kept], drawn.same[kept])


def _section(pairs: PairIndices, cropper: _Cropper, same: bool) -> Section:
    from ..plotting.montage import MontageCell, Section

    cells = []
    for a, b in zip(pairs.a[pairs.same == same], pairs.b[pairs.same == same], strict=True):
        left, right = cropper.crop(int(a)), cropper.crop(int(b))
        assert left is not None and right is not None  # _with_faces has kept no other pair
        cells.append(MontageCell(left, right, labels=(cropper.names(int(a)), cropper.names(int(b)))))
    return Section("Same person" if same else "Different people", "", tuple(cells))
