"""The envelope of errors, and pydantic's errors in our words."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError, model_validator

from cosmos3_core.errors import RequestError
from cosmos3_core.request import GenerationRequest
from deployments.ingress.errors import MAX_MESSAGE, ApiError, bad_field, bad_fields


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


def test_a_status_without_a_reason_phrase_has_a_type() -> None:
    assert ApiError(499, "gone", kind="ClientClosedRequest").body("id")["error"]["type"] == "ClientClosedRequest"


def test_long_messages_are_cut() -> None:
    assert len(ApiError(400, "x" * 9999).body("id")["error"]["message"]) == MAX_MESSAGE


def test_paths_are_removed_from_messages() -> None:
    assert "secret" not in json.dumps(ApiError(500, "no such file: '/srv/secret/a.mp4'").body("id"))


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
def test_pydantics_errors_in_our_words(fields: dict[str, Any], param: str, says: str) -> None:
    error = refused(**fields)
    assert (error.status, error.param) == (400, param)
    assert error.message.startswith(says)


def test_a_missing_field() -> None:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest(mode="text2video")  # type: ignore[call-arg, arg-type]
    assert bad_fields(caught.value).message == "prompt is missing"


def test_pydantics_errors_keep_the_clients_names() -> None:
    error = refused({"num_inference_steps": "steps", "guidance_interval": "cfg"}, num_inference_steps=0)
    assert error.param == "steps" and error.message.startswith("steps is 0")
    assert refused({"guidance_interval": "cfg"}, guidance_interval=[1, "x"]).param == "cfg.1"


def test_several_errors_are_one_message() -> None:
    error = refused(num_frames=0, fps=0)
    assert error.param == "num_frames"
    assert [part.split()[0] for part in error.message.split("; ")] == ["num_frames", "fps"]


def test_at_most_ten_errors() -> None:
    error = refused(None, **{f"unknown_{index}": 1 for index in range(13)})
    assert error.message.endswith("; and 3 more")
    assert error.message.count("extra inputs") == 10


def test_long_values_are_cut() -> None:
    error = refused(condition_video_keep="x" * 5000)
    assert "'" + "x" * 80 + "'...: input should be 'first' or 'last'" in error.message


@pytest.mark.parametrize("value", [["secret"], {"secret": 1}, None])
def test_only_scalar_values_are_shown(value: Any) -> None:
    assert "secret" not in refused(seed=value).message


def test_an_error_without_a_field() -> None:
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
