"""A PostgreSQL server of the tests' own, from Debian's packages, on a socket in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

SUPERUSER = "postgres"
# Durability costs the tests time and tells them nothing; a crash of the machine ends them anyhow.
OPTIONS = "-c fsync=off -c listen_addresses='' -c max_connections=200"


def _programs() -> Path | None:
    """The folder with the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server; gives the folder of its socket. Skips the test, saying why, where there is none to start."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server here; Debian's package is postgresql")
    # Paths of sockets must be short, and the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    as_user = ["runuser", "-u", SUPERUSER, "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(folder, SUPERUSER)
    data = folder / "data"

    def call(*command: str) -> None:
        answer = subprocess.run(
            [*as_user, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
        )
        assert answer.returncode == 0, answer.stdout

    control = str(programs / "pg_ctl")
    try:
        call(str(programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust", "--no-sync")
        log = str(folder / "log")
        call(control, "-D", str(data), "-w", "-l", log, "-o", f"{OPTIONS} -k {folder}", "start")
        try:
            yield str(folder)
        finally:
            call(control, "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(socket: str) -> str:
    """SQLAlchemy's URL of a new database on a server."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"host={socket} user={SUPERUSER} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://{SUPERUSER}@/{name}?host={socket}"
