"""vLLM's engine, which gets no schema, expression or grammar of a client's that has not been tried before."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import xgrammar
from vllm.exceptions import GracefulHTTPError, VLLMValidationError
from vllm.sampling_params import SamplingParams, StructuredOutputsParams, check_json_nesting
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.structured_output.backend_types import StructuredOutputOptions
from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features
from vllm.v1.structured_output.request import get_structured_output_key
from vllm.v1.structured_output.utils import choice_as_grammar, grammar_is_likely_lark

from deployments.reasoner.trials.trials import Trials
from deployments.reasoner.trials.verdict import Kind, NotTried
from deployments.settings.trials import TrialSettings

_KINDS = {
    StructuredOutputOptions.JSON: Kind.JSON,
    StructuredOutputOptions.REGEX: Kind.REGEX,
    StructuredOutputOptions.STRUCTURAL_TAG: Kind.TAG,
}
_TRIED_BACKENDS = ("auto", "xgrammar")
"""The others bound themselves: llguidance counts its steps, and outlines' compilation has a limit of time."""


class TriedEngine:
    """The engine for vLLM's serving of OpenAI's routes.

    Args:
        llm: the engine.
        settings: of the trials.
    """

    def __init__(self, llm: AsyncLLM, settings: TrialSettings) -> None:
        self._llm = llm
        self._backend = llm.vllm_config.structured_outputs_config.backend
        self._trials = Trials(settings, lambda: vocabulary_of(llm))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    async def generate(
        self, prompt: Any, sampling_params: SamplingParams, *arguments: Any, **options: Any
    ) -> AsyncGenerator[Any, None]:
        """The engine's answers to a prompt.

        Raises:
            VLLMValidationError: what they are to follow takes too long, or too much memory.
            GracefulHTTPError: 503, it cannot be tried now.
        """
        structured = sampling_params.structured_outputs
        if structured is not None and self._backend in _TRIED_BACKENDS:
            await self._check(structured)
        async with aclosing(self._llm.generate(prompt, sampling_params, *arguments, **options)) as outputs:
            async for output in outputs:
                yield output

    async def _check(self, structured: StructuredOutputsParams) -> None:
        found = constraint_of(structured, self._backend)
        try:
            reason = None if found is None else await self._trials.refusal(*found)
        except NotTried as error:
            raise GracefulHTTPError(str(error), HTTPStatus.SERVICE_UNAVAILABLE) from error
        if reason is not None:
            raise VLLMValidationError(f"what the answer is to follow {reason}", parameter="structured_outputs")

    def close(self) -> None:
        """End the processes of the trials."""
        self._trials.close()


def constraint_of(structured: StructuredOutputsParams, backend: str) -> tuple[Kind, str] | None:
    """What an answer has to follow, in the form in which xgrammar will compile it; None if xgrammar will not."""
    if structured.choice:
        return Kind.GRAMMAR, choice_as_grammar(structured.choice)
    try:
        form, text = get_structured_output_key(structured)
    except ValueError:
        return None
    if form is StructuredOutputOptions.GRAMMAR:
        return (Kind.LARK if grammar_is_likely_lark(text) else Kind.GRAMMAR), text
    if form is StructuredOutputOptions.JSON and backend == "auto" and _goes_to_another(text):
        return None
    return (_KINDS[form], text) if form in _KINDS else None


def _goes_to_another(schema: str) -> bool:
    """Whether vLLM gives a schema to another library, because xgrammar does not know all of its keywords."""
    check_json_nesting(schema)
    try:
        return has_xgrammar_unsupported_json_features(json.loads(schema))
    except ValueError:
        return False


def vocabulary_of(llm: AsyncLLM) -> bytes:
    """The tokens of a model as xgrammar writes them."""
    size = llm.vllm_config.model_config.get_vocab_size()
    tokenizer: Any = llm.get_tokenizer()
    return xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size).serialize_json().encode()
