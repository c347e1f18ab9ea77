"""Many attempts, some side by side, with what they came to and a file for each that went wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.fuzz.attempts import Attempt, attempt
from tests.fuzz.sending import Outcome, send

SIDE_BY_SIDE = 8
REPORT_EVERY_S = 10.0
MOST_FAULTS = 40
"""With so many, the rest is not sent."""


@dataclass
class Campaign:
    """Sends the attempts of a seed until there are enough, or the time is up.

    Attributes:
        url: where the graph answers.
        seed: what the attempts are drawn from.
        kept: the folder for requests that went wrong.
        answers: how often each status came; 0 where a connection was closed without an answer.
        faulty: what went wrong.
    """

    url: httpx.URL
    seed: int
    kept: Path
    answers: Counter[int] = field(default_factory=Counter)
    faulty: list[Outcome] = field(default_factory=list)
    slowest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, count: int, seconds: float) -> None:
        """Send `count` attempts, or as many as fit into the time."""
        begun = time.monotonic()
        numbers = iter(range(count))
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            workers = [pool.submit(self._work, numbers, begun + seconds) for _ in range(SIDE_BY_SIDE)]
            while wait(workers, timeout=REPORT_EVERY_S).not_done:
                self._report(time.monotonic() - begun)
        self._report(time.monotonic() - begun)
        for worker in workers:
            worker.result()

    def _report(self, after: float) -> None:
        sent = self.answers.total()
        print(
            f"{after:6.0f} s: {sent} requests, {sent / max(after, 1):.0f} a second, {len(self.faulty)} wrong; "
            f"slowest {self.slowest:.1f} s; {dict(sorted(self.answers.items()))}",
            flush=True,
        )

    def _work(self, numbers: Iterator[int], until: float) -> None:
        while time.monotonic() < until and len(self.faulty) < MOST_FAULTS:
            with self._lock:
                number = next(numbers, None)
            if number is None:
                return
            self._do(attempt(self.seed, number))

    def _do(self, one: Attempt) -> None:
        outcome = send(self.url, one)
        self._count(outcome)
        if outcome.made_job is not None:
            # The queue has to stay short.
            path = f"/v1/videos/{outcome.made_job}"
            head = f"DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            self._count(send(self.url, Attempt(one.number, "the deletion of its job", "DELETE", path, head.encode())))

    def _count(self, outcome: Outcome) -> None:
        with self._lock:
            self.answers[0 if outcome.answer is None else outcome.answer.status_code] += 1
            self.slowest = max(self.slowest, outcome.took)
            if not outcome.faults:
                return
            self.faulty.append(outcome)
        self.kept.mkdir(parents=True, exist_ok=True)
        one = outcome.attempt
        file = self.kept / f"{self.seed}-{one.number}.http"
        file.write_bytes(one.content)
        print(
            f"\n{outcome.summary()}\n  again: curl -m 60 telnet://{self.url.host}:{self.url.port} < {file}",
            flush=True,
        )
