"""Wrong clips are called wrong: mirrored, of another colour, of another scene, with a shape missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from examples.tiny_world.measure.clip import read_clip
from examples.tiny_world.measure.compare import compare, expected_onset, is_onset_right, is_pitch_right
from examples.tiny_world.scenes.clips import Clip, clip_of
from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.scene import Body, ClipFormat, Scene
from examples.tiny_world.scenes.shapes import ShapeKind, Size
from examples.tiny_world.scenes.sound import tone

BODY = Body(ShapeKind.CIRCLE, "red", Size.SMALL, 0.4, 0.5, vx=0.5)
OTHER = Body(ShapeKind.SQUARE, "blue", Size.LARGE, 1.2, 0.5)


def _clip(*bodies: Body, ground: str = "gray") -> Clip:
    return clip_of(Scene(bodies, ground))


def _check(expected: Clip, shown: Clip) -> dict[str, bool]:
    return vars(compare(expected.facts, read_clip(shown.frames, 12.0)).shapes[0])


def test_each_wrong_fact_is_named_and_no_other() -> None:
    right = _clip(BODY)
    assert all(_check(right, right).values())
    for change, wrong in (
        ({"colour": "green"}, {"colour"}),
        ({"kind": ShapeKind.TRIANGLE}, {"kind"}),
        ({"size": Size.LARGE}, {"size"}),
        ({"y": 0.2}, {"place"}),
        ({"vx": 0.95}, {"speed"}),
        ({"vx": -0.3, "x": 0.45}, {"motion", "direction", "speed"}),
        ({"vx": 0.0}, {"motion", "direction", "speed"}),
    ):
        found = _check(right, _clip(replace(BODY, **change)))
        assert {name for name, is_right in found.items() if not is_right} == wrong, change


def test_a_mirrored_clip_moves_in_the_wrong_direction() -> None:
    clip = _clip(BODY)
    mirrored = compare(clip.facts, read_clip(clip.frames[:, :, ::-1], 12.0)).shapes[0]
    backwards = compare(clip.facts, read_clip(clip.frames[::-1], 12.0)).shapes[0]
    assert not mirrored.direction and mirrored.colour and mirrored.kind
    assert not backwards.direction


def test_missing_and_additional_shapes() -> None:
    two, one = _clip(BODY, OTHER), _clip(OTHER)
    check = compare(two.facts, read_clip(one.frames, 12.0))
    assert not any(vars(check.shapes[0]).values()) and all(vars(check.shapes[1]).values())
    assert not check.count and not check.all("colour")
    more = compare(one.facts, read_clip(two.frames, 12.0))
    assert more.all("colour", "kind") and not more.count


def test_swapped_colours_are_wrong_shapes() -> None:
    swapped = _clip(replace(BODY, colour="blue"), replace(OTHER, colour="red"))
    check = compare(_clip(BODY, OTHER).facts, read_clip(swapped.frames, 12.0))
    assert [shape.kind for shape in check.shapes] == [False, False] and check.all("colour")


def test_the_ground() -> None:
    assert not compare(_clip(BODY).facts, read_clip(_clip(BODY, ground="navy").frames, 12.0)).ground


def test_the_tone_is_held_against_what_is_seen() -> None:
    clip = clip_of(draw_scene(np.random.default_rng(2), Topic.BOUNCE, clip=ClipFormat(frames=17, fps=8.0)))
    seen = read_clip(clip.frames, 8.0, clip.sound)
    assert abs(expected_onset(clip.facts, seen) - clip.facts.events[0].seconds) < 0.06
    assert is_pitch_right(clip.facts, seen) and is_onset_right(clip.facts, seen)
    for pitch, onset in ((0, 0.0), (1, 1.9)):
        wrong = read_clip(clip.frames, 8.0, tone(pitch, onset, clip.scene.format.samples))
        assert not is_onset_right(clip.facts, wrong)
        assert is_pitch_right(clip.facts, wrong) == (pitch == 0 and clip.facts.shapes[0].colour == "red")
    silent = read_clip(clip.frames, 8.0)
    assert not is_pitch_right(clip.facts, silent) and not is_onset_right(clip.facts, silent)
