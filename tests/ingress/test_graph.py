"""Readiness, derived from Serve's status."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.guardrails.verdict import ContentBlocked
from deployments.ingress.graph import Graph, ServedCard
from deployments.local.status import ApplicationStatus, DeploymentStatus
from deployments.model import ModelCard
from deployments.settings.front import FrontSettings, ServedModel, ServedModels
from deployments.wire import guardrails
from deployments.wire.guardrails import GuardrailsUnavailable
from tests.guardrails import Handle, guardrails_of

Deployments = dict[str, tuple[str, dict[str, int]]]
UP: Deployments = {"X": ("HEALTHY", {"RUNNING": 1})}


def application(name: str, deployments: Deployments) -> ApplicationStatus:
    stages = (DeploymentStatus(stage, status, "", replicas) for stage, (status, replicas) in deployments.items())
    return ApplicationStatus(name, "RUNNING", "", tuple(stages))


@pytest.fixture
def card(nano: Path) -> ServedCard:
    facts = Checkpoint.find(str(nano)).facts
    model = ModelCard("nano", "tiny:nano", facts, chats=True, generates=True, decoder="decoder", max_model_len=None)
    return ServedCard(model, "app")


def graph_of(card: ServedCard, tmp_path: Path, **applications: Deployments) -> Graph:
    graph = Graph(FrontSettings(data=tmp_path), None)
    graph.configured = ServedModels(models=(ServedModel(application="app"),))
    graph._cards = {"app": card}
    set_status(graph, **applications)
    return graph


def set_status(graph: Graph, **applications: Deployments) -> None:
    found = {name: application(name, deployments) for name, deployments in applications.items()}
    graph._status = (time.monotonic() + 1e6, found)


@pytest.mark.parametrize(
    ("deployments", "ready"),
    [
        ({"Generator": ("UPDATING", {"STARTING": 1})}, False),
        ({"Generator": ("UPDATING", {"RUNNING": 1, "STARTING": 1})}, True),
        ({"Generator": ("UPDATING", {"RUNNING": 0, "STARTING": 1})}, False),
        ({"Generator": ("UNHEALTHY", {})}, False),
        ({"Generator": ("HEALTHY", {"RUNNING": 1})}, True),
        ({}, False),
    ],
)
def test_a_model_is_listed_once_all_its_stages_run(
    deployments: Deployments, ready: bool, card: ServedCard, tmp_path: Path
) -> None:
    graph = graph_of(card, tmp_path, front=UP, decoder=UP, app=deployments)
    assert asyncio.run(graph.ready_models()) == ([card] if ready else [])
    assert (asyncio.run(graph.unready()) == {}) is ready


def test_a_model_waits_for_its_decoder_and_stays_listed_while_a_stage_is_replaced(
    card: ServedCard, tmp_path: Path
) -> None:
    graph = graph_of(card, tmp_path, front=UP, app=UP)
    assert asyncio.run(graph.ready_models()) == []
    set_status(graph, front=UP, app=UP, decoder=UP)
    assert asyncio.run(graph.ready_models()) == [card]
    set_status(graph, front=UP, app={"Generator": ("UNHEALTHY", {})}, decoder=UP)
    assert asyncio.run(graph.ready_models()) == [card] and asyncio.run(graph.unready())


@pytest.fixture
def guarded(card: ServedCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """A graph whose requests are checked by the application `checks`, which is not deployed."""
    monkeypatch.setattr(guardrails, "handle_of", lambda *_: Handle(guardrails_of(tmp_path)))
    graph = graph_of(card, tmp_path, front=UP, app=UP, decoder=UP)
    graph.settings = FrontSettings.model_validate({"data": tmp_path, "guardrails": {"application": "checks"}})
    return graph


@pytest.mark.parametrize(
    ("deployments", "state"),
    [
        (None, "is not deployed"),
        ({"Guardrails": ("UPDATING", {"STARTING": 1})}, "has no replica that runs"),
        ({}, "has no replica that runs"),
    ],
)
def test_guardrails_that_do_not_run_are_not_waited_for(
    guarded: Graph, deployments: Deployments | None, state: str
) -> None:
    others = {} if deployments is None else {"checks": deployments}
    set_status(guarded, front=UP, app=UP, decoder=UP, **others)
    with pytest.raises(GuardrailsUnavailable, match=f"application checks of the guardrails {state}"):
        asyncio.run(guarded.check_texts("checks", {"prompt": "x"}))
    reasons = asyncio.run(guarded.unready())
    assert [name for name in reasons if name.startswith("checks")], reasons


def test_guardrails_that_run_are_asked(guarded: Graph) -> None:
    set_status(guarded, front=UP, app=UP, decoder=UP, checks={"Guardrails": ("HEALTHY", {"RUNNING": 1})})
    (said,) = asyncio.run(guarded.check_texts("checks", {"prompt": "x"}))
    assert said.of == "prompt" and asyncio.run(guarded.unready()) == {}
    with pytest.raises(ContentBlocked):
        asyncio.run(guarded.check_texts("checks", {"prompt": "a grimflax"}))
