"""Plain captions: they state the facts that they should, in many wordings."""

from __future__ import annotations

import re

import numpy as np
import pytest

from examples.tiny_world.scenes.draw import Topic, draw_scene
from examples.tiny_world.scenes.facts import facts_of
from examples.tiny_world.scenes.scene import Body, ClipFormat, Direction, Scene
from examples.tiny_world.scenes.shapes import ShapeKind, Size
from examples.tiny_world.texts.sentences import Detail, place_words, sentence, with_article

NONE = Detail(False, False, False)
LONGEST_FIRST = sorted(Direction, key=lambda to: -len(to))


def _directions(text: str) -> list[str]:
    """The directions that a text names, in order; `up and to the left` is one."""
    return re.findall("|".join(LONGEST_FIRST), text)


@pytest.mark.parametrize("topic", Topic)
def test_shape_colour_ground_and_direction_are_always_stated(topic: Topic) -> None:
    rng = np.random.default_rng(0)
    for _ in range(15):
        facts = facts_of(draw_scene(rng, topic))
        text = sentence(facts, rng, Detail.draw(rng))
        assert facts.ground in text and text[0].isupper() and text.endswith(".") and "  " not in text
        for shape in facts.shapes:
            assert f"{shape.colour} {shape.kind}" in text
        path = facts.shapes[0].path
        stated = _directions(text)
        if topic is Topic.STILL:
            assert stated == []
        elif topic is Topic.BOUNCE:
            assert stated[:2] == [path.direction, path.direction_after] and "edge" in text
        else:
            assert stated[0] == (path.direction or path.direction_after)


def test_size_place_and_speed_are_stated_if_they_are_asked_for() -> None:
    body = Body(ShapeKind.DIAMOND, "orange", Size.LARGE, 0.4, 0.75, vx=0.5)
    facts, rng = facts_of(Scene((body,), "gray", ClipFormat(frames=9, fps=12.0))), np.random.default_rng(0)
    for _ in range(10):
        assert re.search(
            r"[Aa] (large|big) orange diamond at the bottom left \w+ steadily to the right", sentence(facts, rng)
        )
        assert re.search(r"[Aa]n orange diamond \w+ to the right", sentence(facts, rng, NONE))


def test_a_picture_has_no_motion() -> None:
    rng = np.random.default_rng(1)
    text = sentence(facts_of(draw_scene(rng, Topic.MOVE)), rng, is_image=True)
    assert _directions(text) == [] and not re.search("move|glide|travel|rest|stand", text)


def test_there_are_many_wordings_of_the_same_facts() -> None:
    facts, rng = facts_of(draw_scene(np.random.default_rng(3), Topic.MOVE, 1)), np.random.default_rng(0)
    assert len({sentence(facts, rng) for _ in range(100)}) >= 12
    assert sentence(facts, np.random.default_rng(5)) == sentence(facts, np.random.default_rng(5))


def test_places_are_named_by_thirds() -> None:
    def named(x: float, y: float) -> str:
        body = Body(ShapeKind.CIRCLE, "red", Size.SMALL, x, y)
        facts = facts_of(Scene((body,)))
        return place_words(facts.shapes[0], facts.aspect)

    assert [named(0.2, 0.2), named(0.8, 0.5), named(1.4, 0.5), named(0.8, 0.8)] == [
        "at the top left",
        "in the center",
        "on the right",
        "at the bottom",
    ]


def test_articles() -> None:
    assert with_article("orange circle") == "an orange circle" and with_article("red circle") == "a red circle"
