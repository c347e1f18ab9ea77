"""What a trial process finds about a grammar, in this process and with few tokens."""

from __future__ import annotations

import json
import time
from typing import Any, NoReturn

import numpy as np
import pytest
import xgrammar

from deployments.reasoner.trials import process
from deployments.reasoner.trials.verdict import Kind, Verdict
from tests.reasoner.trials.samples import vocabulary


@pytest.fixture(scope="module")
def tokens() -> process._Vocabulary:
    info = xgrammar.TokenizerInfo.deserialize_json(vocabulary(500).decode())
    return process._Vocabulary(info, np.asarray([len(token) for token in info.decoded_vocab]))


def deprecated(schema: Any) -> str:
    structures = [{"begin": "<call>", "schema": schema, "end": "</call>"}]
    return json.dumps({"type": "structural_tag", "structures": structures, "triggers": ["<call>"]})


def test_the_deprecated_structural_tag_is_tried(tokens: process._Vocabulary) -> None:
    assert process.tried(Kind.TAG, deprecated({"type": "object"}), tokens) == Verdict.GOOD
    assert process.tried(Kind.TAG, json.dumps({"structures": 1, "triggers": []}), tokens) == Verdict.UNREAD


def test_a_structural_tag_is_tried(tokens: process._Vocabulary) -> None:
    tag = {"type": "structural_tag", "format": {"type": "json_schema", "json_schema": {"type": "object"}}}
    assert process.tried(Kind.TAG, json.dumps(tag), tokens) == Verdict.GOOD


def test_a_reader_without_memory_or_with_no_end_is_no_unread_grammar(
    tokens: process._Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(text: str) -> NoReturn:
        raise MemoryError

    def slow(text: str) -> NoReturn:
        end = time.thread_time() + process.PARSE_SECONDS + 0.1
        while time.thread_time() < end:
            pass
        raise ValueError(text)

    for read, verdict in ((no_memory, Verdict.TOO_LARGE), (slow, Verdict.SLOW_TO_READ)):
        monkeypatch.setitem(process._READ, Kind.REGEX, read)
        assert process.tried(Kind.REGEX, "a", tokens) == verdict


def test_a_walk_that_fails_says_so(tokens: process._Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(compiled: Any) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(xgrammar, "GrammarMatcher", failing)
    assert process.tried(Kind.REGEX, "a", tokens) == Verdict.TOO_LARGE
