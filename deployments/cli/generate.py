"""`cosmos3 generate`: one generation from the terminal, in this process or on a running server."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from deployments.cli import remake
from deployments.cli.adapters import fields_of, paths_of, read_options
from deployments.cli.media_options import GivenMedia, read_rows
from deployments.cli.progress import GenerationProgress

if TYPE_CHECKING:
    from cosmos3_core.action_statistics import ActionStatistics
    from cosmos3_core.manifest import Manifest
    from cosmos3_core.request import GenerationRequest

console = Console(stderr=True)
STATISTICS = "--action-statistics"


def generate(
    context: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", help="out.png or out.mp4")],
    mode: Annotated[str | None, typer.Option(help="text2image, text2video, image2video, policy, ...")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Run it here: a folder or a Hugging Face id.")] = None,
    url: Annotated[str | None, typer.Option(help="Have a running server do it, such as http://127.0.0.1:8000.")] = None,
    api_key: Annotated[str | None, typer.Option(envvar="COSMOS3_API_KEY", help="For a server that wants one.")] = None,
    prompt: Annotated[str, typer.Option(help="Plain text or a JSON caption; @FILE reads a file.")] = "",
    upsample_prompt: Annotated[
        bool, typer.Option("--upsample-prompt", help="Have the server's Reasoner write a structured prompt first.")
    ] = False,
    negative_prompt: Annotated[str | None, typer.Option(help="Text or @FILE.")] = None,
    image: Annotated[Path | None, typer.Option(help="Conditioning image.")] = None,
    video: Annotated[Path | None, typer.Option(help="Conditioning video.")] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=FILE[:WEIGHT]",
            help="Control of a transfer: edge, blur, depth, seg, wsm; edge or blur alone is computed from --video.",
        ),
    ] = None,
    soundtrack: Annotated[Path | None, typer.Option(help="Sound or video file with the sound to follow.")] = None,
    action: Annotated[Path | None, typer.Option(help="JSON file with a list of action rows.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="JSON file with the robot's state: a row, or rows with the present one last.")
    ] = None,
    domain_name: Annotated[str | None, typer.Option(help="Robot embodiment, such as av or umi.")] = None,
    action_chunk_size: Annotated[int | None, typer.Option(help="Number of actions.")] = None,
    action_statistics: Annotated[
        Path | None, typer.Option(help="JSON file with a dataset's statistics: actions in physical units too.")
    ] = None,
    action_method: Annotated[str, typer.Option(help="quantile, quantile_rot, minmax or meanstd.")] = "quantile",
    view_point: Annotated[str | None, typer.Option(help="Camera named in the action caption.")] = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT in pixels, multiples of 16.")] = None,
    resolution: Annotated[str | None, typer.Option(help="Size tier: 256, 480, 704, 720, 768.")] = None,
    aspect_ratio: Annotated[str | None, typer.Option(help='Such as "16,9", with --resolution.')] = None,
    num_frames: Annotated[int | None, typer.Option(help="Rounded up to 4k + 1.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second.")] = None,
    steps: Annotated[int | None, typer.Option(help="Denoising steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="1 switches guidance off.")] = None,
    flow_shift: Annotated[float | None, typer.Option(help="Shift of the noise schedule.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 42,
    sound: Annotated[bool, typer.Option("--sound", help="Generate a soundtrack.")] = False,
    preset: Annotated[str, typer.Option(help="vllm-omni, diffusers or framework.")] = "vllm-omni",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], typer.Option(help="Compute dtype.")] = "auto",
    attention: Annotated[str, typer.Option(help="auto, math, flash, efficient or cudnn.")] = "auto",
    adapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH[:WEIGHT]", help="LoRA; NAME with --url.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any other field.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Write what decided the result here, as JSON.")] = None,
    from_manifest: Annotated[Path | None, typer.Option(help="Make the result of a manifest again; compare.")] = None,
) -> None:
    """Generate an image, a video or actions, in this process or on a server.

    With --from-manifest the status is 3 where other latents come out.
    """
    if (checkpoint is None) == (url is None):
        raise typer.BadParameter("give one of them: --checkpoint runs here, --url asks a server", param_hint="--url")
    adapters = read_options(adapter or [], here=checkpoint is not None)
    if upsample_prompt and url is None:
        raise typer.BadParameter(
            "needs a Reasoner, which only a server has; give --url", param_hint="--upsample-prompt"
        )
    place = _Place(checkpoint, {}, url, api_key, _statistics(action_statistics, action_method, url), upsample_prompt)
    media = GivenMedia.of_options(image, video, soundtrack, control or ())
    if from_manifest is not None:
        made = remake.read_manifest(from_manifest, context)
        given = remake.fields_of(made, media)
        settings = {} if checkpoint is None else remake.settings_of(made, checkpoint, context, adapters)
        _generate(given, replace(place, settings=settings), output, manifest, made)
        return
    if mode is None:
        raise typer.BadParameter("is missing; say what to generate, such as text2video", param_hint="--mode")
    fields = {
        "mode": mode,
        "prompt": _text(prompt, "prompt"),
        "negative_prompt": None if negative_prompt is None else _text(negative_prompt, "negative-prompt"),
        **media.fields(),
        "action": None if action is None else read_rows(action, "--action"),
        "state": None if state is None else read_rows(state, "--state"),
        "domain_name": domain_name,
        "action_chunk_size": action_chunk_size,
        "view_point": view_point,
        "resolution": resolution,
        "aspect_ratio": aspect_ratio,
        "num_frames": num_frames,
        "fps": fps,
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "flow_shift": flow_shift,
        "seed": seed,
        "generate_sound": sound,
        "preset": preset,
        "adapters": fields_of(adapters),
        **_size(size),
        **dict(_field(item) for item in set_ or []),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    settings = {"device": device, "dtype": dtype, "attention": attention, "adapters": paths_of(adapters)}
    _generate(given, replace(place, settings=settings), output, manifest)


@dataclass(frozen=True)
class _Place:
    """Where to generate and how: in this process, with statistics of actions, or on a server, which may upsample."""

    checkpoint: str | None
    settings: dict[str, Any]
    url: str | None
    api_key: str | None
    statistics: ActionStatistics | None = None
    upsample_prompt: bool = False


@dataclass(frozen=True)
class _Done:
    """What is known about a result: the hashes of its latents, its manifest if it has one, its seconds by stage."""

    latents_sha256: dict[str, str]
    manifest: Manifest | None
    seconds: dict[str, float]


def _generate(
    fields: dict[str, Any], place: _Place, output: Path, manifest: Path | None, made: Manifest | None = None
) -> None:
    from cosmos3_core.outputs import check_output, check_writable, write_manifest
    from cosmos3_core.request import GenerationRequest

    # Errors in the request itself are reported before anything is loaded or sent.
    request = GenerationRequest(**fields)
    check_output(output, request.mode)
    if manifest is not None:
        check_writable(manifest, "manifest")
        if place.url is not None and request.mode.is_image:
            raise typer.BadParameter("servers keep none of images, only of videos", param_hint="--manifest")
    if place.url is not None:
        asked = {**fields, "mode": request.mode.value, **({"upsample_prompt": True} if place.upsample_prompt else {})}
        done = _generate_there(asked, place.url, place.api_key, output, manifest is not None or made is not None)
    else:
        done = _generate_here(request, place, output)
    if manifest is not None and done.manifest is not None:
        write_manifest(manifest, done.manifest)
        print(manifest)
    console.print("  ".join(f"{stage} {value:.2f} s" for stage, value in done.seconds.items()))
    if made is not None:
        remake.compare(made, done.latents_sha256, done.manifest)


def _generate_here(request: GenerationRequest, place: _Place, output: Path) -> _Done:
    from cosmos3_core.local import LocalPipeline
    from cosmos3_core.outputs import write_result

    assert place.checkpoint is not None
    with console.status(f"loading {place.checkpoint}"):
        pipeline = LocalPipeline.from_pretrained(place.checkpoint, **place.settings)
    with GenerationProgress(console) as progress:
        result = pipeline.generate(request, on_event=progress.on_event)
    for path in write_result(result, output, place.statistics):
        print(path)
    return _Done(result.latents_sha256, result.manifest, result.seconds)


def _generate_there(fields: dict[str, Any], url: str, api_key: str | None, output: Path, with_manifest: bool) -> _Done:
    from cosmos3_core.manifest import Manifest
    from cosmos3_core.outputs import write_files
    from deployments.cli.client import Client

    client = Client(url, api_key)
    try:
        with GenerationProgress(console) as progress:
            content, job = client.generate(fields, progress.on_event, with_manifest)
    finally:
        client.close()
    for path in write_files(output, content, job.get("action")):
        print(path)
    manifest = job.get("manifest")
    return _Done(
        latents_sha256=job.get("latents_sha256") or {},
        manifest=None if manifest is None else Manifest.model_validate(manifest),
        seconds=job["stage_durations"],
    )


def _statistics(path: Path | None, method: str, url: str | None) -> ActionStatistics | None:
    """Statistics of actions, read before anything is generated."""
    if path is None:
        return None
    from cosmos3_core.action_statistics import ActionStatistics, StatisticsError, find_normalisation

    if url is not None:
        raise typer.BadParameter("is for --checkpoint; a server has statistics of its own", param_hint=STATISTICS)
    try:
        return ActionStatistics.read(path, find_normalisation(method))
    except StatisticsError as error:
        raise typer.BadParameter(str(error), param_hint=STATISTICS) from error


def _text(value: str, option: str) -> str:
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"cannot read {value[1:]}: {error.strerror}", param_hint=f"--{option}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{value[1:]} is no UTF-8 text", param_hint=f"--{option}") from error


def _field(item: str) -> tuple[str, Any]:
    name, equals, value = item.partition("=")
    if not equals:
        raise typer.BadParameter(f"is {item!r}; expected FIELD=VALUE", param_hint="--set")
    try:
        parsed = json.loads(value)
    except ValueError:
        return name, value
    # A JSON object can only be a structured caption, which a request takes as text.
    return name, value if isinstance(parsed, dict) else parsed


def _size(size: str | None) -> dict[str, int]:
    if size is None:
        return {}
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal() and size.isascii()):
        raise typer.BadParameter(f"is {size!r}; expected WIDTHxHEIGHT, such as 832x480", param_hint="--size")
    return {"width": int(width), "height": int(height)}
