"""Jobs and their events in SQL: SQLite by default, any database by URL. Only the Jobs deployment opens it.

Every change of a job and the event that tells of it are one transaction, so nobody sees one without the other.
Synchronous; callers run it in a thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import JSON, Engine, ForeignKey, create_engine, delete, event, func, or_, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from deployments.scheduler import ServiceClass

Status = Literal["queued", "in_progress", "completed", "failed"]
FINAL: tuple[Status, ...] = ("completed", "failed")
JobKind = Literal["video", "image"]
EventKind = Literal["started", "stage", "step", "preview", "done", "failed", "cancelled"]
LAST_EVENTS: tuple[EventKind, ...] = ("done", "failed", "cancelled")


class Base(DeclarativeBase):
    """Tables."""


class JobRow(Base):
    """A generation from the moment it is accepted until it is deleted."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    model: Mapped[str]
    application: Mapped[str]
    decoder: Mapped[str]
    detached: Mapped[bool]
    status: Mapped[str] = mapped_column(index=True)
    progress: Mapped[int]
    tries: Mapped[int]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    completed_at: Mapped[float | None]
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    shown: Mapped[dict[str, Any]] = mapped_column(JSON)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class EventRow(Base):
    """Something that happened to a job; numbers count up from 1 within it."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[float]


@dataclass(frozen=True)
class Job:
    """A job as others see it.

    Attributes:
        id: `video_gen_...` or `img_gen_...`.
        kind: what is made.
        model, application, decoder: who makes it.
        detached: whether it outlives the request that made it.
        status: queued, in_progress, completed or failed.
        progress: percent.
        tries: how often it was started.
        created_at, started_at, completed_at: Unix time in seconds.
        request: fields, media URIs, service class, snapshot's URI, target and format of the file; enough to run it
            again.
        shown: what the client sent and is shown again, such as `size`.
        result: what came of it.
        error: `code` and `message`.
    """

    id: str
    kind: JobKind
    model: str
    application: str
    decoder: str
    detached: bool
    request: dict[str, Any]
    shown: dict[str, Any]
    status: Status = "queued"
    progress: int = 0
    tries: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    def working_media(self) -> tuple[str, ...]:
        """URIs of the files that it needs only until it is over, whether they exist or not."""
        snapshot = self.snapshot
        return (*self.request["media"].values(), *([] if snapshot is None else [snapshot]))

    @property
    def snapshot(self) -> str | None:
        """URI of its state while it is denoised; None for a job of a version that kept none."""
        uri: str | None = self.request.get("snapshot")
        return uri

    @property
    def service_class(self) -> ServiceClass:
        """How urgent it is."""
        return ServiceClass(self.request.get("service_class", ServiceClass.STANDARD))

    def media(self) -> tuple[str, ...]:
        """URIs of all files that belong to it, whether they exist or not."""
        return (*self.working_media(), self.request["output"]["target"])

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in FINAL


@dataclass(frozen=True)
class JobEvent:
    """An event as clients read it."""

    number: int
    kind: EventKind
    data: dict[str, Any]
    created_at: float

    @property
    def last(self) -> bool:
        """Whether no event follows."""
        return self.kind in LAST_EVENTS


_COLUMNS = tuple(Job.__dataclass_fields__)


class Store:
    """The database."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(parsed)
        if parsed.get_backend_name() == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
        Base.metadata.create_all(self._engine)

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self._engine

    def create(self, job: Job) -> Job:
        """Keep a new job; it is durable when this returns."""
        row = JobRow(**{name: getattr(job, name) for name in _COLUMNS} | {"created_at": time.time()})
        with Session(self._engine) as session, session.begin():
            session.add(row)
            session.flush()
            return _job(row)

    def get(self, job_id: str) -> Job | None:
        """A job, or None."""
        with Session(self._engine) as session:
            row = session.get(JobRow, job_id)
            return None if row is None else _job(row)

    def unfinished(self) -> list[Job]:
        """Jobs that a new process has to look after: not over yet, or never fetched by whoever waited for them.

        Oldest first.
        """
        open_ends = or_(JobRow.status.not_in(FINAL), JobRow.detached.is_(False))
        query = select(JobRow).where(open_ends).order_by(JobRow.created_at)
        with Session(self._engine) as session:
            return [_job(row) for row in session.scalars(query)]

    def record(self, job_id: str, kind: EventKind, data: dict[str, Any], **changes: Any) -> JobEvent | None:
        """Append an event and change the job with it; None where the job is gone or over already.

        Args:
            job_id: of the job.
            kind, data: the event.
            changes: new values of the job's columns.
        """
        with Session(self._engine) as session, session.begin():
            self._claim(session, job_id)
            row = session.get(JobRow, job_id)
            if row is None or row.status in FINAL:
                return None
            for name, value in changes.items():
                setattr(row, name, value)
            number = (session.scalar(select(func.max(EventRow.number)).where(EventRow.job_id == job_id)) or 0) + 1
            entry = EventRow(job_id=job_id, number=number, kind=kind, data=data, created_at=time.time())
            session.add(entry)
            session.flush()
            return _event(entry)

    def events(self, job_id: str, after: int = 0) -> list[JobEvent]:
        """A job's events with a number above `after`, in order."""
        query = select(EventRow).where(EventRow.job_id == job_id, EventRow.number > after).order_by(EventRow.number)
        with Session(self._engine) as session:
            return [_event(row) for row in session.scalars(query)]

    def last_event(self, job_id: str) -> int:
        """Number of a job's last event, 0 where there is none."""
        with Session(self._engine) as session:
            return session.scalar(select(func.max(EventRow.number)).where(EventRow.job_id == job_id)) or 0

    @staticmethod
    def _claim(session: Session, job_id: str) -> None:
        """Be the only one to change a job until the transaction ends: a write locks where SQLite's reads do not."""
        session.execute(update(JobRow).where(JobRow.id == job_id).values(tries=JobRow.tries))

    def delete(self, job_id: str) -> Job | None:
        """Remove a job and its events; returns what it was."""
        with Session(self._engine) as session, session.begin():
            self._claim(session, job_id)
            row = session.get(JobRow, job_id)
            if row is None:
                return None
            job = _job(row)
            session.execute(delete(EventRow).where(EventRow.job_id == job_id))
            session.delete(row)
            return job

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Readers beside a writer, waiting instead of failing, and a commit that survives a power cut."""
    for pragma in ("journal_mode=WAL", "busy_timeout=10000", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _job(row: JobRow) -> Job:
    return Job(**{name: getattr(row, name) for name in _COLUMNS})


def _event(row: EventRow) -> JobEvent:
    return JobEvent(row.number, row.kind, row.data, row.created_at)  # type: ignore[arg-type]
