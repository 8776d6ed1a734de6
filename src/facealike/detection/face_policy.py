"""Policies that select a face of a photo with several, and the default of every command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, get_args

FacePolicy: TypeAlias = Literal["largest", "central", "only", "all"]
"""Which face of a photo is meant; ``all`` only where several can be returned."""

FACE_POLICIES: tuple[str, ...] = get_args(FacePolicy)

DEFAULT_FACE: Final = "largest"
"""The policy for users' photos in every command and recipe, so that thresholds are used as calibrated."""

LFW_FACE: Final = "central"
"""The policy of LFW's protocols: the face at the center of a photo is that of the person it is named after.

Source: Huang, Ramesh, Berg and Learned-Miller, UMass TR 07-49, 2007.
"""

ALIGNED: Final = "aligned"
"""Stored in place of a policy where photos were face crops already, so no face was selected."""


def face_words(policy: str) -> str:
    """Return in words which face a policy selects: ``the largest face``; a comparison also has ``any``."""
    return "the best pair of all faces" if policy == "any" else f"the {policy} face"


def policy_difference(used: str | None, calibrated: Sequence[str], lead: str = "") -> str:
    """Return one sentence if a score is used under another policy than the model was calibrated under.

    Args:
        used: The policy of the scores.
        calibrated: The policies of the calibration.
        lead: Text that the sentence follows.

    Returns:
        The sentence, or an empty text where the policies agree, photos were face crops, or nothing is known.
    """
    others = [face_words(policy) for policy in calibrated if policy not in (used, ALIGNED)]
    if used in (None, ALIGNED) or not others:
        return ""
    return (
        f"{lead}the model was calibrated on {' and '.join(others)} of each photo, and this is of "
        f"{face_words(str(used))}"
    )
