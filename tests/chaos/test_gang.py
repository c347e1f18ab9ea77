"""Two gangs of two ranks each: work goes to the free one, and a generation survives the gang it runs on."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from tests.graph.events import events_of, finished, submitted
from tests.graph.figures import eventually
from tests.graph.processes import RANK, PlacementGroups, healthy, lives, placement_groups, replica, titled, until
from tests.graph.starting import started, tiny_recipe, without_chat

pytestmark = pytest.mark.chaos

GANGS, RANKS = 2, 2
STEP_DEADLINE_S = 15.0
NOTICED_WITHIN_S = STEP_DEADLINE_S + 10.0
REPLACED_WITHIN_S = 120.0
STEPS = 60  # a fast machine takes seven seconds for these, and the gang is hit within the first two or three
VIDEO: dict[str, Any] = {
    "prompt": "a robot",
    "size": "320x192",
    "num_frames": 33,
    "num_inference_steps": STEPS,
    "seed": 3,
}
IMAGE: dict[str, Any] = {"prompt": "a cup", "size": "64x64", "num_inference_steps": 4, "seed": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gangs")


@pytest.fixture(scope="module")
def graph(data: Path) -> Iterator[RunningGraph]:
    config = without_chat(tiny_recipe(data))
    model = config["applications"][1]
    model["args"]["generator"] |= {
        "parallel": {"cfg": 2},
        "rank_resources": {"CPU": 0.25},
        "step_deadline_s": STEP_DEADLINE_S,
        "snapshot_interval_s": 1.0,
    }
    (generator,) = (entry for entry in model["deployments"] if entry["name"] == "Generator")
    generator.pop("autoscaling_config")
    generator["num_replicas"] = GANGS
    with started(config, data / "log", cpus=3) as running:
        yield running


@pytest.fixture
def http(graph: RunningGraph) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=graph.url, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def groups(graph: RunningGraph) -> Iterator[PlacementGroups]:
    with placement_groups(graph.ray_address, graph.environment) as groups:
        yield groups


@pytest.fixture(scope="module")
def undisturbed(graph: RunningGraph) -> dict[str, Any]:
    """What the video is when nothing happens to it."""
    with httpx.Client(base_url=graph.url, timeout=120) as http:
        return finished(http, submitted(http, VIDEO))


def tasks_by_gang(http: httpx.Client) -> dict[str, float]:
    """Requests that each gang has had."""
    lines = re.findall(r"^cosmos3_generator_tasks\{(.*)\} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    assert len(lines) == GANGS
    return {labels: float(value) for labels, value in lines}


def test_images_go_to_the_gang_without_a_video(graph: RunningGraph, http: httpx.Client, client: Client) -> None:
    video = submitted(http, VIDEO | {"num_inference_steps": 100})
    for kind, _ in events_of(http, video):
        if kind == "step":
            break
    time.sleep(2)
    before = tasks_by_gang(http)
    with ThreadPoolExecutor(10) as pool:
        images = [IMAGE | {"seed": seed} for seed in range(10)]
        answers = list(pool.map(lambda image: http.post("/v1/images/generations", json=image), images))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert http.get(f"/v1/videos/{video}").json()["status"] == "in_progress", "the video was too short to tell"
    http.delete(f"/v1/videos/{video}")
    time.sleep(2)
    after = tasks_by_gang(http)
    assert sorted(after[name] - before[name] for name in after) == [0, 10]
    eventually(client, lambda f: f["cosmos3_generator_queued_tasks"] == 0)


def gang_with_work(graph: RunningGraph) -> list[int]:
    """Process ids of the ranks that are busy."""
    ranks = titled(RANK, graph.processes())
    used = {pid: sum(psutil.Process(pid).cpu_times()[:2]) for pid in ranks}
    time.sleep(0.5)
    grown = {pid: sum(psutil.Process(pid).cpu_times()[:2]) - before for pid, before in used.items()}
    return sorted(grown, key=lambda pid: -grown[pid])[:RANKS]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_video_survives_its_gang(
    signal_number: signal.Signals,
    graph: RunningGraph,
    http: httpx.Client,
    groups: PlacementGroups,
    undisturbed: dict[str, Any],
    data: Path,
) -> None:
    ranks, leaders = (titled(title, graph.processes()) for title in (RANK, replica("Generator", "tiny")))
    assert (len(ranks), len(leaders)) == (GANGS * RANKS, GANGS)
    job = submitted(http, VIDEO)
    tries: list[int] = []
    indices: dict[int, list[int]] = {1: [], 2: []}
    victims: list[int] = []
    hit = noticed = None
    for kind, event in events_of(http, job):
        if kind == "started":
            tries.append(event["try"])
            if len(tries) == 2 and hit is not None:
                noticed = time.monotonic() - hit
        if kind == "step":
            indices[tries[-1]].append(event["index"])
        saved = (data / "media" / "snapshots" / f"{job}.safetensors").exists()
        if kind == "step" and saved and not victims:
            victims = gang_with_work(graph)
            os.kill(victims[0], signal_number)
            hit = time.monotonic()
    assert victims and noticed is not None, f"hit: {victims}, tries {tries}, last step {indices[1][-1]} of {STEPS}"
    assert noticed <= NOTICED_WITHIN_S
    result = http.get(f"/v1/videos/{job}").json()
    assert tries == [1, 2] and result["status"] == "completed"
    resumed_at = indices[2][0]
    assert resumed_at > 1, "it started over"
    assert indices[2] == list(range(resumed_at, STEPS + 1)) and indices[1][0] == 1
    assert result["latents_sha256"] == undisturbed["latents_sha256"]

    def replaced() -> bool:
        living = graph.processes()
        counts = len(titled(RANK, living)), len(titled(replica("Generator", "tiny"), living))
        return counts == (GANGS * RANKS, GANGS) and not any(map(lives, victims))

    assert until(replaced, REPLACED_WITHIN_S)
    assert until(lambda: groups.states() == ["CREATED"] * GANGS, 30)
    assert until(lambda: healthy(graph.url), REPLACED_WITHIN_S)
    print(f"\n{signal_number.name}: tried again {noticed:.1f} s later, from step {resumed_at}")
