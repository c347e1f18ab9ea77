"""The jobs of a graph as its database has them, and its files, read beside the graph."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

# A file without a job is a stray after a minute (`paired.RETENTION`), and strays are looked for four times a minute.
STRAYS_SWEPT_WITHIN_S = 180.0


class Store:
    """A graph's database and media in a folder.

    Attributes:
        most: the largest number of unfinished jobs that was seen.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self.most = 0
        self._stopping = threading.Event()

    def rows(self, query: str, *arguments: Any) -> list[Any]:
        """The answer to a query."""
        path = self._data / "jobs.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query, arguments).fetchall()

    def unfinished(self) -> int:
        """How many jobs have no end yet."""
        ((count,),) = self.rows("select count(*) from jobs where status not in ('completed', 'failed')")
        return int(count)

    def waited_for(self, condition: str = "true") -> bool:
        """Whether there is a job whose client waits for it, of which a condition holds."""
        return bool(self.rows(f"select id from jobs where not detached and {condition}"))

    def owner(self, job: str) -> int:
        """The process id of the Jobs replica that drives a job."""
        ((owner,),) = self.rows("select owner from jobs where id = ?", job)
        return int(owner.split(":")[1])

    def stray_files(self) -> list[str]:
        """Files without a job that wants them, and files that a job wants and that are not there."""
        media = self._data / "media"
        found = {path.name for folder in ("inputs", "snapshots", "outputs") for path in (media / folder).glob("*")}
        results = self.rows("select result from jobs where status = 'completed'")
        kept = {json.loads(result)["uri"].rpartition("/")[2] for (result,) in results}
        return sorted(found ^ kept)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the most that is unfinished at any time."""

        def watch() -> None:
            while not self._stopping.wait(0.1):
                self.most = max(self.most, self.unfinished())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()
