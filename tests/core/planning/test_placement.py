"""Stages on cards: whatever Ray puts on a card fits its memory."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.planning.placement import GENERATOR, RANK_FRACTION, Demand, Memory, place

memories = st.builds(Memory, weights=st.integers(1, 90), activations=st.integers(0, 9), context=st.just(1))


@given(
    gangs=st.integers(1, 4),
    world_size=st.integers(1, 4),
    rank=memories,
    others=st.lists(memories, min_size=2, max_size=3),
    gpus=st.integers(1, 20),
)
def test_whatever_ray_puts_on_a_card_fits_it(
    gangs: int, world_size: int, rank: Memory, others: list[Memory], gpus: int
) -> None:
    demands = [Demand(f"stage {index}", memory) for index, memory in enumerate(others)]
    cards = place(gangs, world_size, rank, demands, gpus, card_bytes=100)
    if cards is None:
        return
    assert len(cards) == gpus
    ranks = [card.shares[0] for card in cards if card.shares and card.shares[0].stage == GENERATOR]
    small = [share for card in cards for share in card.shares if share.stage != GENERATOR]
    assert len(ranks) == gangs * world_size and {share.stage for share in small} == {d.stage for d in demands}
    assert {share.fraction for share in ranks} in ({1.0}, {RANK_FRACTION})
    for size in range(len(small) + 1):
        for chosen in combinations(small, size):
            for beside in ([], ranks[:1]):
                together = [*chosen, *beside]
                if sum(round(100 * share.fraction) for share in together) <= 100:
                    assert sum(share.memory.total for share in together) <= 100


@given(others=st.lists(memories, min_size=2, max_size=3), rank=memories)
def test_other_stages_leave_room_for_a_rank_wherever_they_land(others: list[Memory], rank: Memory) -> None:
    cards = place(1, 1, rank, [Demand(f"stage {i}", memory) for i, memory in enumerate(others)], 1, card_bytes=100)
    if cards is not None:
        assert sum(share.fraction for share in cards[0].shares[1:]) <= 1 - RANK_FRACTION + 1e-9
