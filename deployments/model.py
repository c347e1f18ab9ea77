"""A model's card, and the deployment that hands it out: the entry of a model's application.

The front asks it what the model can do. It knows the checkpoint's configuration, loads no weights and is never scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cosmos3_core.resolve import ModelFacts
from deployments.settings import ModelSettings


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
    """

    name: str
    root: str
    facts: ModelFacts
    chats: bool
    generates: bool
    decoder: str
    max_model_len: int | None


class Model:
    """Deployment: ties the stages of a model into one application and describes it."""

    def __init__(self, settings: ModelSettings, *stages: Any) -> None:
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
        return self.card
