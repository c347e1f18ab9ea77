"""Makes chat requests safe for vLLM: rebuilds their messages and decides how their media are read.

vLLM reads more from a content part than its type says, such as tensors under other keys. So every part is rebuilt here
as one of the kinds that are served.
"""

from __future__ import annotations

from typing import Any

from cosmos3_core.errors import RequestError
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.requests.reasoner.attachments import Attachments, ReadRequest
from deployments.ingress.requests.reasoner.bounds import check_parts, check_text
from deployments.ingress.requests.reasoner.fields import check_fields
from deployments.ingress.requests.reasoner.visual_reading import read_visual_reading, without_reading
from deployments.wire.chat_media import IMAGE, medium_of, url_of

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


def read_chat(body: dict[str, Any]) -> ReadRequest:
    """The request for vLLM. It decodes base64, so call it in a thread.

    Raises:
        ApiError: 400, with the name of the field.
    """
    check_fields(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "messages is missing or empty; expected a list of messages", param="messages")
    try:
        check_parts("messages", messages)
        attachments = Attachments(read_visual_reading(body))
        rebuilt = [_message(message, f"messages.{index}", attachments) for index, message in enumerate(messages)]
        check_text("messages", rebuilt, body)
    except RequestError as error:
        raise bad_field(error) from error
    return ReadRequest({**without_reading(body), "messages": rebuilt}, tuple(attachments.media))


def medium_in(part: dict[str, Any]) -> str | None:
    """`image_url` or `video_url` if a content part is one, also by the name that OpenAI's Responses give it."""
    return medium_of({**part, "type": IMAGE} if part.get("type") == INPUT_IMAGE else part)


def _message(message: Any, path: str, attachments: Attachments) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise RequestError(path, "is not an object; expected role and content")
    if not isinstance(message.get("role"), str):
        raise RequestError(f"{path}.role", "is missing or no text; expected system, user, assistant or tool")
    content = message.get("content")
    if isinstance(content, list):
        parts = (_part(part, f"{path}.content.{number}", attachments) for number, part in enumerate(content))
        return {**message, "content": [part for part in parts if part is not None]}
    if not isinstance(content, (str, type(None))):
        raise RequestError(f"{path}.content", "is neither text nor a list; expected one of them")
    return dict(message)


def _part(part: Any, path: str, attachments: Attachments) -> dict[str, Any] | None:
    """The part as one of the kinds that are served; None where its text is null, which vLLM skips too."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise RequestError(path, "is not an object; expected a text, image_url or video_url part")
    medium = medium_in(part)
    if medium is not None:
        name = attachments.attach(url_of(part, medium), medium, f"{path}.{medium}")
        return {"type": medium, medium: {"url": name}}
    kind = part.get("type", "text")
    key = TEXT_KEYS.get(kind) if isinstance(kind, str) else None
    if key is None or key not in part:
        raise RequestError(
            path, f"is of type {str(kind)[:40]!r}; expected text, or image_url or video_url with a data URI or a URL"
        )
    if part[key] is None:
        return None
    if not isinstance(part[key], str):
        raise RequestError(f"{path}.{key}", "is no text")
    return {"type": "text", "text": part[key]}
