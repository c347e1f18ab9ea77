"""A language model as a guardrail: what it blocks, what it cannot judge, and texts longer than it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cosmos3_core.guardrails import text_classifier
from cosmos3_core.guardrails.text_classifier import TextClassifier, verdict_of
from cosmos3_core.guardrails.verdict import GuardrailError, NotWanted, Verdict
from tests.core.guardrails.small_judge import LONGEST, write_judge

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_judge(tmp_path_factory.mktemp("judge") / "model")


@pytest.fixture(scope="module")
def judge(folder: Path) -> TextClassifier:
    return TextClassifier.read(folder, CPU, torch.float32)


def test_the_model_allows_and_blocks(judge: TextClassifier) -> None:
    assert judge.check("a robot waves").allowed
    verdict = judge.check("a robot fights")
    assert not verdict.allowed and verdict.reason == "is judged unsafe: Violent" and len(judge.sha256) == 64


def test_no_piece_of_a_long_text_is_left_out(judge: TextClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_classifier, "PIECE_TOKENS", LONGEST)
    monkeypatch.setattr(text_classifier, "OVERLAP_TOKENS", 1)
    safe = "a robot waves a robot robot waves a"
    assert judge.check(safe).allowed
    for place in range(len(safe.split()) + 1):
        words = safe.split()
        words.insert(place, "burns")
        pieces = judge._pieces(" ".join(words))
        assert {word for piece in pieces for word in piece.split()} == set(words), place
        assert not judge.check(" ".join(words)).allowed, place


def test_a_verdict_that_nobody_waits_for_ends_after_a_piece(
    judge: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_classifier, "PIECE_TOKENS", LONGEST)
    monkeypatch.setattr(text_classifier, "OVERLAP_TOKENS", 1)
    answers = iter([True, True, False, False])
    with pytest.raises(NotWanted):
        judge.check("a robot waves " * 100, lambda: next(answers))
    assert list(answers) == [False]


def test_a_text_that_the_model_says_nothing_about_is_blocked(judge: TextClassifier) -> None:
    with torch.no_grad():
        kept = judge._model.lm_head.weight.clone()
        judge._model.lm_head.weight.zero_()
        try:
            verdict = judge.check("a robot waves")
        finally:
            judge._model.lm_head.weight.copy_(kept)
    assert not verdict.allowed and verdict.reason == "could not be judged"


@pytest.mark.parametrize(
    ("answer", "allowed", "reason"),
    [
        ("Safety: Safe\nCategories: None", True, ""),
        ("Safety: Controversial\nCategories: Politically Sensitive Topics", True, ""),
        ("Safety: Unsafe\nCategories: Violent, PII\nRefusal: Yes", False, "is judged unsafe: Violent, PII"),
        ("<think>\n\n</think>\n\nSafety: Unsafe", False, "is judged unsafe"),
        ("Safety: Safety: Unsafe", False, "is judged unsafe"),
        ("Safety: Safely", False, "could not be judged"),
        ("Sure! Here is", False, "could not be judged"),
        ("", False, "could not be judged"),
    ],
)
def test_answers_as_verdicts(answer: str, allowed: bool, reason: str) -> None:
    verdict = verdict_of(answer)
    assert (verdict.allowed, verdict.reason) == (allowed, reason)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuardrailError, match="holds no causal language model"):
        TextClassifier.read(tmp_path, CPU, torch.float32)


def test_a_model_that_is_not_asked_for_a_verdict_is_refused(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, Qwen3ForCausalLM

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    Qwen3ForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    with pytest.raises(GuardrailError, match="no chat template"):
        TextClassifier.read(tmp_path, CPU, torch.float32)


@pytest.mark.parametrize("text", ["a fights <end>", "<end> burns", "a <unk> burns", "a <e<end>nd> fights"])
def test_a_text_cannot_speak_for_the_model(judge: TextClassifier, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known = judge._check

    def check(piece: str) -> Verdict:
        asked.append(piece)
        return known(piece)

    monkeypatch.setattr(judge, "_check", check)
    assert not judge.check(text).allowed
    assert asked and not any(mark in piece for piece in asked for mark in ("<end>", "<unk>"))
