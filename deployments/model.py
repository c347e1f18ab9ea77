"""A model's card, and the deployment that hands it out and upsamples prompts: the entry of a model's application.

The front asks this deployment what the model can do, and Jobs asks it for the prompts that the Reasoner is to write. It
reads the checkpoint's configuration, loads no weights and is never scaled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import ray

from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.hardware import recognise
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolved import ResolvedRequest
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import ModelSettings
from deployments.upsampling import Upsampler
from deployments.wire.messages import step_shape_of
from deployments.wire.replica import Replica
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt, UpsamplingFailed

CHARACTERS_PER_TOKEN = 4
"""Roughly right for English prose and JSON captions; only an estimate depends on it."""
ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class GangFacts:
    """What an estimate of a request's cost must know about a model's Generators.

    Attributes:
        degrees: how a gang is split.
        device: the kind of device of its ranks, as CUDA or Ray names it; None is the CPU.
        batch_guidance: whether both guidance branches run in one forward pass.
    """

    degrees: Degrees
    device: str | None
    batch_guidance: bool


@dataclass(frozen=True)
class ModelCard:
    """What a model is and which stages serve it.

    Attributes:
        name: what clients send as `model`.
        root: the checkpoint that it is loaded from.
        facts: what a request's fields depend on; the names of its adapters are among them.
        chats, generates: whether it has a Reasoner, and whether it has a Generator.
        decoder: the application that decodes its latents.
        max_model_len: the Reasoner's context in tokens; None if the recipe does not say it.
        chat_adapters: names of the Reasoner's LoRA adapters, which clients send as `model` too.
        gang: what is known about its Generators; None if it has none.
    """

    name: str
    root: str
    facts: ModelFacts
    chats: bool
    generates: bool
    decoder: str
    max_model_len: int | None
    chat_adapters: tuple[str, ...] = ()
    gang: GangFacts | None = None

    def gpu_seconds(self, resolved: ResolvedRequest) -> float:
        """The GPU seconds that a request is expected to take, by formulas alone."""
        if self.gang is None:
            return 0.0
        gang, config = self.gang, self.facts.config
        model = CostModel(config, recognise(gang.device), gang.degrees, batch_guidance=gang.batch_guidance)
        texts = [resolved.positive, *([resolved.negative] if resolved.sampling.guidance.enabled else [])]
        lengths = tuple(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts)
        shape = step_shape_of(config, resolved.layout, resolved.sampling, lengths)
        pixels = resolved.canvas.width * resolved.canvas.height * resolved.part_frames
        seconds = model.request_seconds(shape, resolved.sampling.steps, pixels) * len(resolved.parts)
        return seconds * gang.degrees.world_size


class Model(Replica):
    """Deployment: ties the stages of a model into one application, describes it, and has its Reasoner write prompts.

    Args:
        settings: the settings of the model.
        reasoner: the handle of its Reasoner, if it has one.
        stages: handles of its other stages.
    """

    def __init__(self, settings: ModelSettings, reasoner: Any = None, *stages: Any) -> None:
        self.settings = settings
        self.stages = stages
        facts = settings.facts(settings.find_checkpoint())
        upsamples = settings.generator is not None and reasoner is not None
        # By reference, because a chat may hold a picture of several megabytes.
        by_reference = reasoner.options(_by_reference=True) if upsamples else None
        self.upsampler = Upsampler(settings, facts.modes, by_reference) if upsamples else None
        self.card = ModelCard(
            name=settings.name,
            root=settings.checkpoint,
            facts=facts,
            chats=settings.reasoner is not None,
            generates=settings.generator is not None,
            decoder=settings.decoder,
            max_model_len=settings.reasoner.engine.get("max_model_len") if settings.reasoner else None,
            chat_adapters=tuple(settings.reasoner.adapters) if settings.reasoner else (),
        )

    async def describe(self) -> ModelCard:
        """The model's card."""
        generator = self.settings.generator
        if generator is None:
            return self.card
        # Looked up each time: a cluster that autoscales may get its GPUs later.
        device = await asyncio.to_thread(_device, generator)
        return replace(self.card, gang=GangFacts(generator.parallel.degrees, device, generator.batch_guidance))

    async def upsample(self, request_id: str, call: UpsampleCall) -> UpsampledPrompt:
        """The structured prompt that the model's Reasoner writes for a plain one; see `Upsampler.upsample`.

        Raises:
            UpsamplingFailed: there is none.
        """
        if self.upsampler is None:
            raise UpsamplingFailed("the model has no Reasoner to write the prompt", again=False)
        return await self.upsampler.upsample(request_id, call)

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        return {} if self.upsampler is None else self.upsampler.stats()


def _device(settings: GeneratorSettings) -> str | None:
    if settings.device == "cpu":
        return None
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    # Ray writes hyphens where CUDA writes blanks, as in RTX PRO 6000.
    kinds = (name.removeprefix(ACCELERATOR).replace("-", " ") for name in resources if name.startswith(ACCELERATOR))
    return next(kinds, None if settings.device == "auto" else settings.device)
