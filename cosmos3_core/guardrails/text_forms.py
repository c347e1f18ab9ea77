"""The forms in which a word may be hidden in a text, all reduced to what a list of words can be compared with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+")
# Signs that stand for letters. A one may be an i or an l.
_SIGNS = {"4": "a", "@": "a", "3": "e", "€": "e", "0": "o", "5": "s", "$": "s", "7": "t", "+": "t", "8": "b", "9": "g"}
_SIGNS_I = str.maketrans(_SIGNS | {"1": "i", "!": "i", "|": "i"})
_SIGNS_L = str.maketrans(_SIGNS | {"1": "l", "!": "l", "|": "l"})
# A JSON prompt may have no blanks.
_BETWEEN = re.compile(r"[\s\"{}\[\]:,]+")
_REPEATED = re.compile(r"(.)\1{2,}")
# Some Arabic and Japanese characters stand for words of up to 18 letters, which would make texts that much longer.
_LONGEST_FORM = 4
_SPACED = 3
"""So many single letters in a row are read as one word."""


def folded(text: str) -> str:
    """Text without case, accents, invisible characters, and compatibility forms such as full-width letters."""
    # Each character for itself: Unicode's own decomposition sorts rows of accents, in a time by their length squared.
    plain = text.translate({ord(sign): _plain(sign) for sign in set(text)})
    return unicodedata.normalize("NFC", plain).casefold()


def _plain(sign: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sign)
    shown = decomposed if len(decomposed) <= _LONGEST_FORM else sign
    return "".join(part for part in shown if not _added(part))


def _added(sign: str) -> bool:
    """Whether a character is seen only with the one before it, or not at all."""
    return unicodedata.category(sign) in ("Mn", "Cf") or unicodedata.combining(sign) > 0


def words(text: str) -> list[str]:
    """The words of a text that is folded."""
    return _WORD.findall(text)


def readings(text: str) -> Iterator[list[str]]:
    """The words of a folded text as they stand, and with signs, and repeated letters, read as letters.

    Numbers stay numbers: only what has a letter in it may be a word that is written with signs.
    """
    forms = {text: None}
    for signs in (_SIGNS_I, _SIGNS_L):
        read = " ".join(_with_letters(part, signs) for part in _BETWEEN.split(text))
        forms |= dict.fromkeys((read, _REPEATED.sub(r"\1", read), _REPEATED.sub(r"\1\1", read)))
    return map(words, forms)


def _with_letters(part: str, signs: dict[int, str]) -> str:
    core = part.strip(".;?!'()")
    return core.translate(signs) if any(sign.isalpha() for sign in core) else part


def joined_words(text: str) -> Iterator[str]:
    """Single words of a folded text whose letters are apart: `b.o.m.b`, `bo-mb`."""
    for signs in (_SIGNS_I, _SIGNS_L):
        for part in _BETWEEN.split(text):
            letters = words(_with_letters(part, signs))
            if len(letters) > 1:
                yield "".join(letters)


def spelled(text: str) -> Iterator[str]:
    """Rows of at least three single letters in a folded text, each row as one word."""
    row: list[str] = []
    for word in [*words(text.translate(_SIGNS_I)), ""]:
        if len(word) == 1 and word.isalpha():
            row.append(word)
            continue
        if len(row) >= _SPACED:
            yield "".join(row)
        row = []
