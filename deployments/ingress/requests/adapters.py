"""The field `lora`: which of the operator's adapters a request uses, in vLLM-Omni's form or in the core's."""

from __future__ import annotations

from typing import Any

from deployments.ingress.requests import coercions as read
from deployments.ingress.requests.body import json_type
from deployments.ingress.requests.coercions import excerpt, is_absent, is_harmless, takes
from deployments.ingress.requests.strict_json import JsonError, parse_json

NAME_KEYS = ("name", "lora_name", "adapter")
WEIGHT_KEYS = ("scale", "lora_scale", "weight")
PATH_KEYS = ("path", "local_path", "lora_path", "lora_local_path")
ID_KEYS = ("int_id", "lora_int_id")
"""Numbers by which other servers tell adapters apart; names do that here."""

_ADAPTER = {
    "type": "object",
    "properties": {
        NAME_KEYS[0]: {"type": "string", "minLength": 1},
        WEIGHT_KEYS[0]: {"type": "number", "minimum": -10, "maximum": 10, "default": 1},
    },
    "required": [NAME_KEYS[0]],
}


@takes(
    anyOf=[_ADAPTER, {"type": "array", "items": _ADAPTER}],
    description=(
        "The model's adapters (LoRA) to use, by name, with a scale: an object, a list of several, or JSON text of "
        "these. Null or an empty list uses none; without the field the model's default applies."
    ),
    examples=[[]],
)
def adapters(value: Any) -> list[dict[str, Any]]:
    """The adapters as fields of the core's request; none where they are switched off."""
    if is_harmless(value):
        return []
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except JsonError as error:
            raise ValueError(f"cannot be read: Invalid JSON in form field: {error}") from None
    return [_adapter(one) for one in (value if isinstance(value, list) else [value])]


def _adapter(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"holds {json_type(value)}; expected an object with name and scale, or a list of these")
    given = {key: held for key, held in value.items() if not is_absent(held)}
    path = next((key for key in PATH_KEYS if key in given), None)
    if path is not None:
        raise ValueError(f"has {path}, and clients cannot name files here; expected the name of one of the adapters")
    unknown = next((key for key in given if key not in (*NAME_KEYS, *WEIGHT_KEYS, *ID_KEYS)), None)
    if unknown is not None:
        raise ValueError(f"has {excerpt(unknown)}, which is not known; expected name and scale")
    name, weight = _one(given, NAME_KEYS), _one(given, WEIGHT_KEYS)
    if name is None:
        raise ValueError("names no adapter; expected an object with name and scale")
    return {"name": read.text(name), "weight": 1.0 if weight is None else read.number(weight)}


def _one(given: dict[str, Any], keys: tuple[str, ...]) -> Any:
    present = [key for key in keys if key in given]
    if len(present) > 1:
        raise ValueError(f"has both {present[0]} and {present[1]}, which mean the same; send only one of them")
    return given[present[0]] if present else None
