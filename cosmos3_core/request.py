"""The shared language: one typed request with modes, and the events it gives rise to.

It checks what can be checked from the request alone; what depends on the checkpoint or on the media is checked by
`resolve`. Media stay as given (path, bytes, picture, array) until `inputs` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from cosmos3_core.adapters.use import AdapterUses
from cosmos3_core.controls import Control, ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import MAX_FRAMES
from cosmos3_core.modes import MediaKind, Mode
from cosmos3_core.presets import NegativeMetadata
from cosmos3_core.sampling.schedule import ScheduleKind

FRAME_FIELDS: tuple[str, ...] = get_args(MediaKind)
"""The fields that hold conditioning frames, each named after the kind of media that it holds."""
MEDIA_FIELDS = (*FRAME_FIELDS, "sound")
"""The fields that hold media; controls hold theirs themselves."""
CONTROL_PREFIX = "control_"
MEDIA_NAMES = (*MEDIA_FIELDS, *(f"{CONTROL_PREFIX}{kind}" for kind in ControlKind))
"""The names of all media that a request can hold, as in `GenerationRequest.media`."""
MAX_PROMPT_CHARACTERS = 100_000
MAX_ACTION = 1000.0
DEFAULT_CHUNK = 16
SMALLEST_CHUNK = 4
MAX_CHUNK = MAX_FRAMES // 4 * 4 - 4
MAX_LONG_FRAMES = 5000
"""The most frames of a video that is made in parts."""


def _action_array(value: Any) -> NDArray[np.float32] | None:
    if value is None:
        return None
    try:
        with np.errstate(over="ignore"):
            rows = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError("must be a list of rows of numbers, all of one width") from error
    if rows.ndim == 3 and rows.shape[0] == 1:
        rows = rows[0]
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"must have shape [rows, width], got {list(rows.shape)}")
    if not np.isfinite(rows).all() or np.abs(rows).max() > MAX_ACTION:
        raise ValueError(f"must hold numbers from -{MAX_ACTION:g} to {MAX_ACTION:g}; actions are normalised")
    return rows


def _frame_indexes(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(value.split(","))
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else value


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must be text without lone surrogates") from error
    return text


def _in_order(controls: tuple[Control, ...]) -> tuple[Control, ...]:
    kinds = [control.kind for control in controls]
    if len(set(kinds)) < len(kinds):
        raise ValueError("must name each kind of control once")
    return tuple(sorted(controls, key=lambda control: list(ControlKind).index(control.kind)))


def _sorted(indexes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(indexes)))


ActionRows = Annotated[NDArray[np.float32] | None, BeforeValidator(_action_array)]
FrameIndexes = Annotated[
    tuple[Annotated[int, Field(ge=0, le=MAX_FRAMES)], ...],
    BeforeValidator(_frame_indexes),
    AfterValidator(_sorted),
    Field(min_length=1),
]
StageName = Literal["upsample", "encode", "denoise", "decode"]
Text = Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS), AfterValidator(_encodable)]
Tier = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class GenerationRequest(BaseModel):
    """What to generate. A field left out takes the number of the preset for the mode and the checkpoint's family.

    Attributes:
        mode: text2image, image2image, text2video, image2video, video2video, transfer, forward_dynamics,
            inverse_dynamics or policy.
        prompt: plain text, or a JSON object as text (the structured caption the checkpoints were trained on).
        negative_prompt: text of the unconditional branch; empty by default.
        image: conditioning image: path, encoded bytes, PIL image, or uint8 `[height, width, 3]`.
        video: conditioning video: path, encoded bytes, or uint8 `[frames, height, width, 3]`.
        sound: a soundtrack to follow: path or encoded bytes of a sound or video file, or fp32 `[2, samples]` at the
            checkpoint's rate. It is cut or padded to the video.
        action: `[rows, width]` robot actions in the model's normalised space, for forward dynamics.
        width, height: frame size in pixels, multiples of 16; together or not at all.
        resolution, aspect_ratio: a size tier such as "480" with a ratio such as "16,9", instead of width and height.
            For actions `resolution` alone picks the canvas nearest to the input.
        num_frames: rounded up to 4k + 1. For actions it follows from `action_chunk_size`.
        fps: frames per second, 1 to 60.
        num_inference_steps, guidance_scale, guidance_interval, flow_shift, schedule: the sampler. The interval is in
            timesteps, 0 to 1000.
        seed: of the initial noise.
        generate_sound, sound_duration: a soundtrack, and its length in seconds (default: the video's).
        condition_frame_indexes_vision: latent frames a conditioning video fixes.
        condition_video_keep: which end of a longer conditioning video is used.
        controls: the controls of transfer.
        control_guidance, control_guidance_interval: how strongly the controls pull, and where (in timesteps).
        num_video_frames_per_chunk: length of the parts that a long transfer is made in.
        num_conditional_frames: how many frames each part takes over from the one before it.
        num_first_chunk_conditional_frames: how many frames the first part takes from `video`.
        max_frames: a longer control is cut.
        share_vision_temporal_positions: whether controls have the same time positions as what is generated.
        emphasize_control_in_prompt: whether the prompt says that the controls are to be followed.
        domain_name, domain_id, raw_action_dim: the embodiment; the id wins; the width is needed where no table has it.
        action_chunk_size: number of transitions that are made together; the video has one frame more. A longer
            `num_frames`, or more given actions, are made in several chunks that follow each other.
        state: `[rows, width]` the robot's state as the last row, and its history before it, for policy.
        view_point: which camera the action caption names.
        preset: which implementation's defaults and conventions apply.
        adapters: those of the operator's adapters to use, each with its weight; none where it is empty. Without it,
            the operator's defaults apply.
        use_system_prompt, system_prompt: the system message of the chat the prompt is put in.
        use_resolution_template, use_duration_template, negative_metadata_mode: sentences about size and length.
        max_sequence_length: prompt tokens beyond it are cut.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    mode: Mode
    prompt: Text
    negative_prompt: Text | None = None
    image: Any = None
    video: Any = None
    sound: Any = None
    action: ActionRows = None
    width: Annotated[int, Field(gt=0)] | None = None
    height: Annotated[int, Field(gt=0)] | None = None
    resolution: Tier | None = None
    aspect_ratio: Annotated[str, Field(pattern=r"^[1-9]\d{0,2}[,:][1-9]\d{0,2}$")] | None = None
    num_frames: Annotated[int, Field(ge=1)] | None = None
    fps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    num_inference_steps: Annotated[int, Field(ge=1, le=200)] | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)] | None = None
    guidance_interval: tuple[float, float] | None = None
    flow_shift: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    schedule: ScheduleKind | None = None
    seed: Seed = 42
    generate_sound: bool = False
    sound_duration: Annotated[float, Field(ge=0.04, allow_inf_nan=False)] | None = None
    condition_frame_indexes_vision: FrameIndexes = (0, 1)
    condition_video_keep: Literal["first", "last"] = "first"
    controls: Annotated[tuple[Control, ...], AfterValidator(_in_order)] = ()
    control_guidance: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = None
    control_guidance_interval: tuple[float, float] | None = None
    num_video_frames_per_chunk: Annotated[int, Field(ge=1, le=MAX_FRAMES)] | None = None
    num_conditional_frames: Annotated[int, Field(ge=0, le=MAX_FRAMES)] | None = None
    num_first_chunk_conditional_frames: Annotated[int, Field(ge=0, le=MAX_FRAMES)] | None = None
    max_frames: Annotated[int, Field(ge=1, le=MAX_LONG_FRAMES)] | None = None
    share_vision_temporal_positions: bool | None = None
    emphasize_control_in_prompt: bool | None = None
    domain_name: str | None = None
    domain_id: int | None = None
    raw_action_dim: Annotated[int, Field(ge=1)] | None = None
    action_chunk_size: Annotated[int, Field(ge=1)] | None = None
    state: ActionRows = None
    view_point: str = "ego_view"
    preset: str = "vllm-omni"
    adapters: AdapterUses | None = None
    use_system_prompt: bool | None = None
    system_prompt: Text | None = None
    use_resolution_template: bool | None = None
    use_duration_template: bool | None = None
    negative_metadata_mode: NegativeMetadata | None = None
    max_sequence_length: Annotated[int, Field(ge=1)] | None = None

    def to_fields(self) -> dict[str, Any]:
        """The fields that were given, JSON-able, without media."""
        exclude: Any = dict.fromkeys(MEDIA_FIELDS, True) | {"controls": {"__all__": {"video"}}}
        given = self.model_dump(exclude=exclude, exclude_unset=True)
        for name in ("action", "state"):
            rows = getattr(self, name)
            if rows is not None:
                given[name] = rows.tolist()
        fields: dict[str, Any] = json.loads(json.dumps(given))
        return fields

    def used_controls(self) -> tuple[Control, ...]:
        """The controls that are used, without their videos; one of weight 0 is as if it was not given."""
        return tuple(control.model_copy(update={"video": None}) for control in self.controls if control.weight > 0)

    def media(self) -> dict[str, Any]:
        """The media that are used, by name: their field's, or `control_` and the kind of the control."""
        given = {name: getattr(self, name) for name in MEDIA_FIELDS}
        given |= {f"{CONTROL_PREFIX}{control.kind}": control.video for control in self.controls if control.weight > 0}
        return {name: source for name, source in given.items() if source is not None}

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any], media: Mapping[str, Any]) -> GenerationRequest:
        """The request of what `to_fields` and `media` returned, with the media in any form that is accepted."""
        controls = [
            control | {"video": media.get(f"{CONTROL_PREFIX}{control['kind']}")}
            for control in fields.get("controls", ())
        ]
        sources = {name: source for name, source in media.items() if name in MEDIA_FIELDS}
        return cls(**{**fields, **sources, **({"controls": controls} if controls else {})})

    def action_chunks(self) -> tuple[int, int]:
        """Number of actions that are made together, and how many times.

        The chunk is as asked, or as long as `num_frames` or the given actions imply, or 16. There are several where
        `num_frames` asks for more frames than one chunk has or, without it, where more actions are given.

        Raises:
            RequestError: the chunk is not a multiple of 4, or at odds with `num_frames`.
        """
        chunk, frames = self.action_chunk_size, self.num_frames
        if chunk is None and frames is not None:
            chunk = frames - 1 if frames % 4 == 1 else frames
        if chunk is None and self.action is not None:
            chunk = -(-len(self.action) // 4) * 4
        chunk = DEFAULT_CHUNK if chunk is None else chunk
        if chunk % SMALLEST_CHUNK or not SMALLEST_CHUNK <= chunk <= MAX_CHUNK:
            if self.action_chunk_size is None and frames is not None:
                raise RequestError("num_frames", f"is {frames}; expected 4k + 1 from 5 to {MAX_CHUNK + 1} with actions")
            raise RequestError("action_chunk_size", f"is {chunk}; expected a multiple of 4 from 4 to {MAX_CHUNK}")
        if frames is None:
            return chunk, self._chunks_of_action(chunk)
        if frames in (chunk, chunk + 1):
            return chunk, 1
        if frames % chunk != 1 or not chunk < frames <= MAX_LONG_FRAMES:
            reason = (
                f"is {frames}; expected {chunk + 1} for {chunk} actions, a multiple of {chunk} and 1 more for several"
            )
            raise RequestError("num_frames", f"{reason} chunks (at most {MAX_LONG_FRAMES}), or leave it out")
        return chunk, frames // chunk

    def _chunks_of_action(self, chunk: int) -> int:
        """How many chunks the given actions fill; one without any."""
        rows = 1 if self.action is None else len(self.action)
        count = -(-rows // chunk)
        if count > 1 and chunk * count + 1 > MAX_LONG_FRAMES:
            raise RequestError("action", f"has {rows} rows; expected at most {(MAX_LONG_FRAMES - 1) // chunk * chunk}")
        return count


@dataclass(frozen=True)
class Started:
    """A stage begins."""

    stage: StageName


@dataclass(frozen=True)
class Step:
    """A denoising step is done.

    Attributes:
        index: 1-based number of the step.
        count: number of steps of the request.
        seconds: what this step took.
        seconds_left: estimate for the remaining steps.
    """

    index: int
    count: int
    seconds: float
    seconds_left: float

    def within(self, part: int, parts: int) -> Step:
        """The same step among those of all parts, which have equally many."""
        later = (parts - part - 1) * self.count
        left = self.count - self.index
        each = self.seconds_left / left if left else self.seconds
        return Step(part * self.count + self.index, parts * self.count, self.seconds, self.seconds_left + later * each)


@dataclass(frozen=True)
class Finished:
    """A stage is done, with its wall time."""

    stage: StageName
    seconds: float


Event = Started | Step | Finished
