"""Valid requests of every route that are cheap to serve: what the attempts of the fuzzer start from."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from tests.hostile_files import clip, flat, png
from tests.surface.inputs import TINY, Upload

COSTLY: dict[str, int | str] = {
    "size": "64x64",
    "num_frames": 5,
    "num_inference_steps": 1,
    "steps": 1,
    "num_steps": 1,
    "num_output_frames": 5,
    "action_chunk_size": 4,
    "seconds": 1,
    "n": 1,
    "num_outputs_per_prompt": 1,
    "num_images_per_prompt": 1,
    "max_tokens": 2,
    "max_completion_tokens": 2,
    "max_output_tokens": 2,
    "min_tokens": 0,
    "best_of": 1,
}
"""Fields by which a valid request can ask for minutes of work, each with a value that asks for little."""
LARGE = ("width", "height", "resolution", "aspect_ratio", "upsample_prompt", "sound_duration")
"""Fields that make a request larger where they are valid, and may be left out."""
UNKNOWN_JOB = "video_gen_0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Call:
    """A valid request.

    Attributes:
        method, path: of the route.
        fields: what its body says; None if it has none.
        files: its uploads by field; then it is a form.
        encodings: in which forms the route takes the fields.
        weight: how often it is chosen, among all.
        waits: whether it is answered only when something was generated.
    """

    method: str
    path: str
    fields: dict[str, Any] | None = None
    files: dict[str, Upload] = field(default_factory=dict)
    encodings: tuple[str, ...] = ("json",)
    weight: int = 2
    waits: bool = False


LAST_REFUSED: dict[str, Any] = {"adapters": {"name": "fuzz"}}
"""What is refused, but only after all else was read and its media decoded: a request that cost nothing more."""
FORMS = ("multipart", "urlencoded", "json")
_PNG = png(16, 16)
_JPEG = ("x.jpg", flat("JPEG", 16, 16), "image/jpeg")
_PICTURE = f"data:image/png;base64,{base64.b64encode(_PNG).decode()}"
_CLIP = f"data:video/mp4;base64,{base64.b64encode(clip()).decode()}"
_IMAGE = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 1, "seed": 1}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
_SCHEMA = {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
_VIDEO: dict[str, Any] = {
    **TINY,
    "fps": 8,
    "guidance_scale": 3.0,
    "negative_prompt": "blurry",
    "extra_params": {"flow_shift": 5.0, "guardrails": False, "use_system_prompt": True},
}
_TRANSFER = {**TINY, "control_reference": _CLIP, "control_type": "edge", "control_guidance": 1.5}
_FORWARD = {
    **TINY,
    "input_reference": _PICTURE,
    "extra_params": {
        "action_mode": "forward_dynamics",
        "domain_name": "av",
        "action_chunk_size": 4,
        "action": [[0.0] * 9] * 4,
    },
}
_ACTIONS: dict[str, Any] = {
    "input": {
        "task": "pick up the cup",
        "observation": {"images": {"front": {"base64": base64.b64encode(_PNG).decode(), "mime_type": "image/png"}}},
    },
    "parameters": {"domain_name": "droid_lerobot", "action_chunk_size": 4, "num_inference_steps": 1, "seed": 7},
    "runtime": {"output_format": "list"},
}
_CHAT: dict[str, Any] = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
    "max_tokens": 2,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 1,
    "stop": ["x"],
}
_SEEING = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": _PICTURE}},
                {"type": "text", "text": "what is it?"},
            ],
        }
    ],
    "max_tokens": 2,
}
_TOOLS = {**_CHAT, "tools": [_TOOL], "tool_choice": "auto"}
_STRUCTURED = {**_CHAT, "response_format": {"type": "json_schema", "json_schema": _SCHEMA}}
_STREAMED = {**_CHAT, "stream": True, "stream_options": {"include_usage": True}, "logprobs": True, "top_logprobs": 2}
_RESPONSE = {"input": "hello", "max_output_tokens": 2, "temperature": 0.1, "instructions": "Be brief."}

CALLS: tuple[Call, ...] = (
    Call("POST", "/v1/videos", _VIDEO, encodings=FORMS, weight=8),
    Call("POST", "/v1/videos", TINY, {"input_reference": ("x.png", _PNG, "image/png")}, ("multipart",), 6),
    Call("POST", "/v1/videos", TINY, {"input_reference": ("x.mp4", clip(), "video/mp4")}, ("multipart",)),
    Call("POST", "/v1/videos", {**TINY, "image_reference": _PICTURE}, encodings=FORMS, weight=3),
    Call("POST", "/v1/videos", _TRANSFER, encodings=FORMS),
    Call("POST", "/v1/videos", _FORWARD, encodings=FORMS, weight=3),
    Call("POST", "/v1/videos/sync", TINY, encodings=FORMS, waits=True),
    Call("POST", "/v1/videos/generations", TINY, encodings=FORMS, weight=1, waits=True),
    Call("POST", "/v1/images/generations", _IMAGE, weight=3, waits=True),
    Call("POST", "/v1/images/edits", _IMAGE, {"image": _JPEG}, ("multipart",), waits=True),
    Call("POST", "/v1/images/edits", {**_IMAGE, "image": _PICTURE}, encodings=FORMS, weight=1, waits=True),
    Call("POST", "/v1/actions/generations", _ACTIONS, encodings=("json", "msgpack", "msgpack"), weight=4, waits=True),
    Call("POST", "/v1/chat/completions", _CHAT, weight=6),
    Call("POST", "/v1/chat/completions", _SEEING, weight=3),
    Call("POST", "/v1/chat/completions", _TOOLS, weight=3),
    Call("POST", "/v1/chat/completions", _STRUCTURED),
    Call("POST", "/v1/chat/completions", _STREAMED),
    Call("POST", "/v1/completions", {"prompt": "a robot", "max_tokens": 2, "echo": False}, weight=3),
    Call("POST", "/v1/responses", _RESPONSE, weight=4),
    Call("POST", "/tokenize", {"prompt": "a robot", "add_special_tokens": True}),
    Call("POST", "/tokenize", {"messages": _CHAT["messages"]}),
    Call("POST", "/detokenize", {"tokens": [1, 2, 3]}),
    Call("GET", "/v1/videos?limit=1&order=asc", weight=3),
    *(Call("GET", f"/v1/videos/{UNKNOWN_JOB}{end}") for end in ("", "/content", "/events", "/preview", "/manifest")),
    Call("DELETE", f"/v1/videos/{UNKNOWN_JOB}"),
    *(Call("GET", path, weight=1) for path in ("/v1/models", "/health", "/v1/health/ready", "/version", "/metrics")),
    Call("GET", "/v1/models/cosmos3-tiny"),
    Call("GET", "/openapi.json", weight=1),
    Call("POST", "/ping", weight=1),
)


def refused_last(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with one that is refused."""
    parameters = fields.get("parameters")
    if isinstance(parameters, dict):
        return {**fields, "parameters": parameters | LAST_REFUSED}
    return fields | LAST_REFUSED


def kept_small(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A body of a route with little work, where it asks for more or leaves it to a default.

    What is malformed stays as it is.
    """
    inner = fields.get("parameters")
    if path == "/v1/actions/generations" and isinstance(inner, dict):
        return {**fields, "parameters": _cheapened(inner | _SMALL[path])}
    return _cheapened(_SMALL.get(path, {}) | fields)


_SMALL_VIDEO: dict[str, Any] = {"size": "64x64", "num_frames": 5, "num_inference_steps": 1}
_SMALL_IMAGE: dict[str, Any] = {"size": "64x64", "num_inference_steps": 1}
_SMALL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("/v1/videos", "/v1/videos/sync", "/v1/videos/generations"), _SMALL_VIDEO),
    **dict.fromkeys(("/v1/images/generations", "/v1/images/edits"), _SMALL_IMAGE),
    "/v1/actions/generations": {"num_inference_steps": 1, "action_chunk_size": 4},
    "/v1/chat/completions": {"max_tokens": 2},
    "/v1/completions": {"max_tokens": 2},
    "/v1/responses": {"max_output_tokens": 2},
}


def _cheapened(fields: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name not in LARGE or not _meant(value)}
    cheap: dict[str, Any] = {
        name: COSTLY[name] if name in COSTLY and _meant(value) else value for name, value in kept.items()
    }
    for name in ("extra_args", "extra_params", "extra_body", "extra_json", "video_params"):
        inner: Any = cheap.get(name)
        if isinstance(inner, dict):
            cheap[name] = _cheapened(inner)
    return cheap


def _meant(value: Any) -> bool:
    """Whether a value may ask for much: a positive number, a text, true, or nothing, which is a default."""
    if isinstance(value, (int, float)):
        return value > 0
    return value is None or isinstance(value, str)
