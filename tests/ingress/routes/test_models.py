"""The list of models, and one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cosmos3_core.modes import Mode
from cosmos3_core.resolving.facts import ModelFacts
from tests.ingress.stubs import StubGraph, ask


def test_no_models() -> None:
    assert ask(StubGraph(), "/v1/models").json() == {"object": "list", "data": []}


def test_models_that_are_not_ready_yet(cards: Callable[..., StubGraph]) -> None:
    for stub in (StubGraph(absent=["nano"]), replace(cards("nano"), reasons={"app-nano/Generator": "updating"})):
        answer = ask(stub, "/v1/models")
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.json()["error"]["message"] == "no model is ready yet"


def test_models_are_listed_in_the_graphs_order(cards: Callable[..., StubGraph]) -> None:
    answer = ask(cards("b", "a", "org/c"), "/v1/models").json()
    assert answer["object"] == "list"
    assert [entry["id"] for entry in answer["data"]] == ["b", "a", "org/c"]


def test_an_entry(cards: Callable[..., StubGraph], facts: ModelFacts) -> None:
    (entry,) = ask(cards("nano", root="nvidia/Cosmos3-Nano", max_model_len=4096), "/v1/models").json()["data"]
    assert entry.pop("created") > 0
    assert entry == {
        "id": "nano",
        "object": "model",
        "owned_by": "cosmos3",
        "root": "nvidia/Cosmos3-Nano",
        "parent": None,
        "permission": [],
        "abilities": {"chat": True, "modes": [mode.value for mode in Mode], "sound": facts.sound is not None},
        "max_model_len": 4096,
    }


def test_an_entry_of_a_model_that_only_chats(cards: Callable[..., StubGraph]) -> None:
    (entry,) = ask(cards("nano", generates=False), "/v1/models").json()["data"]
    assert entry["abilities"] == {"chat": True, "modes": [], "sound": False}
    assert "max_model_len" not in entry


@pytest.mark.parametrize("root", ["/srv/models/nano", "/srv/nano", "./models", "~/models", "a/b/c", "models", "../x"])
def test_folders_are_not_shown(cards: Callable[..., StubGraph], root: str) -> None:
    assert ask(cards("nano", root=root), "/v1/models").json()["data"][0]["root"] == "nano"


@pytest.mark.parametrize("name", ["nano", "nvidia/Cosmos3-Nano", "a/b/c", "with space", "é", "100%", "a?b", "a#b"])
def test_one_model(cards: Callable[..., StubGraph], name: str) -> None:
    stub = cards("other", name)
    encoded = "".join(f"%{byte:02X}" if byte != ord("/") else "/" for byte in name.encode())
    answer = ask(stub, f"/v1/models/{encoded}")
    assert (answer.status_code, answer.json()) == (200, ask(stub, "/v1/models").json()["data"][1])


def test_an_escaped_slash_is_a_slash(cards: Callable[..., StubGraph]) -> None:
    assert ask(cards("nvidia/Cosmos3-Nano"), "/v1/models/nvidia%2FCosmos3-Nano").json()["id"] == "nvidia/Cosmos3-Nano"


@pytest.mark.parametrize("name", ["nan", "nano2", "NANO", "nvidia/nano", "x" * 5000])
def test_an_unknown_model_is_not_found(cards: Callable[..., StubGraph], name: str) -> None:
    answer = ask(cards("nano", "edge"), f"/v1/models/{name}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"], error["param"]) == (404, 404, "NotFoundError", "model")
    assert error["message"] == f"The model {name[:200]} does not exist; served: nano, edge"


def test_an_unknown_model_may_still_be_starting(cards: Callable[..., StubGraph]) -> None:
    answer = ask(replace(cards("nano"), absent=["edge"]), "/v1/models/edge")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "model edge is not ready or not served"


def test_an_adapter_that_chats_is_a_model(cards: Callable[..., StubGraph]) -> None:
    stub = cards("nano", root="nvidia/Cosmos3-Nano", chat_adapters=("mine", "yours"))
    entries = ask(stub, "/v1/models").json()["data"]
    assert [(entry["id"], entry["parent"]) for entry in entries] == [
        ("nano", None),
        ("mine", "nano"),
        ("yours", "nano"),
    ]
    assert entries[1]["abilities"] == {"chat": True, "modes": [], "sound": False}
    assert ask(stub, "/v1/models/yours").json() == entries[2]
