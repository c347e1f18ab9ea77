"""Jobs and their events in a database: accepts, claims, records and removes them. Only the Jobs deployment opens it.

A change of a job and the event that reports it are one transaction, so nobody sees one without the other. A job belongs
to the claim that took it for as long as the lease is renewed; records by any other owner are refused. Synchronous;
callers run it in a thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from deployments.jobs.admission import Bounds, IdempotencyMismatch, Usage
from deployments.jobs.database.connection import Database
from deployments.jobs.database.tables import DeliveryRow, EventRow, IdentityRow, JobRow
from deployments.jobs.job import FINAL, MAX_PAGE, EventKind, Interruption, Job, JobEvent, JobKind, Page

IDS_AT_ONCE = 500
DRIVER_DIED = "the Jobs process that drove it died"
_COLUMNS = tuple(Job.__dataclass_fields__)
_UNFINISHED = JobRow.status.not_in(FINAL)


@dataclass(frozen=True)
class Ending:
    """Whether a job has ended, and the URI of its file if it has one."""

    final: bool
    uri: str | None


class Store:
    """The jobs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Accepting

    def create(self, job: Job, bounds: Bounds | None = None, expires_after_s: float | None = None) -> Job:
        """Keep a new job; it is durable when this returns.

        Args:
            job: the new job.
            bounds: the bounds on unfinished work.
            expires_after_s: after how many seconds it expires, unless `attend` extends that; None never.

        Returns:
            The job as it is kept: an earlier one if this is a repetition, by its id or by its idempotency key.

        Raises:
            QueueFull: the bounds leave no room for it.
            IdempotencyMismatch: another request came with its idempotency key before.
        """
        with self._database.writing() as session:
            self._database.lock_admission(session)
            earlier = self._earlier(session, job)
            if earlier is not None:
                return earlier
            if bounds is not None:
                bounds.check(job, self._usage(session), self._usage(session, job.api_key))
            now = self._database.now(session)
            expires_at = None if expires_after_s is None else now + expires_after_s
            row = JobRow(**_values(job) | {"created_at": now, "expires_at": expires_at})
            session.add(row)
            session.flush()
            return _job(row)

    @staticmethod
    def _earlier(session: Session, job: Job) -> Job | None:
        row = session.get(JobRow, job.id)
        if row is None and job.idempotency_key is not None:
            same = and_(JobRow.api_key == job.api_key, JobRow.idempotency_key == job.idempotency_key)
            row = session.scalars(select(JobRow).where(same)).first()
            if row is not None and row.fingerprint != job.fingerprint:
                raise IdempotencyMismatch(job.idempotency_key)
        return None if row is None else _job(row)

    @staticmethod
    def _usage(session: Session, api_key: str | None = None) -> Usage:
        condition = _UNFINISHED if api_key is None else and_(_UNFINISHED, JobRow.api_key == api_key)
        jobs, seconds = session.execute(
            select(func.count(), func.coalesce(func.sum(JobRow.gpu_seconds), 0.0)).where(condition)
        ).one()
        return Usage(int(jobs), float(seconds))

    def usage(self, api_key: str | None = None) -> Usage:
        """Unfinished work of one API key, or of all."""
        with self._database.reading() as session:
            return self._usage(session, api_key)

    # Reading

    def get(self, job_id: str) -> Job | None:
        """A job; None if there is no such job."""
        with self._database.reading() as session:
            row = _row(session, job_id)
            return None if row is None else _job(row)

    def page(
        self,
        kind: JobKind,
        *,
        api_key: str = "",
        after: str | None = None,
        limit: int = MAX_PAGE,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page:
        """Detached jobs, by the time at which they were made.

        Args:
            kind: the kind of job.
            api_key: name of the API key that the jobs came with.
            after: id of the job after which the page starts; an unknown one gives an empty page.
            limit: the most jobs of the page.
            order: `asc` is oldest first, `desc` newest first.
        """
        place = (JobRow.created_at, JobRow.id)
        query = select(JobRow).where(JobRow.kind == kind, JobRow.detached, JobRow.api_key == api_key)
        query = query.order_by(*(column.asc() if order == "asc" else column.desc() for column in place))
        with self._database.reading() as session:
            if after is not None:
                start = _row(session, after)
                if start is None or (start.kind, start.api_key) != (kind, api_key):
                    return Page([], False)
                query = query.where(_beyond(start, ascending=order == "asc"))
            rows = session.scalars(query.limit(limit + 1)).all()
            return Page([_job(row) for row in rows[:limit]], len(rows) > limit)

    def positions(self, jobs: Collection[Job]) -> dict[str, int]:
        """For each of some queued jobs, how many of its application and class wait before it, by its id."""
        place = func.row_number().over(
            partition_by=(JobRow.application, JobRow.service_class), order_by=(JobRow.created_at, JobRow.id)
        )
        queue = select(JobRow.id, place.label("place")).where(JobRow.status == "queued").subquery()
        with self._database.reading() as session:
            found = session.execute(
                select(queue.c.id, queue.c.place - 1).where(queue.c.id.in_([job.id for job in jobs]))
            )
            return {job_id: int(ahead) for job_id, ahead in found}

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        """A job's events with a number above `after`, in order."""
        query = select(EventRow).where(EventRow.job_id == job_id, EventRow.number > after).order_by(EventRow.number)
        with self._database.reading() as session:
            return [_event(row) for row in session.scalars(query)]

    def last_event(self, job_id: str, kind: EventKind | None = None) -> JobEvent | None:
        """A job's last event, of one kind or of any."""
        query = select(EventRow).where(EventRow.job_id == job_id).order_by(EventRow.number.desc()).limit(1)
        if kind is not None:
            query = query.where(EventRow.kind == kind)
        with self._database.reading() as session:
            row = session.scalars(query).first()
            return None if row is None else _event(row)

    # Driving

    def waiting(self) -> set[tuple[str, str]]:
        """The pairs of application and service class that have jobs which nobody drives."""
        with self._database.reading() as session:
            query = select(JobRow.application, JobRow.service_class).where(self._free(session)).distinct()
            return {(application, service_class) for application, service_class in session.execute(query)}

    def claim(
        self, owner: str, lease_s: float, *, application: str, service_class: str, only_idle_keys: bool = False
    ) -> Job | None:
        """Claim a job that nobody drives: the oldest one of the API key that has the fewest running.

        If a job's owner has let its lease lapse in the middle of a try, the try counts as interrupted.

        Args:
            owner: the new owner, a different one for each claim, so that a claim that has lapsed stays lapsed.
            lease_s: for how long nobody else may claim it.
            application, service_class: the jobs to choose from.
            only_idle_keys: choose only from API keys that have none of these jobs running.
        """
        kind = and_(JobRow.application == application, JobRow.service_class == service_class)
        with self._database.writing() as session:
            for key in self._keys_by_turn(session, kind, only_idle_keys):
                free = and_(self._free(session), kind, JobRow.api_key == key)
                oldest = select(JobRow).where(free).order_by(JobRow.created_at, JobRow.id).limit(1)
                row = session.scalars(oldest.with_for_update(skip_locked=True)).first()
                if row is not None:
                    self._take(session, row, owner, lease_s)
                    return _job(row)
        return None

    def _free(self, session: Session) -> ColumnElement[bool]:
        lapsed = or_(JobRow.owner.is_(None), JobRow.lease_until < self._database.now(session))
        return and_(_UNFINISHED, lapsed)

    def _keys_by_turn(self, session: Session, kind: ColumnElement[bool], only_idle: bool) -> Iterable[str]:
        waiting = and_(self._free(session), kind)
        oldest = select(JobRow.api_key, func.min(JobRow.created_at)).where(waiting).group_by(JobRow.api_key)
        held = and_(_UNFINISHED, kind, JobRow.lease_until >= self._database.now(session))
        counts = select(JobRow.api_key, func.count()).where(held).group_by(JobRow.api_key)
        running = {key: int(count) for key, count in session.execute(counts)}
        turns = sorted((running.get(key, 0), since, key) for key, since in session.execute(oldest))
        return [key for count, _, key in turns if count == 0 or not only_idle]

    def _take(self, session: Session, row: JobRow, owner: str, lease_s: float) -> None:
        now = self._database.now(session)
        if row.owner is not None and _has_open_try(row):
            _append(session, row.id, "interrupted", _add_interruption(row, DRIVER_DIED, now), now)
        row.owner, row.lease_until = owner, now + lease_s

    def renew(self, owners: Collection[str], lease_s: float) -> set[str]:
        """Renew leases; returns the owners that still own their job."""
        mine = and_(JobRow.owner.in_(owners), _UNFINISHED)
        with self._database.writing() as session:
            session.execute(update(JobRow).where(mine).values(lease_until=self._database.now(session) + lease_s))
            return {str(owner) for owner in session.scalars(select(JobRow.owner).where(mine))}

    def release(self, owners: Collection[str]) -> None:
        """Give up the jobs of a process that is being stopped; tries that it leaves unfinished do not count."""
        mine = select(JobRow).where(JobRow.owner.in_(owners), _UNFINISHED).with_for_update()
        with self._database.writing() as session:
            for row in session.scalars(mine):
                row.tries -= _has_open_try(row)
                row.owner = row.lease_until = None

    def record(
        self,
        job_id: str,
        kind: EventKind,
        data: dict[str, Any],
        *,
        owner: str | None = None,
        keep_s: float | None = None,
        webhook_body: str | None = None,
        **changes: Any,
    ) -> JobEvent | None:
        """Append an event to a job and change the job with it.

        Args:
            job_id: the job's id.
            kind: what happened. Of previews only the newest is kept.
            data: details of the event; for `interrupted` its `reason`.
            owner: the owner that records; None records without a lease.
            keep_s: how long the job is kept after this, if it is detached and this ends it; None keeps it.
            webhook_body: what is sent to the job's webhook, if this ends the job.
            changes: new values of the job's columns.

        Returns:
            The event; None if nothing was recorded, because the job is gone, has ended, or has another owner.
        """
        with self._database.writing() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None or row.status in FINAL or (owner is not None and row.owner != owner):
                return None
            now = self._database.now(session)
            for name, value in changes.items():
                setattr(row, name, value)
            if row.status == "in_progress" and row.started_at is None:
                row.started_at = now
            if row.status in FINAL:
                _close(row, now, keep_s)
            if kind == "interrupted":
                data = _add_interruption(row, data["reason"], now)
            event = _append(session, job_id, kind, data, now)
            if row.status in FINAL and webhook_body is not None and (url := row.request.get("webhook")):
                session.add(DeliveryRow(job_id=job_id, url=url, body=webhook_body, attempts=0, due_at=now))
            if kind == "preview":
                older = and_(EventRow.job_id == job_id, EventRow.kind == kind, EventRow.number < event.number)
                session.execute(delete(EventRow).where(older))
            return event

    def identity(self) -> str:
        """The database's own id; its media folder holds the same id."""
        with self._database.reading() as session:
            return session.scalars(select(IdentityRow.id)).one()

    # Ending

    def attend(self, job_id: str, seconds: float) -> None:
        """Let a job that a client waits for expire some seconds from now; a detached job does not change."""
        with self._database.writing() as session:
            attended = and_(JobRow.id == job_id, JobRow.detached.is_(False))
            session.execute(update(JobRow).where(attended).values(expires_at=self._database.now(session) + seconds))

    def delete(self, job_id: str, *, expired: bool = False) -> Job | None:
        """Remove a job and its events; if `expired`, only a job that has expired.

        Returns:
            The job as it was; None if nothing was removed.
        """
        with self._database.writing() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None:
                return None
            if expired and (row.expires_at is None or row.expires_at >= self._database.now(session)):
                return None
            job = _job(row)
            session.execute(delete(EventRow).where(EventRow.job_id == job_id))
            session.delete(row)
            return job

    def expired(self, limit: int = 100) -> list[str]:
        """Ids of expired jobs, the oldest first."""
        with self._database.reading() as session:
            expired = JobRow.expires_at < self._database.now(session)
            return list(session.scalars(select(JobRow.id).where(expired).order_by(JobRow.expires_at).limit(limit)))

    def endings(self, job_ids: Sequence[str]) -> dict[str, Ending]:
        """For each job's id, whether it has ended and its file; unknown ids are left out."""
        found: dict[str, Ending] = {}
        with self._database.reading() as session:
            # Databases limit the parameters of a statement.
            for start in range(0, len(job_ids), IDS_AT_ONCE):
                some = JobRow.id.in_(job_ids[start : start + IDS_AT_ONCE])
                for job_id, status, result in session.execute(
                    select(JobRow.id, JobRow.status, JobRow.result).where(some)
                ):
                    found[job_id] = Ending(status in FINAL, (result or {}).get("uri"))
        return found


def _row(session: Session, job_id: str) -> JobRow | None:
    # A client may send any id, and PostgreSQL refuses text with a NUL.
    return None if "\0" in job_id else session.get(JobRow, job_id)


def _has_open_try(row: JobRow) -> bool:
    """Whether no end of its last try is recorded."""
    return row.tries > len(row.interruptions)


def _add_interruption(row: JobRow, reason: str, now: float) -> dict[str, Any]:
    """Count the last try as interrupted; returns the data of the event."""
    interruption = Interruption(attempt=row.tries, at=now, reason=reason)
    row.interruptions = [*row.interruptions, interruption]
    return dict(interruption)


def _close(row: JobRow, now: float, keep_s: float | None) -> None:
    row.owner = row.lease_until = None
    row.completed_at = now
    if row.detached:
        row.expires_at = None if keep_s is None else now + keep_s


def _append(session: Session, job_id: str, kind: EventKind, data: dict[str, Any], now: float) -> JobEvent:
    number = (session.scalar(select(func.max(EventRow.number)).where(EventRow.job_id == job_id)) or 0) + 1
    entry = EventRow(job_id=job_id, number=number, kind=kind, data=data, created_at=now)
    session.add(entry)
    session.flush()
    return _event(entry)


def _beyond(start: JobRow, ascending: bool) -> ColumnElement[bool]:
    place, passed = tuple_(JobRow.created_at, JobRow.id), (start.created_at, start.id)
    return place > passed if ascending else place < passed


def _values(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _COLUMNS}


def _job(row: JobRow) -> Job:
    return Job(**{name: getattr(row, name) for name in _COLUMNS})


def _event(row: EventRow) -> JobEvent:
    return JobEvent(row.number, row.kind, row.data, row.created_at)  # type: ignore[arg-type]
