"""The held-out prompts: always the same, and true of their own clips."""

from __future__ import annotations

from collections import Counter
from functools import cache

from cosmos3_core.modes import Mode
from cosmos3_core.prompt import parse_structured
from examples.tiny_world.measure.clip import read_clip
from examples.tiny_world.measure.compare import compare
from examples.tiny_world.prompts import COUNT, HeldOut, held_out_prompts
from examples.tiny_world.scenes.clips import clip_of
from examples.tiny_world.scenes.facts import MotionKind, facts_of
from examples.tiny_world.scenes.palette import COLOURS


@cache
def _prompts() -> list[HeldOut]:
    return held_out_prompts()


def test_there_are_two_hundred_of_all_kinds() -> None:
    prompts = _prompts()
    assert [prompt.index for prompt in prompts] == list(range(COUNT)) and len(
        {prompt.text for prompt in prompts}
    ) == COUNT
    counts = Counter((prompt.mode, len(prompt.facts.shapes)) for prompt in prompts)
    assert counts[Mode.TEXT_TO_IMAGE, 1] == 25 and counts[Mode.TEXT_TO_IMAGE, 2] == 25
    assert counts[Mode.TEXT_TO_VIDEO, 1] == 100 and counts[Mode.TEXT_TO_VIDEO, 2] == 50
    moving = [prompt for prompt in prompts if prompt.facts.shapes[0].path.kind is not MotionKind.STILL]
    assert len(moving) == 125
    assert {shape.colour for prompt in prompts for shape in prompt.facts.shapes} == set(COLOURS)


def test_texts_state_their_facts_and_half_are_structured() -> None:
    structured = [parse_structured(prompt.text) is not None for prompt in _prompts()]
    assert sum(structured) == 96
    for prompt in _prompts():
        assert prompt.facts == facts_of(prompt.scene)
        assert all(shape.name in prompt.text for shape in prompt.facts.shapes) and prompt.facts.ground in prompt.text


def test_what_is_stated_can_be_checked_on_the_prompts_own_clips() -> None:
    for prompt in _prompts()[:16]:
        clip = clip_of(prompt.scene)
        assert compare(prompt.facts, read_clip(clip.frames, prompt.scene.format.fps)).all(*prompt.stated)
        assert ("motion" in prompt.stated) == (prompt.mode is Mode.TEXT_TO_VIDEO)
        said = any(word in prompt.text for word in ("small", "little", "large", "big"))
        assert ("size" in prompt.stated) == said


def test_the_first_ones_are_the_same_as_of_a_longer_list() -> None:
    assert held_out_prompts(6) == _prompts()[:6]
    assert {prompt.mode for prompt in _prompts()[:8]} == {Mode.TEXT_TO_IMAGE, Mode.TEXT_TO_VIDEO}
