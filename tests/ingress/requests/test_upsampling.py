"""`upsample_prompt`: where it is accepted, what it changes in a job, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.jobs.job import Job
from deployments.wire.media_store import MediaStore, read_media
from deployments.wire.upsampling import UpsampleCall
from tests.ingress.documentation.documents import conforms
from tests.ingress.requests.reading import PNG, refused, refused_image, uri, video
from tests.ingress.stubs import CompletedJobs, StubGraph, ask, served_card

VIDEOS, IMAGES = "/v1/videos", "/v1/images/generations"
CAPTION = json.dumps({"temporal_caption": "A robot waves."})
ASKED: dict[str, Any] = {"upsample_prompt": True}
VIDEO: dict[str, Any] = {"prompt": "a robot", "size": "64x64", "num_frames": 6, "seed": 5}
IMAGE: dict[str, Any] = {"prompt": "a robot", "size": "64x64", "seed": 5}


@pytest.fixture
def jobs() -> CompletedJobs:
    return CompletedJobs()


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path, jobs: CompletedJobs) -> StubGraph:
    return StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=jobs)


@pytest.mark.parametrize(
    "fields",
    [
        ASKED,
        {"upsample_prompt": "true"},
        {"upsample_prompt": 1},
        {"extra_params": ASKED},
        {"extra_args": ASKED},
        {"extra_params": json.dumps(ASKED)},
        {"upsample_prompt": False, "extra_params": ASKED},
    ],
)
def test_how_it_is_asked_for(fields: dict[str, Any]) -> None:
    found = video(fields)
    assert found.upsamples and found.ignored == () and found.request.prompt == "a robot"
    # It is no field of what the Encoder gets.
    assert "upsample_prompt" not in found.request.to_fields()


@pytest.mark.parametrize("fields", [{}, {"upsample_prompt": False}, {"upsample_prompt": "off"}, {"extra_params": {}}])
def test_how_it_is_not(fields: dict[str, Any]) -> None:
    found = video(fields)
    assert not found.upsamples and found.ignored == ()


@pytest.mark.parametrize("value", ["perhaps", 2, 0.5, [True], {"on": True}])
def test_what_is_no_boolean_is_refused(value: Any) -> None:
    for error in (refused({"upsample_prompt": value}), refused({"extra_params": {"upsample_prompt": value}})):
        assert error.param == "upsample_prompt" and "expected true or false" in error.message
    assert refused_image(upsample_prompt=value).param == "upsample_prompt"


def test_a_structured_prompt_is_used_as_it_is_and_the_field_is_ignored() -> None:
    found = video(ASKED | {"prompt": CAPTION})
    assert not found.upsamples and found.ignored == ("upsample_prompt",) and found.request.prompt == CAPTION
    # Only an object is a caption.
    assert video(ASKED | {"prompt": '["a robot"]'}).upsamples


def _control() -> dict[str, Any]:
    return {"depth": {"control": uri(PNG)}}


@pytest.mark.parametrize(
    ("fields", "mode"),
    [
        ({"mode": "policy", "domain_name": "av", "image": uri(PNG)}, "policy"),
        ({"mode": "forward_dynamics", "domain_name": "av", "image": uri(PNG), "action": [[0.0] * 9] * 4}, "forward"),
        (_control(), "transfer"),
        (_control() | {"prompt": CAPTION}, "transfer"),
    ],
)
def test_modes_without_a_template_refuse_it(fields: dict[str, Any], mode: str) -> None:
    error = refused(ASKED | fields)
    assert error.param == "upsample_prompt"
    assert error.message.startswith(f"upsample_prompt is not used by {mode}")
    assert error.message.endswith("expected mode text2image, text2video, image2video")
    assert not video({"upsample_prompt": False} | fields).upsamples


def test_a_video_that_is_continued_refuses_it(mp4: bytes) -> None:
    assert refused(ASKED, input_reference=mp4).message.startswith("upsample_prompt is not used by video2video")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/edits", {"prompt": "red", "image": uri(PNG)}),
        ("/v1/actions/generations", {"prompt": "lift", "domain_name": "av", "image": uri(PNG)}),
        (
            "/v1/actions/generations",
            {"input": {"task": "lift", "image": uri(PNG)}, "parameters": {"domain_name": "av"}},
        ),
    ],
    ids=["edits", "actions", "an envelope of actions"],
)
def test_routes_that_refuse_it(stub: StubGraph, jobs: CompletedJobs, path: str, body: dict[str, Any]) -> None:
    inside = "parameters" if "parameters" in body else ""
    given = {**body, inside: body[inside] | ASKED} if inside else body | ASKED
    answer = ask(stub, path, "POST", json=given)
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["param"].endswith("upsample_prompt"), answer.text
    assert "is not used by this route" in error["message"] and not jobs.stored


def test_a_job_holds_what_the_reasoner_is_asked(stub: StubGraph, jobs: CompletedJobs) -> None:
    answer = ask(stub, VIDEOS, "POST", json=VIDEO | {"extra_params": ASKED, "image": uri(PNG)})
    assert answer.status_code == 200 and "x-ignored-fields" not in answer.headers
    conforms(answer.json(), "VideoObject")
    assert (answer.json()["prompt"], answer.json()["upsampled_prompt"]) == ("a robot", None)
    (job,) = jobs.stored
    call = job.upsample
    assert call is not None and call.image is not None
    assert call.image == job.request["media"]["image"] and read_media(call.image) == PNG
    # The number of frames is that of the video, which is rounded up.
    expected = UpsampleCall("image2video", "a robot", 64, 64, num_frames=9, fps=24.0, seed=5, image=call.image)
    assert call == expected and job.request["fields"]["prompt"] == "a robot"
    json.dumps(job.request)


def test_a_job_that_does_not_ask_holds_nothing(stub: StubGraph, jobs: CompletedJobs) -> None:
    ask(stub, VIDEOS, "POST", json=VIDEO)
    ask(stub, VIDEOS, "POST", json=VIDEO | ASKED | {"prompt": CAPTION})
    assert [job.upsample for job in jobs.stored] == [None, None]


def test_a_job_of_an_earlier_version_asks_for_nothing() -> None:
    request: dict[str, Any] = {"fields": {}, "media": {}, "output": {}}
    job = Job("a", "video", "m", "app", "decoder", True, request, {})
    assert job.upsample is None and job.upsampled_prompt is None


def test_the_images_of_a_request_have_one_prompt_and_seeds_of_their_own(stub: StubGraph, jobs: CompletedJobs) -> None:
    ask(stub, IMAGES, "POST", json=IMAGE | ASKED | {"n": 3})
    calls = [job.upsample for job in jobs.stored]
    assert len(calls) == 3 and len(set(calls)) == 1 and calls[0] is not None and calls[0].seed == 5
    assert [job.request["fields"]["seed"] for job in jobs.stored] == [5, 6, 7]
    assert (calls[0].mode, calls[0].num_frames, calls[0].image) == ("text2image", 1, None)


def test_an_image_comes_with_its_prompt(facts: ModelFacts, tmp_path: Path) -> None:
    class Upsampled(CompletedJobs):
        async def get(self, job_id: str) -> Job | None:
            job = await super().get(job_id)
            assert job is not None
            return replace(job, upsampled={"prompt": CAPTION, "template_sha256": "0", "seconds": 1.0})

    stub = StubGraph([served_card(facts)], media=MediaStore(tmp_path.as_uri()), jobs=Upsampled())
    found = ask(stub, IMAGES, "POST", json=IMAGE | ASKED | {"n": 2}).json()
    conforms(found, "ImagesAnswer")
    assert [image["revised_prompt"] for image in found["data"]] == [CAPTION] * 2


def test_it_is_part_of_a_request_with_an_idempotency_key(stub: StubGraph, jobs: CompletedJobs) -> None:
    for extra in ({}, ASKED, ASKED, {"upsample_prompt": False}):
        ask(stub, VIDEOS, "POST", json=VIDEO | extra, headers={"Idempotency-Key": "k"})
    plain, asked, again, off = [job.fingerprint for job in jobs.stored]
    assert plain == off != asked == again


def test_a_model_without_a_reasoner_refuses_it_by_name(facts: ModelFacts, tmp_path: Path, jobs: CompletedJobs) -> None:
    media = MediaStore(tmp_path.as_uri())
    alone = StubGraph([served_card(facts, chats=False)], media=media, jobs=jobs)
    for path, body in ((VIDEOS, VIDEO), (IMAGES, IMAGE)):
        answer = ask(alone, path, "POST", json=body | ASKED)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, "upsample_prompt")
        assert "this model has no Reasoner to write the prompt; no model here can do it" in error["message"]
        assert ask(alone, path, "POST", json=body | ASKED | {"prompt": CAPTION}).status_code == 200
    assert len(jobs.stored) == 2


def test_a_model_with_a_reasoner_is_found(facts: ModelFacts, tmp_path: Path, jobs: CompletedJobs) -> None:
    models = [served_card(facts, "mute", chats=False), served_card(facts, "nano")]
    stub = StubGraph(models, media=MediaStore(tmp_path.as_uri()), jobs=jobs)
    assert ask(stub, VIDEOS, "POST", json=VIDEO).json()["model"] == "mute"
    assert ask(stub, VIDEOS, "POST", json=VIDEO | ASKED).json()["model"] == "nano"
    named = ask(stub, VIDEOS, "POST", json=VIDEO | ASKED | {"model": "mute"})
    assert named.status_code == 400 and "model nano can do it" in named.json()["error"]["message"]
