"""Which face of a photo is meant, where it shows several: the policies, and the default of every verb."""

from __future__ import annotations

from collections.abc import Sequence
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

ALIGNED: Final = "aligned"
"""Stands in place of a policy where photos were face crops already, so that no face was chosen."""


def face_words(policy: str) -> str:
    """Return in words which face a policy means: ``the largest face``; a comparison also knows ``any``."""
    return "the best pair of all faces" if policy == "any" else f"the {policy} face"


def policy_told(used: str | None, learned: Sequence[str], lead: str = "") -> str:
    """Return one sentence where ``used`` is another policy than those a calibration was ``learned`` under.

    It follows on ``lead``.  Empty where none of them differs, where photos were face crops, and where nothing
    is known.
    """
    others = [face_words(policy) for policy in learned if policy not in (used, ALIGNED)]
    if used in (None, ALIGNED) or not others:
        return ""
    return (
        f"{lead}the model was calibrated on {' and '.join(others)} of each photo, and this is of "
        f"{face_words(str(used))}"
    )
