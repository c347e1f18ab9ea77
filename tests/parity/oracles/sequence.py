"""The generation sequence by the spec's formulas, as arguments of diffusers' transformer (spec 2.7, 3.2, 4.7)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PATCH = 2
SPATIAL, TEMPORAL = 16, 4
TIME_AXIS = {"vision": 2, "sound": 1, "action": 0}
"""Of latents as the transformer takes them: `[1, 48, frames, height, width]`, `[64, frames]`, `[rows, 64]`."""


@dataclass(frozen=True)
class Stretch:
    """The tokens of one item: a picture or video, a soundtrack, or the actions.

    Attributes:
        modality: as the transformer's arguments are called.
        clean: latents of what is given, in the transformer's shape; elsewhere anything.
        given: the frames or rows that are given.
        rate: frames or rows per second.
        base_rate: those of a video at the checkpoint's own frame rate.
        first: the frame that the first one sits at.
        delay: how much later than the other items it begins.
    """

    modality: str
    clean: Tensor
    given: tuple[int, ...]
    rate: float
    base_rate: float
    first: int = 0
    delay: int = 0

    @property
    def count(self) -> int:
        """Frames or rows."""
        return self.clean.shape[TIME_AXIS[self.modality]]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames or rows, and rows and columns of tokens in each."""
        if self.modality != "vision":
            return self.count, 1, 1
        height, width = self.clean.shape[-2:]
        return self.count, math.ceil(height / PATCH), math.ceil(width / PATCH)

    @property
    def tokens(self) -> int:
        """Tokens of all."""
        return math.prod(self.shape)

    @property
    def noisy(self) -> Tensor:
        """The frames or rows that are generated."""
        return torch.tensor([index for index in range(self.count) if index not in self.given], dtype=torch.long)

    def restored(self, values: Tensor) -> Tensor:
        """`values` with what is given put in."""
        values = values.clone()
        axis, index = TIME_AXIS[self.modality], torch.tensor(self.given, dtype=torch.long)
        return values.index_copy_(axis, index, self.clean.index_select(axis, index))

    def positions(self, offset: int) -> Tensor:
        """Time, row and column of each token behind a text, `[3, tokens]`, fp32."""
        count, rows, columns = self.shape
        frames = torch.arange(count, dtype=torch.float32)
        start = offset + self.delay
        time = frames + start + self.first if count == 1 else (frames + self.first) / self.rate * self.base_rate + start
        return torch.stack(
            [
                time.repeat_interleave(rows * columns),
                torch.arange(rows).repeat_interleave(columns).repeat(count).float(),
                torch.arange(columns).repeat(count * rows).float(),
            ]
        )


def velocities(
    transformer: Any,
    stretches: Sequence[Stretch],
    values: Sequence[Tensor],
    ids: list[int],
    timestep: Tensor,
    domain: int,
) -> list[Tensor]:
    """The velocity of each stretch behind a text, zero where it is given.

    Args:
        transformer: diffusers'.
        stretches: in the order vision, sound, action.
        values: the current latents of each.
        ids: of the text.
        timestep: 0 to 1000.
        domain: of the actions.
    """
    offset = len(ids) + transformer.config.unified_3d_mrope_temporal_modality_margin
    text = torch.arange(len(ids), dtype=torch.float32).expand(3, -1)
    media = _arguments(stretches, values, len(ids))
    for modality in {stretch.modality for stretch in stretches}:
        noisy = len(media[f"{modality}_mse_loss_indexes"])
        media[f"{modality}_timesteps"] = torch.full((noisy,), float(timestep))
    if "action_tokens" in media:
        media["action_domain_ids"] = [torch.tensor([domain])]
    outputs = transformer(
        input_ids=torch.tensor(ids),
        text_indexes=torch.arange(len(ids)),
        position_ids=torch.cat([text, *(stretch.positions(offset) for stretch in stretches)], dim=1),
        und_len=len(ids),
        sequence_length=len(ids) + sum(stretch.tokens for stretch in stretches),
        return_dict=False,
        **media,
    )
    return [velocity for of_modality in outputs if of_modality is not None for velocity in of_modality]


def _arguments(stretches: Sequence[Stretch], values: Sequence[Tensor], start: int) -> dict[str, Any]:
    """The transformer's arguments about each modality's tokens, of which the first stands at `start`."""
    arguments: dict[str, Any] = {}
    for stretch, value in zip(stretches, values, strict=True):
        indexes = torch.arange(start, start + stretch.tokens)
        start += stretch.tokens
        for name, argument in (
            ("tokens", value),
            ("token_shapes", stretch.shape),
            ("noisy_frame_indexes", stretch.noisy),
            ("sequence_indexes", indexes),
            ("mse_loss_indexes", indexes.unflatten(0, (stretch.count, -1))[stretch.noisy].flatten()),
        ):
            arguments.setdefault(f"{stretch.modality}_{name}", []).append(argument)
    concatenated = ("sequence_indexes", "loss_indexes")
    return {name: torch.cat(found) if name.endswith(concatenated) else found for name, found in arguments.items()}
