"""A SQL database: connections, transactions, time and schema, the same on SQLite and PostgreSQL.

It knows nothing of jobs. Synchronous; callers run it in a thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, event, func, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

AWAY: tuple[type[Exception], ...] = (OperationalError, InterfaceError, InternalError, PoolTimeout)
"""Raised while a database cannot be reached, is locked, or is a read-only standby; the same call may succeed later."""

MIGRATIONS = Path(__file__).parent / "migrations"
UNVERSIONED = "0001"
# Connections of a process: those kept open, and the most. Enough for all its threads, so no claim waits for one.
CONNECTIONS, MOST_CONNECTIONS = 8, 48
WAL_TIMEOUT_S, WAL_PAUSE_S = 10.0, 0.02
# PostgreSQL's advisory locks are numbers; these are arbitrary.
MIGRATION_LOCK, ADMISSION_LOCK = 20_260_001, 20_260_002


class Database:
    """An open database, its schema brought to the newest version.

    Args:
        url: SQLAlchemy URL of SQLite or PostgreSQL.

    Raises:
        RuntimeError: it is another kind of database, or a newer version of this software has written it.
    """

    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._sqlite = parsed.get_backend_name() == "sqlite"
        if not self._sqlite and parsed.get_backend_name() != "postgresql":
            raise RuntimeError(f"database is {parsed.get_backend_name()}; expected sqlite or postgresql")
        if self._sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        # Parameters are prompts and addresses, which must not be logged.
        options: dict[str, Any] = {"hide_parameters": True}
        if parsed.database:
            # A database in memory has a single connection.
            options |= {"pool_size": CONNECTIONS, "max_overflow": MOST_CONNECTIONS - CONNECTIONS}
        if not self._sqlite:
            options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": 5}}
        self.engine = create_engine(parsed, **options)
        if self._sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writer = self.engine.execution_options(writes=True)
        try:
            with self._writer.begin() as connection:
                self._lock(connection, MIGRATION_LOCK)
                migrate(connection)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads; no writer blocks it."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is committed at the end of the block, or rolled back if the block raises."""
        with Session(self._writer) as session, session.begin():
            yield session

    def lock_admission(self, session: Session) -> None:
        """Let no other transaction admit a job until this one ends."""
        self._lock(session.connection(), ADMISSION_LOCK)

    def now(self, session: Session) -> float:
        """Unix time in seconds, by one clock for all processes, so that they agree on when a lease lapses."""
        if self._sqlite:
            return time.time()
        return float(session.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _lock(self, connection: Connection, number: int) -> None:
        # SQLite allows only one writer at a time.
        if not self._sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(number)))


def migrate(connection: Connection) -> None:
    """Bring a database's schema to the newest version.

    Raises:
        RuntimeError: the schema is newer than this software.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    tables = inspect(connection).get_table_names()
    try:
        if "jobs" in tables and "alembic_version" not in tables:
            command.stamp(config, UNVERSIONED)
        command.upgrade(config, "head")
    except CommandError as error:
        raise RuntimeError(f"the database is of another version than this software: {error}") from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let reads run while another connection writes, wait instead of fail, and make commits survive a power cut."""
    # By default Python's sqlite3 starts no transaction for DDL and reads; `_begin_sqlite` does.
    connection.isolation_level = None
    for pragma in ("busy_timeout=10000", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _use_wal(connection)


def _use_wal(connection: Any) -> None:
    """Switch to a write-ahead log; SQLite's busy timeout does not cover this, so it is tried again here."""
    deadline = time.monotonic() + WAL_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(WAL_PAUSE_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads before it writes would fail if another one wrote in between.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
