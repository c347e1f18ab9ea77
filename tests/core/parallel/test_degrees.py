"""Degrees: how things are split over ranks, and where a rank sits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.parallel.degrees import Degrees, part, sizes
from tests.published import NANO


@given(count=st.integers(0, 200), parts=st.integers(1, 16))
def test_the_pieces_of_a_split_are_consecutive_and_differ_by_one_at_most(count: int, parts: int) -> None:
    pieces = [part(count, parts, index) for index in range(parts)]
    assert [index for piece in pieces for index in range(piece.start, piece.stop)] == list(range(count))
    lengths = sizes(count, parts)
    assert lengths == [piece.stop - piece.start for piece in pieces] == sorted(lengths, reverse=True)
    assert max(lengths) - min(lengths) <= 1


@given(tp=st.integers(1, 4), cfg=st.integers(1, 2), ulysses=st.integers(1, 2))
def test_every_rank_has_a_place_and_every_head_an_owner(tp: int, cfg: int, ulysses: int) -> None:
    degrees = Degrees(tp=tp, cfg=cfg, ulysses=ulysses)
    ranks = range(degrees.world_size)
    assert len({degrees.coordinates(rank) for rank in ranks}) == degrees.world_size
    held = [degrees.attention_heads(NANO.config, rank) for rank in ranks]
    heads = [head for piece in held for head in range(piece.start, piece.stop)]
    assert sorted(heads) == sorted([*range(NANO.config.num_key_value_heads)] * cfg)


def test_degrees_are_named_without_those_that_are_one() -> None:
    assert str(Degrees(tp=2, ulysses=4)) == "tp 2 x ulysses 4"
    assert str(Degrees()) == "one rank"
