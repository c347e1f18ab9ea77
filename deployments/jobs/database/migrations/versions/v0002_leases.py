"""Leases, deaths, API keys, idempotency, admission, expiry, webhooks, and the database's own id."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# The service class of a job of the first version that names none.
STANDARD = "standard"


def upgrade() -> None:
    """Add columns and a table; a job's service class moves from its request to a column."""
    op.add_column("jobs", sa.Column("service_class", sa.String, nullable=False, server_default=STANDARD))
    op.add_column("jobs", sa.Column("api_key", sa.String, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("gpu_seconds", sa.Float, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("idempotency_key", sa.String))
    op.add_column("jobs", sa.Column("fingerprint", sa.String, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("deaths", sa.JSON, nullable=False, server_default="[]"))
    op.add_column("jobs", sa.Column("expires_at", sa.Float))
    op.add_column("jobs", sa.Column("owner", sa.String))
    op.add_column("jobs", sa.Column("lease_until", sa.Float))
    op.create_index("ix_jobs_idempotency", "jobs", ["api_key", "idempotency_key"], unique=True)
    op.create_index("ix_jobs_waiting", "jobs", ["status", "service_class", "api_key", "created_at"])
    for column in ("created_at", "expires_at", "owner"):
        op.create_index(f"ix_jobs_{column}", "jobs", [column])
    op.create_table(
        "deliveries",
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float, nullable=False, index=True),
    )
    identity = op.create_table("identity", sa.Column("id", sa.String, primary_key=True))
    op.bulk_insert(identity, [{"id": uuid.uuid4().hex}])
    _move_service_classes()


def _move_service_classes() -> None:
    jobs = sa.table(
        "jobs",
        sa.column("id", sa.String),
        sa.column("request", sa.JSON),
        sa.column("service_class", sa.String),
        sa.column("detached", sa.Boolean),
        sa.column("expires_at", sa.Float),
    )
    connection = op.get_bind()
    for job_id, request in connection.execute(sa.select(jobs.c.id, jobs.c.request)).all():
        named = request.pop("service_class", STANDARD)
        changed = {"request": request, "service_class": named}
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(changed))
    # The clients that waited for these lost their connections when the older version stopped.
    connection.execute(sa.update(jobs).where(jobs.c.detached.is_(False)).values(expires_at=0.0))
