"""What is kept of verdicts."""

from __future__ import annotations

import pickle

import pytest

from cosmos3_core.guardrails.record import GuardrailCheck, GuardrailRecord, Outcome, merged
from cosmos3_core.guardrails.verdict import ContentBlocked


def check(outcome: str, guardrail: str = "face_blur", of: str = "frames", reason: str = "") -> GuardrailCheck:
    return GuardrailCheck(guardrail=guardrail, sha256="0", of=of, outcome=Outcome(outcome), reason=reason)


def test_of_many_chunks_the_strictest_verdict_is_kept() -> None:
    chunks = [check("allowed"), check("blurred", reason="show faces"), check("allowed")]
    other = check("allowed", "frames_classifier")
    assert merged([*chunks, other, other]) == (chunks[1], other)
    assert merged([]) == ()


@pytest.mark.parametrize(
    ("outcomes", "verdict"), [([], "unchecked"), (["allowed"], "passed"), (["blurred"], "blurred")]
)
def test_a_record_says_in_a_word_what_was_said(outcomes: list[str], verdict: str) -> None:
    record = GuardrailRecord.of(check(outcome) for outcome in outcomes)
    assert record.verdict == verdict
    assert GuardrailRecord.model_validate_json(record.model_dump_json()) == record


def test_a_block_says_what_was_blocked_by_whom() -> None:
    text = ContentBlocked(check("blocked", "blocklist", "prompt", "holds a word of the list"))
    assert str(text) == "Input was blocked by Cosmos3 guardrails. prompt holds a word of the list (blocklist)"
    frames = ContentBlocked(check("blocked", "frames_classifier", reason="show Violence"))
    assert str(frames) == "Output was blocked by Cosmos3 guardrails. frames show Violence (frames_classifier)"
    copied = pickle.loads(pickle.dumps(text))
    assert (str(copied), copied.check) == (str(text), text.check)
