"""One comparison: a request of ours with its media and what it is compared with; those of the base modes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core import GenerationRequest
from cosmos3_core.sampling.schedule import ScheduleKind

STEPS = 8
GUIDANCE = 6.0
CONTROL_GUIDANCE = 1.5
FLOW_SHIFT = 10.0
FIXED_LEVELS = [1.0, 0.9375, 0.8333333, 0.625]
"""Noise levels of the distilled checkpoints (spec 5.6)."""
SAMPLING_RATE = 48_000
PROMPT = "a robot arm pours water from a jar into a glass on a wooden table."
NEGATIVE = "blurry, shaky, out of focus"
# 13 x 11 latent pixels: both sides are odd.
ODD = {"width": 208, "height": 176}
EVEN = {"width": 192, "height": 128}


class Oracle(StrEnum):
    """What a case is compared with."""

    PIPELINE = "pipeline"
    BLOCKS = "blocks"
    WEIGHTED = "weighted"
    COMPOSED = "composed"

    @property
    def meaning(self) -> str:
        """What it is, for readers of the page."""
        return _MEANINGS[self]


_MEANINGS = {
    Oracle.PIPELINE: "diffusers' `Cosmos3OmniPipeline`",
    Oracle.BLOCKS: "diffusers' modular blocks: its transfer loop, its distilled sampler",
    Oracle.WEIGHTED: (
        "diffusers' transfer blocks, in which the attention is replaced by a plain one that blends the controls by "
        "weight as spec 9.4 says, which diffusers does not (`tests/parity/oracles/weighted.py`)"
    ),
    Oracle.COMPOSED: (
        "diffusers' transformer, solver and codecs, around which the sequence, its positions and what is given are "
        "composed by the spec's formulas, for what diffusers does not offer (`tests/parity/oracles/composed.py`)"
    ),
}


@dataclass(frozen=True)
class Case:
    """One comparison: a request of ours, and what the reference is told besides.

    Attributes:
        num_frames: of the output; for transfer that of the controls.
        sound: whether a soundtrack is generated.
        soundtrack: whether one is given.
        width: of the actions.
        source: height and width of the conditioning media.
        distilled: whether the checkpoint is a distilled one.
        controls: kind and weight of each.
        part_frames: length of the parts of a transfer; None makes it in one.
        opening: how many frames the first part of a transfer takes from a video.
        state_rows: rows of the robot's state and of its history.
        own_width: whether the request says how wide the actions are.
    """

    name: str
    mode: str
    oracle: Oracle = Oracle.PIPELINE
    size: dict[str, int] = field(default_factory=lambda: dict(ODD))
    num_frames: int | None = 9
    fps: float = 16.0
    sound: bool = False
    condition_frames: tuple[int, ...] = (0, 1)
    condition_keep: Literal["first", "last"] = "first"
    domain: str | None = None
    chunk: int = 8
    width: int = 0
    source: tuple[int, int] = (176, 208)
    schedule: ScheduleKind | None = None
    steps: int = STEPS
    soundtrack: bool = False
    distilled: bool = False
    controls: tuple[tuple[str, float], ...] = ()
    part_frames: int | None = None
    opening: int = 0
    state_rows: int = 0
    own_width: bool = False

    @property
    def needs_sound(self) -> bool:
        """Whether the checkpoint must have sound weights."""
        return self.sound or self.soundtrack

    @property
    def is_action(self) -> bool:
        """Whether the case has actions."""
        return self.domain is not None

    @property
    def image(self) -> NDArray[np.uint8]:
        """A conditioning picture whose sides differ from the canvas."""
        height, width = self.source
        return picture(height, width, seed=5)

    @property
    def video(self) -> NDArray[np.uint8]:
        """A conditioning clip, a little longer than needed."""
        return drifting(max(self.chunk + 1 if self.is_action else 0, 11), self.source, seed=6)

    def control(self, kind: str) -> NDArray[np.uint8]:
        """A control video: any clip will do."""
        assert self.num_frames is not None
        return drifting(self.num_frames, self.source, seed=20 + [name for name, _ in self.controls].index(kind))

    @property
    def waveform(self) -> NDArray[np.float32]:
        """A given soundtrack shorter than the video, `[2, samples]`: two tones that fade, and a little noise."""
        seconds = np.arange(int(0.4 * SAMPLING_RATE)) / SAMPLING_RATE
        tones = np.stack([np.sin(2 * np.pi * pitch * seconds) for pitch in (220.0, 331.0)])
        noise = np.random.default_rng(9).standard_normal(tones.shape)
        return np.asarray(0.5 * tones * np.exp(-3 * seconds) + 0.02 * noise, dtype=np.float32)

    @property
    def actions(self) -> NDArray[np.float32]:
        """Fewer rows than the chunk, so that the last one is repeated."""
        normal = np.random.default_rng(7).standard_normal((self.chunk - 1, self.width), dtype=np.float32)
        return np.asarray(0.4 * normal, dtype=np.float32)

    @property
    def state(self) -> NDArray[np.float32]:
        """The robot's state as the last row, and its history before it."""
        normal = np.random.default_rng(8).standard_normal((self.state_rows, self.width), dtype=np.float32)
        return np.asarray(0.4 * normal, dtype=np.float32)

    def request(self, seed: int) -> GenerationRequest:
        """The request, with diffusers' conventions."""
        fields: dict[str, Any] = {
            "mode": self.mode,
            "prompt": PROMPT,
            "fps": self.fps,
            "seed": seed,
            "generate_sound": self.sound,
            "preset": "diffusers",
            **self._sampler(),
            **self._shape(),
            **self._media(),
        }
        if self.mode == "video2video":
            fields["condition_frame_indexes_vision"] = self.condition_frames
            fields["condition_video_keep"] = self.condition_keep
        if self.mode == "image2image":
            # The edit's own conventions are the framework's; its prompts are compared without sentences on the size.
            fields |= {"preset": "framework", "use_resolution_template": False}
        return GenerationRequest(**fields)

    def _sampler(self) -> dict[str, Any]:
        if self.distilled:
            return {}
        fields: dict[str, Any] = {
            "negative_prompt": NEGATIVE,
            "num_inference_steps": self.steps,
            "guidance_scale": GUIDANCE,
            "schedule": self.schedule,
        }
        if self.schedule in (ScheduleKind.FLOW, ScheduleKind.LINSPACE):
            fields["flow_shift"] = FLOW_SHIFT
        if self.controls:
            fields["control_guidance"] = CONTROL_GUIDANCE
        return fields

    def _shape(self) -> dict[str, Any]:
        if self.is_action:
            wide = {"raw_action_dim": self.width} if self.own_width else {}
            return {"domain_name": self.domain, "action_chunk_size": self.chunk, "resolution": "256", **wide}
        if self.controls:
            parts = {"num_video_frames_per_chunk": self.part_frames, "num_first_chunk_conditional_frames": self.opening}
            return self.size | parts
        return self.size | {"num_frames": self.num_frames}

    def _media(self) -> dict[str, Any]:
        media: dict[str, Any] = {}
        if self.mode in ("image2image", "image2video", "forward_dynamics", "policy"):
            media["image"] = self.image
        if self.mode in ("video2video", "inverse_dynamics") or self.opening:
            media["video"] = self.video
        if self.mode == "forward_dynamics":
            media["action"] = self.actions
        if self.soundtrack:
            media["sound"] = self.waveform
        if self.state_rows:
            media["state"] = self.state
        if self.controls:
            given = [{"kind": kind, "weight": weight, "video": self.control(kind)} for kind, weight in self.controls]
            media["controls"] = given
        return media


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random colour with some fine structure."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    grain = rng.integers(-20, 20, (height, width, 3))
    return np.clip(np.asarray(coarse).astype(int) + grain, 0, 255).astype(np.uint8)


def drifting(frames: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """A picture that drifts sideways, uint8 `[frames, height, width, 3]`."""
    wide = picture(size[0], size[1] + 4 * frames, seed)
    return np.stack([wide[:, 4 * i : 4 * i + size[1]] for i in range(frames)])


CASES = [
    Case("t2i", "text2image", num_frames=1),
    Case("t2v", "text2video"),
    Case("t2v 24 fps, even sides", "text2video", size=dict(EVEN), fps=24.0),
    Case("i2v", "image2video", source=(300, 250)),
    Case("v2v frames 0,1", "video2video", num_frames=13),
    Case("v2v frames 0,2, last", "video2video", num_frames=13, condition_frames=(0, 2), condition_keep="last"),
    Case("t2v with sound", "text2video", sound=True),
    Case("i2v with sound", "image2video", sound=True),
    Case("forward dynamics", "forward_dynamics", domain="av", width=9),
    Case("inverse dynamics", "inverse_dynamics", domain="bridge_orig_lerobot", width=10),
    Case("policy, 9 wide", "policy", domain="camera_pose", width=9, source=(150, 333)),
    Case("policy, 10 wide", "policy", domain="umi", width=10),
    Case("policy, 29 wide", "policy", domain="agibotworld", width=29, source=(400, 260)),
    Case("policy, 57 wide", "policy", domain="hand_pose", width=57),
]
SCHEDULE_CASES = [
    Case(f"{name}, {kind.value} schedule", mode, schedule=kind, steps=10)
    for kind in (ScheduleKind.FLOW, ScheduleKind.LINSPACE, ScheduleKind.KARRAS)
    for name, mode in (("t2v", "text2video"), ("i2v", "image2video"))
]
