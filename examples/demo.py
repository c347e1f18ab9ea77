"""A tour on a laptop: make a tiny checkpoint, generate from NVIDIA's cookbook inputs, check what came out.

The weights are random, so the pictures mean nothing; the path from words to files is the real one.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cosmos3_core import GenerationRequest, GenerationResult, LocalPipeline
from cosmos3_core.media import decode_audio, decode_image, decode_video
from cosmos3_core.modes import Mode
from cosmos3_core.outputs import write_result
from cosmos3_core.tiny import write_checkpoint
from deployments.progress import GenerationProgress
from examples import assets

console = Console()


@dataclass(frozen=True)
class Scene:
    """One generation of the tour: a file name and the request's fields."""

    file: str
    fields: dict[str, Any]


def scenes() -> list[Scene]:
    """What the tour generates; small sizes and few steps."""
    small = {"width": 320, "height": 192, "num_inference_steps": 12, "seed": 0}
    action = {"resolution": "256", "num_inference_steps": 12, "seed": 0, "flow_shift": 10.0}
    return [
        Scene("image.png", {"mode": "text2image", "prompt": assets.prompt("t2i_robot_draping"), **small}),
        Scene(
            "video_with_sound.mp4",
            {"mode": "text2video", "prompt": assets.prompt("t2v_robot_pouring_water_audio"), "num_frames": 33}
            | {"generate_sound": True, "negative_prompt": assets.prompt("negative_text2video"), **small},
        ),
        Scene(
            "image_to_video.mp4",
            {"mode": "image2video", "prompt": assets.prompt("i2v_humanoid_robot"), "num_frames": 33}
            | {"image": assets.image("humanoid_robot"), **small},
        ),
        Scene(
            "forward_dynamics.mp4",
            {
                "mode": "forward_dynamics",
                "prompt": "You are an autonomous vehicle planning system.",
                "fps": 10,
            }
            | {"image": assets.image("av_0"), "action": assets.action("av_traj_forward"), "domain_name": "av"}
            | action,
        ),
        Scene(
            "inverse_dynamics.mp4",
            {"mode": "inverse_dynamics", "prompt": "pick up the cup", "video": assets.video("umi"), "fps": 20}
            | {"domain_name": "umi", "action_chunk_size": 32, "view_point": "wrist_view"}
            | action,
        ),
    ]


def check(result: GenerationResult, path: Path) -> str:
    """Read a file back and say what it holds.

    Raises:
        SystemExit: it does not hold the frames, size, rate or audio that were asked for.
    """
    request = result.request
    if request.mode is Mode.TEXT_TO_IMAGE:
        height, width, _ = decode_image(path).shape
        ok, text = (width, height) == (request.canvas.width, request.canvas.height), f"{width}x{height}"
    else:
        clip = decode_video(path)
        frames, height, width, _ = clip.frames.shape
        ok = frames == request.num_frames and abs(clip.fps - request.fps) < 1e-6
        ok = ok and clip.frames.shape == result.frames.shape
        text = f"{frames} frames {width}x{height} at {clip.fps:g} fps"
        if result.sound is not None:
            seconds = decode_audio(path).shape[1] / result.sampling_rate
            ok = ok and abs(seconds - request.num_frames / request.fps) < 0.05
            text += f", {seconds:.2f} s of sound"
    if result.action is not None:
        text += f", actions {list(result.action.shape)}"
    if not ok:
        sys.exit(f"{path} holds {text}, which is not what was asked for")
    return text


def main() -> None:
    """Make the checkpoint where it is absent, generate every scene, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-out"), help="folder for checkpoint and results")
    out = parser.parse_args().output
    checkpoint = out / "tiny-nano"
    out.mkdir(parents=True, exist_ok=True)
    if not checkpoint.exists():
        with console.status("making a tiny checkpoint with random weights"):
            write_checkpoint(checkpoint, "nano")
    with console.status("loading it"):
        pipeline = LocalPipeline.from_pretrained(checkpoint)
    table = Table("file", "what it holds", "encode, s", "denoise, s", "decode, s", "write, s")
    for scene in scenes():
        console.print(f"[bold]{scene.file}[/bold]")
        with GenerationProgress(console) as progress:
            result = pipeline.generate(GenerationRequest(**scene.fields), on_event=progress.on_event)
        started = time.perf_counter()
        files = write_result(result, out / scene.file)
        written = time.perf_counter() - started
        stages = (f"{result.seconds[stage]:.2f}" for stage in ("encode", "denoise", "decode"))
        table.add_row(scene.file, check(result, files[0]), *stages, f"{written:.2f}")
    console.print(table)
    console.print(f"The files are in {out.absolute()}; weights read: {_megabytes(pipeline)}")


def _megabytes(pipeline: LocalPipeline) -> str:
    parts = {
        "encoder": pipeline.encoder.bytes_read,
        "denoiser": pipeline.denoiser.report.bytes_read,
        "decoder": pipeline.decoder.bytes_read,
    }
    return ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in parts.items())


if __name__ == "__main__":
    main()
