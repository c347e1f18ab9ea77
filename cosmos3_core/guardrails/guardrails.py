"""All guardrails of one server, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos3_core.guardrails.blocklist import Blocklist
from cosmos3_core.guardrails.files import existing
from cosmos3_core.guardrails.record import FRAMES, GuardrailCheck
from cosmos3_core.guardrails.structured import with_decoded
from cosmos3_core.guardrails.verdict import (
    Frames,
    FramesGuardrail,
    GuardrailError,
    TextGuardrail,
    Verdict,
    Wanted,
    always,
)

if TYPE_CHECKING:
    from cosmos3_core.settings import ExecutionSettings

NVIDIAS_LISTS = "custom"
"""The folder that NVIDIA's blocklist has and a plain one has not."""


class Guardrails:
    """Guardrails, in the order in which they are asked; the first that blocks ends a check.

    Attributes:
        text: those that read texts.
        frames: those that look at frames. Each gets the frames that the one before it has changed.
    """

    def __init__(self, text: Sequence[TextGuardrail] = (), frames: Sequence[FramesGuardrail] = ()) -> None:
        self.text = tuple(text)
        self.frames = tuple(frames)

    @classmethod
    def load(cls, folders: Mapping[str, Path], settings: ExecutionSettings) -> Guardrails:
        """Load guardrails by their names: blocklist, text_classifier, frames_classifier, face_blur.

        Raises:
            GuardrailError: one cannot be loaded.
        """
        found = {name: existing(folder, name) for name, folder in folders.items()}
        text: list[TextGuardrail] = []
        frames: list[FramesGuardrail] = []
        device, dtype = settings.torch_device, settings.torch_dtype
        for name, folder in found.items():
            if name == "blocklist":
                text.append(_blocklist(folder))
            elif name == "text_classifier":
                from cosmos3_core.guardrails.text_classifier import TextClassifier

                text.append(TextClassifier.read(folder, device, dtype))
            elif name == "frames_classifier":
                from cosmos3_core.guardrails.frames_classifier import FramesClassifier

                frames.append(FramesClassifier.read(folder, device))
            elif name == "face_blur":
                from cosmos3_core.guardrails.nvidia import FaceBlur

                frames.append(FaceBlur(folder, device))
            else:
                raise GuardrailError(f"there is no guardrail {name}")
        return cls(text, frames)

    def check_texts(self, texts: Mapping[str, str], wanted: Wanted = always) -> tuple[GuardrailCheck, ...]:
        """What is said of texts by their names; the last check blocks, or none does. Blank texts are allowed.

        Raises:
            NotWanted: `wanted` says that nobody waits for it any more.
        """
        checks: list[GuardrailCheck] = []
        for of, text in texts.items():
            read = with_decoded(text)
            for guardrail in self.text if text.strip() else ():
                verdict = guardrail.check(read, wanted)
                checks.append(_check(guardrail, of, verdict))
                if not verdict.allowed:
                    return tuple(checks)
        return tuple(checks)

    def check_frames(self, frames: Frames) -> tuple[tuple[GuardrailCheck, ...], Frames]:
        """What is said of frames, uint8 `[frames, height, width, 3]`, and the frames that may be shown.

        The last check blocks, or none does.
        """
        checks: list[GuardrailCheck] = []
        for guardrail in self.frames:
            verdict, frames = guardrail.check(frames)
            checks.append(_check(guardrail, FRAMES, verdict))
            if not verdict.allowed:
                break
        return tuple(checks), frames


def _check(guardrail: TextGuardrail | FramesGuardrail, of: str, verdict: Verdict) -> GuardrailCheck:
    return GuardrailCheck(
        guardrail=guardrail.name, sha256=guardrail.sha256, of=of, outcome=verdict.outcome, reason=verdict.reason
    )


def _blocklist(folder: Path) -> TextGuardrail:
    if (folder / NVIDIAS_LISTS).is_dir():
        from cosmos3_core.guardrails.nvidia import NvidiaBlocklist

        return NvidiaBlocklist(folder)
    return Blocklist.read(folder)
