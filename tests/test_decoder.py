"""What the Decoder makes of latents beside frames, and what it writes where guardrails check its frames."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from cosmos3_core.action_statistics import ActionStatistics, Normalisation
from cosmos3_core.errors import NotFinite
from cosmos3_core.guardrails.record import Outcome
from cosmos3_core.guardrails.verdict import ContentBlocked, Frames, Verdict, blocked
from cosmos3_core.media.stills import decode_image
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from deployments import decoder as module
from deployments.decoder import Decoder, _action
from deployments.guardrails import Guardrails
from deployments.settings.decoder import DecoderSettings
from deployments.wire import guardrails
from deployments.wire.calls import DecodeCall, DecodedFile, FileFormat
from deployments.wire.guardrails import GuardrailsUnavailable
from deployments.wire.messages import ClipDescription, LatentsMessage
from tests.guardrails import Handle, guardrails_of
from tests.manifests import denoise_facts

LATENTS = LatentsMessage(None, {}, 0, 2, 0, 0, denoise_facts())


def call(width: int, **fields: Any) -> DecodeCall:
    clip = ClipDescription("policy", 64, 64, 5, 10.0, None, 48_000, width, 1, **fields)
    return DecodeCall("job", LATENTS, clip, "file:///x.mp4", "mp4")


def latents(column: int, value: float) -> Latents:
    rows = torch.zeros(4, 64)
    rows[1, column] = value
    return {Modality.ACTION: rows}


def test_actions_are_as_wide_as_the_embodiment() -> None:
    # What lies beyond its width means nothing.
    action = _action(latents(9, float("nan")), call(9))
    assert action is not None and action["shape"] == [4, 9]
    assert _action({}, call(0)) is None


def test_rows_of_the_state_are_no_actions() -> None:
    action = _action(latents(0, 7.0), call(2, state_rows=1))
    assert action is not None and action["data"] == [[7.0, 0.0], [0.0, 0.0], [0.0, 0.0]] and action["shape"] == [3, 2]


def test_actions_are_also_given_in_physical_units() -> None:
    statistics = ActionStatistics(Normalisation.MINMAX, offset=(1.0, 2.0), scale=(0.5, 10.0))
    action = _action(latents(0, 3.0), call(2, state_rows=1, action_statistics=statistics))
    assert action is not None and action["data"] == [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    assert action["physical"] == {
        "data": [[2.5, 2.0], [1.0, 2.0], [1.0, 2.0]],
        "units": "dataset",
        "method": "minmax",
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_actions_that_are_no_numbers_fail_their_job(value: float) -> None:
    with pytest.raises(NotFinite, match="no finite numbers"):
        _action(latents(8, value), call(9))


class Blackens:
    """A guardrail that shows black frames, and blocks the chunk of a number.

    Attributes:
        seen: how many frames it has looked at.
    """

    name, sha256 = "face_blur", "0"

    def __init__(self, blocks: int | None = None) -> None:
        self.blocks = blocks
        self.chunks = self.seen = 0

    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        self.chunks += 1
        self.seen += len(frames)
        if self.chunks - 1 == self.blocks:
            return blocked("are not to be seen"), frames
        return Verdict(Outcome.BLURRED, "are black"), np.zeros_like(frames)


@pytest.fixture(scope="module")
def decoder(nano: Path) -> Decoder:
    return Decoder(DecoderSettings(checkpoint=str(nano), device="cpu", dtype="float32"))


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guardrails:
    """The guardrails that the Decoder asks, and latents of three chunks that it gets."""
    made = guardrails_of(tmp_path, brightness=False)
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(made))
    drawn = torch.randn(48, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(module, "fetch_latents", lambda *_: {Modality.VISION: drawn})
    return made


def decode_call(folder: Path, format: FileFormat, asked: str | None = "checks", **clip: Any) -> DecodeCall:
    described = ClipDescription("text2video", 32, 32, 9, 10.0, None, 48_000, 0, 0, **clip)
    target = (folder / "out" / f"file.{format}").as_uri()
    return DecodeCall("job", LATENTS, described, target, format, guardrails=asked)


def decoded(decoder: Decoder, *arguments: Any, **named: Any) -> DecodedFile:
    """The file of `decode_call`."""
    return asyncio.run(decoder.decode(decode_call(*arguments, **named)))


def frames_of(file: Path) -> Frames:
    with av.open(str(file)) as opened:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)])


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "words.txt"]


def test_a_video_is_written_as_it_may_be_shown(decoder: Decoder, guard: Guardrails, tmp_path: Path) -> None:
    plain = frames_of(Path(decoded(decoder, tmp_path, "mp4", asked=None).uri.removeprefix("file://")))
    blackens = Blackens()
    guard.core.frames = (blackens,)
    file = decoded(decoder, tmp_path, "mp4")
    shown = frames_of(Path(file.uri.removeprefix("file://")))
    assert len(plain) == len(shown) == file.num_frames == blackens.seen == 9
    assert plain.max() > 30 > shown.max()
    assert [(check.of, check.outcome) for check in file.checks] == [("frames", Outcome.BLURRED)]


def test_an_image_is_written_as_it_may_be_shown(decoder: Decoder, guard: Guardrails, tmp_path: Path) -> None:
    guard.core.frames = (Blackens(),)
    file = decoded(decoder, tmp_path, "png")
    assert int(decode_image(Path(file.uri.removeprefix("file://")).read_bytes()).max()) == 0


@pytest.mark.parametrize("chunk", [0, 1, 2])
@pytest.mark.parametrize("keep", [slice(None), slice(1, None)])
def test_nothing_of_a_blocked_video_is_left(
    decoder: Decoder, guard: Guardrails, tmp_path: Path, chunk: int, keep: slice
) -> None:
    guard.core.frames = (Blackens(blocks=chunk),)
    with pytest.raises(ContentBlocked, match="frames are not to be seen"):
        decoded(decoder, tmp_path, "mp4", keep=keep)
    assert files(tmp_path) == []


def test_nothing_of_a_blocked_image_is_left(decoder: Decoder, guard: Guardrails, tmp_path: Path) -> None:
    guard.core.frames = (Blackens(blocks=0),)
    with pytest.raises(ContentBlocked):
        decoded(decoder, tmp_path, "png")
    assert files(tmp_path) == []


class Silent:
    """Guardrails that never answer about frames."""

    async def look_at_frames(self) -> bool:
        return True

    async def check_frames(self, job_id: str, frames: Frames) -> None:
        await asyncio.Event().wait()


def test_frames_that_nobody_judges_are_not_written(
    decoder: Decoder, guard: Guardrails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(Silent()))
    monkeypatch.setattr(module, "GuardrailsClient", lambda application: guardrails.GuardrailsClient(application, 0.2))
    with pytest.raises(GuardrailsUnavailable, match="did not answer"):
        decoded(decoder, tmp_path, "mp4")
    assert files(tmp_path) == []


def test_a_caller_that_gives_up_waits_for_no_verdict(
    decoder: Decoder, guard: Guardrails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(Silent()))
    call = decode_call(tmp_path, "mp4")

    async def twice() -> DecodedFile:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(decoder.decode(call), 1)
        monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(guard))
        # The one thread that decodes is free again.
        return await asyncio.wait_for(decoder.decode(call), 60)

    assert asyncio.run(twice()).num_frames == 9
    assert [file.suffix for file in files(tmp_path)] == [".mp4"]
