"""Opening databases, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from deployments.jobs.database.connection import AWAY, Database
from tests.jobs.stores import a_job, claim, opened, together
from tests.postgres import new_database


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    with opened(database_url) as store, store._database.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(RuntimeError, match="of another version than this software"), opened(database_url):
        pass


def test_two_processes_may_open_a_new_database_at_once(database_url: str) -> None:
    def touch() -> None:
        with opened(database_url):
            pass

    together(*[touch] * 4)


def test_a_standby_is_a_database_that_is_away(postgres: str) -> None:
    url = new_database(postgres)
    with opened(url) as store:
        store.create(a_job("a"))
    # What connections are after a failover that has made their server a standby.
    with opened(f"{url}&options=-c%20default_transaction_read_only%3Don") as store:
        assert store.get("a") is not None
        changes: list[Callable[[], object]] = [lambda: store.create(a_job("b")), lambda: claim(store, "me")]
        for change in changes:
            with pytest.raises(AWAY, match="read-only"):
                change()


def test_other_databases_are_refused() -> None:
    with pytest.raises(RuntimeError, match="database is mysql; expected sqlite or postgresql"):
        Database("mysql+pymysql://host/jobs")
