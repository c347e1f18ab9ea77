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

import torch
import yaml

from cosmos3_core.catalog import CATALOG, Family
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.names import keeps_fp32
from cosmos3_core.model.understanding import UnderstandingTower
from deployments.settings import DecoderSettings, FrontSettings, ModelSettings, Settings
from tests.published import NANO_CONFIG, SUPER_CONFIG

ROOT: Final = Path(__file__).parents[1]
RECIPES: Final = tuple(sorted((ROOT / "serve_configs").glob("*.yaml")))
RAY_SERVICE: Final = ROOT / "cluster" / "kuberay" / "rayservice-nano.yaml"
RAY_UP: Final = ROOT / "cluster" / "ray-up" / "aws.yaml"

SETTINGS: Final[Mapping[str, type[Settings]]] = {
    "deployments.app:build_front": FrontSettings,
    "deployments.app:build_model": ModelSettings,
    "deployments.app:build_decoder": DecoderSettings,
}
FRONT, MODEL, DECODER = SETTINGS

# Bytes. An 80 GB card has 85.0; the difference is left to allocators.
CARD: Final = 80_000_000_000
CONTEXT: Final = 500_000_000
VLLM_ACTIVATIONS: Final = 3_000_000_000
CONFIGS: Final = {Family.NANO: NANO_CONFIG, Family.SUPER: SUPER_CONFIG}
# Parameters of the codecs (spec 1.4), and what a tower has that only the Reasoner loads: lm_head, the last layer, norm.
VIT: Final = {Family.NANO: 576_388_336, Family.SUPER: 595_266_800}
REASONER_WEIGHTS: Final = {Family.NANO: 17_500_000_000, Family.SUPER: 66_700_000_000}
VAE_ENCODER, VAE_DECODER, SOUND_DECODER = 149_637_088, 555_051_580, 473_097_282
# Peak of live tensors at 1280x720 and 189 frames, traced on meta tensors: one guidance branch, both at once.
DENOISING: Final = {Family.NANO: (5_430_000_000, 10_160_000_000), Family.SUPER: (10_340_000_000, 18_960_000_000)}
ENCODING, DECODING = 3_640_000_000, 9_940_000_000

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
    """Every set of replicas that Ray may put on one card."""
    on_cards = [stage for stage in found if stage.gpus]
    counts = [range(stage.replicas[1] + 1) for stage in on_cards]
    for chosen in product(*counts):
        if 0 < round(sum(n * min(stage.gpus, 1.0) for n, stage in zip(chosen, on_cards, strict=True)), 4) <= 1:
            yield tuple(stage for n, stage in zip(chosen, on_cards, strict=True) for _ in range(n))


def family_of(settings: Settings) -> Family:
    """The size class of a published checkpoint."""
    assert isinstance(settings, ModelSettings | DecoderSettings)
    return CATALOG[settings.checkpoint].family


def weight_limit(stage: Stage) -> int:
    """What the recipe allows the weights of a stage of ours to take."""
    settings = stage.settings
    if isinstance(settings, ModelSettings):
        mine = settings.encoder if stage.name == "Encoder" else settings.generator
        assert mine is not None
        limit = mine.memory_limit_bytes
    else:
        assert isinstance(settings, DecoderSettings)
        limit = settings.memory_limit_bytes
    assert limit is not None, f"{stage.name} shares no card without a limit"
    return limit


def weights(stage: Stage) -> int:
    """Bytes of the weights that one rank or replica of a stage holds, in bf16."""
    family = family_of(stage.settings)
    if stage.name == "Decoder":
        return 2 * VAE_DECODER + 4 * SOUND_DECODER
    if stage.name == "Reasoner":
        return REASONER_WEIGHTS[family] // max(1, int(stage.gpus))
    generation, understanding = tower_bytes(family)
    if stage.name == "Generator":
        return generation
    assert isinstance(stage.settings, ModelSettings)
    reasoner = stage.settings.reasoner
    vit = VIT[family] if reasoner is not None and reasoner.vision == "encoder" else 0
    return understanding + 2 * (VAE_ENCODER + vit)


@cache
def tower_bytes(family: Family) -> tuple[int, int]:
    """Bytes of the generation and the understanding tower in bf16."""
    config = TransformerConfig.from_dict(CONFIGS[family])
    with torch.device("meta"):
        towers = GenerationTower(config), UnderstandingTower(config)
    generation, understanding = (
        sum(tensor.numel() * (4 if keeps_fp32(name) else 2) for name, tensor in tower.state_dict().items())
        for tower in towers
    )
    return generation, understanding


def memory(stage: Stage) -> float:
    """Bytes of one card that a replica takes at its largest request; for vLLM its claim at start."""
    settings = stage.settings
    if stage.name == "Reasoner":
        assert isinstance(settings, ModelSettings) and settings.reasoner is not None
        return CARD * float(settings.reasoner.engine["gpu_memory_utilization"])
    activations = {"Encoder": ENCODING, "Decoder": DECODING}.get(stage.name, 0)
    if stage.name == "Generator":
        assert isinstance(settings, ModelSettings) and settings.generator is not None
        one, both = DENOISING[family_of(settings)]
        activations = settings.generator.key_value_bytes + (both if settings.generator.batch_guidance else one)
    return weight_limit(stage) + activations + CONTEXT


# Nodes


def fits(stage: Stage, nodes: Mapping[str, Resources]) -> bool:
    """Whether some kind of node holds a whole replica."""
    return any(
        all(asked <= node.get(name, 0.0) for name, asked in stage.total.items() if asked) for node in nodes.values()
    )
