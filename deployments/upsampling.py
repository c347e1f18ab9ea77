"""Prompt upsampling by a model's Reasoner: one chat for equal requests, a cache, a bound on time, clear failures."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException

from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.media.checks import MediaError
from cosmos3_core.modes import Mode
from cosmos3_core.upsampling.prompt import PlainPrompt, UnusableAnswer, Upsampling, prompt_of
from cosmos3_core.upsampling.template import NAMES, OWN_TEMPLATES, Template
from deployments.decoding.decoder import MediaDecoder
from deployments.logs import log, logs_for
from deployments.settings.model import ModelSettings
from deployments.single_flight import SingleFlight
from deployments.wire.chat_media import chat_call
from deployments.wire.handles import answer_of
from deployments.wire.media_store import read_media
from deployments.wire.reasoner_calls import ReasonerAnswer
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt, UpsamplingFailed

RETRY_PAUSE_S = 1.0
BUSY = (429, 503)
"""Statuses of answers that say that the Reasoner has no time now."""


class Upsampler:
    """Writes structured prompts for one model.

    Args:
        settings: the settings of the model.
        modes: the modes of its checkpoint.
        reasoner: a handle of its Reasoner.

    Attributes:
        requests: how many prompts were asked for.

    Raises:
        TemplateError: a template cannot be read or used.
    """

    def __init__(self, settings: ModelSettings, modes: Iterable[Mode], reasoner: Any) -> None:
        own = settings.upsampling
        folder = own.templates or OWN_TEMPLATES
        self.requests = 0
        self._model = settings.name
        self._decoder = MediaDecoder(settings.decoding)
        self._timeout_s = own.timeout_s
        self._reasoner = reasoner
        self._upsamplings = {
            mode: Upsampling.of(Template.read(folder, mode), settings.upsampled_tokens)
            for mode in modes
            if mode in NAMES
        }
        self._captions: ByteCache[str, dict[str, Any]] = ByteCache(own.cached_prompts, lambda _: 1)
        self._running: SingleFlight[str, dict[str, Any]] = SingleFlight()

    async def upsample(self, request_id: str, call: UpsampleCall) -> UpsampledPrompt:
        """The structured prompt of a call. When nobody waits for a chat any more, it is cancelled.

        Raises:
            UpsamplingFailed: the Reasoner is busy, away, too slow, refuses, or writes what is no structured prompt.
        """
        self.requests += 1
        started = time.perf_counter()
        upsampling = self._upsamplings[Mode(call.mode)]
        body = {"model": self._model, **await asyncio.to_thread(self._chat_body, upsampling, call)}
        # Whatever the Reasoner is told is in the body: the template's hash, the picture's content, and of the
        # request's numbers those that the template names.
        key = hashlib.sha256(json.dumps([call.mode, body]).encode()).hexdigest()
        caption = self._captions.get(key)
        if caption is None:
            caption = await self._running.run(key, lambda: self._write(request_id, key, upsampling, body))
        try:
            prompt = prompt_of(caption, call.clip)
        except UnusableAnswer as error:
            raise _unusable(error) from error
        return UpsampledPrompt(prompt, upsampling.template.sha256, time.perf_counter() - started)

    async def _write(self, request_id: str, key: str, upsampling: Upsampling, body: dict[str, Any]) -> dict[str, Any]:
        with logs_for(request_id):
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await self._answer(request_id, body)
            except TimeoutError:
                message = f"the Reasoner wrote no prompt within {self._timeout_s:g} s"
                raise UpsamplingFailed(message, again=True) from None
            try:
                caption = upsampling.read(_text_of(answer, upsampling.max_tokens))
            except UnusableAnswer as error:
                raise _unusable(error) from error
            self._captions.put(key, caption)
            log.info("the Reasoner wrote a prompt")
            return caption

    async def _answer(self, request_id: str, body: dict[str, Any]) -> ReasonerAnswer:
        while True:
            # An id of its own for each chat: one of a process that died may still be known to the engine.
            chat_id = f"{request_id}-{uuid.uuid4().hex[:8]}"
            try:
                answer: ReasonerAnswer = await answer_of(self._reasoner.answer.remote(chat_call(chat_id, body)))
                return answer
            except RayActorError as error:
                # Serve replaces the replica, and the handle waits for the new one.
                log.warning("the Reasoner died: %s", type(error).__name__)
                await asyncio.sleep(RETRY_PAUSE_S)
            except BackPressureError as error:
                raise UpsamplingFailed("the Reasoner is busy", again=True) from error
            except (DeploymentUnavailableError, RayServeException) as error:
                raise UpsamplingFailed("the Reasoner is not available", again=True) from error
            except RayError as error:
                log.error("the Reasoner failed: %s", error)
                raise UpsamplingFailed("the Reasoner failed while it wrote the prompt", again=False) from error

    def _chat_body(self, upsampling: Upsampling, call: UpsampleCall) -> dict[str, Any]:
        image = None
        if call.image is not None:
            try:
                image = self._decoder.picture(read_media(call.image), call.clip.canvas)
            except MediaError as error:
                raise UpsamplingFailed(f"the image cannot be shown to the Reasoner: {error}", again=False) from error
        return upsampling.chat(PlainPrompt(call.prompt, call.clip, call.seed, image))

    def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        return {
            "upsample_requests": self.requests,
            "upsample_running": len(self._running),
            "upsample_cache_hits": self._captions.hits,
            "upsample_cached_prompts": len(self._captions),
        }


def _text_of(answer: ReasonerAnswer, max_tokens: int) -> str:
    """The text of a whole answer.

    Raises:
        UpsamplingFailed: it is an error, or was cut off.
        UnusableAnswer: it holds no text.
    """
    if answer.status != 200:
        reason = (answer.body.get("error") or {}).get("message", "")
        verb = "is busy" if answer.status in BUSY else "refused to write the prompt"
        raise UpsamplingFailed(f"the Reasoner {verb}: {answer.status} {reason}", again=answer.status in BUSY)
    choice = answer.body["choices"][0]
    if choice.get("finish_reason") == "length":
        raise UpsamplingFailed(f"the Reasoner's prompt was not complete after {max_tokens} tokens", again=False)
    text = choice["message"].get("content")
    if not isinstance(text, str):
        raise UnusableAnswer("holds no text")
    return text


def _unusable(error: UnusableAnswer) -> UpsamplingFailed:
    return UpsamplingFailed(f"the Reasoner's answer {error}", again=False)
