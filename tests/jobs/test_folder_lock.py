"""The lock on a graph's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.jobs import deployment
from tests.jobs.replicas import run, started


def test_another_graph_keeps_out_of_the_folder(tmp_path: Path, endless: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "LOCK_PATIENCE_S", 0.1)

    async def test() -> None:
        async with started(tmp_path), started(tmp_path):
            monkeypatch.setattr(deployment, "_graph", lambda: "another graph")
            with pytest.raises(RuntimeError, match="belongs to another graph"):
                async with started(tmp_path):
                    pass

    run(test)
