"""The same medium goes to the same replica, and a replica that comes or goes moves only its own media."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from deployments.content_routing import ranked

REPLICAS = [f"replica {number}" for number in range(4)]
KEYS = [f"{number:064x}" for number in range(400)]


@given(st.permutations(REPLICAS), st.text(max_size=64))
def test_the_order_is_the_keys_own(replicas: list[str], key: str) -> None:
    assert ranked(key, replicas) == ranked(key, REPLICAS) and sorted(ranked(key, replicas)) == REPLICAS


def test_media_spread_evenly() -> None:
    shares = Counter(ranked(key, REPLICAS)[0] for key in KEYS)
    assert set(shares) == set(REPLICAS) and min(shares.values()) > len(KEYS) / len(REPLICAS) / 2


def test_a_replica_that_goes_moves_only_its_own() -> None:
    for key in KEYS:
        before, after = ranked(key, REPLICAS), ranked(key, REPLICAS[1:])
        assert after == [replica for replica in before if replica != REPLICAS[0]]
