"""The Reasoner stage: chat about text, images and videos, by vLLM.

It replaces the media of chats by embeddings from the Encoder, passes everything else to vLLM unchanged, and aborts
requests whose answers nobody reads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import RequestError
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import SampledFrames
from cosmos3_core.model.names import reasoner_shapes
from cosmos3_core.weights import stored_tensors
from deployments.background import in_background
from deployments.decoding.decoder import MediaDecoder
from deployments.logs import log, logs_for
from deployments.reasoner.pacing import Pace
from deployments.reasoner.refusals import refusal
from deployments.settings.model import ModelSettings
from deployments.wire.handles import answer_of
from deployments.wire.handoff import to_tensor
from deployments.wire.messages import EmbeddingsReference
from deployments.wire.reasoner_calls import STREAMED, AttachedMedium, Operation, ReasonerAnswer, ReasonerCall
from deployments.wire.replica import Replica

if TYPE_CHECKING:
    from deployments.reasoner.engine import ReasonerEngine
    from deployments.reasoner.media import Embedded

Value = TypeVar("Value")
VISION = "vision_encoder"
CONNECTOR_VARIABLE = "VLLM_MEDIA_CONNECTOR"
WARM_UP: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "temperature": 0}


class Reasoner(Replica):
    """Deployment: one vLLM engine on the unified checkpoint."""

    def __init__(self, settings: ModelSettings, encoder: Any | None = None) -> None:
        assert settings.reasoner is not None
        self.settings = settings
        self.encoder = encoder
        self.checkpoint = settings.find_checkpoint()
        self.decoder = MediaDecoder(settings.decoding)
        # Before the import: vLLM reads its variables then, and the processes of its engine inherit them.
        os.environ.update(settings.reasoner.environment | {CONNECTOR_VARIABLE: "cosmos3"})
        from deployments.reasoner.engine import ReasonerEngine

        self.engine: ReasonerEngine = ReasonerEngine(settings.name, self.checkpoint, settings.reasoner)
        self._pace = Pace(settings.reasoner.pieces_per_s)
        self._requests = self._active = 0
        self._bytes_read = _bytes_read(self.checkpoint)
        self._warm = False

    async def check_health(self) -> None:
        """Serve asks this before the replica is ready and regularly from then on.

        Raises:
            Exception: vLLM's engine is dead.
        """
        if not self._warm:
            await self.engine.start()
            body = {"model": self.settings.name, **WARM_UP}
            answer = await self.answer(ReasonerCall("warm-up", Operation.CHAT, body))
            if answer.status != 200:
                raise RuntimeError(f"the warm-up request failed: {answer.body}")
            self._requests, self._warm = 0, True
        await self.engine.check_health()

    async def answer(self, call: ReasonerCall) -> ReasonerAnswer:
        """Answer as a whole. Cancelling the call aborts the request in the engine."""
        whole = replace(call, body={**call.body, "stream": False}) if call.operation in STREAMED else call
        async with aclosing(self._answers(whole)) as answers:
            answer = await anext(answers)
        assert isinstance(answer, ReasonerAnswer)
        return answer

    async def stream(self, call: ReasonerCall) -> AsyncGenerator[ReasonerAnswer | str, None]:
        """Answer with an error or with server-sent events. Closing the stream aborts the request in the engine."""
        async with aclosing(self._answers(call)) as answers:
            async for part in answers:
                yield part

    async def _answers(self, call: ReasonerCall) -> AsyncGenerator[ReasonerAnswer | str, None]:
        self._requests += 1
        self._active += 1
        try:
            with logs_for(call.request_id):
                try:
                    prepared = await self._prepared(call)
                except RequestError as error:
                    yield refusal(error.field, str(error))
                    return
                with prepared as body:
                    answer = await self.engine.answer(call.operation, body)
                    if isinstance(answer, ReasonerAnswer):
                        log.info("answered: %d", answer.status)
                        yield answer
                        return
                    async with aclosing(self._pace.joined(answer)) as pieces:
                        async for piece in pieces:
                            yield piece
        finally:
            self._active -= 1

    async def _prepared(self, call: ReasonerCall) -> AbstractContextManager[dict[str, Any]]:
        """The body for vLLM, which can ask for the call's media while the block runs.

        Raises:
            RequestError: a medium cannot be read.
        """
        from deployments.reasoner.media import with_embeddings, with_pixels

        body = {**call.body, "request_id": call.request_id} if call.operation in STREAMED else call.body
        if self.encoder is None or call.operation is not Operation.CHAT:
            return with_pixels(body, call.media, await _of_each(self._decode, call))
        return with_embeddings(body, call.media, await _of_each(self._embed, call))

    async def _decode(self, request_id: str, medium: AttachedMedium) -> SampledFrames:
        return await self.decoder.apart(self.decoder.visual, medium.visual)

    async def _embed(self, request_id: str, medium: AttachedMedium) -> Embedded:
        from deployments.reasoner.media import Embedded

        assert self.encoder is not None
        with logs_for(request_id):
            found: EmbeddingsReference = await answer_of(self.encoder.embed.remote(request_id, medium.visual))
        array = await found.embeddings.reference
        tensor = await asyncio.to_thread(to_tensor, array, found.embeddings.dtype, torch.device("cpu"))
        return Embedded(tensor, found.grid, found.timestamps)

    async def exposition(self) -> str:
        """vLLM's own metrics in Prometheus' text format."""
        from deployments.reasoner.figures import exposition

        return exposition()

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`; `vllm_` are the engine's own."""
        figures = self.engine.figures
        return {
            "chat_requests": self._requests,
            "active_requests": self._active,
            **self._bytes_read,
            "vllm_unfinished_requests": self.engine.llm.get_num_unfinished_requests(),
            "vllm_running_requests": figures.running,
            "vllm_waiting_requests": figures.waiting,
            "vllm_prompt_tokens": figures.prompt_tokens,
            "vllm_generated_tokens": figures.generated_tokens,
        }

    def __del__(self) -> None:
        # Serve calls this when the replica has drained.
        engine = getattr(self, "engine", None)
        if engine is not None:
            engine.shutdown()


async def _of_each(
    read: Callable[[str, AttachedMedium], Coroutine[Any, Any, Value]], call: ReasonerCall
) -> list[Value]:
    """Read the media of a call beside each other.

    Raises:
        RequestError: one cannot be read.
    """

    async def named(medium: AttachedMedium) -> Value:
        try:
            return await read(call.request_id, medium)
        except MediaError as error:
            # Ray's own exception, whose text is a traceback, is one of the cause's class too.
            raise RequestError(medium.field, f"cannot be read: {getattr(error, 'cause', error)}") from error

    # Each in a context of its own: Serve gives all calls of one request the same internal id, and a router that
    # does not go by their order loses all but one of the calls that wait under one id.
    tasks = [in_background(named(medium)) for medium in call.media]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _bytes_read(checkpoint: Checkpoint) -> dict[str, float]:
    """The bytes that vLLM reads: a whole copy of the tower with its head, and a copy of the ViT.

    The figures come from the checkpoint's headers: vLLM does not report them, and on a CPU it repacks its weights.
    """
    stored = stored_tensors(checkpoint.folder("transformer"))
    tower = sum(stored[name].nbytes for name in reasoner_shapes(checkpoint.transformer_config))
    vision = sum(tensor.nbytes for tensor in stored_tensors(checkpoint.folder(VISION)).values())
    return {"vllm_tower_bytes_read": tower, "vllm_vision_bytes_read": vision}
