"""Processes that die: what comes back by itself, how soon, and that nothing of the dead is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest

from deployments.ingress.graph import STATUS_AGE_S
from deployments.local.launch import RunningGraph
from tests.graph.events import events_of, finished, submitted
from tests.graph.processes import ENGINE, RANK, healthy, lives, placement_groups_of, replica, titled, until
from tests.graph.starting import started, tiny_recipe

pytestmark = pytest.mark.chaos

WITHIN_S = 60.0
REASONER_WITHIN_S = 120.0
IMAGE = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 2, "seed": 1}
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
# Steps of about a second on an idle core: time to kill in.
LONG = {"prompt": "a robot", "size": "480x320", "num_frames": "33", "num_inference_steps": "6", "seed": "5"}


@dataclass(frozen=True)
class Kind:
    """A kind of process: its title, what must go with it, how long its return may take, what shows that it is back."""

    title: str
    company: tuple[str, ...] = ()
    within_s: float = WITHIN_S
    chats: bool = False


KINDS = {
    "Ingress": Kind(replica("Ingress", "front")),
    "Jobs": Kind(replica("Jobs", "front")),
    "Model": Kind(replica("Model", "tiny")),
    "Encoder": Kind(replica("Encoder", "tiny")),
    "Decoder": Kind(replica("Decoder", "decoder")),
    "Generator": Kind(replica("Generator", "tiny"), (RANK,)),
    "rank": Kind(RANK, (replica("Generator", "tiny"),)),
    "Reasoner": Kind(replica("Reasoner", "tiny"), (ENGINE,), REASONER_WITHIN_S, chats=True),
    "EngineCore": Kind(ENGINE, (replica("Reasoner", "tiny"),), REASONER_WITHIN_S, chats=True),
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """A graph of this module's own, for its processes are killed."""
    data = tmp_path_factory.mktemp("faults")
    with started(tiny_recipe(data), data / "log") as running:
        yield running


@pytest.mark.parametrize("name", KINDS)
def test_a_killed_process_comes_back_by_itself(name: str, graph: RunningGraph, http: httpx.Client) -> None:
    kind = KINDS[name]
    groups = placement_groups_of(graph)
    assert groups == ["CREATED"]
    dead = {title: titled(title, graph.processes()) for title in (kind.title, *kind.company)}
    assert all(len(pids) == 1 for pids in dead.values()), dead
    (victim,) = dead[kind.title]
    psutil.Process(victim).kill()
    started = time.monotonic()

    def replaced() -> bool:
        if name != "Ingress":
            # Whatever is missing, this is answered.
            assert httpx.get(f"{graph.url}/health", timeout=30).status_code in (200, 503)
        living = graph.processes()
        return all(len(now := titled(title, living)) == 1 and now != before for title, before in dead.items())

    assert until(replaced, kind.within_s), dead
    back = time.monotonic() - started
    # What `/health` says may be that old.
    time.sleep(STATUS_AGE_S)
    assert until(lambda: healthy(graph.url), kind.within_s - back)
    took = time.monotonic() - started
    print(f"\n{name}: another process after {back:.1f} s, healthy after {took:.1f} s")
    if kind.chats:
        answer = http.post("/v1/chat/completions", json=CHAT)
    else:
        answer = http.post("/v1/images/generations", json=IMAGE)
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - started < kind.within_s
    assert not any(map(lives, set.union(*dead.values()))), dead
    assert placement_groups_of(graph) == groups


def test_a_generation_whose_rank_dies_is_repeated_to_the_same_bits(graph: RunningGraph, http: httpx.Client) -> None:
    undisturbed = finished(http, submitted(http, LONG))
    job = submitted(http, LONG)
    killed = False
    tries = []
    for kind, data in events_of(http, job):
        if kind == "started":
            tries.append(data["try"])
        if kind == "step" and data["index"] == 2 and not killed:
            (rank,) = titled(RANK, graph.processes())
            psutil.Process(rank).kill()
            killed = True
    again = finished(http, job)
    assert tries == [1, 2]
    assert again["latents_sha256"] == undisturbed["latents_sha256"]
    assert placement_groups_of(graph) == ["CREATED"]
