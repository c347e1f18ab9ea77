"""OpenAI's own client, unmodified: models, images, and its methods for videos, file and image references included."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI, UnprocessableEntityError
from openai.types import Video

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image
from deployments.local.launch import RunningGraph
from tests.graph.events import submitted
from tests.surface.inputs import TINY, TOO_LARGE, jpeg
from tests.surface.reading import JOB_ID, completed

# OpenAI has shut Sora down and has deprecated the methods for videos; they still work in the pinned version.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API is scheduled:DeprecationWarning")


@pytest.fixture
def openai(graph: RunningGraph) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{graph.url}/v1", api_key="EMPTY", max_retries=0) as openai:
        yield openai


def test_models(openai: OpenAI) -> None:
    models = list(openai.models.list())
    assert models[0].id == "cosmos3-tiny" and models[0].object == "model"
    assert openai.models.retrieve(models[0].id) == models[0]
    with pytest.raises(NotFoundError):
        openai.models.retrieve("nvidia/Cosmos3-None")


def test_images_generate(openai: OpenAI) -> None:
    fields = {"num_inference_steps": 1, "seed": 0, "extra_args": {"guardrails": False}}
    answer = openai.images.generate(prompt="a robot", n=2, size="256x160", model="cosmos3-tiny", extra_body=fields)
    assert answer.created > 0 and answer.output_format == "png" and answer.data is not None
    images = [base64.b64decode(image.b64_json or "") for image in answer.data]
    assert len(images) == 2 and images[0] != images[1]
    assert all(decode_image(image).shape == (160, 256, 3) for image in images)
    with pytest.raises(BadRequestError) as refused:
        openai.images.generate(prompt="a robot", size="1024")
    assert refused.value.param == "size" and refused.value.request_id


def test_images_edit(openai: OpenAI, tmp_path: Path) -> None:
    """A picture as bytes, as a named file, as an open file and as a path; one in a list; and what is refused."""
    name, content, kind = jpeg("humanoid_robot", 128, 80)
    file = tmp_path / name
    file.write_bytes(content)
    fields = {"num_inference_steps": 1, "seed": 0, "extra_params": {"guardrails": False}}

    def edited(image: Any) -> list[bytes]:
        answer = openai.images.edit(
            image=image, prompt="make it snow", n=2, size="128x80", model="cosmos3-tiny", extra_body=fields
        )
        assert answer.created > 0 and str(answer.size) == "128x80" and answer.data is not None
        return [base64.b64decode(image.b64_json or "") for image in answer.data]

    first = edited(content)
    assert len(set(first)) == 2 and all(decode_image(image).shape == (80, 128, 3) for image in first)
    with file.open("rb") as opened:
        assert edited((name, content, kind)) == edited(opened) == edited(file) == edited([file]) == first
    kept = openai.images.edit(image=file, prompt="make it snow", extra_body=fields, output_format="jpeg")
    assert (str(kept.size), kept.output_format) == ("512x320", "jpeg")
    with pytest.raises(BadRequestError) as several:
        openai.images.edit(image=[content, content], prompt="make it snow")
    with pytest.raises(BadRequestError) as masked:
        openai.images.edit(image=content, mask=content, prompt="make it snow")
    assert (several.value.param, masked.value.param) == ("image", "mask")
    with pytest.raises(BadRequestError, match="stream"):
        openai.images.generate(prompt="a robot", stream=True)
    with pytest.raises(BadRequestError, match="stream"):
        openai.images.edit(image=content, prompt="make it snow", stream=True)


def test_c16_create_and_poll(openai: OpenAI, http: httpx.Client) -> None:
    """C16: the client flattens `extra_body` into form fields with brackets; each of them arrives."""
    extra = {"num_frames": 5, "extra_params": {"guardrails": False, "num_inference_steps": 1, "seed": 9}}
    extra |= {"size": "128x80", "fps": 10}
    video = openai.videos.create_and_poll(prompt="a robot", extra_body=extra)
    assert isinstance(video, Video) and JOB_ID.fullmatch(video.id)
    assert (video.status, video.progress, video.error) == ("completed", 100, None)
    assert video.completed_at is not None and video.completed_at >= video.created_at
    assert (video.model, video.seconds, video.size) == ("cosmos3-tiny", "4", "128x80")
    assert openai.videos.retrieve(video.id) == video
    job = http.get(f"/v1/videos/{video.id}").json()
    assert (job["seed"], job["num_frames"], job["fps"]) == (9, 5, 10)


def test_create_with_an_image_and_seconds(openai: OpenAI, tmp_path: Path) -> None:
    """The client's own fields: a file for the first frame, and a length in seconds."""
    file = tmp_path / "start.jpg"
    file.write_bytes(jpeg("humanoid_robot", 128, 80)[1])
    extra = {"size": "64x64", "fps": 3, "num_inference_steps": 1}
    created = openai.videos.create(prompt="a robot", input_reference=file, seconds="4", extra_body=extra)
    assert (created.status, created.progress, created.seconds) == ("queued", 0, "4")
    video = openai.videos.poll(created.id, poll_interval_ms=50)
    assert video.status == "completed"
    # 4 seconds of 3 frames are 12, rounded up to 4k + 1.
    clip = decode_video(openai.videos.download_content(video.id).read())
    assert clip.frames.shape == (13, 64, 64, 3) and clip.fps == 3


def test_c17_pages_of_one(openai: OpenAI, http: httpx.Client) -> None:
    """C17: three jobs are found through `after`, one page each, in both orders, and the last page is the last."""
    before = submitted(http, TINY)
    jobs = [submitted(http, TINY) for _ in range(3)]
    newest_first = itertools.islice(openai.videos.list(limit=1), 3)
    assert [video.id for video in newest_first] == jobs[::-1]
    oldest_first = openai.videos.list(limit=1, order="asc", after=before)
    assert [video.id for video in oldest_first] == jobs
    every = [video.id for video in openai.videos.list(limit=100)]
    assert every[:4] == [*jobs[::-1], before] and len(set(every)) == len(every)


def test_download_and_delete(openai: OpenAI, http: httpx.Client, tmp_path: Path) -> None:
    job = submitted(http, TINY)
    completed(http, job)
    target = tmp_path / "video.mp4"
    openai.videos.download_content(job, variant="video").write_to_file(target)
    assert decode_video(target).frames.shape == (5, 64, 64, 3)
    with pytest.raises(BadRequestError):
        openai.videos.download_content(job, variant="thumbnail")
    deleted = openai.videos.delete(job)
    assert (deleted.id, deleted.deleted, deleted.object) == (job, True, "video.deleted")
    for gone in (openai.videos.retrieve, openai.videos.download_content, openai.videos.delete):
        with pytest.raises(NotFoundError):
            gone(job)


def test_a_failed_job_is_an_answer_and_not_an_exception(openai: OpenAI) -> None:
    """This is why a failed job answers 200: `poll` is documented to return it."""
    extra = {name: TOO_LARGE[name] for name in ("num_frames", "num_inference_steps")}
    video = openai.videos.create_and_poll(prompt="a robot", size="1280x720", extra_body=extra)
    assert video.status == "failed"
    assert video.error is not None and "resident_bytes" in video.error.message
    with pytest.raises(UnprocessableEntityError):
        openai.videos.download_content(video.id)
