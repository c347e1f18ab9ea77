"""Structured captions: of the published form, and true."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cosmos3_core.modes import Mode
from cosmos3_core.prompt import parse_structured
from cosmos3_core.upsampling.schema import MAX_TOKENS, problem_in, schema_of
from cosmos3_core.upsampling.template import OWN_TEMPLATES, Template
from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.facts import facts_of
from examples.tiny_world.scenes.scene import ClipFormat
from examples.tiny_world.texts.structured import Caption, as_text, full_caption, short_caption

FORMS = {1: Mode.TEXT_TO_IMAGE, 9: Mode.TEXT_TO_VIDEO}


def _made(frames: int, seed: int, full: bool) -> Caption:
    rng, clip = np.random.default_rng(seed), ClipFormat(frames=frames)
    facts = facts_of(draw_scene(rng, Topic.STILL if frames == 1 else list(Topic)[seed % 5], clip=clip))
    return (full_caption if full else short_caption)(facts, clip, rng, sounds=frames > 1)


@pytest.mark.parametrize("frames", FORMS)
def test_full_captions_are_answers_of_an_upsampler(frames: int) -> None:
    template = Template.read(OWN_TEMPLATES, FORMS[frames])
    for seed in range(5):
        assert problem_in(_made(frames, seed, full=True), schema_of(template.form, MAX_TOKENS)) is None


@pytest.mark.parametrize("frames", FORMS)
def test_short_captions_have_fields_of_the_form_alone_in_its_order(frames: int) -> None:
    form = Template.read(OWN_TEMPLATES, FORMS[frames]).form
    for seed in range(5):
        caption = _made(frames, seed, full=False)
        assert list(caption) == [name for name in form if name in caption]
        assert set(caption["subjects"][0]) <= set(form["subjects"][0])
        assert len(as_text(caption)) < 1500 and parse_structured(as_text(caption)) == caption


def test_what_they_say_is_true() -> None:
    rng, clip = np.random.default_rng(0), ClipFormat()
    facts = facts_of(draw_scene(rng, Topic.CONTACT))
    caption = short_caption(facts, clip, rng, sounds=True)
    first, second = facts.shapes
    assert caption["subjects"][1]["description"] == f"A {second.size} {second.name}."
    assert caption["subjects"][0]["relative_size"] == first.size
    assert caption["actions"] == [
        {"time": "0:00-0:01", "description": f"The {first.name} bumps into the {second.name}."}
    ]
    assert f"when the {first.name} bumps into the {second.name}" in caption["audio_description"]
    assert facts.ground in caption["background_setting"]


def test_times_are_whole_seconds_and_never_empty() -> None:
    rng, clip = np.random.default_rng(0), ClipFormat(frames=17, fps=8.0)
    caption = short_caption(facts_of(draw_scene(rng, Topic.MOVE, clip=clip)), clip, rng)
    assert caption["actions"][0]["time"] == "0:00-0:03"
    assert json.loads(as_text(caption)) == caption and "audio_description" not in caption
