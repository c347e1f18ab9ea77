"""The cache of fetched files: one copy per content, under a budget, and addresses that expire."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from deployments.fetching import content_cache
from deployments.fetching.content_cache import ContentCache
from deployments.wire.encoded_file import digest_of


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def keep(cache: ContentCache, address: str, content: bytes) -> bytes:
    return cache.keep(address, digest_of(content), content)


def test_one_copy_for_all_addresses_of_a_content() -> None:
    cache = ContentCache(100, 60)
    first, second = b"x" * 40, bytes(bytearray(b"x" * 40))
    assert first is not second
    assert keep(cache, "a", first) is first
    assert keep(cache, "b", second) is first
    assert cache.find("a") is cache.find("b") is first
    assert cache.held == 40


def test_the_content_that_was_not_used_for_longest_goes_first() -> None:
    cache = ContentCache(100, 60)
    for name in ("a", "b"):
        keep(cache, name, name.encode() * 40)
    cache.find("a")
    keep(cache, "c", b"c" * 40)
    assert (cache.find("a"), cache.find("b"), cache.find("c")) == (b"a" * 40, None, b"c" * 40)
    keep(cache, "d", b"d" * 100)
    assert cache.held == 100 and cache.find("a") is cache.find("c") is None


def test_what_is_larger_than_the_budget_is_not_kept() -> None:
    cache = ContentCache(100, 60)
    keep(cache, "a", b"a" * 40)
    assert keep(cache, "a", b"b" * 101) == b"b" * 101
    assert (cache.find("a"), cache.held) == (None, 0)


def test_an_address_expires_and_its_content_with_the_last_of_them() -> None:
    clock = Clock()
    cache = ContentCache(100, 60, clock)
    keep(cache, "a", b"x" * 40)
    clock.now = 30
    keep(cache, "b", b"x" * 40)
    clock.now = 59.9
    assert cache.find("a") is not None
    clock.now = 60
    assert cache.find("a") is None and cache.find("b") is not None and cache.held == 40
    clock.now = 90
    assert cache.find("b") is None and cache.held == 0


def test_an_address_that_is_fetched_again_stands_for_the_new_content() -> None:
    clock = Clock()
    cache = ContentCache(100, 60, clock)
    keep(cache, "a", b"old")
    keep(cache, "b", b"other")
    clock.now = 30
    keep(cache, "a", b"new content")
    assert (cache.find("a"), cache.held) == (b"new content", len(b"othernew content"))
    clock.now = 60
    assert (cache.find("a"), cache.find("b")) == (b"new content", None)


@pytest.mark.parametrize(("limit", "seconds"), [(0, 60), (100, 0)])
def test_a_cache_that_is_off(limit: int, seconds: float) -> None:
    cache = ContentCache(limit, seconds)
    assert keep(cache, "a", b"x") == b"x"
    assert cache.find("a") is None and cache.held == 0


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_cache, "MAX_ADDRESSES", 3)
    cache = ContentCache(100, 60)
    for name in "abcd":
        keep(cache, name, b"x")
    assert [cache.find(name) for name in "abcd"] == [None, b"x", b"x", b"x"]
    for name in "efg":
        keep(cache, name, name.encode())
    assert cache.held == 3 and cache.find("d") is None
