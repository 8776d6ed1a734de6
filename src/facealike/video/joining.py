"""Join the tracks of one person: after a cut, behind something, or back in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..clustering.average_linkage import average_linkage
from .template import mean_of
from .tracker import FaceInFrame

Faces = tuple[FaceInFrame, ...]


def join_tracks(tracks: Sequence[Faces], threshold: float, min_quality: float) -> list[Faces]:
    """Return the tracks with those of one person joined, in the order in which they begin.

    Average linkage: the score of two tracks is the mean score between their faces, which is the product of
    their mean embeddings, not normalized.  The cosine of two means is higher, and would join different
    people (docs/results/video.md).  Two tracks that share a frame are two people.
    A track of which no face reaches the quality stays alone: the embeddings of poor faces are alike.

    Args:
        tracks: The faces of each, in the order of the frames.
        threshold: The lowest mean cosine of two groups that are joined.
        min_quality: Quality that the best face of a track must have.
    """
    good = [i for i, faces in enumerate(tracks) if max(face.quality for face in faces) >= min_quality]
    if len(good) < 2:
        return list(tracks)
    frames = [{face.frame for face in tracks[i]} for i in good]
    vectors = np.stack([mean_of(tracks[i]) for i in good])
    apart = [(a, b) for a, b in combinations(range(len(good)), 2) if not frames[a].isdisjoint(frames[b])]
    people = average_linkage(vectors, threshold, apart=apart)
    joined: dict[int, list[FaceInFrame]] = {}
    for i, person in zip(good, people, strict=True):
        joined.setdefault(int(person), []).extend(tracks[i])
    alone = [tracks[i] for i in set(range(len(tracks))) - set(good)]
    return sorted(
        [*alone, *(tuple(sorted(faces, key=lambda face: face.frame)) for faces in joined.values())],
        key=lambda faces: (faces[0].frame, faces[0].face.box),
    )
