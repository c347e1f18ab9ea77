"""A request with every number decided: what `resolve` makes and every stage reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.controls import Control
from cosmos3_core.geometry import Canvas
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE, SequenceLayout
from cosmos3_core.modes import Clean, Mode
from cosmos3_core.presets import Preset
from cosmos3_core.sampling.sampling import Sampling, later_seed


@dataclass(frozen=True)
class ActionPlan:
    """The action part of a request.

    Attributes:
        domain: index of the embodiment's projection matrices.
        width: number of meaningful action channels.
        chunk: number of actions that are made together.
        rows: `[chunk x chunks, width]` where actions are given, else None.
        state: `[rows, width]`, the robot's state as the last row and its history before it; None where none is given.
    """

    domain: int
    width: int
    chunk: int
    rows: NDArray[np.float32] | None
    state: NDArray[np.float32] | None = None

    @property
    def state_rows(self) -> int:
        """Number of rows before the first action."""
        return 0 if self.state is None else len(self.state)


@dataclass(frozen=True)
class Part:
    """One of the parts that a generation is made in: all of it, or a stretch that goes on from the one before.

    Attributes:
        index: 0-based.
        start, stop: its first frame in the whole, and the one after its last; what it has beyond that is cut off.
        overlap: how many frames at its start are given: those that the part before it ends with, or the caller's.
    """

    index: int = 0
    start: int = 0
    stop: int = 1
    overlap: int = 0

    @property
    def new_frames(self) -> slice:
        """Its frames that the part before it did not make."""
        return slice(self.overlap if self.index else 0, self.stop - self.start)


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with every number decided.

    Attributes:
        mode, preset: as asked.
        canvas: frame the media are prepared for, in pixels.
        num_frames, fps: of the output, all parts together.
        layout: shape of the generation sequence, of the first part where there are several.
        positive, negative: user messages of the branches.
        system_prompt, max_prompt_tokens: how they become a chat.
        sampling: how its latents are sampled; each further part takes the next seed.
        controls: the controls of transfer, in the order of the sequence, without their videos.
        action: the action part, if any.
        sound_samples: samples per channel to keep; None keeps what the decoder gives.
        adapters: those that change the result, in the order of their names.
        parts: what it is made in.
        ignored: names of fields that were given and have no effect with this checkpoint.
    """

    mode: Mode
    preset: Preset
    canvas: Canvas
    num_frames: int
    fps: float
    layout: SequenceLayout
    positive: str
    negative: str
    system_prompt: str | None
    max_prompt_tokens: int | None
    sampling: Sampling
    action: ActionPlan | None
    sound_samples: int | None
    controls: tuple[Control, ...] = ()
    adapters: tuple[AdapterUse, ...] = ()
    parts: tuple[Part, ...] = (Part(),)
    ignored: tuple[str, ...] = ()

    @property
    def part_frames(self) -> int:
        """Frames of one part."""
        return (self.layout.frames - 1) * VAE_TEMPORAL_STRIDE + 1


def part_of(request: ResolvedRequest, index: int) -> ResolvedRequest:
    """One part of a request, as a request of its own; the same where there is only one."""
    if len(request.parts) == 1:
        return request
    part, action, layout = request.parts[index], request.action, request.layout
    if request.mode.row.clean is Clean.OPENING:
        layout = replace(layout, clean_frames=opening_frames(part.overlap))
    if action is not None and action.rows is not None:
        rows = action.rows[index * action.chunk : (index + 1) * action.chunk]
        action = replace(action, rows=rows)
    seed = later_seed(request.sampling.seed, index)
    return replace(
        request,
        layout=layout,
        action=action,
        sampling=replace(request.sampling, seed=seed),
        parts=(part,),
    )


def opening_frames(overlap: int) -> tuple[int, ...]:
    """The latent frames that some given frames at the start fill (spec 9.4)."""
    return tuple(range((overlap - 1) // VAE_TEMPORAL_STRIDE + 1)) if overlap else ()


def cut(total: int, length: int, overlap: int) -> tuple[int, ...]:
    """The first frames of the parts of some length, each of which repeats the last `overlap` frames (spec 9.4).

    Args:
        total: frames in all.
        length: frames of a part, more than `overlap`.
        overlap: frames that a part has in common with the one before it.
    """
    return (0, *range(length - overlap, total - overlap, length - overlap)) if total > length else (0,)
