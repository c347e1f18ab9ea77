"""How a text is read where words are hidden in it."""

from __future__ import annotations

import pytest

from cosmos3_core.guardrails.text_forms import folded, joined_words, readings, spelled, words


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("ROBOT", "robot"),
        ("Café", "cafe"),
        ("\uff52\uff4f\uff42\uff4f\uff54", "robot"),
        ("ro\u200bbot", "robot"),
        ("ro\u00adbot", "robot"),
        ("Straße", "strasse"),
        ("r\u0336o\u0336b\u0336o\u0336t", "robot"),
    ],
)
def test_case_accents_widths_and_invisible_characters_are_folded(text: str, plain: str) -> None:
    assert folded(text) == plain


def test_a_json_prompt_is_read_as_words() -> None:
    assert words(folded('{"subject": "A Robot_arm", "n": 7}')) == ["subject", "a", "robot", "arm", "n", "7"]


@pytest.mark.parametrize("text", ["r0b0t", "rob0t!", "rooobooot", "'r0bot'", '{"a":"r0bot"}'])
def test_signs_and_repetitions_are_read_as_letters(text: str) -> None:
    assert any("robot" in found for found in readings(text))


def test_a_one_is_an_i_or_an_l() -> None:
    assert {"mill", "miil", "miii"} & {word for found in readings("m1ll m11l") for word in found} >= {"mill"}
    assert any("ill" in found for found in readings("i11"))


def test_numbers_stay_numbers() -> None:
    assert all(found == ["455", "1080", "24"] for found in readings("455 1080 24"))


def test_letters_that_are_set_apart_make_a_word() -> None:
    assert "robot" in set(joined_words("a r-o_b.o-t here"))
    assert list(spelled("see r o b 0 t and x y z")) == ["robot", "xyz"]
    assert list(spelled("a b or c d")) == []
