"""A job survives the death of whatever works on it: it completes, under its id, with the bits of an undisturbed one."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core.media.mp4 import encode_mp4
from deployments.cli.client import Client
from deployments.jobs.watching import ATTENDED_S
from deployments.local.launch import RunningGraph
from deployments.local.serve_process import kill_until_none
from tests.chaos.keys import authorization
from tests.chaos.killing import KINDS, REPLACED_WITHIN_S, Killing, complete
from tests.chaos.paired import paired_recipe
from tests.chaos.store import STRAYS_SWEPT_WITHIN_S, Store
from tests.graph.events import SentEvent, finished, followed, submitted
from tests.graph.figures import settled, steps_until_stopped
from tests.graph.processes import PlacementGroups, titled, until
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
SWEPT_WITHIN_S = 20.0
TAKEN_AFTER_S = 0.3
FORGOTTEN_WITHIN_S = 30.0
INGRESS, JOBS = KINDS["Ingress"].title, KINDS["Jobs"].title
Killer = Callable[[str], Killing]


@pytest.fixture(scope="module")
def store(data: Path) -> Store:
    return Store(data)


@pytest.fixture
def killer(graph: RunningGraph, http: httpx.Client, groups: PlacementGroups) -> Killer:
    """Makes the killing of a kind of process."""
    return lambda name: Killing(name, graph, http, groups)


@pytest.fixture(scope="module")
def undisturbed(graph: RunningGraph) -> dict[str, Any]:
    """What the video is when nothing happens to it."""
    with httpx.Client(base_url=graph.url, timeout=120, headers=authorization("carol")) as client:
        return finished(client, submitted(client, VIDEO))


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


# A rank dies in the middle of a video in test_gang.py too, with another beside it.
@pytest.mark.parametrize("name", ["Generator", pytest.param("rank", marks=pytest.mark.long)])
def test_the_gang_dies(name: str, http: httpx.Client, data: Path, undisturbed: dict[str, Any], killer: Killer) -> None:
    job, killing = submitted(http, VIDEO), killer(name)
    story = Story(in_the_middle(data, job), killing)
    followed(http, job, story)
    assert resumed(check(http, job, story, undisturbed, tries=2))
    killing.recovered()


def test_a_rank_dies_at_the_first_step(http: httpx.Client, undisturbed: dict[str, Any], killer: Killer) -> None:
    """There is hardly a snapshot yet to go on from."""
    job, killing = submitted(http, VIDEO), killer("rank")
    story = Story(lambda event: event.kind == "step", killing)
    followed(http, job, story)
    check(http, job, story, undisturbed, tries=2)
    killing.recovered()


def test_the_jobs_replica_that_drives_it_dies(
    graph: RunningGraph, http: httpx.Client, data: Path, store: Store, undisturbed: dict[str, Any]
) -> None:
    job = submitted(http, VIDEO)
    story = Story(in_the_middle(data, job), lambda: kill_owner(graph, store, job))
    followed(http, job, story)
    assert resumed(check(http, job, story, undisturbed, tries=2))


def kill_owner(graph: RunningGraph, store: Store, job: str) -> None:
    victim = store.owner(job)
    assert victim in titled(JOBS, graph.processes())
    os.kill(victim, signal.SIGKILL)


def test_a_job_that_is_cancelled_after_the_death_of_its_driver_is_stopped(
    graph: RunningGraph, http: httpx.Client, data: Path, store: Store, client: Client
) -> None:
    before = settled(client)
    steps = 200
    job = submitted(http, VIDEO | {"size": "512x320", "num_inference_steps": steps})

    def kill_and_cancel() -> None:
        kill_owner(graph, store, job)
        # Long before another one could take it over.
        assert http.delete(f"/v1/videos/{job}").status_code == 200

    story = Story(in_the_middle(data, job), kill_and_cancel)
    assert followed(http, job, story)[-1].kind == "cancelled"
    # The figures of Jobs are there again with its replica.
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
    assert steps_until_stopped(client, before) < steps / 2
    assert until(lambda: not list((data / "media" / "snapshots").iterdir()), SWEPT_WITHIN_S)


def test_c58_every_ingress_replica_dies(
    http: httpx.Client, data: Path, undisturbed: dict[str, Any], killer: Killer
) -> None:
    job, killing = submitted(http, VIDEO), killer("Ingress")
    # The one that tells these events is among them.
    story = Story(in_the_middle(data, job), killing)
    followed(http, job, story)
    indices = check(http, job, story, undisturbed, tries=1)
    assert indices == list(range(1, STEPS + 1))
    killing.recovered()


@pytest.fixture(scope="module")
def clip() -> bytes:
    """Frames that take the Encoder and the Decoder seconds each."""
    target = io.BytesIO()
    encode_mp4(target, [picture(192, 320, seed=number) for number in range(61)], 10.0)
    return target.getvalue()


@pytest.fixture(scope="module")
def watched(graph: RunningGraph, clip: bytes) -> dict[str, Any]:
    """What is read off the clip when nothing happens."""
    with httpx.Client(base_url=graph.url, timeout=120, headers=authorization("carol")) as client:
        return finished(client, submitted(client, CLIP, clip))


@pytest.mark.parametrize(("name", "stage"), [("Encoder", "encode"), ("Decoder", "decode")])
def test_the_encoder_or_the_decoder_dies(
    name: str, stage: str, http: httpx.Client, clip: bytes, watched: dict[str, Any], killer: Killer
) -> None:
    job, killing = submitted(http, CLIP, clip), killer(name)

    def kill_while_it_works() -> None:
        # The stage is told of before it is called, and a call that no replica has taken yet goes to the next one.
        time.sleep(TAKEN_AFTER_S)
        killing()

    story = Story(at_stage(stage), kill_while_it_works)
    followed(http, job, story)
    check(http, job, story, watched, tries=2)
    killing.recovered()
    assert http.get(f"/v1/videos/{job}").json()["action"] == watched["action"]


def test_the_client_dies(http: httpx.Client, graph: RunningGraph, undisturbed: dict[str, Any]) -> None:
    job = submitted(http, VIDEO)
    with (
        httpx.Client(base_url=graph.url, headers=authorization("carol")) as other,
        other.stream("GET", f"/v1/videos/{job}/events") as stream,
    ):
        next(stream.iter_lines())
    story = Story(lambda event: event.kind == "step", lambda: None)
    followed(http, job, story)
    check(http, job, story, undisturbed, tries=1)


def test_a_synchronous_request_ends_with_the_ingress_that_waited_for_it(
    graph: RunningGraph, http: httpx.Client, store: Store, client: Client
) -> None:
    before, steps = settled(client), 200
    # Longer than it would be waited for, also on a fast machine.
    fields = VIDEO | {"size": "832x480", "num_inference_steps": steps}

    def ask() -> int | None:
        try:
            return http.post("/v1/videos/sync", data=fields).status_code
        except httpx.TransportError:
            return None

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        assert until(lambda: store.waited_for("progress > 0"), 60)
        for victim in titled(INGRESS, graph.processes()):
            os.kill(victim, signal.SIGKILL)
        assert asking.result(120) in (None, 500, 502, 503)
    assert until(lambda: not store.waited_for(), ATTENDED_S + FORGOTTEN_WITHIN_S)
    assert until(lambda: complete(graph), REPLACED_WITHIN_S)
    assert steps_until_stopped(client, before) < steps


def test_no_file_is_left_without_a_job(store: Store) -> None:
    """After all that died here and in test_chaos.py."""
    assert until(lambda: not store.stray_files(), STRAYS_SWEPT_WITHIN_S), store.stray_files()


class GraphKilled(Exception):
    """All processes of a graph are dead."""


def test_at_last_the_whole_graph_dies_and_is_started_again(
    graph: RunningGraph, http: httpx.Client, front: dict[str, Any], data: Path, undisturbed: dict[str, Any]
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
    with (
        started(paired_recipe(data, **front), data / "log again") as second,
        httpx.Client(base_url=second.url, timeout=60, headers=authorization("carol")) as again,
    ):
        followed(again, job, story, after=last)
        assert resumed(check(again, job, story, undisturbed, tries=2))
