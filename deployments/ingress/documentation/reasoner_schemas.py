"""Schemas of the Reasoner's requests: the fields that this server reads itself. vLLM checks the others."""

from __future__ import annotations

from deployments.ingress.requests.coercions import JsonSchema
from deployments.ingress.requests.reasoner.completion import MAX_PROMPTS
from deployments.ingress.requests.reasoner.fields import MAX_CHOICES, REFUSED
from deployments.ingress.requests.reasoner.visual_reading import LEAST_PIXELS, MOST_PIXELS

_REFUSED = f"Refused: {', '.join(REFUSED)}."
_MODEL: JsonSchema = {"type": "string", "description": "Name of a served model; by default the first one that chats."}
_STREAM: JsonSchema = {"type": "boolean", "default": False, "description": "Answer with server-sent events."}
_CHOICES: JsonSchema = {"type": "integer", "minimum": 1, "maximum": MAX_CHOICES}
_MESSAGES: JsonSchema = {"type": "array", "items": {"type": "object"}, "minItems": 1}
_PIXELS: JsonSchema = {"type": "integer", "minimum": LEAST_PIXELS, "maximum": MOST_PIXELS}
_READING: dict[str, JsonSchema] = {
    "mm_processor_kwargs": {
        "type": "object",
        "description": "How images and videos are read: `fps` or `num_frames`, and `size` in pixels.",
        "properties": {
            "fps": {"type": "number"},
            "num_frames": {"type": "integer"},
            "size": {"type": "object", "properties": {"shortest_edge": _PIXELS, "longest_edge": _PIXELS}},
        },
    },
    "media_io_kwargs": {
        "type": "object",
        "description": "How videos are read: `video.fps` or `video.num_frames`, instead of `mm_processor_kwargs`.",
    },
}


def _request(description: str, required: tuple[str, ...], **properties: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "description": description,
        "properties": properties | {"model": _MODEL},
        "required": list(required),
    }


REASONER_REQUESTS: dict[str, JsonSchema] = {
    "ChatRequest": _request(
        f"A request to vLLM's chat serving. Images and videos are sent as data URIs or URLs. {_REFUSED}",
        ("messages",),
        messages=_MESSAGES,
        stream=_STREAM,
        n=_CHOICES,
        **_READING,
    ),
    "CompletionRequest": _request(
        f"A request to vLLM's completion serving. {_REFUSED}",
        ("prompt",),
        prompt={"description": f"Text, a list of tokens, or at most {MAX_PROMPTS} of them."},
        stream=_STREAM,
        n=_CHOICES,
    ),
    "ResponsesRequest": _request(
        "A request to vLLM's serving of the Responses API. Nothing is stored. Images are sent as data URIs or URLs.",
        ("input",),
        input={"description": "Text, or a list of items."},
        stream=_STREAM,
    ),
    "TokenizeRequest": _request(
        "A `prompt`, or the `messages` of a chat.", (), prompt={"type": "string"}, messages=_MESSAGES
    ),
    "DetokenizeRequest": _request(
        "Tokens.", ("tokens",), tokens={"type": "array", "items": {"type": "integer", "minimum": 0}}
    ),
}
