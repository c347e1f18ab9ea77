"""Colours that a model and `measure` have to tell apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from examples.tiny_world.scenes.palette import COLOURS, GRIPPER, GROUNDS
from examples.tiny_world.scenes.sound import PITCH_CLASSES


def test_no_two_colours_are_near_each_other() -> None:
    for first, second in combinations([*COLOURS.values(), *GROUNDS.values(), GRIPPER], 2):
        assert np.linalg.norm(np.subtract(first, second)) >= 60, (first, second)


def test_every_colour_has_a_pitch_of_its_own() -> None:
    assert len(set(PITCH_CLASSES.values())) == len(PITCH_CLASSES) == len(COLOURS)
