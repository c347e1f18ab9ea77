"""A model's card, and the deployment that hands it out: the entry of a model's application.

The front asks it what the model can do. It knows the checkpoint's configuration, loads no weights and is never scaled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import ray

from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.hardware import recognise
from cosmos3_core.planning.memory import StepShape
from cosmos3_core.resolve import ModelFacts, ResolvedRequest
from deployments.settings import GeneratorSettings, ModelSettings

CHARACTERS_PER_TOKEN = 4
"""Of English prose and of JSON captions, roughly; nothing depends on it but an estimate."""
ACCELERATOR = "accelerator_type:"


@dataclass(frozen=True)
class GangFacts:
    """What an estimate of a request's cost must know of a model's Generators.

    Attributes:
        degrees: how a gang is split.
        device: the kind of its ranks, as CUDA or Ray names it; None is the CPU.
        batch_guidance: whether both guidance branches are in one forward.
    """

    degrees: Degrees
    device: str | None
    batch_guidance: bool


@dataclass(frozen=True)
class ModelCard:
    """What a model is and which stages serve it.

    Attributes:
        name: what clients send as `model`.
        root: the checkpoint it comes from.
        facts: what requests must know of the checkpoint.
        chats, generates: whether there is a Reasoner, a Generator.
        decoder: the application that decodes its latents.
        max_model_len: context of the Reasoner in tokens, where the recipe says it.
        gang: of its Generators, if it has any.
    """

    name: str
    root: str
    facts: ModelFacts
    chats: bool
    generates: bool
    decoder: str
    max_model_len: int | None
    gang: GangFacts | None = None

    def gpu_seconds(self, resolved: ResolvedRequest) -> float:
        """What a request is expected to keep GPUs busy for, by formulas alone."""
        if self.gang is None:
            return 0.0
        gang, config = self.gang, self.facts.config
        model = CostModel(config, recognise(gang.device), gang.degrees, batch_guidance=gang.batch_guidance)
        texts = [resolved.positive, *([resolved.negative] if resolved.sampling.guidance.enabled else [])]
        tokens = resolved.layout.tokens(config.latent_patch_size)
        geometry = StepShape(tokens, tuple(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts))
        pixels = resolved.canvas.width * resolved.canvas.height * resolved.num_frames
        return model.request_seconds(geometry, resolved.sampling.steps, pixels) * gang.degrees.world_size


class Model:
    """Deployment: ties the stages of a model into one application and describes it."""

    def __init__(self, settings: ModelSettings, *stages: Any) -> None:
        self.settings = settings
        self.stages = stages
        facts, reasoner = settings.find_checkpoint().facts, settings.reasoner
        self.card = ModelCard(
            name=settings.name,
            root=settings.checkpoint,
            facts=facts,
            chats=reasoner is not None,
            generates=settings.generator is not None,
            decoder=settings.decoder,
            max_model_len=reasoner.engine.get("max_model_len") if reasoner else None,
        )

    async def describe(self) -> ModelCard:
        """The model's card."""
        generator = self.settings.generator
        if generator is None:
            return self.card
        # Asked each time: a cluster that autoscales gets its GPUs later than this.
        device = await asyncio.to_thread(_device, generator)
        return replace(self.card, gang=GangFacts(generator.parallel.degrees, device, generator.batch_guidance))


def _device(settings: GeneratorSettings) -> str | None:
    if settings.device == "cpu":
        return None
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    # Ray has hyphens where CUDA has blanks, as in RTX PRO 6000.
    kinds = (name.removeprefix(ACCELERATOR).replace("-", " ") for name in resources if name.startswith(ACCELERATOR))
    return next(kinds, None if settings.device == "auto" else settings.device)
