"""Everything that follows from a scene, with its shapes moved once."""

from __future__ import annotations

from dataclasses import dataclass

from examples.tiny_world.scenes.facts import Facts, facts_of
from examples.tiny_world.scenes.motion import Motion, simulate
from examples.tiny_world.scenes.render import Frames, render
from examples.tiny_world.scenes.scene import Scene
from examples.tiny_world.scenes.sound import Sound, sound_of


@dataclass(frozen=True)
class Clip:
    """A scene as it is seen and heard.

    Attributes:
        scene: what is shown.
        motion: where its shapes are.
        facts: what is true of it.
        frames: uint8 `[frames, height, width, 3]`.
        sound: fp32 `[2, samples]` at 48 kHz, as long as the frames.
    """

    scene: Scene
    motion: Motion
    facts: Facts
    frames: Frames
    sound: Sound


def clip_of(scene: Scene) -> Clip:
    """Move, draw and play a scene."""
    motion = simulate(scene)
    return Clip(scene, motion, facts_of(scene, motion), render(scene, motion), sound_of(scene, motion))
