"""Names of form fields with brackets, in whole forms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.body import read_body
from deployments.ingress.requests.bracket_notation import nested
from tests.ingress.requests.forms import read, refused, text_parts


@pytest.mark.parametrize(
    ("parts", "fields"),
    [
        ([("seed", "")], {}),
        ([("extra_params[a]", ""), ("extra_params[b]", "1")], {"extra_params": {"b": "1"}}),
        ([("a", "1"), ("a", "2"), ("a", "3")], {"a": ["1", "2", "3"]}),
        ([("a[]", "1")], {"a": ["1"]}),
        ([("a", "1"), ("a[]", "2")], {"a": ["1", "2"]}),
        ([("a[b][]", "0"), ("a[b][]", "1")], {"a": {"b": ["0", "1"]}}),
        ([("a[b][c][d]", "1"), ("a[b][e]", "2")], {"a": {"b": {"c": {"d": "1"}, "e": "2"}}}),
        ([("r[][image_url]", "x")], {"r": [{"image_url": "x"}]}),
        ([("r[][b]", "1"), ("r[][c]", "2"), ("r[][b]", "3")], {"r": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ([("a[b", "1"), ("[c]", "2"), ("d]e", "3")], {"a[b": "1", "[c]": "2", "d]e": "3"}),
    ],
)
def test_bracket_notation(parts: list[tuple[str, str]], fields: dict[str, Any]) -> None:
    assert read(text_parts(*parts)).fields == fields


@pytest.mark.parametrize(
    "parts",
    [
        [("a", "1"), ("a[b]", "2")],
        [("a[b]", "2"), ("a", "1")],
        [("a[b]", "2"), ("a[]", "1")],
        [("a[]", "1"), ("a[][b]", "2")],
        [("a[][b]", "2"), ("a[]", "1")],
        [("a[b]", "1"), ("a[][c]", "2")],
        [("a[][]", "1")],
        [("a" + "[b]" * 20, "1")],
    ],
)
def test_ambiguous_brackets(parts: list[tuple[str, str]]) -> None:
    request = text_parts(*parts)
    error = refused(read_body, request.read(), request.headers["content-type"])
    assert (error.status, error.param) == (400, "a")
    assert "JSON text" in error.message


@given(st.lists(st.tuples(st.text("ab[]", max_size=12), st.sampled_from(["", "1", "2"])), max_size=8))
def test_any_bracketed_names(parts: list[tuple[str, str]]) -> None:
    try:
        nested(parts)
    except ApiError as error:
        assert error.status == 400
