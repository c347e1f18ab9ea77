"""Several guardrails together: their order, who is asked about what, and how they are loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos3_core.guardrails.blocklist import Blocklist
from cosmos3_core.guardrails.guardrails import Guardrails
from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import Frames, GuardrailError, Verdict, blocked
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.tiny.guardrails import UNSAFE_WORD, write_blocklist, write_frames_classifier

CPU = ExecutionSettings(device="cpu", dtype="float32")


class Darkens:
    """A guardrail that shows every frame darker than it was."""

    name, sha256 = "face_blur", "1"

    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        return Verdict(Outcome.BLURRED, "show faces"), frames // 2


class BlocksBright:
    """A guardrail that blocks frames with anything bright in them."""

    name, sha256 = "frames_classifier", "2"

    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        return (blocked("are bright") if frames.max() > 100 else Verdict()), frames


FRAMES = np.full((2, 8, 8, 3), 160, np.uint8)


def test_texts_are_read_in_turn_until_one_is_blocked() -> None:
    both = Guardrails([Blocklist(["one"], "1"), Blocklist(["two"], "2")])
    said = [
        (check.of, check.sha256, check.outcome.value) for check in both.check_texts({"a": "x", "b": "two", "c": ""})
    ]
    assert said == [("a", "1", "allowed"), ("a", "2", "allowed"), ("b", "1", "allowed"), ("b", "2", "blocked")]
    assert both.check_texts({"a": "one", "b": "two"})[-1].of == "a"


def test_a_blank_text_needs_no_verdict() -> None:
    assert Guardrails([Blocklist(["one"])]).check_texts({"a": "", "b": " \n"}) == ()


def test_each_guardrail_sees_what_the_one_before_shows() -> None:
    checks, shown = Guardrails(frames=[Darkens(), BlocksBright()]).check_frames(FRAMES)
    assert [check.outcome.value for check in checks] == ["blurred", "allowed"] and int(shown.max()) == 80
    checks, _ = Guardrails(frames=[BlocksBright(), Darkens()]).check_frames(FRAMES)
    assert [(check.guardrail, check.outcome.value) for check in checks] == [("frames_classifier", "blocked")]
    assert int(FRAMES.max()) == 160


def test_without_guardrails_of_frames_they_stay_as_they_are() -> None:
    checks, shown = Guardrails([Blocklist(["one"])]).check_frames(FRAMES)
    assert checks == () and shown is FRAMES


def test_guardrails_are_loaded_by_name(nano: Path, tmp_path: Path) -> None:
    folders = {
        "blocklist": write_blocklist(tmp_path / "words.txt"),
        "frames_classifier": write_frames_classifier(tmp_path / "red", str(nano)),
    }
    made = Guardrails.load(folders, CPU)
    assert ([one.name for one in made.text], [one.name for one in made.frames]) == (
        ["blocklist"],
        ["frames_classifier"],
    )
    (check,) = made.check_texts({"prompt": f"a {UNSAFE_WORD}"})
    assert (check.outcome, check.guardrail) == (Outcome.BLOCKED, "blocklist") and len(check.sha256) == 64


@pytest.mark.parametrize("name", ["blocklist", "text_classifier", "frames_classifier", "face_blur"])
def test_a_folder_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(GuardrailError, match=f"{name}: there is no"):
        Guardrails.load({name: tmp_path / "nowhere"}, CPU)
    (tmp_path / "empty").mkdir()
    with pytest.raises(GuardrailError, match=name):
        Guardrails.load({name: tmp_path / "empty"}, CPU)
