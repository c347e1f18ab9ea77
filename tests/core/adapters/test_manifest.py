"""A result with adapters is made again with their files, and with the weights that the manifest says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cosmos3_core import Checkpoint, Manifest
from deployments.cli.main import app
from tests.adapters import attention_modules, write_peft

SMALL = ("--mode", "t2i", "--steps", "2", "--prompt", "a robot waves", "--size", "64x64")


@pytest.fixture
def style(nano: Path, tmp_path: Path) -> Path:
    config = Checkpoint.find(nano).transformer_config
    return write_peft(tmp_path / "style", config, attention_modules(config), seed=1)


def test_a_result_with_adapters_is_made_again(nano: Path, style: Path, tmp_path: Path) -> None:
    made, image = tmp_path / "made.json", tmp_path / "out.png"

    def cosmos3(*arguments: str | Path) -> Result:
        given = ["generate", "--checkpoint", nano, "-o", image, "--device", "cpu", *arguments]
        return CliRunner().invoke(app, [str(argument) for argument in given])

    done = cosmos3("--adapter", f"style={style}:0.5", "--manifest", made, *SMALL)
    assert done.exit_code == 0, (done.output, done.exception)
    manifest = Manifest.model_validate_json(made.read_bytes())
    assert manifest.adapters["style"].weight == 0.5
    again = cosmos3("--from-manifest", made, "--adapter", f"style={style}")
    assert again.exit_code == 0 and "the same latents" in again.stderr
    for wrong in ((), ("--adapter", f"look={style}"), ("--adapter", f"style={style}:0.5")):
        refused = cosmos3("--from-manifest", made, *wrong)
        assert refused.exit_code == 2 and "style=PATH" in refused.stderr
    config = Checkpoint.find(nano).transformer_config
    other = write_peft(tmp_path / "other", config, attention_modules(config), seed=2)
    differs = cosmos3("--from-manifest", made, "--adapter", f"style={other}")
    assert differs.exit_code == 3 and "adapters.style.sha256: another" in differs.stderr
