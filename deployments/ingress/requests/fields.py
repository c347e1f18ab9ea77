"""The fields of the generation routes: which are accepted, under which names, and why others are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos3_core.geometry import EDIT_SIDE
from cosmos3_core.modes import MediaKind, Mode, Route, offered_on
from deployments.ingress.requests import coercions as read
from deployments.ingress.requests import control_fields, foreign_fields
from deployments.ingress.requests.adapters import adapters
from deployments.ingress.requests.coercions import Coercion, JsonSchema
from deployments.ingress.requests.nested_urls import flat
from deployments.ingress.requests.references import (
    ADDRESS_PATTERN,
    PIXEL,
    SILENCE,
    URL_KEYS,
    VISUAL,
    FileKind,
    Media,
    read_reference,
    read_sound,
)
from deployments.wire.control_names import PRESETS, WEIGHT
from deployments.wire.data_uri import EXAMPLE
from deployments.wire.upsampling import FIELD as UPSAMPLE

FILLER = "video_params"
"""The name of an object of further fields. Fields outside of it take precedence."""
CONTAINERS = ("extra_args", "extra_params")
"""The names of objects of further fields. They take precedence over fields outside, the later over the earlier."""
MERGED = ("extra_body", "extra_json")
"""The names of objects whose fields count as if they were outside, as SGLang's client sends them in forms."""

ADDRESSES = {
    "vision_path": "input_reference",
    "reference_url": "input_reference",
    "image_path": "image_reference",
    "image_url": "image_reference",
    "video_path": "video_reference",
    "video_url": "video_reference",
    "sound_path": "audio_reference",
}
"""Other servers' names of references that are addresses; each may be sent any other way as well."""
ALIASES = ADDRESSES | {
    "steps": "num_inference_steps",
    "num_steps": "num_inference_steps",
    "guidance": "guidance_scale",
    "shift": "flow_shift",
    "num_output_frames": "num_frames",
    "enable_sound": "generate_sound",
    "sound_gen": "generate_sound",
    "enable_audio": "generate_sound",
    "audio_duration": "sound_duration",
    "use_guardrails": "guardrails",
    "enable_safety_checker": "guardrails",
    "condition_video_latent_indexes": "condition_frame_indexes_vision",
    "n": "num_outputs_per_prompt",
    "image_size": "resolution",
    "deterministic_seed": "seed",
    "conditioning_fps": "action_fps",
    "model_mode": "mode",
    "action_mode": "mode",
    "action_horizon": "action_chunk_size",
    "action_view_point": "view_point",
    "image": "input_reference",
    "images": "input_reference",
    "video": "input_reference",
    "input_references": "input_reference",
    "sound_reference": "audio_reference",
    "input_audio": "audio_reference",
    "webhook": "webhook_url",
    "callback_url": "webhook_url",
    "lora": "adapters",
    "num_images_per_prompt": "num_outputs_per_prompt",
    "num_videos_per_prompt": "num_outputs_per_prompt",
    "format": "output_format",
}

EMPTY_MEANS_NONE = frozenset({"adapters"})
"""Fields in which null, an empty list or an empty object differs from leaving them out."""
MEANT_EMPTY = frozenset(control_fields.HINTS)
"""Fields that mean something as an empty object: a control with its defaults. A form may also hold them as files."""

COSMETIC = frozenset(
    {
        "user",
        "generator_device",
        "vae_use_tiling",
        "vae_use_slicing",
        "true_cfg_scale",
        "guidance_scale_2",
        "boundary_ratio",
        "frame_interpolation_exp",
        "frame_interpolation_scale",
        "frame_interpolation_model_path",
        "preencode_mp4",
        "preencode_batch_frames",
    }
)
"""Fields of other servers that do not change what Cosmos 3 generates."""

_INSIDE = "belongs to one control; send it inside of that, such as edge: {control_weight: 0.5}"
_EDITING = "belongs to models that change a part of their input, which Cosmos 3 does not"
_OBSERVATION = "is not taken by this route; send an image as input_reference"
_NO_IMAGE = "is not used by this route, which makes images from text; ask for a video"
_NO_PICTURE = "is not used by this route, which makes images from text; POST /v1/images/edits edits a picture"
_NO_EDIT = "is not used by this route, which edits a picture; ask for a video"
_MASK = "is not used by Cosmos 3, which edits by text only; say in the prompt what is to change"
_REFUSED = {
    **dict.fromkeys(("control", WEIGHT, *PRESETS.values()), _INSIDE),
    **dict.fromkeys(control_fields.OVERLAYS, control_fields.NO_OVERLAY),
    **dict.fromkeys(("action_path", control_fields.PATH_KEY), control_fields.PATH),
    **dict.fromkeys(("source_video", "source_audio", "video_noise_mask", "audio_noise_mask"), _EDITING),
    **dict.fromkeys(("mask", "mask_image", "reference_image"), _EDITING),
    **dict.fromkeys(("observation", "robot_obs"), _OBSERVATION),
    "enable_frame_interpolation": "is not served; ask for the frames with num_frames and fps",
    **foreign_fields.REFUSED,
}


def _urls(kinds: Sequence[FileKind]) -> list[JsonSchema]:
    """Schemas of a data URI or a URL, and of an object with one under the name of its kind."""
    address: JsonSchema = {"type": "string", "pattern": ADDRESS_PATTERN}
    wrapped: list[JsonSchema] = [
        {"type": "object", "properties": {key: address}, "required": [key], "additionalProperties": False}
        for key, promised in URL_KEYS.items()
        if promised in kinds
    ]
    return [address, *wrapped]


def _reference(kind: MediaKind | None = None) -> Coercion[Media | None]:
    what = kind or "image or video"
    description = f"The {what} to start from: an upload in a form, {EXAMPLE}, or a URL. Send one reference."
    examples = [] if kind == "video" else [PIXEL]
    return Coercion(
        lambda value: read_reference(flat(value), kind=kind),
        {
            "description": description,
            "anyOf": _urls(VISUAL if kind is None else (kind,)),
            "examples": examples,
        },
        takes_file=True,
    )


_SOUND = Coercion(
    read_sound,
    {
        "description": "The soundtrack to follow: a sound or video file, as an upload in a form, a data URI or a URL.",
        "anyOf": _urls(("audio",)),
        "examples": [SILENCE, {"audio_url": SILENCE}],
    },
    takes_file=True,
)


def _mode(route: Route) -> Coercion[Mode]:
    names = [mode.value for mode in offered_on(route)]
    return read.mode.with_schema("What to generate; by default, what the inputs imply.", enum=names)


_COUNT = "How many to generate."
_COMMON: dict[str, Coercion[Any]] = {
    "prompt": read.text,
    "model": read.text.with_schema("Name of a served model; by default the first one that can do it."),
    "negative_prompt": read.text,
    "size": read.size.with_schema(
        "Width and height in pixels, floored to multiples of 16; takes precedence over width and height."
    ),
    "width": read.whole,
    "height": read.whole,
    "resolution": read.tier,
    "aspect_ratio": read.text.with_schema(examples=["16,9"]),
    "fps": read.number,
    "num_frames": read.whole,
    "num_inference_steps": read.whole,
    "guidance_scale": read.number,
    "guidance_interval": read.interval,
    "flow_shift": read.number,
    "schedule": read.text,
    "seed": read.seed,
    "deterministic_seed": read.deterministic_seed.with_schema("The seed, or a boolean, which is ignored."),
    "max_sequence_length": read.whole,
    "preset": read.text,
    "adapters": adapters,
    "use_system_prompt": read.flag,
    "system_prompt": read.text,
    "use_resolution_template": read.flag,
    "use_duration_template": read.flag,
    "negative_metadata_mode": read.text,
    "guardrails": read.flag.with_schema("False switches them off; see the answer's X-Guardrails."),
    "return_stage_metrics": read.flag.with_schema("Adds the bytes passed from stage to stage to the answer's metrics."),
    "service_class": read.choice(interactive="interactive", standard="standard", batch="batch").with_schema(
        "How urgent the request is; by default interactive if the client waits, else standard."
    ),
}
_VIDEO_ONLY: dict[str, Coercion[Any]] = {
    "input_reference": _reference(),
    "image_reference": _reference("image"),
    "video_reference": _reference("video"),
    "audio_reference": _SOUND,
    **control_fields.FIELDS,
    "generate_sound": read.flag,
    "sound_duration": read.number,
    "condition_frame_indexes_vision": read.whole_numbers,
    "condition_video_keep": read.text,
    "mode": _mode(Route.VIDEOS),
    "action_mode": read.action_mode.with_schema("The mode, if it is one with actions."),
    "action": read.rows,
    "action_chunk_size": read.whole,
    "action_fps": read.number.with_schema("The same as fps: frames and actions have one rate.", exclusiveMinimum=0),
    "domain_name": read.text,
    "domain_id": read.whole,
    "raw_action_dim": read.whole,
    "state": read.row_or_rows,
    "use_state": read.flag.with_schema("Whether `state` is given.", examples=[False]),
    "history_length": read.whole.with_schema("The number of rows of `state`.", minimum=0, examples=[0]),
    "view_point": read.text,
    "webhook_url": read.text.with_schema("URL that gets a signed POST when the job ends; only for POST /v1/videos."),
    "seconds": read.seconds.with_schema("Length of the video, if num_frames is not given."),
}


_UPSAMPLE = read.flag.with_schema(
    "Whether the model's Reasoner first writes a structured prompt from this one; text2image, text2video and "
    "image2video only. A prompt that is a JSON object already is used as it is.",
    default=False,
)
_NO_UPSAMPLING = "is not used by this route, whose prompts are instructions; leave it out"


@dataclass(frozen=True)
class Schema:
    """The fields of one route.

    Attributes:
        accepted: how each accepted field is read.
        refused: why each refused field is refused.
    """

    accepted: Mapping[str, Coercion[Any]]
    refused: Mapping[str, str]

    def coercion(self, name: str) -> Coercion[Any] | None:
        """How a field is read, by its name or an alias; None if it is not accepted."""
        return self.accepted.get(name) or self.accepted.get(ALIASES.get(name, name))

    @property
    def files(self) -> tuple[str, ...]:
        """The names of fields that a form may send as files."""
        return tuple(name for name, coercion in self.accepted.items() if coercion.takes_file)

    def refusal(self, name: str) -> str | None:
        """Why a field is refused, by its name or an alias; None if it is not."""
        return self.refused.get(name) or self.refused.get(ALIASES.get(name, name))


VIDEO = Schema(
    _COMMON
    | _VIDEO_ONLY
    | {
        UPSAMPLE: _UPSAMPLE,
        "num_outputs_per_prompt": foreign_fields.one_video,
        "output_format": foreign_fields.video_format,
        "response_format": foreign_fields.video_answer,
        "quality": read.choice(standard="standard", auto="standard", high="high", lossless="lossless").with_schema(
            "Quality of the MP4; not every player supports lossless ones."
        ),
    },
    _REFUSED,
)
_NOT_OF_ACTIONS = {"audio_reference", "output_format", "response_format", UPSAMPLE, *control_fields.FIELDS}
ACTION = Schema(
    {
        **{name: coercion for name, coercion in VIDEO.accepted.items() if name not in _NOT_OF_ACTIONS},
        **dict.fromkeys(("mode", "action_mode"), _mode(Route.ACTIONS)),
        "num_outputs_per_prompt": read.within(1, 1).with_schema(_COUNT),
        "quality": read.choice(standard="standard", auto="standard").with_schema(
            "Without effect: the answer has no file."
        ),
        "candidate_count": read.within(1, 1).with_schema("How many predictions to make."),
    },
    _REFUSED
    | {"noise": "is not taken; the noise follows from seed"}
    | dict.fromkeys(_NOT_OF_ACTIONS, "is not used by this route, which predicts actions; POST /v1/videos takes it"),
)
_IMAGES: dict[str, Coercion[Any]] = _COMMON | {
    "seed": read.seed.with_schema(
        "Seed of the first image; each further image takes the next one. By default it is drawn.", default=None
    ),
    "use_system_prompt": read.image_system_prompt_switch.with_schema(
        "Whether the model gets a system message; names of prompt styles are ignored."
    ),
    "num_outputs_per_prompt": read.within(1, 10).with_schema(_COUNT, default=1),
    "response_format": read.choice(b64_json="b64_json", file="file").with_schema(
        "Base64 in JSON, or the file itself, which is a ZIP for several images.", default="b64_json"
    ),
    "output_format": read.choice(png="png", jpeg="jpeg", jpg="jpeg", webp="webp").with_schema(
        "Format of each image.", default="png"
    ),
    "output_compression": read.within(0, 100).with_schema("Quality of JPEG and WEBP.", default=100),
    "background": foreign_fields.background,
}
_PICTURE = _reference("image").with_schema(
    f"The picture to edit, which is required: an upload in a form, {EXAMPLE}, or a URL."
)
_PICTURES = {
    **dict.fromkeys(("image", "images", "input_reference", "image_reference"), _PICTURE),
    "url": _PICTURE.with_schema("The picture to edit, as a URL or a data URI."),
}
IMAGE = Schema(
    _IMAGES | {"mode": _mode(Route.IMAGES), UPSAMPLE: _UPSAMPLE},
    _REFUSED
    | dict.fromkeys(_VIDEO_ONLY.keys() - {"seconds", "mode"}, _NO_IMAGE)
    | dict.fromkeys(("input_reference", "image_reference"), _NO_PICTURE),
)
EDIT = Schema(
    _IMAGES
    | _PICTURES
    | {
        "mode": _mode(Route.EDITS),
        "size": read.size.with_schema(
            "Width and height in pixels, floored to multiples of 16; auto, the default, keeps the picture's aspect "
            f"with a longer side of {EDIT_SIDE}."
        ),
    },
    _REFUSED
    | dict.fromkeys(_VIDEO_ONLY.keys() - _PICTURES.keys() - {"seconds", "mode"}, _NO_EDIT)
    | {
        **dict.fromkeys(("mask", "mask_image"), _MASK),
        "reference_image": "is not used by Cosmos 3, which edits one picture; send it as image",
        "video": _NO_EDIT,
        UPSAMPLE: _NO_UPSAMPLING,
    },
)
