"""Reads the body of `/v1/actions/generations` in SGLang's form: one observation, one prediction.

The model takes one picture, an instruction and, for a policy, the robot's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.stills import encode_image
from deployments.ingress.errors import ApiError, bad_fields
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body, json_type
from deployments.ingress.requests.coercions import is_harmless
from deployments.ingress.requests.control_fields import PATH
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import NAME_CHARACTERS, Generation, header_safe, read_action
from deployments.ingress.requests.references import ADDRESS_PATTERN
from deployments.wire.data_uri import is_data_uri, read_base64

MAX_LISTED = 2**16
"""The most numbers that an array among the parameters may have; it is converted to a list."""
_ONE = "this route takes one at a time, so send a request for each"

OutputFormat = Literal["list", "numpy"]
Instruction = Annotated[str | list[str] | None, Field(examples=["pick up the cup"])]
Picture = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": (
                "The encoded file, or a URL; in msgpack also its bytes, or a uint8 array [height, width, 3]."
            ),
            "anyOf": [
                {
                    "type": "object",
                    "properties": {
                        "base64": {"type": "string", "contentEncoding": "base64"},
                        "mime_type": {"type": "string"},
                    },
                    "required": ["base64"],
                },
                {"type": "string", "pattern": ADDRESS_PATTERN},
                {"type": "null"},
            ],
        }
    ),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)


class Observation(_Part):
    """What the robot perceives: one picture or video. Several views have to be combined into one picture.

    Attributes:
        images: pictures by the names of their cameras.
        image, input_reference: a picture; `input_reference` may also be a video.
        video: a video for inverse dynamics.
        prompt, task: the instruction.
        state: the robot's state, for a policy: a row of numbers as wide as an action, or rows, the present one last.
        session_id, step_id, reset: accepted without effect; the server keeps nothing between requests.
    """

    images: dict[str, Picture] | None = None
    image: Picture = None
    input_reference: Picture = None
    video: Picture = None
    prompt: Instruction = None
    task: Instruction = None
    state: Any = None
    session_id: Any = None
    step_id: Any = None
    reset: Any = None


class ActionInput(Observation):
    """What to predict from. Its own fields take precedence over those of its `observation`.

    Attributes:
        task, prompt: the instruction.
        observation: what the robot perceives.
    """

    observation: Observation = Field(default_factory=Observation)


class Runtime(_Part):
    """The form of the answer.

    Attributes:
        response_format: always `envelope`.
        output_format: the form of the values in msgpack: `numpy`, an array, or `list`. In JSON they are lists.
    """

    response_format: Literal["envelope"] = "envelope"
    output_format: OutputFormat | None = None


class ActionEnvelope(_Part):
    """A request for actions. A body without `input` has the fields of the video routes instead.

    Attributes:
        model: the name of a served model; by default the first one that can do it.
        request_id: the answer's id.
        input: what to predict from.
        parameters: the fields of the video routes.
        runtime: the form of the answer.
    """

    model: str | None = None
    request_id: Annotated[str, Field(max_length=128)] | None = None
    input: ActionInput
    parameters: dict[str, Any] = Field(default_factory=dict)
    runtime: Runtime = Field(default_factory=Runtime)


@dataclass(frozen=True)
class ActionCall:
    """A request for actions as it was read.

    Attributes:
        generation: what to generate.
        request_id: the id that the client gave it.
        output_format: the form of the values, if the client named one.
    """

    generation: Generation
    request_id: str | None = None
    output_format: OutputFormat | None = None


def read_actions(body: Body) -> ActionCall:
    """Read a body: an envelope, or the fields of the video routes. It decodes media, so call it in a thread.

    Raises:
        ApiError: 400, with the client's name of the field.
    """
    if "input" not in body.fields:
        return ActionCall(read_action(Body(_with_lists("", body.fields), body.uploads)))
    try:
        envelope = ActionEnvelope.model_validate(body.fields)
    except ValidationError as error:
        raise bad_fields(error) from None
    return _read_envelope(envelope)


def _read_envelope(envelope: ActionEnvelope) -> ActionCall:
    parts = {
        "": envelope,
        "input.": envelope.input,
        "input.observation.": envelope.input.observation,
        "runtime.": envelope.runtime,
    }
    unknown = [prefix + name for prefix, part in parts.items() for name in _unknown(prefix, part)]
    fields = _with_lists("parameters.", envelope.parameters)
    names = {"input_reference": "input.observation.images"}
    if envelope.model is not None:
        fields["model"] = envelope.model
    names["prompt"], instruction = _instruction(envelope.input)
    if instruction is not None:
        fields["prompt"] = instruction
    for prefix, part in (("input.observation.", envelope.input.observation), ("input.", envelope.input)):
        if part.state is not None:
            fields |= _with_lists(prefix, {"state": part.state})
            names["state"] = f"{prefix}state"
    uploads: dict[str, list[Upload]] = {}
    for place, field, value in _references(envelope.input):
        names[field] = place
        medium = _medium(place, value)
        if isinstance(medium, Upload):
            uploads[field] = [medium]
        else:
            fields[field] = medium
    with _refusals_named(names):
        generation = read_action(Body(fields, uploads))
    ignored = header_safe([*unknown, *(f"parameters.{name}" for name in generation.ignored)])
    known_as = {field: names.get(name, name) for field, name in generation.names.items()}
    generation = replace(generation, ignored=ignored, names=known_as)
    return ActionCall(generation, envelope.request_id, envelope.runtime.output_format)


def _unknown(prefix: str, part: _Part) -> Iterator[str]:
    for name, value in (part.model_extra or {}).items():
        reason = PATH if name in tables.ADDRESSES else tables.ACTION.refusal(name)
        if reason is None:
            yield name
        elif isinstance(value, np.ndarray) or not is_harmless(value):
            raise ApiError(400, f"{prefix}{name} {reason}", param=f"{prefix}{name}")


def _instruction(given: ActionInput) -> tuple[str, str | None]:
    """The name of the field that holds the instruction, and the instruction."""
    places = {
        "input.task": given.task,
        "input.prompt": given.prompt,
        "input.observation.prompt": given.observation.prompt,
        "input.observation.task": given.observation.task,
    }
    for place, text in places.items():
        if isinstance(text, list) and len(text) != 1:
            raise ApiError(400, f"{place} holds {len(text)} instructions; {_ONE}", param=place)
        if text:
            return place, text[0] if isinstance(text, list) else text
    return "input.task", None


def _references(given: ActionInput) -> Iterator[tuple[str, str, Any]]:
    """The one picture or video: its place, the video routes' name of its field, and its value."""
    found: list[tuple[str, str, Any]] = []
    for prefix, part in (("input.", given), ("input.observation.", given.observation)):
        pictures = {f"images.{camera[:NAME_CHARACTERS]}": picture for camera, picture in (part.images or {}).items()}
        found += [(prefix + name, "image_reference", picture) for name, picture in pictures.items()]
        found.append((f"{prefix}image", "image_reference", part.image))
        found.append((f"{prefix}input_reference", "input_reference", part.input_reference))
        found.append((f"{prefix}video", "video_reference", part.video))
    found = [reference for reference in found if reference[2] is not None]
    if len(found) > 1:
        places = ", ".join(place for place, _, _ in found)
        message = (
            f"{found[1][0]} is one of {len(found)} ({places}); expected one picture that holds all views, or a video"
        )
        raise ApiError(400, message, param=found[1][0])
    yield from found


def _medium(place: str, value: Any) -> Any:
    """An upload, or a value in a form that the video routes read."""
    try:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, list):
            raise ValueError(f"holds {len(value)} observations; {_ONE}")
        if isinstance(value, np.ndarray):
            return Upload(place, _encoded_array(value), "image/png")
        if isinstance(value, bytes):
            return Upload(place, value)
        if isinstance(value, dict) and ("base64" in value or "b64_json" in value):
            return _decoded_base64(place, value)
        if not isinstance(value, (str, dict, Upload)):
            raise ValueError(f'is {json_type(value)}; expected {{"base64": ..., "mime_type": ...}} or a data URI')
        return value
    except ValueError as error:
        raise ApiError(400, f"{place} {error}", param=place) from None


def _encoded_array(array: NDArray[Any]) -> bytes:
    if array.ndim == 4 and len(array) != 1:
        raise ValueError(f"holds {len(array)} observations; {_ONE}")
    frame = array[0] if array.ndim == 4 else array
    if frame.dtype != np.uint8 or frame.ndim != 3:
        raise ValueError(f"is {array.dtype.name} {list(array.shape)}; expected uint8 [height, width, 3]")
    try:
        return encode_image(frame, "png")
    except MediaError as error:
        raise ValueError(f"cannot be used: {error}") from None


def _decoded_base64(place: str, wrapped: dict[str, Any]) -> Upload | str:
    text = wrapped.get("base64", wrapped.get("b64_json"))
    if not isinstance(text, str):
        raise ValueError(f"has {json_type(text)} as its base64; expected text")
    if is_data_uri(text):
        return text
    return Upload(place, read_base64(text), wrapped.get("mime_type"))


def _with_lists(place: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with their arrays converted to lists, which the video routes take."""

    total = 0

    def listed(name: str, value: Any) -> Any:
        nonlocal total
        if isinstance(value, np.ndarray):
            # Each number takes many times as much memory as in the array, of which intake does not know.
            total += value.size
            if total > MAX_LISTED:
                message = f"{name} makes arrays of {total} numbers; expected at most {MAX_LISTED}"
                raise ApiError(400, message, param=name)
            return value.tolist()
        if isinstance(value, dict):
            return {key: listed(name, entry) for key, entry in value.items()}
        return [listed(name, entry) for entry in value] if isinstance(value, list) else value

    return {name: listed(place + name[:NAME_CHARACTERS], value) for name, value in given.items()}


@contextmanager
def _refusals_named(names: Mapping[str, str]) -> Iterator[None]:
    """Replace the names of fields in refusals by the places where the client put them."""
    try:
        yield
    except ApiError as error:
        name = names.get(error.param or "")
        if name is None:
            raise
        raise ApiError(error.status, name + error.message.removeprefix(error.param or ""), param=name) from None
