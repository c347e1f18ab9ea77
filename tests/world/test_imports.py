"""The world needs numpy, PyAV, Pillow and OpenCV, and neither torch nor a server."""

from __future__ import annotations

import json
import subprocess
import sys

IMPORT_ALL = """
import importlib, json, pkgutil, sys
import examples.tiny_world as world
names = [module.name for module in pkgutil.walk_packages(world.__path__, world.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(json.dumps([len(names), [name for name in sys.modules if "." not in name]]))
"""


def test_importing_all_of_it_imports_neither_torch_nor_a_server() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True, timeout=60)
    count, loaded = json.loads(done.stdout)
    assert count > 20
    assert {"torch", "transformers", "diffusers", "ray", "starlette", "vllm", "deployments"}.isdisjoint(loaded)
