"""Guardrails behind a handle as Serve has it, in the process of a test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import Frames, Verdict, blocked
from deployments.guardrails import Guardrails
from deployments.settings.guardrails import GuardrailsSettings


class Response:
    """A call's response: awaited, it makes the call.

    Attributes:
        cancelled: whether its caller gave up.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self.cancelled = False
        self._call = call

    def __await__(self) -> Any:
        return self._call().__await__()

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle of one object.

    Attributes:
        behind: the object.
        methods: the names of the methods that were called.
    """

    def __init__(self, behind: Any) -> None:
        self.behind = behind
        self.methods: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=partial(self._remote, name))

    def _remote(self, method: str, *arguments: Any) -> Response:
        self.methods.append(method)
        return Response(lambda: getattr(self.behind, method)(*arguments))


class Brightness:
    """A guardrail of frames that blurs by halving what is bright, and blocks what is white."""

    name, sha256 = "face_blur", "0"

    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        if frames.max() == 255:
            return blocked("are white"), frames
        if frames.max() < 100:
            return Verdict(), frames
        return Verdict(Outcome.BLURRED, "are bright"), np.where(frames >= 100, frames // 2, frames)


def guardrails_of(folder: Path, *words: str, brightness: bool = True) -> Guardrails:
    """The deployment with a list of words, and with a guardrail of frames by their brightness."""
    file = folder / "words.txt"
    file.write_text("\n".join(words or ("grimflax",)), encoding="utf-8")
    made = Guardrails(GuardrailsSettings(blocklist=file, device="cpu", dtype="float32"))
    if brightness:
        made.core.frames = (Brightness(),)
    return made
