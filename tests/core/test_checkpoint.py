"""Finding checkpoints, and the sentence each way of not finding one ends in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub.utils._paths import filter_repo_objects

from cosmos3_core.catalog import CATALOG, Family
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import CheckpointError
from cosmos3_core.modes import Mode
from cosmos3_core.resolving.facts import SchedulerFacts, SoundFacts
from cosmos3_core.tiny import IMITATED

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub: Path, repository: str, checkpoint: Path) -> Path:
    """The hub's cache layout around a checkpoint folder; returns the snapshot."""
    storage = hub / f"models--{repository.replace('/', '--')}"
    snapshot = storage / "snapshots" / REVISION
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(checkpoint)
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(REVISION)
    return snapshot


@pytest.fixture
def copy(nano: Path, tmp_path: Path) -> Path:
    """The configuration files of a checkpoint, to be damaged."""
    target = tmp_path / "copy"
    shutil.copytree(nano, target, ignore=shutil.ignore_patterns("*.safetensors", "tokenizer.json"))
    return target


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_is_found_by_path(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(nano.parent)
    monkeypatch.setenv("HOME", str(nano.parent))
    for name in (nano, str(nano), "nano", "./nano", "~/nano"):
        found = Checkpoint.find(name)
        assert found.root.resolve() == nano
        assert found.name == str(name)


def test_the_facts_of_nano(nano: Path) -> None:
    facts = Checkpoint.find(nano).facts
    assert facts.family is Family.NANO
    assert facts.scheduler == SchedulerFacts(1.0, karras=True, sigma_min=0.147, sigma_max=200.0)
    assert facts.sound == SoundFacts(sampling_rate=48_000, hop=1920)
    assert facts.default_system_prompt
    assert facts.modes == tuple(Mode)
    assert facts.config == Checkpoint.find(nano).transformer_config


def test_the_facts_of_edge(edge: Path) -> None:
    facts = Checkpoint.find(edge).facts
    assert facts.family is Family.EDGE
    assert facts.scheduler == SchedulerFacts(3.0, native_flow=True)
    assert facts.sound is None
    assert not facts.default_system_prompt


def test_a_distilled_checkpoint_names_its_levels(copy: Path) -> None:
    levels = [1.0, 0.9375, 0.8333333, 0.625]
    path = copy / "scheduler" / "scheduler_config.json"
    edit(path, fixed_step_sampler_config={"t_list": levels, "sample_type": "sde"})
    assert Checkpoint.find(copy).facts.scheduler.fixed_levels == tuple(levels)
    edit(path, fixed_step_sampler_config={"t_list": levels, "sample_type": "ode"})
    with pytest.raises(CheckpointError, match="sample_type is not 'sde'"):
        _ = Checkpoint.find(copy).facts


def test_a_folder_with_a_repositorys_name_is_that_checkpoint(copy: Path) -> None:
    edit(copy / "model_index.json", **{IMITATED: None})
    assert Checkpoint.find(copy).entry is None
    folder = copy.rename(copy.with_name("Cosmos3-Nano-Policy-DROID"))
    found = Checkpoint.find(folder)
    assert found.entry is CATALOG["nvidia/Cosmos3-Nano-Policy-DROID"]
    assert found.facts.modes == (Mode.POLICY,)
    assert found.facts.numbers == found.entry.numbers


def test_a_checkpoint_without_an_entry_does_what_its_weights_allow(copy: Path) -> None:
    edit(copy / "model_index.json", **{IMITATED: None})
    found = Checkpoint.find(copy).facts
    assert (found.family, found.modes, found.numbers) == (Family.NANO, tuple(Mode), None)
    edit(copy / "transformer" / "config.json", action_gen=False)
    assert Checkpoint.find(copy).facts.modes == tuple(mode for mode in Mode if not mode.is_action)


def test_a_tiny_checkpoint_is_what_it_imitates(copy: Path) -> None:
    assert Checkpoint.find(copy).entry is CATALOG["nvidia/Cosmos3-Nano"]
    edit(copy / "model_index.json", **{IMITATED: "nvidia/Cosmos3-Super-Image2Video-4Step"})
    found = Checkpoint.find(copy.rename(copy.with_name("Cosmos3-Nano"))).facts
    assert (found.family, found.modes) == (Family.SUPER, (Mode.IMAGE_TO_VIDEO,))


@pytest.mark.parametrize(("changes", "hop"), [({}, 1920), ({"dec_strides": [2, 5]}, 10), ({"hop_size": 640}, 640)])
def test_the_hop_of_the_sound_tokenizer(copy: Path, changes: dict[str, Any], hop: int) -> None:
    edit(copy / "sound_tokenizer" / "config.json", **changes)
    assert Checkpoint.find(copy).facts.sound == SoundFacts(48_000, hop)


def test_a_checkpoint_may_lack_what_is_optional(copy: Path) -> None:
    for name in ("model_index.json", "scheduler/scheduler_config.json", "sound_tokenizer/config.json"):
        (copy / name).unlink()
    facts = Checkpoint.find(copy).facts
    assert (facts.scheduler, facts.sound, facts.default_system_prompt) == (SchedulerFacts(), None, True)


def test_a_component_is_a_folder(nano: Path, edge: Path) -> None:
    assert Checkpoint.find(nano).folder("sound_tokenizer") == nano / "sound_tokenizer"
    with pytest.raises(CheckpointError, match="no sound_tokenizer/ folder"):
        Checkpoint.find(edge).folder("sound_tokenizer")


@pytest.mark.parametrize("name", ["./missing", "/missing", "~/missing", "missing", "a/b/c"])
def test_what_is_neither_folder_nor_id_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder, and not a Hugging Face id of the form owner/name"):
        Checkpoint.find(name)


def test_another_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no transformer/config\.json"):
        Checkpoint.find(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not valid JSON"), ("[1]", "holds no JSON object"), ("\x00", "is not valid JSON")],
)
def test_a_damaged_configuration_is_named(copy: Path, content: str, message: str) -> None:
    (copy / "model_index.json").write_text(content)
    with pytest.raises(CheckpointError, match=rf"model_index\.json {message}"):
        _ = Checkpoint.find(copy).facts


def test_a_configuration_in_another_encoding_is_named(copy: Path) -> None:
    (copy / "model_index.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(CheckpointError, match=r"model_index\.json is not valid JSON"):
        _ = Checkpoint.find(copy).facts


def test_a_missing_configuration_is_named(copy: Path) -> None:
    with pytest.raises(CheckpointError, match=r"processor/config\.json is missing"):
        Checkpoint.find(copy).read_json("processor/config.json")
    assert Checkpoint.find(copy).read_json("processor/config.json", required=False) == {}


def test_a_contradiction_in_the_configuration_is_named(copy: Path) -> None:
    edit(copy / "transformer" / "config.json", num_key_value_heads=3)
    with pytest.raises(CheckpointError, match=r"transformer/config\.json: num_attention_heads \(8\)"):
        _ = Checkpoint.find(copy).transformer_config


def test_an_id_is_served_from_the_local_cache(hub: Path, edge: Path) -> None:
    snapshot = cached(hub, "nvidia/Cosmos3-Edge", edge)
    found = Checkpoint.find("nvidia/Cosmos3-Edge")
    assert found.root == snapshot
    assert found.folder("vae") == snapshot / "vae"
    assert found.facts.family is Family.EDGE
    assert Checkpoint.find("nvidia/Cosmos3-Edge", revision=REVISION).root == snapshot
    with pytest.raises(CheckpointError, match="no sound_tokenizer/ folder"):
        found.folder("sound_tokenizer")


def test_a_published_id_decides_the_family(hub: Path, nano: Path) -> None:
    # The tiny configuration by itself is Nano's.
    cached(hub, "nvidia/Cosmos3-Super", nano)
    assert Checkpoint.find("nvidia/Cosmos3-Super").facts.family is Family.SUPER
    assert Checkpoint.find(nano).facts.family is Family.NANO


@pytest.mark.parametrize("revision", [None, "fp8", REVISION])
def test_an_id_that_is_not_cached_names_the_settings_that_matter(hub: Path, revision: str | None) -> None:
    with pytest.raises(CheckpointError) as error:
        Checkpoint.find("nvidia/Cosmos3-Nano", revision)
    message = str(error.value)
    assert message.startswith("nvidia/Cosmos3-Nano is not in the local cache")
    assert "HF_HUB_OFFLINE" in message
    assert "HF_HOME" in message


def test_the_environment_says_where_the_cache_is(tmp_path: Path, edge: Path) -> None:
    cached(tmp_path / "hub", "nvidia/Cosmos3-Edge", edge)
    code = "from cosmos3_core import Checkpoint; print(Checkpoint.find('nvidia/Cosmos3-Edge').facts.family)"
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGINGFACE_", "XDG_"))}
    environment = keep | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "edge"


def test_only_what_is_needed_is_fetched(nano: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, Callable[[str], bool]]] = []

    def download(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        matched = set(filter_repo_objects(FILES, allow_patterns=allow_patterns))
        asked.append((repository, revision, matched.__contains__))
        return str(nano)

    monkeypatch.setattr("cosmos3_core.hub.snapshot_download", download)
    found = Checkpoint.find("nvidia/Cosmos3-Nano", "fp8")
    _ = found.facts
    assert [name for name in FILES if asked[0][2](name)] == FILES[:9]
    found.folder("vae")
    assert [name for name in FILES if asked[1][2](name)] == ["vae/config.json", "vae/model.safetensors"]
    assert [call[:2] for call in asked] == [("nvidia/Cosmos3-Nano", "fp8")] * 2


FILES = [
    "config.json",
    "model.safetensors.index.json",
    "chat_template.jinja",
    "merges.txt",
    "scheduler/scheduler_config.json",
    "text_tokenizer/tokenizer.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
    "vae/model.safetensors",
    "sound_tokenizer/diffusion_pytorch_model.safetensors",
    "modelopt_state.pth",
    "README.md",
]
