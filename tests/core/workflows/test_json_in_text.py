"""JSON in the text of a language model."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.workflows.json_in_text import MAX_DEPTH, collect, encodable, json_values, says_nothing_found, text_of

ROW = {"a": [1, 2.5], "b": "x"}
TEXT = json.dumps(ROW)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
# Fences and commas before brackets inside texts are read as they would be outside.
plain = scalars.filter(lambda value: not isinstance(value, str) or not set(value) & set("`,"))
shallow = st.lists(plain, max_size=4) | st.dictionaries(st.text("abc", min_size=1), plain, max_size=4)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}\n```",
        f"```JSON\n{TEXT}",
        f"Here it is [as asked]: {TEXT}. Anything else?",
        f"I see {{two}} things.\n```json\n{TEXT}\n```\nThat is [all].",
        TEXT.replace("}", ",}").replace("]", " ,\n]"),
        TEXT.replace(" ", "\n\t"),
    ],
)
def test_an_object_is_found_wherever_it_stands(text: str) -> None:
    assert json_values(text) == [ROW]


@pytest.mark.parametrize("between", ["", "\n", ", ", " and then "])
def test_several_objects_are_found_in_order(between: str) -> None:
    rows = [{"n": number} for number in range(3)]
    assert json_values(between.join(map(json.dumps, rows))) == rows


def test_several_fenced_blocks() -> None:
    assert json_values("```json\n[1]\n```\nthen [9]\n```json\n[2]\n```") == [[1], [2]]


def test_a_fenced_block_without_json_hides_nothing() -> None:
    assert json_values("```python\nprint()\n``` [1]") == [[1]]


def test_a_list_that_is_cut_off_gives_its_complete_members() -> None:
    assert json_values('```json\n[{"n": 1}, {"n": 2}, {"n": 3, "m": [4') == [{"n": 1}, {"n": 2}]


def test_new_lines_inside_texts() -> None:
    assert json_values('{"a": "one\ntwo"}') == [{"a": "one\ntwo"}]


@pytest.mark.parametrize("text", ["", "no json", "{", "]", "{'a': 1}", "{a: 1}", "``` ```", "1, 2", '"text"', "\0"])
def test_texts_without_json(text: str) -> None:
    assert json_values(text) == []


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "[[],{" * 40_000, "`" * 100_001, "[1," * 60_000])
def test_hostile_nesting_ends_soon_and_raises_nothing(text: str) -> None:
    started = time.perf_counter()
    json_values(text)
    assert time.perf_counter() - started < 20


def test_a_number_of_many_digits_is_no_error() -> None:
    assert json_values("[" + "9" * 10_000 + "]") == []


def test_values_are_searched_to_a_depth() -> None:
    deep: Any = "bottom"
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    (found,) = json_values(json.dumps(deep))
    for _ in range(MAX_DEPTH - 1):
        (found,) = found
    assert found == [None]


def test_lone_surrogates_can_be_written() -> None:
    (found,) = json_values('{"a\\ud800": "b\\udfff", "c": ["\\ud83d\\ude00"]}')
    assert found == {"a?": "b?", "c": ["😀"]}
    assert encodable("a\ud800") == "a?"


@given(shallow)
def test_a_written_value_is_read_again(value: Any) -> None:
    assert json_values(f"Well: {json.dumps(value)}") == [value]
    assert json_values(f"```json\n{json.dumps(value, indent=1)}\n```") == [value]


@given(st.text() | st.text(alphabet='[]{}",:`0\\n a'))
def test_no_text_raises(text: str) -> None:
    json.dumps(json_values(text)).encode()


def test_collecting_stops_where_something_was_found() -> None:
    value = {"cups": [{"n": 1, "inside": {"n": 2}}], "n": "no", "more": {"plates": {"n": 3}}}

    def read(name: str, value: Any) -> list[tuple[str, int]]:
        number = value.get("n") if isinstance(value, dict) else None
        return [(name, number)] if isinstance(number, int) else []

    assert collect([value], read) == [("cups", 1), ("plates", 3)]


@pytest.mark.parametrize(
    ("value", "nothing"),
    [([], True), ({"objects": []}, True), ({}, False), ({"a": [], "b": 1}, False), ([[]], False), (None, False)],
)
def test_an_empty_list_says_that_nothing_was_found(value: Any, nothing: bool) -> None:
    assert says_nothing_found([value]) is nothing


def test_the_first_key_with_a_text() -> None:
    item = {"a": 1, "b": " ", "c": " x ", "d": "y"}
    assert text_of(item, "abcd") == "x" and text_of(item, "dc") == "y" and text_of(item, "ab") == ""
