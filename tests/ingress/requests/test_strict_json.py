"""JSON that is accepted; test_body.py has the JSON that is refused."""

from __future__ import annotations

import pytest

from deployments.ingress.requests.strict_json import JsonError, parse_json


def test_json_as_rfc_8259() -> None:
    assert parse_json('{"a": [1, -2.5e3, true, null, "\\u00e9"]}') == {"a": [1, -2500.0, True, None, "é"]}
    with pytest.raises(JsonError):
        parse_json("\ufeff{}")
