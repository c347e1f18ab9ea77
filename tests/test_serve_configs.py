"""Recipes: accepted by Serve and by the typed settings, and within the machine that each is named after."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.recipes import load_recipe
from deployments.settings import FrontSettings, ModelSettings
from tests import recipes
from tests.recipes import RECIPES, Stage

CARDS = {"tiny-cpu": 0, "reasoner-only": 1, "nano-1gpu": 1, "nano-4gpu": 4, "super-8gpu": 8}
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
    # Jobs is alone in driving what the database holds, and a model's card has nothing to scale.
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


def test_tiny_fits_two_logical_cpus() -> None:
    found = stages(next(path for path in RECIPES if path.stem == "tiny-cpu"))
    assert sum(stage.replicas[0] * stage.total["CPU"] for stage in found) <= 2


@each_recipe
def test_the_cards_suffice_at_most_replicas(path: Path) -> None:
    assert recipes.cards_needed(stages(path)) <= CARDS[path.stem]


@each_recipe
def test_a_card_holds_whatever_ray_puts_on_it(path: Path) -> None:
    for together in recipes.cards(stages(path)):
        claimed = {f"{i} {stage.name}": recipes.memory(stage) / 1e9 for i, stage in enumerate(together)}
        assert sum(claimed.values()) * 1e9 <= recipes.CARD, claimed


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
        config = recipes.CONFIGS[recipes.family_of(stage.settings)]
        token = 4 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"]
        used = recipes.weights(stage) + recipes.VLLM_ACTIVATIONS + recipes.CONTEXT
        room = engine.get("kv_cache_memory_bytes", recipes.memory(stage) - used)
        assert used + room <= recipes.memory(stage) + 1
        assert engine["max_model_len"] * token / width <= room


@each_recipe
def test_a_rank_shares_its_card_with_no_other_rank(path: Path) -> None:
    for stage in of_one(stages(path), "Generator"):
        assert not stage.gpus or stage.gpus == int(stage.gpus) or stage.gpus > 0.5


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
