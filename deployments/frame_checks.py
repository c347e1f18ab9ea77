"""Decoded frames on their way through the guardrails, chunk by chunk, before any of them is written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

from cosmos3_core.guardrails.record import GuardrailCheck, merged
from cosmos3_core.guardrails.verdict import Frames
from deployments.wire.guardrails import CheckedChunk, GuardrailsClient


class FrameChecks:
    """Has the frames of one file checked. A chunk is checked while the next one is decoded, so two are held.

    Args:
        client: the guardrails.
        job_id: the job's id, for logs.
        loop: the event loop of the process; `through` is called in another thread.
    """

    def __init__(self, client: GuardrailsClient, job_id: str, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._job_id = job_id
        self._loop = loop
        self._checks: list[GuardrailCheck] = []
        self._waiting: set[Future[CheckedChunk]] = set()
        self._abandoned = False
        self._lock = threading.Lock()

    def abandon(self) -> None:
        """Wait for no verdict any more: `through` ends with CancelledError."""
        with self._lock:
            self._abandoned = True
            waiting = list(self._waiting)
        for asked in waiting:
            asked.cancel()

    @property
    def checks(self) -> tuple[GuardrailCheck, ...]:
        """What was said of the frames so far."""
        return merged(self._checks)

    def through(self, chunks: Iterator[Frames]) -> Iterator[Frames]:
        """The chunks, uint8 `[frames, height, width, 3]`, as they may be shown.

        Raises:
            ContentBlocked: a guardrail blocks a chunk; no later chunk is decoded.
            GuardrailsUnavailable: they cannot be asked.
            CancelledError: it was abandoned.
        """
        asked: tuple[Frames, Future[CheckedChunk]] | None = None
        try:
            for chunk in chunks:
                before, asked = asked, (chunk, self._ask(chunk))
                if before is not None:
                    yield self._answer(*before)
            if asked is not None:
                yield self._answer(*asked)
        finally:
            if asked is not None:
                asked[1].cancel()

    def _ask(self, chunk: Frames) -> Future[CheckedChunk]:
        # Either `abandon` finds what is asked here, or this finds that it was called.
        with self._lock:
            if self._abandoned:
                raise CancelledError
            asked = asyncio.run_coroutine_threadsafe(self._client.check_frames(self._job_id, chunk), self._loop)
            self._waiting.add(asked)
        asked.add_done_callback(self._waiting.discard)
        return asked

    def _answer(self, chunk: Frames, asked: Future[CheckedChunk]) -> Frames:
        answer = asked.result()
        self._checks += answer.checks
        return chunk if answer.frames is None else answer.frames
