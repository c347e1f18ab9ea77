"""The JSON of jobs and of pages of jobs."""

from __future__ import annotations

from typing import Any, cast

import pytest

from deployments.ingress.answers import VideoObject, video_deleted, video_page
from deployments.ingress.routes.video_jobs import video_object
from deployments.jobs.job import Job
from tests.ingress.documentation.documents import conforms

SHOWN = {
    "prompt": "x",
    "size": None,
    "seconds": "4",
    "fps": 24.0,
    "num_frames": 17,
    "metrics": True,
    "guardrails": "off",
}
RESULT = {
    "width": 320,
    "height": 192,
    "num_frames": 17,
    "fps": 24.0,
    "stage_seconds": {"encode": 1.0},
    "peak_memory_bytes": 10,
    "handed_over_bytes": {"fetched": 3},
    "action": {
        "data": [[0.5]],
        "shape": [1, 1],
        "dtype": "float32",
        "raw_action_dim": 1,
        "action_mode": "policy",
        "domain_id": 1,
    },
    "seed": 1,
    "latents_sha256": {"vision": "00"},
}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"status": "completed", "completed_at": 2.0, "result": RESULT, "progress": 100},
        {"status": "failed", "completed_at": 2.0, "error": {"code": 500, "message": "no"}},
        {"upsampled": {"prompt": "{}", "template_sha256": "0", "seconds": 1.0}},
    ],
)
def test_a_video_job_is_as_described(facts: dict[str, Any]) -> None:
    job = Job("video_gen_1", "video", "nano", "app", "decoder", True, {}, SHOWN, created_at=1.0, **facts)
    found = video_object(job, {job.id: 3})
    assert set(found) == set(VideoObject.__annotations__)
    conforms(found, "VideoObject")
    conforms(video_page([found, found | {"id": "b"}], True), "VideoPage")
    conforms(video_page([], False), "VideoPage")
    conforms(video_deleted("a"), "VideoDeleted")


def test_both_ends_of_a_page() -> None:
    first, last = (cast(VideoObject, {"id": name}) for name in "ab")
    assert video_page([first, last], False)["first_id"] == "a"
    assert video_page([first, last], False)["last_id"] == "b"
