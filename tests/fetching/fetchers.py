"""Fetchers of tests: what they fetched, and why they did not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from deployments.byte_budget import ByteBudget
from deployments.fetching.errors import FetchError, Outcome
from deployments.fetching.fetcher import Fetcher
from deployments.settings.fetching import FetchSettings
from tests.http_receiver import PRIVATE_BODY


class CountingFetcher(Fetcher):
    """A fetcher that keeps the outcomes of its attempts.

    Attributes:
        outcomes: how many attempts ended how.
        budget: what it may hold.
    """

    def __init__(self, budget: ByteBudget | None = None, **settings: Any) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.budget = budget or ByteBudget(2**30)
        super().__init__(FetchSettings(**settings), self.budget, lambda outcome: self.outcomes.update([outcome]))

    async def refusal(self, address: str, timeout_s: float = 10) -> FetchError:
        """Why a file is not fetched; the reason quotes neither its address nor what a host sent."""
        with pytest.raises(FetchError) as caught:
            await self.fetch(address, timeout_s)
        error = caught.value
        assert self.outcomes[error.outcome] >= 1
        said = error.reason + error.detail
        assert PRIVATE_BODY.decode() not in said and (len(address) < 8 or address not in said)
        return error
