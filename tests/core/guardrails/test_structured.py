"""Prompts that are JSON objects, and what their escapes hide."""

from __future__ import annotations

import json

import pytest

from cosmos3_core.guardrails.blocklist import Blocklist
from cosmos3_core.guardrails.guardrails import Guardrails
from cosmos3_core.guardrails.structured import with_decoded

LIST = Guardrails([Blocklist(["grimflax", "zap", "forbidden orchard", "禁止語"])])


@pytest.mark.parametrize(
    "prompt",
    [
        r'{"subject":"gr\u0069mflax"}',
        r'{"gr\u0069mflax":"subject"}',
        r'{"a":[{"b":["gr\u0069mflax"]}]}',
        r'{"a":"\nzap"}',
        r'{"a":"x\tzap"}',
        r'{"a":"forbidden\norchard"}',
        r'{"a":"z\ud83dap"}',
        r'{"a":"zap","a":"\u0069"}',
        json.dumps({"context": "これは禁止語です"}),
    ],
)
def test_no_escape_hides_a_word(prompt: str) -> None:
    (check,) = LIST.check_texts({"prompt": prompt})
    assert check.outcome.value == "blocked"


@pytest.mark.parametrize(
    "prompt", [r'{"a":"a \u0072obot\n"}', r'{"a": 1, "b": null, "c": [true, "\""]}', r'{"a":"\ud83d"}']
)
def test_other_prompts_with_escapes_are_allowed(prompt: str) -> None:
    (check,) = LIST.check_texts({"prompt": prompt})
    assert check.outcome.value == "allowed"


def test_keys_and_strings_follow_the_text_in_their_order() -> None:
    prompt = r'{"a":["\u0062",{"c":"d"},1],"e":"f"}'
    assert with_decoded(prompt) == f"{prompt}\na\nb\nc\nd\ne\nf"


@pytest.mark.parametrize(
    "text", ["a robot", r"a \u0072obot", '{"a": "b"}', r'["\u0061"]', r'"\u0061"', "\\" * 9, "{" * 99_999 + "\\"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert with_decoded(text) == text


def test_an_object_may_be_deep() -> None:
    text = r'{"a":' * 900 + r'"\u007aap"' + "}" * 900
    (check,) = LIST.check_texts({"prompt": text})
    assert check.outcome.value == "blocked"
