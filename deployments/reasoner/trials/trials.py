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
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from deployments.logs import log
from deployments.reasoner.trials.verdict import REFUSALS, Kind, Verdict
from deployments.reasoner.trials.worker import TrialWorker
from deployments.settings.trials import TrialSettings
from deployments.single_flight import SingleFlight


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
        self._idle: list[TrialWorker] = []
        self._threads = ThreadPoolExecutor(max(1, settings.processes), thread_name_prefix="trial")
        self._flights: SingleFlight[bytes, Verdict] = SingleFlight()
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()
        self._end = weakref.finalize(self, _stop, self._idle)

    async def refusal(self, kind: Kind, text: str) -> str | None:
        """Why a grammar may not be passed on, as the rest of a sentence; None if it may.

        Raises:
            NotStarted: it cannot be tried.
        """
        if not self._settings.processes:
            return None
        digest = hashlib.sha256(f"{kind} {text}".encode(errors="surrogatepass")).digest()
        verdict = self._verdicts.get(digest)
        if verdict is None:
            verdict = await self._flights.run(digest, lambda: self._tried(kind, text))
            if verdict not in (Verdict.GOOD, Verdict.UNREAD):
                log.warning("a %s of %d characters is refused: %s", kind, len(text), verdict)
            self._verdicts[digest] = verdict
            while len(self._verdicts) > self._settings.kept:
                self._verdicts.popitem(last=False)
        else:
            self._verdicts.move_to_end(digest)
        return REFUSALS.get(verdict)

    async def _tried(self, kind: Kind, text: str) -> Verdict:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._try, kind, text)

    def _try(self, kind: Kind, text: str) -> Verdict:
        worker = self._taken()
        try:
            return worker.ask(kind, text)
        finally:
            if worker.usable:
                self._idle.append(worker)
            else:
                worker.stop()

    def _taken(self) -> TrialWorker:
        while self._idle:
            worker = self._idle.pop()
            if worker.usable:
                return worker
            worker.stop()
        with self._making:
            if self._vocabulary is None:
                self._vocabulary = self._make_vocabulary()
        return TrialWorker(self._settings, self._vocabulary)

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(cancel_futures=True)
        self._end()


def _stop(workers: list[TrialWorker]) -> None:
    while workers:
        workers.pop().stop()
