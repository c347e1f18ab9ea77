"""Tiny checkpoints: the published layout, the same bytes everywhere, values that behave."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cosmos3_core.tiny.checkpoint import write_checkpoint

LAYOUT = {
    "config.json",
    "model.safetensors.index.json",
    "model_index.json",
    "generation_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "tokenizer.json",
    "text_tokenizer/tokenizer.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "scheduler/scheduler_config.json",
    "vision_encoder/model.safetensors",
}


def digests(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("family", ["nano", "edge"])
def test_the_layout_is_the_published_one(family: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(family)
    names = set(digests(root))
    assert names >= LAYOUT
    assert ("sound_tokenizer/config.json" in names) == (family == "nano")


def test_the_root_index_spans_transformer_and_vision_encoder(nano: Path) -> None:
    weight_map = json.loads((nano / "model.safetensors.index.json").read_text())["weight_map"]
    for file in set(weight_map.values()):
        held = {name for name, place in weight_map.items() if place == file}
        assert held == set(load_file(nano / file))
    assert {file.split("/")[0] for file in weight_map.values()} == {"transformer", "vision_encoder"}


def test_another_process_writes_the_same_bytes(nano: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from cosmos3_core.tiny.checkpoint import write_checkpoint\n"
        "write_checkpoint(pathlib.Path(sys.argv[1]))"
    )
    out = tmp_path / "again"
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", program, str(out)], check=True, env=environment, timeout=120)
    assert digests(out) == digests(nano)


def test_another_seed_gives_other_weights_and_another_tokenizer(nano: Path, tmp_path: Path) -> None:
    other = digests(write_checkpoint(tmp_path / "other", "nano", seed=1))
    same = {name for name, digest in digests(nano).items() if other[name] == digest}
    assert not [name for name in same if name.endswith((".safetensors", "tokenizer.json"))]


def test_a_folder_with_content_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        write_checkpoint(tmp_path, "nano")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_every_stored_value_is_finite(nano: Path) -> None:
    for file in nano.rglob("*.safetensors"):
        assert all(bool(torch.isfinite(tensor.float()).all()) for tensor in load_file(file).values())
