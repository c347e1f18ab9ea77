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

from cosmos3_core.controls import ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import SampledFrames
from cosmos3_core.request import GenerationRequest
from deployments.decoding.operations import Operation
from deployments.decoding.packing import Packed
from deployments.decoding.worker import Worker
from deployments.settings import DecodingSettings
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
        if not request.media():
            return read_inputs(request)
        shapes = self._ask_for(request, Operation.CHECK).facts["shapes"]
        return _inputs(shapes, lambda shape, dtype: np.broadcast_to(np.zeros((), dtype), shape))

    def inputs(self, request: GenerationRequest) -> MediaInputs:
        """A request's media; see `read_inputs`.

        Raises:
            RequestError: an input is missing, forbidden in this mode, or cannot be read.
        """
        if not request.media():
            return read_inputs(request)
        found = self._ask_for(request, Operation.INPUTS)
        arrays = iter(found.arrays)
        return _inputs(found.facts["shapes"], lambda shape, dtype: next(arrays))

    def check_visual(self, visual: VisualInput) -> None:
        """Decode a still, or one frame of a video, to see whether it can be.

        Raises:
            MediaError: it cannot.
        """
        self._ask(Operation.CHECK_VISUAL, (visual,))

    def visual(self, visual: VisualInput, *, wanted: Callable[[], bool] = _always) -> SampledFrames:
        """What the Reasoner looks at; a still is a video of one frame.

        Raises:
            MediaError: it cannot be decoded.
        """
        found = self._ask(Operation.VISUAL, (visual,), wanted)
        return SampledFrames(found.arrays[0], found.facts["indices"], found.facts["fps"], found.facts["total"])

    def sound(self, file: bytes, sampling_rate: int) -> NDArray[np.float32]:
        """A file's sound, fp32 `[2, samples]`; see `decode_audio`.

        Raises:
            MediaError: it cannot be decoded.
        """
        return self._ask(Operation.SOUND, (file, sampling_rate)).arrays[0]

    def picture(self, file: bytes, canvas: Canvas) -> NDArray[np.uint8]:
        """A picture as the upsampling Reasoner sees it; see `picture_for_chat`.

        Raises:
            MediaError: it cannot be decoded.
        """
        return self._ask(Operation.PICTURE, (file, canvas)).arrays[0]

    def _ask_for(self, request: GenerationRequest, operation: Operation) -> Packed:
        try:
            return self._ask(operation, (request,))
        except MediaError as error:
            # The process died of one of the media, and cannot say of which.
            field, *others = request.media()
            among = f"or {' or '.join(others)} " if others else ""
            raise RequestError(field, f"{among}{error}") from error

    def _ask(self, operation: Operation, arguments: tuple[Any, ...], wanted: Callable[[], bool] = _always) -> Packed:
        with self._free:
            worker = self._taken()
            try:
                return worker.ask(operation, arguments, wanted)
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


def _inputs(shapes: dict[str, Any], array: Callable[[tuple[int, ...], Any], NDArray[Any]]) -> MediaInputs:
    """Inputs with their arrays, asked for in the order in which the process packs them."""
    frames, sound = shapes["frames"], shapes["sound"]
    return MediaInputs(
        None if frames is None else array(tuple(frames), np.uint8),
        shapes["fps"],
        {ControlKind(kind): array(tuple(shape), np.uint8) for kind, shape in shapes["controls"].items()},
        None if sound is None else array(tuple(sound), np.float32),
    )
