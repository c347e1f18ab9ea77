"""Captions in plain sentences, with many wordings of the same facts."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.random import Generator

from examples.tiny_world.chance import one_of
from examples.tiny_world.scenes.facts import Column, Facts, MotionKind, Path, Row, ShapeFacts, column_of, row_of
from examples.tiny_world.scenes.motion import Event, EventKind
from examples.tiny_world.scenes.shapes import Size

SIZE_WORDS = {Size.SMALL: ("small", "little"), Size.LARGE: ("large", "big")}
_STILL = ("stands still", "does not move", "rests")
_MOVE = ("moves", "glides", "travels")
_GROUND = ("on a {} ground", "on a {} background", "in front of a {} background")


@dataclass(frozen=True)
class Detail:
    """Which facts a caption states besides shape, colour, motion and ground."""

    size: bool = True
    place: bool = True
    speed: bool = True

    @staticmethod
    def draw(rng: Generator) -> Detail:
        """Each with an even chance."""
        size, place, speed = (rng.random(3) < 0.5).tolist()
        return Detail(size, place, speed)


ALL = Detail()


def with_article(words: str) -> str:
    """The words with `a` or `an` before them."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def place_words(shape: ShapeFacts, aspect: float) -> str:
    """Where a shape is in the first frame, such as `at the top left`."""
    column, row = column_of(shape.x, aspect), row_of(shape.y)
    if column is Column.MIDDLE and row is Row.CENTER:
        return "in the center"
    if column is Column.MIDDLE:
        return f"at the {row}"
    if row is Row.CENTER:
        return f"on the {column}"
    return f"at the {row} {column}"


def motion_words(path: Path, rng: Generator, says_speed: bool = False) -> str:
    """What a shape does, without what it meets, such as `moves to the right`."""
    how = f" {path.speed}" if says_speed and path.speed is not None else ""
    verb = one_of(rng, _MOVE)
    match path.kind:
        case MotionKind.STILL:
            return one_of(rng, _STILL)
        case MotionKind.STARTS:
            begins = one_of(rng, ("starts to move", "begins to move"))
            return f"{one_of(rng, _STILL)}, then {begins}{how} {path.direction_after}"
        case MotionKind.STOPS:
            return f"{verb}{how} {path.direction} and stops"
        case MotionKind.TURNS:
            return f"{verb}{how} {path.direction}, then {path.direction_after}"
    return f"{verb}{how} {path.direction}"


def event_words(facts: Facts, event: Event) -> str:
    """What happens at an event, as a sentence without a full stop."""
    thing = f"the {facts.shapes[event.body].name}"
    match event.kind:
        case EventKind.START:
            return f"{thing} starts to move"
        case EventKind.BOUNCE:
            return f"{thing} bounces off the {event.wall} edge"
    assert event.other is not None
    return f"{thing} bumps into the {facts.shapes[event.other].name}"


def sentence(facts: Facts, rng: Generator, detail: Detail = ALL, is_image: bool = False) -> str:
    """A caption in one to three sentences.

    Args:
        facts: what is true of the clip or picture.
        rng: chooses the words.
        detail: what is stated besides shape, colour, motion and ground.
        is_image: whether it is a picture, of which no motion is stated.
    """
    named = [_named(shape, facts.aspect, rng, detail) for shape in facts.shapes]
    ground = one_of(rng, _GROUND).format(facts.ground)
    if is_image:
        return _capital(f"{' and '.join(named)} {ground}.")
    if all(shape.path.kind is MotionKind.STILL for shape in facts.shapes):
        stands = one_of(rng, _STILL) if len(named) == 1 else one_of(rng, ("stand still", "do not move", "rest"))
        return _capital(f"{' and '.join(named)} {stands} {ground}.")
    first = f"{named[0]} {_deed(facts, 0, rng, detail)}"
    if len(named) == 1:
        return _capital(f"{first}, {ground}.") if rng.random() < 0.5 else _capital(f"{ground}, {first}.")
    second = f"{named[1]} {_deed(facts, 1, rng, detail)}"
    return f"{_capital(first)}. {_capital(second)}. {_capital(f'{one_of(rng, _IT_IS)} {facts.ground}')}."


_IT_IS = ("the ground is", "the background is")


def _named(shape: ShapeFacts, aspect: float, rng: Generator, detail: Detail) -> str:
    size = f"{one_of(rng, SIZE_WORDS[shape.size])} " if detail.size else ""
    place = f" {place_words(shape, aspect)}" if detail.place else ""
    return f"{with_article(f'{size}{shape.name}')}{place}"


def _deed(facts: Facts, index: int, rng: Generator, detail: Detail) -> str:
    """What a shape does, with what it meets."""
    shape = facts.shapes[index]
    event = next((event for event in facts.events if index in (event.body, event.other)), None)
    if event is None or event.kind is EventKind.START:
        return motion_words(shape.path, rng, detail.speed)
    how = f" {shape.path.speed}" if detail.speed and shape.path.speed is not None else ""
    path = shape.path
    if path.direction is None:
        other = facts.shapes[event.body].name
        return f"stands still until the {other} bumps into it, then moves {path.direction_after}"
    verb = one_of(rng, _MOVE)
    if event.kind is EventKind.BOUNCE:
        hits = one_of(rng, ("bounces off", "hits"))
        return f"{verb}{how} {path.direction}, {hits} the {event.wall} edge and moves {path.direction_after}"
    other = facts.shapes[1 - index].name
    ends = "stops" if path.direction_after is None else f"bounces back {path.direction_after}"
    return f"{verb}{how} {path.direction}, bumps into the {other} and {ends}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
