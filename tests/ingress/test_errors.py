"""The envelope of errors, pydantic's findings in our words, and what of the server's disk they may name."""

from __future__ import annotations

import json
import string
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, model_validator

from cosmos3_core.errors import RequestError
from cosmos3_core.request import GenerationRequest
from deployments.ingress.errors import MAX_MESSAGE, ApiError, bad_field, bad_fields
from deployments.redaction import without_media, without_paths

NAMES = st.text(string.ascii_letters + string.digits + "_-.+@", min_size=1, max_size=8)


def refused(names: dict[str, str] | None = None, /, **fields: Any) -> ApiError:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest(**{"mode": "text2video", "prompt": "a robot"} | fields)
    return bad_fields(caught.value, names)


def test_the_envelope() -> None:
    error = ApiError(400, "size is 0; expected more", param="size")
    assert error.body("id-1") == {
        "error": {
            "message": "size is 0; expected more",
            "type": "Bad Request",
            "param": "size",
            "code": 400,
            "request_id": "id-1",
        }
    }
    assert str(error) == "size is 0; expected more"


def test_the_response() -> None:
    response = ApiError(429, "later", kind="Busy", headers={"Retry-After": "5"}).response("id-1")
    assert (response.status_code, response.headers["retry-after"]) == (429, "5")
    assert response.headers["content-type"] == "application/json"
    assert json.loads(bytes(response.body))["error"]["type"] == "Busy"


@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 503, 504])
def test_the_type_is_the_reason_phrase(status: int) -> None:
    error = ApiError(status, "m")
    assert (error.kind, error.param, error.headers) == (HTTPStatus(status).phrase, None, {})


def test_a_status_of_nobodys_has_a_type_of_its_own() -> None:
    assert ApiError(499, "gone", kind="ClientClosedRequest").body("id")["error"]["type"] == "ClientClosedRequest"


def test_long_messages_are_cut() -> None:
    assert len(ApiError(400, "x" * 9999).body("id")["error"]["message"]) == MAX_MESSAGE


def test_paths_do_not_leave_with_the_message() -> None:
    assert "secret" not in json.dumps(ApiError(500, "no such file: '/srv/secret/a.mp4'").body("id"))


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no file /srv/data/a.mp4 here", "no file <path> here"),
        ("'/srv/data'", "'<path>'"),
        ("(/srv/data)", "(<path>)"),
        ("path=/a/b,/c/d", "path=<path>,<path>"),
        ("file:///srv/data/a", "file://<path>"),
        ("/a/b-c/d_e/f.g+h@i", "<path>"),
        ("/srv/é/x", "<path>"),
        ("~/.cache/models/x", "~<path>"),
        ("POST /v1/videos makes a job", "POST /v1/videos makes a job"),
        ("GET /v1/videos/video_gen_1/content", "GET /v1/videos/video_gen_1/content"),
        ("/health is up", "/health is up"),
        ("application/json", "application/json"),
        ("nvidia/Cosmos3-Nano", "nvidia/Cosmos3-Nano"),
        ("a/b/c/d", "a/b/c/d"),
        ("./a/b", "./a/b"),
        ("16/9 and 4 / 3", "16/9 and 4 / 3"),
        ("images/videos", "images/videos"),
        ("", ""),
    ],
)
def test_what_counts_as_a_path(message: str, shown: str) -> None:
    assert without_paths(message) == shown


@given(st.lists(NAMES, min_size=2, max_size=5), st.sampled_from(["", "no file ", "'", "(", "= "]))
def test_no_absolute_path_survives(names: list[str], before: str) -> None:
    path = "/" + "/".join(names)
    if not path.startswith("/v") or not path[2:3].isdigit() or path[3:4] != "/":
        assert without_paths(f"{before}{path}") == f"{before}<path>"


@given(st.text("/ab.v1 :'", max_size=20))
def test_messages_are_cleaned_once(message: str) -> None:
    assert without_paths(without_paths(message)) == without_paths(message)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("size is 'data:image/png;base64,iVBORw0KGgo='; expected", "size is 'data:image/png;base64,...'; expected"),
        ("Model mismatch: DATA:;BASE64,AAAA is not served", "Model mismatch: DATA:;BASE64,... is not served"),
        ("send a data URI such as data:image/png;base64,...", "send a data URI such as data:image/png;base64,..."),
        ("expected data:<type>;base64,<content>", "expected data:<type>;base64,<content>"),
    ],
)
def test_media_are_not_repeated(message: str, shown: str) -> None:
    assert without_media(message) == shown
    assert ApiError(400, message).body("id")["error"]["message"] == shown


def test_a_refusal_by_the_core_keeps_the_clients_name() -> None:
    error = bad_field(RequestError("num_inference_steps", "is 0; expected 1 or more"), {"num_inference_steps": "steps"})
    assert (error.status, error.param, error.message) == (400, "steps", "steps is 0; expected 1 or more")
    assert bad_field(RequestError("seed", "is x")).param == "seed"


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"num_frames": 0}, "num_frames", "num_frames is 0: input should be greater than or equal to 1"),
        ({"num_frames": "many"}, "num_frames", "num_frames is 'many': input should be a valid integer"),
        ({"fps": float("inf")}, "fps", "fps is inf: input should be a finite number"),
        (
            {"generate_sound": "perhaps"},
            "generate_sound",
            "generate_sound is 'perhaps': input should be a valid boolean",
        ),
        ({"mode": "text2nothing"}, "mode", "mode is 'text2nothing': input should be 'text2image'"),
        ({"action": [[1], [2, 3]]}, "action", "action must be a list of rows of numbers"),
        ({"action": [[float("nan")]]}, "action", "action must hold numbers from -1000 to 1000"),
        ({"guidance_interval": [1, "x"]}, "guidance_interval.1", "guidance_interval.1 is 'x': input should be"),
        ({"surprise": [1]}, "surprise", "surprise extra inputs are not permitted"),
        ({"prompt": None}, "prompt", "prompt input should be a valid string"),
    ],
)
def test_findings_in_our_words(fields: dict[str, Any], param: str, says: str) -> None:
    error = refused(**fields)
    assert (error.status, error.param) == (400, param)
    assert error.message.startswith(says)


def test_what_is_missing() -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest(mode="text2video")  # type: ignore[call-arg, arg-type]
    assert bad_fields(caught.value).message == "prompt is missing"


def test_findings_keep_the_clients_names() -> None:
    error = refused({"num_inference_steps": "steps", "guidance_interval": "cfg"}, num_inference_steps=0)
    assert error.param == "steps" and error.message.startswith("steps is 0")
    assert refused({"guidance_interval": "cfg"}, guidance_interval=[1, "x"]).param == "cfg.1"


def test_several_findings_are_one_message() -> None:
    error = refused(num_frames=0, fps=0)
    assert error.param == "num_frames"
    assert [part.split()[0] for part in error.message.split("; ")] == ["num_frames", "fps"]


def test_at_most_ten_findings() -> None:
    error = refused(None, **{f"unknown_{index}": 1 for index in range(13)})
    assert error.message.endswith("; and 3 more")
    assert error.message.count("extra inputs") == 10


def test_long_values_are_cut() -> None:
    error = refused(condition_video_keep="x" * 5000)
    assert "'" + "x" * 80 + "'...: input should be 'first' or 'last'" in error.message


@pytest.mark.parametrize("value", [["secret"], {"secret": 1}, None])
def test_values_that_are_no_scalars_are_not_shown(value: Any) -> None:
    assert "secret" not in refused(seed=value).message


def test_a_finding_of_no_field() -> None:
    class Pair(BaseModel):
        one: int = Field(default=0)

        @model_validator(mode="after")
        def _refuse(self) -> Pair:
            raise ValueError("must be two")

    with pytest.raises(ValidationError) as caught:
        Pair()
    error = bad_fields(caught.value)
    assert error.param is None
    assert error.message == "must be two"
