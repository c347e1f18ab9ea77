"""Adapters through the graph's stages, with an object store that is this process: requests in turn, and a bad start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from cosmos3_core import Checkpoint, GenerationRequest, LocalPipeline
from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.errors import CheckpointError, RequestError
from deployments.encoder import Encoder
from deployments.generator.rank import Rank, RankFacts
from deployments.model import Model
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import EncoderSettings, ModelSettings
from deployments.wire.calls import GenerationCall
from deployments.wire.messages import EncodedMessage
from tests.adapters import attention_modules, write_peft
from tests.manifests import a_request

STYLE, LOOK = AdapterUse(name="style", weight=0.5), AdapterUse(name="look")


@pytest.fixture(scope="module", autouse=True)
def object_store() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "put", lambda value: value)
        patch.setattr(ray, "get", lambda value: value)
        patch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node"))
        yield


@pytest.fixture(scope="module")
def adapters(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, config = tmp_path_factory.mktemp("adapters"), Checkpoint.find(nano).transformer_config
    return {
        "style": write_peft(folder / "style", config, seed=1),
        "look": write_peft(folder / "look", config, attention_modules(config), seed=2),
    }


def settings_of(nano: Path, adapters: dict[str, Path], **generator: Any) -> ModelSettings:
    stage: dict[str, Any] = {"device": "cpu", "dtype": "float32"}
    return ModelSettings(
        name="m",
        checkpoint=str(nano),
        encoder=EncoderSettings(**stage),
        generator=GeneratorSettings(**stage, adapters=adapters, **generator),
        reasoner=None,
    )


@dataclass
class Stages:
    """An Encoder and a Rank of one recipe, in which `style` is the default."""

    encoder: Encoder
    rank: Rank
    facts: RankFacts

    def encoded(self, request: GenerationRequest) -> EncodedMessage:
        return self.encoder._encode(GenerationCall.of("job", request, {}), 0, None)


@pytest.fixture(scope="module")
def stages(nano: Path, adapters: dict[str, Path]) -> Stages:
    settings = settings_of(nano, adapters, default_adapters={"style": 0.5})
    rank = Rank(settings, 0)
    return Stages(Encoder(settings), rank, rank.load(None))


@pytest.fixture(scope="module")
def pipeline(nano: Path, adapters: dict[str, Path]) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32", adapters=adapters)


def test_requests_in_turn_have_the_bits_of_one_process(
    stages: Stages, pipeline: LocalPipeline, adapters: dict[str, Path]
) -> None:
    asked: dict[str, tuple[AdapterUse, ...] | None] = {"default": None, "none": (), "both": (STYLE, LOOK)}
    used = {"default": (STYLE,), "none": (), "both": (LOOK, STYLE)}
    messages = {name: stages.encoded(a_request(adapters=uses)) for name, uses in asked.items()}
    assert {name: message.adapters for name, message in messages.items()} == used
    for name, message in messages.items():
        stages.rank.begin(name, message, None)
    for _ in range(messages["none"].sampling.steps):
        for name in messages:
            stages.rank.step([name])
    hashes = {
        name: hashlib.sha256((path / "adapter_model.safetensors").read_bytes()) for name, path in adapters.items()
    }
    for name in messages:
        made = stages.rank.finish(name)
        local = pipeline.generate(a_request(adapters=used[name]))
        assert made.sha256 == local.latents_sha256
        assert made.facts.adapters == local.manifest.adapters
        said = {adapter: (one.weight, one.sha256) for adapter, one in made.facts.adapters.items()}
        assert said == {use.name: (use.weight, hashes[use.name].hexdigest()) for use in used[name]}


def test_the_size_of_adapters_is_told(stages: Stages, nano: Path) -> None:
    figures = stages.rank.stats()
    plain = Rank(settings_of(nano, {}), 0)
    without = plain.load(None)
    assert figures["adapter_bytes"] == stages.facts.weight_bytes - without.weight_bytes > 0
    assert plain.stats()["adapter_bytes"] == 0


def test_the_card_names_them(nano: Path, adapters: dict[str, Path]) -> None:
    facts = Model(settings_of(nano, adapters, default_adapters={"style": 0.5})).card.facts
    assert facts.adapters == ("look", "style") and facts.default_adapters == (STYLE,)


def test_a_bad_file_fails_the_start_with_a_sentence(nano: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^adapter style: .*absent does not exist; expected"):
        Rank(settings_of(nano, {"style": tmp_path / "absent"}), 0).load(None)


def test_an_adapter_that_is_gone_is_refused(stages: Stages, nano: Path) -> None:
    """As when the recipe has changed between the Encoder and the Generator."""
    plain = Rank(settings_of(nano, {}), 0)
    plain.load(None)
    with pytest.raises(RequestError, match="adapters names 'style'; this model has no adapters"):
        plain.begin("a", stages.encoded(a_request()), None)
