"""How many ways a Generator is split along each axis, what each rank holds, and which combinations are possible.

Arithmetic only: no process group and no tensor.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.errors import CosmosError
from cosmos3_core.model.config import TransformerConfig


class ParallelError(CosmosError, ValueError):
    """Degrees that a checkpoint cannot be split by."""


def part(count: int, parts: int, index: int) -> slice:
    """The `index`-th of `parts` consecutive pieces of `count` things; the first ones are longer by one where needed."""
    size, longer = divmod(count, parts)
    start = index * size + min(index, longer)
    return slice(start, start + size + (index < longer))


def sizes(count: int, parts: int) -> list[int]:
    """Lengths of the pieces that `part` gives."""
    pieces = (part(count, parts, index) for index in range(parts))
    return [piece.stop - piece.start for piece in pieces]


@dataclass(frozen=True)
class Coordinates:
    """Where a rank sits along each axis."""

    tp: int = 0
    cfg: int = 0
    ulysses: int = 0


@dataclass(frozen=True)
class Degrees:
    """Ranks along each axis; their product is the gang.

    Attributes:
        tp: tensor parallel: heads and MLP columns, and with them the weights, are split.
        cfg: guidance parallel: 2 runs the conditional and the unconditional branch at the same time.
        ulysses: sequence parallel: generation tokens are split, and heads while attention is computed.

    Raises:
        ParallelError: a degree below 1, or `cfg` above the two branches there are.
    """

    tp: int = 1
    cfg: int = 1
    ulysses: int = 1

    def __post_init__(self) -> None:
        for name in ("tp", "cfg", "ulysses"):
            if getattr(self, name) < 1:
                raise ParallelError(f"{name} is {getattr(self, name)}; expected 1 or more")
        if self.cfg > 2:
            raise ParallelError(f"cfg is {self.cfg}; guidance has two branches, expected 1 or 2")

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.tp * self.cfg * self.ulysses

    def __str__(self) -> str:
        axes = {"tp": self.tp, "cfg": self.cfg, "ulysses": self.ulysses}
        return " x ".join(f"{name} {degree}" for name, degree in axes.items() if degree > 1) or "one rank"

    def check(self, config: TransformerConfig) -> None:
        """Refuse what leaves a rank without a head.

        Raises:
            ParallelError: `tp x ulysses` exceeds the K/V heads.
        """
        heads = config.num_key_value_heads
        if self.tp * self.ulysses > heads:
            raise ParallelError(
                f"tp {self.tp} x ulysses {self.ulysses} = {self.tp * self.ulysses} ranks share {heads} K/V heads, and "
                f"each needs one; expected a product of at most {heads}"
            )

    def coordinates(self, rank: int) -> Coordinates:
        """Where a rank sits: `tp` varies fastest, because its ranks exchange the most, then `ulysses`, then `cfg`."""
        rest, tp = divmod(rank, self.tp)
        cfg, ulysses = divmod(rest, self.ulysses)
        return Coordinates(tp=tp, cfg=cfg, ulysses=ulysses)

    def tensor_heads(self, config: TransformerConfig, rank: int) -> slice:
        """K/V heads whose projections a rank holds; query heads follow in their groups."""
        return part(config.num_key_value_heads, self.tp, self.coordinates(rank).tp)

    def attention_heads(self, config: TransformerConfig, rank: int) -> slice:
        """K/V heads that a rank attends with, and so the only ones whose understanding K/V it needs."""
        held, place = self.tensor_heads(config, rank), self.coordinates(rank)
        mine = part(held.stop - held.start, self.ulysses, place.ulysses)
        return slice(held.start + mine.start, held.start + mine.stop)

    def mlp_columns(self, config: TransformerConfig, rank: int) -> slice:
        """MLP columns that a rank holds."""
        return part(config.intermediate_size, self.tp, self.coordinates(rank).tp)
