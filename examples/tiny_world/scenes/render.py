"""Draws scenes: flat colours with smooth edges, each pixel by the part of it that a shape covers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.motion import Motion, simulate
from examples.tiny_world.scenes.palette import COLOURS, GRIPPER, GROUNDS, RGB, RIM
from examples.tiny_world.scenes.scene import FlawKind, Scene
from examples.tiny_world.scenes.shapes import Outline, ShapeKind, outline

Frames = NDArray[np.uint8]
"""RGB `[frames, height, width, 3]`."""
GRIPPER_RADIUS = 0.06
RIM_WIDTH = 0.015
"""In heights; the rim lies inside of the radius."""


@dataclass(frozen=True)
class Painted:
    """Something to draw: an outline in heights, in its place, and its colour."""

    outline: Outline
    colour: RGB


def shape_at(kind: ShapeKind, colour: RGB, radius: float, x: float, y: float) -> Painted:
    """A shape with its centre of mass at a place, in heights."""
    return Painted(outline(kind, radius, x, y), colour)


def gripper_at(x: float, y: float) -> tuple[Painted, Painted]:
    """The gripper at a place, in heights: a white disc with a dark rim."""
    rim = shape_at(ShapeKind.CIRCLE, RIM, GRIPPER_RADIUS, x, y)
    return rim, shape_at(ShapeKind.CIRCLE, GRIPPER, GRIPPER_RADIUS - RIM_WIDTH, x, y)


def coverage(shape: Outline, width: int, height: int) -> tuple[slice, slice, NDArray[np.float64]]:
    """The part of each pixel that a convex outline covers.

    Args:
        shape: in heights, in its place.
        width, height: of the frame, in pixels.

    Returns:
        The rows and columns that it may touch, and the parts of these pixels, 0 to 1.
    """
    pixels = shape.corners * height
    left, top = np.floor(pixels.min(axis=0)).astype(int) - 1
    right, bottom = np.ceil(pixels.max(axis=0)).astype(int) + 1
    rows, columns = slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))
    y, x = np.arange(height)[rows] + 0.5, np.arange(width)[columns] + 0.5
    normals, limits = shape.normals[:, :, None, None], height * shape.limits[:, None, None]
    distances = (normals[:, 0] * x + normals[:, 1] * y[:, None] - limits).max(axis=0)
    return rows, columns, np.clip(0.5 - distances, 0.0, 1.0)


def draw(ground: RGB, things: Iterable[Painted], width: int, height: int) -> NDArray[np.uint8]:
    """One picture, uint8 `[height, width, 3]`; later things cover earlier ones."""
    canvas = np.empty((height, width, 3))
    canvas[:] = ground
    for thing in things:
        rows, columns, part = coverage(thing.outline, width, height)
        under = canvas[rows, columns]
        under += part[..., None] * (np.array(thing.colour, float) - under)
    return canvas.round().astype(np.uint8)


def render(scene: Scene, motion: Motion | None = None) -> Frames:
    """The frames of a scene.

    Args:
        scene: what is shown.
        motion: where its shapes are, as `simulate` says; None asks it.

    Returns:
        uint8 `[frames, height, width, 3]`.
    """
    moved = simulate(scene) if motion is None else motion
    return np.stack([_frame(scene, index, places) for index, places in enumerate(moved.positions)])


def _frame(scene: Scene, index: int, places: NDArray[np.float64]) -> NDArray[np.uint8]:
    clip, flaw = scene.format, scene.flaw
    things = []
    for body, (x, y) in zip(scene.bodies, places, strict=True):
        colour = body.colour
        is_new = flaw is not None and body is scene.bodies[0] and index / clip.fps >= flaw.seconds - 1e-9
        if flaw is not None and is_new and flaw.kind is FlawKind.RECOLOUR:
            colour = flaw.colour
        things.append(shape_at(body.kind, COLOURS[colour], body.size.radius, x, y))
    return draw(GROUNDS[scene.ground], things, clip.width, clip.height)
