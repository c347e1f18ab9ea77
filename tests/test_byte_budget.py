"""A bound on bytes that are held for others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from deployments.byte_budget import ByteBudget, NoRoom, Share


def refused(share: Share, count: int) -> bool:
    """Whether a share is refused more bytes for now; false if it is for ever."""
    with pytest.raises(NoRoom) as caught:
        share.take(count)
    return caught.value.ever


def test_all_together_are_bounded() -> None:
    budget = ByteBudget(100)
    one, other = budget.share("a"), budget.share("b")
    one.take(60)
    other.take(40)
    assert refused(other, 1) and (budget.held, other.taken) == (100, 40)
    one.give(10)
    other.take(10)
    one.close()
    other.close()
    assert budget.held == 0


def test_one_client_leaves_room_for_others() -> None:
    budget = ByteBudget(100, 50)
    first, second, other = budget.share("a"), budget.share("a"), budget.share("b")
    first.take(30)
    assert refused(second, 21)
    second.take(20)
    other.take(50)
    first.close()
    second.take(30)


def test_more_than_a_client_may_ever_have_is_refused_for_ever() -> None:
    share = ByteBudget(100, 50).share("a")
    share.take(30)
    assert not refused(share, 21)
    assert not refused(ByteBudget(100, 50).share("b"), 51)


def test_a_share_that_has_ended_takes_no_more() -> None:
    budget = ByteBudget(100)
    with budget.share() as share:
        share.take(100)
    assert budget.held == 0
    assert refused(share, 1)
    share.close()
    assert budget.held == 0


def test_no_more_is_given_back_than_was_taken() -> None:
    budget = ByteBudget(100)
    other = budget.share()
    other.take(50)
    share = budget.share()
    share.take(10)
    share.give(40)
    assert (budget.held, share.taken) == (50, 0)


def test_threads() -> None:
    budget = ByteBudget(10**9)

    def work(number: int) -> None:
        for _ in range(1000):
            with budget.share(str(number)) as share:
                share.take(number)
                share.take(1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert budget.held == 0
