"""Which face of a photo is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import NoFaceFound, SeveralFaces, UsageError
from ..types import Face
from .face_policy import FACE_POLICIES, FacePolicy


def select_faces(
    faces: Sequence[Face], policy: FacePolicy, shape: tuple[int, ...], source: str = "the image"
) -> list[Face]:
    """The faces that ``policy`` means, in an image of ``shape`` (H, W, ...).

    ``largest``: the box with the greatest area.  ``central``: the box whose centre is nearest the
    middle.  ``only``: the one face; SeveralFaces if there are more.  ``all``: every face, the most
    confident first.  Raises NoFaceFound, naming ``source``, where there is none.
    """
    if policy not in FACE_POLICIES:
        raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {policy!r}")
    if not faces:
        raise NoFaceFound(
            f"{source}: no face found; use a photo that shows the face larger and frontal, "
            "or say that it is already a face crop (--aligned)"
        )
    if policy == "all":
        return list(faces)
    if policy == "only":
        if len(faces) > 1:
            raise SeveralFaces(
                f"{source}: {len(faces)} faces found where the policy 'only' allows one; "
                "crop the photo or choose --face largest or central"
            )
        return [faces[0]]
    if policy == "largest":
        return [max(faces, key=lambda face: face.box.area)]
    middle = np.array([shape[1] / 2, shape[0] / 2])
    return [min(faces, key=lambda face: float(np.linalg.norm(np.array(face.box.centre) - middle)))]
