"""Turns the fields of a request into a generation: names, defaults, and the mode that the inputs imply."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import ValidationError

from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import MAX_FRAMES
from cosmos3_core.modes import Given, Mode, Route, implied_mode
from cosmos3_core.presets import VLLM_OMNI
from cosmos3_core.prompt import parse_structured
from cosmos3_core.request import FRAME_FIELDS, MEDIA_FIELDS, GenerationRequest
from cosmos3_core.upsampling.template import NAMES as TEMPLATE_NAMES
from deployments.ingress.errors import ApiError, bad_field, bad_fields
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.coercions import excerpt
from deployments.ingress.requests.given_fields import GivenFields
from deployments.ingress.requests.references import Media
from deployments.ingress.requests.transfer import read_controls
from deployments.wire.upsampling import FIELD as UPSAMPLE

DEFAULT_SECONDS = "4"
MAX_IGNORED = 20
_REFERENCES = ("input_reference", "image_reference", "video_reference", "url")
_NOT_IN_HEADERS = re.compile(r"[^\w.\-\[\]]", re.ASCII)
NAME_CHARACTERS = 64
_REQUEST_FIELDS = frozenset(GenerationRequest.model_fields) - {"mode", "controls", *MEDIA_FIELDS}
_SOUND = "audio_reference"


@dataclass(frozen=True)
class Generation:
    """A request to generate, checked as far as that is possible without a checkpoint.

    Attributes:
        request: the core's request; its media are encoded bytes, never a path.
        model: the model's name as the client sent it.
        guardrails: whether the client wants guardrails, if it says so.
        ignored: names of ignored fields, most of them unknown; they are safe for a header.
        size, seconds: the client's own values, for the job's record.
        quality: the quality of the file: standard, high or lossless.
        return_stage_metrics: whether the answer includes the bytes passed from stage to stage.
        service_class: interactive, standard or batch, if the client names one.
        webhook_url: the URL to call when the job ends; it is not checked yet.
        upsamples: whether the model's Reasoner writes the prompt first.
        names: the client's names of the request's fields.
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
    upsamples: bool
    names: Mapping[str, str]

    def without_media(self) -> Self:
        """The same, once its media are stored: they may be large, and the client may wait for long."""
        dropped = {**dict.fromkeys(MEDIA_FIELDS), "controls": self.request.used_controls()}
        return replace(self, request=self.request.model_copy(update=dropped))

    def refusal(self, error: RequestError) -> ApiError:
        """A later refusal of the request, with the client's name of the field."""
        return bad_field(error, self.names)


@dataclass(frozen=True)
class ImageGeneration(Generation):
    """A request for images. The first image takes the request's seed.

    Attributes:
        n: the number of images.
        response_format: `b64_json`, base64 in JSON, or `file`, the file itself.
        output_format, output_compression: the format and the quality of each image.
    """

    n: int
    response_format: Literal["b64_json", "file"]
    output_format: Literal["png", "jpeg", "webp"]
    output_compression: int


def read_video(body: Body) -> Generation:
    """Read a body of the video routes. It decodes references, so call it in a thread.

    Raises:
        ApiError: 400, with the client's name of the field.
    """
    given = GivenFields.collect(body, tables.VIDEO)
    reference, media = _reference(given)
    controls = read_controls(given)
    mode = _mode(given, reference, media, bool(controls.controls))
    values: dict[str, Any] = {"controls": controls.controls} if controls.controls else {}
    if given.value(_SOUND) is not None:
        values["sound"] = given.value(_SOUND)
    return _video_generation(given, mode, reference, media, values, controls.names)


def read_action(body: Body) -> Generation:
    """Read a body of the action route. Without a mode it is policy, or with a video inverse dynamics.

    It decodes references, so call it in a thread.

    Raises:
        ApiError: 400, with the client's name of the field.
    """
    given = GivenFields.collect(body, tables.ACTION)
    reference, media = _reference(given)
    mode: Mode = given.value("mode", implied_mode(Route.ACTIONS, media.kind if media else None))
    if Route.ACTIONS not in mode.row.routes:
        raise given.refusal("mode", f"is {mode.value}, which predicts no actions; expected POST /v1/videos for it")
    return _video_generation(given, mode, reference, media, {}, {})


def _video_generation(
    given: GivenFields,
    mode: Mode,
    reference: str,
    media: Media | None,
    values: dict[str, Any],
    names: Mapping[str, str],
) -> Generation:
    """A generation of the given fields; `values` and `names` are of media other than the reference."""
    names = {**dict.fromkeys(FRAME_FIELDS, reference), "sound": given.name(_SOUND), **names}
    if media is not None:
        values = values | {media.kind: media.content}
    _merge_action_fps(given)
    _check_state(given)
    if "num_frames" not in given and not (mode.is_action and ("action" in given or "action_chunk_size" in given)):
        frames = _frames_of_seconds(given)
        if frames is not None:
            values, names = values | {"num_frames": frames}, {**names, "num_frames": given.name("seconds")}
    return _generation(given, mode, values, names)


def read_image(body: dict[str, Any]) -> ImageGeneration:
    """Read a body of the route that makes images from text.

    Raises:
        ApiError: 400, with the client's name of the field.
    """
    given = GivenFields.collect(Body(body), tables.IMAGE)
    mode: Mode = given.value("mode", implied_mode(Route.IMAGES, None))
    if Route.IMAGES not in mode.row.routes:
        raise given.refusal("mode", f"is {mode.value}; this route makes images from text")
    return _image_generation(given, mode, {}, {})


def read_edit(body: Body) -> ImageGeneration:
    """Read a body of the route that edits a picture.

    Raises:
        ApiError: 400, with the client's name of the field; 422, there is no picture.
    """
    given = GivenFields.collect(body, tables.EDIT)
    reference, media = _reference(given)
    if media is None:
        # As vLLM-Omni says it.
        raise ApiError(422, "Field 'image' or 'url' is required", param="image")
    mode: Mode = given.value("mode", implied_mode(Route.EDITS, media.kind))
    if Route.EDITS not in mode.row.routes:
        raise given.refusal("mode", f"is {mode.value}; this route edits a picture")
    return _image_generation(given, mode, {media.kind: media.content}, {media.kind: reference})


def _image_generation(given: GivenFields, mode: Mode, values: dict[str, Any], names: dict[str, str]) -> ImageGeneration:
    # As on other servers, an image without a seed gets a random one, while a video has a fixed default.
    values = values if "seed" in given else values | {"seed": secrets.randbits(32)}
    return ImageGeneration(
        **vars(_generation(given, mode, values, names)),
        n=given.value("num_outputs_per_prompt", 1),
        response_format=given.value("response_format", "b64_json"),
        output_format=given.value("output_format", "png"),
        output_compression=given.value("output_compression", 100),
    )


def _reference(given: GivenFields) -> tuple[str, Media | None]:
    """The client's name of the reference's field, and the reference."""
    present = [field for field in _REFERENCES if field in given]
    if len(present) > 1:
        reason = f"cannot be combined with {given.name(present[0])}; send one reference"
        raise given.refusal(present[1], reason)
    if not present:
        return _REFERENCES[0], None
    return given.name(present[0]), given.value(present[0])


def _mode(given: GivenFields, reference: str, media: Media | None, controlled: bool) -> Mode:
    kind = media.kind if media else None
    from_inputs = Mode.TRANSFER if controlled else implied_mode(Route.VIDEOS, kind)
    mode: Mode = given.value("mode", from_inputs)
    references = mode.row.routes.get(Route.VIDEOS)
    # A mode that no reference implies is accepted with any reference; `inputs` then checks what it needs.
    if references is None or (references and kind not in references):
        inputs = "no reference" if kind is None else f"a reference {kind}"
        raise given.refusal("mode", f"is {mode.value}; with {inputs} this route does {from_inputs.value}")
    if mode.row.given is Given.CONTROLS:
        if not controlled:
            reason = f"is {mode.value}, which follows controls; expected one, such as edge or control_reference"
            raise given.refusal("mode", reason)
        if kind == "image":
            reason = f"is an image; {mode.value} takes a video, where a control is computed from it"
            raise bad_field(RequestError(reference, reason))
    return mode


def _check_state(given: GivenFields) -> None:
    """Check other servers' fields about the robot's state against the state itself."""
    rows = len(given.value("state")) if "state" in given else 0
    if "use_state" in given and given.value("use_state") != bool(rows):
        word, found = str(given.value("use_state")).lower(), "is given" if rows else "is missing"
        raise given.refusal("use_state", f"is {word}, and {given.name('state')} {found}; send both or neither")
    if "history_length" in given and given.value("history_length") != rows:
        found = given.value("history_length")
        raise given.refusal("history_length", f"is {excerpt(found)}; expected {rows}, the number of rows of state")


def _merge_action_fps(given: GivenFields) -> None:
    """Use `action_fps` as `fps`, because the model has one rate for frames and actions."""
    if "action_fps" not in given:
        return
    if "fps" in given and given.value("fps") != given.value("action_fps"):
        reason = f"is {given.value('action_fps'):g} while fps is {given.value('fps'):g}; expected one rate for both"
        raise given.refusal("action_fps", reason)
    given.fields["fps"] = given.fields["action_fps"]


def _frames_of_seconds(given: GivenFields) -> int | None:
    fps = given.value("fps", VLLM_OMNI.video.fps)
    if "seconds" not in given or fps <= 0:
        return None
    frames: float = given.value("seconds") * fps
    if 1 <= frames <= MAX_FRAMES:
        return int(frames)
    if frames < 1:
        trouble, bound = "less than one frame", f"at least {1 / fps:g}"
    else:
        trouble, bound = f"more than {MAX_FRAMES} frames", f"at most {MAX_FRAMES / fps:g}"
    found = f"is {given.value('seconds'):g}, which is {trouble} at {fps:g} frames per second"
    raise given.refusal("seconds", f"{found}; expected {bound}")


def _generation(given: GivenFields, mode: Mode, values: dict[str, Any], names: Mapping[str, str]) -> Generation:
    """A generation of the given fields.

    Args:
        given: the body's fields.
        mode: what to generate.
        values: further fields of the core's request, which take precedence.
        names: the client's names of these.
    """
    if "prompt" not in given:
        raise ApiError(400, "prompt is missing; expected text", param="prompt")
    values = {field: given.value(field) for field in _REQUEST_FIELDS if field in given} | values
    names = {**{field: found.name for field, found in given.fields.items()}, **names}
    if given.value("size"):
        values["width"], values["height"] = given.value("size")
        names["width"] = names["height"] = given.name("size")
    try:
        request = GenerationRequest(mode=mode, **values)
    except ValidationError as error:
        raise bad_fields(error, names) from None
    if request.sound_duration is not None and not request.generate_sound and request.sound is None:
        given.ignore("sound_duration")
        request = request.model_copy(update={"sound_duration": None})
    upsamples = _upsamples(given, request)
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
        upsamples=upsamples,
        names=names,
    )


def _upsamples(given: GivenFields, request: GenerationRequest) -> bool:
    """Whether the prompt is to be upsampled; one that is structured already is used as it is, and the field ignored."""
    if not given.value(UPSAMPLE, False):
        return False
    if request.mode not in TEMPLATE_NAMES:
        modes = ", ".join(mode.value for mode in TEMPLATE_NAMES)
        raise given.refusal(UPSAMPLE, f"is not used by {request.mode.value}; expected mode {modes}")
    if parse_structured(request.prompt) is None:
        return True
    given.ignore(UPSAMPLE)
    return False


def header_safe(names: Iterable[str]) -> tuple[str, ...]:
    """Clients' names of fields in a form that is safe for a header: unique, shortened, and limited in number."""
    return tuple(_NOT_IN_HEADERS.sub("?", name[:NAME_CHARACTERS]) for name in dict.fromkeys(names))[:MAX_IGNORED]
