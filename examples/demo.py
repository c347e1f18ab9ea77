"""A tour on a laptop: start the whole graph, use it over HTTP, check the results, stop everything that was started.

The weights are random, so pictures and words mean nothing; the path from a request to a file is the real one. The
inputs are those of NVIDIA's cookbook if COSMOS3_ASSETS names their folder, otherwise stand-ins.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import decode_image
from deployments.cli.client import Client
from deployments.cli.progress import GenerationProgress
from deployments.cli.serve import StartProgress
from deployments.local.launch import Launch, running_graph
from deployments.local.recipes import find_recipe, load_recipe, override
from examples import assets
from examples.first_frame import first_frame_in_file

console = Console()
START_TIMEOUT_S = 300
SAMPLING_RATE = 48_000
# What H.264 may change in the first frame on average, in grey levels of 8 bits; other frames take bits from it.
FRAME_TOLERANCE = 3.0


@dataclass(frozen=True)
class Scene:
    """One generation of the tour.

    Attributes:
        file: the name of its file in the output folder.
        fields: the fields of its request.
        frames, size, fps, sound: what the file must hold.
    """

    file: str
    fields: dict[str, Any]
    size: tuple[int, int]
    frames: int = 1
    fps: float = 24.0
    sound: bool = False


def scenes(inputs: Path) -> list[Scene]:
    """The generations of the tour, with small sizes and few steps."""
    small = {"width": 320, "height": 192, "num_inference_steps": 12, "seed": 0}
    video = {**small, "num_frames": 33, "fps": 24.0}
    negative = assets.prompt("negative_text2video")
    driving = {
        "prompt": "You are an autonomous vehicle planning system.",
        "image": assets.image_file("av_0", inputs),
        "action": assets.action("av_traj_forward").tolist(),
        "domain_name": "av",
        "fps": 10,
        "resolution": "256",
        "num_inference_steps": 12,
        "flow_shift": 10.0,
        "seed": 0,
    }
    return [
        Scene("image.png", {"mode": "text2image", "prompt": assets.prompt("t2i_robot_draping"), **small}, (320, 192)),
        Scene(
            "video.mp4",
            {"mode": "text2video", "prompt": assets.prompt("t2v_robot_kitchen"), "negative_prompt": negative, **video},
            (320, 192),
            frames=33,
        ),
        Scene(
            "video_with_sound.mp4",
            {"mode": "text2video", "prompt": assets.prompt("t2v_robot_pouring_water_audio"), "generate_sound": True}
            | {"negative_prompt": negative, **video},
            (320, 192),
            frames=33,
            sound=True,
        ),
        Scene(
            "image_to_video.mp4",
            {"mode": "image2video", "prompt": assets.prompt("i2v_humanoid_robot"), **video}
            | {"image": assets.image_file("humanoid_robot", inputs)},
            (320, 192),
            frames=33,
        ),
        Scene("forward_dynamics.mp4", {"mode": "forward_dynamics", **driving}, (320, 192), frames=61, fps=10.0),
    ]


def check(scene: Scene, path: Path, checkpoint: str) -> str:
    """Read a file and describe what it holds.

    Raises:
        SystemExit: it does not hold the frames, size, rate, audio or first frame that were asked for.
    """
    if path.suffix == ".png":
        height, width, _ = decode_image(path).shape
        found, ok = f"{width}x{height}", (width, height) == scene.size
    else:
        clip = decode_video(path)
        frames, height, width, _ = clip.frames.shape
        found = f"{frames} frames {width}x{height} at {clip.fps:g} fps"
        ok = (frames, (width, height)) == (scene.frames, scene.size) and abs(clip.fps - scene.fps) < 1e-6
        if scene.sound:
            seconds = decode_audio(path).shape[1] / SAMPLING_RATE
            ok = ok and abs(seconds - scene.frames / scene.fps) < 0.05
            found += f", {seconds:.2f} s of sound"
        if ok and scene.fields["mode"] == "image2video":
            expected = first_frame_in_file(checkpoint, scene.fields["image"], scene.size, scene.fps)
            error = float(np.abs(clip.frames[0].astype(float) - expected).mean())
            ok = error < FRAME_TOLERANCE
            found += f", first frame {error:.1f} levels from the image"
    if not ok:
        sys.exit(f"{path} holds {found}, which is not what was asked for")
    return found


@contextmanager
def served(recipe: str, out: Path) -> Iterator[Client]:
    """A client of a new graph, which ends with the block."""
    config = override(load_recipe(find_recipe(recipe)), port=0, data=(out / "data").absolute())
    with running_graph(Launch(config, logical_cpus=2, log=out / "graph.log")) as graph:
        console.print(f"starting the graph from {recipe}; its log: {graph.log}")
        progress = StartProgress(console)
        with Live(progress, console=console, refresh_per_second=4) if console.is_terminal else nullcontext():
            graph.wait_ready(START_TIMEOUT_S, progress.update)
        console.print(f"serving at {graph.url} after {progress.elapsed:.0f} s")
        client = Client(graph.url)
        try:
            client.wait_healthy(START_TIMEOUT_S)
            yield client
        finally:
            client.close()


def tour(client: Client, out: Path) -> None:
    """Ask, generate and check; print each stage's seconds, and the bytes it loaded and handed over."""
    question, robot = "What is in this picture?", assets.image_file("robot_153", out / "inputs")
    console.print(f"[bold]chat[/bold] about {robot.name}: {question}")
    answer: list[str] = []
    client.ask(question, robot, 24, answer.append, temperature=0)
    console.print("".join(answer), markup=False, highlight=False)
    columns = ("file", "what it holds", "encode, s", "denoise, s", "decode, s", "K/V and media, kB", "latents, kB")
    table = Table(*columns)
    for scene in scenes(out / "inputs"):
        console.print(f"[bold]{scene.file}[/bold]")
        with GenerationProgress(console) as progress:
            content, job = client.generate({**scene.fields, "return_stage_metrics": True}, progress.on_event)
        path = out / scene.file
        path.write_bytes(content)
        seconds = (f"{job['stage_durations'][stage]:.2f}" for stage in ("encode", "denoise", "decode"))
        handed = job.get("metrics") or job["handed_over_bytes"]
        kilobytes = (f"{handed[border] / 1e3:.0f}" for border in ("fetched", "denoise_decode"))
        table.add_row(scene.file, check(scene, path, "tiny:nano"), *seconds, *kilobytes)
    console.print(table)
    console.print(_loaded(client.figures()))


def _loaded(figures: dict[str, float]) -> Table:
    """The part of the checkpoint that each process holds."""
    rows = {
        "Encoder: understanding tower, ViT, VAE encoder": "encoder_bytes_read",
        "Generator: generation tower": "generator_bytes_read",
        "Decoder: VAE and sound decoders": "decoder_bytes_read",
        "Reasoner: vLLM's own copy of the understanding tower": "reasoner_vllm_tower_bytes_read",
        "Reasoner: vLLM's own copy of the ViT": "reasoner_vllm_vision_bytes_read",
    }
    table = Table("stage", "weights read, MB")
    for title, name in rows.items():
        table.add_row(title, f"{figures[f'cosmos3_{name}'] / 1e6:.2f}")
    return table


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)


def main() -> None:
    """Start, tour, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-out"), help="folder for results")
    parser.add_argument("--recipe", default="tiny-cpu", help="which graph to start")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    out: Path = arguments.output
    (out / "inputs").mkdir(parents=True, exist_ok=True)
    try:
        with served(arguments.recipe, out) as client:
            tour(client, out)
            console.print("stopping the graph")
    except KeyboardInterrupt:
        sys.exit(130)
    console.print(f"The files are in {out.absolute()}")


if __name__ == "__main__":
    main()
