"""A job survives the death of whatever works on it: it completes, under its id, with the bits of an undisturbed one."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core.media.mp4 import encode_mp4
from deployments.cli.client import Client
from deployments.jobs.watching import ATTENDED_S
from deployments.local.launch import RunningGraph
from deployments.local.serve_process import kill_until_none
from tests.chaos.paired import paired_recipe
from tests.graph.events import SentEvent, finished, followed, submitted
from tests.graph.figures import settled, steps_until_stopped
from tests.graph.processes import RANK, healthy, replica, titled, until
from tests.graph.starting import started
from tests.parity.cases import picture

pytestmark = pytest.mark.chaos

STEPS = 40
VIDEO: dict[str, Any] = {
    "prompt": "a robot",
    "size": "320x192",
    "num_frames": 33,
    "num_inference_steps": STEPS,
    "seed": 3,
}
CLIP: dict[str, Any] = {
    "prompt": "drive",
    "action_mode": "inverse_dynamics",
    "domain_name": "av",
    "raw_action_dim": 9,
    "action_chunk_size": 60,
    "resolution": "256",
    "fps": 10,
    "num_inference_steps": 2,
    "seed": 3,
}
REPLACED_WITHIN_S = 90.0
SWEPT_WITHIN_S = 20.0
FORGOTTEN_WITHIN_S = 30.0
INGRESS, JOBS = replica("Ingress", "front"), replica("Jobs", "front")
ENCODER, LEADER, DECODER = replica("Encoder", "tiny"), replica("Generator", "tiny"), replica("Decoder", "decoder")
COUNTS = {INGRESS: 2, JOBS: 2, ENCODER: 1, LEADER: 1, RANK: 1, DECODER: 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def config(data: Path) -> dict[str, Any]:
    return paired_recipe(data, retention={"sweep_interval_s": 2.0})


@pytest.fixture(scope="module")
def graph(config: dict[str, Any], data: Path) -> Iterator[RunningGraph]:
    with started(config, data / "log") as running:
        yield running


@pytest.fixture
def http(graph: RunningGraph) -> Iterator[httpx.Client]:
    """A client of the graph with all of its processes in place."""
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
    with httpx.Client(base_url=graph.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def undisturbed(graph: RunningGraph) -> dict[str, Any]:
    """What the video is when nothing happens to it."""
    with httpx.Client(base_url=graph.url, timeout=120) as client:
        return finished(client, submitted(client, VIDEO))


def complete(graph: RunningGraph) -> bool:
    processes = graph.processes()
    return all(len(titled(title, processes)) == count for title, count in COUNTS.items()) and healthy(graph.url)


class Story:
    """A job's events as they come, and what is done at one of them, once."""

    def __init__(self, moment: Callable[[SentEvent], bool], deed: Callable[[], None]) -> None:
        self.moment, self.deed = moment, deed
        self.done_after: int | None = None
        self.events: list[SentEvent] = []

    def __call__(self, event: SentEvent) -> None:
        self.events.append(event)
        if self.done_after is None and self.moment(event):
            self.done_after = len(self.events)
            self.deed()


def in_the_middle(data: Path, job: str) -> Callable[[SentEvent], bool]:
    """Some steps in, with a snapshot to go on from."""
    snapshot = data / "media" / "snapshots" / f"{job}.safetensors"
    return lambda event: event.kind == "step" and event.data["index"] >= STEPS // 4 and snapshot.exists()


def at_stage(name: str) -> Callable[[SentEvent], bool]:
    return lambda event: event.kind == "stage" and event.data == {"stage": name, "state": "started"}


def killer(graph: RunningGraph, title: str) -> Callable[[], None]:
    def kill() -> None:
        (victim,) = titled(title, graph.processes())
        os.kill(victim, signal.SIGKILL)

    return kill


def check(http: httpx.Client, job: str, story: Story, undisturbed: dict[str, Any], tries: int) -> list[int]:
    """What holds whatever was killed; returns the indices of the steps as they were told."""
    result = http.get(f"/v1/videos/{job}").json()
    assert result["status"] == "completed" and result["id"] == job, result
    assert result["latents_sha256"] == undisturbed["latents_sha256"]
    assert (result["tries"], len(result["interruptions"])) == (tries, tries - 1), result["interruptions"]
    assert story.done_after is not None and story.done_after < len(story.events)
    kept = [event.number for event in story.events if event.number is not None]
    # Contiguous but for previews, which nobody asked for here.
    assert kept == sorted(set(kept))
    assert [event.data["try"] for event in story.events if event.kind == "started"] == list(range(1, tries + 1))
    assert [event.kind for event in story.events].count("done") == 1
    content = http.get(f"/v1/videos/{job}/content")
    assert content.status_code == 200 and len(content.content) > 0
    return [event.data["index"] for event in story.events if event.kind == "step"]


def resumed(indices: list[int]) -> bool:
    """Whether the steps begin once at 1, and again somewhere behind it."""
    return indices.count(1) == 1 and len(indices) > STEPS // 2 and indices[-1] == STEPS


@pytest.mark.parametrize("title", [LEADER, RANK], ids=["leader", "rank"])
def test_the_gang_dies(
    title: str, graph: RunningGraph, http: httpx.Client, data: Path, undisturbed: dict[str, Any]
) -> None:
    job = submitted(http, VIDEO)
    story = Story(in_the_middle(data, job), killer(graph, title))
    followed(http, job, story)
    assert resumed(check(http, job, story, undisturbed, tries=2))


def test_the_jobs_replica_that_drives_it_dies(
    graph: RunningGraph, http: httpx.Client, data: Path, undisturbed: dict[str, Any]
) -> None:
    job = submitted(http, VIDEO)
    story = Story(in_the_middle(data, job), lambda: kill_owner(graph, data, job))
    followed(http, job, story)
    assert resumed(check(http, job, story, undisturbed, tries=2))


def kill_owner(graph: RunningGraph, data: Path, job: str) -> None:
    with closing(sqlite3.connect(data / "jobs.sqlite3", timeout=30)) as database:
        ((owner,),) = database.execute("select owner from jobs where id = ?", (job,)).fetchall()
    victim = int(owner.split(":")[1])
    assert victim in titled(JOBS, graph.processes())
    os.kill(victim, signal.SIGKILL)


def test_a_job_that_is_cancelled_after_the_death_of_its_driver_is_stopped(
    graph: RunningGraph, http: httpx.Client, data: Path, client: Client
) -> None:
    before = settled(client)
    steps = 200
    job = submitted(http, VIDEO | {"size": "512x320", "num_inference_steps": steps})

    def kill_and_cancel() -> None:
        kill_owner(graph, data, job)
        # Long before another one could take it over.
        assert http.delete(f"/v1/videos/{job}").status_code == 200

    story = Story(in_the_middle(data, job), kill_and_cancel)
    assert followed(http, job, story)[-1].kind == "cancelled"
    # The figures of Jobs are there again with its replica.
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
    assert steps_until_stopped(client, before) < steps / 2
    assert until(lambda: not list((data / "media" / "snapshots").iterdir()), SWEPT_WITHIN_S)


def test_c58_every_ingress_replica_dies(
    graph: RunningGraph, http: httpx.Client, data: Path, undisturbed: dict[str, Any]
) -> None:
    job = submitted(http, VIDEO)

    def kill_all() -> None:
        # The one that tells these events is among them.
        for victim in titled(INGRESS, graph.processes()):
            os.kill(victim, signal.SIGKILL)

    story = Story(in_the_middle(data, job), kill_all)
    followed(http, job, story)
    indices = check(http, job, story, undisturbed, tries=1)
    assert indices == list(range(1, STEPS + 1))


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Frames that take the Encoder and the Decoder seconds each."""
    target = io.BytesIO()
    encode_mp4(target, [picture(192, 320, seed=number) for number in range(61)], 10.0)
    return target.getvalue()


@pytest.fixture(scope="module")
def watched(graph: RunningGraph, clip: bytes) -> dict[str, Any]:
    """What is read off the clip when nothing happens."""
    with httpx.Client(base_url=graph.url, timeout=120) as client:
        return finished(client, submitted(client, CLIP, clip))


@pytest.mark.parametrize(("title", "stage"), [(ENCODER, "encode"), (DECODER, "decode")], ids=["encoder", "decoder"])
def test_the_encoder_or_the_decoder_dies(
    title: str, stage: str, graph: RunningGraph, http: httpx.Client, clip: bytes, watched: dict[str, Any]
) -> None:
    job = submitted(http, CLIP, clip)
    story = Story(at_stage(stage), killer(graph, title))
    followed(http, job, story)
    check(http, job, story, watched, tries=2)
    assert http.get(f"/v1/videos/{job}").json()["action"] == watched["action"]


def test_the_client_dies(http: httpx.Client, graph: RunningGraph, undisturbed: dict[str, Any]) -> None:
    job = submitted(http, VIDEO)
    with httpx.Client(base_url=graph.url) as other, other.stream("GET", f"/v1/videos/{job}/events") as stream:
        next(stream.iter_lines())
    story = Story(lambda event: event.kind == "step", lambda: None)
    followed(http, job, story)
    check(http, job, story, undisturbed, tries=1)


def test_a_synchronous_request_ends_with_the_ingress_that_waited_for_it(
    graph: RunningGraph, http: httpx.Client, data: Path, client: Client
) -> None:
    before, steps = settled(client), 200
    # Longer than it would be waited for, also on a fast machine.
    fields = VIDEO | {"size": "832x480", "num_inference_steps": steps}

    def waited_for(condition: str = "true") -> bool:
        with closing(sqlite3.connect(data / "jobs.sqlite3", timeout=30)) as database:
            return bool(database.execute(f"select id from jobs where not detached and {condition}").fetchall())

    def ask() -> int | None:
        try:
            return httpx.post(f"{graph.url}/v1/videos/sync", data=fields, timeout=120).status_code
        except httpx.TransportError:
            return None

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        assert until(lambda: waited_for("progress > 0"), 60)
        for victim in titled(INGRESS, graph.processes()):
            os.kill(victim, signal.SIGKILL)
        assert asking.result(120) in (None, 500, 502, 503)
    assert until(lambda: not waited_for(), ATTENDED_S + FORGOTTEN_WITHIN_S)
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
    assert steps_until_stopped(client, before) < steps


class GraphKilled(Exception):
    """All processes of a graph are dead."""


def test_at_last_the_whole_graph_dies_and_is_started_again(
    graph: RunningGraph, http: httpx.Client, config: dict[str, Any], data: Path, undisturbed: dict[str, Any]
) -> None:
    def kill_all() -> None:
        kill_until_none(graph.processes)
        raise GraphKilled

    job = submitted(http, VIDEO)
    story = Story(in_the_middle(data, job), kill_all)
    with pytest.raises(GraphKilled):
        followed(http, job, story)
    last = story.events[-1].number
    assert last is not None
    with started(config, data / "log again") as second, httpx.Client(base_url=second.url, timeout=60) as again:
        followed(again, job, story, after=last)
        assert resumed(check(again, job, story, undisturbed, tries=2))
