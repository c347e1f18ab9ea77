"""`cosmos3_core` knows no server: neither Ray nor an HTTP library nor the package around it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import cosmos3_core

ROOT = Path(__file__).parents[1]
BUILDERS = (ROOT / "deployments" / "app.py").read_text(encoding="utf-8")
STAGES = re.findall(r'"(deployments\.[a-z_.]+[.:][A-Z]\w+)"', BUILDERS)
FOREIGN = {"ray", "starlette", "fastapi", "uvicorn", "sse_starlette", "vllm", "deployments"}
FOLDER = Path(cosmos3_core.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))

IMPORT_ALL = """
import importlib, json, pkgutil, sys
import cosmos3_core
names = [m.name for m in pkgutil.walk_packages(cosmos3_core.__path__, "cosmos3_core.")]
for name in names:
    importlib.import_module(name)
print(json.dumps([names, sorted({name.split(".")[0] for name in sys.modules})]))
"""


def test_importing_all_of_the_core_imports_no_server() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True, timeout=120)
    modules, loaded = json.loads(done.stdout.splitlines()[-1])
    assert len(modules) == len(SOURCES) - 1
    assert {"torch", "diffusers", "cosmos3_core"} <= set(loaded)
    assert FOREIGN & set(loaded) == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_source_file_of_the_core_names_a_server(source: Path) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            imported.add(node.module or "")
    assert {name.split(".")[0] for name in imported} & FOREIGN == set()


def _loaded_by(module: str, *names: str) -> list[str]:
    script = f"import json, sys, {module}; print(json.dumps([name for name in {names} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    loaded: list[str] = json.loads(done.stdout)
    return loaded


@pytest.mark.parametrize(
    "module",
    [
        "deployments.app",
        "deployments.generator.leader",
        "deployments.ingress.deployment",
        "deployments.jobs.deployment",
        "deployments.model",
    ],
)
def test_what_holds_no_weights_imports_no_model_library(module: str) -> None:
    """Each takes seconds to import, which a replica that replaces a dead one does not have."""
    assert _loaded_by(module, "torch", "diffusers", "transformers", "vllm") == []


def test_what_a_rank_computes_with_is_no_more_than_torch() -> None:
    assert _loaded_by("deployments.generator.resident_tasks", "diffusers", "transformers", "vllm") == []


def test_the_builders_name_every_stage_and_the_routers() -> None:
    stages = {"Ingress", "Jobs", "Model", "Encoder", "Reasoner", "Generator", "Decoder", "Guardrails"}
    assert {re.split("[.:]", path)[-1] for path in STAGES} == stages | {"LeastQueuedWork", "ContentAffinity"}


@pytest.mark.parametrize("path", STAGES)
def test_what_the_builders_name_is_there(path: str) -> None:
    module, _, name = path.replace(":", ".").rpartition(".")
    assert isinstance(getattr(import_module(module), name), type)


@pytest.mark.parametrize("module", ["blocklist", "guardrails", "record", "verdict"])
def test_a_list_of_words_needs_no_model_library(module: str) -> None:
    assert _loaded_by(f"cosmos3_core.guardrails.{module}", "torch", "diffusers", "transformers") == []


@pytest.mark.parametrize("application", ["front", "model", "decoder", "guardrails"])
def test_settings_import_nothing_that_they_configure(application: str) -> None:
    configured = [f"deployments.{room}" for room in ("jobs", "generator", "ingress", "reasoner")]
    assert _loaded_by(f"deployments.settings.{application}", *configured) == []
