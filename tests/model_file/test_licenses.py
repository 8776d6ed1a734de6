"""Licences: what is known of them is said, and what is not known is not guessed."""

from __future__ import annotations

from typing import Any

import pytest

from facealike.errors import LicenseRefused, ModelError
from facealike.model_file.card import ModelCard
from facealike.model_file.licenses import License, check_commercial, read_licenses
from support.tiny_model import tiny_card, tiny_model_file

FREE = License("MIT", "MIT", True, "https://example.org")
RESEARCH = License("research only", None, False)
UNKNOWN = License("see the authors")


def test_names_of_the_spdx_list_are_known_and_others_are_not_guessed() -> None:
    assert License.named(" mit ", "x") == License("MIT", "MIT", True, "x")
    assert License.named("CC-BY-NC-4.0").commercial is False
    assert License.named("the usual one") == License("the usual one", None, None, "")
    assert str(FREE) == "MIT (commercial use allowed)" and "no commercial use" in str(RESEARCH)


@pytest.mark.parametrize(
    "table",
    [
        [], {"weights": "MIT"}, {"weights": {}}, {"weights": {"name": 1}}, {"wheels": {"name": "MIT"}},
        {"weights": {"name": "MIT", "commercial": "yes"}}, {"weights": {"name": "MIT", "more": 1}},
        {"weights": {"name": "MIT", "spdx": 3}},
    ],
)  # fmt: skip
def test_a_strangers_table_is_checked(table: Any) -> None:
    with pytest.raises(ModelError) as caught:
        read_licenses(table, "card")
    assert "\n" not in str(caught.value)


def test_commercial_use_needs_weights_that_surely_allow_it() -> None:
    check_commercial({"weights": FREE}, "m")
    check_commercial({"weights": FREE, "code": FREE, "training_data": RESEARCH}, "m")
    for licences, words in (
        ({"weights": RESEARCH}, "weights .research only. allows no"),
        ({"weights": FREE, "code": RESEARCH}, "code .research only. allows no"),
        ({"weights": UNKNOWN}, "state no license that surely"),
        ({"code": FREE}, "nothing"),
        ({}, "nothing"),
    ):
        with pytest.raises(LicenseRefused, match=words):
            check_commercial(licences, "m")


def test_the_card_carries_them_and_older_cards_stay_as_they_were() -> None:
    old = tiny_card()
    assert "licences" not in old.to_dict() and ModelCard.from_dict(old.to_dict()) == old
    card = tiny_card(licences={"weights": FREE, "training_data": UNKNOWN})
    table = card.to_dict()
    assert table["licences"]["weights"] == {
        "name": "MIT", "spdx": "MIT", "commercial": True, "source": "https://example.org",
    }  # fmt: skip
    assert ModelCard.from_dict(table) == card
    file = tiny_model_file(card=card)
    assert file.from_bytes(file.to_bytes()) == file and file.id == tiny_model_file().id
    with pytest.raises(ModelError, match="parts are code, weights, training_data"):
        tiny_card(licences={"wheels": FREE})
