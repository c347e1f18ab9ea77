"""`cosmos3 generate --url` and `cosmos3 ask`, as programs against the running graph."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image, encode_image
from deployments.cli.client import Client
from deployments.local.launch import RunningGraph
from tests.graph.figures import eventually
from tests.graph.processes import foreground
from tests.parity.cases import picture

COMMAND = [sys.executable, "-m", "deployments.cli"]
QUICK = ["--size", "128x96", "--steps", "2", "--seed", "3"]


def cosmos3(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    path.write_bytes(encode_image(picture(96, 128, seed=2), "png"))
    return path


def test_generate_writes_what_the_server_made(graph: RunningGraph, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    mode = ("--mode", "i2v", "--image", image, "--prompt", "it waves", "--num-frames", "9")
    done = cosmos3("generate", "--url", graph.url, *mode, *QUICK, "-o", out)
    assert done.returncode == 0, done.stderr
    assert decode_video(out).frames.shape == (9, 96, 128, 3)
    assert done.stdout.strip() == str(out) and "2/2" in done.stderr


def test_generate_writes_an_image_in_the_format_asked_for(graph: RunningGraph, tmp_path: Path) -> None:
    out = tmp_path / "out.webp"
    done = cosmos3("generate", "--url", graph.url, "--mode", "t2i", "--prompt", "a robot", *QUICK, "-o", out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes()[8:12] == b"WEBP" and decode_image(out).shape == (96, 128, 3)


def test_generate_writes_predicted_actions(graph: RunningGraph, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    mode = ("--mode", "policy", "--image", image, "--prompt", "drive", "--domain-name", "av", "--resolution", "256")
    done = cosmos3("generate", "--url", graph.url, *mode, "--action-chunk-size", "8", "--steps", "2", "-o", out)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.action.json").read_text())["shape"] == [8, 9]


def test_ask_prints_an_answer(graph: RunningGraph, image: Path) -> None:
    done = cosmos3("ask", "--url", graph.url, "--max-tokens", "4", image, "What is this?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_what_the_server_refuses_is_a_sentence(graph: RunningGraph, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = cosmos3("generate", "--url", graph.url, "--mode", "t2v", "--prompt", "x", "--size", "32x32", "-o", out)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "expected 64 to 8192 pixels" in done.stderr and not out.exists()


def test_a_server_that_is_not_there_is_a_sentence(tmp_path: Path, image: Path) -> None:
    where = ("--url", "http://127.0.0.1:9")
    for command in (
        ("generate", *where, "--mode", "t2i", "--prompt", "x", "-o", tmp_path / "a.png"),
        ("ask", *where, "hi"),
    ):
        done = cosmos3(*command)
        assert done.returncode == 2 and "Traceback" not in done.stderr and "server" in done.stderr


def test_the_place_to_run_must_be_named_once(tmp_path: Path) -> None:
    done = cosmos3("generate", "--mode", "t2i", "--prompt", "x", "-o", tmp_path / "a.png")
    assert done.returncode == 2 and "--checkpoint" in done.stderr


def test_an_interrupt_stops_the_servers_work(graph: RunningGraph, client: Client, tmp_path: Path) -> None:
    before = client.figures()
    long = ("--mode", "t2v", "--prompt", "x", "--size", "512x320", "--num-frames", "45", "--steps", "60")
    arguments = [*COMMAND, "generate", "--url", graph.url, *long, "-o", str(tmp_path / "out.mp4")]
    with foreground(arguments, tmp_path / "output") as running:
        eventually(client, lambda f: f["cosmos3_generator_steps"] > before["cosmos3_generator_steps"], 60)
        running.interrupt()
        assert running.process.wait(20) == 130
    cancelled = "cosmos3_generator_cancelled"
    after = eventually(client, lambda f: f[cancelled] > before[cancelled], 30)
    time.sleep(1.5)
    assert client.figures()["cosmos3_generator_steps"] == after["cosmos3_generator_steps"]
