"""The server that the tests of this folder send requests to, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deployments.cli.client import Client
from tests.cli.answering_server import Server, answering


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    yield from answering()


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    running.answers.clear()
    running.sent.clear()
    return running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    found = Client(server.url)
    yield found
    found.close()
