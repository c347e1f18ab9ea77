"""A clip is what its parts say on their own."""

from __future__ import annotations

import numpy as np

from examples.tiny_world.scenes.clips import clip_of
from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.facts import facts_of
from examples.tiny_world.scenes.render import render
from examples.tiny_world.scenes.sound import sound_of


def test_a_clip_has_the_frames_the_sound_and_the_facts_of_its_scene() -> None:
    scene = draw_scene(np.random.default_rng(5), Topic.BOUNCE)
    clip = clip_of(scene)
    assert (clip.frames == render(scene)).all() and (clip.sound == sound_of(scene)).all()
    assert clip.facts == facts_of(scene)
