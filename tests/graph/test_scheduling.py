"""The step is the unit of scheduling: short work goes first, and nobody's result changes by it."""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core.media.stills import decode_image
from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from tests.graph.events import events_of, finished, submitted
from tests.graph.figures import eventually

VIDEO: dict[str, Any] = {"prompt": "a robot", "size": "320x192", "num_frames": 33, "num_inference_steps": 40, "seed": 3}
IMAGE: dict[str, Any] = {"prompt": "a cup", "size": "128x96", "num_inference_steps": 12, "seed": 4}
SHORT: dict[str, Any] = IMAGE | {"num_frames": 5, "num_inference_steps": 2}
Event = tuple[str, dict[str, Any], float]
MOST_STEPS_BESIDE = 3


@pytest.fixture(scope="module")
def undisturbed(graph: RunningGraph) -> dict[str, Any]:
    """The video, made alone."""
    with httpx.Client(base_url=graph.url, timeout=120) as http:
        return finished(http, submitted(http, VIDEO))


def events(data: Path, job: str) -> list[Event]:
    """What the store says of the events of jobs whose id begins so."""
    with closing(sqlite3.connect(data / "jobs.sqlite3", timeout=30)) as database:
        query = "select kind, data, created_at from events where job_id like ? order by job_id, number"
        return [(kind, json.loads(text), at) for kind, text, at in database.execute(query, (f"{job}%",))]


def times(data: Path, job: str, kind: str) -> list[tuple[dict[str, Any], float]]:
    """Events of one kind, and when they were."""
    return [(told, at) for found, told, at in events(data, job) if found == kind]


def image_and_its_events(http: httpx.Client, data: Path) -> list[Event]:
    """Make an image; its job is gone once it is fetched, so its events are read while it is made."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.post, "/v1/images/generations", json=IMAGE)
        seen: list[Event] = []
        while not answer.done():
            seen = max(seen, events(data, "img_gen_"), key=len)
            time.sleep(0.005)
    assert answer.result().status_code == 200, answer.result().text
    return seen


def test_an_image_overtakes_a_video_and_changes_no_bit_of_it(
    http: httpx.Client, graph_data: Path, undisturbed: dict[str, Any]
) -> None:
    video = submitted(http, VIDEO)
    for kind, data in events_of(http, video):
        if kind == "step" and data["index"] == 10:
            break
    image = image_and_its_events(http, graph_data)
    disturbed = finished(http, video)
    assert disturbed["latents_sha256"] == undisturbed["latents_sha256"]
    came = next(at for kind, data, at in image if kind == "stage" and data["stage"] == "denoise")
    made = [at for kind, data, at in image if kind == "step"]
    assert len(made) >= IMAGE["num_inference_steps"] - 1
    beside = [data for data, at in times(graph_data, video, "step") if came <= at <= made[-1]]
    assert len(beside) <= MOST_STEPS_BESIDE
    steps = [data["index"] for data, _ in times(graph_data, video, "step")]
    assert steps == list(range(1, 41))


def test_the_time_left_is_close_in_the_end(graph_data: Path, undisturbed: dict[str, Any]) -> None:
    steps = times(graph_data, undisturbed["id"], "step")
    (_, end), half = steps[-1], steps[len(steps) // 2]
    actual = end - half[1]
    assert actual / 3 < half[0]["seconds_left"] < 3 * actual
    assert steps[-1][0]["seconds_left"] == 0.0


def test_previews_are_small_pictures_at_most_one_a_second(
    http: httpx.Client, graph_data: Path, undisturbed: dict[str, Any]
) -> None:
    job = undisturbed["id"]
    found = times(graph_data, job, "preview")
    assert found
    assert {kind for kind, _ in events_of(http, job)} == {"started", "stage", "step", "done"}
    asked = list(events_of(http, job, previews="true"))
    assert [data for kind, data in asked if kind == "preview"] == [data for data, _ in found]
    assert http.get(f"/v1/videos/{job}/events?previews=maybe").json()["error"]["param"] == "previews"
    for data, _ in found:
        jpeg = base64.b64decode(data["jpeg"])
        assert jpeg[:2] == b"\xff\xd8" and len(jpeg) < 50_000
        assert decode_image(jpeg).shape == (192, 320, 3)
    seconds = [at for _, at in found]
    assert all(later - earlier > 0.8 for earlier, later in itertools.pairwise(seconds))


@pytest.mark.usefixtures("graph")
@pytest.mark.parametrize("word", ["interactive", "standard", "batch"])
def test_service_classes(word: str, http: httpx.Client) -> None:
    assert http.post("/v1/videos/sync", data=SHORT | {"service_class": word}).status_code == 200


def test_an_unknown_service_class_is_refused(http: httpx.Client) -> None:
    answer = http.post("/v1/videos", data=SHORT | {"service_class": "urgent"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "service_class"


def test_nothing_is_left_behind(client: Client, http: httpx.Client, graph_data: Path) -> None:
    finished(http, submitted(http, SHORT))
    figures = eventually(client, lambda f: f["cosmos3_generator_queued_tasks"] == 0)
    assert figures["cosmos3_generator_resident_tasks"] == 0 == figures["cosmos3_generator_parked_tasks"]
    assert figures["cosmos3_generator_task_bytes"] == 0 == figures["cosmos3_generator_queued_seconds"]
    snapshots = graph_data / "media" / "snapshots"
    assert not snapshots.exists() or not list(snapshots.iterdir())
