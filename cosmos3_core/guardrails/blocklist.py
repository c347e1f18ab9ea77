"""A list of words and phrases that no text may hold, however they are written; it needs no model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from cosmos3_core.guardrails.files import sha256_of
from cosmos3_core.guardrails.text_forms import folded, joined_words, readings, spelled, words
from cosmos3_core.guardrails.verdict import ALLOWED, GuardrailError, Verdict, blocked

NAME = "blocklist"
REASON = "holds a word of the list"
# NVIDIA's list allows half a letter of difference in its ratio, which is one letter too many in words as long as this.
FUZZY_LENGTH = 8
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
        self._parts = [entry for entry in found if _UNSPACED.search(entry)]
        self._phrases = {" ".join(words(entry)) for entry in found if not _UNSPACED.search(entry)} - {""}
        if not self._parts and not self._phrases:
            raise GuardrailError("blocklist: the list is empty; write a word or a phrase in each line")

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

    @cached_property
    def _longest(self) -> int:
        return max((phrase.count(" ") + 1 for phrase in self._phrases), default=0)

    @cached_property
    def _single(self) -> frozenset[str]:
        return frozenset(phrase for phrase in self._phrases if " " not in phrase)

    def check(self, text: str) -> Verdict:
        """Whether the text holds an entry."""
        plain = folded(text)
        if any(part in plain for part in self._parts):
            return blocked(REASON)
        if any(self._holds(found) for found in readings(plain)):
            return blocked(REASON)
        if any(self._is_entry(word) for word in joined_words(plain)):
            return blocked(REASON)
        if any(word in row for row in spelled(plain) for word in self._single if len(word) > 2):
            return blocked(REASON)
        return ALLOWED

    def _holds(self, found: list[str]) -> bool:
        if any(self._is_entry(word) for word in set(found)):
            return True
        return any(
            " ".join(found[start : start + length]) in self._phrases
            for length in range(2, self._longest + 1)
            for start in range(len(found) - length + 1)
        )

    def _is_entry(self, word: str) -> bool:
        if any(word.removesuffix(plural) in self._single for plural in PLURALS):
            return True
        if len(word) <= FUZZY_LENGTH:
            return False
        return any(word[:place] + word[place + 1 :] in self._single for place in range(len(word)))
