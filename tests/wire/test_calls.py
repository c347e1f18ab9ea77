"""Requests taken apart for the graph, kept as JSON, and put together again."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cosmos3_core.controls import ControlKind, Strength
from cosmos3_core.modes import Mode
from cosmos3_core.presets import NegativeMetadata
from cosmos3_core.request import MAX_ACTION, GenerationRequest
from cosmos3_core.sampling.schedule import ScheduleKind
from deployments.wire.calls import GenerationCall
from deployments.wire.media_store import MediaStore, delete_media

METADATA: tuple[NegativeMetadata, ...] = ("none", "same", "inverse")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def positive(top: float) -> st.SearchStrategy[float]:
    return st.floats(0, top, exclude_min=True)


def controls() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Some controls of different kinds that are used, with and without a video."""
    one = st.fixed_dictionaries(
        {"kind": st.sampled_from(ControlKind)},
        optional={
            "weight": positive(1000),
            "strength": st.sampled_from(Strength),
            "video": st.none() | st.binary(max_size=20),
        },
    )
    return st.lists(one, max_size=3, unique_by=lambda control: control["kind"])


def adapters() -> st.SearchStrategy[list[dict[str, Any]]]:
    """Some adapters, with and without a weight."""
    one = st.fixed_dictionaries(
        {"name": st.sampled_from(["style", "look", "camera"])}, optional={"weight": st.floats(-10, 10)}
    )
    return st.lists(one, max_size=3, unique_by=lambda adapter: adapter["name"])


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "negative_prompt": TEXT,
    "image": st.binary(max_size=20),
    "video": st.binary(max_size=20),
    "sound": st.binary(max_size=20),
    "width": st.integers(1, 4096),
    "height": st.integers(1, 4096),
    "resolution": st.sampled_from(["480", "720", 256]),
    "aspect_ratio": st.sampled_from(["16,9", "1:1"]),
    "num_frames": st.integers(1, 400),
    "fps": positive(60),
    "num_inference_steps": st.integers(1, 200),
    "guidance_scale": st.floats(0, 20),
    "guidance_interval": st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
    "flow_shift": positive(100),
    "schedule": st.sampled_from(ScheduleKind),
    "seed": st.integers(-(2**63), 2**63 - 1),
    "generate_sound": st.booleans(),
    "sound_duration": st.floats(0.04, 100),
    "condition_frame_indexes_vision": st.lists(st.integers(0, 100), min_size=1, max_size=5),
    "condition_video_keep": st.sampled_from(["first", "last"]),
    "controls": controls(),
    "control_guidance": st.floats(0, 10),
    "control_guidance_interval": st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
    "num_video_frames_per_chunk": st.integers(1, 400),
    "num_conditional_frames": st.integers(0, 400),
    "num_first_chunk_conditional_frames": st.integers(0, 400),
    "max_frames": st.integers(1, 5000),
    "share_vision_temporal_positions": st.booleans(),
    "emphasize_control_in_prompt": st.booleans(),
    "domain_name": TEXT,
    "domain_id": st.integers(),
    "raw_action_dim": st.integers(1, 99),
    "action_chunk_size": st.integers(1, 99),
    "view_point": TEXT,
    "preset": TEXT,
    "adapters": st.none() | adapters(),
    "use_system_prompt": st.booleans(),
    "system_prompt": TEXT,
    "use_resolution_template": st.booleans(),
    "use_duration_template": st.booleans(),
    "negative_metadata_mode": st.sampled_from(METADATA),
    "max_sequence_length": st.integers(1, 10_000),
}
ALWAYS = {"mode": st.sampled_from(Mode), "prompt": TEXT}
REQUESTS = st.fixed_dictionaries(ALWAYS, optional=FIELDS).map(lambda fields: GenerationRequest(**fields))
ROWS = ("action", "state")
NUMBERS = st.floats(-MAX_ACTION, MAX_ACTION, width=32)


def a_request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"mode": Mode.TEXT_TO_VIDEO, "prompt": "a robot"} | fields)


def there_and_back(request: GenerationRequest, url: str | None = None) -> GenerationRequest:
    """What the other side makes of a request that was kept as text."""
    store = MediaStore(url or f"memory://{uuid.uuid4().hex}")
    media = {name: store.put(name, content) for name, content in request.media().items()}
    call = GenerationCall.of("video_gen_1", request, media)
    read = GenerationCall(**json.loads(json.dumps(asdict(call))))
    assert read == call and call.job_id == "video_gen_1" and call.media == media
    found = read.to_request()
    for uri in media.values():
        delete_media(uri)
    return found


def assert_same(found: GenerationRequest, expected: GenerationRequest) -> None:
    assert found.model_fields_set == expected.model_fields_set
    for name in set(GenerationRequest.model_fields) - set(ROWS):
        one, other = getattr(found, name), getattr(expected, name)
        assert type(one) is type(other) and one == other, name
    for name in ROWS:
        assert_same_rows(getattr(found, name), getattr(expected, name))


def assert_same_rows(found: NDArray[Any] | None, expected: NDArray[Any] | None) -> None:
    if expected is None:
        assert found is None
    else:
        assert found is not None and found.dtype == np.float32
        assert found.shape == expected.shape
        assert found.tobytes() == expected.tobytes()


def test_every_field_is_drawn_below() -> None:
    assert {*FIELDS, *ALWAYS, *ROWS} == set(GenerationRequest.model_fields)


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(request: GenerationRequest) -> None:
    assert_same(there_and_back(request), request)


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=5))
def test_actions_come_back_bit_by_bit(rows: list[list[float]]) -> None:
    request = a_request(mode=Mode.FORWARD_DYNAMICS, action=rows, state=rows)
    assert_same(there_and_back(request), request)


@pytest.mark.parametrize(
    "action",
    [
        np.array([[-0.0, 0.0, 1e-45, -1.1754944e-38, 1000.0, 0.1]], np.float32),
        np.arange(12, dtype=np.float64).reshape(1, 4, 3) / 7,
        np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3)),
        [[1, 2], [3, 4]],
    ],
)
def test_actions_of_any_form(action: NDArray[Any] | list[list[int]]) -> None:
    request = a_request(mode="policy", action=action)
    assert_same(there_and_back(request), request)


def test_fields_left_out_stay_left_out() -> None:
    call = GenerationCall.of("id", a_request(seed=42), {})
    assert call.fields == {"mode": "text2video", "prompt": "a robot", "seed": 42}
    assert call.to_request().model_fields_set == {"mode", "prompt", "seed"}


def test_none_that_was_given_stays_given() -> None:
    request = a_request(negative_prompt=None, action=None, fps=None)
    assert_same(there_and_back(request), request)


@pytest.mark.parametrize("mode", Mode)
def test_modes(mode: Mode) -> None:
    found = there_and_back(a_request(mode=mode))
    assert found.mode is mode


@pytest.mark.parametrize("kind", ScheduleKind)
def test_schedules(kind: ScheduleKind) -> None:
    assert there_and_back(a_request(schedule=kind)).schedule is kind


def test_fields_are_plain_json() -> None:
    request = a_request(mode="policy", schedule="karras", action=[[0.5]], condition_frame_indexes_vision="3,1")
    assert GenerationCall.of("id", request, {}).fields == {
        "mode": "policy",
        "prompt": "a robot",
        "schedule": "karras",
        "action": [[0.5]],
        "condition_frame_indexes_vision": [1, 3],
    }


def test_media_are_named_and_not_carried(tmp_path: Path) -> None:
    image, video = b"\x89PNG" + bytes(range(256)), b"\x00\x00\x00\x18ftyp"
    request = a_request(mode="image2video", image=image, video=video)
    uris = {"image": f"file://{tmp_path}/image", "video": f"file://{tmp_path}/video"}
    call = GenerationCall.of("id", request, uris)
    assert call.media == uris and not {"image", "video"} & set(call.fields)
    found = there_and_back(request, f"file://{tmp_path}")
    assert (found.image, found.video) == (image, video)


def test_a_control_that_is_left_out_is_not_carried() -> None:
    controls = [{"kind": "edge", "weight": 0, "video": b"edge"}, {"kind": "depth", "video": b"depth"}]
    request = a_request(mode="transfer", controls=controls)
    edge, depth = there_and_back(request).controls
    assert (edge.kind, edge.weight, edge.video) == ("edge", 0, None)
    assert (depth.kind, depth.weight, depth.video) == ("depth", 1, b"depth")
    fields = GenerationCall.of("id", request, {}).fields
    assert fields["controls"] == [{"kind": "edge", "weight": 0}, {"kind": "depth"}]


def test_a_medium_that_is_gone_is_not_found(tmp_path: Path) -> None:
    call = GenerationCall.of("id", a_request(), {"image": f"file://{tmp_path}/image"})
    with pytest.raises(FileNotFoundError):
        call.to_request()


def test_taking_apart_leaves_the_request_alone() -> None:
    request = a_request(action=[[1.0, 2.0]])
    GenerationCall.of("id", request, {}).fields["action"][0][0] = 9.0
    assert request.action is not None and request.action[0, 0] == 1.0
