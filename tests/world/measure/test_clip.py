"""The measuring tools on the world's own clips: at least 99 % right as they are, 97 % after damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from examples.tiny_world.measure.clip import Seen, largest_step, read_clip
from examples.tiny_world.measure.compare import compare, is_onset_right, is_pitch_right
from examples.tiny_world.scenes.clips import Clip, clip_of
from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.scene import ClipFormat
from examples.tiny_world.scenes.sound import onset_of
from tests.world.damage import damaged


def _clip(seed: int) -> tuple[Clip, Generator]:
    rng = np.random.default_rng(seed)
    clip = ClipFormat(frames=(9, 17)[seed % 2], fps=(8.0, 12.0, 16.0, 24.0)[seed // 2 % 4])
    return clip_of(draw_scene(rng, list(Topic)[seed % 5], clip=clip)), rng


def _same(clip: Clip, rng: Generator) -> Clip:
    return clip


def _right(clip: Clip, seen: Seen) -> Counter[str]:
    """How often each fact was read and how often it was right."""
    check, counts = compare(clip.facts, seen), Counter[str]()
    of_clip = {
        "count": check.count,
        "ground": check.ground,
        "pitch": is_pitch_right(clip.facts, seen),
        "onset": seen.tone is not None and abs(seen.tone.onset - onset_of(clip.motion)) <= 0.03,
        "onset by the picture": is_onset_right(clip.facts, seen),
    }
    for facts in [of_clip, *(vars(shape) for shape in check.shapes)]:
        for name, is_right in facts.items():
            counts[name] += 1
            counts[f"{name} is right"] += is_right
    return counts


@pytest.mark.parametrize(
    ("damage", "least", "clips"), [(_same, 0.99, 50), (damaged, 0.97, 24)], ids=["clean", "damaged"]
)
def test_every_fact_is_read_right(damage: Callable[[Clip, Generator], Clip], least: float, clips: int) -> None:
    counts = Counter[str]()
    for seed in range(clips):
        clip, rng = _clip(seed)
        changed = damage(clip, rng)
        counts += _right(clip, read_clip(changed.frames, clip.scene.format.fps, changed.sound))
    names = [name for name in counts if f"{name} is right" in counts]
    assert len(names) == 12 and all(counts[name] >= clips for name in names)
    assert {
        name: counts[f"{name} is right"] for name in names if counts[f"{name} is right"] < least * counts[name]
    } == {}


@pytest.mark.parametrize(("width", "height"), [(96, 96), (320, 192), (832, 480)])
def test_any_size_is_read(width: int, height: int) -> None:
    scene = draw_scene(np.random.default_rng(4), Topic.MOVE, 2, ClipFormat(width, height, 3, 4.0))
    clip = clip_of(scene)
    check = compare(clip.facts, read_clip(clip.frames, 4.0))
    assert check.all("colour", "kind", "size", "place", "direction") and check.count and check.ground


def test_a_picture_has_no_motion() -> None:
    clip = clip_of(draw_scene(np.random.default_rng(0), shapes=2, clip=ClipFormat(frames=1)))
    seen = read_clip(clip.frames, 24.0)
    assert len(seen.shapes) == 2 and all(shape.motion is None for shape in seen.shapes) and seen.tone is None
    assert compare(clip.facts, seen).all("colour", "kind", "size", "place")


def test_nothing_is_seen_in_noise_and_on_an_empty_ground() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (5, 96, 160, 3), np.uint8)
    assert read_clip(noise, 8.0).shapes == ()
    empty = read_clip(np.full((5, 96, 160, 3), 120, np.uint8), 8.0, np.zeros((2, 30000), np.float32))
    assert empty.shapes == () and empty.count == 0 and empty.ground == "gray" and empty.tone is None


def test_confidence_falls_with_damage_and_colour() -> None:
    clip, rng = _clip(0)
    clear = read_clip(clip.frames, 8.0).shapes[0]
    worse = read_clip(damaged(clip, rng).frames, 8.0).shapes[0]
    assert 0.9 < clear.colour_confidence <= 1 and worse.colour_confidence < clear.colour_confidence
    assert worse.kind_confidence < clear.kind_confidence
    faded = (0.75 * clip.frames + 0.25 * clip.frames.mean()).astype(np.uint8)
    assert read_clip(faded, 8.0).shapes[0].colour_confidence < worse.colour_confidence


def test_two_shapes_of_one_colour_are_counted() -> None:
    clip = clip_of(draw_scene(np.random.default_rng(0), Topic.STILL, 1, ClipFormat(frames=2)))
    twice = np.concatenate([clip.frames, clip.frames], axis=2)
    seen = read_clip(twice, 8.0)
    assert seen.count == 2 and len(seen.shapes) == 1


def test_the_largest_step_between_frames() -> None:
    places = np.array([(0.1, 0.1), (0.1, 0.2), (np.nan, np.nan), (0.5, 0.5), (0.5, 0.9)])
    assert largest_step(places) == pytest.approx(0.4) and largest_step(places[:1]) == 0
