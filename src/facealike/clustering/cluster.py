"""Group the faces of many photos by person."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import combinations, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..datasets.folders import find_photos, warn_skipped
from ..embedding.face_model import Model, loaded_model
from ..errors import DataError, UsageError
from ..types import Progress
from ..utils.escape import shown
from .average_linkage import average_linkage
from .corrections import Corrections, read_corrections
from .faces import PhotoFace, PhotoFaces, photo_faces
from .kept_groups import KeptGroups, keep_groups
from .neighbors import block_rows
from .options import ClusterKeywords, ClusterOptions, ClusterThreshold, cluster_threshold
from .people_record import absolute, check_people, existing_photos
from .result import ClusteredFace, Clustering, PersonPair

if TYPE_CHECKING:
    from typing_extensions import Unpack

Ints = NDArray[np.int64]


def cluster(
    photos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    model: Model | str | os.PathLike[str] | None = None,
    *,
    corrections: str | os.PathLike[str] | None = None,
    people: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    **keywords: Unpack[ClusterKeywords],
) -> Clustering:
    """Group the faces of photos by person.

    Every face is embedded.  Groups are merged by average linkage: the two with the highest mean cosine
    between their faces first, while that mean reaches the threshold.  Two faces of one photo are two people.
    The groups do not depend on the order of the photos.

    Args:
        photos: A folder, searched with all folders below it, or paths of photos.
        model: A loaded Model, the path of a model file, or None for the default model.
        corrections: A CSV of pairs of faces that are the same person or different people; see
            ``facealike.clustering.corrections``.
        people: A folder that ``Clustering.save`` has written: its people are kept as they are there now, and
            ``save`` to the same folder adds to it.  Photos that it was made of count too.  A folder that is
            empty or not there is a new one.
        cache: A folder that keeps faces and embeddings, so that an interrupted run goes on; None keeps none.
        progress: Called with (done, total) photos.
        device: Where to load the model; must be the device of a Model that is loaded.
        keywords: Fields of ``ClusterOptions``.  ``fmr``: target FMR of the threshold, by default 1e-4.
            ``threshold``: the threshold itself.  ``face``: which faces of a photo.  ``min_quality``: poorer
            faces belong to no person, by default those below 0.8.  ``same_photo``: two faces of one photo
            may be one person.

    Raises:
        DataError: The folder has no photo, or a file of corrections, a cache or a folder of people cannot be
            used.
        ModelError: The model file cannot be used.
        NotCalibrated: No threshold is given, and the model has no table of impostor scores.
        UsageError: The options contradict each other or are out of range.

    Examples:
        >>> result = cluster("photos")
        >>> print(result.people, result.review)
        >>> result.save("people")
    """
    options = ClusterOptions(**keywords)
    paths = photo_paths(photos)
    model = loaded_model(model, device)
    threshold = cluster_threshold(model.calibration, options)
    corrected = Corrections() if corrections is None else read_corrections(corrections)
    record = None if people is None else check_people(Path(people))
    if record is not None:
        known = {absolute(path) for path in paths}
        paths += [path for path in existing_photos(record.faces) if path not in known]
    found = photo_faces(model, paths, options.face, cache, progress)
    kept = None if people is None or record is None else keep_groups(Path(people).absolute(), record, found)
    return group_faces(found, model.id, threshold, options, corrected, kept)


def photo_paths(photos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the photos of a folder, or the paths given, each once.

    Raises:
        DataError: There is none.
    """
    if isinstance(photos, str | os.PathLike):
        found, skipped = find_photos(photos)
        warn_skipped(Path(photos), skipped)
        if not found:
            raise DataError(f"{shown(photos)}: no photo in this folder; check the path")
        return [str(path) for path in found]
    paths = []
    for one in photos:
        if not isinstance(one, str | os.PathLike):
            raise UsageError(f"photos are given by their paths, not as {type(one).__name__}")
        paths.append(os.fsdecode(one))
    if not paths:
        raise UsageError("there is no photo to group; give a folder or paths")
    return list(dict.fromkeys(paths))


def group_faces(
    found: PhotoFaces, model: str, threshold: ClusterThreshold, options: ClusterOptions,
    corrections: Corrections, kept: KeptGroups | None = None,
) -> Clustering:  # fmt: skip
    """Return faces that are embedded already, grouped by person.

    Args:
        found: The faces.
        model: The id of the model that embedded them.
        threshold: See ``cluster_threshold``.
        options: Which faces are grouped, and whether two of one photo may be one person.
        corrections: Pairs of faces that are the same person or different people.
        kept: The groups of a folder of people that is continued.

    Raises:
        DataError: Corrections name a face that is not there, or contradict each other or the folders.
    """
    kept = KeptGroups(digests=found.digests) if kept is None else kept
    kept.embeddings = [face.embedding for face in found.faces]
    good = [
        i for i, face in enumerate(found.faces)
        if i in kept.groups
        or (face.quality >= options.min_quality and i not in kept.removed and i not in kept.alone)
    ]  # fmt: skip
    # In an order of their own, so that the order of the photos decides nothing, not even between equals.
    good.sort(key=lambda i: (found.faces[i].photo, found.faces[i].number))
    faces = [found.faces[i] for i in good]
    places = {i: place for place, i in enumerate(good)}
    together, apart = corrections.pairs(found.faces, places)
    earlier = [(places[a], places[b]) for a, b in sorted(kept.apart) if a in places and b in places]
    kept.remember([(good[a], good[b]) for a, b in apart], found.faces)
    alone = [*earlier, *(() if options.same_photo else same_photo(faces))]
    vectors = np.stack([face.embedding for face in faces]) if faces else np.zeros((0, 1), np.float32)
    begun = np.array([kept.groups.get(i, -1) for i in good], dtype=np.int64)
    people = average_linkage(vectors, threshold.value, together, apart, alone, begun)
    numbers = kept.people(people, good)
    sums, sizes = _sums(vectors, people)
    scores = _scores(vectors, people, sums, sizes)
    rows: dict[int, tuple[int, float | None]] = {
        place: (numbers[person], score) for place, person, score in zip(good, people, scores, strict=True)
    }
    rows |= {face: (person, None) for face, person in kept.alone.items()}
    used = {person for person, _ in rows.values()}
    return Clustering(
        tuple(_clustered(face, *rows.get(i, (None, None))) for i, face in enumerate(found.faces)),
        found.photos,
        found.unused,
        threshold,
        model,
        _review(sums / sizes[:, None], people, numbers, threshold, [*apart, *alone]),
        {person: name for person, name in kept.names.items() if person in used},
        kept=kept,
        min_quality=options.min_quality,
    )


def same_photo(faces: Sequence[PhotoFace]) -> list[tuple[int, int]]:
    """Return the pairs of faces that are in one photo; the faces of a photo follow each other."""
    pairs: list[tuple[int, int]] = []
    for _, group in groupby(range(len(faces)), key=lambda i: faces[i].photo):
        pairs += combinations(group, 2)
    return pairs


def _clustered(face: PhotoFace, person: int | None, score: float | None) -> ClusteredFace:
    return ClusteredFace(face.photo, face.number, face.face, face.quality, person, score, face.thumbnail)


def _scores(
    vectors: NDArray[np.float32], people: Ints, sums: NDArray[np.float64], sizes: Ints
) -> list[float | None]:
    """Return the mean cosine of each face with the other faces of its person, None where there are none."""
    # The product of a unit vector with itself, 1, is taken out.
    totals = np.einsum("ij,ij->i", vectors, sums[people]) - 1
    return [
        float(min(max(total / (size - 1), -1.0), 1.0)) if size > 1 else None
        for total, size in zip(totals, sizes[people], strict=True)
    ]


def _sums(vectors: NDArray[np.float32], people: Ints) -> tuple[NDArray[np.float64], Ints]:
    """Return the sum of the vectors of each person, (k, d), and how many faces each has, (k,)."""
    sizes = np.bincount(people)
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, people, vectors)
    return sums, sizes


def _review(
    centers: NDArray[np.float64], people: Ints, numbers: Sequence[int], threshold: ClusterThreshold,
    apart: Sequence[tuple[int, int]],
) -> tuple[PersonPair, ...]:  # fmt: skip
    """Return the pairs of people whose mean cosine is just below the threshold, the highest first.

    People in two folders stay two also where it is above.

    Args:
        centers: The means of the vectors of each person, (k, d).
        people: The person of each vector, from 0, (n,).
        numbers: The number of each person, (k,).
        threshold: The threshold.
        apart: Pairs of vectors that are two people.
    """
    if threshold.review is None or not len(people):
        return ()
    means = centers.astype(np.float32)
    different = {tuple(sorted((int(people[a]), int(people[b])))) for a, b in apart}
    found: list[PersonPair] = []
    rows = block_rows(len(means))
    for start in range(0, len(means), rows):
        scores = means[start : start + rows] @ means.T
        for row, column in zip(*np.nonzero(scores >= threshold.review), strict=True):
            a, b = start + int(row), int(column)
            if a < b and (a, b) not in different:
                first, second = sorted((numbers[a], numbers[b]))
                found.append(PersonPair(first, second, float(scores[row, column])))
    return tuple(sorted(found, key=lambda pair: (-pair.score, pair.a, pair.b)))
