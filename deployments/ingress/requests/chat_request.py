"""Makes chat requests safe for vLLM: rebuilds their messages and refuses harmful fields.

vLLM reads more from a content part than its type says, such as tensors under other keys. So every part is rebuilt here
as one of the two kinds that are served, and fields that control more than sampling are refused.
"""

from __future__ import annotations

from typing import Any

from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.stills import decode_image
from deployments.ingress.errors import ApiError, bad_field
from deployments.wire.chat_images import IMAGE, MAX_IMAGES, data_of, image_url, is_image, parts_of

MAX_CHOICES = 16
# Beyond this, transformers' image processors raise.
MAX_ASPECT = 200
# The key of each kind's text, as in vLLM.
TEXT_KEYS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "thinking": "thinking",
    "refusal": "refusal",
}
# OpenAI's Responses name an image so.
INPUT_IMAGE = "input_image"
GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend")
REFUSED = {
    **dict.fromkeys(GUIDED, "is not supported; use response_format or structured_outputs"),
    **dict.fromkeys(
        ("mm_processor_kwargs", "media_io_kwargs"), "is not supported yet; images are read as the checkpoint says"
    ),
    **dict.fromkeys(
        ("kv_transfer_params", "ec_transfer_params", "vllm_xargs", "data_parallel_rank"), "is not for clients"
    ),
    "chat_template": "is not accepted from clients; the checkpoint's own is used",
}


def read_chat(body: dict[str, Any]) -> dict[str, Any]:
    """The body for vLLM. It decodes images, so call it in a thread.

    Raises:
        ApiError: 400, with the name of the field.
    """
    _check_fields(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages is missing or empty; expected a list of messages", param="messages")
    try:
        rebuilt = [_message(message, f"messages.{index}") for index, message in enumerate(messages)]
    except RequestError as error:
        raise bad_field(error) from error
    images = sum(is_image(part) for _, part in parts_of({"messages": rebuilt}))
    if images > MAX_IMAGES:
        raise ApiError(400, f"messages has {images} images; expected at most {MAX_IMAGES}", param="messages")
    return {**body, "messages": rebuilt}


def _check_fields(body: dict[str, Any]) -> None:
    for field, reason in REFUSED.items():
        if body.get(field) is not None:
            raise ApiError(400, f"{field} {reason}", param=field)
    if not isinstance(body.get("stream"), (bool, type(None))):
        raise ApiError(400, "stream must be true or false", param="stream")
    if body.get("stream_options") and not body.get("stream"):
        raise ApiError(400, "stream_options is only allowed with stream: true", param="stream_options")
    choices = body.get("n")
    if choices is not None and not (type(choices) is int and 1 <= choices <= MAX_CHOICES):
        raise ApiError(400, f"n must be a whole number from 1 to {MAX_CHOICES}", param="n")


def _message(message: Any, path: str) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise RequestError(path, "is not an object; expected role and content")
    if not isinstance(message.get("role"), str):
        raise RequestError(f"{path}.role", "is missing or no text; expected system, user, assistant or tool")
    content = message.get("content")
    if isinstance(content, list):
        parts = (_part(part, f"{path}.content.{number}") for number, part in enumerate(content))
        return {**message, "content": [part for part in parts if part is not None]}
    if not isinstance(content, (str, type(None))):
        raise RequestError(f"{path}.content", "is neither text nor a list; expected one of them")
    return dict(message)


def _part(part: Any, path: str) -> dict[str, Any] | None:
    """The part as one of the two kinds; None where its text is null, which vLLM skips too."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise RequestError(path, "is not an object; expected a text or image_url part")
    if part.get("type") == INPUT_IMAGE:
        part = {**part, "type": IMAGE}
    if is_image(part):
        url = image_url(part)
        _check_image(url, f"{path}.{IMAGE}")
        return {"type": IMAGE, IMAGE: {"url": url}}
    kind = part.get("type", "text")
    key = TEXT_KEYS.get(kind) if isinstance(kind, str) else None
    if key is None or key not in part:
        raise RequestError(path, f"is of type {str(kind)[:40]!r}; expected text, or image_url with a data URI")
    if part[key] is None:
        return None
    if not isinstance(part[key], str):
        raise RequestError(f"{path}.{key}", "is no text")
    return {"type": "text", "text": part[key]}


def _check_image(url: Any, field: str) -> None:
    try:
        height, width, _ = decode_image(data_of(url, field)).shape
    except MediaError as error:
        raise RequestError(field, f"cannot be read: {error}") from error
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise RequestError(
            field, f"is {width}x{height}; expected a longer side of at most {MAX_ASPECT} times the shorter one"
        )
