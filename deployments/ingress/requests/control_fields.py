"""How the fields of transfer are read: controls, each by the name of its kind, and what applies to all of them.

The names are those of vLLM-Omni and of NVIDIA's NIM, which holds the same fields in one object, `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cosmos3_core.controls import ControlKind, Strength
from deployments.ingress.requests import coercions as read
from deployments.ingress.requests.body import json_type
from deployments.ingress.requests.coercions import Coercion, excerpt, inside, is_harmless, structure
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.references import ADDRESS_PATTERN, PIXEL, read_file
from deployments.wire.control_names import PRESETS, WEIGHT
from deployments.wire.data_uri import EXAMPLE, is_data_uri
from deployments.wire.encoded_file import EncodedFile

KINDS = ", ".join(ControlKind)
PATH = "names a file or an address that the server does not read; upload it or send a data URI"
OVERLAYS = ("show_control_condition", "show_input")
"""Fields that ask for more pictures beside the generated one."""
NO_OVERLAY = "asks for the controls or the input beside the generated video, which is not served"
MEDIA_KEYS = ("control", "video")
"""The names of a control's video inside its object: vLLM-Omni's and NIM's."""
PATH_KEY = "control_path"
"""vLLM-Omni's name of the address of a control's video."""
_LARGEST = "at most 512 MiB"


@dataclass(frozen=True)
class Hint:
    """What one field says about a control.

    Attributes:
        kind: the control's kind.
        values: attributes of `Control`, with the video as encoded bytes; without a video it may be computed.
        keys: the client's name of each attribute inside the field; it is missing where it is the field itself.
    """

    kind: ControlKind
    values: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


Hints = tuple[Hint, ...]


def read_hint(kind: ControlKind, value: Any) -> Hints:
    """What the field of a kind says: an object, JSON text of one, `true`, an upload or a data URI; empty if it is off.

    Raises:
        ValueError: the rest of a sentence that begins with the field's name.
    """
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        value = structure(value, dict)
    if isinstance(value, dict):
        return (_of_object(kind, value),)
    if isinstance(value, (Upload, list)) or (isinstance(value, str) and is_data_uri(value)):
        found = read_file(value)
        return () if found is None else (Hint(kind, {"video": found.content}),)
    if is_harmless(value):
        return ()
    try:
        return (Hint(kind),) if read.flag(value) else ()
    except ValueError:
        if isinstance(value, str):
            raise ValueError(PATH) from None
        raise ValueError(f"is {json_type(value)}; expected an object, true, or {EXAMPLE}") from None


def _of_object(kind: ControlKind, given: Mapping[str, Any]) -> Hint:
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in given.items():
        if value is None or value == "" or (key == PATH_KEY and is_harmless(value)):
            continue
        attribute, coerce = _key(kind, key)
        with inside(key):
            found = coerce(value)
            if attribute in values:
                raise ValueError(f"is another name of {keys[attribute]}; send only one of them")
            values[attribute], keys[attribute] = found, key
    return Hint(kind, {name: value for name, value in values.items() if value is not None}, keys)


def _key(kind: ControlKind, key: str) -> tuple[str, Callable[[Any], Any]]:
    """The attribute of `Control` that a key of a control's object sets, and how its value is read."""
    if key == PATH_KEY:
        return "video", _fetched
    if key in MEDIA_KEYS:
        return "video", _inline
    if key == WEIGHT:
        return "weight", read.number
    if key == PRESETS.get(kind):
        return "strength", _strength
    raise ValueError(f"has the key {excerpt(key)}; expected {' or '.join(_keys(kind))}")


def _keys(kind: ControlKind) -> list[str]:
    return [*MEDIA_KEYS, WEIGHT, *([PRESETS[kind]] if kind in PRESETS else [])]


def _fetched(value: Any) -> EncodedFile:
    """The file that a path or a URL has led to; a text here led to none."""
    if not isinstance(value, Upload):
        raise ValueError(PATH)
    return value.content


def _inline(value: Any) -> EncodedFile | None:
    found = read_file(value, bare=True)
    return None if found is None else found.content


def _strength(value: Any) -> Strength:
    return Strength(read.choice(**{str(strength): str(strength) for strength in Strength})(value))


def read_transfer(value: Any) -> dict[str, Any]:
    """The fields inside NIM's object, by name; the value of a control is a tuple of hints.

    Raises:
        ValueError: the rest of a sentence that begins with the object's name.
    """
    found: dict[str, Any] = {}
    for name, sent in structure(value, dict).items():
        coerce = HINTS.get(name) or OPTIONS.get(name)
        if coerce is None and name not in OVERLAYS:
            raise ValueError(f"has the key {excerpt(name)}; expected {', '.join((*HINTS, *OPTIONS))}")
        if sent is None or sent == "" or (coerce is None and is_harmless(sent)):
            continue
        with inside(name):
            if coerce is None:
                raise ValueError(NO_OVERLAY)
            found[name] = coerce(sent)
    return found


def _read_kind(value: Any) -> ControlKind:
    try:
        return ControlKind(read.text(value).lower())
    except ValueError:
        raise ValueError(f"is {excerpt(value)}; expected one of {KINDS}") from None


def _read_control(value: Any) -> EncodedFile | None:
    found = read_file(value)
    return None if found is None else found.content


def _described(kind: ControlKind) -> Coercion[Hints]:
    weight = {"type": "number", "minimum": 0, "description": "Its share, relative to the other controls."}
    inline = {"type": "string", "description": "The control: base64, a data URI or a URL of a video or an image."}
    address = {"type": "string", "description": "The URL of a video or an image."}
    properties: dict[str, Any] = {**dict.fromkeys(MEDIA_KEYS, inline), PATH_KEY: address, WEIGHT: weight}
    source = "Without a video it is missing, for it cannot be computed"
    if kind in PRESETS:
        properties[PRESETS[kind]] = {"type": "string", "enum": list(Strength)}
        source = "Without a video it is computed from the reference video, as strongly as "
        source += f"`{PRESETS[kind]}` says"
    description = f"The {kind} control: an object, a data URI, a URL, `true`, or in a form a file part. {source}."
    schema: dict[str, Any] = {
        "description": description,
        "anyOf": [
            {"type": "object", "properties": properties, "additionalProperties": False},
            {"type": "boolean"},
            {"type": "string"},
        ],
        "examples": [{"control": PIXEL, WEIGHT: 1}, True, PIXEL],
    }
    return Coercion(partial(read_hint, kind), schema, takes_file=True)


HINTS: dict[str, Coercion[Hints]] = {kind.value: _described(kind) for kind in ControlKind}
"""The fields that name controls."""
OPTIONS: dict[str, Coercion[Any]] = {
    "control_guidance": read.number,
    "control_guidance_interval": read.interval,
    "num_video_frames_per_chunk": read.whole,
    "num_conditional_frames": read.whole,
    "num_first_chunk_conditional_frames": read.whole,
    "max_frames": read.whole,
    "share_vision_temporal_positions": read.flag,
    "emphasize_control_in_prompt": read.flag,
}
"""The fields that apply to all controls of a request; `GenerationRequest` has them under the same names."""
FIELDS: dict[str, Coercion[Any]] = {
    **HINTS,
    **OPTIONS,
    "transfer": Coercion(
        read_transfer,
        {
            "description": "The fields of transfer in one object, as NIM has them: controls by kind, and numbers.",
            "anyOf": [{"type": "object"}, {"type": "string"}],
            "examples": [{"edge": True, "control_guidance": 1.5}],
        },
    ),
    "control_reference": Coercion(
        _read_control,
        {
            "description": f"A control: an upload of {_LARGEST}, a data URI or a URL, with its kind in `control_type`.",
            "type": "string",
            "pattern": ADDRESS_PATTERN,
            "examples": [PIXEL],
        },
        takes_file=True,
    ),
    "control_type": Coercion(
        _read_kind, {"description": "The kind of `control_reference`.", "type": "string", "enum": list(ControlKind)}
    ),
}
"""All fields of transfer."""
