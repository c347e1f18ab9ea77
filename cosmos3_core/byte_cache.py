"""A least-recently-used cache with a budget in bytes, and the counts that show whether it helps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """Keeps values while their sizes sum to at most `budget`; a value above the budget is never kept.

    Attributes:
        budget: the most bytes to keep.
        held: the bytes kept now.
        hits: calls of `get` that found a value.
        misses: calls of `get` that did not.
    """

    def __init__(self, budget: int, size_of: Callable[[Value], int]) -> None:
        self.budget = budget
        self.held = 0
        self.hits = 0
        self.misses = 0
        self._size_of = size_of
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value, which becomes the most recently used; None where there is none."""
        value = self._values.get(key)
        if value is None:
            self.misses += 1
            return None
        self.hits += 1
        self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; the least recently used ones make room."""
        self.drop(key)
        size = self._size_of(value)
        if size > self.budget:
            return
        self._values[key] = value
        self.held += size
        while self.held > self.budget:
            self.drop(next(iter(self._values)))

    def drop(self, key: Key) -> None:
        """Forget a value, if it is there."""
        if key in self._values:
            self.held -= self._size_of(self._values.pop(key))

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.held = 0
