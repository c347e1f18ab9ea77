"""vLLM's own options reach it through a recipe's words: LoRA adapters, and what it cannot serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cosmos3_core.checkpoint import Checkpoint
from tests.parity.vllm_offline import ENVIRONMENT
from tests.reasoner.engine_probe import ADAPTER, NAME

ROOT = Path(__file__).parents[2]
RANK = 4


def adapter(folder: Path, checkpoint: Checkpoint) -> Path:
    """An adapter of the tower's queries and values, in PEFT's layout."""
    config, generator = checkpoint.transformer_config, torch.Generator().manual_seed(5)
    folder.mkdir()
    stored = {}
    for layer in range(config.num_hidden_layers):
        for name, out in (("to_q", config.num_attention_heads), ("to_v", config.num_key_value_heads)):
            prefix = f"base_model.model.layers.{layer}.self_attn.{name}"
            stored[f"{prefix}.lora_A.weight"] = torch.randn(RANK, config.hidden_size, generator=generator)
            stored[f"{prefix}.lora_B.weight"] = torch.randn(out * config.head_dim, RANK, generator=generator)
    save_file(stored, folder / "adapter_model.safetensors")
    described = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(described))
    return folder


@pytest.fixture(scope="module")
def found(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    written = adapter(tmp_path_factory.mktemp("engine") / "adapter", Checkpoint.find(str(nano)))
    command = [sys.executable, "-m", "tests.reasoner.engine_probe", str(nano), str(written)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.slow
def test_an_adapter_is_a_model_that_answers_otherwise(found: dict[str, Any]) -> None:
    assert found["model"] == ADAPTER and len(found[ADAPTER]) == len(found[NAME]) == 8
    assert found[ADAPTER] != found[NAME]


@pytest.mark.slow
def test_what_would_kill_the_engine_is_refused_at_the_start(found: dict[str, Any]) -> None:
    assert found["refusal"] == "reasoner.engine.video_pruning_rate needs a GPU; leave it out on a CPU"


@pytest.mark.slow
def test_what_would_hold_up_the_engine_is_refused_before_it_gets_it(found: dict[str, Any]) -> None:
    # A chat, a completion, and a chat that is streamed.
    assert len(found["refused"]) == 3
    for body in found["refused"]:
        assert body["error"]["code"] == 400 and body["error"]["param"] == "structured_outputs"
        assert "takes too long to compile" in body["error"]["message"]
    assert found["honest"]["choices"][0]["message"]["content"] in ("yes", "no")


@pytest.mark.slow
def test_a_schema_that_another_library_compiles_is_not_tried(found: dict[str, Any]) -> None:
    """`multipleOf`, and then a schema that xgrammar compiles: with the backend `auto`, and with `xgrammar`."""
    assert found["tried_by"] == [[False, True], [True, True]]


@pytest.mark.slow
def test_what_cannot_be_tried_may_come_again(found: dict[str, Any]) -> None:
    error = found["untried"]["error"]
    assert error["code"] == 503 and "try again" in error["message"]
