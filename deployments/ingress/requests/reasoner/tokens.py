"""Requests to turn text or a chat into tokens, and tokens into text."""

from __future__ import annotations

from typing import Any

from cosmos3_core.errors import RequestError
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.requests.reasoner.attachments import ReadRequest
from deployments.ingress.requests.reasoner.bounds import MAX_TOKEN, check_text
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.requests.reasoner.fields import check_fields
from deployments.ingress.requests.reasoner.visual_reading import without_reading

MAX_TOKENS = 2**20


def read_tokenize(body: dict[str, Any]) -> ReadRequest:
    """The request for vLLM: a prompt or the messages of a chat.

    Raises:
        ApiError: 400, with the name of the field.
    """
    if "messages" in body:
        return read_chat(body)
    check_fields(body)
    if not isinstance(body.get("prompt"), str):
        raise ApiError(400, "prompt is missing or no text; expected text, or messages", param="prompt")
    try:
        check_text("prompt", body["prompt"], body)
    except RequestError as error:
        raise bad_field(error) from error
    return ReadRequest(without_reading(body))


def read_detokenize(body: dict[str, Any]) -> ReadRequest:
    """The request for vLLM: tokens.

    Raises:
        ApiError: 400, with the name of the field.
    """
    tokens = body.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int and 0 <= token <= MAX_TOKEN for token in tokens):
        raise ApiError(400, "tokens must be a list of whole numbers of at least 0", param="tokens")
    if len(tokens) > MAX_TOKENS:
        raise ApiError(400, f"tokens has {len(tokens)} tokens; expected at most {MAX_TOKENS}", param="tokens")
    return ReadRequest(body)
