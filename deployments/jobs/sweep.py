"""Removes what is over: jobs whose time has come, and files that a death has left without a job.

A job's record goes before its files, so a file without a record is never more than a stray, and no record names a file
that was swept. An input is stored before its record and a result before its record names it, so both get time; a
snapshot is of a job that was there, so once that is over it is a stray at once, such as one that was being written when
its job was deleted.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable

from deployments.jobs.database.store import Ending, Store
from deployments.jobs.job import Job
from deployments.logs import log
from deployments.settings import FrontSettings
from deployments.wire.media_store import (
    INPUTS,
    OUTPUTS,
    PARTIAL,
    SNAPSHOTS,
    MediaStore,
    StoredFile,
    delete_media,
    read_media,
)

WORKING = (INPUTS, SNAPSHOTS)
MARK = "database"
# A file of a job, or one that was being written when its writer died.
_OURS = re.compile(r"[a-z]+/\.?((?:video|img)_gen_[0-9a-f]{32})\.[\w.]+")


class Sweep:
    """Sweeps one database and its media folder; any number of processes may do so at once.

    Args:
        store: of the jobs.
        settings: of the front.
        delete: removes a job with its files, if its time has come.
    """

    def __init__(
        self,
        store: Store,
        settings: FrontSettings,
        delete: Callable[[str, bool], Awaitable[Job | None]],
    ) -> None:
        self.counts = {"expired": 0, "strays": 0}
        self._store = store
        self._media = MediaStore(settings.media_url)
        self._stray_after_s = settings.retention.stray_after_s
        self._delete = delete
        self._strays_at = -math.inf

    async def run(self) -> None:
        """Sweep once."""
        while expired := await asyncio.to_thread(self._store.expired):
            for job_id in expired:
                if await self._delete(job_id, True) is not None:
                    self.counts["expired"] += 1
        self.counts["strays"] += await asyncio.to_thread(self._remove_strays, self._folders())

    def _folders(self) -> tuple[str, ...]:
        # Listing all results takes a while, and a stray among them is of that age anyhow; snapshots are few.
        if time.monotonic() - self._strays_at < self._stray_after_s / 4:
            return (SNAPSHOTS,)
        self._strays_at = time.monotonic()
        return (OUTPUTS, *WORKING)

    def _remove_strays(self, folders: tuple[str, ...]) -> int:
        if not self._owns_media():
            log.warning("%s holds the media of another database: nothing is swept there", self._media.url)
            return 0
        strays = [file for folder in folders for file in self._strays(folder)]
        for stray in strays:
            delete_media(stray.uri)
        return len(strays)

    def _strays(self, folder: str) -> list[StoredFile]:
        ripe = [file for file in self._media.files(folder) if self._is_ripe(file, folder)]
        owners = {file: found[1] for file in ripe if (found := _OURS.fullmatch(file.name))}
        over = self._store.endings(sorted(set(owners.values())))
        return [file for file, job_id in owners.items() if _is_stray(file, folder, over.get(job_id))]

    def _is_ripe(self, file: StoredFile, folder: str) -> bool:
        """Whether no process may be about to need a file that belongs to no unfinished job."""
        whole_snapshot = folder == SNAPSHOTS and not file.name.endswith(PARTIAL)
        return whole_snapshot or file.age_s > self._stray_after_s

    def _owns_media(self) -> bool:
        """Whether this folder belongs to this database; a new one does from now on."""
        identity = self._store.identity()
        try:
            return read_media(self._media.uri(MARK)).decode() == identity
        except FileNotFoundError:
            self._media.put(MARK, identity.encode())
            return True


def _is_stray(file: StoredFile, folder: str, job: Ending | None) -> bool:
    # A partial file that old belongs to a writer that is gone, whatever became of its job.
    if job is None or file.name.endswith(PARTIAL):
        return True
    # By its name: the same folder may have been called otherwise when the job ended.
    return job.over and (folder in WORKING or job.uri is None or not job.uri.endswith(f"/{file.name}"))
