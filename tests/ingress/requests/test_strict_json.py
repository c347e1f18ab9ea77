"""JSON that is accepted; test_body.py has the JSON that is refused."""

from __future__ import annotations

import pytest

from deployments.ingress.requests.strict_json import MAX_NAMES, JsonError, parse_json


def test_json_as_rfc_8259() -> None:
    assert parse_json('{"a": [1, -2.5e3, true, null, "\\u00e9"]}') == {"a": [1, -2500.0, True, None, "é"]}
    with pytest.raises(JsonError):
        parse_json("\ufeff{}")


def test_an_object_of_very_many_fields() -> None:
    fields = ",".join(f'"{number}":0' for number in range(MAX_NAMES + 1))
    with pytest.raises(JsonError, match="too many fields"):
        parse_json("{" + fields + "}")


@pytest.mark.parametrize("text", ["1" * 1_000_000, "-" + "9" * 5000, "[" * 100_000, '{"a":' * 100, "1e999", "NaN"])
def test_numbers_and_depths_without_end(text: str) -> None:
    with pytest.raises(JsonError):
        parse_json(text)
