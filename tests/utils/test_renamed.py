"""Old names of arguments work for one release, and warn."""

from __future__ import annotations

from typing import Any

import pytest

from facealike.utils.renamed import renamed_arguments


@renamed_arguments(colour="color")
def paint(what: str, color: str = "red") -> str:
    """Paint it."""
    return f"{color} {what}"


OLD: dict[str, Any] = {"colour": "blue"}


def test_the_old_name_sets_the_new_argument_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="colour is renamed: use color"):
        assert paint("door", **OLD) == "blue door"


@pytest.mark.filterwarnings("error")
def test_the_new_name_does_not_warn() -> None:
    assert paint("door", color="blue") == paint("door", "blue") == "blue door" and paint("door") == "red door"
    assert paint.__name__ == "paint" and paint.__doc__ == "Paint it."


def test_both_names_are_refused() -> None:
    with pytest.raises(TypeError, match="got colour, which is now color, and color too"):
        paint("door", color="red", **OLD)
