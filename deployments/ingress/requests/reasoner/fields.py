"""What holds for every request to the Reasoner: where its fields are, which are refused, which numbers are bounded."""

from __future__ import annotations

from typing import Any

from cosmos3_core.errors import RequestError
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.requests.body import json_type
from deployments.ingress.requests.coercions import is_absent, is_harmless
from deployments.ingress.requests.fields import CONTAINERS, MERGED
from deployments.ingress.requests.foreign_fields import asks_for_nothing
from deployments.ingress.requests.reasoner.bounds import check_bounds
from deployments.ingress.requests.reasoner.constraints import check_constraints
from deployments.ingress.requests.reasoner.encodable import check_encodable

MAX_CHOICES = 16
GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend")
PICTURES = "asks for a picture or a video, and a chat answers with text"
MAKERS = "POST /v1/images/generations makes pictures and POST /v1/videos makes videos"
OF_DIFFUSION = (
    *("height", "width", "size", "num_inference_steps", "num_outputs_per_prompt"),
    *("guidance_scale", "guidance_scale_2", "true_cfg_scale", "cfg_scale", "flow_shift", "negative_prompt"),
    *("generate_sound", "generator_device", "layers", "strength", "image", "mask_image", "lora"),
    *("input_reference", "image_reference", "video_reference", "control_reference", "action_mode", *CONTAINERS),
)
"""Fields by which vLLM-Omni's chat makes pictures. vLLM ignores them, and a client would take the text for success."""
REFUSED = {
    **dict.fromkeys(GUIDED, "is not supported; use response_format or structured_outputs"),
    **dict.fromkeys(
        ("kv_transfer_params", "ec_transfer_params", "vllm_xargs", "data_parallel_rank"), "is not for clients"
    ),
    **dict.fromkeys(
        ("fps", "num_frames"), f"is not read here; mm_processor_kwargs has it for videos that are shown. {MAKERS}"
    ),
    "chat_template": "is not accepted from clients; the checkpoint's own is used",
    "prompt_embeds": "is not accepted from clients; send a prompt",
}


def check_fields(body: dict[str, Any]) -> None:
    """Refuse what controls more than a request's own sampling, text that vLLM fails on, and what is too much.

    Raises:
        ApiError: 400, with the name of the field.
    """
    check_encodable(body)
    try:
        check_bounds(body)
        check_constraints(body)
    except RequestError as error:
        raise bad_field(error) from error
    for field, reason in REFUSED.items():
        if body.get(field) is not None:
            raise ApiError(400, f"{field} {reason}", param=field)
    _check_output(body)
    if not isinstance(body.get("stream"), (bool, type(None))):
        raise ApiError(400, "stream must be true or false", param="stream")
    if body.get("stream_options") and not body.get("stream"):
        raise ApiError(400, "stream_options is only allowed with stream: true", param="stream_options")
    for field in ("n", "best_of"):
        choices = body.get(field)
        if choices is not None and not (type(choices) is int and 1 <= choices <= MAX_CHOICES):
            raise ApiError(400, f"{field} must be a whole number from 1 to {MAX_CHOICES}", param=field)


def _check_output(body: dict[str, Any]) -> None:
    """Refuse what asks for something else than text."""
    for field in OF_DIFFUSION:
        if not asks_for_nothing(field, body.get(field)):
            raise ApiError(400, f"{field} {PICTURES}; {MAKERS}", param=field)
    modalities = body.get("modalities")
    if not is_absent(modalities) and modalities != ["text"]:
        raise ApiError(400, f'modalities must be ["text"]; {MAKERS}', param="modalities")
    if not is_harmless(body.get("audio")):
        raise ApiError(400, "audio asks for speech, and a chat answers with text; leave it out", param="audio")
    tools = body.get("tools")
    for number, tool in enumerate(tools if isinstance(tools, list) else []):
        if isinstance(tool, dict) and tool.get("type") == "image_generation":
            field = f"tools.{number}"
            raise ApiError(400, f"{field} {PICTURES}; {MAKERS}", param=field)


def with_merged(body: dict[str, Any]) -> dict[str, Any]:
    """The body with the fields of `extra_body` at the top level, where OpenAI's client puts them.

    Raises:
        ApiError: 400, it is no object, or gives a field another value.
    """
    merged = {field: value for field, value in body.items() if field not in MERGED}
    for name in MERGED:
        extra = body.get(name)
        if is_absent(extra):
            continue
        if not isinstance(extra, dict):
            raise ApiError(400, f"{name} is {json_type(extra)}; expected an object", param=name)
        for field, value in extra.items():
            if merged.get(field) is None:
                merged[field] = value
            elif merged[field] != value:
                place = f"{name}.{field}"
                raise ApiError(400, f"{place} contradicts {field}; send only one of them", param=place)
    return merged
