"""All cases: the base modes, and those of transfer, distillation, editing, given sound, states and embodiments."""

from __future__ import annotations

from itertools import cycle
from typing import Any

from cosmos3_core.sampling.schedule import ScheduleKind
from tests.parity.cases import CASES, FIXED_LEVELS, SCHEDULE_CASES, Case, Oracle

SMALL = {"width": 112, "height": 80}
"""7 x 5 latent pixels: both sides are odd, and every forward pass is cheap."""
SMALL_SOURCE = (90, 130)
OWN_SIZE: dict[str, int] = {}
"""The size of an edit follows from its image."""


def _transfer(name: str, controls: tuple[tuple[str, float], ...], num_frames: int, **fields: Any) -> Case:
    """A transfer; its schedule is named, because diffusers' transfer ignores `use_native_flow_schedule`."""
    fields = {"oracle": Oracle.BLOCKS, "size": SMALL, "schedule": ScheduleKind.LINSPACE} | fields
    return Case(f"transfer, {name}", "transfer", controls=controls, num_frames=num_frames, **fields)


TRANSFER_CASES = [
    _transfer("one control", (("edge", 1.0),), 11),
    _transfer("three parts", (("edge", 1.0),), 20, part_frames=9),
    _transfer("two parts, the first from a video", (("seg", 1.0),), 13, part_frames=9, opening=5),
    _transfer("two weighted controls", (("edge", 0.5), ("depth", 2.0)), 5, oracle=Oracle.WEIGHTED),
]
DISTILLED_CASES = [
    Case(
        f"4 steps, {name}",
        mode,
        Oracle.BLOCKS,
        size=SMALL,
        num_frames=frames,
        distilled=True,
        steps=len(FIXED_LEVELS),
    )
    for name, mode, frames in (("t2i", "text2image", 1), ("t2v", "text2video", 9), ("i2v", "image2video", 9))
]
EDIT_CASES = [
    Case("image edit", "image2image", Oracle.COMPOSED, size=SMALL, num_frames=1, schedule=ScheduleKind.FLOW),
    Case(
        "image edit, size of its image",
        "image2image",
        Oracle.COMPOSED,
        size=OWN_SIZE,
        num_frames=1,
        source=(150, 111),
        schedule=ScheduleKind.FLOW,
    ),
]
SOUNDTRACK_CASES = [
    Case("t2v to a soundtrack", "text2video", Oracle.COMPOSED, size=SMALL, soundtrack=True),
    Case("i2v to a soundtrack", "image2video", Oracle.COMPOSED, size=SMALL, soundtrack=True),
]
STATE_CASES = [
    Case(
        f"policy, 8 wide, {name}",
        "policy",
        Oracle.COMPOSED,
        domain="droid_lerobot",
        width=8,
        own_width=True,
        state_rows=rows,
        source=SMALL_SOURCE,
    )
    for name, rows in (("state", 1), ("state and history", 3))
]
# Name, domain and width (spec 8.1) of the embodiments that the cases above leave out.
_EMBODIMENTS_OF_DIFFUSERS = (
    ("pusht", 4, 2),
    ("droid_lerobot", 8, 10),
    ("robomind-franka", 8, 10),
    ("galbot", 9, 30),
    ("robomind-franka-dual", 12, 20),
    ("robomind-ur", 13, 10),
    ("agibot_gear_gripper", 15, 29),
    ("agibot_gear_gripper_ext", 15, 29),
    ("fractal", 20, 10),
)
_OTHER_EMBODIMENTS = (
    ("no_action", 0, 4),
    ("libero", 5, 7),
    ("embodiment_b", 9, 30),
    ("embodiment_c_gripper", 15, 29),
    ("embodiment_c_gripper_ext", 15, 29),
    ("xdof_yam", 16, 20),
    ("molmoact2_yam", 16, 20),
    ("abc_yam", 16, 20),
    ("robotwin", 17, 14),
    ("drawanything", 21, 3),
    ("behavior1k_lerobot", 22, 23),
    ("maniparena", 23, 20),
)
DOMAINS = {name: domain for name, domain, _ in (*_EMBODIMENTS_OF_DIFFUSERS, *_OTHER_EMBODIMENTS)}
_ACTION_MODES = {"policy": "policy", "fd": "forward_dynamics", "id": "inverse_dynamics"}
EMBODIMENT_CASES = [
    Case(
        f"{short}, {name}",
        _ACTION_MODES[short],
        oracle,
        domain=name,
        width=width,
        own_width=name in ("no_action", "libero"),
        chunk=4,
        source=SMALL_SOURCE,
        steps=4,
    )
    for oracle, names in ((Oracle.PIPELINE, _EMBODIMENTS_OF_DIFFUSERS), (Oracle.COMPOSED, _OTHER_EMBODIMENTS))
    for short, (name, _, width) in zip(cycle(_ACTION_MODES), names, strict=False)
]
EVERY_CASE = (
    CASES
    + SCHEDULE_CASES
    + TRANSFER_CASES
    + DISTILLED_CASES
    + EDIT_CASES
    + SOUNDTRACK_CASES
    + STATE_CASES
    + EMBODIMENT_CASES
)


def cases_of(family: str) -> list[Case]:
    """The cases a family can do; Edge makes no sound, and its checkpoint ships no Karras levels."""
    if family == "nano":
        return EVERY_CASE
    return [c for c in EVERY_CASE if not c.needs_sound and c.schedule is not ScheduleKind.KARRAS]
