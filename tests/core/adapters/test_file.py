"""Adapters' files: every way to say alpha and rank, and every reason to refuse one, before a tensor is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cosmos3_core.adapters.file import read_adapters
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import CheckpointError
from cosmos3_core.model.config import TransformerConfig
from tests.adapters import every_module, matrices, tensors, write_adapter, write_peft

QUERY, UP = "layers.0.self_attn.add_q_proj", "layers.1.mlp_moe_gen.up_proj"


@pytest.fixture(scope="module")
def config(nano: Path) -> TransformerConfig:
    return Checkpoint.find(nano).transformer_config


@pytest.fixture
def stored(config: TransformerConfig) -> dict[str, Tensor]:
    return tensors(matrices(config, [QUERY, UP], rank=4))


def factors(folder: Path, config: TransformerConfig) -> dict[str, float]:
    (file,) = read_adapters({"style": folder}, config)
    return {module: pair.factor for module, pair in file.pairs.items()}


def refusal(path: Path, config: TransformerConfig) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_adapters({"style": path}, config)
    assert str(caught.value).startswith("adapter style: ")
    return str(caught.value)


def test_an_adapter_of_every_module(tmp_path: Path, config: TransformerConfig) -> None:
    folder = write_peft(tmp_path, config)
    (file,) = read_adapters({"style": folder}, config)
    content = (folder / "adapter_model.safetensors").read_bytes()
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    assert set(file.pairs) == set(every_module(config))
    assert "proj_in" in file.pairs and "time_embedder.linear_1" in file.pairs and "audio_proj_out" in file.pairs


def test_a_file_is_as_good_as_its_folder(tmp_path: Path, config: TransformerConfig) -> None:
    folder = write_peft(tmp_path, config, [QUERY])
    by_folder, by_file = (
        read_adapters({"a": path}, config)[0].pairs for path in (folder, folder / "adapter_model.safetensors")
    )
    assert by_folder == by_file


PEFT: dict[str, tuple[dict[str, Any], float, float]] = {
    "alpha over rank": ({"r": 4, "lora_alpha": 6}, 1.5, 1.5),
    "by the root of the rank": ({"r": 4, "lora_alpha": 6, "use_rslora": True}, 3.0, 3.0),
    "an alpha for some": ({"r": 4, "lora_alpha": 6, "alpha_pattern": {"up_proj": 2}}, 1.5, 0.5),
    "an alpha by the whole name": ({"r": 4, "lora_alpha": 6, "alpha_pattern": {f"^{QUERY}": 8}}, 2.0, 1.5),
    "an alpha by an expression": ({"r": 4, "lora_alpha": 6, "alpha_pattern": {r"\d\.self_attn\..*": 8}}, 2.0, 1.5),
    "ranks for some": ({"r": 8, "lora_alpha": 6, "rank_pattern": {"up_proj": 4, "add_q_proj": 4}}, 1.5, 1.5),
    "no alpha": ({"r": 4}, 1.0, 1.0),
}


@pytest.mark.parametrize("case", PEFT)
@pytest.mark.parametrize("place", ["beside", "within", "within, with the component"])
def test_the_configuration_says_the_factor(
    case: str, place: str, tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]
) -> None:
    written, query, up = PEFT[case]
    if place == "beside":
        folder = write_adapter(tmp_path, stored, written)
    else:
        prefix = "transformer." if "component" in place else ""
        inner = {f"{prefix}{key}": value for key, value in written.items()}
        folder = write_adapter(tmp_path, stored, metadata={"lora_adapter_metadata": json.dumps(inner)})
    assert factors(folder, config) == {QUERY: query, UP: up}


def test_alphas_beside_the_matrices(tmp_path: Path, config: TransformerConfig) -> None:
    stored = tensors(matrices(config, [QUERY, UP], rank=4), "", (".lora_down.weight", ".lora_up.weight"))
    folder = write_adapter(tmp_path, stored | {f"{QUERY}.alpha": torch.tensor(2.0)}, {"r": 4, "lora_alpha": 6})
    assert factors(folder, config) == {QUERY: 0.5, UP: 1.5}


def test_alpha_in_the_metadata(tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]) -> None:
    folder = write_adapter(tmp_path, stored, metadata={"ss_network_dim": "4", "ss_network_alpha": "8"})
    assert factors(folder, config) == {QUERY: 2.0, UP: 2.0}


def test_no_alpha_anywhere_is_a_factor_of_1(
    tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]
) -> None:
    assert factors(write_adapter(tmp_path, stored), config) == {QUERY: 1.0, UP: 1.0}


CONFIGURATIONS: dict[str, tuple[Any, str]] = {
    "DoRA": ({"use_dora": True}, "DoRA"),
    "another kind": ({"peft_type": "IA3"}, "peft_type is IA3; expected LORA"),
    "transposed": ({"fan_in_fan_out": True}, "transposed"),
    "biases": ({"bias": "all"}, "bias is all"),
    "another rank": ({"r": 8, "lora_alpha": 8}, f"{QUERY} has rank 4, and its configuration says 8"),
    "no number": ({"r": 4, "lora_alpha": [1]}, "adapter_config.json cannot be used"),
    "no expression": ({"r": 4, "alpha_pattern": {"(": 1}}, "no regular expression"),
    "an infinite alpha": ({"r": 4, "lora_alpha": float("inf")}, "no finite number"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_a_configuration_is_refused(
    case: str, tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]
) -> None:
    written, reason = CONFIGURATIONS[case]
    assert reason in refusal(write_adapter(tmp_path, stored, written), config)


def test_a_configuration_that_is_no_object(
    tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]
) -> None:
    folder = write_adapter(tmp_path, stored)
    for content in ("[1]", "{", ""):
        (folder / "adapter_config.json").write_text(content)
        assert "adapter_config.json cannot be used" in refusal(folder, config)


def test_a_path_is_refused(tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]) -> None:
    assert "does not exist" in refusal(tmp_path / "absent", config)
    assert "holds 0 .safetensors files; expected one" in refusal(tmp_path, config)
    write_adapter(tmp_path, stored)
    write_adapter(tmp_path, stored, name="other.safetensors")
    assert "holds 2 .safetensors files" in refusal(tmp_path, config)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not a safetensors file")
    assert "broken.safetensors cannot be read" in refusal(broken, config)


Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]
A, B = f"base_model.model.{QUERY}.lora_A.weight", f"base_model.model.{QUERY}.lora_B.weight"
OTHER = torch.zeros(4, 64)
TENSORS: dict[str, tuple[Change, str]] = {
    "none": (lambda stored: {}, "it holds no tensor"),
    "a whole weight": (lambda stored: stored | {f"{QUERY}.weight": OTHER}, f"it holds {QUERY}.weight; expected only"),
    "half a pair": (
        lambda stored: {name: x for name, x in stored.items() if name != B},
        f"one of the two matrices is missing: base_model.model.{QUERY}",
    ),
    "the other tower": (
        lambda stored: {name.replace("add_q_proj", "to_q"): x for name, x in stored.items()},
        "the generation tower has no such linear maps: base_model.model.layers.0.self_attn.to_q",
    ),
    "a layer too many": (
        lambda stored: {name.replace("layers.0", "layers.99"): x for name, x in stored.items()},
        "no such linear maps: base_model.model.layers.99",
    ),
    "an embodiment's map": (
        lambda stored: {name.replace(QUERY, "action2llm"): x for name, x in stored.items()},
        "no such linear maps: base_model.model.action2llm",
    ),
    "another width": (lambda stored: stored | {A: stored[A][:, 1:].contiguous()}, "expected [rank, "),
    "two ranks": (lambda stored: stored | {A: stored[A][1:].contiguous()}, "expected [rank, "),
    "a convolution": (lambda stored: stored | {A: stored[A][..., None, None]}, "expected [rank, "),
    "whole numbers": (lambda stored: stored | {A: stored[A].to(torch.int8)}, "is stored as I8"),
    "two names": (
        lambda stored: stored | {name.replace("base_model.model.", ""): stored[name] for name in (A, B)},
        "are two names of one module",
    ),
    "several alphas": (
        lambda stored: stored | {f"base_model.model.{QUERY}.alpha": torch.ones(2)},
        "has 2 values; expected one",
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_are_refused(case: str, tmp_path: Path, config: TransformerConfig, stored: dict[str, Tensor]) -> None:
    change, reason = TENSORS[case]
    assert reason in refusal(write_adapter(tmp_path, change(stored)), config)
