"""Actions on the video routes: forward and inverse dynamics, policies, and combinations that are refused."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.clips import decode_video
from examples import assets
from tests.surface.inputs import TINY, as_parts, jpeg, mp4, without
from tests.surface.reading import completed, error_of, video_in

AV: dict[str, Any] = {
    "prompt": "You are an autonomous vehicle planning system.",
    "num_frames": 61,
    "fps": 10,
    "num_inference_steps": 2,
    "guidance_scale": 1.0,
    "flow_shift": 10.0,
    "seed": 0,
}
AV_PARAMS: dict[str, Any] = {
    "domain_name": "av",
    "action_chunk_size": 60,
    "image_size": 256,
    "view_point": "ego_view",
    "guardrails": False,
}
IMAGE = jpeg("av_0", 160, 96)


def test_c34_forward_dynamics(http: httpx.Client) -> None:
    """C34 at 160x96 and with 2 steps: 60 actions, 61 frames, at the size of the image that was sent."""
    rows = assets.action("av_traj_forward")
    assert rows.shape == (60, 9)
    extra = AV_PARAMS | {"action_mode": "forward_dynamics", "action": rows.tolist()}
    fields = AV | {"size": "160x96", "extra_params": extra}
    created = http.post("/v1/videos", files=as_parts(fields, input_reference=IMAGE))
    assert created.status_code == 200 and "x-ignored-fields" not in created.headers
    end = completed(http, created.json()["id"])
    assert (end["num_frames"], end["fps"], end["size"]) == (61, 10, "160x96")
    clip = decode_video(http.get(f"/v1/videos/{end['id']}/content").content)
    assert clip.frames.shape == (61, 96, 160, 3) and clip.fps == 10


def test_c35_inverse_dynamics(http: httpx.Client) -> None:
    """C35 at 160x96 and with 2 steps: 60 rows of 9 numbers for 61 frames."""
    extra = AV_PARAMS | {"action_mode": "inverse_dynamics", "raw_action_dim": 9}
    file = mp4("av_0", 160, 96, frames=61, fps=10)
    fields = AV | {"size": "160x96", "extra_params": extra}
    created = http.post("/v1/videos", files=as_parts(fields, input_reference=file))
    assert created.status_code == 200 and "x-ignored-fields" not in created.headers
    action = completed(http, created.json()["id"])["action"]
    data = np.asarray(action["data"], np.float64)
    assert data.shape == (60, 9) and np.isfinite(data).all() and data.std() > 0
    assert action["shape"] == [60, 9] and action["dtype"] == "float32" and action["raw_action_dim"] == 9
    assert (action["action_mode"], action["domain_id"]) == ("inverse_dynamics", 1)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a policy without a width": ({"action_mode": "policy", "domain_name": "av"}, "raw_action_dim"),
    "a policy of a domain without a width": ({"mode": "policy", "domain_name": "libero"}, "raw_action_dim"),
    "an unknown domain": ({"action_mode": "policy", "domain_name": "boat", "raw_action_dim": 9}, "domain_name"),
    "no domain": ({"action_mode": "policy", "raw_action_dim": 9}, "domain_name"),
    "forward dynamics without actions": ({"action_mode": "forward_dynamics", "domain_name": "av"}, "action"),
    "another mode as an action mode": ({"action_mode": "text2video", "domain_name": "av"}, "action_mode"),
}


@pytest.mark.parametrize("route", ["/v1/videos", "/v1/videos/sync"])
@pytest.mark.parametrize("name", WRONG)
def test_c36_incomplete_actions(name: str, route: str, http: httpx.Client) -> None:
    """C36: refused before any stage gets the request."""
    extra, field = WRONG[name]
    parts = as_parts(without(TINY, "num_frames") | {"extra_params": extra}, input_reference=IMAGE)
    assert error_of(http.post(route, files=parts), 400)["param"] == field


@pytest.mark.parametrize("domain", ["av", "droid_lerobot", "umi"])
def test_c36_inverse_dynamics_without_a_width(domain: str, http: httpx.Client) -> None:
    """C36 for inverse dynamics (section 4.3)."""
    extra = {"action_mode": "inverse_dynamics", "domain_name": domain, "action_chunk_size": 4}
    parts = as_parts(TINY | {"extra_params": extra}, input_reference=mp4("av_0", 64, 64, frames=5, fps=10))
    assert error_of(http.post("/v1/videos", files=parts), 400)["param"] == "raw_action_dim"


def test_c36_a_known_width_may_be_left_out(http: httpx.Client) -> None:
    """C36 holds for `action_mode`, vLLM-Omni's field; with our own `mode`, an embodiment's known width is used."""
    extra = {"mode": "policy", "domain_name": "av", "action_chunk_size": 4, "image_size": 256}
    created = http.post(
        "/v1/videos", files=as_parts(without(TINY, "size") | {"extra_params": extra}, input_reference=IMAGE)
    )
    assert completed(http, created.json()["id"])["action"]["shape"] == [4, 9]


POLICY = {"action_mode": "policy", "domain_name": "av", "raw_action_dim": 9, "action_chunk_size": 4}
REFUSED_TOGETHER: dict[str, tuple[dict[str, Any], str]] = {
    "actions and sound": ({"generate_sound": True, "extra_params": POLICY}, "generate_sound"),
    "transfer and an image": ({"extra_params": {"edge": {"control_weight": 1.0}}}, "input_reference"),
    "actions and transfer": ({"extra_params": POLICY | {"edge": True}}, "edge"),
}


@pytest.mark.parametrize("route", ["/v1/videos", "/v1/videos/sync"])
@pytest.mark.parametrize("name", REFUSED_TOGETHER)
def test_c37_combinations_that_are_refused(name: str, route: str, http: httpx.Client) -> None:
    """C37; sound on the image route is in test_images.py, and more of transfer in test_transfer.py."""
    fields, param = REFUSED_TOGETHER[name]
    answer = http.post(route, files=as_parts(TINY | fields, input_reference=IMAGE))
    assert error_of(answer, 400)["param"] == param


def test_c37_each_alone_is_served(http: httpx.Client) -> None:
    """C37: only the combination is refused: sound alone is served, and so is the policy."""
    video_in(http.post("/v1/videos/sync", files=as_parts(TINY | {"generate_sound": True}, input_reference=IMAGE)))
    policy = without(TINY, "size") | {"extra_params": POLICY | {"image_size": 256}}
    video_in(http.post("/v1/videos/sync", files=as_parts(policy, input_reference=IMAGE)))


def predicted(http: httpx.Client, **fields: Any) -> list[list[float]]:
    """The actions of a policy on the video route."""
    extra = POLICY | {"image_size": 256} | fields
    created = http.post(
        "/v1/videos", files=as_parts(without(TINY, "size") | {"extra_params": extra}, input_reference=IMAGE)
    )
    assert created.status_code == 200 and "x-ignored-fields" not in created.headers, created.text
    action = completed(http, created.json()["id"])["action"]
    assert action["shape"] == [4, 9]
    rows: list[list[float]] = action["data"]
    return rows


def test_a_policy_starts_from_the_robots_state(http: httpx.Client) -> None:
    """One value of the state changes the actions; the same state in another form does not."""
    state = [0.5] * 9
    found = predicted(http, state=state)
    assert found == predicted(http, state=[state], use_state=True, history_length=1)
    assert found != predicted(http, state=[*state[:8], 0.25]) and found != predicted(http)
    assert found != predicted(http, state=[[0.0] * 9, state], history_length=2)


def test_the_action_route_takes_the_state_of_the_observation(http: httpx.Client) -> None:
    """SGLang's place of the state; it gives what the video route gives, and nothing is reported as ignored."""
    picture = {"base64": base64.b64encode(IMAGE[1]).decode()}
    parameters = without(POLICY, "action_mode") | {"image_size": 256, "num_inference_steps": 1, "seed": 1}

    def values(**seen: Any) -> Any:
        given = {"task": "a robot", "observation": {"images": {"front": picture}} | seen}
        answer = http.post("/v1/actions/generations", json={"input": given, "parameters": parameters})
        assert answer.status_code == 200 and "x-ignored-fields" not in answer.headers, answer.text
        return answer.json()["data"][0]["action"]["values"]

    assert values(state=[0.5] * 9) == predicted(http, state=[0.5] * 9) != values()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"state": [0.5] * 8}, "state"),
        ({"state": {"arm": 1}}, "state"),
        ({"state": [0.5] * 9, "history_length": 2}, "history_length"),
        ({"use_state": True}, "use_state"),
        ({"state": [[0.5] * 9] * 5}, "state"),
    ],
)
def test_states_that_are_refused(fields: dict[str, Any], param: str, http: httpx.Client) -> None:
    """Another width, another form, fields that disagree with the rows, more rows than actions."""
    parts = as_parts(without(TINY, "size") | {"extra_params": POLICY | fields}, input_reference=IMAGE)
    assert error_of(http.post("/v1/videos", files=parts), 400)["param"] == param
