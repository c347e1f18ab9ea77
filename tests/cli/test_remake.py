"""`cosmos3 generate` with controls, a soundtrack and a state, and the same again from its manifest."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cosmos3_core import Manifest
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from deployments.cli.main import app
from tests.parity.cases import picture

SMALL = ("--prompt", "a robot waves", "--size", "64x64", "--steps", "1")


def run(nano: Path, *arguments: str | Path) -> Result:
    given = ["generate", "--checkpoint", str(nano), "--device", "cpu", *map(str, arguments)]
    return CliRunner().invoke(app, given, catch_exceptions=True)


def made(nano: Path, folder: Path, *arguments: str | Path) -> Manifest:
    path = folder / "made.json"
    done = run(nano, *arguments, *SMALL, "-o", folder / "made.mp4", "--manifest", path)
    assert done.exit_code == 0, (done.output, done.exception)
    return Manifest.model_validate_json(path.read_bytes())


def again(nano: Path, folder: Path, *media: str | Path) -> Result:
    return run(nano, "--from-manifest", folder / "made.json", "-o", folder / "again.mp4", *media)


def refusal(done: Result) -> str:
    assert done.exit_code == 2, (done.output, done.exception)
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    encode_mp4(path := tmp_path / "clip.mp4", np.stack([picture(64, 64, seed) for seed in range(5)]), 10.0)
    return path


@pytest.fixture
def still(tmp_path: Path) -> Path:
    (path := tmp_path / "still.png").write_bytes(encode_image(picture(64, 64, 9), "png"))
    return path


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(-9000, 9000, (1, 8000), np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise, "s16", "mono")
        frame.sample_rate = 16_000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    (path := tmp_path / "sound.wav").write_bytes(file.getvalue())
    return path


def test_a_transfer_is_made_again(nano: Path, tmp_path: Path, clip: Path, still: Path) -> None:
    options = ("--mode", "transfer", "--control", "edge", "--video", clip, "--control", f"depth={still}:0.5")
    manifest = made(nano, tmp_path, *options)
    assert set(manifest.media) == {"video", "control_depth"}
    assert manifest.request["controls"] == [{"kind": "edge"}, {"kind": "depth", "weight": 0.5}]
    done = again(nano, tmp_path, "--video", clip, "--control", f"depth={still}")
    assert done.exit_code == 0 and "the same latents" in done.stderr, (done.output, done.exception)
    assert "--control depth=FILE" in refusal(again(nano, tmp_path, "--video", clip))
    other = refusal(again(nano, tmp_path, "--video", clip, "--control", f"depth={clip}"))
    assert "--control depth=FILE" in other and "is another file" in other
    assert "names no control_seg" in refusal(again(nano, tmp_path, "--control", f"seg={still}"))
    for more in ("edge", f"depth={still}:0.5"):
        said = refusal(again(nano, tmp_path, "--video", clip, "--control", f"depth={still}", "--control", more))
        assert "the manifest says the rest" in said


def test_a_soundtrack_is_given_again(nano: Path, tmp_path: Path, still: Path, sound: Path) -> None:
    options = ("--mode", "i2v", "--image", still, "--soundtrack", sound, "--num-frames", "5", "--fps", "10")
    manifest = made(nano, tmp_path, *options)
    assert set(manifest.media) == {"image", "sound"}
    done = again(nano, tmp_path, "--image", still, "--soundtrack", sound)
    assert done.exit_code == 0 and "the same latents" in done.stderr, (done.output, done.exception)
    assert "--soundtrack" in refusal(again(nano, tmp_path, "--image", still))


def test_a_state_is_in_the_manifest(nano: Path, tmp_path: Path, still: Path) -> None:
    (rows := tmp_path / "state.json").write_text(json.dumps([0.25] * 9))
    options = ("--mode", "policy", "--image", still, "--domain-name", "av", "--action-chunk-size", "4")
    manifest = made(nano, tmp_path, *options, "--state", rows)
    assert manifest.request["state"] == [[0.25] * 9] and set(manifest.media) == {"image"}
    rows.unlink()
    done = again(nano, tmp_path, "--image", still)
    assert done.exit_code == 0 and "the same latents" in done.stderr, (done.output, done.exception)
