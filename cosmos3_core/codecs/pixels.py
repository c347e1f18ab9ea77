"""Conditioning frames onto the canvas: uint8 pictures in, `[-1, 1]` tensors out (spec 8.5, 9.2, 9.3).

The filters decide the last grey level, so each implementation's own is kept (see `presets`).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from cosmos3_core.arrays import tensor_of
from cosmos3_core.geometry import Canvas, edit_canvas, fit_inside

Frames = NDArray[np.uint8]


def to_tensor(frames: Frames) -> Tensor:
    """uint8 `[frames, height, width, 3]` to fp32 `[frames, 3, height, width]` in 0..255."""
    return tensor_of(frames).permute(0, 3, 1, 2).float()


def to_clip(frames: Tensor) -> Tensor:
    """fp32 `[frames, 3, height, width]` in 0..255 to `[1, 3, frames, height, width]` in [-1, 1]."""
    return (frames / 127.5 - 1.0).transpose(0, 1)[None]


def to_pixels(clip: Tensor) -> Frames:
    """`[1, 3, frames, height, width]` in [-1, 1] to uint8 `[frames, height, width, 3]`, rounded."""
    levels = (clip[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(1, 2, 3, 0).contiguous().cpu().numpy()


def cover(frames: Frames, canvas: Canvas, resize: Literal["bilinear", "lanczos"]) -> Tensor:
    """Resize to cover the canvas, crop the centre, round to grey levels.

    Returns:
        `[1, 3, frames, height, width]` in [-1, 1], fp32.
    """
    height, width = frames.shape[1:3]
    scale = max(canvas.width / width, canvas.height / height)
    size = math.ceil(scale * height), math.ceil(scale * width)
    top, left = round((size[0] - canvas.height) / 2), round((size[1] - canvas.width) / 2)
    if resize == "lanczos":
        resized = to_tensor(_pil_resize(frames, Canvas(size[1], size[0]), Image.Resampling.LANCZOS))
    else:
        resized = interpolate(to_tensor(frames), size=size, mode="bilinear", align_corners=False, antialias=True)
    cropped = resized[:, :, top : top + canvas.height, left : left + canvas.width]
    return to_clip(cropped.round().clamp(0, 255))


def picture(frames: Frames, canvas: Canvas, resize: Literal["bilinear", "lanczos"]) -> Tensor:
    """A picture that is edited: resized whole where the canvas is its own (spec 9.5), else covering the canvas.

    Returns:
        `[1, 3, frames, height, width]` in [-1, 1], fp32.
    """
    if canvas == edit_canvas(frames.shape[2], frames.shape[1]):
        return to_clip(to_tensor(_pil_resize(frames, canvas, Image.Resampling.LANCZOS)))
    return cover(frames, canvas, resize)


def stretch(frames: Frames, canvas: Canvas) -> Tensor:
    """Resize to the canvas without keeping the aspect: `[1, 3, frames, height, width]` in [-1, 1]."""
    return _normalised(_pil_resize(frames, canvas, Image.Resampling.BILINEAR))


def _normalised(frames: Frames) -> Tensor:
    """As diffusers' image processor: `2 (x / 255) - 1`."""
    return (2.0 * (to_tensor(frames) / 255.0) - 1.0).transpose(0, 1)[None]


def _pil_resize(frames: Frames, canvas: Canvas, filter_: Image.Resampling) -> Frames:
    size = (canvas.width, canvas.height)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, filter_)) for frame in frames])


def fit_and_pad(frames: Frames, canvas: Canvas, floored: tuple[int, int]) -> Tensor:
    """Shrink to fit inside the canvas and mirror the edges into the rest (spec 8.5).

    Args:
        frames: uint8 `[frames, height, width, 3]`.
        canvas: the target.
        floored: width and height that the source is resized to first, where an implementation does that.

    Returns:
        `[1, 3, frames, height, width]` in [-1, 1].
    """
    source = Canvas(width=floored[0], height=floored[1])
    if source != Canvas(width=frames.shape[2], height=frames.shape[1]):
        frames = _pil_resize(frames, source, Image.Resampling.BILINEAR)
    clip = _normalised(frames)[0].transpose(0, 1)
    content = fit_inside(canvas, source.width, source.height)
    if content != source:
        size = (content.height, content.width)
        clip = interpolate(clip, size=size, mode="bicubic", align_corners=False, antialias=True)
    right, bottom = canvas.width - content.width, canvas.height - content.height
    if right or bottom:
        mode = "replicate" if right >= content.width or bottom >= content.height else "reflect"
        clip = pad(clip, (0, right, 0, bottom), mode=mode)
    return clip.transpose(0, 1)[None]


def reflected(frames: int, length: int) -> NDArray[np.int64]:
    """Indices of a clip's frames, continued to `length` by running back and forth (spec 9.4).

    The frame at a turn comes twice, and of a single frame all are the same.
    """
    order = np.arange(frames)
    while len(order) < length:
        more = min(len(order) - 1, length - len(order))
        if more <= 0:
            return np.concatenate([order, np.full(length - len(order), order[-1])])
        order = np.concatenate([order, order[::-1][:more]])
    return order


def extend(clip: Tensor, frames: int) -> Tensor:
    """Repeat the last frame of `[1, 3, n, height, width]` up to `frames`, or cut."""
    missing = frames - clip.shape[2]
    if missing <= 0:
        return clip[:, :, :frames]
    return torch.cat([clip, clip[:, :, -1:].expand(-1, -1, missing, -1, -1)], dim=2)
