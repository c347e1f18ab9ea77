"""The Encoder stage: prompts to keys and values, conditioning media to clean latents, a chat's media to embeddings.

A thin deployment around `cosmos3_core.stages.Encoder` and the ViT's queue. It puts each result into the object store
once and hands out references to it: a prompt that was encoded before runs no tower and is not sent again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cosmos3_core.action_statistics import ActionStatistics, StatisticsError, statistics_of
from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.codecs.preview import fit_preview_map
from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.codecs.vision import VisionEncoder
from cosmos3_core.inputs import MediaInputs
from cosmos3_core.planning.cost import step_flops
from cosmos3_core.provenance import CheckpointFacts, EncodeFacts, Prompt
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.resolve import resolve
from cosmos3_core.resolving.resolved import ActionPlan, ResolvedRequest, part_of
from cosmos3_core.stages.encoder import Encoder as CoreEncoder
from cosmos3_core.stages.understanding import key_of
from deployments.compute import ComputeThread
from deployments.decoding.decoder import MediaDecoder
from deployments.logs import log, logs_for
from deployments.settings.model import ModelSettings
from deployments.visual_queue import VisualQueue
from deployments.wire.calls import GenerationCall
from deployments.wire.handoff import fetch_tensor, publish, publish_conditioning
from deployments.wire.messages import (
    ArrayReference,
    ClipDescription,
    EmbeddingsReference,
    EncodedMessage,
    KeyValuesReference,
)
from deployments.wire.replica import Replica
from deployments.wire.visual_input import VisualInput

WARM_UP_TOKENS = 16
WARM_UP_IMAGE = (64, 64)


@dataclass(frozen=True)
class _ReadRequest:
    """A request with its media decoded and its numbers decided."""

    call: GenerationCall
    request: GenerationRequest
    inputs: MediaInputs
    resolved: ResolvedRequest


class Encoder(Replica):
    """Deployment: tokenizer, understanding tower, VAE encoder and ViT of one checkpoint, loaded at their first use."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.checkpoint = settings.find_checkpoint()
        self.facts = settings.facts(self.checkpoint)
        self._action_statistics = settings.read_action_statistics()
        self._check_action_statistics()
        self.compute = ComputeThread(settings.encoder)
        self._core: CoreEncoder | None = None
        self._vision: VisionEncoder | None = None
        budget = settings.encoder
        self._prompts: ByteCache[str, KeyValuesReference] = ByteCache(
            budget.key_value_bytes, lambda entry: entry.values.nbytes
        )
        # A process of their own for generations: they wait for it on the compute thread, and not for chats' videos.
        self._decoder = MediaDecoder(settings.decoding.model_copy(update={"processes": 1}))
        visuals = MediaDecoder(settings.decoding, ready=settings.reasoner is not None)
        self._visuals = VisualQueue(self.compute, visuals, lambda: self.vision, budget.embedding_bytes)
        self._requests = {"encode": 0, "embed": 0}
        self._publish_seconds = 0.0
        self._read: _ReadRequest | None = None
        self._warm_up()

    def _check_action_statistics(self) -> None:
        config = self.checkpoint.transformer_config
        channels = config.action_dim if config.action_gen else 0
        for name, statistics in self._action_statistics.items():
            if statistics.width > channels:
                raise StatisticsError(
                    f"the action statistics of {name} are {statistics.width} wide; this checkpoint has {channels} "
                    "action channels"
                )

    def _warm_up(self) -> None:
        """Load and run what every request needs: the constructor may block, a request handler may not."""
        if self.settings.generator is not None:
            self.core.understanding.prefill(list(range(WARM_UP_TOKENS)))
            if self.settings.previews:
                _ = self._preview_map
        if self.settings.reasoner is not None and self.settings.reasoner.vision == "encoder":
            self.vision.encode(np.zeros((*WARM_UP_IMAGE, 3), dtype=np.uint8))

    @property
    def core(self) -> CoreEncoder:
        """Tokenizer, tower and VAE encoder; a model that only chats never loads them."""
        if self._core is None:
            self._core = CoreEncoder.from_checkpoint(self.checkpoint, self.compute.execution)
        return self._core

    @property
    def vision(self) -> VisionEncoder:
        """The ViT."""
        if self._vision is None:
            self._vision = VisionEncoder.from_checkpoint(self.checkpoint, self.compute.execution)
        return self._vision

    async def encode(self, call: GenerationCall, part: int = 0, before: ArrayReference | None = None) -> EncodedMessage:
        """Encode a request, or a part of it.

        Args:
            call: the whole request.
            part: 0-based number of the part.
            before: the last frames of the part before it.

        Raises:
            RequestError: it cannot be served as asked; normally the ingress refuses such a request first.
        """
        self._requests["encode"] += 1
        with logs_for(call.job_id):
            message = await self.compute.run(self._encode, call, part, before)
            log.info("encoded: %d + %d tokens", message.conditional.tokens, _tokens(message.unconditional))
        return message

    def _encode(self, call: GenerationCall, part: int, before: ArrayReference | None) -> EncodedMessage:
        read = self._read_request(call, part)
        request, inputs, resolved = read.request, read.inputs, read.resolved
        own = part_of(resolved, part)
        conditional, unconditional = self.core.token_ids(resolved)
        tail = None if before is None else fetch_tensor(before, self.compute.execution.torch_device)
        conditioning, conditioning_bytes = publish_conditioning(self.core.conditioning(own, inputs, tail))
        branches = {"conditional": self._key_values(conditional)}
        if unconditional is not None:
            branches["unconditional"] = self._key_values(unconditional)
        prompts = {name: Prompt.of(branch) for name, branch in branches.items()}
        message = EncodedMessage(
            conditional=branches["conditional"],
            unconditional=branches.get("unconditional"),
            conditioning=conditioning,
            conditioning_bytes=conditioning_bytes,
            layout=own.layout,
            sampling=own.sampling,
            adapters=own.adapters,
            clip=self._clip(resolved, part, request.domain_name),
            facts=EncodeFacts.of(request, inputs, resolved, self._checkpoint_facts, self.compute.execution, prompts),
            preview=self._preview_map if self.settings.previews else None,
            parts=resolved.parts,
            part=part,
        )
        config = self.checkpoint.transformer_config
        return replace(message, flops=message.sampling.steps * step_flops(config, message.step_shape(config)))

    def _read_request(self, call: GenerationCall, part: int) -> _ReadRequest:
        """A request with its media. Those of a request in parts are kept until its last part, or another request."""
        read = self._read
        if read is None or read.call != call:
            request = call.to_request()
            inputs = self._decoder.inputs(request)
            read = _ReadRequest(call, request, inputs, resolve(request, self.facts, inputs))
        self._read = read if part + 1 < len(read.resolved.parts) else None
        return read

    @cached_property
    def _checkpoint_facts(self) -> CheckpointFacts:
        return CheckpointFacts.of(self.checkpoint)

    @cached_property
    def _preview_map(self) -> PreviewMap:
        return fit_preview_map(self.core.video_encoder)

    def _key_values(self, token_ids: list[int]) -> KeyValuesReference:
        key = key_of(token_ids)
        known = self._prompts.get(key)
        if known is None:
            values = self.core.understanding.prefill(token_ids).values
            started = time.perf_counter()
            known = KeyValuesReference(key, len(token_ids), publish(values))
            self._publish_seconds += time.perf_counter() - started
            self._prompts.put(key, known)
        return known

    def _clip(self, request: ResolvedRequest, part: int, domain_name: str | None) -> ClipDescription:
        sound, action = self.checkpoint.facts.sound, request.action
        predicted = action if request.mode.predicts_action else None
        following = request.parts[part + 1 : part + 2]
        return ClipDescription(
            mode=request.mode.value,
            width=request.canvas.width,
            height=request.canvas.height,
            num_frames=request.num_frames,
            fps=request.fps,
            sound_samples=request.sound_samples,
            sampling_rate=sound.sampling_rate if sound else 48_000,
            action_width=predicted.width if predicted else 0,
            domain=action.domain if action else 0,
            state_rows=action.state_rows if action else 0,
            keep=request.parts[part].new_frames,
            tail=following[0].overlap if following else 0,
            action_statistics=self._statistics_of(predicted, domain_name),
        )

    def _statistics_of(self, action: ActionPlan | None, domain_name: str | None) -> ActionStatistics | None:
        if action is None:
            return None
        return statistics_of(self._action_statistics, domain_name, action.domain, action.width)

    async def embed(self, request_id: str, visual: VisualInput) -> EmbeddingsReference:
        """Embed an image or a video for the Reasoner; one that was embedded before comes from the cache.

        Raises:
            MediaError: it cannot be decoded.
        """
        self._requests["embed"] += 1
        with logs_for(request_id):
            return await self._visuals.embed(visual)

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        understanding = self._core.understanding if self._core else None
        return {
            "bytes_read": (self._core.bytes_read if self._core else 0)
            + (self._vision.report.bytes_read if self._vision else 0),
            "vision_bytes_read": self._vision.report.bytes_read if self._vision else 0,
            "encode_requests": self._requests["encode"],
            "embed_requests": self._requests["embed"],
            "publish_seconds": self._publish_seconds,
            "prefills": understanding.runs if understanding else 0,
            "prompt_cache_hits": self._prompts.hits,
            "prompt_cache_misses": self._prompts.misses,
            "prompt_cache_bytes": self._prompts.held,
            "vision_passes": self._visuals.passes,
            "vision_embedded": self._visuals.embedded,
            "image_cache_hits": self._visuals.cache.hits,
            "image_cache_misses": self._visuals.cache.misses,
            "image_cache_bytes": self._visuals.cache.held,
        }


def _tokens(branch: KeyValuesReference | None) -> int:
    return branch.tokens if branch else 0
