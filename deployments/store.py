"""Jobs and their events in a database: accepted, claimed, recorded, removed. Only the Jobs deployment opens it.

Every change of a job and the event that tells of it are one transaction, so nobody sees one without the other. A job is
driven by whoever claimed it, for as long as that one renews its lease; what anybody else wants to record of it is not
taken. Synchronous; callers run it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from deployments.admission import Bounds, IdempotencyMismatch, Usage
from deployments.database import Database
from deployments.job import FINAL, Death, EventKind, Job, JobEvent, JobKind
from deployments.tables import DeliveryRow, EventRow, JobRow

DRIVER_DIED = "the Jobs process that drove it died"
_COLUMNS = tuple(Job.__dataclass_fields__)
_UNFINISHED = JobRow.status.not_in(FINAL)


@dataclass(frozen=True)
class Page:
    """Some jobs of a list, and whether more follow."""

    jobs: list[Job]
    has_more: bool


class Store:
    """The jobs of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Accepting

    def create(self, job: Job, bounds: Bounds | None = None, lives_s: float | None = None) -> Job:
        """Keep a new job; it is durable when this returns.

        Args:
            job: to keep.
            bounds: on what is unfinished.
            lives_s: after how many seconds it expires, unless somebody attends to it.

        Returns:
            The job as it is kept: an earlier one where this is a repetition, by its id or by its idempotency key.

        Raises:
            QueueFull: the bounds leave no room for it.
            IdempotencyMismatch: another request came with its idempotency key before.
        """
        with self._database.writing() as session:
            self._database.admit_alone(session)
            earlier = self._earlier(session, job)
            if earlier is not None:
                return earlier
            if bounds is not None:
                bounds.check(job, self._usage(session), self._usage(session, job.api_key))
            now = self._database.now(session)
            expires_at = None if lives_s is None else now + lives_s
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
        """What is unfinished, of one API key or of all."""
        with self._database.reading() as session:
            return self._usage(session, api_key)

    # Reading

    def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        with self._database.reading() as session:
            row = _row(session, job_id)
            return None if row is None else _job(row)

    def page(
        self,
        kind: JobKind,
        *,
        api_key: str = "",
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Page:
        """Detached jobs by the time they were made.

        Args:
            kind: of job.
            api_key: whose jobs.
            after: id of the job behind which to begin; an unknown one gives an empty page.
            limit: how many at most.
            order: oldest or newest first.
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
            if limit is not None:
                query = query.limit(limit + 1)
            rows = session.scalars(query).all()
            has_more = limit is not None and len(rows) > limit
            return Page([_job(row) for row in (rows[:limit] if has_more else rows)], has_more)

    def position(self, job: Job) -> int:
        """How many jobs of its class that came before it wait, or will again."""
        earlier = or_(JobRow.created_at < job.created_at, and_(JobRow.created_at == job.created_at, JobRow.id < job.id))
        waiting = and_(JobRow.status == "queued", JobRow.service_class == job.service_class)
        with self._database.reading() as session:
            return session.scalar(select(func.count()).select_from(JobRow).where(waiting, earlier)) or 0

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

    def claim(self, owner: str, service_class: str, lease_s: float, *, only_idle_keys: bool = False) -> Job | None:
        """Take a job that nobody drives: the oldest one of the API key that has the fewest running.

        A job whose owner has let its lease lapse counts the death of that owner.

        Args:
            owner: who takes it.
            service_class: of the jobs looked at.
            lease_s: for how long it is nobody else's.
            only_idle_keys: look only at keys of which nothing of this class runs.
        """
        with self._database.reading() as session:
            # Most of the time there is nothing, and a writer would hold up others.
            if session.scalar(select(JobRow.id).where(self._free(session, service_class)).limit(1)) is None:
                return None
        with self._database.writing() as session:
            for key in self._keys_by_turn(session, service_class, only_idle_keys):
                free = self._free(session, service_class)
                oldest = select(JobRow).where(free, JobRow.api_key == key).order_by(JobRow.created_at, JobRow.id)
                row = session.scalars(oldest.limit(1).with_for_update(skip_locked=True)).first()
                if row is not None:
                    self._take(session, row, owner, lease_s)
                    return _job(row)
        return None

    def _free(self, session: Session, service_class: str) -> ColumnElement[bool]:
        lapsed = or_(JobRow.owner.is_(None), JobRow.lease_until < self._database.now(session))
        return and_(_UNFINISHED, JobRow.service_class == service_class, lapsed)

    def _keys_by_turn(self, session: Session, service_class: str, only_idle: bool) -> Iterable[str]:
        free = self._free(session, service_class)
        oldest = select(JobRow.api_key, func.min(JobRow.created_at)).where(free).group_by(JobRow.api_key)
        held = and_(
            _UNFINISHED, JobRow.service_class == service_class, JobRow.lease_until >= self._database.now(session)
        )
        counts = select(JobRow.api_key, func.count()).where(held).group_by(JobRow.api_key)
        running = dict(session.execute(counts).all())
        waiting = session.execute(oldest).all()
        turns = sorted((running.get(key, 0), since, key) for key, since in waiting)
        return [key for count, _, key in turns if count == 0 or not only_idle]

    def _take(self, session: Session, row: JobRow, owner: str, lease_s: float) -> None:
        now = self._database.now(session)
        if row.owner is not None and row.status == "in_progress":
            death = Death(attempt=row.tries, at=now, reason=DRIVER_DIED)
            row.deaths = [*row.deaths, death]
            _append(session, row.id, "interrupted", dict(death), now)
        row.owner, row.lease_until = owner, now + lease_s

    def renew(self, owner: str, lease_s: float) -> set[str]:
        """Renew the leases of an owner; returns the ids of the jobs that are still its own."""
        mine = and_(JobRow.owner == owner, _UNFINISHED)
        with self._database.writing() as session:
            session.execute(update(JobRow).where(mine).values(lease_until=self._database.now(session) + lease_s))
            return set(session.scalars(select(JobRow.id).where(mine)))

    def release(self, owner: str) -> None:
        """Give up all jobs of an owner that ends in peace; the tries that it leaves in the middle do not count."""
        mine = and_(JobRow.owner == owner, _UNFINISHED)
        begun = and_(mine, JobRow.status == "in_progress", JobRow.tries > 0)
        with self._database.writing() as session:
            session.execute(update(JobRow).where(begun).values(tries=JobRow.tries - 1))
            session.execute(update(JobRow).where(mine).values(owner=None, lease_until=None))

    def record(
        self,
        job_id: str,
        kind: EventKind,
        data: dict[str, Any],
        *,
        owner: str | None = None,
        webhook_body: str | None = None,
        **changes: Any,
    ) -> JobEvent | None:
        """Append an event and change the job with it; None where the job is gone, over, or no longer the owner's.

        Args:
            job_id: of the job.
            kind, data: the event. Of previews only the newest is kept.
            owner: who records; None asks for no lease.
            webhook_body: what the job's webhook is to hear of it.
            changes: new values of the job's columns.
        """
        with self._database.writing() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None or row.status in FINAL or (owner is not None and row.owner != owner):
                return None
            for name, value in changes.items():
                setattr(row, name, value)
            if row.status in FINAL:
                row.owner = row.lease_until = None
            now = self._database.now(session)
            event = _append(session, job_id, kind, data, now)
            webhook = row.request.get("webhook")
            if webhook is not None and webhook_body is not None:
                session.add(DeliveryRow(job_id=job_id, url=webhook, body=webhook_body, attempts=0, due_at=now))
            if kind == "preview":
                older = and_(EventRow.job_id == job_id, EventRow.kind == kind, EventRow.number < event.number)
                session.execute(delete(EventRow).where(older))
            return event

    # Ending

    def attend(self, job_id: str, seconds: float) -> None:
        """Somebody waits for a job: let it live some seconds more; a job that outlives its request is left alone."""
        with self._database.writing() as session:
            waited_for = and_(JobRow.id == job_id, JobRow.detached.is_(False))
            session.execute(update(JobRow).where(waited_for).values(expires_at=self._database.now(session) + seconds))

    def delete(self, job_id: str) -> Job | None:
        """Remove a job and its events; returns what it was."""
        with self._database.writing() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None:
                return None
            job = _job(row)
            session.execute(delete(EventRow).where(EventRow.job_id == job_id))
            session.delete(row)
            return job

    def expired(self, limit: int = 100) -> list[str]:
        """Ids of jobs whose time has come, the oldest first."""
        with self._database.reading() as session:
            over = JobRow.expires_at < self._database.now(session)
            return list(session.scalars(select(JobRow.id).where(over).order_by(JobRow.expires_at).limit(limit)))

    def endings(self, job_ids: Sequence[str]) -> dict[str, bool]:
        """Whether jobs are over, by their ids; those that do not exist are left out."""
        with self._database.reading() as session:
            rows = session.execute(select(JobRow.id, JobRow.status).where(JobRow.id.in_(job_ids)))
            return {job_id: status in FINAL for job_id, status in rows}


def _row(session: Session, job_id: str) -> JobRow | None:
    # A client may send any id; PostgreSQL knows no NUL in a text.
    return None if "\0" in job_id else session.get(JobRow, job_id)


def _append(session: Session, job_id: str, kind: EventKind, data: dict[str, Any], now: float) -> JobEvent:
    number = (session.scalar(select(func.max(EventRow.number)).where(EventRow.job_id == job_id)) or 0) + 1
    entry = EventRow(job_id=job_id, number=number, kind=kind, data=data, created_at=now)
    session.add(entry)
    session.flush()
    return _event(entry)


def _beyond(start: JobRow, ascending: bool) -> ColumnElement[bool]:
    if ascending:
        later = JobRow.created_at > start.created_at
        return or_(later, and_(JobRow.created_at == start.created_at, JobRow.id > start.id))
    earlier = JobRow.created_at < start.created_at
    return or_(earlier, and_(JobRow.created_at == start.created_at, JobRow.id < start.id))


def _values(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in _COLUMNS}


def _job(row: JobRow) -> Job:
    return Job(**{name: getattr(row, name) for name in _COLUMNS})


def _event(row: EventRow) -> JobEvent:
    return JobEvent(row.number, row.kind, row.data, row.created_at)  # type: ignore[arg-type]
