"""Whether something is called plausible."""

from __future__ import annotations

from typing import Any

import pytest

from cosmos3_core.workflows.verdicts import plausibility


@pytest.mark.parametrize(
    "value",
    [True, "plausible", "Plausible.", "yes", "YES!", '"true"', "physically plausible", "It looks realistic to me."],
)
def test_plausible(value: Any) -> None:
    assert plausibility(value) is True


@pytest.mark.parametrize(
    "value",
    [
        False,
        "implausible",
        "**Implausible**",
        "No.",
        "false",
        "not plausible",
        "It is not physically plausible.",
        "This isn't plausible.",
        "This isn\u2019t very realistic.",
        "That is physically impossible.",
        "Unrealistic: the ball rises.",
    ],
)
def test_implausible(value: Any) -> None:
    assert plausibility(value) is False


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        0,
        [],
        {},
        "",
        "maybe",
        "no ball is seen",
        "possibly",
        "plausible or implausible",
        "It is possible that it falls.",
    ],
)
def test_neither_or_both(value: Any) -> None:
    assert plausibility(value) is None
