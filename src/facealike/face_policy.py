"""Which face of a photo is meant, where it shows several: the policies, and the default of every verb."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

FacePolicy: TypeAlias = Literal["largest", "central", "only", "all"]
"""Which face of a photo is meant; ``all`` only where a verb can return several."""

FACE_POLICIES: tuple[str, ...] = get_args(FacePolicy)

DEFAULT_FACE: Final = "largest"
"""The policy for users' photos in every verb and recipe, so that a threshold is used as it was learned."""

LFW_FACE: Final = "central"
"""The policy of LFW's protocols: the face at the center of a photo is that of the person it is named after.

Source: Huang, Ramesh, Berg and Learned-Miller, UMass TR 07-49, 2007.
"""


def face_words(policy: str) -> str:
    """Return a policy that means one face of a photo in words: ``the largest face``."""
    return f"the {policy} face"
