"""NVIDIA's own blocklist and face blur, from the package `cosmos-guardrail`.

Its text and video classifiers are not taken from there: they let a text pass when they fail, and skip a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cosmos3_core.guardrails import blocklist
from cosmos3_core.guardrails.files import sha256_of
from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import ALLOWED, Frames, GuardrailError, Verdict, Wanted, always, blocked

FACE_BLUR = "face_blur"
BLOCKLIST_FOLDER, FACE_BLUR_FOLDER = "blocklist", "face_blur_filter"
FACE_BLUR_FILE = "Resnet50_Final.pth"


class NvidiaBlocklist:
    """NVIDIA's lists of words with their fuzzy matching: the folder `blocklist` of its guardrail weights.

    Raises:
        GuardrailError: the package is not installed, or the folder is another one.
    """

    name = blocklist.NAME

    def __init__(self, folder: Path) -> None:
        with _package_reading(folder, BLOCKLIST_FOLDER, blocklist.NAME) as package:
            self._list = package.Blocklist()
        self.sha256 = sha256_of(folder)

    def check(self, text: str, wanted: Wanted = always) -> Verdict:
        """Whether the text holds a word of the lists."""
        safe, _ = self._list.is_safe(text)
        # The message of the package repeats the text.
        return ALLOWED if safe else blocked(blocklist.REASON)


class FaceBlur:
    """NVIDIA's face blur, RetinaFace: the folder `face_blur_filter` of its guardrail weights.

    Raises:
        GuardrailError: the package is not installed, or the folder is another one.
    """

    name = FACE_BLUR

    def __init__(self, folder: Path, device: torch.device) -> None:
        if not (folder / FACE_BLUR_FILE).is_file():
            raise GuardrailError(f"{FACE_BLUR}: {folder} has no {FACE_BLUR_FILE}")
        with _package_reading(folder, FACE_BLUR_FOLDER, FACE_BLUR) as package:
            self._filter = package.RetinaFaceFilter().to(device)
        self.sha256 = sha256_of(folder)

    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        """The frames with every face that is found pixelated."""
        # The package writes into what it is given.
        shown: Frames = self._filter.postprocess(np.array(frames))
        if np.array_equal(shown, frames):
            return ALLOWED, frames
        return Verdict(Outcome.BLURRED, "show faces"), shown


@contextmanager
def _package_reading(folder: Path, expected: str, name: str) -> Iterator[Any]:
    """The package, whose constructors find this folder where they would ask the hub."""
    try:
        from cosmos_guardrail import cosmos_guardrail as package
    except ImportError as error:
        message = f"{name}: {folder} needs the package cosmos-guardrail (pip install 'cosmos3[guardrails]'): {error}"
        raise GuardrailError(message) from error
    if folder.name != expected:
        raise GuardrailError(f"{name}: {folder} is not the folder {expected} of NVIDIA's guardrail weights")
    hub = package.snapshot_download
    package.snapshot_download = lambda *_, **__: str(folder.parent)
    try:
        yield package
    except (OSError, LookupError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise GuardrailError(f"{name}: {folder} cannot be loaded: {reason}") from error
    finally:
        package.snapshot_download = hub
