"""Where the bodies of the generation routes and of the action route may name media by their address.

A text of any other field is never taken for an address, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from deployments.fetching.fetcher import is_address
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.addressed_media import AddressedMedium
from deployments.ingress.requests.control_fields import HINTS, MEDIA_KEYS, PATH_KEY
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import NAME_CHARACTERS
from deployments.ingress.requests.nested_urls import URL
from deployments.ingress.requests.references import URL_KEYS, FileKind
from deployments.ingress.requests.strict_json import JsonError, parse_json

REFERENCES: Mapping[str, FileKind | None] = {
    "input_reference": None,
    "image_reference": "image",
    "url": "image",
    "video_reference": "video",
    "audio_reference": "audio",
    "control_reference": None,
}
"""The fields that hold one medium, by their canonical names, and the kind that each promises."""
PATHS = frozenset({"vision_path", "image_path", "video_path", "sound_path", PATH_KEY})
"""Names that take an absolute path as well. Elsewhere a text with a slash in front may be base64."""
_OBSERVED: Mapping[str, FileKind | None] = {"image": "image", "input_reference": None, "video": "video"}

Found = Iterator[AddressedMedium]


def in_generation(fields: dict[str, Any], schema: tables.Schema) -> Found:
    """The addresses in the fields of a generation route."""
    yield from _in_layers(fields, schema)
    for name in tables.MERGED:
        if name in fields:
            yield from _inside(fields, name, partial(_in_layers, schema=schema))


def _in_layers(fields: Any, schema: tables.Schema) -> Found:
    """The addresses in fields and in the containers among them."""
    yield from _in_layer(fields, schema)
    for name in (tables.FILLER, *tables.CONTAINERS):
        if isinstance(fields, dict):
            yield from _inside(fields, name, partial(_in_layer, schema=schema))


def in_actions(fields: dict[str, Any]) -> Found:
    """The addresses in a body of the action route."""
    if "input" not in fields:
        yield from in_generation(fields, tables.ACTION)
        return
    given = fields["input"]
    if isinstance(given, dict):
        yield from _in_observation(given, "input.")
        if isinstance(given.get("observation"), dict):
            yield from _in_observation(given["observation"], "input.observation.")
    if isinstance(fields.get("parameters"), dict):
        yield from in_generation(fields["parameters"], tables.ACTION)


def _in_observation(part: dict[str, Any], prefix: str) -> Found:
    for name, kind in _OBSERVED.items():
        if name in part:
            yield from _in_reference(part, name, prefix + name, kind)
    pictures = part.get("images")
    if isinstance(pictures, dict):
        for camera in pictures:
            yield from _in_reference(pictures, camera, f"{prefix}images.{str(camera)[:NAME_CHARACTERS]}", "image")


def _in_layer(layer: Any, schema: tables.Schema) -> Found:
    fields: dict[str, Any] = layer if isinstance(layer, dict) else {}
    for name in fields:
        if schema.refusal(name) is not None or schema.coercion(name) is None:
            continue
        canonical = tables.ALIASES.get(name, name)
        if canonical in REFERENCES:
            yield from _in_reference(layer, name, name, REFERENCES[canonical])
        elif canonical in HINTS:
            yield from _in_control(layer, name, name)
        elif canonical == "transfer":
            yield from _inside(layer, name, partial(_in_transfer, field=name))


def _in_transfer(controls: Any, field: str) -> Found:
    for name in controls if isinstance(controls, dict) else ():
        if name in HINTS:
            yield from _in_control(controls, name, f"{field}.{name}")


def _in_control(holder: Any, key: Any, field: str) -> Found:
    """The address of a control: it may be the field itself, or inside of the control's object."""

    def within(control: Any) -> Found:
        if isinstance(control, dict):
            for name in (*MEDIA_KEYS, PATH_KEY):
                if name in control:
                    yield from _in_reference(control, name, f"{field}.{name}", None)
        else:
            yield from _in_list(control, field, None)

    yield from _at(holder, key, field, None)
    yield from _inside(holder, key, within)


def _in_reference(holder: Any, key: Any, field: str, kind: FileKind | None) -> Found:
    """The address in a reference: a text, an object with one under the name of its kind, or a list of one of these."""

    def nested(reference: dict[str, Any], named: FileKind | None) -> Found:
        if URL in reference:
            yield from _at(reference, URL, field, named)

    def within(reference: Any) -> Found:
        if isinstance(reference, dict):
            for name, named in URL_KEYS.items():
                if isinstance(reference.get(name), dict):
                    yield from nested(reference[name], named)
                elif name in reference:
                    yield from _at(reference, name, field, named)
            yield from nested(reference, kind)
        else:
            yield from _in_list(reference, field, kind)

    yield from _at(holder, key, field, kind)
    yield from _inside(holder, key, within)


def _in_list(references: Any, field: str, kind: FileKind | None) -> Found:
    # Several are refused by whoever reads them, so none of them is fetched.
    if isinstance(references, list) and len(references) == 1:
        yield from _in_reference(references, 0, field, kind)


def _at(holder: Any, key: Any, field: str, kind: FileKind | None) -> Found:
    text = holder[key]
    if isinstance(text, str) and (is_address(text) or (text.startswith("/") and field.rpartition(".")[2] in PATHS)):
        yield AddressedMedium(holder, key, field, kind, partial(Upload, field))


def _inside(holder: Any, key: Any, find: Callable[[Any], Found]) -> Found:
    """What is found inside a value. If that is JSON as text, what it says replaces it as soon as something is found."""
    value = holder.get(key) if isinstance(holder, dict) else holder[key]
    if not isinstance(value, str):
        yield from find(value)
        return
    if value[:64].lstrip()[:1] not in ("{", "["):
        return
    try:
        parsed = parse_json(value)
    except JsonError:
        # Whoever reads the field says what is wrong.
        return
    found = list(find(parsed))
    if found:
        holder[key] = parsed
    yield from found
