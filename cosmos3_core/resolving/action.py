"""The action part of a request: embodiment, width, chunks, given rows and states (spec 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmos3_core.embodiments import find_embodiment
from cosmos3_core.errors import RequestError
from cosmos3_core.modes import Clean
from cosmos3_core.request import SMALLEST_CHUNK, GenerationRequest
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolved import ActionPlan

if TYPE_CHECKING:
    # It imports what decodes media, which a model's card and a gang's leader never do.
    from cosmos3_core.inputs import MediaInputs


def action_plan(request: GenerationRequest, model: ModelFacts, inputs: MediaInputs) -> ActionPlan | None:
    """The action part; None where the mode has none.

    Raises:
        RequestError: the embodiment, a width, the chunk or the video's length does not fit.
    """
    if not request.mode.is_action:
        return None
    config = model.config
    embodiment = find_embodiment(request.domain_name, request.domain_id, config.num_embodiment_domains)
    given, state = request.action, request.state
    rows_width = next((rows.shape[1] for rows in (given, state) if rows is not None), None)
    width = request.raw_action_dim or embodiment.width or rows_width
    if width is None:
        raise RequestError("raw_action_dim", "is missing; the width of this embodiment depends on its dataset")
    if width > config.action_dim:
        raise RequestError("raw_action_dim", f"is {width}; this checkpoint has {config.action_dim} action channels")
    for field, rows in (("action", given), ("state", state)):
        if rows is not None and rows.shape[1] != width:
            raise RequestError(field, f"rows are {rows.shape[1]} wide; expected {width} for this embodiment")
    chunk, count = chunks_of(request, inputs)
    if state is not None and count > 1:
        raise RequestError("state", f"cannot be combined with {count} chunks; the robot's state after one is not known")
    if state is not None and len(state) > chunk:
        raise RequestError("state", f"has {len(state)} rows; expected at most {chunk}, as many as actions")
    rows = None
    if given is not None:
        rows = np.pad(given[: chunk * count], ((0, max(0, chunk * count - len(given))), (0, 0)), mode="edge")
    return ActionPlan(embodiment.domain, width, chunk, rows, state)


def chunks_of(request: GenerationRequest, inputs: MediaInputs) -> tuple[int, int]:
    """Length and number of the chunks of actions; those that a video is read for have all their frames."""
    chunk, count = request.action_chunks()
    frames = None if inputs.frames is None else len(inputs.frames)
    if request.mode.row.clean is not Clean.ALL or frames is None or frames > chunk * count:
        return chunk, count
    if request.action_chunk_size is None and request.num_frames is None and frames > SMALLEST_CHUNK:
        return (frames - 1) // SMALLEST_CHUNK * SMALLEST_CHUNK, 1
    needed = chunk * count + 1
    raise RequestError(
        "video", f"has {frames} frames; {chunk * count} actions need {needed}, with one frame between each"
    )
