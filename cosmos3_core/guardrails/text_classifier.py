"""A language model that judges prompts in the form of Qwen3Guard, read by transformers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from cosmos3_core.guardrails.files import sha256_of
from cosmos3_core.guardrails.verdict import ALLOWED, GuardrailError, NotWanted, Verdict, Wanted, always, blocked

NAME = "text_classifier"
ANSWER_TOKENS = 128
# A prompt may be longer than the model reads well. Its pieces overlap, so that no sentence is only ever seen in halves.
PIECE_TOKENS, OVERLAP_TOKENS = 4096, 256
_LABEL = re.compile(r"Safety:\s*(Safe|Unsafe|Controversial)\b")
_CATEGORIES = re.compile(r"Categories:\s*([^\n]{1,200})")


class TextClassifier:
    """A text guardrail by a causal language model.

    It blocks what the model calls unsafe, as NVIDIA's guardrail does, and also a text that the model says nothing
    readable about.

    Args:
        model, tokenizer: of transformers, with a chat template that asks for the verdict.
        sha256: hash of its files.
    """

    name = NAME

    def __init__(self, model: Any, tokenizer: Any, sha256: str = "") -> None:
        self.sha256 = sha256
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._marks = sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len, reverse=True)

    @classmethod
    def read(cls, folder: Path, device: torch.device, dtype: torch.dtype) -> TextClassifier:
        """Read a folder such as that of `Qwen/Qwen3Guard-Gen-0.6B`; nothing is downloaded.

        Raises:
            GuardrailError: it holds no such model.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype)
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise GuardrailError(f"text_classifier: {folder} holds no causal language model: {reason}") from error
        if not tokenizer.chat_template:
            raise GuardrailError(
                f"text_classifier: the tokenizer in {folder} has no chat template that asks for a verdict"
            )
        return cls(model.to(device), tokenizer, sha256_of(folder))

    def check(self, text: str, wanted: Wanted = always) -> Verdict:
        """The model's verdict on each piece of a text; the first that blocks is the text's.

        Raises:
            NotWanted: nobody waits for it any more.
        """
        # A text with the marks of a chat in it could end the question and write the answer.
        for mark in self._marks:
            text = text.replace(mark, " ")
        for piece in self._pieces(text):
            if not wanted():
                raise NotWanted
            verdict = self._check(piece)
            if not verdict.allowed:
                return verdict
        return ALLOWED

    def _pieces(self, text: str) -> list[str]:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) <= PIECE_TOKENS:
            return [text]
        starts = range(0, len(ids) - OVERLAP_TOKENS, PIECE_TOKENS - OVERLAP_TOKENS)
        return [self._tokenizer.decode(ids[start : start + PIECE_TOKENS]) for start in starts]

    @torch.no_grad()
    def _check(self, text: str) -> Verdict:
        messages = [{"role": "user", "content": text}]
        question = self._tokenizer.apply_chat_template(messages, tokenize=False)
        inputs = self._tokenizer([question], return_tensors="pt").to(self._model.device)
        # Greedy: the verdict on a text does not change from one request to the next.
        ids = self._model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        return verdict_of(self._tokenizer.decode(ids[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True))


def verdict_of(answer: str) -> Verdict:
    """The verdict in a model's answer."""
    label = _LABEL.search(answer)
    if label is None:
        return blocked("could not be judged")
    if label[1] != "Unsafe":
        return ALLOWED
    categories = _CATEGORIES.search(answer)
    return blocked(f"is judged unsafe: {categories[1].strip()}" if categories else "is judged unsafe")
