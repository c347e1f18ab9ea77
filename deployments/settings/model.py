"""The settings of one model: an application with an Encoder, a Reasoner and a Generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from cosmos3_core.action_statistics import ANY_DOMAIN, ActionStatistics, Normalisation, check_domain, find_normalisation
from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.upsampling.schema import MAX_TOKENS
from deployments.settings.base import MEGABYTE, Bytes, Settings, StageSettings
from deployments.settings.decoding import DecodingSettings
from deployments.settings.generator import GeneratorSettings
from deployments.settings.trials import TrialSettings

if TYPE_CHECKING:
    from cosmos3_core.checkpoint import Checkpoint
    from cosmos3_core.resolving.facts import ModelFacts


class EncoderSettings(StageSettings):
    """The Encoder.

    Attributes:
        attention: the attention kernel of the understanding tower; see `cosmos3_core.settings`.
        key_value_bytes: budget for prompts' keys and values kept in the object store for Generators to fetch.
        embedding_bytes: budget for image embeddings kept there for the Reasoner.
    """

    attention: str = "auto"
    key_value_bytes: Bytes = 1024 * MEGABYTE
    embedding_bytes: Bytes = 256 * MEGABYTE


class ReasonerSettings(Settings):
    """The Reasoner.

    Attributes:
        vision: who embeds images and videos: our Encoder, or vLLM with a ViT of its own.
        engine: vLLM's engine arguments, passed through.
        server: the other arguments of `vllm serve`, passed through, such as `tool_call_parser` and `lora_modules`.
        environment: variables set before vLLM is imported.
        pieces_per_s: how many pieces of streamed answers a replica sends in a second. With more streams than that
            allows, tokens of one stream travel together, at least ten times a second.
        trials: how schemas, expressions and grammars of clients are tried before vLLM compiles them.
    """

    vision: Literal["encoder", "engine"] = "encoder"
    engine: dict[str, Any] = Field(default_factory=dict)
    server: dict[str, Any] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    pieces_per_s: Annotated[float, Field(gt=0)] = 1000.0
    trials: TrialSettings = TrialSettings()

    @property
    def adapters(self) -> list[str]:
        """The names under which LoRA adapters are served beside the model."""
        return [module["name"] for module in self.server.get("lora_modules", [])]


class ActionStatisticsSettings(Settings):
    """Statistics by which predicted actions are also given in physical units.

    Attributes:
        path: JSON file with an array per statistic, as those of the framework.
        method: how the training normalised actions: quantile, quantile_rot, minmax or meanstd.
    """

    path: Path
    method: Annotated[Normalisation, BeforeValidator(find_normalisation)] = Normalisation.QUANTILE


class UpsamplingSettings(Settings):
    """How a model's Reasoner writes structured prompts for requests with `upsample_prompt`.

    Attributes:
        templates: folder with a text and a form for each mode, named as those of NVIDIA's framework; null takes the
            project's own.
        max_tokens: the most tokens of an answer; null is 20,000, or half of the Reasoner's `max_model_len` if that
            is less.
        timeout_s: how long a request waits for its prompt.
        cached_prompts: how many prompts are kept for requests that come again.
    """

    templates: Path | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 300.0
    cached_prompts: Annotated[int, Field(ge=0)] = 256


class ModelSettings(Settings):
    """One model: an application with the stages that are not null.

    Attributes:
        name: what clients send as `model`.
        checkpoint: a folder, a Hugging Face id, or `tiny:nano` and the like for a tiny one made where it is absent.
        revision: of a Hugging Face id.
        decoder: the application that decodes this model's latents.
        previews: whether running generations show previews of their results.
        action_statistics: statistics of actions by the name or the id of their embodiment, each a file or
            `{path: ..., method: ...}`; or one of these for all embodiments.
        upsampling: how its Reasoner writes structured prompts.
        decoding: how its stages decode media.
    """

    name: str
    checkpoint: str
    revision: str | None = None
    decoder: str = "decoder"
    previews: bool = False
    action_statistics: dict[str, ActionStatisticsSettings] = Field(default_factory=dict)
    encoder: EncoderSettings = EncoderSettings()
    reasoner: ReasonerSettings | None = ReasonerSettings()
    generator: GeneratorSettings | None = GeneratorSettings()
    upsampling: UpsamplingSettings = UpsamplingSettings()
    decoding: DecodingSettings = DecodingSettings()

    @field_validator("action_statistics", mode="before")
    @classmethod
    def _by_domain(cls, given: Any) -> Any:
        if isinstance(given, str) or (isinstance(given, dict) and "path" in given):
            given = {ANY_DOMAIN: given}
        if not isinstance(given, dict):
            return given
        files = {check_domain(str(name)): file for name, file in given.items()}
        return {name: {"path": file} if isinstance(file, str) else file for name, file in files.items()}

    def read_action_statistics(self) -> dict[str, ActionStatistics]:
        """The statistics of actions by embodiment.

        Raises:
            StatisticsError: a file cannot be read or used.
        """
        return {name: ActionStatistics.read(file.path, file.method) for name, file in self.action_statistics.items()}

    def find_checkpoint(self) -> Checkpoint:
        """The checkpoint's configuration; weights follow when a stage asks for them."""
        # A builder reads settings and opens no checkpoint.
        from cosmos3_core.checkpoint import Checkpoint

        return Checkpoint.find(self.checkpoint, self.revision)

    def facts(self, checkpoint: Checkpoint) -> ModelFacts:
        """What a request must know of the model: its checkpoint's facts, and its Generator's adapters."""
        if self.generator is None:
            return checkpoint.facts
        weights = self.generator.default_adapters
        defaults = tuple(AdapterUse(name=name, weight=weight) for name, weight in weights.items())
        return replace(checkpoint.facts, adapters=tuple(sorted(self.generator.adapters)), default_adapters=defaults)

    @property
    def upsampled_tokens(self) -> int:
        """The most tokens of a prompt that the Reasoner writes."""
        length = None if self.reasoner is None else self.reasoner.engine.get("max_model_len")
        longest = MAX_TOKENS if length is None else min(MAX_TOKENS, int(length) // 2)
        return self.upsampling.max_tokens or longest

    @property
    def needs_encoder(self) -> bool:
        """Whether any stage asks the Encoder for anything."""
        return self.generator is not None or (self.reasoner is not None and self.reasoner.vision == "encoder")
