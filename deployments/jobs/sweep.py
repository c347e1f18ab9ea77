"""Removes expired jobs, and stray files: those that no job needs, because a process died before it removed them.

A job's record is removed before its files, so a file without a record is a stray, and no record names a file that was
swept. An input is stored before its job's record, and a result before the record names it, so both are strays only
after a while. A snapshot is written while its job exists, so it is a stray as soon as the job has ended or is gone.
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
from deployments.settings.front import FrontSettings
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
OWNER_FILE = "database"
# A file of a job, or the partial file of a process that died while it wrote one.
_JOB_FILE = re.compile(r"[a-z]+/\.?((?:video|img)_gen_[0-9a-f]{32})\.[\w.]+")


class Sweep:
    """Sweeps one database and its media folder; any number of processes may do so at once.

    Args:
        store: the store of the jobs.
        settings: the settings of the front.
        delete: removes a job and its files; if its second argument is true, only an expired job.
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
        # Listing inputs and results takes long, and they are strays only after a while; snapshots are few.
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
        candidates = [file for file in self._media.files(folder) if self._may_be_stray(file, folder)]
        owners = {file: found[1] for file in candidates if (found := _JOB_FILE.fullmatch(file.name))}
        endings = self._store.endings(sorted(set(owners.values())))
        return [file for file, job_id in owners.items() if _is_stray(file, folder, endings.get(job_id))]

    def _may_be_stray(self, file: StoredFile, folder: str) -> bool:
        """Whether a file is old enough that no process is still about to record it."""
        whole_snapshot = folder == SNAPSHOTS and not file.name.endswith(PARTIAL)
        return whole_snapshot or file.age_s > self._stray_after_s

    def _owns_media(self) -> bool:
        """Whether the media folder belongs to this database; a folder that belongs to none is claimed."""
        identity = self._store.identity()
        try:
            return read_media(self._media.uri(OWNER_FILE)).decode() == identity
        except FileNotFoundError:
            self._media.put(OWNER_FILE, identity.encode())
            return True


def _is_stray(file: StoredFile, folder: str, job: Ending | None) -> bool:
    # A partial file of that age is never completed, whether or not its job has ended.
    if job is None or file.name.endswith(PARTIAL):
        return True
    # By the file's name only: the same folder may have had another URL when the job ended.
    return job.final and (folder in WORKING or job.uri is None or not job.uri.endswith(f"/{file.name}"))
