"""The Decoder stage: latents to files. A thin deployment around `cosmos3_core.stages.Decoder`.

Frames go from the VAE into the video encoder chunk by chunk, through the guardrails where they are checked, and nowhere
else; the file goes to the media store.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.errors import NotFinite
from cosmos3_core.media.join import join_mp4
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.sound import fitted
from cosmos3_core.media.stills import encode_image
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from cosmos3_core.outputs import action_object
from cosmos3_core.stages.decoder import Decoder as CoreDecoder
from cosmos3_core.stages.decoder import Tail
from deployments.compute import ComputeThread
from deployments.decoding.decoder import MediaDecoder
from deployments.frame_checks import FrameChecks
from deployments.logs import log, logs_for
from deployments.settings.decoder import DecoderSettings
from deployments.wire.calls import DecodeCall, DecodedFile, JoinCall
from deployments.wire.guardrails import GuardrailsClient
from deployments.wire.handoff import fetch_latents, publish
from deployments.wire.media_store import delete_media, read_media, write_media
from deployments.wire.replica import Replica

WARM_UP_LATENTS = (48, 1, 2, 2)
# x264's rate factor for each point of quality below 100: 18 at 95, and 0, which is lossless, at 100.
CRF_PER_POINT = 3.6


class Abandoned(Exception):
    """The caller no longer waits for the file."""


class Decoder(Replica):
    """Deployment: VAE and sound decoders, shared by all models whose codecs are the same."""

    def __init__(self, settings: DecoderSettings) -> None:
        self.compute = ComputeThread(settings)
        self.core = CoreDecoder(Checkpoint.find(settings.checkpoint, settings.revision), self.compute.execution)
        self._decoder = MediaDecoder(settings.decoding)
        self._requests = self._frames = self._bytes_in = self._bytes_out = 0
        warm_up = torch.zeros(WARM_UP_LATENTS, device=self.compute.execution.torch_device)
        for _ in self.core.decode_frames(warm_up):
            pass

    async def decode(self, call: DecodeCall) -> DecodedFile:
        """Decode latents into the file that the call names. A cancel takes effect before the next chunk of frames.

        Raises:
            ContentBlocked: a guardrail blocks the frames; there is no file.
            GuardrailsUnavailable: the guardrails cannot be asked; there is no file.
        """
        self._requests += 1
        abandoned = threading.Event()
        with logs_for(call.job_id):
            checks = _frame_checks(call)
            try:
                decoded = await self.compute.run(self._decode, call, abandoned, checks)
            except asyncio.CancelledError:
                abandoned.set()
                if checks is not None:
                    # The thread must not go on waiting for a verdict that nobody wants.
                    checks.abandon()
                raise
            log.info("decoded: %d frames, %d bytes", decoded.num_frames, decoded.nbytes)
        self._frames += decoded.num_frames
        self._bytes_in += call.latents.nbytes
        self._bytes_out += decoded.nbytes
        return decoded

    def _decode(self, call: DecodeCall, abandoned: threading.Event, checks: FrameChecks | None) -> DecodedFile:
        latents, clip = fetch_latents(call.latents, self.compute.execution.torch_device), call.clip
        action = _action(latents, call)
        sound = self._sound(latents, call)
        tail = Tail(clip.tail) if clip.tail else None
        chunks = self.core.decode_frames(latents[Modality.VISION], tail)
        counted = _Counted(chunks if checks is None else checks.through(chunks), abandoned, clip.keep)

        def write(target: BinaryIO) -> None:
            if call.format == "mp4":
                crf = round(CRF_PER_POINT * (100 - call.quality))
                encode_mp4(target, counted.frames(), clip.fps, sound, sampling_rate=clip.sampling_rate, crf=crf)
            else:
                target.write(encode_image(next(counted.frames()), call.format, call.quality))

        nbytes = write_media(call.target, write)
        if abandoned.is_set():
            # The job may have been removed while the file was being finished.
            delete_media(call.target)
            raise Abandoned
        last = None if tail is None else publish(tail.clip)
        said = () if checks is None else checks.checks
        return DecodedFile(call.target, nbytes, counted.count, action, last, said)

    def _sound(self, latents: Latents, call: DecodeCall) -> NDArray[np.float32] | None:
        """The soundtrack: as it was given, or what the model made of it."""
        clip = call.clip
        if Modality.SOUND not in latents:
            return None
        if call.soundtrack is not None:
            given = self._decoder.sound(read_media(call.soundtrack), clip.sampling_rate)
            return fitted(given, clip.sound_samples)
        return self.core.decode_sound(latents[Modality.SOUND], clip.sound_samples)

    async def join(self, call: JoinCall) -> DecodedFile:
        """Put the files of a video's parts together."""
        with logs_for(call.job_id):
            joined = await self.compute.run(self._join, call)
            log.info("joined %d parts: %d frames, %d bytes", len(call.parts), joined.num_frames, joined.nbytes)
        self._bytes_out += joined.nbytes
        return joined

    def _join(self, call: JoinCall) -> DecodedFile:
        frames = 0

        def write(target: BinaryIO) -> None:
            nonlocal frames
            frames = join_mp4(target, [read_media(part) for part in call.parts])

        nbytes = write_media(call.target, write)
        for part in call.parts:
            delete_media(part)
        return DecodedFile(call.target, nbytes, frames, None)

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        return {
            "bytes_read": self.core.bytes_read,
            "decode_requests": self._requests,
            "frames": self._frames,
            "bytes_received": self._bytes_in,
            "bytes_written": self._bytes_out,
        }


def _frame_checks(call: DecodeCall) -> FrameChecks | None:
    """Whoever checks the frames of a call; None where nobody does."""
    if call.guardrails is None:
        return None
    return FrameChecks(GuardrailsClient(call.guardrails), call.job_id, asyncio.get_running_loop())


class _Counted:
    """The frames that are kept, one by one, counted, until the call is abandoned."""

    def __init__(self, chunks: Iterator[Frames], abandoned: threading.Event, keep: slice) -> None:
        self.count = 0
        self._chunks = chunks
        self._abandoned = abandoned
        self._keep = keep

    def frames(self) -> Iterator[Frames]:
        # Also of what is cut off all is decoded: the end may be what the next part starts with.
        first, stop = self._keep.start or 0, sys.maxsize if self._keep.stop is None else self._keep.stop
        number = 0
        for chunk in self._chunks:
            if self._abandoned.is_set():
                raise Abandoned
            for frame in chunk:
                if first <= number < stop:
                    self.count += 1
                    yield frame
                number += 1


def _action(latents: Latents, call: DecodeCall) -> dict[str, object] | None:
    width = call.clip.action_width
    if not width:
        return None
    rows = np.asarray(latents[Modality.ACTION][call.clip.state_rows :, :width].cpu().numpy())
    if not np.isfinite(rows).all():
        raise NotFinite("the model predicted actions that are no finite numbers")
    return action_object(rows, call.clip.mode, call.clip.domain, call.clip.action_statistics)
