"""Many texts, of which any may stand in another one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

HEAD = 3
"""So many first characters of a text say whether it is compared at a place."""


class Substrings:
    """Texts to find in another; the time that takes grows with the other's length, hardly with their number.

    Args:
        texts: none of them empty.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(texts)
        lengths: dict[str, set[int]] = defaultdict(set)
        for text in self._texts:
            lengths[text[:HEAD]].add(len(text))
        self._lengths = dict(lengths)
        self._heads = sorted({len(head) for head in self._lengths})

    def __bool__(self) -> bool:
        return bool(self._texts)

    def stands_in(self, text: str) -> bool:
        """Whether any of them is a part of a text."""
        return any(
            text[start : start + length] in self._texts
            for size in self._heads
            for start in range(len(text) - size + 1)
            for length in self._lengths.get(text[start : start + size], ())
        )
