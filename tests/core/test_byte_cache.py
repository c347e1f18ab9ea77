"""The cache with a budget in bytes, against a model of it that is a plain list."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.byte_cache import ByteCache


class Call(NamedTuple):
    name: str
    key: str
    size: int


CALLS = st.lists(
    st.builds(Call, st.sampled_from(["put", "get", "drop", "clear"]), st.sampled_from("abcde"), st.integers(0, 7)),
    max_size=40,
)


def cache_of(budget: int, *keys: str) -> ByteCache[str, bytes]:
    cache = ByteCache[str, bytes](budget, len)
    for key in keys:
        cache.put(key, key.encode())
    return cache


def kept(cache: ByteCache[str, bytes], keys: str = "abcde") -> str:
    """Which of the keys are there, without making any of them more recent."""
    return "".join(key for key in keys if key in cache._values)


def test_a_value_comes_back_as_it_was_put() -> None:
    cache, value = cache_of(8), b"value"
    cache.put("a", value)
    assert cache.get("a") is value
    assert (len(cache), cache.held, cache.hits, cache.misses) == (1, 5, 1, 0)


def test_what_is_not_there_is_a_miss() -> None:
    cache = cache_of(8, "a")
    assert cache.get("b") is None
    assert (cache.hits, cache.misses) == (0, 1)


def test_an_empty_value_is_a_hit() -> None:
    cache = cache_of(8)
    cache.put("a", b"")
    assert cache.get("a") == b""
    assert (len(cache), cache.held, cache.hits, cache.misses) == (1, 0, 1, 0)


def test_the_budget_may_be_used_up_to_the_last_byte() -> None:
    cache = cache_of(4)
    cache.put("a", b"1234")
    assert (cache.held, kept(cache)) == (4, "a")


def test_the_first_one_put_goes_first() -> None:
    assert kept(cache_of(3, *"abcd")) == "bcd"


def test_what_was_read_stays_longer() -> None:
    cache = cache_of(3, *"abc")
    cache.get("a")
    cache.put("d", b"d")
    assert kept(cache) == "acd"


def test_as_many_go_as_make_room() -> None:
    cache = cache_of(4, *"abcd")
    cache.put("e", b"123")
    assert (kept(cache), cache.held) == ("de", 4)


def test_a_value_above_the_budget_is_not_kept_and_moves_nobody() -> None:
    cache = cache_of(3, *"abc")
    cache.put("d", b"1234")
    assert (kept(cache), cache.held) == ("abc", 3)


def test_a_value_above_the_budget_ends_the_one_it_replaces() -> None:
    cache = cache_of(3, *"ab")
    cache.put("a", b"1234")
    assert cache.get("a") is None
    assert (kept(cache), cache.held) == ("b", 1)


def test_putting_again_replaces_and_makes_recent() -> None:
    cache = cache_of(3, *"ab")
    cache.put("a", b"12")
    assert (cache.get("a"), cache.held) == (b"12", 3)
    cache.put("c", b"c")
    assert kept(cache) == "ac"


def test_a_budget_of_nothing_keeps_nothing() -> None:
    assert (len(cache_of(0, *"ab")), cache_of(0, *"ab").held) == (0, 0)


def test_dropping_what_is_not_there_does_nothing() -> None:
    cache = cache_of(3, "a")
    cache.drop("b")
    assert (kept(cache), cache.held) == ("a", 1)


def test_clearing_forgets_the_values_and_keeps_the_counts() -> None:
    cache = cache_of(3, *"ab")
    cache.get("a"), cache.get("z")
    cache.clear()
    assert (len(cache), cache.held, cache.hits, cache.misses) == (0, 0, 1, 1)
    cache.put("c", b"123")
    assert cache.get("c") == b"123"


@pytest.mark.parametrize("key", [("a", 1), 7, b"bytes", None])
def test_any_hashable_is_a_key(key: object) -> None:
    cache = ByteCache[object, str](1, len)
    cache.put(key, "v")
    assert cache.get(key) == "v"


@given(st.integers(0, 12), CALLS)
def test_it_behaves_as_its_model_does(budget: int, calls: list[Call]) -> None:
    cache = ByteCache[str, bytes](budget, len)
    # The model: pairs from the least to the most recently used.
    model: list[tuple[str, bytes]] = []
    hits = misses = 0
    for number, (name, key, size) in enumerate(calls):
        found = [pair for pair in model if pair[0] == key]
        if name == "get":
            expected = found[0][1] if found else None
            assert cache.get(key) == expected
            hits, misses = hits + bool(found), misses + (not found)
            model = [pair for pair in model if pair[0] != key] + found
        elif name == "put":
            value = bytes([number]) * size
            cache.put(key, value)
            model = [pair for pair in model if pair[0] != key]
            if size <= budget:
                model.append((key, value))
            while sum(len(value) for _, value in model) > budget:
                model.pop(0)
        elif name == "drop":
            cache.drop(key)
            model = [pair for pair in model if pair[0] != key]
        else:
            cache.clear()
            model = []
        assert list(cache._values.items()) == model
        assert len(cache) == len(model)
        assert cache.held == sum(len(value) for _, value in model) <= budget
        assert (cache.hits, cache.misses) == (hits, misses)
