"""FLOPs and seconds of a denoising step and of a request, for one gang of given degrees.

Formulas (survey B.3) over the shapes of a checkpoint. A step takes as long as the rank with the most heads and tokens,
because the others wait for it. Measured steps correct the estimates.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.planning.hardware import Hardware
from cosmos3_core.planning.memory import (
    BF16_BYTES,
    StepShape,
    layer_parameters,
    most_tokens,
    own_branches,
    rank_shape,
    whole_layers,
)

PIXELS_720P = 1280 * 720 * 189
# Weight of a new measurement in the average: steps of one shape differ by a few per cent, the first ones by more.
NEWEST_SHARE = 0.3
SMALLEST_CORRECTION, LARGEST_CORRECTION = 1e-6, 1e6
MAX_SHAPES = 1024


def step_flops(config: TransformerConfig, step: StepShape) -> float:
    """FLOPs of a step over all ranks: `2 N P` for linear layers and `4 N (N + T) heads head_dim layers` for attention.

    N are generation tokens, T text tokens and P the projections' parameters; every branch counts (survey B.3).
    """
    layers = whole_layers(config)
    return sum(2.0 * tokens * layers + _attention_flops(config, tokens, text) for tokens, text in step.branches)


def _attention_flops(config: TransformerConfig, tokens: int, text: int) -> float:
    heads = config.num_attention_heads * config.head_dim * config.num_hidden_layers
    return 4.0 * tokens * (tokens + text) * heads


class CostModel:
    """Seconds of denoising on a gang, corrected by measured steps.

    Attributes:
        config: shapes of the checkpoint.
        hardware: the ranks' kind of card.
        degrees: the gang's degrees.
        batch_guidance: whether both branches of a task are in one forward.
    """

    def __init__(
        self,
        config: TransformerConfig,
        hardware: Hardware,
        degrees: Degrees | None = None,
        *,
        batch_guidance: bool = False,
    ) -> None:
        self.config = config
        self.hardware = hardware
        self.degrees = degrees or Degrees()
        self.batch_guidance = batch_guidance
        self._shape = rank_shape(config, self.degrees)
        self._correction: float | None = None
        self._corrections: OrderedDict[tuple[int, int, int], float] = OrderedDict()

    def step_seconds(self, step: StepShape, batch: int = 1) -> float:
        """Seconds of one step of `batch` tasks of the same shape: the estimate, corrected by measurements."""
        known = self._corrections.get(self._key(step, batch), self._correction)
        return self.estimated_seconds(step, batch) * (1.0 if known is None else known)

    def observe(self, step: StepShape, seconds: float, batch: int = 1) -> None:
        """Correct the estimates by a measured step; anything but a positive number of seconds is ignored.

        The ratio of measured to estimated seconds is averaged for each number of tokens, branches and tasks; numbers
        never measured use the average of all. Lengths of text are not told apart: nearly every prompt has its own, and
        the formula accounts for them.
        """
        if not (math.isfinite(seconds) and seconds > 0):
            return
        ratio = seconds / self.estimated_seconds(step, batch)
        ratio = min(max(ratio, SMALLEST_CORRECTION), LARGEST_CORRECTION)
        key = self._key(step, batch)
        self._correction = _averaged(self._correction, ratio)
        self._corrections[key] = _averaged(self._corrections.get(key), ratio)
        self._corrections.move_to_end(key)
        if len(self._corrections) > MAX_SHAPES:
            self._corrections.popitem(last=False)

    def estimated_seconds(self, step: StepShape, batch: int = 1) -> float:
        """Seconds of one step by the formulas alone: this rank's branches, one after the other or together."""
        own = own_branches(step, self.degrees)
        if not self.batch_guidance:
            return sum(self._pass_seconds(tokens, (text,) * batch) for tokens, text in own)
        # Branches of one length are one forward.
        texts: dict[int, tuple[int, ...]] = {}
        for tokens, text in own:
            texts[tokens] = (*texts.get(tokens, ()), text)
        return sum(self._pass_seconds(tokens, together * batch) for tokens, together in texts.items())

    def request_seconds(self, step: StepShape, steps: int, pixels: int = 0) -> float:
        """Seconds from prompt to frames on an idle gang: prefill, steps, and decoding of `pixels` on one card."""
        decoding = self.hardware.decode_720p_s * pixels / PIXELS_720P
        return self.prefill_seconds(step) + steps * self.step_seconds(step) + decoding

    def prefill_seconds(self, step: StepShape) -> float:
        """Seconds of the understanding tower over the texts, on one card (survey B.3)."""
        hardware = self.hardware
        products = 2.0 * sum(step.text_tokens) * whole_layers(self.config)
        launches = len(step.text_tokens) * self.config.num_hidden_layers * hardware.layer_overhead_s
        return products / (hardware.flops_per_second * hardware.product_efficiency) + launches

    def _key(self, step: StepShape, batch: int) -> tuple[int, int, int]:
        return step.tokens, len(step.branches), batch

    def _pass_seconds(self, tokens: int, texts: tuple[int, ...]) -> float:
        """One forward with a row for each of `texts`."""
        config, hardware = self.config, self.hardware
        parameters = config.num_hidden_layers * layer_parameters(config, self._shape.projected, self._shape.columns)
        products = 2.0 * len(texts) * most_tokens(tokens, self.degrees) * parameters
        # With few tokens, reading the weights takes longer than the products.
        linear = max(
            products / (hardware.flops_per_second * hardware.product_efficiency),
            parameters * BF16_BYTES / hardware.bytes_per_second,
        )
        heads = self._shape.attended / config.num_key_value_heads
        attention = heads * sum(_attention_flops(config, tokens, text) for text in texts)
        attention /= hardware.flops_per_second * hardware.attention_efficiency
        launches = config.num_hidden_layers * hardware.layer_overhead_s
        return linear + attention + launches + len(texts) * self._traffic_seconds(tokens)

    def _traffic_seconds(self, tokens: int) -> float:
        """Seconds of exchange for one row: tokens for heads and back (Ulysses), sums of partial results (tensor)."""
        config, degrees, hardware = self.config, self.degrees, self.hardware
        here, values, exchanges = most_tokens(tokens, degrees), 0.0, 0
        group, width = config.num_attention_heads // config.num_key_value_heads, config.head_dim
        if degrees.ulysses > 1:
            sent = here * 2 * (group + 1) * self._shape.projected * width
            values += sent * (degrees.ulysses - 1) / degrees.ulysses
            exchanges += 1
        if degrees.tp > 1:
            # Two sums a layer, each a reduce-scatter and an all-gather around a ring.
            values += 2 * 2 * here * config.hidden_size * (degrees.tp - 1) / degrees.tp
            exchanges += 1
        per_layer = values * BF16_BYTES / hardware.link_bytes_per_second + exchanges * hardware.exchange_overhead_s
        return config.num_hidden_layers * per_layer


def _averaged(known: float | None, newest: float) -> float:
    return newest if known is None else known + NEWEST_SHARE * (newest - known)
