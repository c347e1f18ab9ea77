"""Decodes other people's media in confined processes: what the stages call instead of the core's readers."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import SampledFrames
from cosmos3_core.request import GenerationRequest
from deployments.decoding.operations import Operation, unpacked_frames, unpacked_inputs
from deployments.decoding.packing import Packed
from deployments.decoding.worker import Worker
from deployments.settings.decoding import DecodingSettings
from deployments.wire.visual_input import VisualInput

P = ParamSpec("P")
T = TypeVar("T")


def _always() -> bool:
    return True


class MediaDecoder:
    """A few confined processes, started when they are needed, and asked by threads.

    Args:
        settings: how many there are and what each may use.
        ready: start the first one now, in the background, so that the first medium does not wait for it.
    """

    def __init__(self, settings: DecodingSettings, *, ready: bool = False) -> None:
        self._settings = settings
        self._free = threading.BoundedSemaphore(settings.processes)
        self._idle: list[Worker] = []
        self._threads = ThreadPoolExecutor(settings.processes, thread_name_prefix="decode")
        # Its processes end with it, also where nobody closes it.
        self._end = weakref.finalize(self, _stop, self._idle)
        if ready:
            self._threads.submit(self._prepare)

    async def apart(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call one of the methods below without holding up the event loop."""
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def check(self, request: GenerationRequest) -> MediaInputs:
        """Decode a request's media to see whether they can be; the arrays have their shapes and no content.

        Raises:
            RequestError: an input is missing, forbidden in this mode, or cannot be read.
        """
        return self._inputs_of(request, Operation.CHECK)

    def inputs(self, request: GenerationRequest) -> MediaInputs:
        """A request's media; see `read_inputs`.

        Raises:
            RequestError: an input is missing, forbidden in this mode, or cannot be read.
        """
        return self._inputs_of(request, Operation.INPUTS)

    def check_visual(self, visual: VisualInput) -> None:
        """Decode a still, or one frame of a video, to see whether it can be.

        Raises:
            MediaError: it cannot.
        """
        self._ask(Operation.CHECK_VISUAL, (visual,), lambda found: True)

    def visual(self, visual: VisualInput, *, wanted: Callable[[], bool] = _always) -> SampledFrames:
        """What the Reasoner looks at; a still is a video of one frame.

        Raises:
            MediaError: it cannot be decoded.
        """
        return self._ask(Operation.VISUAL, (visual,), unpacked_frames, wanted)

    def sound(self, file: bytes, sampling_rate: int) -> NDArray[np.float32]:
        """A file's sound, fp32 `[2, samples]`; see `decode_audio`.

        Raises:
            MediaError: it cannot be decoded.
        """
        return self._ask(Operation.SOUND, (file, sampling_rate), lambda found: found.array("float32", 2))

    def picture(self, file: bytes, canvas: Canvas) -> NDArray[np.uint8]:
        """A picture as the upsampling Reasoner sees it; see `picture_for_chat`.

        Raises:
            MediaError: it cannot be decoded.
        """
        return self._ask(Operation.PICTURE, (file, canvas), lambda found: found.array("uint8", 3))

    def _inputs_of(self, request: GenerationRequest, operation: Operation) -> MediaInputs:
        if not request.media():
            return read_inputs(request)
        try:
            return self._ask(operation, (request,), unpacked_inputs)
        except MediaError as error:
            # The process died of one of the media, and cannot say of which.
            field, *others = request.media()
            among = f"or {' or '.join(others)} " if others else ""
            raise RequestError(field, f"{among}{error}") from error

    def _ask(
        self,
        operation: Operation,
        arguments: tuple[Any, ...],
        read: Callable[[Packed], T],
        wanted: Callable[[], bool] = _always,
    ) -> T:
        with self._free:
            worker = self._taken()
            try:
                return worker.ask(operation, arguments, read, wanted)
            finally:
                if worker.usable:
                    self._idle.append(worker)
                else:
                    worker.stop()

    def _taken(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                return worker
            worker.stop()
        return Worker(self._settings)

    def _prepare(self) -> None:
        with self._free:
            self._idle.append(self._taken())

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(cancel_futures=True)
        self._end()


def _stop(workers: list[Worker]) -> None:
    while workers:
        workers.pop().stop()
