"""Each stage grows for its own work alone, and shrinks when the work is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.graph.processes import until

pytestmark = pytest.mark.slow

GROW_S, SHRINK_S = 150.0, 60.0
# Without weights: they may be as many as they like.
FREE = {"Ingress", "Jobs", "Model"}
# Many steps of few frames: work for the Generator, little for the Decoder.
VIDEO = {"prompt": "a robot", "size": "480x320", "num_frames": "5", "num_inference_steps": "40"}
VIDEOS, CHATS = 6, 20
CHAT = {
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 4000,
    "ignore_eos": True,
    "stream": True,
}


class Watch:
    """The most replicas that each stage with weights had, started or still starting, while it was watched."""

    def __init__(self, graph: RunningGraph) -> None:
        self._graph = graph
        self._over = threading.Event()
        self.most: dict[str, int] = {}

    def replicas(self, *states: str) -> dict[str, int]:
        """Replicas in some states, by stage."""
        deployments = [each for one in self._graph.status().applications for each in one.deployments]
        return {
            each.name: sum(count for state, count in each.replicas.items() if state in states)
            for each in deployments
            if each.name not in FREE
        }

    def follow(self) -> None:
        while not self._over.wait(0.2):
            for stage, count in self.replicas("STARTING", "UPDATING", "RECOVERING", "RUNNING").items():
                self.most[stage] = max(count, self.most.get(stage, 0))

    @contextmanager
    def following(self) -> Iterator[None]:
        follower = threading.Thread(target=self.follow)
        follower.start()
        try:
            yield
        finally:
            self._over.set()
            follower.join()

    def minimal(self) -> bool:
        """Whether one replica of each is all there is."""
        counts = self.replicas("STARTING", "UPDATING", "RECOVERING", "RUNNING", "STOPPING")
        return bool(counts) and set(counts.values()) == {1}


def test_a_burst_of_videos_grows_the_generator_alone(roomy: RunningGraph) -> None:
    burst(roomy, film, VIDEOS, "Generator")


@pytest.mark.long
def test_a_burst_of_chats_grows_the_reasoner_alone(roomy_with_chat: RunningGraph) -> None:
    burst(roomy_with_chat, talk, CHATS, "Reasoner")


def burst(graph: RunningGraph, client: Callable[[str, threading.Event], int], clients: int, stage: str) -> None:
    """Keep so many clients busy until a stage has two replicas, then let them go: it alone has grown, and shrinks."""
    watch = Watch(graph)
    assert until(watch.minimal, SHRINK_S), watch.replicas("RUNNING")
    over = threading.Event()
    started = time.monotonic()
    with watch.following():
        with ThreadPoolExecutor(clients) as pool:
            answers = [pool.submit(client, graph.url, over) for _ in range(clients)]
            try:
                assert until(lambda: watch.replicas("RUNNING")[stage] == 2, GROW_S), watch.most
                grown = time.monotonic() - started
            finally:
                over.set()
            assert all(answer.result() for answer in answers)
        done = time.monotonic()
        assert until(watch.minimal, SHRINK_S), watch.replicas("RUNNING", "STOPPING")
    print(f"\n2 of {stage} after {grown:.1f} s, 1 again {time.monotonic() - done:.1f} s after the last answer")
    stages = watch.replicas("RUNNING").keys()
    assert stage in stages and watch.most == dict.fromkeys(stages, 1) | {stage: 2}


def film(url: str, over: threading.Event) -> int:
    """Ask for videos until it is over; returns how many came."""
    films = 0
    while not over.is_set():
        assert httpx.post(f"{url}/v1/videos/sync", data=VIDEO, timeout=GROW_S).status_code == 200
        films += 1
    return films


def talk(url: str, over: threading.Event) -> int:
    """Chat until it is over, then hang up in the middle of an answer; returns the events read."""
    read = 0
    while not over.is_set():
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=CHAT, timeout=GROW_S) as answer:
            assert answer.status_code == 200
            for _ in answer.iter_lines():
                read += 1
                if over.is_set():
                    break
    return read
