"""Which frames a classifier blocks, with the encoders that it may have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.guardrails.features import SiglipFeatures
from cosmos3_core.guardrails.frames_classifier import (
    CONFIG,
    HEAD,
    NVIDIAS_CLASSES,
    NVIDIAS_ENCODER,
    NVIDIAS_HEAD,
    FramesClassifier,
    nvidias_head,
)
from cosmos3_core.guardrails.verdict import GuardrailError
from cosmos3_core.tiny.guardrails import UNSAFE_COLOUR, write_frames_classifier

CPU = torch.device("cpu")
SIGLIP: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


def plain(*colours: tuple[int, int, int], height: int = 48, width: int = 80) -> Frames:
    """A frame in each colour."""
    frames = np.empty((len(colours), height, width, 3), np.uint8)
    frames[:] = np.array(colours, np.uint8)[:, None, None, :]
    return frames


GREEN, BLUE, GREY, RED = (20, 180, 40), (20, 40, 200), (128, 128, 128), UNSAFE_COLOUR


@pytest.fixture(scope="module")
def folder(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames_classifier(tmp_path_factory.mktemp("classifier") / "red", str(nano))


@pytest.fixture(scope="module")
def red(folder: Path) -> FramesClassifier:
    return FramesClassifier.read(folder, CPU)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SigLIP, both towers, as the hub has it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("siglip") / "encoder"
    text = SIGLIP | {"vocab_size": 8, "max_position_embeddings": 4}
    vision = SIGLIP | {"image_size": 28, "patch_size": 14}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder


def test_red_frames_are_blocked_and_others_are_not(red: FramesClassifier) -> None:
    frames = plain(GREEN, BLUE, GREY)
    verdict, shown = red.check(frames)
    assert verdict.allowed and shown is frames
    verdict, _ = red.check(plain(RED))
    assert not verdict.allowed and verdict.reason == "show Red"


def test_one_frame_of_a_chunk_is_enough(red: FramesClassifier) -> None:
    for place in range(4):
        colours = [GREEN, BLUE, GREY, BLUE]
        colours[place] = RED
        assert not red.check(plain(*colours))[0].allowed, place


def test_frames_from_the_object_store_cannot_be_written(red: FramesClassifier) -> None:
    frames = plain(GREEN)
    frames.flags.writeable = False
    assert red.check(frames)[0].allowed


def test_scores_that_are_no_numbers_block(folder: Path, tmp_path: Path) -> None:
    broken = {name: torch.full_like(tensor, float("nan")) for name, tensor in load_file(folder / HEAD).items()}
    (tmp_path / CONFIG).write_bytes((folder / CONFIG).read_bytes())
    save_file(broken, tmp_path / HEAD)
    verdict, _ = FramesClassifier.read(tmp_path, CPU).check(plain(GREEN))
    assert not verdict.allowed and verdict.reason == "could not be judged"


def test_siglips_features_are_those_of_the_whole_model(siglip: Path) -> None:
    frames = plain(GREEN, RED)
    found = SiglipFeatures.read(str(siglip), CPU).of(frames)
    model = SiglipModel.from_pretrained(siglip).eval()
    inputs = SiglipImageProcessor.from_pretrained(siglip)(images=list(frames), return_tensors="pt")
    with torch.no_grad():
        pooled = model.get_image_features(**inputs)
    pooled = pooled if isinstance(pooled, torch.Tensor) else pooled.pooler_output
    torch.testing.assert_close(found, pooled / pooled.norm(dim=-1, keepdim=True))


def head_for(features: SiglipFeatures, unsafe: Frames, safe: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a direction that tells two frames apart."""
    one, other = features.of(unsafe)[0], features.of(safe)[0]
    return one - other, -(one - other) @ (one + other) / 2


def test_a_folder_with_siglip(siglip: Path, tmp_path: Path) -> None:
    weight, bias = head_for(SiglipFeatures.read(str(siglip), CPU), plain(BLUE), plain(GREEN))
    save_file({"weight": torch.stack([-weight, weight]), "bias": torch.stack([-bias, bias])}, tmp_path / HEAD)
    siglip_below = tmp_path / "encoder"
    siglip_below.symlink_to(siglip)
    config = {"encoder": "siglip", "path": "encoder", "classes": ["Safe", "Blue"]}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    made = FramesClassifier.read(tmp_path, CPU)
    assert made.check(plain(GREEN))[0].allowed
    assert made.check(plain(GREEN, BLUE))[0].reason == "show Blue"


def test_nvidias_folder(siglip: Path, tmp_path: Path) -> None:
    """The layout of `video_content_safety_filter`: a head in a pickle, and the encoder in a cache of the hub."""
    cache = tmp_path / ("models--" + NVIDIAS_ENCODER.replace("/", "--"))
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    (cache / "snapshots").mkdir()
    (cache / "snapshots" / ("0" * 40)).symlink_to(siglip)
    torch.manual_seed(0)
    head = nvidias_head(SIGLIP["hidden_size"], len(NVIDIAS_CLASSES))
    last: Any = head[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([1.0, 0, 0, 0, 0, 0, 0]))
    stored = {f"network.layers.{name}": tensor for name, tensor in head.state_dict().items()}
    torch.save({"model": stored}, tmp_path / NVIDIAS_HEAD)
    assert FramesClassifier.read(tmp_path, CPU).check(plain(GREEN))[0].allowed
    stored["network.layers.6.bias"] = torch.tensor([0.0, 0, 1, 0, 0, 0, 0])
    torch.save({"model": stored}, tmp_path / NVIDIAS_HEAD)
    assert FramesClassifier.read(tmp_path, CPU).check(plain(GREEN))[0].reason == "show Violence"


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / NVIDIAS_HEAD)
    with pytest.raises(GuardrailError, match="holds no classifier"):
        FramesClassifier.read(tmp_path, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "clip"}, "encoder is 'clip'"),
        ({"path": "nowhere"}, "holds no classifier"),
        ({"classes": ["Safe", "A", "B"]}, "holds no classifier"),
        ({"classes": None}, "holds no classifier"),
    ],
)
def test_a_folder_at_odds_with_itself_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    config = json.loads((folder / CONFIG).read_text()) | change
    (tmp_path / CONFIG).write_text(json.dumps(config))
    (tmp_path / HEAD).write_bytes((folder / HEAD).read_bytes())
    with pytest.raises(GuardrailError, match=message):
        FramesClassifier.read(tmp_path, CPU)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GuardrailError, match=NVIDIAS_HEAD):
        FramesClassifier.read(tmp_path, CPU)
