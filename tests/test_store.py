"""Jobs and events in SQLite files of their own."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import IntegrityError

from deployments.store import FINAL, LAST_EVENTS, EventKind, Job, JobEvent, Status, Store

KINDS: tuple[EventKind, ...] = get_args(EventKind)
STATUSES: tuple[Status, ...] = get_args(Status)
NOT_LOCKED = "Store.record reads the status and the last number before SQLite's write lock is held; begin with a write"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
JSON_OBJECTS = st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    found = store_at(path)
    yield found
    found.close()


def store_at(path: Path) -> Store:
    return Store(f"sqlite:///{path}")


def a_job(job_id: str = "video_gen_1", **fields: Any) -> Job:
    given: dict[str, Any] = {
        "kind": "video",
        "model": "cosmos3-nano",
        "application": "nano",
        "decoder": "decoder",
        "detached": True,
        "request": {"fields": {"prompt": "a robot"}, "media": {}},
        "shown": {"size": "1280x720"},
    }
    return Job(**{"id": job_id} | given | fields)


def numbers(events: list[JobEvent]) -> list[int]:
    return [event.number for event in events]


def together(*calls: Callable[[], object]) -> list[object]:
    """Results of calls that begin at the same moment, each in a thread; errors are raised here."""
    gate = threading.Barrier(len(calls))

    def waiting(call: Callable[[], object]) -> object:
        gate.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(waiting, call) for call in calls]]


def test_a_new_job_is_queued_and_dated(store: Store) -> None:
    before, given = time.time(), a_job()
    made = store.create(given)
    assert before <= made.created_at <= time.time()
    assert made == replace(given, created_at=made.created_at) == store.get(given.id)
    assert (made.status, made.progress, made.tries, made.final) == ("queued", 0, 0, False)
    assert store.events(given.id) == []


def test_a_job_that_is_not_there(store: Store) -> None:
    assert store.get("no") is None
    assert store.delete("no") is None
    assert store.record("no", "step", {}) is None
    assert store.events("no") == []
    assert store.unfinished() == []


def test_two_jobs_of_one_id_are_refused_and_the_first_one_stays(store: Store) -> None:
    made = store.create(a_job())
    with pytest.raises(IntegrityError):
        store.create(a_job(model="another"))
    assert store.get(made.id) == made


def test_an_event_changes_the_job_with_it(store: Store) -> None:
    made = store.create(a_job())
    event = store.record(made.id, "started", {"try": 1}, status="in_progress", started_at=12.5, tries=1)
    assert event is not None
    assert (event.number, event.kind, event.data, event.last) == (1, "started", {"try": 1}, False)
    assert store.get(made.id) == replace(made, status="in_progress", started_at=12.5, tries=1)
    assert store.events(made.id) == [event]


def test_event_numbers_count_up_within_each_job(store: Store) -> None:
    for name in ("a", "b"):
        store.create(a_job(name))
    for index in range(3):
        for name in ("a", "b"):
            event = store.record(name, "step", {"index": index, "of": name})
            assert event is not None and event.number == index + 1
    assert [event.data["of"] for event in store.events("b")] == ["b"] * 3
    assert numbers(store.events("a")) == [1, 2, 3]


@pytest.mark.parametrize(("after", "found"), [(0, [1, 2, 3]), (1, [2, 3]), (3, []), (99, []), (-1, [1, 2, 3])])
def test_events_after_a_number(store: Store, after: int, found: list[int]) -> None:
    store.create(a_job())
    for _ in range(3):
        store.record("video_gen_1", "step", {})
    assert numbers(store.events("video_gen_1", after)) == found


@pytest.mark.parametrize("status", FINAL)
def test_nothing_is_recorded_on_a_job_that_is_over(store: Store, status: Status) -> None:
    made = store.create(a_job())
    store.record(made.id, "done", {}, status=status, progress=100)
    over = store.get(made.id)
    assert over is not None and over.final
    assert store.record(made.id, "step", {"late": True}, status="in_progress", progress=3) is None
    assert store.get(made.id) == over
    assert numbers(store.events(made.id)) == [1]


def test_deleting_gives_the_job_back_and_takes_its_events(store: Store) -> None:
    made, other = store.create(a_job()), store.create(a_job("other"))
    for job in (made, other):
        store.record(job.id, "step", {})
    assert store.delete(made.id) == made
    assert store.get(made.id) is None and store.events(made.id) == []
    assert store.record(made.id, "step", {}) is None
    assert store.delete(made.id) is None
    assert numbers(store.events(other.id)) == [1]


def test_a_deleted_id_starts_anew(store: Store) -> None:
    for _ in range(2):
        store.create(a_job())
        event = store.record("video_gen_1", "started", {})
        assert event is not None and event.number == 1
        store.delete("video_gen_1")


def test_the_number_of_the_last_event(store: Store) -> None:
    store.create(a_job())
    assert (store.last_event("video_gen_1"), store.last_event("no")) == (0, 0)
    for _ in range(3):
        store.record("video_gen_1", "step", {})
    assert store.last_event("video_gen_1") == 3


def test_the_files_of_a_job() -> None:
    media, output = {"image": "file:///in/a", "video": "file:///in/b"}, {"target": "file:///out/c"}
    found = a_job(request={"fields": {}, "media": media, "output": output}).media()
    assert found == ("file:///in/a", "file:///in/b", "file:///out/c")


def test_unfinished_jobs_come_oldest_first(store: Store) -> None:
    for name in ("c", "a", "b", "d", "e"):
        store.create(a_job(name))
    store.record("a", "started", {}, status="in_progress")
    store.record("c", "done", {}, status="completed")
    store.record("d", "failed", {}, status="failed")
    assert [job.id for job in store.unfinished()] == ["a", "b", "e"]


def test_a_job_that_somebody_waited_for_is_looked_after_until_it_is_removed(store: Store) -> None:
    waited, left = store.create(a_job("waited", detached=False)), store.create(a_job("left"))
    for job in (waited, left):
        store.record(job.id, "done", {}, status="completed")
    assert [job.id for job in store.unfinished()] == ["waited"]
    store.delete("waited")
    assert store.unfinished() == []


@pytest.mark.parametrize("status", STATUSES)
def test_which_statuses_are_final(status: Status) -> None:
    assert a_job(status=status).final == (status in ("completed", "failed"))


@pytest.mark.parametrize("kind", KINDS)
def test_which_events_are_last(kind: EventKind) -> None:
    assert JobEvent(1, kind, {}, 0.0).last == (kind in LAST_EVENTS) == (kind in ("done", "failed", "cancelled"))


def test_everything_survives_reopening(path: Path) -> None:
    first = store_at(path)
    made = first.create(a_job())
    first.record(made.id, "started", {"try": 1}, status="in_progress", tries=1)
    last = first.record(made.id, "done", {"seconds": 0.1}, status="completed", result={"uri": "file:///x"})
    job, events = first.get(made.id), first.events(made.id)
    first.close()
    with closing(store_at(path)) as second:
        assert second.get(made.id) == job
        assert second.events(made.id) == events
        assert events[-1] == last
        assert second.unfinished() == []


def test_what_is_returned_is_durable_without_closing(store: Store, path: Path) -> None:
    store.create(a_job())
    store.record("video_gen_1", "step", {}, progress=7)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select progress from jobs").fetchall() == [(7,)]
        assert connection.execute("select count(*) from events").fetchall() == [(1,)]


def test_the_folder_is_made(tmp_path: Path) -> None:
    with closing(store_at(tmp_path / "not" / "there yet" / "jobs.sqlite3")) as store:
        store.create(a_job())
    assert (tmp_path / "not" / "there yet" / "jobs.sqlite3").is_file()


def test_a_database_in_memory() -> None:
    with closing(Store("sqlite://")) as store:
        store.create(a_job())
        assert store.get("video_gen_1") is not None


def test_how_sqlite_is_prepared(store: Store) -> None:
    with store.engine.connect() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        found = [connection.exec_driver_sql(f"pragma {name}").scalar() for name in pragmas]
    assert found == ["wal", 2, 1, 10_000]


def test_an_event_belongs_to_a_job(store: Store) -> None:
    insert = "insert into events values ('nobody', 1, 'step', '{}', 0.0)"
    with pytest.raises(IntegrityError, match="FOREIGN KEY"), store.engine.begin() as connection:
        connection.exec_driver_sql(insert)


def test_events_go_with_their_job_also_below_the_store(store: Store) -> None:
    store.create(a_job())
    store.record("video_gen_1", "step", {})
    with store.engine.begin() as connection:
        connection.exec_driver_sql("delete from jobs")
    assert store.events("video_gen_1") == []


def test_a_change_that_fails_leaves_neither_event_nor_change(store: Store) -> None:
    made = store.create(a_job())
    with pytest.raises(IntegrityError):
        store.record(made.id, "started", {}, progress=5, status=None)
    assert store.get(made.id) == made and store.events(made.id) == []


@given(JSON_OBJECTS, JSON_OBJECTS, JSON_OBJECTS)
def test_json_comes_back_equal(request: Any, shown: Any, result: Any) -> None:
    with closing(Store("sqlite://")) as store:
        store.create(a_job(request=request, shown=shown))
        event = store.record("video_gen_1", "done", result, status="completed", result=result, error=result)
        job = store.get("video_gen_1")
        assert job is not None and event is not None
        assert (job.request, job.shown, job.result, job.error) == (request, shown, result, result)
        assert store.events("video_gen_1") == [event] and event.data == result
        # Equal is not enough: 1 == True == 1.0.
        assert json.dumps(asdict(job)["result"], sort_keys=True) == json.dumps(result, sort_keys=True)


def test_an_absent_result_is_none(store: Store) -> None:
    made = store.create(a_job())
    assert (made.result, made.error) == (None, None)
    store.record(made.id, "failed", {}, status="failed", error={"code": 500, "message": "é"}, result=None)
    job = store.get(made.id)
    assert job is not None and (job.result, job.error) == (None, {"code": 500, "message": "é"})


def test_several_stores_on_one_file(store: Store, path: Path) -> None:
    with closing(store_at(path)) as other:
        made = store.create(a_job())
        assert other.get(made.id) == made
        first, second = other.record(made.id, "step", {"by": "other"}), store.record(made.id, "step", {"by": "this"})
        assert first is not None and second is not None and (first.number, second.number) == (1, 2)
        assert store.events(made.id) == other.events(made.id) == [first, second]
        assert other.delete(made.id) == made and store.get(made.id) is None


def test_threads_that_create_at_once(store: Store) -> None:
    together(*(lambda name=name: store.create(a_job(name)) for name in "abcdefgh"))
    assert sorted(job.id for job in store.unfinished()) == list("abcdefgh")


@pytest.mark.parametrize(
    "stores",
    [1, 2],
)
def test_threads_that_record_at_once_get_numbers_of_their_own(path: Path, stores: int) -> None:
    opened = [store_at(path) for _ in range(stores)]
    opened[0].create(a_job())
    count = 25

    def record(store: Store) -> list[JobEvent | None]:
        return [store.record("video_gen_1", "step", {"index": index}, progress=index) for index in range(count)]

    try:
        together(lambda: record(opened[0]), lambda: record(opened[-1]))
        assert numbers(opened[0].events("video_gen_1")) == list(range(1, 2 * count + 1))
    finally:
        for store in opened:
            store.close()


def record_with_another_in_between(store: Store, between: Callable[[], object]) -> JobEvent | None:
    """Record a step; `between` begins in another thread right before the step is inserted, and has ended at return."""
    pool, begun = ThreadPoolExecutor(1), list[Future[object]]()

    def begin(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO events") and not begun:
            begun.append(pool.submit(between))
            wait(begun, timeout=0.5)  # It may have to wait for the step itself.

    sqlalchemy_event.listen(store.engine, "before_cursor_execute", begin)
    with pool:
        recorded = store.record("video_gen_1", "step", {})
    begun[0].result()
    return recorded


def test_the_last_event_is_the_last_whatever_is_recorded_beside_it(store: Store) -> None:
    # As in Jobs: a driver that is cancelled leaves its step to a thread, and records the end in another one.
    store.create(a_job())
    record_with_another_in_between(
        store, lambda: store.record("video_gen_1", "cancelled", {}, status="failed", error={"code": 499})
    )
    events = store.events("video_gen_1")
    assert events[-1].last and numbers(events) == list(range(1, len(events) + 1))


def test_a_job_may_be_deleted_while_an_event_is_recorded(store: Store) -> None:
    store.create(a_job())
    record_with_another_in_between(store, lambda: store.delete("video_gen_1"))
    assert store.get("video_gen_1") is None and store.events("video_gen_1") == []
