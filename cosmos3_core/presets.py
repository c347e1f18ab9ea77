"""Named sets of numbers and switches: what vLLM-Omni, diffusers and NVIDIA's framework do when nothing is said.

The implementations disagree in defaults and in small conventions (spec 5.8, 12). A preset is one column of that
table; a request's own values always win over it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from cosmos3_core.catalog import FAMILY_NUMBERS, Family, OwnActions, OwnNumbers
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas, floor_to_stride
from cosmos3_core.modes import Given, Mode, Output
from cosmos3_core.sampling.sampling import NoiseSource

NegativeMetadata = Literal["none", "same", "inverse"]

HD = Canvas(1280, 720)


@dataclass(frozen=True)
class ModeDefaults:
    """Numbers of one mode; see `catalog.OwnNumbers`.

    `flow_shift` None means the checkpoint's own schedule, `system_prompt` None what the preset says of the mode.
    """

    num_inference_steps: int
    guidance_scale: float
    flow_shift: float | None
    canvas: Canvas = HD
    tier: str = "720"
    num_frames: int = 189
    fps: float = 24.0
    guidance_interval: tuple[float, float] | None = None
    system_prompt: bool | None = None
    actions: OwnActions | None = None

    def with_own(self, own: OwnNumbers | None) -> ModeDefaults:
        """These numbers, with those of a checkpoint instead where it has any."""
        if own is None:
            return self
        given = {field.name: getattr(own, field.name) for field in fields(own)}
        return replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True)
class Preset:
    """Conventions of one implementation.

    Attributes:
        video, image, action: numbers per kind of mode.
        edit: numbers for editing an image.
        family_numbers: the numbers of a size class (`catalog.FAMILY_NUMBERS`) win over these.
        edge_frames: frames of a video of Edge.
        control_defaults: a kind of control has its own guidance (`controls`), which wins over that of videos.
        checkpoint_schedule: take the spacing from the checkpoint's scheduler config instead of `flow`.
        system_prompt: modes that get a system prompt; None means what the checkpoint's `model_index.json` says.
        metadata_sentences: append duration and resolution sentences to a plain prompt.
        json_metadata: a JSON prompt gets keys instead of sentences.
        json_aspect_ratio: write `aspect_ratio` into every JSON prompt, not only where it already stands.
        negative_metadata: what happens to the negative prompt.
        max_prompt_tokens: longer prompts are cut; None means never.
        noise: which generator draws the noise.
        guidance_only_above_one, guidance_interval_inclusive: see `sampling.guidance`.
        size_of_input: a request without a size keeps the aspect ratio of its image or video.
        resize: filter for conditioning images.
        crop_video: cover and crop a conditioning video, or stretch it.
        crop_action_latents: drop the latents of the canvas' padding.
        floor_action_source: shrink an action source to multiples of 16 first.
        exact_action_aspect: the action caption names the exact ratio instead of the nearest canonical one.
        trim_sound: cut the waveform to the video's length.
        verbatim_transfer: a transfer's prompts get neither metadata nor the directive to follow the controls.
    """

    name: str
    video: ModeDefaults
    image: ModeDefaults
    action: ModeDefaults
    edit: ModeDefaults
    family_numbers: bool
    control_defaults: bool
    checkpoint_schedule: bool
    system_prompt: tuple[Mode, ...] | None
    metadata_sentences: bool
    json_metadata: bool
    json_aspect_ratio: bool
    negative_metadata: NegativeMetadata
    max_prompt_tokens: int | None
    noise: NoiseSource
    guidance_only_above_one: bool
    guidance_interval_inclusive: bool
    size_of_input: bool
    resize: Literal["bilinear", "lanczos"]
    crop_video: bool
    crop_action_latents: bool
    floor_action_source: bool
    exact_action_aspect: bool
    trim_sound: bool
    verbatim_transfer: bool
    edge_frames: int = 189

    def action_source(self, width: int, height: int) -> tuple[int, int]:
        """Width and height an action source is brought to before it is fitted into its canvas."""
        return floor_to_stride(width, height) if self.floor_action_source else (width, height)

    def defaults(self, mode: Mode, family: Family) -> ModeDefaults:
        """The numbers of a mode for a checkpoint of a size class."""
        if mode.row.given is Given.PICTURE:
            return self.edit
        output = mode.row.output
        column = {Output.ROLLOUT: self.action, Output.IMAGE: self.image, Output.VIDEO: self.video}[output]
        own = FAMILY_NUMBERS.get(family, {}).get(output) if self.family_numbers else None
        if own is not None and mode.row.given is Given.CONTROLS:
            # The sampler's numbers of transfer are those of the controls, alike for all checkpoints (spec 9.4).
            own = OwnNumbers(canvas=own.canvas, tier=own.tier)
        column = column.with_own(own)
        return replace(column, num_frames=self.edge_frames) if family is Family.EDGE else column


_VIDEO = ModeDefaults(35, 6.0, 10.0)
_EDIT = ModeDefaults(35, 6.0, 5.0)
_ACTION = ModeDefaults(30, 1.0, 5.0, tier="480")

VLLM_OMNI = Preset(
    name="vllm-omni",
    video=_VIDEO,
    image=ModeDefaults(50, 7.0, 3.0, Canvas(1024, 1024), guidance_interval=(400.0, 1000.0)),
    action=_ACTION,
    edit=_EDIT,
    family_numbers=True,
    control_defaults=True,
    checkpoint_schedule=False,
    system_prompt=(Mode.VIDEO_TO_VIDEO, Mode.TRANSFER, Mode.IMAGE_TO_IMAGE),
    metadata_sentences=False,
    json_metadata=True,
    json_aspect_ratio=False,
    negative_metadata="inverse",
    max_prompt_tokens=4096,
    noise="torch",
    guidance_only_above_one=True,
    guidance_interval_inclusive=True,
    size_of_input=True,
    resize="lanczos",
    crop_video=True,
    crop_action_latents=False,
    floor_action_source=False,
    exact_action_aspect=False,
    trim_sound=True,
    verbatim_transfer=False,
)

DIFFUSERS = Preset(
    name="diffusers",
    video=replace(_VIDEO, flow_shift=None),
    image=replace(_VIDEO, flow_shift=None),
    action=replace(_ACTION, flow_shift=None),
    edit=replace(_EDIT, flow_shift=None),
    family_numbers=False,
    control_defaults=False,
    checkpoint_schedule=True,
    system_prompt=None,
    metadata_sentences=True,
    json_metadata=False,
    json_aspect_ratio=False,
    negative_metadata="inverse",
    max_prompt_tokens=None,
    noise="torch",
    guidance_only_above_one=False,
    guidance_interval_inclusive=True,
    size_of_input=False,
    resize="bilinear",
    crop_video=False,
    crop_action_latents=True,
    floor_action_source=True,
    exact_action_aspect=False,
    trim_sound=False,
    verbatim_transfer=True,
)

FRAMEWORK = Preset(
    name="framework",
    video=_VIDEO,
    image=ModeDefaults(50, 4.0, 3.0),
    action=replace(_ACTION, flow_shift=10.0, tier="256"),
    edit=_EDIT,
    family_numbers=True,
    control_defaults=True,
    checkpoint_schedule=False,
    system_prompt=(Mode.TRANSFER, Mode.IMAGE_TO_IMAGE),
    metadata_sentences=True,
    json_metadata=True,
    json_aspect_ratio=True,
    negative_metadata="same",
    max_prompt_tokens=None,
    noise="numpy",
    guidance_only_above_one=False,
    guidance_interval_inclusive=False,
    size_of_input=True,
    resize="bilinear",
    crop_video=True,
    crop_action_latents=True,
    floor_action_source=False,
    exact_action_aspect=True,
    trim_sound=False,
    verbatim_transfer=False,
    edge_frames=121,
)

PRESETS = {preset.name: preset for preset in (VLLM_OMNI, DIFFUSERS, FRAMEWORK)}


def find_preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        RequestError: no such preset.
    """
    if name not in PRESETS:
        raise RequestError("preset", f"is {name!r}; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
