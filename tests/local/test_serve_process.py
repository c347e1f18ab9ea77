"""The processes behind a graph: their order, and how often the deployer asks Serve for its status."""

from __future__ import annotations

from deployments.local.serve_process import (
    IDLE_AFTER_SECONDS,
    IDLE_POLL_SECONDS,
    POLL_SECONDS,
    Order,
    intake_variable,
    kill_until_none,
    poll_seconds,
)
from deployments.names import INTAKE_VARIABLE


def test_an_order_is_one_line_and_comes_back_as_it_was() -> None:
    order = Order(
        config={"applications": [{"name": "a\nb"}]},
        folder="/tmp/x",
        parent=7,
        status_fd=3,
        logical_cpus=None,
        dashboard=False,
        object_store_bytes=1,
    )
    line = order.encode()
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert Order.decode(line) == order


def test_a_graph_that_starts_or_has_just_changed_is_asked_often() -> None:
    assert poll_seconds(ready=False, unchanged_seconds=3600) == POLL_SECONDS
    assert poll_seconds(ready=True, unchanged_seconds=0) == POLL_SECONDS
    assert poll_seconds(ready=True, unchanged_seconds=IDLE_AFTER_SECONDS) == IDLE_POLL_SECONDS > POLL_SECONDS


def test_serves_http_server_learns_how_much_it_may_take_from_the_recipe() -> None:
    front = {"name": "front", "args": {"data": "x", "intake": {"connections": 7}}}
    for others in ([], [{"name": "decoder"}, {"name": "model", "args": None}]):
        assert intake_variable({"applications": [*others, front]}) == {INTAKE_VARIABLE: '{"connections": 7}'}
        assert intake_variable({"applications": others}) == {}
    assert intake_variable({}) == {}


def test_killing_ends_when_nothing_is_found() -> None:
    reaped: list[None] = []
    assert kill_until_none(list, lambda: reaped.append(None))
    assert not reaped
