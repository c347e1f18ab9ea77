"""Recipes: found by name, read, checked and overridden."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deployments.local import recipes
from deployments.local.recipes import RecipeError, find_recipe, load_recipe, override
from tests.graph.echo_config import echo


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recipes, "FOLDERS", (tmp_path,))
    path = tmp_path / "echo.yaml"
    path.write_text(yaml.safe_dump(echo(8000, size=1)))
    return path


def test_a_recipe_is_found_by_name_and_by_path(recipe: Path) -> None:
    assert find_recipe("echo") == find_recipe(str(recipe)) == recipe


def test_an_unknown_recipe_is_answered_with_the_names_there_are(recipe: Path) -> None:
    (recipe.parent / "another.yaml").touch()
    with pytest.raises(RecipeError, match="recipes: another, echo"):
        find_recipe("ehco")


def test_a_recipe_is_read_as_it_is(recipe: Path) -> None:
    assert load_recipe(recipe) == echo(8000, size=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("applications: [", "is no YAML"),
        ("- front", "is no mapping"),
        ("applications: [{name: front, import_path: nothing}]", r"is no Serve config: applications\.0\.import_path"),
        ("applications: []\nreplicas: 2", "is no Serve config: replicas: unknown"),
        (
            "applications: [{name: a, import_path: 'a:b', deployments: [{name: B, replica: 2}]}]",
            r"applications\.0\.deployments\.0\.replica: unknown",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_in_a_sentence(recipe: Path, text: str, message: str) -> None:
    recipe.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe)


def test_overrides_change_a_copy(tmp_path: Path) -> None:
    config = echo(8000, size=1)
    changed = override(config, port=9000, host="0.0.0.0", data=tmp_path)
    assert changed["http_options"] == {"port": 9000, "host": "0.0.0.0"}
    assert changed["applications"][0]["args"] == {"size": 1, "data": str(tmp_path)}
    assert config == echo(8000, size=1)


def test_without_overrides_only_the_host_is_made_loopback() -> None:
    assert override(echo(8000))["http_options"] == {"port": 8000, "host": "127.0.0.1"}
    assert override({"http_options": {"host": "::"}})["http_options"] == {"host": "::"}


def test_a_data_folder_without_a_front_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no application named front"):
        override({"applications": [{"name": "other", "import_path": "a:b"}]}, data=tmp_path)
