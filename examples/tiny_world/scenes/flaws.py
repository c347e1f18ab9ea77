"""Makes scenes that break the laws of the world, for the question whether a clip is physically plausible."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.random import Generator

from examples.tiny_world.chance import one_of
from examples.tiny_world.scenes.draw import DEFAULT_FORMAT, LEAST_TRAVEL, Topic, draw_scene
from examples.tiny_world.scenes.motion import simulate
from examples.tiny_world.scenes.palette import COLOURS
from examples.tiny_world.scenes.scene import ClipFormat, Flaw, FlawKind, Scene

JUMPS = 0.35
"""The shortest jump, in heights."""
TURNS = (0.5 * math.pi, math.pi, 1.5 * math.pi)
ATTEMPTS = 200
_TOPICS = {
    FlawKind.JUMP: (Topic.STILL, Topic.MOVE),
    FlawKind.TURN: (Topic.MOVE,),
    FlawKind.THROUGH_WALL: (Topic.BOUNCE,),
    FlawKind.THROUGH_SHAPE: (Topic.CONTACT,),
    FlawKind.RECOLOUR: (Topic.STILL, Topic.MOVE),
}


def draw_flawed(rng: Generator, kind: FlawKind | None = None, clip: ClipFormat = DEFAULT_FORMAT) -> Scene:
    """A random scene that is not physically plausible.

    Args:
        rng: all chance comes from it.
        kind: in which way; None draws it.
        clip: size, length and rate.

    Raises:
        ValueError: no scene was found, as when the clip is too short.
    """
    chosen = kind or one_of(rng, list(FlawKind))
    for _ in range(ATTEMPTS):
        scene = draw_scene(rng, one_of(rng, _TOPICS[chosen]), clip=clip)
        flaw = _flaw(rng, chosen, scene)
        if flaw is not None:
            return replace(scene, flaw=flaw)
    raise ValueError(f"no scene was found for {chosen} with {clip}; use more frames")


def _flaw(rng: Generator, kind: FlawKind, scene: Scene) -> Flaw | None:
    """A flaw that is seen in the scene; None where it has no room for one."""
    clip, body = scene.format, scene.bodies[0]
    motion = simulate(scene)
    if kind in (FlawKind.THROUGH_WALL, FlawKind.THROUGH_SHAPE):
        return Flaw(kind, motion.events[0].seconds)
    seconds = int(rng.integers(clip.frames // 3, clip.frames - clip.frames // 3)) / clip.fps
    if kind is FlawKind.RECOLOUR:
        taken = [other.colour for other in scene.bodies]
        return Flaw(kind, seconds, colour=one_of(rng, [name for name in COLOURS if name not in taken]))
    if kind is FlawKind.JUMP:
        angle = rng.uniform(0, 2 * math.pi)
        way = rng.uniform(JUMPS, 2 * JUMPS)
        flaw = Flaw(kind, seconds, float(way * math.cos(angle)), float(way * math.sin(angle)))
    else:
        speed = math.hypot(body.vx, body.vy)
        if speed * min(seconds, clip.last_frame - seconds) < LEAST_TRAVEL:
            return None
        turn = one_of(rng, TURNS)
        cos, sin = math.cos(turn), math.sin(turn)
        flaw = Flaw(kind, seconds, body.vx * cos - body.vy * sin, body.vx * sin + body.vy * cos)
    return flaw if _stays_free(replace(scene, flaw=flaw)) else None


def _stays_free(scene: Scene) -> bool:
    """Whether the shapes stay inside of the frame and do not meet, so that the flaw alone is what happens."""
    motion, clip = simulate(scene), scene.format
    reach = scene.bodies[0].extent
    places = motion.positions[:, 0]
    inside = (places >= (reach.left, reach.top)) & (places <= (clip.aspect - reach.right, 1 - reach.bottom))
    apart = True
    if len(scene.bodies) > 1:
        distances = np.linalg.norm(motion.positions[:, 0] - motion.positions[:, 1], axis=1)
        apart = bool((distances > 1.6 * sum(body.size.radius for body in scene.bodies)).all())
    return bool(inside.all()) and apart and not motion.events
