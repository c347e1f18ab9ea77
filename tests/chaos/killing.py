"""Processes of the shared graph that are killed: what must end with them, and how soon everything is back."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from deployments.ingress.graph import STATUS_AGE_S
from deployments.local.launch import RunningGraph
from tests.graph.processes import ENGINE, RANK, PlacementGroups, healthy, lives, replica, titled, until

WITHIN_S = 60.0
REASONER_WITHIN_S = 120.0
REPLACED_WITHIN_S = 90.0
IMAGE: dict[str, Any] = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 2, "seed": 1}
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


@dataclass(frozen=True)
class Kind:
    """A kind of process.

    Attributes:
        title: the pattern of its title.
        count: how many the graph has.
        company: titles of the processes that must end with it.
        within_s: the longest time until it is back.
        chats: whether a chat shows that it is back, instead of an image.
    """

    title: str
    count: int = 1
    company: tuple[str, ...] = ()
    within_s: float = WITHIN_S
    chats: bool = False


_LEADER, _REASONER = replica("Generator", "tiny"), replica("Reasoner", "tiny")
KINDS = {
    "Ingress": Kind(replica("Ingress", "front"), count=2),
    "Jobs": Kind(replica("Jobs", "front"), count=2),
    "Model": Kind(replica("Model", "tiny")),
    "Encoder": Kind(replica("Encoder", "tiny")),
    "Decoder": Kind(replica("Decoder", "decoder")),
    "Generator": Kind(_LEADER, company=(RANK,)),
    "rank": Kind(RANK, company=(_LEADER,)),
    "Reasoner": Kind(_REASONER, company=(ENGINE,), within_s=REASONER_WITHIN_S, chats=True),
    "EngineCore": Kind(ENGINE, company=(_REASONER,), within_s=REASONER_WITHIN_S, chats=True),
}


def complete(graph: RunningGraph) -> bool:
    """Whether every process of the graph is in place."""
    processes = graph.processes()
    return all(len(titled(kind.title, processes)) == kind.count for kind in KINDS.values()) and healthy(graph.url)


class Killing:
    """Kills all processes of a kind when it is called, and watches until they are back."""

    def __init__(self, name: str, graph: RunningGraph, http: httpx.Client, groups: PlacementGroups) -> None:
        self._name, self._kind = name, KINDS[name]
        self._graph, self._http, self._groups = graph, http, groups
        self._recovery: Future[None] | None = None

    def __call__(self) -> None:
        """Kill them."""
        assert self._groups.states() == ["CREATED"]
        living = self._graph.processes()
        dead = {title: titled(title, living) for title in (self._kind.title, *self._kind.company)}
        assert all(len(pids) == self._kind.count for pids in dead.values()), dead
        for victim in dead[self._kind.title]:
            psutil.Process(victim).kill()
        pool = ThreadPoolExecutor(1)
        self._recovery = pool.submit(self._watch, dead, time.monotonic())
        pool.shutdown(wait=False)

    def recovered(self) -> None:
        """Wait until everything is back.

        Raises:
            AssertionError: it is not back in time, the graph did not say how it is, or something of the dead is left.
        """
        assert self._recovery is not None, "nothing was killed"
        self._recovery.result(2 * self._kind.within_s)

    def _watch(self, dead: dict[str, set[int]], killed_at: float) -> None:
        kind = self._kind

        def replaced() -> bool:
            if self._name != "Ingress":
                # Whatever is missing, this is answered.
                assert httpx.get(f"{self._graph.url}/health", timeout=30).status_code in (200, 503)
            living = self._graph.processes()
            now = {title: titled(title, living) for title in dead}
            return all(len(pids) == kind.count and not pids & dead[title] for title, pids in now.items())

        assert until(replaced, kind.within_s), dead
        back = time.monotonic() - killed_at
        # What `/health` says may be that old.
        time.sleep(STATUS_AGE_S)
        assert until(lambda: healthy(self._graph.url), kind.within_s - back)
        took = time.monotonic() - killed_at
        print(f"\n{self._name}: other processes after {back:.1f} s, healthy after {took:.1f} s")
        path, body = ("/v1/chat/completions", CHAT) if kind.chats else ("/v1/images/generations", IMAGE)
        answer = self._http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert time.monotonic() - killed_at < kind.within_s
        assert not any(map(lives, set.union(*dead.values()))), dead
        assert self._groups.states() == ["CREATED"]
