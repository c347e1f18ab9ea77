"""What the Encoder keeps from part to part, and what it tells the Decoder of actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from cosmos3_core.action_statistics import StatisticsError
from cosmos3_core.media.stills import encode_image
from cosmos3_core.request import GenerationRequest
from deployments.decoding.decoder import MediaDecoder
from deployments.encoder import Encoder
from deployments.settings.model import EncoderSettings, ModelSettings
from deployments.wire.calls import GenerationCall
from deployments.wire.handoff import fetch_conditioning, publish
from tests.parity.cases import picture

ROLLOUT: dict[str, Any] = {
    "mode": "forward_dynamics",
    "prompt": "turn left",
    "domain_name": "av",
    "width": 64,
    "height": 64,
    "action_chunk_size": 4,
}
POLICY = ROLLOUT | {"mode": "policy"}


@pytest.fixture(autouse=True)
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)


@pytest.fixture
def image(tmp_path: Path) -> str:
    (path := tmp_path / "image.png").write_bytes(encode_image(picture(64, 64, 1), "png"))
    return path.as_uri()


def encoder_of(nano: Path, **fields: Any) -> Encoder:
    stage = EncoderSettings(device="cpu", dtype="float32", threads=torch.get_num_threads())
    return Encoder(ModelSettings(name="m", checkpoint=str(nano), encoder=stage, reasoner=None, **fields))


def call(image: str, job: str = "video_gen_1", **fields: Any) -> GenerationCall:
    return GenerationCall.of(job, GenerationRequest(**fields), {"image": image})


def test_the_media_of_a_request_in_parts_are_read_once(nano: Path, image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[GenerationRequest] = []

    def counted(self: MediaDecoder, request: GenerationRequest) -> Any:
        read.append(request)
        return decode(self, request)

    decode = MediaDecoder.inputs
    monkeypatch.setattr(MediaDecoder, "inputs", counted)
    encoder = encoder_of(nano)
    rollout = call(image, **ROLLOUT, action=np.zeros((12, 9)))
    tail = publish(torch.zeros(1, 3, 1, 64, 64))
    first, *later = [encoder._encode(rollout, part, None if part == 0 else tail) for part in range(3)]
    assert len(read) == 1 and encoder._read is None
    assert [message.part for message in (first, *later)] == [0, 1, 2] and len(first.parts) == 3
    encoder._encode(rollout, 0, None)
    encoder._encode(call(image, "another job", **ROLLOUT, action=np.zeros((12, 9))), 0, None)
    assert len(read) == 3
    # A Decoder or an Encoder has died, and the job goes on at a part that this Encoder has not begun.
    encoder._encode(rollout, 1, tail)
    assert len(read) == 4


def test_a_part_is_told_which_of_its_frames_are_kept_and_what_follows(nano: Path, image: str) -> None:
    encoder = encoder_of(nano)
    rollout = call(image, **ROLLOUT, action=np.arange(72).reshape(8, 9) / 72)
    tail = publish(torch.full((1, 3, 1, 64, 64), 0.25))
    first, second = encoder._encode(rollout, 0, None), encoder._encode(rollout, 1, tail)
    assert (first.clip.keep, first.clip.tail, second.clip.keep, second.clip.tail) == (slice(0, 5), 1, slice(1, 5), 0)
    assert (first.sampling.seed, second.sampling.seed) == (42, 43)
    rows = [fetch_conditioning(message.conditioning, torch.device("cpu")).clean for message in (first, second)]
    given = np.arange(72, dtype=np.float32).reshape(8, 9) / 72
    assert np.allclose(np.concatenate([part["action"][:, :9].numpy() for part in rows]), given)  # type: ignore[index]
    expected = encoder.core.video_encoder.encode(torch.full((1, 3, 1, 64, 64), 0.25))
    assert torch.equal(rows[1]["vision"][:, :1], expected)  # type: ignore[index]  # a StrEnum's value is its key


def statistics_file(folder: Path, width: int) -> str:
    (path := folder / "statistics.json").write_text(json.dumps({"q01": [-1.0] * width, "q99": [3.0] * width}))
    return str(path)


def test_the_decoder_is_told_the_statistics_of_the_embodiment(nano: Path, image: str, tmp_path: Path) -> None:
    encoder = encoder_of(nano, action_statistics={"av": statistics_file(tmp_path, 9)})
    clip = encoder._encode(call(image, **POLICY), 0, None).clip
    assert clip.action_statistics is not None
    assert clip.action_statistics.offset == (1.0,) * 9 and clip.action_statistics.scale == (2.0,) * 9
    for fields in (POLICY | {"domain_name": "umi"}, ROLLOUT | {"action": np.zeros((4, 9))}):
        assert encoder._encode(call(image, **fields), 0, None).clip.action_statistics is None


def test_statistics_that_no_actions_of_the_checkpoint_can_have_are_refused_at_the_start(
    nano: Path, tmp_path: Path
) -> None:
    with pytest.raises(StatisticsError, match="of av are 65 wide; this checkpoint has 64 action channels"):
        encoder_of(nano, action_statistics={"av": statistics_file(tmp_path, 65)})
    with pytest.raises(StatisticsError, match=r"missing\.json"):
        encoder_of(nano, action_statistics=str(tmp_path / "missing.json"))
