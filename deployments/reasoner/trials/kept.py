"""The verdicts of earlier trials, for requests that come again."""

from __future__ import annotations

import threading
from collections import OrderedDict

from deployments.reasoner.trials.verdict import Verdict


class KeptVerdicts:
    """The verdicts that were asked for last; any thread may use it.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, digest: bytes) -> Verdict | None:
        """The verdict about a grammar, if it is known."""
        with self._lock:
            if digest in self._verdicts:
                self._verdicts.move_to_end(digest)
            return self._verdicts.get(digest)

    def keep(self, digest: bytes, verdict: Verdict) -> None:
        """Keep a verdict in place of the one that was asked for longest ago."""
        with self._lock:
            self._verdicts[digest] = verdict
            while len(self._verdicts) > self._most:
                self._verdicts.popitem(last=False)
