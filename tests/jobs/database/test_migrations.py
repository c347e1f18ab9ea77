"""Databases of older versions."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, create_engine, insert

from deployments.jobs.database.connection import MIGRATIONS
from deployments.jobs.database.store import DRIVER_DIED, Store
from deployments.jobs.database.tables import Base
from tests.jobs.stores import a_job, claim, numbers, opened


def test_a_database_of_the_first_version_opens(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_VERSION)
    with opened(f"sqlite:///{path}") as store:
        job = store.get("video_gen_old")
        assert job is not None and job.service_class == "batch" and "service_class" not in job.request
        assert (job.api_key, job.interruptions, job.gpu_seconds, job.owner) == ("", [], 0.0, None)
        assert numbers(store.events(job.id)) == [1]
        claimed = claim(store, "me", application="a", service_class="batch")
        assert claimed is not None and claimed.id == job.id and claimed.interruptions == []
        # Nobody waits for it any more.
        assert store.expired() == ["img_gen_old"]


def test_a_record_of_the_second_version_is_read(database_url: str) -> None:
    died = {"attempt": 1, "at": 6.0, "reason": "the Encoder died"}
    write_second_version(database_url, died)
    with opened(database_url) as store:
        job = store.get("video_gen_old")
        assert job is not None and (job.tries, job.interruptions) == (2, [died])
        assert job.upsampled is None and job.upsampled_prompt is None and job.upsample is None
        (event,) = store.events(job.id)
        assert (event.kind, event.data) == ("interrupted", died)
        # The second try is the open one: it counts as interrupted when another process claims the job.
        claimed = claim(store, "me")
        assert claimed is not None and [each["attempt"] for each in claimed.interruptions] == [1, 2]
        assert claimed.interruptions[1]["reason"] == DRIVER_DIED


def write_second_version(url: str, died: dict[str, Any]) -> None:
    """Make a database of the second version that holds a job, whose first try was interrupted, with its event."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    job = asdict(a_job("video_gen_old", tries=2, created_at=5.0, status="in_progress", owner="old", lease_until=7.0))
    job["deaths"] = [died]
    del job["interruptions"], job["upsampled"]
    event = {"job_id": job["id"], "number": 1, "kind": "interrupted", "data": died, "created_at": 6.0}
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        tables = MetaData()
        tables.reflect(connection)
        connection.execute(insert(tables.tables["jobs"]), [job])
        connection.execute(insert(tables.tables["events"]), [event])
    engine.dispose()


def test_the_migrations_end_at_the_tables(store: Store) -> None:
    with store._database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


FIRST_VERSION = """
CREATE TABLE jobs (
    id VARCHAR NOT NULL, kind VARCHAR NOT NULL, model VARCHAR NOT NULL, application VARCHAR NOT NULL,
    decoder VARCHAR NOT NULL, detached BOOLEAN NOT NULL, status VARCHAR NOT NULL, progress INTEGER NOT NULL,
    tries INTEGER NOT NULL, created_at FLOAT NOT NULL, started_at FLOAT, completed_at FLOAT,
    request JSON NOT NULL, shown JSON NOT NULL, result JSON, error JSON, PRIMARY KEY (id)
);
CREATE INDEX ix_jobs_status ON jobs (status);
CREATE TABLE events (
    job_id VARCHAR NOT NULL, number INTEGER NOT NULL, kind VARCHAR NOT NULL, data JSON NOT NULL,
    created_at FLOAT NOT NULL, PRIMARY KEY (job_id, number),
    FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO jobs VALUES ('video_gen_old', 'video', 'm', 'a', 'd', 1, 'in_progress', 40, 1, 5.0, 6.0, NULL,
    '{"fields": {}, "media": {}, "output": {"target": "file:///x"}, "service_class": "batch"}', '{}', NULL, NULL);
INSERT INTO jobs VALUES ('img_gen_old', 'image', 'm', 'a', 'd', 0, 'queued', 0, 0, 5.0, NULL, NULL,
    '{"fields": {}, "media": {}, "output": {"target": "file:///y"}}', '{}', NULL, NULL);
INSERT INTO events VALUES ('video_gen_old', 1, 'started', '{"try": 1}', 6.0);
"""
