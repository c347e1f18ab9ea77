"""vLLM: the engine on the unified checkpoint, and vLLM's own serving of OpenAI's routes in front of it.

vLLM's modules move between releases, so only this module, `tried_engine`, `media` and `figures` import from it. The
environment variables that vLLM reads must be set before the import.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.datastructures import State
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.cli_args import FrontendArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.models.protocol import LoRAModulePath
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.tokenize.protocol import DetokenizeRequest, TokenizeRequest
from vllm.exceptions import GracefulHTTPError, VLLMError
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM

from cosmos3_core.checkpoint import Checkpoint
from deployments.logs import log
from deployments.reasoner.beginnings import begun
from deployments.reasoner.figures import SchedulerFigures
from deployments.reasoner.media import FRAMES_PER_PATCH
from deployments.reasoner.refusals import refusal_of
from deployments.reasoner.tried_engine import TriedEngine
from deployments.settings.model import ReasonerSettings
from deployments.wire.chat_media import MAX_IMAGES, MAX_VIDEOS
from deployments.wire.reasoner_calls import Operation, ReasonerAnswer

Handler = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class _Route:
    """One of vLLM's operations.

    Attributes:
        request: the type of its request.
        handler: finds what answers it.
    """

    request: TypeAdapter[Any]
    handler: Callable[[State], Handler]


_ROUTES = {
    Operation.CHAT: _Route(
        TypeAdapter(ChatCompletionRequest), lambda state: state.openai_serving_chat.create_chat_completion
    ),
    Operation.COMPLETION: _Route(
        TypeAdapter(CompletionRequest), lambda state: state.openai_serving_completion.create_completion
    ),
    Operation.RESPONSES: _Route(
        TypeAdapter(ResponsesRequest), lambda state: state.openai_serving_responses.create_responses
    ),
    Operation.TOKENIZE: _Route(
        TypeAdapter(TokenizeRequest), lambda state: _with_raw(state.serving_tokenization.create_tokenize)
    ),
    Operation.DETOKENIZE: _Route(
        TypeAdapter(DetokenizeRequest), lambda state: _with_raw(state.serving_tokenization.create_detokenize)
    ),
}


class ReasonerEngine:
    """A vLLM engine, with what `vllm serve` puts in front of it."""

    def __init__(self, name: str, checkpoint: Checkpoint, settings: ReasonerSettings) -> None:
        self._settings = settings
        self._arguments = AsyncEngineArgs(**engine_arguments(name, checkpoint, settings))
        self.figures = SchedulerFigures(None)
        self.llm = AsyncLLM.from_engine_args(self._arguments, stat_loggers=[lambda *_: self.figures])
        self._tried = TriedEngine(self.llm, settings.trials)
        self._state = State()

    async def start(self) -> None:
        """Make vLLM's handlers, which load the adapters that the recipe names."""
        # All of the engine's own methods are reached through it.
        client: Any = self._tried
        await init_app_state(client, self._state, self._server(), await self.llm.get_supported_tasks())
        self._state.openai_serving_completion.engine_client = _WithoutThoughts(self._tried)

    def _server(self) -> Namespace:
        """The arguments of `vllm serve`: its own defaults, the recipe's, and those that the graph decides."""
        given = dict(self._settings.server)
        if "lora_modules" in given:
            given["lora_modules"] = [LoRAModulePath(**module) for module in given["lora_modules"]]
        frontend = FrontendArgs(**given)
        own = {field.name: getattr(frontend, field.name) for field in fields(frontend)}
        engine = {field.name: getattr(self._arguments, field.name) for field in fields(self._arguments)}
        decided = {
            # The ingress has read the fields that this is about, and passes on nothing else.
            "trust_request_mm_kwargs": True,
            "structured_outputs_config": self.llm.vllm_config.structured_outputs_config,
        }
        return Namespace(**engine | own | decided)

    async def answer(self, operation: Operation, body: dict[str, Any]) -> ReasonerAnswer | AsyncGenerator[str, None]:
        """Answer a request with a whole answer, an error, or a stream of server-sent events."""
        route = _ROUTES[operation]
        try:
            request = route.request.validate_python(body)
        except ValidationError as error:
            field, message = refusal_of(error.errors(include_url=False), body)
            return _error(create_error_response(message, param=field))
        except VLLMError as error:
            return _error(create_error_response(error))
        except Exception as error:  # Whatever vLLM's validators raise is caused by the request.
            return _error(create_error_response(f"the request cannot be read: {error}"))
        try:
            result = await route.handler(self._state)(request)
        except Exception as error:
            if self.llm.errored:
                raise
            return _failure(error)
        if isinstance(result, ErrorResponse):
            return _error(result)
        if isinstance(result, BaseModel):
            by_alias = operation is Operation.RESPONSES
            return ReasonerAnswer(200, result.model_dump(mode="json", by_alias=by_alias))
        return _events(result) if operation is Operation.RESPONSES else await begun(result)

    async def check_health(self) -> None:
        """Raise if the engine is dead."""
        await self.llm.check_health()

    def shutdown(self) -> None:
        """End the engine's processes."""
        self._tried.close()
        self.llm.shutdown(timeout=5)


def engine_arguments(name: str, checkpoint: Checkpoint, settings: ReasonerSettings) -> dict[str, Any]:
    """vLLM's arguments: defaults that depend on where images are embedded, overridden by the recipe's.

    vLLM loads a ViT in either case. With a limit of 0 images it would load none, but then it does not understand the
    deep features in Qwen's embeddings (0.32; docs/decisions/005).

    Raises:
        ValueError: an argument that vLLM takes and cannot serve.
    """
    if settings.engine.get("video_pruning_rate") and current_platform.is_cpu():
        # vLLM 0.32 leaves its CPU runner unaware of it, and the engine dies at the first image or video.
        raise ValueError("reasoner.engine.video_pruning_rate needs a GPU; leave it out on a CPU")
    return {
        "model": str(checkpoint.root),
        "served_model_name": [name],
        "enable_mm_embeds": settings.vision == "encoder",
        "limit_mm_per_prompt": {"image": MAX_IMAGES, "video": MAX_VIDEOS},
        "media_io_kwargs": {"video": {FRAMES_PER_PATCH: _frames_per_patch(checkpoint)}},
        "distributed_executor_backend": "uni",
        **_for_the_processor(),
        **settings.engine,
    }


def _for_the_processor() -> dict[str, Any]:
    """What vLLM's engine needs where it has no GPU.

    vLLM 0.32 takes back a seeded generator's draw after each part of a prompt but the last, which generators on a CPU
    cannot do: a request with a seed and a long prompt would end the engine. So no prompt is computed in parts.
    """
    return {"enable_chunked_prefill": False} if current_platform.is_cpu() else {}


def _frames_per_patch(checkpoint: Checkpoint) -> int:
    """Frames that share a temporal patch."""
    config = json.loads((checkpoint.root / "video_preprocessor_config.json").read_text(encoding="utf-8"))
    return int(config.get("temporal_patch_size", 1))


class _WithoutThoughts:
    """The engine for completions, whose prompts open no thought.

    With a reasoning parser, vLLM 0.32 constrains a completion only behind the end of a thought, so `structured_outputs`
    would silently do nothing. For chats its serving says where a thought ends.
    """

    def __init__(self, llm: TriedEngine) -> None:
        self._llm = llm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def generate(self, *arguments: Any, **options: Any) -> Any:
        """The engine's answers to a prompt."""
        return self._llm.generate(*arguments, **{"reasoning_ended": True, **options})


def _with_raw(handler: Callable[[Any, Any], Awaitable[Any]]) -> Handler:
    """A handler that wants the HTTP request too, only to read tracing headers from it."""
    return lambda request: handler(request, None)


async def _events(stream: AsyncGenerator[Any, None]) -> AsyncGenerator[str, None]:
    """The events of the Responses API, as vLLM's own server sends them."""
    async with aclosing(stream):
        async for event in stream:
            yield f"event: {event.type}\ndata: {event.model_dump_json(by_alias=True)}\n\n"


def _failure(error: Exception) -> ReasonerAnswer:
    """What vLLM makes of an exception; what is no fault of the client's goes to the log and not to the client."""
    answer = _error(create_error_response(error))
    if answer.status < 500 or isinstance(error, GracefulHTTPError):
        return answer
    if isinstance(error, TimeoutError):
        # vLLM renders all chats in one thread, and gives up on one that waits there for a long one.
        log.warning("vLLM is busy: %s", error)
        busy = "the engine is busy with other requests; try again"
        return _error(create_error_response(busy, status_code=HTTPStatus.SERVICE_UNAVAILABLE))
    log.exception("vLLM failed: %s", error)
    return _error(
        create_error_response("the engine failed; the log has its details", status_code=HTTPStatus(answer.status))
    )


def _error(response: ErrorResponse) -> ReasonerAnswer:
    return ReasonerAnswer(int(response.error.code), response.model_dump())
