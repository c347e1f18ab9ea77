"""`cosmos3 generate --from-manifest`: what a manifest sets instead of options, and whether the same bits came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from cosmos3_core.errors import CosmosError
from deployments.cli.adapters import NamedAdapter, paths_of
from deployments.cli.media_options import GivenMedia, option_of, with_media

if TYPE_CHECKING:
    from cosmos3_core.manifest import Manifest
    from cosmos3_core.provenance import Medium
    from cosmos3_core.request import GenerationRequest

OTHER_LATENTS = 3
SHOWN_DIGITS = 12
OWN_OPTIONS = frozenset({"output", "manifest", "from_manifest", "image", "video", "soundtrack", "control"})
PLACE_OPTIONS = frozenset({"checkpoint", "url", "api_key", "device", "dtype", "attention"})
"""Options on where and how to make it again. All other options say what to make, which the manifest does already."""

console = Console(stderr=True)


def read_manifest(path: Path, context: typer.Context) -> Manifest:
    """Read a manifest.

    Raises:
        BadParameter: the file is no manifest, its result cannot be made again, or the command has options that
            repeat or contradict it.
    """
    from cosmos3_core.manifest import GIVEN_NOISE, Manifest

    _refuse_other_options(context)
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _refusal("from_manifest", f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        message = f"{path} is no manifest of format 1: {where + ': ' if where else ''}{problem['msg']}"
        raise _refusal("from_manifest", message) from error
    if manifest.resolved["sampling"].get("noise") == GIVEN_NOISE:
        raise _refusal("from_manifest", f"{path}: made from noise that the caller gave and that is nowhere kept")
    return manifest


def _refuse_other_options(context: typer.Context) -> None:
    flags = {option.name: option.opts[0] for option in context.command.params}
    # The files of adapters are nowhere else; a server has its own.
    allowed = OWN_OPTIONS | PLACE_OPTIONS | ({"adapter"} if context.params.get("checkpoint") else set())
    for name in context.params:
        if name not in allowed and _is_given(context, name):
            message = "cannot be combined with --from-manifest, which says everything but where it is made again"
            raise typer.BadParameter(message, param_hint=flags[name])


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def fields_of(manifest: Manifest, media: GivenMedia) -> dict[str, Any]:
    """The fields that the client gave, the prompt, the seed and the adapters that were used, and the media again.

    Raises:
        BadParameter: a medium is missing, is not in the manifest, or differs from the one used before, or a control
            is given with more than its file; the error names the option.
    """
    from cosmos3_core.request import CONTROL_PREFIX, GenerationRequest

    for name in media.files.keys() - manifest.media.keys():
        raise _medium_refusal(name, f"is given, and the manifest names no {name}")
    for control in media.controls:
        name = f"{CONTROL_PREFIX}{control['kind']}"
        if set(control) != {"kind"} or name not in media.files:
            raise _medium_refusal(name, "is all that --from-manifest takes of a control; the manifest says the rest")
    for name, medium in manifest.media.items():
        if name not in media.files:
            named = f"the manifest names one of {medium.bytes} bytes, sha256 {medium.sha256[:SHOWN_DIGITS]}..."
            raise _medium_refusal(name, f"is missing; {named}")
    said = {
        **manifest.request,
        **({} if manifest.upsampled is None else {"prompt": manifest.upsampled.prompt}),
        "mode": manifest.mode.value,
        "seed": manifest.resolved["sampling"]["seed"],
        "adapters": [{"name": name, "weight": applied.weight} for name, applied in manifest.adapters.items()],
    }
    fields = with_media(said, media.files)
    request = GenerationRequest(**fields)
    for name, medium in manifest.media.items():
        _check_medium(name, medium, media.files[name], request)
    return fields


def _check_medium(name: str, expected: Medium, path: Path, request: GenerationRequest) -> None:
    try:
        found = _medium(name, expected, path, request)
    except OSError as error:
        raise _medium_refusal(name, f"cannot read {path}: {error.strerror}") from error
    if found.sha256 != expected.sha256:
        this, that = (medium.sha256[:SHOWN_DIGITS] for medium in (found, expected))
        kind = {"file": "file", "frames": "picture", "samples": "sound"}[expected.of]
        raise _medium_refusal(
            name, f"{path} is another {kind}: its sha256 is {this}..., and the manifest's is {that}..."
        )


def _medium(name: str, expected: Medium, path: Path, request: GenerationRequest) -> Medium:
    from cosmos3_core.inputs import read_inputs
    from cosmos3_core.provenance import Medium

    if expected.of == "file":
        return Medium.of_file(path)
    return Medium.of_array(read_inputs(request).array(name), expected.of)


def settings_of(
    manifest: Manifest, checkpoint: str, context: typer.Context, adapters: Sequence[NamedAdapter] = ()
) -> dict[str, Any]:
    """The settings for this process: the options', and the manifest's where no option is given.

    Raises:
        BadParameter: an adapter is missing, is not in the manifest, or has a weight, which the manifest says.
    """
    import torch

    from cosmos3_core.settings import ExecutionSettings

    before = manifest.precision["denoise"]
    settings: dict[str, Any] = {
        # What was made on a GPU runs on any device here: the comparison then reports that the latents differ.
        "device": "cpu" if before.device == "cpu" else "auto",
        "dtype": before.dtype,
        "attention": before.attention,
        "batch_guidance": before.batch_guidance,
    }
    settings |= {name: context.params[name] for name in settings if _is_given(context, name)}
    if before.threads is not None and ExecutionSettings(**settings).torch_device.type == "cpu":
        torch.set_num_threads(before.threads)
    named = manifest.checkpoint
    settings["revision"] = named.revision if checkpoint == named.name else None
    return settings | {"adapters": _adapters(manifest, adapters)}


def _adapters(manifest: Manifest, given: Sequence[NamedAdapter]) -> dict[str, Path]:
    paths = paths_of(given)
    if paths.keys() != manifest.adapters.keys() or any(adapter.weight is not None for adapter in given):
        named = ", ".join(f"{name}=PATH" for name in manifest.adapters) or "none"
        raise _refusal("adapter", f"does not agree with the manifest; expected {named}")
    return paths


def compare(before: Manifest, latents_sha256: Mapping[str, str], after: Manifest | None) -> None:
    """Report whether the same bits came out, and if not, possible reasons.

    Raises:
        Exit: other latents came out; the status is 3.
        CosmosError: the server does not report the hashes of its latents.
    """
    if not latents_sha256:
        raise CosmosError("the server does not tell the hashes of latents, so nothing can be compared")
    old = before.latents_sha256
    if latents_sha256 == old:
        _say("the same latents")
        return
    other = [name for name in {**old, **latents_sha256} if latents_sha256.get(name) != old.get(name)]
    _say(f"other latents: {', '.join(other)}")
    for reason in _reasons(before, after):
        _say(f"  {reason}")
    raise typer.Exit(OTHER_LATENTS)


def _reasons(before: Manifest, after: Manifest | None) -> list[str]:
    from cosmos3_core.manifest import BATCH_TASKS, differences

    reasons = (
        differences(before, after) if after is not None else ["why is not known: servers keep no manifest of images"]
    )
    if any(made is not None and BATCH_TASKS in made.approximations for made in (before, after)):
        reasons.append("steps were made together with other requests', on which the last bits depend")
    return reasons or ["nothing that a manifest names differs: other weights of the same shape, or a faulty machine"]


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _medium_refusal(name: str, message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=option_of(name))


def _refusal(option: str, message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint=f"--{option.replace('_', '-')}")
