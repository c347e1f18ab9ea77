"""The modes and shapes whose results are compared with diffusers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core import GenerationRequest
from cosmos3_core.sampling.schedule import ScheduleKind

STEPS = 8
GUIDANCE = 6.0
PROMPT = "a robot arm pours water from a jar into a glass on a wooden table."
NEGATIVE = "blurry, shaky, out of focus"
# 13 x 11 latent pixels: both sides are odd.
ODD = {"width": 208, "height": 176}
EVEN = {"width": 192, "height": 128}


@dataclass(frozen=True)
class Case:
    """One comparison: a request of ours, and what the reference is told besides."""

    name: str
    mode: str
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
        """A conditioning clip: the picture drifting sideways, a little longer than needed."""
        frames = max(self.chunk + 1 if self.is_action else 0, 11)
        wide = picture(self.source[0], self.source[1] + 4 * frames, seed=6)
        return np.stack([wide[:, 4 * i : 4 * i + self.source[1]] for i in range(frames)])

    @property
    def actions(self) -> NDArray[np.float32]:
        """Fewer rows than the chunk, so that the last one is repeated."""
        normal = np.random.default_rng(7).standard_normal((self.chunk - 1, self.width), dtype=np.float32)
        return np.asarray(0.4 * normal, dtype=np.float32)

    def request(self, seed: int) -> GenerationRequest:
        """The request, with diffusers' conventions."""
        fields: dict[str, Any] = {
            "mode": self.mode,
            "prompt": PROMPT,
            "negative_prompt": NEGATIVE,
            "fps": self.fps,
            "num_inference_steps": self.steps,
            "guidance_scale": GUIDANCE,
            "seed": seed,
            "generate_sound": self.sound,
            "preset": "diffusers",
            "schedule": self.schedule,
        }
        if self.schedule in (ScheduleKind.FLOW, ScheduleKind.LINSPACE):
            fields["flow_shift"] = 10.0
        if self.is_action:
            fields |= {"domain_name": self.domain, "action_chunk_size": self.chunk, "resolution": "256"}
        else:
            fields |= self.size | {"num_frames": self.num_frames}
        if self.mode in ("image2video", "forward_dynamics", "policy"):
            fields["image"] = self.image
        if self.mode in ("video2video", "inverse_dynamics"):
            fields["video"] = self.video
        if self.mode == "video2video":
            fields["condition_frame_indexes_vision"] = self.condition_frames
            fields["condition_video_keep"] = self.condition_keep
        if self.mode == "forward_dynamics":
            fields["action"] = self.actions
        return GenerationRequest(**fields)


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random colour with some fine structure."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((width, height))
    grain = rng.integers(-20, 20, (height, width, 3))
    return np.clip(np.asarray(coarse).astype(int) + grain, 0, 255).astype(np.uint8)


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


def cases_of(family: str) -> list[Case]:
    """The cases a family can do; Edge makes no sound, and its checkpoint ships no Karras levels."""
    every = CASES + SCHEDULE_CASES
    return every if family == "nano" else [c for c in every if not c.sound and c.schedule is not ScheduleKind.KARRAS]
