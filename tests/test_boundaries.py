"""`cosmos3_core` knows no server: neither Ray nor an HTTP library nor the package around it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cosmos3_core

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


@pytest.mark.parametrize("module", ["deployments.jobs.deployment", "deployments.ingress.deployment"])
def test_who_holds_no_weights_imports_no_model_library(module: str) -> None:
    """Each takes seconds to import, which a replica that replaces a dead one does not have."""
    script = (
        f"import sys, {module}; print([name for name in ('diffusers', 'transformers', 'vllm') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "[]", answer.stderr


def test_settings_import_nothing_that_they_configure() -> None:
    script = "import sys, deployments.settings; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    loaded = answer.stdout.split()
    assert "deployments.settings" in loaded, answer.stderr
    configured = ("deployments.jobs", "deployments.generator", "deployments.ingress")
    assert [name for name in loaded if name.startswith(configured)] == []
