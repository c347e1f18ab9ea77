"""What recipes ask for: their stages with resources, memory and drain times, as the builders and the YAML say together.

Nothing starts Ray. Its modules are imported where they are used, because that takes seconds.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import yaml

from cosmos3_core.catalog import (
    CATALOG,
    SOUND_DECODER_PARAMETERS,
    VIDEO_DECODER_PARAMETERS,
    VIDEO_ENCODER_PARAMETERS,
    CatalogEntry,
)
from cosmos3_core.planning.memory import activation_bytes, reasoner_bytes, understanding_bytes, weight_bytes
from cosmos3_core.planning.plan import (
    CONTEXT,
    GANG_BUFFERS,
    codec_activations,
    largest_request,
    step_shape,
)
from cosmos3_core.tiny import MEMBERS
from cosmos3_core.tiny.cache import TINY_NAMES
from deployments.settings.base import Settings
from deployments.settings.decoder import DecoderSettings
from deployments.settings.front import FrontSettings
from deployments.settings.generator import GeneratorSettings
from deployments.settings.guardrails import GuardrailsSettings
from deployments.settings.model import ModelSettings

ROOT: Final = Path(__file__).parents[1]
RECIPES: Final = tuple(sorted((ROOT / "serve_configs").glob("*.yaml")))
RAY_SERVICE: Final = ROOT / "cluster" / "kuberay" / "rayservice-nano.yaml"
RAY_UP: Final = ROOT / "cluster" / "ray-up" / "aws.yaml"

SETTINGS: Final[Mapping[str, type[Settings]]] = {
    "deployments.app:build_front": FrontSettings,
    "deployments.app:build_model": ModelSettings,
    "deployments.app:build_decoder": DecoderSettings,
    "deployments.app:build_guardrails": GuardrailsSettings,
}
FRONT, MODEL, DECODER, GUARDRAILS = SETTINGS

# Bytes. An 80 GB card has 85.0; the difference is left to allocators.
CARD: Final = 80_000_000_000

Resources = dict[str, float]


@dataclass(frozen=True)
class Stage:
    """A deployment as it would run.

    Attributes:
        application, name: where it stands.
        replicas: least and most.
        bundles: resources that one replica takes: of its placement group, or of its actor alone.
        drain_s: how long a stopped replica may finish what it does.
        settings: the arguments of its application.
    """

    application: str
    name: str
    replicas: tuple[int, int]
    bundles: tuple[Resources, ...]
    drain_s: float
    settings: Settings

    @property
    def total(self) -> Resources:
        """Resources of one replica."""
        names = sorted({name for bundle in self.bundles for name in bundle})
        return {name: sum(bundle.get(name, 0.0) for bundle in self.bundles) for name in names}

    @property
    def gpus(self) -> float:
        """GPUs of one replica."""
        return self.total.get("GPU", 0.0)


def load(path: Path) -> dict[str, Any]:
    """A YAML file."""
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


def ray_service_config() -> dict[str, Any]:
    """The Serve config inside the RayService."""
    config: dict[str, Any] = yaml.safe_load(load(RAY_SERVICE)["spec"]["serveConfigV2"])
    return config


def settings_of(application: Mapping[str, Any]) -> Settings:
    """The typed arguments of an application."""
    return SETTINGS[application["import_path"]].model_validate(application.get("args") or {})


def deployments_of(application: Mapping[str, Any]) -> dict[str, Any]:
    """The deployments that an application's builder makes, by name."""
    module, builder = application["import_path"].split(":")
    found: dict[str, Any] = {}
    _collect(getattr(importlib.import_module(module), builder)(settings_of(application)), found)
    return found


def _collect(application: Any, found: dict[str, Any]) -> None:
    deployment = application._bound_deployment
    found[deployment.name] = deployment
    for argument in deployment.init_args:
        if hasattr(argument, "_bound_deployment"):
            _collect(argument, found)


def stages(config: Mapping[str, Any]) -> list[Stage]:
    """All stages of a Serve config."""
    return [stage for application in config["applications"] for stage in _stages(application)]


def _stages(application: Mapping[str, Any]) -> Iterator[Stage]:
    overrides = {entry["name"]: entry for entry in application.get("deployments") or []}
    for name, deployment in deployments_of(application).items():
        said = overrides.get(name, {})
        scaling, count = said.get("autoscaling_config"), said.get("num_replicas", deployment.num_replicas or 1)
        options = said.get("ray_actor_options", deployment.ray_actor_options)
        actor = {
            "CPU": options.get("num_cpus", 1.0),
            "GPU": options.get("num_gpus", 0.0),
            **options.get("resources", {}),
        }
        yield Stage(
            application=application["name"],
            name=name,
            replicas=(scaling["min_replicas"], scaling["max_replicas"]) if scaling else (count, count),
            bundles=tuple(deployment._replica_config.placement_group_bundles or [actor]),
            drain_s=said.get("graceful_shutdown_timeout_s", deployment._deployment_config.graceful_shutdown_timeout_s),
            settings=settings_of(application),
        )


def problems(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with a Serve config: nothing, if all is well. Raises where a schema refuses it."""
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(config)
    applications = config["applications"]
    names = [application["name"] for application in applications]
    found = [f"{name} twice" for name in set(names) if names.count(name) > 1]
    for application in applications:
        real, said = deployments_of(application), [entry["name"] for entry in application.get("deployments") or []]
        found += [f"{application['name']}: {name} is no deployment, or twice" for name in _odd(said, real)]
        settings = settings_of(application)
        if isinstance(settings, ModelSettings):
            found += _model_problems(settings, names)
        for entry in application.get("deployments") or []:
            served = [model["application"] for model in (entry.get("user_config") or {}).get("models", [])]
            found += [f"{name} is served and not there" for name in served if name not in names]
    return found


def _odd(said: list[str], real: Mapping[str, Any]) -> list[str]:
    return [name for name in said if name not in real or said.count(name) > 1]


def _model_problems(settings: ModelSettings, names: list[str]) -> Iterator[str]:
    if settings.generator is not None and settings.decoder not in names:
        yield f"{settings.name}: no application {settings.decoder}"
    if settings.reasoner is not None:
        yield from (f"vLLM knows no {name}" for name in settings.reasoner.engine.keys() - engine_arguments())


@cache
def engine_arguments() -> frozenset[str]:
    """Names of vLLM's engine arguments, read from its source: importing it takes many seconds."""
    spec = importlib.util.find_spec("vllm")
    assert spec is not None and spec.origin is not None
    source = (Path(spec.origin).parent / "engine" / "arg_utils.py").read_text(encoding="utf-8")
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    fields = (item for name in ("EngineArgs", "AsyncEngineArgs") for item in classes[name].body)
    return frozenset(
        item.target.id for item in fields if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    )


# Cards


def cards_needed(found: list[Stage]) -> int:
    """Cards that all stages take at their most: whole ones, and shared ones filled first with the largest fraction."""
    asked = [bundle.get("GPU", 0.0) for stage in found for bundle in stage.bundles for _ in range(stage.replicas[1])]
    shared: list[float] = []
    for fraction in sorted((gpus for gpus in asked if 0 < gpus < 1), reverse=True):
        index = next((i for i, used in enumerate(shared) if round(used + fraction, 4) <= 1), None)
        if index is None:
            shared.append(fraction)
        else:
            shared[index] += fraction
    return len(shared) + sum(int(gpus) for gpus in asked if gpus >= 1)


def cards(found: list[Stage]) -> Iterator[tuple[Stage, ...]]:
    """Every set of replicas and ranks that Ray may put on one card."""
    pieces = [(stage, bundle["GPU"]) for stage in found for bundle in alike_bundles(stage)]
    # Of what takes all of a card or more than half, there is never a second one.
    counts = [range(min(_most(stage), int(1 / min(gpus, 1.0))) + 1) for stage, gpus in pieces]
    for chosen in product(*counts):
        if 0 < round(sum(n * min(gpus, 1.0) for n, (_, gpus) in zip(chosen, pieces, strict=True)), 4) <= 1:
            yield tuple(stage for n, (stage, _) in zip(chosen, pieces, strict=True) for _ in range(n))


def alike_bundles(stage: Stage) -> list[Resources]:
    """The kind of bundle of a stage that takes GPUs, once; none where it takes none."""
    kinds = [bundle for bundle in stage.bundles if bundle.get("GPU")]
    assert all(kind == kinds[0] for kind in kinds), "the ranks of a gang ask for the same"
    return kinds[:1]


def _most(stage: Stage) -> int:
    """Replicas of a stage, or ranks of its gangs, at most."""
    return stage.replicas[1] * sum(bool(bundle.get("GPU")) for bundle in stage.bundles)


def entry_of(settings: Settings) -> CatalogEntry:
    """The published checkpoint of a stage."""
    assert isinstance(settings, ModelSettings | DecoderSettings)
    return CATALOG[settings.checkpoint]


def tiny_entry(settings: Settings) -> CatalogEntry:
    """The published checkpoint that a stage's tiny one imitates."""
    assert isinstance(settings, ModelSettings | DecoderSettings)
    return CATALOG[MEMBERS[TINY_NAMES[settings.checkpoint]]]


def generator_of(stage: Stage) -> GeneratorSettings:
    """The settings of a Generator."""
    assert isinstance(stage.settings, ModelSettings) and stage.settings.generator is not None
    return stage.settings.generator


def weight_limit(stage: Stage) -> int:
    """What the recipe allows the weights of a stage of ours to take."""
    settings = stage.settings
    if isinstance(settings, ModelSettings):
        limit = (
            settings.encoder.memory_limit_bytes if stage.name == "Encoder" else generator_of(stage).memory_limit_bytes
        )
    else:
        assert isinstance(settings, DecoderSettings)
        limit = settings.memory_limit_bytes
    assert limit is not None, f"{stage.name} shares no card without a limit"
    return limit


def weights(stage: Stage) -> int:
    """Bytes of the weights that one rank or replica of a stage holds at most, in bf16."""
    entry = entry_of(stage.settings)
    if stage.name == "Decoder":
        return 2 * VIDEO_DECODER_PARAMETERS + 4 * SOUND_DECODER_PARAMETERS * entry.sound
    if stage.name == "Reasoner":
        return reasoner_bytes(entry.config, entry.vision_parameters, 2) // max(1, int(stage.gpus))
    if stage.name == "Generator":
        degrees = generator_of(stage).parallel.degrees
        return max(weight_bytes(entry.config, degrees, rank, 2) for rank in range(degrees.world_size))
    assert isinstance(stage.settings, ModelSettings)
    reasoner = stage.settings.reasoner
    vit = entry.vision_parameters if reasoner is not None and reasoner.vision == "encoder" else 0
    return understanding_bytes(entry.config, 2) + 2 * (VIDEO_ENCODER_PARAMETERS + vit)


def memory(stage: Stage, card: int = CARD) -> float:
    """Bytes of one card that a replica or a rank takes at its largest request; for vLLM its claim at start."""
    settings = stage.settings
    if stage.name == "Reasoner":
        assert isinstance(settings, ModelSettings) and settings.reasoner is not None
        return card * float(settings.reasoner.engine["gpu_memory_utilization"])
    if stage.name == "Generator":
        activations = _generating(stage)
    else:
        activations = codec_activations(entry_of(settings))[("Encoder", "Decoder").index(stage.name)]
    return weight_limit(stage) + activations + CONTEXT


def _generating(stage: Stage) -> int:
    """What a rank takes beside its weights: prompts, resident tasks, the peak of a step, buffers of the gang."""
    settings, entry = generator_of(stage), entry_of(stage.settings)
    geometry = step_shape(entry, largest_request(entry))
    step = activation_bytes(
        entry.config,
        geometry,
        settings.parallel.degrees,
        2,
        batch=settings.batch_tasks,
        batch_guidance=settings.batch_guidance,
    )
    buffers = GANG_BUFFERS if settings.world_size > 1 else 0
    return settings.key_value_bytes + settings.resident_bytes + step + buffers


# Nodes


def fits(stage: Stage, nodes: Mapping[str, Resources]) -> bool:
    """Whether some kind of node holds a whole replica."""
    return any(
        all(asked <= node.get(name, 0.0) for name, asked in stage.total.items() if asked) for node in nodes.values()
    )
