"""Place stages on cards: which stage gets a whole card and which a fraction of one.

Fractions of `num_gpus` are only Ray's bookkeeping and limit no memory. So they are chosen such that any set of stages
that Ray may put on one card fits its memory. Arithmetic only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

# Two ranks never share a card, because their fractions exceed one; the other stages share the rest.
RANK_FRACTION = 0.51
ROOM_BESIDE_A_RANK = 0.49
GENERATOR = "Generator"


@dataclass(frozen=True)
class Memory:
    """Bytes that one replica or rank takes of a card at its largest request.

    Attributes:
        weights: the weights.
        activations: temporary tensors at their peak.
        context: the CUDA context and, in a gang, the buffers of its collectives.
        key_values: keys and values that are kept.
        tasks: requests that are being denoised.
    """

    weights: int
    activations: int
    context: int
    key_values: int = 0
    tasks: int = 0

    @property
    def total(self) -> int:
        """Sum of all."""
        return self.weights + self.key_values + self.tasks + self.activations + self.context

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "keys and values": self.key_values,
            "tasks": self.tasks,
            "activations": self.activations,
            "context": self.context,
        }
        sums = " + ".join(f"{value / 1e9:.1f} {name}" for name, value in parts.items() if value)
        return f"{sums} = {self.total / 1e9:.1f} GB"


@dataclass(frozen=True)
class Demand:
    """A stage to be placed.

    Attributes:
        stage: its name.
        memory: what it takes of each of its cards.
        cards: number of cards that it needs.
    """

    stage: str
    memory: Memory
    cards: int = 1


@dataclass(frozen=True)
class Share:
    """A stage on a card.

    Attributes:
        stage: its name.
        fraction: fraction of the card, for `num_gpus`.
        memory: what it takes.
        gang, rank: which gang and rank of the Generator, from 0; None for other stages.
    """

    stage: str
    fraction: float
    memory: Memory
    gang: int | None = None
    rank: int | None = None


@dataclass
class Card:
    """A card and the stages on it."""

    shares: list[Share] = field(default_factory=list)

    @property
    def used_bytes(self) -> int:
        """Bytes of all its stages."""
        return sum(share.memory.total for share in self.shares)

    @property
    def used_fraction(self) -> float:
        """Sum of the fractions."""
        return round(sum(share.fraction for share in self.shares), 2)


def place(
    gangs: int, world_size: int, rank: Memory, others: Sequence[Demand], gpus: int, card_bytes: int
) -> list[Card] | None:
    """Put one rank on each of the first cards, and the other stages on the remaining cards or else beside the ranks.

    Args:
        gangs: number of gangs.
        world_size: ranks of each gang.
        rank: memory that a rank takes.
        others: the other stages, one replica each.
        gpus: number of cards.
        card_bytes: memory of a card.

    Returns:
        `gpus` cards, some of them perhaps empty, or None where it does not fit.
    """
    whole = [demand for demand in others if demand.cards > 1]
    small = sorted((d for d in others if d.cards == 1), key=lambda demand: demand.memory.total, reverse=True)
    spare = gpus - gangs * world_size - sum(demand.cards for demand in whole)
    if spare < 0 or max([rank.total, *(demand.memory.total for demand in others)]) > card_bytes:
        return None
    apart = _apart(small, spare, card_bytes)
    if apart is not None:
        return _ranks(gangs, world_size, rank, 1.0) + apart + _whole_cards(whole)
    beside = _beside_a_rank(small, card_bytes - rank.total)
    if beside is None:
        return None
    ranks = _ranks(gangs, world_size, rank, RANK_FRACTION)
    # Ray may put them on any rank's card; the worst case is that all share the same one.
    ranks[0].shares += beside
    return ranks + [Card() for _ in range(spare)] + _whole_cards(whole)


def _apart(demands: Sequence[Demand], spare: int, card_bytes: int) -> list[Card] | None:
    """Put each on the emptiest card without a rank; a fraction is at least the share of memory, so it always fits."""
    cards, left = [Card() for _ in range(spare)], [100] * spare
    for demand in demands:
        hundredths = math.ceil(100 * demand.memory.total / card_bytes)
        index = max(range(spare), key=lambda i: left[i], default=None)
        if index is None or left[index] < hundredths:
            return None
        left[index] -= hundredths
        cards[index].shares.append(Share(demand.stage, fraction=hundredths / 100, memory=demand.memory))
    return [_alone_takes_all(card) for card in cards]


def _beside_a_rank(demands: Sequence[Demand], free: int) -> list[Share] | None:
    """All of them beside one rank, which leaves `free` bytes; None where that is too little.

    Stages that fit together fit on any card in any order, and they leave room for a rank on every card. So they divide
    the fraction that a rank leaves.
    """
    total = sum(demand.memory.total for demand in demands)
    if total > free:
        return None
    return [
        Share(demand.stage, math.floor(100 * ROOM_BESIDE_A_RANK * demand.memory.total / total) / 100, demand.memory)
        for demand in demands
    ]


def _alone_takes_all(card: Card) -> Card:
    if len(card.shares) != 1:
        return card
    only = card.shares[0]
    return Card([Share(only.stage, 1.0, only.memory)])


def _whole_cards(demands: Sequence[Demand]) -> list[Card]:
    return [Card([Share(demand.stage, 1.0, demand.memory)]) for demand in demands for _ in range(demand.cards)]


def _ranks(gangs: int, world_size: int, memory: Memory, fraction: float) -> list[Card]:
    return [
        Card([Share(stage=GENERATOR, fraction=fraction, memory=memory, gang=gang, rank=rank)])
        for gang in range(gangs)
        for rank in range(world_size)
    ]
