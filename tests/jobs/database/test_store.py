"""Jobs and events in a store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import IntegrityError

from deployments.jobs.admission import IdempotencyMismatch
from deployments.jobs.database.store import Ending, Store
from deployments.jobs.job import FINAL, JobEvent, Page, Status
from tests.jobs.stores import a_job, numbers, opened, together

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
JSON_OBJECTS = st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4)


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
    assert store.page("video").jobs == []


def test_a_job_that_comes_again_is_the_one_that_is_there(store: Store) -> None:
    made = store.create(a_job())
    assert store.create(a_job(model="another")) == made == store.get(made.id)


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
def test_nothing_is_recorded_on_a_job_that_has_ended(store: Store, status: Status) -> None:
    made = store.create(a_job())
    store.record(made.id, "done", {}, status=status, progress=100)
    ended = store.get(made.id)
    assert ended is not None and ended.final
    assert store.record(made.id, "step", {"late": True}, status="in_progress", progress=3) is None
    assert store.get(made.id) == ended
    assert numbers(store.events(made.id)) == [1]


def test_deleting_returns_the_job_and_removes_its_events(store: Store) -> None:
    made, other = store.create(a_job()), store.create(a_job("other"))
    for job in (made, other):
        store.record(job.id, "step", {})
    assert store.delete(made.id) == made
    assert store.get(made.id) is None and store.events(made.id) == []
    assert store.record(made.id, "step", {}) is None
    assert store.delete(made.id) is None
    assert numbers(store.events(other.id)) == [1]


def test_the_id_of_a_deleted_job_can_be_used_again(store: Store) -> None:
    for _ in range(2):
        store.create(a_job())
        event = store.record("video_gen_1", "started", {})
        assert event is not None and event.number == 1
        store.delete("video_gen_1")


def test_the_last_event(store: Store) -> None:
    store.create(a_job())
    assert (store.last_event("video_gen_1"), store.last_event("no")) == (None, None)
    for kind in ("started", "step", "stage"):
        last = store.record("video_gen_1", kind, {})
    assert store.last_event("video_gen_1") == last
    step = store.last_event("video_gen_1", "step")
    assert step is not None and step.number == 2


def test_everything_survives_reopening(database_url: str) -> None:
    with opened(database_url) as first:
        made = first.create(a_job())
        first.record(made.id, "started", {"try": 1}, status="in_progress", tries=1)
        last = first.record(made.id, "done", {"seconds": 0.1}, status="completed", result={"uri": "file:///x"})
        job, events = first.get(made.id), first.events(made.id)
    with opened(database_url) as second:
        assert second.get(made.id) == job
        assert second.events(made.id) == events
        assert events[-1] == last


def test_what_is_returned_is_durable_without_closing(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there yet" / "jobs.sqlite3"
    with opened(f"sqlite:///{path}") as store:
        store.create(a_job())
        store.record("video_gen_1", "step", {}, progress=7)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("select progress from jobs").fetchall() == [(7,)]
            assert connection.execute("select count(*) from events").fetchall() == [(1,)]


def test_a_change_that_fails_leaves_neither_event_nor_change(store: Store) -> None:
    made = store.create(a_job())
    with pytest.raises(IntegrityError):
        store.record(made.id, "started", {}, progress=5, status=None)
    assert store.get(made.id) == made and store.events(made.id) == []


@given(JSON_OBJECTS, JSON_OBJECTS, JSON_OBJECTS)
def test_json_comes_back_equal(request: Any, shown: Any, result: Any) -> None:
    with opened("sqlite://") as store:
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


def test_several_stores_on_one_database(store: Store, database_url: str) -> None:
    with opened(database_url) as other:
        made = store.create(a_job())
        assert other.get(made.id) == made
        first, second = other.record(made.id, "step", {"by": "other"}), store.record(made.id, "step", {"by": "this"})
        assert first is not None and second is not None and (first.number, second.number) == (1, 2)
        assert store.events(made.id) == other.events(made.id) == [first, second]
        assert other.delete(made.id) == made and store.get(made.id) is None


def test_threads_that_create_at_once(store: Store) -> None:
    together(*(lambda name=name: store.create(a_job(name)) for name in "abcdefgh"))
    assert sorted(job.id for job in store.page("video").jobs) == list("abcdefgh")


def test_threads_that_record_at_once_get_numbers_of_their_own(store: Store, database_url: str) -> None:
    store.create(a_job())
    count = 25

    def record(store: Store) -> list[JobEvent | None]:
        return [store.record("video_gen_1", "step", {"index": index}, progress=index) for index in range(count)]

    with opened(database_url) as other:
        together(lambda: record(store), lambda: record(other), lambda: record(store))
    assert numbers(store.events("video_gen_1")) == list(range(1, 3 * count + 1))


def record_with_another_in_between(store: Store, between: Callable[[], object]) -> JobEvent | None:
    """Record a step; `between` starts in another thread right before the step is inserted, and has ended at return."""
    pool, started = ThreadPoolExecutor(1), list[Future[object]]()

    def start(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO events") and not started:
            started.append(pool.submit(between))
            wait(started, timeout=0.5)  # It may have to wait for the step itself.

    sqlalchemy_event.listen(store._database.engine, "before_cursor_execute", start)
    with pool:
        recorded = store.record("video_gen_1", "step", {})
    started[0].result()
    return recorded


def test_nothing_follows_the_last_event_even_if_it_is_recorded_at_the_same_time(store: Store) -> None:
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


def names(store: Store, **query: Any) -> list[str]:
    return [job.id for job in store.page("video", **query).jobs]


def test_a_list_is_read_page_by_page(store: Store) -> None:
    for name in "abcde":
        store.create(a_job(name))
    assert names(store) == list("edcba") and names(store, order="asc") == list("abcde")
    first = store.page("video", limit=2)
    assert ([job.id for job in first.jobs], first.has_more) == (["e", "d"], True)
    second = store.page("video", limit=2, after="d")
    assert ([job.id for job in second.jobs], second.has_more) == (["c", "b"], True)
    third = store.page("video", limit=2, after="b")
    assert ([job.id for job in third.jobs], third.has_more) == (["a"], False)
    assert store.page("video", limit=0) == Page([], True)
    assert store.page("video", after="unknown") == store.page("video", after="\0") == Page([], False)


def test_a_list_has_the_jobs_of_one_key_that_outlive_their_requests(store: Store) -> None:
    store.create(a_job("mine", api_key="alice"))
    store.create(a_job("theirs", api_key="bob"))
    store.create(a_job("waited", api_key="alice", detached=False))
    store.create(a_job("image", api_key="alice", kind="image"))
    assert names(store, api_key="alice") == ["mine"]
    assert names(store, api_key="alice", after="theirs") == []
    assert names(store) == []


def test_a_request_that_comes_again_is_the_same_job(store: Store) -> None:
    first = store.create(a_job("first", idempotency_key="k", fingerprint="f", api_key="alice"))
    assert store.create(a_job("second", idempotency_key="k", fingerprint="f", api_key="alice")) == first
    assert store.get("second") is None
    with pytest.raises(IdempotencyMismatch):
        store.create(a_job("third", idempotency_key="k", fingerprint="other", api_key="alice"))
    other = store.create(a_job("fourth", idempotency_key="k", fingerprint="other", api_key="bob"))
    assert other.id == "fourth"
    store.delete("first")
    assert store.create(a_job("fifth", idempotency_key="k", fingerprint="new", api_key="alice")).id == "fifth"


def test_requests_that_come_twice_at_once_are_one_job(store: Store, database_url: str) -> None:
    with opened(database_url) as other:
        jobs = [a_job(f"job{number}", idempotency_key="k", fingerprint="f") for number in range(6)]
        calls = [lambda s=s, j=j: s.create(j).id for s, j in zip([store, other] * 3, jobs, strict=True)]
        assert len(set(together(*calls))) == 1
    assert len(store.page("video").jobs) == 1


def test_only_the_newest_preview_is_kept_and_no_number_is_used_twice(store: Store) -> None:
    store.create(a_job())
    for step in range(3):
        store.record("video_gen_1", "preview", {"step": step})
    store.record("video_gen_1", "step", {})
    assert [(event.number, event.kind) for event in store.events("video_gen_1")] == [(3, "preview"), (4, "step")]


def test_a_job_that_no_client_waits_for_expires(store: Store) -> None:
    store.create(a_job("waited", detached=False), expires_after_s=0.05)
    store.create(a_job("kept"))
    store.attend("waited", 60)
    store.attend("kept", -60)
    time.sleep(0.1)
    assert store.expired() == []
    store.attend("waited", -1)
    assert store.expired() == ["waited"]
    store.record("kept", "done", {}, status="completed", keep_s=0.05)
    store.record("waited", "done", {}, status="completed", keep_s=600)
    time.sleep(0.1)
    assert set(store.expired()) == {"waited", "kept"}
    store.attend("waited", 60)
    assert store.delete("waited", expired=True) is None and store.delete("kept", expired=True) is not None


def test_which_jobs_have_ended(store: Store) -> None:
    for name in "ab":
        store.create(a_job(name))
    store.record("b", "done", {}, status="completed", result={"uri": "file:///b"})
    many = [f"other{number}" for number in range(1200)]
    assert store.endings([*many, "a", "b"]) == {"a": Ending(False, None), "b": Ending(True, "file:///b")}
