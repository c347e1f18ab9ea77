"""A lock that keeps other graphs out of a graph's folder for as long as any of its processes lives.

It is a lock of the operating system, which frees it however a process ends. All processes of one graph share it.
"""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

RETRY_S = 0.2


class FolderLock:
    """One process's share of the lock.

    Args:
        folder: the folder, which is made if it does not exist.
        graph: the graph that the process belongs to.
        patience_s: how long to wait for another graph to end.

    Raises:
        RuntimeError: another graph still holds the lock.
    """

    def __init__(self, folder: Path, graph: str, patience_s: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / "jobs.lock").open("a+", encoding="utf-8")
        deadline = time.monotonic() + patience_s
        while not self._share(graph):
            if time.monotonic() > deadline:
                self._file.close()
                raise RuntimeError(f"{folder} belongs to another graph; give this one its own `data`")
            time.sleep(RETRY_S)

    def _share(self, graph: str) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        else:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(graph)
            self._file.flush()
        return self._share_with(graph)

    def _share_with(self, graph: str) -> bool:
        """Hold the lock together with other processes of this graph; an exclusive lock becomes a shared one."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._file.seek(0)
        if self._file.read() == graph:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def release(self) -> None:
        """Give up the share."""
        self._file.close()
