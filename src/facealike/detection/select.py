"""Select the face of a photo that is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import NoFaceFound, SeveralFaces, UsageError
from ..types import Face
from .face_policy import FACE_POLICIES, FacePolicy


def select_faces(
    faces: Sequence[Face], policy: FacePolicy, shape: tuple[int, ...], source: str = "the image"
) -> list[Face]:
    """Return the faces that a policy selects.

    Args:
        faces: All faces of a photo, the most confident first.
        policy: ``largest`` is the box with the greatest area, ``central`` the box whose center is nearest
            the middle of the photo, ``only`` the one face, and ``all`` every face.
        shape: Shape of the photo, (H, W, ...).
        source: What messages call the photo.

    Raises:
        NoFaceFound: There is no face.
        SeveralFaces: There are several under the policy ``only``.
        UsageError: The policy is unknown.
    """
    if policy not in FACE_POLICIES:
        raise UsageError(f"the face policy is one of {', '.join(FACE_POLICIES)}, not {policy!r}")
    if not faces:
        raise NoFaceFound(
            f"{source}: no face found; use a photo that shows the face larger and frontal; "
            "compare, explain and embed take a face crop with --aligned"
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
    return [min(faces, key=lambda face: float(np.linalg.norm(np.array(face.box.center) - middle)))]
