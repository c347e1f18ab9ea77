"""A list of words and phrases that no text may hold, however they are written; it needs no model."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from cosmos3_core.guardrails.files import sha256_of
from cosmos3_core.guardrails.substrings import Substrings
from cosmos3_core.guardrails.text_forms import folded, joined_words, readings, spelled, words
from cosmos3_core.guardrails.verdict import ALLOWED, GuardrailError, Verdict, Wanted, always, blocked

NAME = "blocklist"
REASON = "holds a word of the list"
# NVIDIA's list allows half a letter of difference in its ratio, which is one letter too many in words as long as this.
FUZZY_LENGTH = 8
SURE = FUZZY_LENGTH // 2
PLURALS = ("", "s", "es")
# Scripts that put no blanks between words.
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")


class Blocklist:
    """A text guardrail by a list of words and phrases.

    Whole words are compared, without regard to case, accents and punctuation, also where letters are replaced by
    digits and signs, repeated, or set apart. A plural is its singular, and in words of eight letters and more one
    letter too many is ignored.

    Args:
        entries: words and phrases.
        sha256: hash of the list's file.
    """

    name = NAME

    def __init__(self, entries: Iterable[str], sha256: str = "") -> None:
        self.sha256 = sha256
        found = [folded(entry).strip() for entry in entries]
        self._parts = Substrings(entry for entry in found if _UNSPACED.search(entry))
        phrases = {" ".join(words(entry)) for entry in found if not _UNSPACED.search(entry)} - {""}
        if not self._parts and not phrases:
            raise GuardrailError("blocklist: the list is empty; write a word or a phrase in each line")
        self._single = frozenset(phrase for phrase in phrases if " " not in phrase)
        self._spelled = Substrings(word for word in self._single if len(word) > 2)
        self._phrases = phrases - self._single
        self._lengths: dict[str, set[int]] = defaultdict(set)
        for phrase in self._phrases:
            parts = phrase.split()
            self._lengths[parts[0]].add(len(parts))
        long = [word for word in self._single if len(word) >= FUZZY_LENGTH]
        self._longest = max(map(len, long), default=0)
        self._heads, self._tails = {word[:SURE] for word in long}, {word[-SURE:] for word in long}

    @classmethod
    def read(cls, path: Path) -> Blocklist:
        """Read a UTF-8 text file, or all `*.txt` of a folder: an entry in each line, `#` before a remark.

        Raises:
            GuardrailError: there is no entry, or it cannot be read.
        """
        files = [path] if path.is_file() else sorted(path.glob("*.txt"))
        try:
            lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise GuardrailError(f"blocklist: {path} cannot be read as UTF-8 text: {error}") from error
        return cls((line for line in lines if not line.lstrip().startswith("#")), sha256_of(path))

    def check(self, text: str, wanted: Wanted = always) -> Verdict:
        """Whether the text holds an entry. The time it takes grows with the text's length, not faster."""
        plain = folded(text)
        if self._parts.stands_in(plain) or any(self._spelled.stands_in(row) for row in spelled(plain)):
            return blocked(REASON)
        single: set[str] = set()
        for found in readings(plain):
            if self._holds_phrase(found):
                return blocked(REASON)
            single.update(found)
        single.update(joined_words(plain))
        return blocked(REASON) if any(map(self._is_entry, single)) else ALLOWED

    def _holds_phrase(self, found: list[str]) -> bool:
        return any(
            " ".join(found[start : start + length]) in self._phrases
            for start, word in enumerate(found)
            for length in self._lengths.get(word, ())
        )

    def _is_entry(self, word: str) -> bool:
        if any(word.removesuffix(plural) in self._single for plural in PLURALS):
            return True
        if not FUZZY_LENGTH < len(word) <= self._longest + 1:
            return False
        # Without one of its letters a word still has its first letters or its last ones.
        if word[:SURE] not in self._heads and word[-SURE:] not in self._tails:
            return False
        return any(word[:place] + word[place + 1 :] in self._single for place in range(len(word)))
