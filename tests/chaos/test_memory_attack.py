"""Everything that takes memory, at once: no stage is killed for it, and a client that behaves is still served."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import httpx
import psutil
import pytest

from deployments.local.launch import RunningGraph
from tests.chaos.attack import Target, attacked
from tests.chaos.keys import authorization
from tests.chaos.killing import CHAT, IMAGE, KINDS, REPLACED_WITHIN_S, complete
from tests.graph.processes import titled, until
from tests.graph.resident import MIB, Peaks, resident, table
from tests.surface.inputs import TINY
from tests.surface.reading import error_of

pytestmark = pytest.mark.chaos

ANSWERED_WITHIN_S = 60.0
LONGEST_PAUSE_S = 2.0
MOST_GROWTH = {
    "proxy": 1024 * MIB,
    "Ingress": 2560 * MIB,
    "Jobs": 256 * MIB,
    "Model": 256 * MIB,
    "Encoder": 1024 * MIB,
    "Decoder": 1024 * MIB,
    "Reasoner": 1024 * MIB,
    "engine": 1024 * MIB,
    "Generator": 256 * MIB,
    "rank": 512 * MIB,
}
"""How much more than before a process of these parts may hold at its peak."""
LEAST_AVAILABLE = 1536 * MIB
"""With less left of the machine the attack is ended, before the kernel or Ray ends processes of others, too."""


class GoodClient(threading.Thread):
    """A client that asks for one small thing after another, and comes back later when it is told to.

    Attributes:
        statuses: how often each status came.
        slowest: seconds.
        wrong: answers that it should not have got.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._url, self._headers = url, headers
        self.over = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.wrong: list[str] = []

    def run(self) -> None:
        requests: list[tuple[str, str, dict[str, Any] | None]] = [
            ("GET", "/v1/models", None),
            ("POST", "/v1/chat/completions", CHAT),
            ("POST", "/v1/videos", TINY),
            ("POST", "/v1/images/generations", IMAGE),
            ("GET", "/v1/videos?limit=2", None),
        ]
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=ANSWERED_WITHIN_S) as http:
            while not self.over.is_set():
                for method, path, body in requests:
                    if not self.over.is_set():
                        self._ask(http, method, path, body)

    def _ask(self, http: httpx.Client, method: str, path: str, body: dict[str, Any] | None) -> None:
        begun = time.monotonic()
        try:
            answer = http.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.wrong.append(f"{method} {path} after {time.monotonic() - begun:.1f} s: {error!r}")
            return
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.statuses[answer.status_code] += 1
        if answer.status_code in (429, 503):
            error_of(answer, answer.status_code)
            pause = float(answer.headers["retry-after"])
            self.over.wait(min(pause, LONGEST_PAUSE_S))
        elif answer.status_code != 200:
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        elif (method, path) == ("POST", "/v1/videos"):
            self._ask(http, "DELETE", f"{path}/{answer.json()['id']}", None)


def stages(graph: RunningGraph) -> dict[str, set[int]]:
    """The process ids of each kind of process that serves."""
    living = graph.processes()
    return {name: titled(kind.title, living) for name, kind in KINDS.items()}


@pytest.mark.parametrize("seconds", [20, pytest.param(120, marks=pytest.mark.long)])
@pytest.mark.usefixtures("http")
def test_memory_attack(seconds: int, graph: RunningGraph) -> None:
    """The attackers share a key, and the client has another."""
    before, pids = resident(graph.processes()), stages(graph)
    peaks = Peaks(graph.processes)
    target = Target(httpx.URL(graph.url), authorization("alice"))
    client = GoodClient(graph.url, authorization("carol"))
    client.start()
    with peaks.watched():
        with attacked(target):
            enough = until(lambda: peaks.least_available < LEAST_AVAILABLE, seconds)
        client.over.set()
        client.join(2 * ANSWERED_WITHIN_S)
    print(f"\n{seconds} s; machine: {psutil.virtual_memory().total / MIB:.0f} MiB,", end=" ")
    print(f"at least {peaks.least_available / MIB:.0f} were available")
    print(table(before, peaks.largest, resident(graph.processes())))
    print(f"attackers: { {f'{name}: {status}': n for (name, status), n in sorted(target.answers.items())} }")
    print(
        f"the good client: {dict(client.statuses)}, slowest {client.slowest:.1f} s, wrong: {client.wrong}", flush=True
    )
    assert not enough, "the machine's memory was nearly used up"
    assert stages(graph) == pids, "no process has ended"
    assert not client.wrong and client.statuses[200] > 0 and not client.is_alive()
    growth = {part: peaks.largest[part] - before[part][0] for part in MOST_GROWTH}
    assert not {part: more for part, more in growth.items() if more > MOST_GROWTH[part]}
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
