"""vLLM: the engine on the unified checkpoint, and vLLM's own chat serving in front of it.

vLLM's modules move between releases, so only this module and `media` import from it. The environment variables that
vLLM reads must be set before the import.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from pydantic import ValidationError
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionResponse
from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import VLLMError
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.loggers import StatLoggerBase

from cosmos3_core.checkpoint import Checkpoint
from deployments.reasoner.refusals import refusal_of
from deployments.settings import ReasonerSettings
from deployments.wire.chat_answer import ChatAnswer
from deployments.wire.chat_images import MAX_IMAGES


class EngineStats(StatLoggerBase):
    """The last figures of vLLM's scheduler, and totals."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self.running = self.waiting = self.prompt_tokens = self.generated_tokens = 0

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """vLLM calls this after each step of the engine."""
        if scheduler_stats is not None:
            self.running = scheduler_stats.num_running_reqs
            self.waiting = scheduler_stats.num_waiting_reqs
        if iteration_stats is not None:
            self.prompt_tokens += iteration_stats.num_prompt_tokens
            self.generated_tokens += iteration_stats.num_generation_tokens

    def log_engine_initialized(self) -> None:
        """vLLM requires this method; there is nothing to log."""


class ChatEngine:
    """A vLLM engine, with vLLM's chat serving in front of it."""

    def __init__(self, name: str, checkpoint: Checkpoint, settings: ReasonerSettings) -> None:
        self.stats = EngineStats(None)
        self.llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(**engine_arguments(checkpoint, settings)),
            stat_loggers=[lambda *_: self.stats],
        )
        models = OpenAIServingModels(self.llm, [BaseModelPath(name, str(checkpoint.root))])
        renderer = OnlineRenderer(
            self.llm.model_config,
            self.llm.renderer,
            request_logger=None,
            chat_template=None,
            chat_template_content_format="auto",
        )
        self._chat = OpenAIServingChat(
            self.llm,
            models,
            "assistant",
            online_renderer=renderer,
            request_logger=None,
            chat_template=None,
            chat_template_content_format="auto",
        )

    async def chat(self, body: dict[str, Any]) -> ChatAnswer | AsyncGenerator[str, None]:
        """Answer a chat request with a whole answer, an error, or a stream of server-sent events."""
        try:
            request = ChatCompletionRequest(**body)
        except ValidationError as error:
            field, message = refusal_of(error.errors(include_url=False), body)
            return _answer(create_error_response(message, param=field))
        except VLLMError as error:
            return _answer(create_error_response(error))
        except Exception as error:  # Whatever vLLM's validators raise is caused by the request.
            return _answer(create_error_response(f"the request cannot be read: {error}"))
        try:
            result = await self._chat.create_chat_completion(request)
        except Exception as error:
            if self.llm.errored:
                raise
            return _answer(create_error_response(error))
        if isinstance(result, ErrorResponse):
            return _answer(result)
        if isinstance(result, ChatCompletionResponse):
            return ChatAnswer(200, result.model_dump())
        return result

    async def check_health(self) -> None:
        """Raise if the engine is dead."""
        await self.llm.check_health()

    def shutdown(self) -> None:
        """End the engine's processes."""
        self.llm.shutdown(timeout=5)


def engine_arguments(checkpoint: Checkpoint, settings: ReasonerSettings) -> dict[str, Any]:
    """vLLM's arguments: defaults that depend on where images are embedded, overridden by the recipe's.

    vLLM loads a ViT in either case. With a limit of 0 images it would load none, but then it does not understand the
    deep features in Qwen's embeddings (0.32; docs/decisions/005).
    """
    return {
        "model": str(checkpoint.root),
        "enable_mm_embeds": settings.vision == "encoder",
        "limit_mm_per_prompt": {"image": MAX_IMAGES, "video": 0},
        "distributed_executor_backend": "uni",
        **settings.engine,
    }


def _answer(response: ErrorResponse) -> ChatAnswer:
    return ChatAnswer(int(response.error.code), response.model_dump())
