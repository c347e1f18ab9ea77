"""The Reasoner stage: chat about text and images, by vLLM.

It replaces images by embeddings from the Encoder, passes everything else to vLLM unchanged, and aborts requests whose
answers nobody reads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from deployments.importing import without_collection

with without_collection():
    import torch
    from torch import Tensor

    from cosmos3_core.checkpoint import Checkpoint
    from cosmos3_core.model.names import reasoner_shapes
    from cosmos3_core.weights import stored_tensors
    from deployments.logs import log, logs_for
    from deployments.settings import ModelSettings
    from deployments.wire.chat_answer import ChatAnswer
    from deployments.wire.chat_images import image_parts, with_parts
    from deployments.wire.handles import answer_of
    from deployments.wire.handoff import to_tensor
    from deployments.wire.messages import EmbeddingsReference

if TYPE_CHECKING:
    from deployments.reasoner.engine import ChatEngine

VISION = "vision_encoder"
CONNECTOR_VARIABLE = "VLLM_MEDIA_CONNECTOR"
WARM_UP: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2, "temperature": 0}


class Reasoner:
    """Deployment: one vLLM engine on the unified checkpoint."""

    def __init__(self, settings: ModelSettings, encoder: Any | None = None) -> None:
        assert settings.reasoner is not None
        self.settings = settings
        self.encoder = encoder
        self.checkpoint = settings.find_checkpoint()
        # Before the import: vLLM reads its variables then, and the processes of its engine inherit them.
        os.environ.update(settings.reasoner.environment | {CONNECTOR_VARIABLE: "cosmos3"})
        with without_collection():
            from deployments.reasoner.engine import ChatEngine

        self.engine: ChatEngine = ChatEngine(settings.name, self.checkpoint, settings.reasoner)
        self._requests = self._active = 0
        self._bytes_read = _bytes_read(self.checkpoint)
        self._warm = False

    async def check_health(self) -> None:
        """Serve asks this before the replica is ready and regularly from then on.

        Raises:
            Exception: vLLM's engine is dead.
        """
        if not self._warm:
            answer = await self.chat("warm-up", {"model": self.settings.name, **WARM_UP})
            if answer.status != 200:
                raise RuntimeError(f"the warm-up request failed: {answer.body}")
            self._requests, self._warm = 0, True
        await self.engine.check_health()

    async def chat(self, request_id: str, body: dict[str, Any]) -> ChatAnswer:
        """Answer as a whole. Cancelling the call aborts the request in the engine."""
        async with aclosing(self._answers(request_id, {**body, "stream": False})) as answers:
            answer = await anext(answers)
        assert isinstance(answer, ChatAnswer)
        return answer

    async def chat_stream(self, request_id: str, body: dict[str, Any]) -> AsyncGenerator[ChatAnswer | str, None]:
        """Answer with an error or with server-sent events. Closing the stream aborts the request in the engine."""
        async with aclosing(self._answers(request_id, body)) as answers:
            async for part in answers:
                yield part

    async def _answers(self, request_id: str, body: dict[str, Any]) -> AsyncGenerator[ChatAnswer | str, None]:
        from deployments.reasoner.media import registered

        self._requests += 1
        self._active += 1
        try:
            with logs_for(request_id):
                images = await self._images(request_id, body)
                with registered(images) as parts:
                    answer = await self.engine.chat({**with_parts(body, parts), "request_id": request_id})
                    if isinstance(answer, ChatAnswer):
                        log.info("answered: %d", answer.status)
                        yield answer
                        return
                    async with aclosing(answer) as events:
                        async for event in events:
                            yield event
        finally:
            self._active -= 1

    async def _images(self, request_id: str, body: dict[str, Any]) -> list[tuple[Tensor, tuple[int, int, int]]]:
        """Embeddings of the images in a chat, in order; empty if vLLM embeds them itself."""
        if self.encoder is None:
            return []
        images = await asyncio.to_thread(image_parts, body)
        if not images:
            return []
        references: list[EmbeddingsReference] = await answer_of(self.encoder.embed.remote(request_id, images))
        arrays = await asyncio.gather(*(reference.embeddings.reference for reference in references))
        cpu = torch.device("cpu")
        return [
            (to_tensor(array, reference.embeddings.dtype, cpu), reference.grid)
            for array, reference in zip(arrays, references, strict=True)
        ]

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`; `vllm_` are the engine's own."""
        stats = self.engine.stats
        return {
            "chat_requests": self._requests,
            "active_requests": self._active,
            **self._bytes_read,
            "vllm_unfinished_requests": self.engine.llm.get_num_unfinished_requests(),
            "vllm_running_requests": stats.running,
            "vllm_waiting_requests": stats.waiting,
            "vllm_prompt_tokens": stats.prompt_tokens,
            "vllm_generated_tokens": stats.generated_tokens,
        }

    def __del__(self) -> None:
        # Serve calls this when the replica has drained.
        engine = getattr(self, "engine", None)
        if engine is not None:
            engine.shutdown()


def _bytes_read(checkpoint: Checkpoint) -> dict[str, float]:
    """The bytes that vLLM reads: a whole copy of the tower with its head, and a copy of the ViT.

    The figures come from the checkpoint's headers: vLLM does not report them, and on a CPU it repacks its weights.
    """
    stored = stored_tensors(checkpoint.folder("transformer"))
    tower = sum(stored[name].nbytes for name in reasoner_shapes(checkpoint.transformer_config))
    vision = sum(tensor.nbytes for tensor in stored_tensors(checkpoint.folder(VISION)).values())
    return {"vllm_tower_bytes_read": tower, "vllm_vision_bytes_read": vision}
