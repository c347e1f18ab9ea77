"""The held-out prompts: what to ask a generator for, and what its clips must then show."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.modes import Mode
from examples.tiny_world.scenes.draw import DEFAULT_FORMAT, Topic, draw_scene
from examples.tiny_world.scenes.facts import Facts, facts_of
from examples.tiny_world.scenes.scene import ClipFormat, Scene
from examples.tiny_world.splits import held_out_rng
from examples.tiny_world.texts.sentences import Detail, sentence
from examples.tiny_world.texts.structured import as_text, short_caption

COUNT = 200
_KINDS = (
    (Mode.TEXT_TO_IMAGE, Topic.STILL, 1),
    (Mode.TEXT_TO_VIDEO, Topic.MOVE, 1),
    (Mode.TEXT_TO_VIDEO, Topic.MOVE, 1),
    (Mode.TEXT_TO_VIDEO, Topic.BOUNCE, 1),
    (Mode.TEXT_TO_VIDEO, Topic.STILL, 1),
    (Mode.TEXT_TO_IMAGE, Topic.STILL, 2),
    (Mode.TEXT_TO_VIDEO, Topic.MOVE, 2),
    (Mode.TEXT_TO_VIDEO, Topic.CONTACT, 2),
)
"""They take turns, so that any first ones of the prompts are a mixture."""


@dataclass(frozen=True)
class HeldOut:
    """A prompt, and what its result must show.

    Attributes:
        index: number of the prompt.
        mode: picture or video.
        text: the prompt, in plain sentences or, every other turn, a structured caption.
        detail: which of the facts the prompt states besides shape, colour, motion and ground.
        scene: one clip that shows it; others may.
        facts: what is true of that clip.
    """

    index: int
    mode: Mode
    text: str
    detail: Detail
    scene: Scene
    facts: Facts

    @property
    def stated(self) -> tuple[str, ...]:
        """What the prompt states of each shape, as the fields of `measure.compare.ShapeCheck`."""
        stated = {"colour": True, "kind": True, "size": self.detail.size, "place": self.detail.place}
        motion = not self.mode.is_image
        stated |= {"motion": motion, "direction": motion, "speed": motion and self.detail.speed}
        return tuple(name for name, holds in stated.items() if holds)


def held_out_prompts(count: int = COUNT, clip: ClipFormat = DEFAULT_FORMAT) -> list[HeldOut]:
    """The first of the held-out prompts.

    Args:
        count: how many.
        clip: of the videos; pictures have the same size.
    """
    return [_prompt(index, clip) for index in range(count)]


def _prompt(index: int, clip: ClipFormat) -> HeldOut:
    rng = held_out_rng(index)
    mode, topic, shapes = _KINDS[index % len(_KINDS)]
    form = ClipFormat(clip.width, clip.height, 1, clip.fps) if mode.is_image else clip
    scene = draw_scene(rng, topic, shapes, form)
    facts = facts_of(scene)
    if index // len(_KINDS) % 2:
        return HeldOut(index, mode, as_text(short_caption(facts, form, rng)), Detail(), scene, facts)
    detail = Detail.draw(rng)
    return HeldOut(index, mode, sentence(facts, rng, detail, mode.is_image), detail, scene, facts)
