"""The kinds of controls, their numbers and the sentence about them (spec 9.4)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from cosmos3_core.controls import Control, ControlKind, Strength, control_defaults, directive


@pytest.mark.parametrize(
    ("kinds", "control", "text", "frames", "fps"),
    [
        (("edge",), 1.5, 3.0, 93, None),
        (("blur",), 1.5, 3.0, 93, None),
        (("depth",), 1.5, 3.0, 93, None),
        (("seg",), 2.0, 3.0, 93, None),
        (("wsm",), 3.0, 1.0, 101, 10.0),
        (("edge", "seg"), 1.5, 3.0, 93, None),
        (("depth", "wsm"), 1.5, 3.0, 93, None),
    ],
)
def test_each_kind_has_its_numbers_and_several_have_those_of_edge(
    kinds: tuple[str, ...], control: float, text: float, frames: int, fps: float | None
) -> None:
    found = control_defaults(tuple(ControlKind(kind) for kind in kinds))
    assert (found.control_guidance, found.guidance_scale) == (control, text)
    assert (found.chunk_frames, found.fps) == (frames, fps)


def test_a_control_has_full_weight_and_medium_strength_unless_it_says_otherwise() -> None:
    control = Control(kind=ControlKind.EDGE)
    assert (control.weight, control.strength, control.video) == (1.0, Strength.MEDIUM, None)
    for field, value in (("weight", -0.1), ("weight", float("nan")), ("strength", "strong"), ("colour", "red")):
        with pytest.raises(ValidationError, match=field):
            Control.model_validate({"kind": "edge", field: value})


def test_the_sentence_names_the_controls_in_their_order() -> None:
    sentence = directive((ControlKind.EDGE, ControlKind.DEPTH))
    assert sentence.startswith("Follow the edge, depth control video precisely: ")
    assert sentence.endswith("must align with the edge, depth signal at every frame.")
