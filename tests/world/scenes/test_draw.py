"""Scenes at random: what was asked for happens, and the seed decides everything."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from examples.tiny_world.scenes.draw import LEAST_TRAVEL, Topic, draw_scene
from examples.tiny_world.scenes.facts import MotionKind, facts_of
from examples.tiny_world.scenes.motion import EventKind, simulate
from examples.tiny_world.scenes.scene import ClipFormat, Scene

FORMATS = [ClipFormat(frames=frames, fps=fps) for frames in (9, 17) for fps in (8.0, 24.0)]
KINDS = {
    Topic.STILL: (MotionKind.STILL,),
    Topic.MOVE: (MotionKind.MOVES,),
    Topic.BOUNCE: (MotionKind.TURNS,),
    Topic.CONTACT: (MotionKind.TURNS, MotionKind.STOPS),
    Topic.START: (MotionKind.STARTS,),
}
EVENTS = {Topic.BOUNCE: EventKind.BOUNCE, Topic.CONTACT: EventKind.CONTACT, Topic.START: EventKind.START}


def _scenes(topic: Topic) -> list[Scene]:
    return [draw_scene(np.random.default_rng(seed), topic, clip=FORMATS[seed % 4]) for seed in range(16)]


@pytest.mark.parametrize("topic", Topic)
def test_the_first_shape_does_what_the_topic_says(topic: Topic) -> None:
    for scene in _scenes(topic):
        facts = facts_of(scene)
        assert facts.shapes[0].path.kind in KINDS[topic]
        assert [event.kind for event in facts.events] == ([EVENTS[topic]] if topic in EVENTS else [])
        assert all(event.body == 0 for event in facts.events)


@pytest.mark.parametrize("topic", Topic)
def test_shapes_stay_inside_of_the_frame_and_move_visibly(topic: Topic) -> None:
    for scene in _scenes(topic):
        motion = simulate(scene)
        for index, body in enumerate(scene.bodies):
            reach, places = body.extent, motion.positions[:, index]
            assert (places >= np.array((reach.left, reach.top)) - 1e-6).all()
            assert (places <= np.array((scene.format.aspect - reach.right, 1 - reach.bottom)) + 1e-6).all()
            travel = np.linalg.norm(np.diff(places, axis=0), axis=1).sum()
            assert travel == 0 or travel >= 0.9 * LEAST_TRAVEL


def test_the_seed_decides_everything() -> None:
    first, again = (draw_scene(np.random.default_rng(7)) for _ in range(2))
    assert first == again != draw_scene(np.random.default_rng(8))


def test_all_colours_shapes_sizes_grounds_and_directions_are_drawn() -> None:
    rng, counts = np.random.default_rng(0), Counter[str]()
    for _ in range(150):
        facts = facts_of(draw_scene(rng, Topic.MOVE, 1))
        (shape,) = facts.shapes
        counts.update([shape.colour, shape.kind, shape.size, facts.ground, str(shape.path.direction)])
    assert len(counts) == 8 + 4 + 2 + 4 + 8
    assert min(counts.values()) >= 5


@pytest.mark.parametrize(("width", "height"), [(96, 96), (96, 160), (320, 192)])
def test_scenes_are_found_for_other_sizes(width: int, height: int) -> None:
    for topic in Topic:
        scene = draw_scene(np.random.default_rng(1), topic, clip=ClipFormat(width, height, 9, 12.0))
        assert scene.format.aspect == width / height


def test_a_picture_shows_what_is_still() -> None:
    scene = draw_scene(np.random.default_rng(2), clip=ClipFormat(frames=1))
    assert all(shape.path.kind is MotionKind.STILL for shape in facts_of(scene).shapes)


def test_a_clip_without_time_for_its_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="no scene was found for bounce"):
        draw_scene(np.random.default_rng(0), Topic.BOUNCE, clip=ClipFormat(frames=1))
