"""Makes requests of OpenAI's Responses API safe for vLLM: images in their input come with them.

vLLM reads these images with its own ViT, because its types for this API know no embeddings.
"""

from __future__ import annotations

from typing import Any

from cosmos3_core.errors import RequestError
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.requests.reasoner.attachments import Attachments, ReadRequest
from deployments.ingress.requests.reasoner.bounds import check_parts, check_text
from deployments.ingress.requests.reasoner.chat import INPUT_IMAGE
from deployments.ingress.requests.reasoner.fields import check_fields
from deployments.ingress.requests.reasoner.visual_reading import read_visual_reading, without_reading
from deployments.wire.chat_media import IMAGE

STORED = {
    "background": "is not supported; answers are not stored",
    "previous_response_id": "is not supported; answers are not stored, so send the whole conversation as input",
}
# What vLLM accepts as input besides, none of which a client may send.
_FORBIDDEN = ("image_embeds", "video_embeds", "audio_embeds", "prompt_embeds")


def read_responses(body: dict[str, Any]) -> ReadRequest:
    """The request for vLLM. It decodes base64, so call it in a thread.

    Raises:
        ApiError: 400, with the name of the field.
    """
    check_fields(body)
    for field, reason in STORED.items():
        if body.get(field):
            raise ApiError(400, f"{field} {reason}", param=field)
    given = body.get("input")
    if not given or not isinstance(given, (str, list)):
        raise ApiError(400, "input is missing or empty; expected text or a list of items", param="input")
    try:
        attachments = Attachments(read_visual_reading(body))
        items = given
        if isinstance(given, list):
            check_parts("input", given)
            items = [_item(item, f"input.{index}", attachments) for index, item in enumerate(given)]
        check_text("input", items, body)
    except RequestError as error:
        raise bad_field(error) from error
    # Storing is the default of OpenAI's clients and changes no answer.
    return ReadRequest({**without_reading(body), "input": items, "store": False}, tuple(attachments.media))


def _item(item: Any, path: str, attachments: Attachments) -> Any:
    """An item of the input with its images named."""
    if not isinstance(item, dict):
        return item
    lists = {key: item[key] for key in ("content", "output") if isinstance(item.get(key), list)}
    return item | {
        key: [_part(part, f"{path}.{key}.{number}", attachments) for number, part in enumerate(parts)]
        for key, parts in lists.items()
    }


def _part(part: Any, path: str, attachments: Attachments) -> Any:
    if not isinstance(part, dict):
        return part
    for key in _FORBIDDEN:
        if key in part or part.get("type") == key:
            raise RequestError(path, f"is of type {key}, which is not accepted from clients")
    if part.get("type") != INPUT_IMAGE and IMAGE not in part:
        return part
    name = attachments.attach(part.get(IMAGE), IMAGE, f"{path}.{IMAGE}")
    return {"type": INPUT_IMAGE, IMAGE: name, "detail": "auto"}
