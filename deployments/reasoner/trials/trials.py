"""Which schemas, expressions and grammars may be passed on to vLLM: each is tried once in a process of its own.

vLLM reads them on the event loop that answers all chats, compiles them in the threads of its engine and follows them
between two steps of the model, all without a limit of time. So a few characters of one client, such as
`(\\w+\\s?){1,50}`, would hold up everybody's chats.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from deployments.logs import log
from deployments.reasoner.trials.kept import KeptVerdicts
from deployments.reasoner.trials.verdict import REFUSALS, Kind, NotTried, Verdict
from deployments.reasoner.trials.worker import TrialWorker
from deployments.settings.trials import TrialSettings
from deployments.single_flight import SingleFlight

_ENDS = "the engine ends; try again"


class Busy(NotTried):
    """So many wait for a trial that this one would wait for long."""

    def __init__(self) -> None:
        super().__init__("many schemas, expressions and grammars wait to be tried for the first time; try again")


class Trials:
    """A few trial processes, started when they are needed, and their verdicts.

    Args:
        settings: how many there are and what each may use.
        vocabulary: makes the tokens as the grammar library writes them; called once, in a thread.
    """

    def __init__(self, settings: TrialSettings, vocabulary: Callable[[], bytes]) -> None:
        self._settings = settings
        self._make_vocabulary = vocabulary
        self._vocabulary: bytes | None = None
        self._making = threading.Lock()
        self._closed = False
        self._workers: set[TrialWorker] = set()
        self._idle: list[TrialWorker] = []
        self._threads = ThreadPoolExecutor(max(1, settings.processes), thread_name_prefix="trial")
        self._flights: SingleFlight[bytes, Verdict] = SingleFlight()
        self._verdicts = KeptVerdicts(settings.kept)
        self._end = weakref.finalize(self, _kill, self._workers)

    async def refusal(self, kind: Kind, text: str) -> str | None:
        """Why a grammar may not be passed on, as the rest of a sentence; None if it may.

        Raises:
            NotTried: it cannot be tried now.
        """
        if not self._settings.processes:
            return None
        digest = hashlib.sha256(f"{kind} {text}".encode(errors="surrogatepass")).digest()
        verdict = self._verdicts.get(digest)
        return REFUSALS.get(await self._awaited(digest, kind, text) if verdict is None else verdict)

    async def _awaited(self, digest: bytes, kind: Kind, text: str) -> Verdict:
        if self._closed:
            raise NotTried(_ENDS)
        if digest not in self._flights and len(self._flights) >= self._settings.waiting:
            raise Busy
        try:
            async with asyncio.timeout(self._settings.wait_seconds):
                return await self._flights.run(digest, lambda: self._tried(digest, kind, text))
        except TimeoutError:
            # A trial that runs goes on, and its verdict is kept for whoever asks again.
            raise Busy from None

    async def _tried(self, digest: bytes, kind: Kind, text: str) -> Verdict:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._try, digest, kind, text)

    def _try(self, digest: bytes, kind: Kind, text: str) -> Verdict:
        kept = self._verdicts.get(digest)
        if kept is not None:
            return kept
        worker = self._taken()
        try:
            verdict = worker.ask(kind, text)
        finally:
            if worker.usable:
                self._idle.append(worker)
            else:
                self._stop(worker)
        if self._closed:
            raise NotTried(_ENDS)
        if verdict in REFUSALS:
            log.warning("a %s of %d characters is refused: %s", kind, len(text), verdict)
        self._verdicts.keep(digest, verdict)
        return verdict

    def _taken(self) -> TrialWorker:
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                return worker
            self._stop(worker)
        with self._making:
            if self._vocabulary is None:
                self._vocabulary = self._make_vocabulary()
            if self._closed:
                raise NotTried(_ENDS)
            worker = TrialWorker(self._settings)
            self._workers.add(worker)
        try:
            worker.prepare(self._vocabulary)
        except BaseException:
            self._stop(worker)
            raise
        return worker

    def _stop(self, worker: TrialWorker) -> None:
        worker.stop()
        self._workers.discard(worker)

    def close(self) -> None:
        """End the processes, those too that try something now."""
        with self._making:
            self._closed = True
            self._end()
        while self._idle:
            self._stop(self._idle.pop())
        self._threads.shutdown(wait=False, cancel_futures=True)


def _kill(workers: set[TrialWorker]) -> None:
    for worker in list(workers):
        worker.kill()
