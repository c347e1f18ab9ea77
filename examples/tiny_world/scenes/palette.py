"""The colours of the world: of shapes, of the ground, of the gripper."""

from __future__ import annotations

from collections.abc import Mapping

RGB = tuple[int, int, int]

COLOURS: Mapping[str, RGB] = {
    "red": (220, 30, 40),
    "orange": (245, 140, 20),
    "yellow": (245, 225, 50),
    "green": (40, 170, 60),
    "cyan": (30, 215, 225),
    "blue": (40, 80, 235),
    "purple": (140, 45, 190),
    "pink": (250, 130, 190),
}
"""Of shapes."""
GROUNDS: Mapping[str, RGB] = {
    "black": (16, 16, 20),
    "gray": (120, 124, 128),
    "brown": (88, 58, 36),
    "navy": (24, 30, 84),
}
"""Of the ground. The darkest channel of none is as bright as that of the gripper."""
GRIPPER: RGB = (250, 250, 250)
RIM: RGB = (10, 10, 10)
"""Of the thin line around the gripper."""
