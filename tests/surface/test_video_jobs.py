"""`/v1/videos` and everything below it: a job from its creation to its removal, and lists of jobs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core.media.clips import decode_video
from deployments.cli.client import Client
from tests.graph.events import submitted
from tests.graph.figures import steps_until_stopped
from tests.surface.faults import nowhere_to_write
from tests.surface.inputs import LONG, TINY, TOO_LARGE, as_parts
from tests.surface.reading import JOB_ID, completed, error_of, polled, video_in

CLIP: dict[str, Any] = {"prompt": "a robot", "size": "160x96", "num_frames": 18, "fps": 12, "num_inference_steps": 8}


@pytest.fixture
def running(http: httpx.Client) -> Iterator[str]:
    """A job that is being denoised and has many steps left."""
    job = submitted(http, LONG | {"num_inference_steps": 99})
    deadline = time.monotonic() + 60
    while http.get(f"/v1/videos/{job}").json()["progress"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield job
    http.delete(f"/v1/videos/{job}")


def test_c12_c13_c15_a_job_until_it_is_completed(http: httpx.Client) -> None:
    """C12, C13, C15 at 160x96 with 8 steps: its state over time, its whole file and a part of it."""
    created = http.post("/v1/videos", files=as_parts(CLIP))
    assert created.status_code == 200
    job = created.json()
    assert JOB_ID.fullmatch(job["id"])
    assert (job["object"], job["status"], job["progress"], job["seconds"]) == ("video", "queued", 0, "4")
    assert (job["size"], job["prompt"], job["model"]) == ("160x96", "a robot", "cosmos3-tiny")
    assert job["error"] is None is job["completed_at"] and job["file_name"] is None

    states = [job, *polled(http, job["id"])]
    order = ["queued", "in_progress", "completed"]
    assert [status for status, _ in itertools.groupby(state["status"] for state in states)] == order
    progress = [state["progress"] for state in states]
    assert progress == sorted(progress) and 0 < progress[-2] < 100 == progress[-1]
    end = states[-1]
    assert end["file_name"] == f"{job['id']}.mp4" and end["completed_at"] >= end["created_at"]
    # 18 frames are rounded up to 4k + 1.
    assert (end["num_frames"], end["fps"], end["duration_s"]) == (21, 12, 21 / 12)
    assert end["inference_time_s"] > 0 and end["peak_memory_mb"] > 1

    path = f"/v1/videos/{job['id']}/content"
    whole = http.get(path, headers={"Accept": "application/binary"})
    assert whole.status_code == 200 and whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-disposition"] == f'attachment; filename="{job["id"]}.mp4"'
    clip = decode_video(whole.content)
    assert clip.frames.shape == (21, 96, 160, 3) and clip.fps == 12
    part = http.get(path, headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, whole.content[:100])
    assert part.headers["content-range"] == f"bytes 0-99/{len(whole.content)}"


def test_c14_no_content_while_it_runs(http: httpx.Client, running: str) -> None:
    """C14: the content of a running job."""
    error = error_of(http.get(f"/v1/videos/{running}/content"), 404)
    assert error["message"] == "Generation is still in-progress"
    assert http.get(f"/v1/videos/{running}").json()["status"] == "in_progress"


@pytest.mark.parametrize(
    ("query", "field"),
    [({"limit": "101"}, "limit"), ({"limit": "-1"}, "limit"), ({"limit": "x"}, "limit"), ({"order": "up"}, "order")],
)
def test_c18_wrong_parameters_of_a_list(query: dict[str, str], field: str, http: httpx.Client) -> None:
    """C18: a limit out of range, an unknown order."""
    assert error_of(http.get("/v1/videos", params=query), 400)["param"] == field


def test_c18_empty_pages(http: httpx.Client) -> None:
    """C18: no job follows a job that does not exist; a limit of 0 tells whether there are any jobs."""
    submitted(http, TINY)
    nothing: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None}
    assert http.get("/v1/videos", params={"after": "unknown"}).json() == nothing | {"has_more": False}
    assert http.get("/v1/videos", params={"limit": 0}).json() == nothing | {"has_more": True}


def test_c19_deleting_a_running_job(http: httpx.Client, client: Client, running: str) -> None:
    """C19: it is removed at once, and the Generator makes at most one more step of it before the next job."""
    before = client.figures()
    answer = http.delete(f"/v1/videos/{running}")
    assert answer.status_code == 200
    assert answer.json() == {"id": running, "object": "video.deleted", "deleted": True}
    error_of(http.get(f"/v1/videos/{running}"), 404)
    error_of(http.get(f"/v1/videos/{running}/content"), 404)
    video_in(http.post("/v1/videos/sync", files=as_parts(TINY)))
    # The figures are up to a second old, and the other job made a step.
    assert steps_until_stopped(client, before) <= 10


@pytest.mark.parametrize("path", ["", "/content", "/events", "/manifest"])
def test_c20_no_such_job(path: str, http: httpx.Client) -> None:
    """C20: reading and deleting a job that does not exist."""
    unknown = f"/v1/videos/video_gen_{'0' * 32}{path}"
    assert error_of(http.get(unknown), 404)["message"] == "Video not found"
    if not path:
        assert error_of(http.delete(unknown), 404)["message"] == "Video not found"


def test_c21_a_job_that_a_stage_refuses(http: httpx.Client) -> None:
    """C21: only the Generator knows its memory limit.

    With `failed_job_answer: error` the status is that of the error, as on vLLM-Omni: see
    tests/ingress/routes/test_video_jobs.py.
    """
    job = submitted(http, TOO_LARGE)
    end = failed(http, job, 400)
    assert "resident_bytes" in end["error"]["message"]
    assert "resident_bytes" in error_of(http.get(f"/v1/videos/{job}/content"), 422)["message"]
    # A client that waits gets the same error at once, and is told not to retry.
    waited = http.post("/v1/videos/sync", files=as_parts(TOO_LARGE))
    assert "resident_bytes" in error_of(waited, 400)["message"]
    assert waited.headers["x-should-retry"] == "false"
    assert http.delete(f"/v1/videos/{job}").status_code == 200
    error_of(http.get(f"/v1/videos/{job}"), 404)


def test_c21_a_job_whose_file_cannot_be_written(http: httpx.Client, graph_data: Path) -> None:
    """C21: the Decoder cannot write its file; the next job is served again."""
    with nowhere_to_write(graph_data):
        job = submitted(http, TINY)
        failed(http, job, 500)
    error_of(http.get(f"/v1/videos/{job}/content"), 422)
    completed(http, submitted(http, TINY))


def failed(http: httpx.Client, job: str, code: int) -> dict[str, Any]:
    """The final state of a failed job in the form that OpenAI's clients expect: status 200, with the reason in it."""
    end = polled(http, job)[-1]
    assert end["status"] == "failed" and end["error"]["code"] == code, end
    assert end["error"]["message"] and "/media/" not in end["error"]["message"]
    assert end["completed_at"] >= end["created_at"] and end["file_name"] is None
    return end


def test_c22_json_in_place_of_a_form(http: httpx.Client) -> None:
    """C22: `extra_params` is an object, and its fields take precedence."""
    extra = {"seed": 5, "guardrails": False, "num_frames": 9}
    created = http.post("/v1/videos", json=TINY | {"extra_params": extra})
    assert created.status_code == 200 and created.json()["status"] == "queued"
    assert "x-ignored-fields" not in created.headers
    end = completed(http, created.json()["id"])
    assert (end["seed"], end["num_frames"]) == (5, 9)
