"""Recipes: accepted by Serve and by the typed settings, and within the machine that each is named after."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos3_core.catalog import CATALOG, CatalogEntry
from cosmos3_core.planning.hardware import HARDWARE
from cosmos3_core.planning.memory import task_bytes
from cosmos3_core.planning.plan import CONTEXT, LONGEST_TEXT, VLLM_ACTIVATIONS, largest_request, plan_for, step_shape
from deployments.local.recipes import load_recipe
from deployments.settings.front import FrontSettings
from deployments.settings.model import ModelSettings
from tests import recipes
from tests.recipes import RECIPES, Stage

CARDS = {
    "tiny-cpu": 0,
    "family-cpu": 0,
    "reasoner-only": 1,
    "reasoner-4gpu": 4,
    "nano-1gpu": 1,
    "nano-4gpu": 4,
    "nano-8gpu-latency": 8,
    "nano-8gpu-throughput": 8,
    "super-2gpu": 2,
    "super-8gpu": 8,
    "super-text2image": 2,
    "super-image2video": 2,
    "nano-policy-droid": 1,
    "edge": 1,
}
LARGER_CARDS = {"super-2gpu": HARDWARE["h200-141gb"].memory_bytes}
each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def stages(path: Path) -> list[Stage]:
    return recipes.stages(recipes.load(path))


def of_one(found: list[Stage], name: str) -> list[Stage]:
    return [stage for stage in found if stage.name == name]


def test_every_recipe_says_how_many_cards_it_is_for() -> None:
    assert {path.stem for path in RECIPES} == CARDS.keys()


@each_recipe
def test_a_recipe_is_sound(path: Path) -> None:
    assert recipes.problems(load_recipe(path)) == []


@each_recipe
def test_every_stage_scales_by_itself(path: Path) -> None:
    listed = {
        entry["name"]
        for application in recipes.load(path)["applications"]
        for entry in application["deployments"]
        if "autoscaling_config" in entry
    }
    # Jobs waits for others most of the time, and a model's card always: neither has a load to scale by.
    assert listed == {stage.name for stage in stages(path)} - {"Jobs", "Model"}


def test_mistakes_are_found() -> None:
    config = recipes.load(RECIPES[0])
    front, model, decoder = config["applications"]
    front["deployments"][0]["name"] = "Ingres"
    front["deployments"][0]["user_config"]["models"][0]["application"] = "nan"
    model["args"]["reasoner"]["engine"]["max_model_length"] = 1
    decoder["name"] = "decode"
    found = recipes.problems(config)
    assert len(found) == 4
    assert all(any(name in problem for problem in found) for name in ("Ingres", "nan", "max_model_length", "decoder"))


def cpus(recipe: str) -> float:
    """Logical CPUs that a recipe takes at its fewest replicas."""
    found = stages(next(path for path in RECIPES if path.stem == recipe))
    return sum(stage.replicas[0] * stage.total["CPU"] for stage in found)


def test_tiny_fits_two_logical_cpus() -> None:
    assert cpus("tiny-cpu") <= 2


def test_the_family_fits_two_logical_cpus_with_a_fourth_model() -> None:
    config = recipes.load(next(path for path in RECIPES if path.stem == "family-cpu"))
    models = [app for app in config["applications"] if app["import_path"] == recipes.MODEL]
    decoders = [app for app in config["applications"] if app["import_path"] == recipes.DECODER]
    assert (len(models), len(decoders)) == (3, 1)
    fourth = sum(stage.total["CPU"] for stage in recipes.stages({"applications": models[:1]}))
    assert cpus("family-cpu") + fourth <= 2 + 1e-9


def test_the_familys_decoder_decodes_sound_if_any_model_makes_it() -> None:
    found = stages(next(path for path in RECIPES if path.stem == "family-cpu"))
    sound = {stage.name: set[bool]() for stage in found}
    for stage in of_one(found, "Encoder") + of_one(found, "Decoder"):
        sound[stage.name].add(recipes.tiny_entry(stage.settings).sound)
    assert (max(sound["Encoder"]), sound["Decoder"]) == (True, {True})


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_a_checkpoint_fits_the_recipes_that_the_catalog_names(entry: CatalogEntry) -> None:
    for name in entry.recipes:
        config = recipes.load(next(path for path in RECIPES if path.stem == name))
        for application in config["applications"]:
            if "checkpoint" in (application.get("args") or {}):
                application["args"]["checkpoint"] = entry.id
        card = LARGER_CARDS.get(name, recipes.CARD)
        for together in recipes.cards(recipes.stages(config)):
            assert sum(recipes.memory(stage, card) for stage in together) <= card, name
        for stage in recipes.stages(config):
            if stage.gpus and stage.name != "Reasoner":
                assert recipes.weights(stage) <= recipes.weight_limit(stage), name


@each_recipe
def test_the_cards_suffice_at_most_replicas(path: Path) -> None:
    assert recipes.cards_needed(stages(path)) <= CARDS[path.stem]


@each_recipe
def test_a_card_holds_whatever_ray_puts_on_it(path: Path) -> None:
    for together in recipes.cards(stages(path)):
        card = LARGER_CARDS.get(path.stem, recipes.CARD)
        claimed = {f"{i} {stage.name}": recipes.memory(stage, card) / 1e9 for i, stage in enumerate(together)}
        assert sum(claimed.values()) * 1e9 <= card, claimed


@each_recipe
def test_weights_are_within_their_limits(path: Path) -> None:
    for stage in stages(path):
        if stage.gpus and stage.name != "Reasoner":
            assert recipes.weights(stage) <= recipes.weight_limit(stage), stage.name


@each_recipe
def test_vllm_has_room_for_what_it_is_told_to_hold(path: Path) -> None:
    for stage in of_one(stages(path), "Reasoner"):
        assert isinstance(stage.settings, ModelSettings) and stage.settings.reasoner is not None
        engine = stage.settings.reasoner.engine
        if not stage.gpus:
            continue
        width = engine.get("tensor_parallel_size", 1)
        assert width in (1, stage.gpus)
        token = recipes.entry_of(stage.settings).config.key_value_bytes(1, 2)
        used = recipes.weights(stage) + VLLM_ACTIVATIONS + CONTEXT
        room = engine.get("kv_cache_memory_bytes", recipes.memory(stage) - used)
        assert used + room <= recipes.memory(stage) + 1
        assert engine["max_model_len"] * token / width <= room


@each_recipe
def test_a_rank_shares_its_card_with_no_other_rank(path: Path) -> None:
    for stage in of_one(stages(path), "Generator"):
        for bundle in recipes.alike_bundles(stage):
            assert bundle["GPU"] == 1 or 0.5 < bundle["GPU"] < 1


@each_recipe
def test_the_largest_request_finds_room_on_a_rank(path: Path) -> None:
    for stage in of_one(stages(path), "Generator"):
        if not stage.gpus:
            continue
        entry, settings = recipes.entry_of(stage.settings), recipes.generator_of(stage)
        layout = largest_request(entry).layout(entry.config)
        latents = entry.config.latent_channel * layout.frames * layout.height * layout.width
        longest = step_shape(entry, largest_request(entry), LONGEST_TEXT)
        assert task_bytes(entry.config, latents, longest, settings.parallel.degrees, 2) <= settings.resident_bytes


@pytest.mark.parametrize(
    ("recipe", "checkpoint", "gpu", "objective"),
    [
        ("nano-8gpu-latency", "nvidia/Cosmos3-Nano", "h100-80gb", "latency"),
        ("nano-8gpu-throughput", "nvidia/Cosmos3-Nano", "h100-80gb", "throughput"),
        ("super-2gpu", "nvidia/Cosmos3-Super", "h200-141gb", "latency"),
        ("super-text2image", "nvidia/Cosmos3-Super-Text2Image", "h100-80gb", "latency"),
        ("super-image2video", "nvidia/Cosmos3-Super-Image2Video", "h100-80gb", "latency"),
        ("nano-policy-droid", "nvidia/Cosmos3-Nano-Policy-DROID", "h100-80gb", "latency"),
        ("edge", "nvidia/Cosmos3-Edge", "h100-80gb", "latency"),
    ],
)
def test_a_recipe_is_what_the_plan_says(recipe: str, checkpoint: str, gpu: str, objective: str) -> None:
    found = {stage.name: stage for stage in stages(next(path for path in RECIPES if path.stem == recipe))}
    plan = plan_for(checkpoint, gpu, CARDS[recipe], objective, reasoner="Reasoner" in found)
    settings = recipes.generator_of(found["Generator"])
    assert (found["Generator"].replicas[1], settings.parallel.degrees) == (plan.gangs, plan.degrees)
    planned = {share.stage: share.fraction for card in plan.cards for share in card.shares}
    assert settings.rank_resources["GPU"] == planned.pop("Generator")
    assert {name: found[name].gpus for name in planned} == planned


@each_recipe
def test_answers_come_before_timeouts_and_timeouts_before_the_end_of_a_drain(path: Path) -> None:
    config, found = recipes.load(path), stages(path)
    timeout = config["http_options"].get("request_timeout_s")
    for stage in of_one(found, "Ingress"):
        assert isinstance(stage.settings, FrontSettings)
        assert stage.settings.sync_timeout_s <= (timeout or stage.drain_s) <= stage.drain_s
    if timeout is None:
        assert not any(stage.gpus for stage in found)


def test_only_recipes_for_servers_listen_on_all_interfaces() -> None:
    hosts = {path.stem: recipes.load(path)["http_options"]["host"] for path in RECIPES}
    assert hosts == {name: "0.0.0.0" if count else "127.0.0.1" for name, count in CARDS.items()}
