"""The tests on a GPU are collected on a machine that has no server, no database and no pictures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
# Makes packages impossible to import, then collects as `python -m pytest` would.
COLLECT = """
import sys

BLOCKED = {"ray", "psycopg", "starlette", "vllm", "sqlalchemy"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import pytest
sys.exit(pytest.main(["--co", "-q", "-m", "gpu", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def test_they_are_collected_without_ray_vllm_or_a_database() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "COSMOS3_ASSETS"}
    answer = subprocess.run(
        [sys.executable, "-c", COLLECT, str(FOLDER)],
        cwd=FOLDER.parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    collected = [line for line in answer.stdout.splitlines() if "test_gpu.py::" in line]
    assert any("test_a_step_waits_for_the_device" in line for line in collected), answer.stdout
    assert len(collected) > 20
