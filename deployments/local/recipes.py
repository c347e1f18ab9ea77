"""Recipes: Serve deploy configs as YAML files, found by name, checked, and adapted to the machine that runs them.

This module starts nothing; `launch` does. A recipe stays a plain Serve config that `serve deploy` accepts as well.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cosmos3_core.errors import CosmosError
from deployments.names import FRONT

# The first exists where the package is installed, the second in a checkout of the repository.
FOLDERS = (Path(__file__).parents[1] / "serve_configs", Path(__file__).parents[2] / "serve_configs")


class RecipeError(CosmosError, ValueError):
    """A recipe that cannot be found, read or used as asked."""


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe, given its path or, for a recipe of this package, its name, such as `tiny-cpu`."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    known = {file.stem: file for folder in FOLDERS for file in sorted(folder.glob("*.yaml"))}
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    names = ", ".join(sorted(known)) or "none"
    raise RecipeError(f"{name_or_path} is neither a file nor a recipe; recipes: {names}")


def load_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe and check it against Serve's schema."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise RecipeError(f"{path} is no mapping; expected a Serve config with `applications`")
    _check(path, config)
    return config


def override(
    config: dict[str, Any], *, port: int | None = None, host: str | None = None, data: Path | None = None
) -> dict[str, Any]:
    """A copy of a config that listens on `port` and `host`, and whose front application keeps its files in `data`.

    None keeps what the config says. If there is no host in either, it is loopback; Serve would take all interfaces.
    """
    changed = copy.deepcopy(config)
    http = changed["http_options"] = dict(changed.get("http_options") or {})
    http.update({name: value for name, value in (("port", port), ("host", host)) if value is not None})
    http.setdefault("host", "127.0.0.1")
    if data is not None:
        front = front_application(changed)
        if front is None:
            raise RecipeError(f"data has no use: the recipe has no application named {FRONT}")
        front["args"] = {**(front.get("args") or {}), "data": str(data)}
    return changed


def front_application(config: dict[str, Any]) -> dict[str, Any] | None:
    """The application that answers HTTP and keeps files; None if the config has none."""
    return next((app for app in config.get("applications") or [] if app.get("name") == FRONT), None)


def _check(path: Path, config: dict[str, Any]) -> None:
    try:
        from ray.serve.schema import ServeDeploySchema
    except ImportError as error:
        raise RecipeError(
            "serving needs Ray: install the extra `serve`, as in `pip install 'cosmos3[serve]'`"
        ) from error
    try:
        ServeDeploySchema.model_validate(config)
        problems = [f"{name}: unknown" for name in _unknown(config)]
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'the config'}: {problem['msg']}"
            for problem in error.errors()
        ]
    if problems:
        raise RecipeError(f"{path} is no Serve config: {'; '.join(problems)}")


def _unknown(config: dict[str, Any]) -> list[str]:
    """Names that Serve would ignore, such as a misspelt option of a deployment."""
    from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

    unknown = [name for name in config if name not in ServeDeploySchema.model_fields]
    for i, application in enumerate(config["applications"]):
        place = f"applications.{i}"
        unknown += [f"{place}.{name}" for name in application if name not in ServeApplicationSchema.model_fields]
        for j, deployment in enumerate(application.get("deployments") or []):
            unknown += [
                f"{place}.deployments.{j}.{name}" for name in deployment if name not in DeploymentSchema.model_fields
            ]
    return unknown
