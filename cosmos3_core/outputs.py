"""Write a result where the caller wants it: a picture, an MP4 with its soundtrack, the actions beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.action_statistics import UNITS, ActionStatistics
from cosmos3_core.errors import RequestError
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import decode_image, encode_image
from cosmos3_core.modes import Mode

if TYPE_CHECKING:
    from cosmos3_core.local import GenerationResult
    from cosmos3_core.manifest import Manifest

IMAGE_FORMATS: dict[str, Literal["png", "jpeg", "webp"]] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
}


def check_output(path: Path, mode: Mode) -> None:
    """Refuse a file name that does not fit the mode, before anything is generated.

    Raises:
        RequestError: the suffix is not one this mode can be written as, or the folder does not exist.
    """
    allowed = tuple(IMAGE_FORMATS) if mode.is_image else (".mp4",)
    if path.suffix.lower() not in allowed:
        raise RequestError("output", f"is {path.name!r}; {mode.value} is written as {', '.join(allowed)}")
    check_writable(path, "output")


def check_writable(path: Path, field: str) -> None:
    """Refuse a file that cannot be written, before anything is generated.

    Raises:
        RequestError: the file cannot be written; it names `field`.
    """
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise RequestError(field, f"is {path}; expected a file in an existing folder that can be written to")


def check_image_output(path: Path, field: str) -> None:
    """Refuse a file that a picture cannot be written to.

    Raises:
        RequestError: the suffix is of no image format, or the file cannot be written; it names `field`.
    """
    if path.suffix.lower() not in IMAGE_FORMATS:
        raise RequestError(field, f"is {path.name!r}; pictures are written as {', '.join(IMAGE_FORMATS)}")
    check_writable(path, field)


def write_image(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 `[height, width, 3]`, in the format that its suffix says."""
    _write_whole(path, encode_image(pixels, IMAGE_FORMATS[path.suffix.lower()]))


def write_result(result: GenerationResult, path: Path, statistics: ActionStatistics | None = None) -> list[Path]:
    """Write media to `path` and predicted actions to `path` with the suffix `.action.json`.

    Args:
        result: what was generated.
        path: the file of the media.
        statistics: those by which actions are also written in physical units.

    Returns:
        The files written.
    """
    check_output(path, result.request.mode)
    if result.request.mode.is_image:
        write_image(path, result.frames[0])
    else:
        encode_mp4(path, result.frames, result.fps, result.sound, sampling_rate=result.sampling_rate)
    if result.action is None:
        return [path]
    assert result.request.action is not None
    action = action_object(result.action, result.request.mode.value, result.request.action.domain, statistics)
    return [path, _write_action(path, action)]


def write_files(path: Path, content: bytes, action: dict[str, Any] | None) -> list[Path]:
    """Write a file that a server made, in the format that its suffix says, and the actions beside it.

    Returns:
        The files written.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_FORMATS and suffix != ".png":
        content = encode_image(decode_image(content), IMAGE_FORMATS[suffix])
    _write_whole(path, content)
    return [path] if action is None else [path, _write_action(path, action)]


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest as JSON."""
    _write_whole(path, (manifest.model_dump_json(indent=2) + "\n").encode())


def _write_action(path: Path, action: dict[str, Any]) -> Path:
    actions = path.with_suffix(".action.json")
    _write_whole(actions, (json.dumps(action) + "\n").encode())
    return actions


def _write_whole(path: Path, content: bytes) -> None:
    """Write beside the target and rename, so that no partial file ever has its name."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def action_object(
    rows: NDArray[np.float32], mode: str, domain: int, statistics: ActionStatistics | None = None
) -> dict[str, Any]:
    """Predicted actions in the form other servers return them.

    Args:
        rows: fp32 `[rows, width]` in the model's normalised space.
        mode: the mode's name.
        domain: embodiment id.
        statistics: those by which they are also given in physical units, if they are for actions of this width.
    """
    described = {
        "data": rows.tolist(),
        "shape": list(rows.shape),
        "dtype": "float32",
        "raw_action_dim": rows.shape[1],
        "action_mode": mode,
        "domain_id": domain,
    }
    if statistics is None or statistics.width != rows.shape[1]:
        return described
    physical = {
        "data": statistics.physical(rows).tolist(),
        "units": UNITS,
        "method": statistics.method.value,
    }
    return described | {"physical": physical}
