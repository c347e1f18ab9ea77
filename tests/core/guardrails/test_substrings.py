"""Which of many texts stand in another."""

from __future__ import annotations

import pytest

from cosmos3_core.guardrails.substrings import Substrings

TEXTS = Substrings(["a", "xy", "robots", "robotic arm", "rose"])


@pytest.mark.parametrize("text", ["a", "bxyb", "xy", "the robotic arm", "robots", "zzrose", "rorose"])
def test_a_part_is_found(text: str) -> None:
    assert TEXTS.stands_in(text)


@pytest.mark.parametrize("text", ["", "x", "robot", "ros", "robotic rm", "yx"])
def test_what_is_no_part_is_not_found(text: str) -> None:
    assert not TEXTS.stands_in(text)


def test_of_no_texts_none_is_found() -> None:
    assert not Substrings([]).stands_in("robot") and not Substrings([]) and Substrings(["a"])
