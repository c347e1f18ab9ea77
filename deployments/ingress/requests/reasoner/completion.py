"""Makes requests for completions safe for vLLM: text or tokens in, nothing else."""

from __future__ import annotations

from typing import Any

from cosmos3_core.errors import RequestError
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.requests.reasoner.attachments import ReadRequest
from deployments.ingress.requests.reasoner.bounds import check_text
from deployments.ingress.requests.reasoner.fields import check_fields
from deployments.ingress.requests.reasoner.visual_reading import without_reading

MAX_PROMPTS = 64
MAX_SEQUENCES = 256


def read_completion(body: dict[str, Any]) -> ReadRequest:
    """The request for vLLM; it has no media.

    Raises:
        ApiError: 400, with the name of the field.
    """
    check_fields(body)
    prompt = body.get("prompt")
    if not _is_prompt(prompt) and not _are_prompts(prompt):
        message = f"prompt must be text, a list of tokens, or a list of at most {MAX_PROMPTS} of them"
        raise ApiError(400, message, param="prompt")
    try:
        _check_sequences(prompt, body)
        check_text("prompt", prompt, body)
        check_text("suffix", body.get("suffix"), body)
    except RequestError as error:
        raise bad_field(error) from error
    return ReadRequest(without_reading(body))


def _check_sequences(prompt: Any, body: dict[str, Any]) -> None:
    """Bound what one request has vLLM generate side by side."""
    choices = max(body.get("n") or 1, body.get("best_of") or 1)
    prompts = 1 if _is_prompt(prompt) else len(prompt)
    if prompts * choices > MAX_SEQUENCES:
        reason = f"has {prompts} prompts of {choices} answers each; expected at most {MAX_SEQUENCES} answers together"
        raise RequestError("prompt", reason)


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and all(type(x) is int for x in value))


def _are_prompts(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= MAX_PROMPTS and all(map(_is_prompt, value))
