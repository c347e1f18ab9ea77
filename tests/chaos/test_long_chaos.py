"""Two hundred jobs of twenty clients, some of which leave, through ten kills: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.paired import RETENTION, paired_recipe
from tests.chaos.run import drawn, survives
from tests.chaos.schedule import LONG
from tests.chaos.store import STRAYS_SWEPT_WITHIN_S, Store
from tests.graph.processes import until
from tests.graph.starting import started

MOST_UNFINISHED = 8


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_long_chaos(tmp_path: Path) -> None:
    """The bound on unfinished jobs is that of the server."""
    config = paired_recipe(tmp_path, admission={"max_unfinished": MOST_UNFINISHED}, retention=RETENTION)
    store = Store(tmp_path)
    with started(config, tmp_path / "log") as graph:
        survives(graph, store, drawn(LONG), {}, MOST_UNFINISHED)
        assert until(lambda: not store.stray_files(), STRAYS_SWEPT_WITHIN_S), store.stray_files()
