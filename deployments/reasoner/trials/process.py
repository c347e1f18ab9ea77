"""A process that compiles grammars and follows them for a while, one after another, until its socket closes.

Run as `python -m deployments.reasoner.trials.process` by `deployments.reasoner.trials.worker`. It does what vLLM's
engine would do next, with the same library and the same vocabulary, where it delays nobody.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import xgrammar

from deployments.decoding.confinement import CpuTimer, limit
from deployments.reasoner.trials.verdict import WALL_SECONDS, Kind, Verdict

PARSE_SECONDS = 0.5
"""vLLM reads a grammar on the event loop that answers all chats."""
STEP_SECONDS = 0.2
"""vLLM's engine follows it between two tokens of all chats."""
WALK_SECONDS = 2.0
WALKS, STEPS = 3, 48
NICENESS = 5
READY = b"ready"


def _read_tag(text: str) -> Any:
    """A structural tag, also in its deprecated form, which vLLM still takes."""
    tag = json.loads(text)
    if "structures" not in tag:
        return xgrammar.Grammar.from_structural_tag(text)
    items = [
        xgrammar.StructuralTagItem(begin=item["begin"], schema=json.dumps(item["schema"]), end=item["end"])
        for item in tag["structures"]
    ]
    return xgrammar.Grammar.from_structural_tag(items, tag["triggers"])


_READ: dict[Kind, Callable[[str], Any]] = {
    Kind.JSON: xgrammar.Grammar.from_json_schema,
    Kind.REGEX: xgrammar.Grammar.from_regex,
    Kind.GRAMMAR: xgrammar.Grammar.from_ebnf,
    Kind.LARK: xgrammar.Grammar.from_lark,
    Kind.TAG: _read_tag,
}


class _Vocabulary(NamedTuple):
    """The tokens as the library knows them, and the length of each in bytes."""

    info: Any
    lengths: np.ndarray[Any, np.dtype[np.int64]]


def main() -> None:
    """Bound this process, say so, and serve."""
    # The engine's own processes go first.
    os.nice(NICENESS)
    settings: dict[str, Any] = json.loads(sys.argv[1])
    connection = Connection(settings["socket"])
    info = xgrammar.TokenizerInfo.deserialize_json(connection.recv_bytes().decode())
    vocabulary = _Vocabulary(info, np.asarray([len(token) for token in info.decoded_vocab]))
    limit(settings["memory_bytes"], 0)
    connection.send_bytes(READY)
    timer = CpuTimer()
    while True:
        try:
            kind, text = connection.recv()
        except EOFError:
            return
        timer.start(settings["seconds"], WALL_SECONDS)
        verdict = tried(Kind(kind), text, vocabulary)
        timer.stop()
        connection.send_bytes(verdict.encode())


def tried(kind: Kind, text: str, vocabulary: _Vocabulary) -> Verdict:
    """How a grammar behaves. One that the library does not read is left to vLLM, which says why."""
    started = time.thread_time()
    try:
        grammar = _READ[kind](text)
    except MemoryError:
        return Verdict.TOO_LARGE
    except Exception:
        grammar = None
    # What is refused in the end holds up vLLM's event loop no less.
    if time.thread_time() - started > PARSE_SECONDS:
        return Verdict.SLOW_TO_READ
    if grammar is None:
        return Verdict.UNREAD
    try:
        return _followed(grammar, vocabulary)
    except MemoryError:
        return Verdict.TOO_LARGE
    except Exception:
        return Verdict.UNREAD


def _followed(grammar: Any, vocabulary: _Vocabulary) -> Verdict:
    """How a grammar behaves that could be read."""
    # Without a cache: no client's grammar is held. In one thread: the engine needs the other cores.
    compiler = xgrammar.GrammarCompiler(vocabulary.info, max_threads=1, cache_enabled=False)
    compiled = compiler.compile_grammar(grammar)
    quick = all(_walked(compiled, vocabulary, random.Random(number)) for number in range(WALKS))
    return Verdict.GOOD if quick else Verdict.SLOW_TO_FOLLOW


def _walked(compiled: Any, vocabulary: _Vocabulary, choices: random.Random) -> bool:
    """Follow a grammar along some text that it allows; returns whether each step was quick enough."""
    matcher, used = xgrammar.GrammarMatcher(compiled), 0.0
    mask = xgrammar.allocate_token_bitmask(1, len(vocabulary.lengths))
    for _ in range(STEPS):
        started = time.thread_time()
        matcher.fill_next_token_bitmask(mask, 0)
        token = _token(mask.numpy(), vocabulary, choices)
        accepted = token is not None and matcher.accept_token(token)
        step = time.thread_time() - started
        used += step
        if step > STEP_SECONDS or used > WALK_SECONDS:
            return False
        if not accepted or matcher.is_terminated():
            break
    return True


def _token(mask: Any, vocabulary: _Vocabulary, choices: random.Random) -> int | None:
    """An allowed token, of several letters if there is one: each letter is a step of its own for the grammar."""
    allowed = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")[: len(vocabulary.lengths)])
    long = allowed[vocabulary.lengths[allowed] > 2]
    found = long if len(long) else allowed
    return int(found[choices.randrange(len(found))]) if len(found) else None


if __name__ == "__main__":
    main()
