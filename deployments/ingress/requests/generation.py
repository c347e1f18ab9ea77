"""From the fields of a request to what shall be generated: names, defaults and the mode that the inputs ask for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import MAX_FRAMES
from cosmos3_core.modes import Mode
from cosmos3_core.presets import VLLM_OMNI
from cosmos3_core.request import MEDIA_FIELDS, GenerationRequest, MediaKind
from deployments.ingress.errors import ApiError, bad_field, bad_fields
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.coercions import is_absent, is_harmless, structure
from deployments.ingress.requests.references import Media

DEFAULT_SECONDS = "4"
MAX_IGNORED = 20
_REFERENCES = ("input_reference", "image_reference", "video_reference")
_NOT_IN_HEADERS = re.compile(r"[^\w.\-\[\]]", re.ASCII)
NAME_CHARACTERS = 64
_REQUEST_FIELDS = frozenset(GenerationRequest.model_fields) - {"mode", *MEDIA_FIELDS}
_VIDEO_MODES: Mapping[MediaKind | None, Mode] = {
    None: Mode.TEXT_TO_VIDEO,
    "image": Mode.IMAGE_TO_VIDEO,
    "video": Mode.VIDEO_TO_VIDEO,
}
_ACTION_MODES: Mapping[MediaKind | None, Mode] = {
    None: Mode.POLICY,
    "image": Mode.POLICY,
    "video": Mode.INVERSE_DYNAMICS,
}


@dataclass(frozen=True)
class Generation:
    """A request to generate, read and checked as far as that is possible without a checkpoint.

    Attributes:
        request: image and video are encoded bytes, never a path.
        model: as the client named it.
        guardrails: what the client asked for.
        ignored: names of fields that change nothing, most because we do not know them; safe for a header.
        size, seconds: as the client sent them, for the job's record.
        quality: of the file: standard, high or lossless.
        return_stage_metrics: whether the answer shall carry detailed timings.
        service_class: interactive, standard or batch, where the client says it.
        webhook_url: who hears of its end; not checked yet.
        names: the names the client used, by the request's fields.
    """

    request: GenerationRequest
    model: str | None
    guardrails: bool | None
    ignored: tuple[str, ...]
    size: str | None
    seconds: str
    quality: str
    return_stage_metrics: bool
    service_class: str | None
    webhook_url: str | None
    names: Mapping[str, str]

    def refusal(self, error: RequestError) -> ApiError:
        """A later refusal of the request, in the client's names."""
        return bad_field(error, self.names)


@dataclass(frozen=True)
class ImageGeneration(Generation):
    """A request for images. The first image takes the request's seed.

    Attributes:
        n: how many.
        response_format: base64 in JSON, or the bytes themselves.
        output_format, output_compression: of each image.
    """

    n: int
    response_format: Literal["b64_json", "file"]
    output_format: Literal["png", "jpeg", "webp"]
    output_compression: int


def read_video(body: Body) -> Generation:
    """What a body on the video routes asks for. Decodes references, so call it in a thread.

    Raises:
        ApiError: 400, naming the field as the client did.
    """
    given = _Given.collect(body, tables.VIDEO)
    reference, media = _reference(given)
    if given.value("num_outputs_per_prompt", 1) > 1:
        given.pass_over("num_outputs_per_prompt")
    return _of_video(given, _mode(given, media), reference, media)


def read_action(body: Body) -> Generation:
    """What a body on the action route asks for: policy, or inverse dynamics where a video is given, unless it says.

    Decodes references, so call it in a thread.

    Raises:
        ApiError: 400, naming the field as the client did.
    """
    given = _Given.collect(body, tables.ACTION)
    reference, media = _reference(given)
    mode: Mode = given.value("mode", _ACTION_MODES[media.kind if media else None])
    if not mode.predicts_action:
        raise given.refusal("mode", f"is {mode.value}, which predicts no actions; expected POST /v1/videos for it")
    return _of_video(given, mode, reference, media)


def _of_video(given: _Given, mode: Mode, reference: str, media: Media | None) -> Generation:
    names: dict[str, str] = dict.fromkeys(MEDIA_FIELDS, reference)
    values: dict[str, Any] = {} if media is None else {media.kind: media.content}
    _one_rate(given)
    if "num_frames" not in given and not (mode.is_action and ("action" in given or "action_chunk_size" in given)):
        frames = _frames_of_seconds(given)
        if frames is not None:
            values["num_frames"], names["num_frames"] = frames, given.name("seconds")
    return _generation(given, mode, values, names)


def read_image(body: dict[str, Any]) -> ImageGeneration:
    """What a body on the image route asks for.

    Raises:
        ApiError: 400, naming the field as the client did.
    """
    given = _Given.collect(Body(body), tables.IMAGE)
    if given.value("mode", Mode.TEXT_TO_IMAGE) is not Mode.TEXT_TO_IMAGE:
        raise given.refusal("mode", f"is {given.value('mode').value}; this route makes images from text")
    # Other servers draw one per request here, while their videos have a fixed default.
    values = {} if "seed" in given else {"seed": secrets.randbits(32)}
    return ImageGeneration(
        **vars(_generation(given, Mode.TEXT_TO_IMAGE, values, {})),
        n=given.value("num_outputs_per_prompt", 1),
        response_format=given.value("response_format", "b64_json"),
        output_format=given.value("output_format", "png"),
        output_compression=given.value("output_compression", 100),
    )


@dataclass(frozen=True)
class _Field:
    name: str
    sent: Any
    value: Any


class _Given:
    """A body's fields by their canonical names, coerced, each with the name and the value the client sent."""

    def __init__(self) -> None:
        self.fields: dict[str, _Field] = {}
        self.ignored: list[str] = []

    @classmethod
    def collect(cls, body: Body, schema: tables.Schema) -> _Given:
        given = cls()
        for prefix, layer in _layers(body):
            given.fields |= given._read(prefix, layer, schema)
        return given

    def __contains__(self, field: str) -> bool:
        return field in self.fields

    def value(self, field: str, default: Any = None) -> Any:
        return self.fields[field].value if field in self.fields else default

    def sent(self, field: str) -> str | None:
        return str(self.fields[field].sent) if field in self.fields else None

    def name(self, field: str) -> str:
        return self.fields[field].name if field in self.fields else field

    def pass_over(self, field: str) -> None:
        """Have a field change nothing, and say so; its value has been looked at."""
        self.ignored.append(self.fields.pop(field).name)

    def refusal(self, field: str, reason: str) -> ApiError:
        return bad_field(RequestError(field, reason), {field: self.name(field)})

    def _read(self, prefix: str, layer: Mapping[str, Any], schema: tables.Schema) -> dict[str, _Field]:
        read: dict[str, _Field] = {}
        for name, sent in layer.items():
            canonical = tables.ALIASES.get(name, name)
            if is_absent(sent) or canonical in tables.COSMETIC:
                continue
            reason = schema.refusal(name)
            if reason is not None:
                if not is_harmless(sent):
                    raise ApiError(400, f"{name} {reason}", param=name)
                continue
            value = self._coerced(name, sent, schema)
            if value is None:
                self.ignored.append(prefix + name)
                continue
            prior = read.get(canonical)
            if prior is not None and prior.value != value:
                reason = f"contradicts {prior.name}, another name for the same; give one of them"
                raise ApiError(400, f"{name} {reason}", param=name)
            read[canonical] = _Field(name, sent, value)
        return read

    @staticmethod
    def _coerced(name: str, sent: Any, schema: tables.Schema) -> Any:
        coerce = schema.coercion(name)
        if coerce is None:
            return None
        try:
            return coerce(sent)
        except ValueError as error:
            raise ApiError(400, f"{name} {error}", param=name) from None


def _layers(body: Body) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Weakest first: what fills gaps, the fields themselves, then the extra parameters."""
    top = dict(body.fields)
    containers = {name: _container(name, top.pop(name, None)) for name in (tables.FILLER, *tables.CONTAINERS)}
    for name, uploads in body.uploads.items():
        if name in top or name in containers:
            raise ApiError(400, f"{name} is given as a file; expected text, and only once", param=name)
        top[name] = uploads if len(uploads) > 1 else uploads[0]
    yield f"{tables.FILLER}.", containers.pop(tables.FILLER)
    yield "", top
    for name, layer in containers.items():
        yield f"{name}.", layer


def _container(name: str, value: Any) -> Mapping[str, Any]:
    if is_absent(value):
        return {}
    try:
        fields: Mapping[str, Any] = structure(value, dict)
    except ValueError as error:
        raise ApiError(400, f"{name} {error}", param=name) from None
    return fields


def _reference(given: _Given) -> tuple[str, Media | None]:
    """The reference and the name to call it by."""
    present = [field for field in _REFERENCES if field in given]
    if len(present) > 1:
        reason = f"cannot be combined with {given.name(present[0])}; give one reference"
        raise given.refusal(present[1], reason)
    if not present:
        return _REFERENCES[0], None
    return given.name(present[0]), given.value(present[0])


def _mode(given: _Given, media: Media | None) -> Mode:
    from_inputs = _VIDEO_MODES[media.kind if media else None]
    asked: Mode = given.value("mode", from_inputs)
    if not asked.is_action and asked is not from_inputs:
        carries = "no reference" if media is None else f"a reference {media.kind}"
        raise given.refusal("mode", f"is {asked.value}; with {carries} this route does {from_inputs.value}")
    return asked


def _one_rate(given: _Given) -> None:
    """Let `action_fps` stand for `fps`; the model has one rate for frames and actions."""
    if "action_fps" not in given:
        return
    if "fps" in given and given.value("fps") != given.value("action_fps"):
        reason = f"is {given.value('action_fps'):g} while fps is {given.value('fps'):g}; expected one rate for both"
        raise given.refusal("action_fps", reason)
    given.fields["fps"] = given.fields["action_fps"]


def _frames_of_seconds(given: _Given) -> int | None:
    fps = given.value("fps", VLLM_OMNI.video.fps)
    if "seconds" not in given or fps <= 0:
        return None
    frames: float = given.value("seconds") * fps
    if not 1 <= frames <= MAX_FRAMES:
        reason = f"is {given.value('seconds'):g} at {fps:g} frames per second; expected at most {MAX_FRAMES} frames"
        raise given.refusal("seconds", reason)
    return int(frames)


def _generation(given: _Given, mode: Mode, values: dict[str, Any], names: dict[str, str]) -> Generation:
    """`values` and `names` are those that are not simply a field of the body."""
    if "prompt" not in given:
        raise ApiError(400, "prompt is missing; expected text", param="prompt")
    values = {field: given.value(field) for field in _REQUEST_FIELDS if field in given} | values
    names = {field: found.name for field, found in given.fields.items()} | names
    if given.value("size"):
        values["width"], values["height"] = given.value("size")
        names["width"] = names["height"] = given.name("size")
    try:
        request = GenerationRequest(mode=mode, **values)
    except ValidationError as error:
        raise bad_fields(error, names) from None
    if request.sound_duration is not None and not request.generate_sound:
        given.pass_over("sound_duration")
        request = request.model_copy(update={"sound_duration": None})
    return Generation(
        request=request,
        model=given.value("model"),
        guardrails=given.value("guardrails"),
        ignored=header_safe(given.ignored),
        size=given.sent("size") if given.value("size") else None,
        seconds=given.sent("seconds") or DEFAULT_SECONDS,
        quality=given.value("quality", "standard"),
        return_stage_metrics=given.value("return_stage_metrics", False),
        service_class=given.value("service_class"),
        webhook_url=given.value("webhook_url"),
        names=names,
    )


def header_safe(names: Iterable[str]) -> tuple[str, ...]:
    """Clients' names of fields, each once and not too many, as a header can hold them."""
    return tuple(_NOT_IN_HEADERS.sub("?", name[:NAME_CHARACTERS]) for name in dict.fromkeys(names))[:MAX_IGNORED]
