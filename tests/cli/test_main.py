"""The `cosmos3` command, as a program; what it refuses, without starting one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import decode_image, encode_image
from cosmos3_core.tiny import IMITATED
from deployments.cli.main import main
from tests.parity.cases import picture

QUICK = ["--size", "128x96", "--steps", "2", "--device", "cpu"]


def cosmos3(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_tiny_writes_a_checkpoint_and_says_where(tmp_path: Path) -> None:
    done = cosmos3("tiny", tmp_path / "made", "--member", "image2video-4step", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "made")
    index = json.loads((tmp_path / "made" / "model_index.json").read_text())
    assert index[IMITATED] == "nvidia/Cosmos3-Super-Image2Video-4Step"


def test_generate_writes_a_video_with_sound(nano: Path, tmp_path: Path) -> None:
    prompt, out = tmp_path / "prompt.json", tmp_path / "out.mp4"
    prompt.write_text(json.dumps({"temporal_caption": "A robot waves."}))
    (tmp_path / "image.png").write_bytes(encode_image(picture(96, 128, 1), "png"))
    done = cosmos3(
        *("generate", "--checkpoint", str(nano), "--mode", "i2v", "--image", str(tmp_path / "image.png")),
        *("--prompt", f"@{prompt}", "--num-frames", "9", "--fps", "12", "--sound", "-o", str(out)),
        *QUICK,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    clip = decode_video(out)
    assert clip.frames.shape == (9, 96, 128, 3) and clip.fps == 12
    assert abs(decode_audio(out).shape[1] / 48_000 - 0.75) < 0.05


def test_generate_writes_images_and_actions(nano: Path, tmp_path: Path) -> None:
    image = tmp_path / "out.webp"
    done = cosmos3("generate", "--checkpoint", nano, "--mode", "text2image", "--prompt", "a cup", "-o", image, *QUICK)
    assert done.returncode == 0, done.stderr
    assert decode_image(image).shape == (96, 128, 3)
    policy, statistics = tmp_path / "policy.mp4", tmp_path / "statistics.json"
    statistics.write_text(json.dumps({"min": [0.0] * 10, "max": [4.0] * 10}))
    done = cosmos3(
        *("generate", "--checkpoint", nano, "--mode", "policy", "--image", image, "--prompt", "lift", "-o", policy),
        *("--domain-name", "umi", "--action-chunk-size", "4", "--set", "raw_action_dim=10", *QUICK),
        *("--action-statistics", statistics, "--action-method", "minmax"),
    )
    assert done.returncode == 0, done.stderr
    actions = json.loads(policy.with_suffix(".action.json").read_text())
    assert actions["shape"] == [4, 10] == list(np.asarray(actions["data"]).shape)
    assert actions["domain_id"] == 6 and actions["action_mode"] == "policy"
    assert np.allclose(actions["physical"]["data"], 2 + 2 * np.asarray(actions["data"]), atol=1e-5)
    assert (actions["physical"]["units"], actions["physical"]["method"]) == ("dataset", "minmax")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mode", "text2video", "-o", "out.png"], "output"),
        (["--mode", "text2video", "-o", "out.mp4", "--fps", "99"], "fps is 99.0; expected 1 to 60"),
        (["--mode", "text2movie", "-o", "out.mp4"], "mode"),
        (["--mode", "text2image", "-o", "out.png", "--size", "32x96"], "width is 32; expected 64 to 8192 pixels"),
        (["--mode", "text2image", "-o", "out.png", "--size", "big"], "WIDTHxHEIGHT"),
        (["--mode", "text2image", "-o", "out.png", "--set", "nonsense=1"], "nonsense"),
        (["--mode", "text2image", "-o", "out.png", "--prompt", "@absent.txt"], "absent.txt"),
        (["--mode", "image2video", "-o", "out.mp4", "--image", "absent.png"], "image cannot be read"),
        (["--mode", "image2video", "-o", "out.mp4", "--image", "[/red]x.png"], "[/red]x.png"),
        (["--mode", "text2video", "-o", "no/out.mp4"], "existing folder"),
        (["--mode", "text2image", "-o", "out.png", "--attention", "fast"], "attention is 'fast'"),
        (["--mode", "text2image", "-o", "out.png", "--device", "tpu"], "device is 'tpu'"),
        (["--mode", "policy", "-o", "out.mp4", "--action-statistics", "absent.json"], "absent.json"),
        (["--mode", "policy", "-o", "out.mp4", "--action-statistics", "x", "--action-method", "asinh"], "asinh"),
        (["--mode", "text2image", "-o", "out.png", "--size", "²x³"], "WIDTHxHEIGHT"),
        (["--mode", "transfer", "-o", "out.mp4", "--control", "pose=a.mp4"], "is of the kind 'pose'"),
        (["--mode", "transfer", "-o", "out.mp4", "--control", "depth=absent.mp4"], "control_depth cannot be read"),
        (["--mode", "transfer", "-o", "out.mp4", "--control", "edge"], "control_edge is missing"),
        (["--mode", "text2video", "-o", "out.mp4", "--soundtrack", "absent.wav"], "sound cannot be read"),
        (["--mode", "policy", "-o", "out.mp4", "--state", "absent.json"], "cannot read absent.json"),
        (["--mode", "text2image", "-o", "out.png", "--resolution", "500", "--size", "64x64"], "resolution is '500'"),
    ],
)
def test_wrong_input_is_a_sentence_and_not_a_traceback(
    nano: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    # In this process, for a program that imports torch takes seconds to say no.
    given = ["generate", "--checkpoint", str(nano), "--prompt", "a cup", "--device", "cpu", *arguments]
    monkeypatch.setattr(sys, "argv", ["cosmos3", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in " ".join(said.split())
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    done = cosmos3("generate", "--checkpoint", tmp_path, "--mode", "t2i", "-o", out, "--device", "cpu")
    assert done.returncode == 2
    assert "not a Cosmos 3 checkpoint folder" in " ".join(done.stderr.split())
