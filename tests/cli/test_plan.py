"""`cosmos3 plan`: what it prints, and what it says to wrong input."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from cosmos3_core.planning.plan import plan_for
from deployments.cli.plan import generator_settings, plan
from deployments.settings.generator import GeneratorSettings


def printed(capsys: pytest.CaptureFixture[str], **options: object) -> str:
    plan(**{"objective": "latency", "reasoner": True, **options})  # type: ignore[arg-type]
    return capsys.readouterr().out


def cosmos3(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.cli", "plan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_plan_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, checkpoint="nvidia/Cosmos3-Nano", gpus=8, gpu="h100-80gb")
    assert "on 8 x h100-80gb, for latency: one gang of 8 ranks (cfg 2 x ulysses 4)" in out
    assert "Generator, a rank" in out and "2 to 8" in out and "18.7 of 80" in out
    line = next(line.split() for line in out.splitlines() if "t2v 720p" in line)
    assert line[-4:-1] == ["37.8", "206.5", "202.3"]
    assert "parallel: {tp: 1, cfg: 2, ulysses: 4}" in out
    assert "Small shapes lose by sharding" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 120


def test_one_rank_has_one_pair_of_columns(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, checkpoint="nvidia/Cosmos3-Super", gpus=8, gpu="h200-141gb", objective="throughput")
    assert "6 gangs of one rank" in out and "estimated on" not in out
    assert next(line for line in out.splitlines() if "t2i 480p" in line).split()[4:] == ["5.5", "5.7", "4,067"]


def test_cards_without_a_use_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, checkpoint="nvidia/Cosmos3-Super", gpus=3, gpu="h100-80gb", reasoner=False)
    assert "nothing" not in out
    out = printed(capsys, checkpoint="nvidia/Cosmos3-Super", gpus=12, gpu="h100-80gb", reasoner=False)
    assert "nothing" in out and "of 12 cards" in out


@pytest.mark.parametrize("objective", ["latency", "throughput"])
def test_the_lines_for_a_recipe_are_settings(objective: str) -> None:
    found = plan_for("nvidia/Cosmos3-Super", "b200-180gb", 8, objective)
    settings = GeneratorSettings.model_validate(yaml.safe_load("\n".join(generator_settings(found))))
    assert settings.parallel.degrees == found.degrees
    assert settings.rank_resources["GPU"] > 0.5


def test_the_command_works_as_a_program_and_offline() -> None:
    done = cosmos3("--checkpoint", "nvidia/Cosmos3-Edge", "--gpus", "1", "--gpu", "rtx-pro-6000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nvidia/Cosmos3-Edge on 1 x rtx-pro-6000, for latency: one gang of one rank\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", "0", "--gpu", "h100-80gb"], "gpus is 0; expected 1 to"),
        (["--gpus", "1", "--gpu", "h100-80gb"], "1 x h100-80gb of 80 GB: a Generator's rank: 62.6 weights"),
    ],
)
def test_wrong_input_is_a_sentence_and_not_a_traceback(arguments: list[str], message: str) -> None:
    done = cosmos3("--checkpoint", "nvidia/Cosmos3-Super", *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
