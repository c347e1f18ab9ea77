"""The tables of the newest version; `migrations` brings a database of an older version to it."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import JSON, Float, ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""

    # SQLAlchemy's own choice differs between its versions; both databases keep 64 bits.
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Float}


class JobRow(Base):
    """A `job.Job`."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_idempotency", "api_key", "idempotency_key", unique=True),
        Index("ix_jobs_waiting", "status", "service_class", "api_key", "created_at"),
    )
    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    model: Mapped[str]
    application: Mapped[str]
    decoder: Mapped[str]
    detached: Mapped[bool]
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    shown: Mapped[dict[str, Any]] = mapped_column(JSON)
    service_class: Mapped[str]
    api_key: Mapped[str]
    gpu_seconds: Mapped[float]
    idempotency_key: Mapped[str | None]
    fingerprint: Mapped[str]
    status: Mapped[str] = mapped_column(index=True)
    progress: Mapped[int]
    tries: Mapped[int]
    # The column keeps its old name: replicas of an earlier version may run while later ones replace them.
    interruptions: Mapped[list[Any]] = mapped_column("deaths", JSON)
    created_at: Mapped[float] = mapped_column(index=True)
    started_at: Mapped[float | None]
    completed_at: Mapped[float | None]
    expires_at: Mapped[float | None] = mapped_column(index=True)
    owner: Mapped[str | None] = mapped_column(index=True)
    lease_until: Mapped[float | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    upsampled: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class EventRow(Base):
    """A `job.JobEvent`."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[float]


class DeliveryRow(Base):
    """A webhook that is still to be called.

    It outlives its job: a client that deletes a job knows that the job has ended, but the webhook's receiver may not.

    Attributes:
        job_id: id of the job whose end it announces.
        url: where it is sent.
        body: what is sent.
        attempts: number of attempts so far.
        due_at: Unix time of the next attempt. A process that takes the delivery moves this into the future, so that no
            other process takes it at the same time.
    """

    __tablename__ = "deliveries"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    body: Mapped[str]
    attempts: Mapped[int]
    due_at: Mapped[float] = mapped_column(index=True)


class IdentityRow(Base):
    """The database's own id, in a single row; its media folder holds the same id."""

    __tablename__ = "identity"
    id: Mapped[str] = mapped_column(primary_key=True)
