"""Tiny checkpoints: the published layout, the same bytes everywhere, values that behave."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import Cosmos3OmniPipeline, ModularPipeline
from safetensors.torch import load_file

from cosmos3_core.catalog import CATALOG, DISTILLED_LEVELS, family_of
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.tiny import IMITATED, MEMBERS, TinyMember, configs
from cosmos3_core.tiny.checkpoint import write_checkpoint
from cosmos3_core.tiny.text import SpecialTokens

TOKENS = SpecialTokens(
    pad=0, eos=1, im_start=2, im_end=3, vision_start=4, vision_end=5, image_pad=6, video_pad=7, bos=None
)
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


@pytest.fixture(scope="module")
def members(nano: Path, edge: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[TinyMember, Path]:
    """Members of each kind of layout; read them, never write to them."""
    folder = tmp_path_factory.mktemp("members")
    others: tuple[TinyMember, ...] = ("super", "image2video-4step", "policy-droid")
    written: dict[TinyMember, Path] = {"nano": nano, "edge": edge}
    return written | {member: write_checkpoint(folder / member, member) for member in others}


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_is_configured_as_what_it_imitates(member: TinyMember) -> None:
    entry = CATALOG[MEMBERS[member]]
    files = configs.all_files(entry, configs.size_of(entry), TOKENS)
    config = TransformerConfig.from_dict(files["transformer/config.json"])
    assert family_of(config) is entry.family
    assert (config.action_gen, config.sound_gen) == (entry.config.action_gen, entry.config.sound_gen)
    assert config.base_fps == entry.config.base_fps
    assert files["model_index.json"][IMITATED] == entry.id
    fixed = files["scheduler/scheduler_config.json"].get("fixed_step_sampler_config", {})
    modular = files.get("modular_model_index.json", {})
    assert fixed.get("t_list") == modular.get("distilled_sigmas") == (entry.levels and list(entry.levels))


def test_a_member_has_the_modes_and_the_family_of_what_it_imitates(members: dict[TinyMember, Path]) -> None:
    for member, root in members.items():
        entry, found = CATALOG[MEMBERS[member]], Checkpoint.find(root)
        assert found.entry is entry
        assert (found.facts.modes, found.facts.numbers) == (entry.modes, entry.numbers)
        assert found.facts.scheduler.fixed_levels == entry.levels
        assert (found.facts.sound is not None) == entry.sound


def test_a_member_has_only_the_components_that_its_model_has(members: dict[TinyMember, Path]) -> None:
    for member, root in members.items():
        entry, names = CATALOG[MEMBERS[member]], set(digests(root))
        assert ("sound_tokenizer/diffusion_pytorch_model.safetensors" in names) == entry.sound
        assert ("vision_encoder/model.safetensors" in names) == entry.chats
        weight_map = json.loads((root / "model.safetensors.index.json").read_text())["weight_map"]
        assert any("action_proj_in" in name for name in weight_map) == entry.config.action_gen
        assert any("audio_proj_in" in name for name in weight_map) == entry.sound


def test_all_members_have_the_same_codecs(members: dict[TinyMember, Path]) -> None:
    for component in ("vae", "sound_tokenizer"):
        files = [
            {name: digest for name, digest in digests(root).items() if name.startswith(f"{component}/")}
            for root in members.values()
        ]
        there = [one for one in files if one]
        assert there and all(one == there[0] for one in there)
        assert len(there) == (len(members) if component == "vae" else 2)


def test_diffusers_reads_the_fixed_levels_of_a_distilled_member(members: dict[TinyMember, Path]) -> None:
    pipeline: Any = ModularPipeline.from_pretrained(members["image2video-4step"])
    pipeline.load_components(dtype=torch.float32)
    assert type(pipeline).__name__ == "Cosmos3DistilledModularPipeline"
    assert pipeline.config.distilled_sigmas == list(DISTILLED_LEVELS)
    assert type(pipeline.scheduler).__name__ == "FlowMatchEulerDiscreteScheduler"
    assert pipeline.transformer.config.action_gen is False


def test_diffusers_reads_a_member_as_a_pipeline(members: dict[TinyMember, Path]) -> None:
    pipeline: Any = Cosmos3OmniPipeline.from_pretrained(members["policy-droid"], dtype=torch.float32)
    assert IMITATED not in pipeline.config
    assert pipeline.sound_tokenizer is None


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
