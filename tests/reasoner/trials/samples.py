"""Grammars of trials, and a vocabulary with which they cost what they cost with that of a real model."""

from __future__ import annotations

import functools
import json
import random
import string
from collections.abc import Sequence
from typing import Any

import xgrammar

from deployments.reasoner.trials.verdict import Kind

TOKENS = 60_000


@functools.cache
def vocabulary(words: int = TOKENS) -> bytes:
    """Every byte, drawn words with and without a blank, and runs of one character, as xgrammar writes them."""
    draw = random.Random(0)
    drawn = {
        draw.choice(("", " ")) + "".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 12)))
        for _ in range(words)
    }
    runs = {character * size for character in " \na-=" for size in range(2, 64)}
    tokens = [bytes([value]) for value in range(256)] + sorted(word.encode() for word in drawn | runs)
    info = xgrammar.TokenizerInfo([*tokens, b"<end>"], xgrammar.VocabType.RAW, stop_token_ids=[len(tokens)])
    return info.serialize_json().encode()


def fields(number: int, **schema: Any) -> dict[str, Any]:
    """The schema of an object with so many fields."""
    names = [f"field_{index}" for index in range(number)]
    return {"type": "object", "properties": {name: {"type": "string", **schema} for name in names}, "required": names}


def bounded_texts(lengths: Sequence[int]) -> str:
    """The schema of an object with a text of each of some lengths, as Pydantic writes them."""
    names = [f"field_{length}" for length in lengths]
    properties = {name: {"type": "string", "maxLength": most} for name, most in zip(names, lengths, strict=True)}
    return json.dumps({"type": "object", "properties": properties, "required": names})


HOSTILE = {
    "words, counted": (Kind.REGEX, r"(\w+\s?){1,50}"),
    "repeated repetition": (Kind.REGEX, "(([a-z ]*)+,?)*x"),
    "optional letters": (Kind.REGEX, "[a-z]?" * 64),
    "recursive": (Kind.GRAMMAR, "root ::= a*\na ::= [a-z]+ | [a-z] | a a"),
    "optional, in a row": (Kind.GRAMMAR, "root ::= " + " ".join(['"a"?'] * 1000)),
}
HONEST = {
    "an address": (Kind.REGEX, r"[a-z.]+@[a-z]+\.(com|org)"),
    "a list of words": (Kind.REGEX, "([a-z]+, )*[a-z]+"),
    "a number": (Kind.REGEX, r"-?\d+(\.\d+)?"),
    "choices": (Kind.GRAMMAR, 'root ::= "yes" | "no" | "maybe"'),
    "arithmetic": (Kind.LARK, 'start: term ("+" term)*\nterm: /[0-9]+/ | "(" start ")"\n'),
}
