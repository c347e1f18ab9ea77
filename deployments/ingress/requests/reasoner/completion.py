"""Makes requests for completions safe for vLLM: text or tokens in, nothing else."""

from __future__ import annotations

from typing import Any

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.reasoner.attachments import ReadRequest
from deployments.ingress.requests.reasoner.fields import check_fields
from deployments.ingress.requests.reasoner.visual_reading import without_reading

MAX_PROMPTS = 64


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
    return ReadRequest(without_reading(body))


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and bool(value) and all(type(x) is int for x in value))


def _are_prompts(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= MAX_PROMPTS and all(map(_is_prompt, value))
