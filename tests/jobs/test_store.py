"""Jobs and events in databases of their own, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from deployments.jobs.admission import Bound, Bounds, IdempotencyMismatch, QueueFull
from deployments.jobs.database.connection import AWAY, Database
from deployments.jobs.database.store import DRIVER_DIED, Ending, Store, _values
from deployments.jobs.database.tables import Base, JobRow
from deployments.jobs.job import FINAL, LAST_EVENTS, EventKind, Job, JobEvent, Page, Status
from tests.postgres import new_database

KINDS: tuple[EventKind, ...] = get_args(EventKind)
STATUSES: tuple[Status, ...] = get_args(Status)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
JSON_OBJECTS = st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with opened(database_url) as found:
        yield found


@contextmanager
def opened(url: str) -> Iterator[Store]:
    database = Database(url)
    try:
        yield Store(database)
    finally:
        database.close()


def a_job(job_id: str = "video_gen_1", **fields: Any) -> Job:
    given: dict[str, Any] = {
        "kind": "video",
        "model": "cosmos3-nano",
        "application": "nano",
        "decoder": "decoder",
        "detached": True,
        "request": {"fields": {"prompt": "a robot"}, "media": {}, "output": {"target": "file:///out"}},
        "shown": {"size": "1280x720"},
    }
    return Job(**{"id": job_id} | given | fields)


def claim(store: Store, owner: str, lease_s: float = 60, **kind: Any) -> Job | None:
    return store.claim(owner, lease_s, **{"application": "nano", "service_class": "standard"} | kind)


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


def test_the_last_event(store: Store) -> None:
    store.create(a_job())
    assert (store.last_event("video_gen_1"), store.last_event("no")) == (None, None)
    for kind in ("started", "step", "stage"):
        last = store.record("video_gen_1", kind, {})
    assert store.last_event("video_gen_1") == last
    step = store.last_event("video_gen_1", "step")
    assert step is not None and step.number == 2


def test_the_files_of_a_job() -> None:
    media = {"image": "file:///in/a", "video": "file:///in/b"}
    request = {"fields": {}, "media": media, "output": {"target": "file:///out/c"}, "snapshot": "file:///d"}
    working = ("file:///in/a", "file:///in/b", "file:///d")
    assert a_job(request=request).media() == a_job(request=request).working_media() == working
    assert a_job(request=request, result={"uri": "file:///out/c.1"}).media() == (*working, "file:///out/c.1")


@pytest.mark.parametrize("status", STATUSES)
def test_which_statuses_are_final(status: Status) -> None:
    assert a_job(status=status).final == (status in ("completed", "failed"))


@pytest.mark.parametrize("kind", KINDS)
def test_which_events_are_last(kind: EventKind) -> None:
    assert JobEvent(1, kind, {}, 0.0).last == (kind in LAST_EVENTS) == (kind in ("done", "failed", "cancelled"))


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
    """Record a step; `between` begins in another thread right before the step is inserted, and has ended at return."""
    pool, begun = ThreadPoolExecutor(1), list[Future[object]]()

    def begin(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO events") and not begun:
            begun.append(pool.submit(between))
            wait(begun, timeout=0.5)  # It may have to wait for the step itself.

    sqlalchemy_event.listen(store._database.engine, "before_cursor_execute", begin)
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


# Lists


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


# Leases


def test_a_claim_is_one_owners(store: Store) -> None:
    store.create(a_job())
    mine = claim(store, "me")
    assert mine is not None and (mine.owner, mine.tries, mine.deaths) == ("me", 0, [])
    assert claim(store, "you") is None
    assert store.renew(["me", "you"], 60) == {"me"}
    assert store.record(mine.id, "started", {}, owner="you") is None
    assert store.record(mine.id, "started", {}, owner="me", status="in_progress", tries=1) is not None
    assert store.record(mine.id, "done", {}, owner="me", status="completed") is not None
    assert store.renew(["me"], 60) == set() and claim(store, "you") is None


def test_a_lapsed_lease_is_taken_over_and_the_death_is_told(store: Store) -> None:
    made = store.create(a_job())
    claim(store, "me", 0.05)
    store.record(made.id, "started", {"try": 1}, owner="me", status="in_progress", tries=1)
    time.sleep(0.1)
    taken = claim(store, "you")
    assert taken is not None and (taken.owner, taken.tries) == ("you", 1)
    assert [(death["attempt"], death["reason"]) for death in taken.deaths] == [(1, DRIVER_DIED)]
    assert [event.kind for event in store.events(made.id)] == ["started", "interrupted"]
    # Whoever was only slow hears that it is over.
    assert store.record(made.id, "step", {}, owner="me") is None and store.renew(["me"], 60) == set()


def test_a_job_that_was_never_started_is_taken_over_without_a_death(store: Store) -> None:
    store.create(a_job())
    claim(store, "me", 0.05)
    time.sleep(0.1)
    taken = claim(store, "you")
    assert taken is not None and taken.deaths == []


def test_a_try_that_has_ended_is_not_mourned_twice(store: Store) -> None:
    made = store.create(a_job())
    claim(store, "me", 0.05)
    store.record(made.id, "started", {"try": 1}, owner="me", tries=1)
    store.record(made.id, "interrupted", {"reason": "the Encoder died"}, owner="me")
    time.sleep(0.1)
    # Its driver died between two tries.
    taken = claim(store, "you")
    assert taken is not None and (taken.tries, len(taken.deaths)) == (1, 1)
    store.release(["you"])
    again = claim(store, "we")
    assert again is not None and (again.tries, len(again.deaths)) == (1, 1)


def test_what_is_released_is_free_at_once_and_its_try_does_not_count(store: Store) -> None:
    made, waiting = store.create(a_job("a")), store.create(a_job("b"))
    for _ in range(2):
        claim(store, "me")
    store.record(made.id, "started", {}, owner="me", status="in_progress", tries=1)
    store.release(["me"])
    taken = {job.id: job for _ in range(2) if (job := claim(store, "you")) is not None}
    assert {name: (job.tries, job.deaths) for name, job in taken.items()} == {made.id: (0, []), waiting.id: (0, [])}


def test_a_death_is_told_with_its_try_and_its_reason(store: Store) -> None:
    made = store.create(a_job())
    store.record(made.id, "started", {}, status="in_progress", tries=2)
    told = store.record(made.id, "interrupted", {"reason": "the Encoder died"})
    job = store.get(made.id)
    assert job is not None and told is not None and job.deaths == [told.data] and told.data["attempt"] == 2
    assert job.started_at is not None and job.created_at <= job.started_at <= told.data["at"]


def test_the_keys_take_turns_and_each_keys_jobs_keep_their_order(store: Store) -> None:
    for number in range(4):
        store.create(a_job(f"a{number}", api_key="alice"))
    for number in range(2):
        store.create(a_job(f"b{number}", api_key="bob"))
    claimed = [job.id for _ in range(6) if (job := claim(store, "me")) is not None]
    assert claimed == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_beyond_the_bound_only_keys_of_which_nothing_runs_have_a_turn(store: Store) -> None:
    for number in range(2):
        store.create(a_job(f"a{number}", api_key="alice"))
    claim(store, "me")
    store.create(a_job("b", api_key="bob"))
    found = claim(store, "you", only_idle_keys=True)
    assert found is not None and found.id == "b"
    assert claim(store, "you", only_idle_keys=True) is None


def test_classes_are_claimed_apart(store: Store) -> None:
    store.create(a_job("video"))
    store.create(a_job("image", service_class="interactive"))
    found = claim(store, "me", service_class="interactive")
    assert found is not None and found.id == "image"
    assert claim(store, "me", service_class="interactive") is None


def test_how_many_wait_before_a_job(store: Store) -> None:
    jobs = [store.create(a_job(name)) for name in "abc"]
    store.create(a_job("image", service_class="interactive"))
    store.create(a_job("elsewhere", application="edge"))
    assert store.positions(jobs) == {"a": 0, "b": 1, "c": 2}
    assert store.waiting() == {("nano", "standard"), ("nano", "interactive"), ("edge", "standard")}
    store.record("a", "started", {}, status="in_progress")
    assert store.positions(jobs[1:]) == {"b": 0, "c": 1} and store.positions([]) == {}


CLAIMS = 1000


def _claim_all(url: str, owner: str) -> list[str]:
    with opened(url) as store:
        claimed = []
        while (job := claim(store, owner, 600)) is not None:
            claimed.append(job.id)
        return claimed


def test_two_processes_race_for_a_thousand_claims(store: Store, database_url: str) -> None:
    expected = [f"job{number:04}" for number in range(CLAIMS)]
    rows = [dict(_values(a_job(name)), created_at=float(index)) for index, name in enumerate(expected)]
    with store._database.writing() as session:
        session.execute(insert(JobRow), rows)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        first, second = [pool.submit(_claim_all, database_url, owner) for owner in ("one", "two")]
        one, two = first.result(300), second.result(300)
    assert sorted(one + two) == expected
    assert one and two, "one of them was too late to race"
    assert one == sorted(one) and two == sorted(two)


# Admission and idempotency


def test_no_more_is_admitted_than_the_bound_on_jobs(store: Store) -> None:
    bounds = Bounds(Bound(jobs=2))
    for name in "ab":
        store.create(a_job(name), bounds)
    with pytest.raises(QueueFull, match="2 generations are unfinished, of at most 2"):
        store.create(a_job("c"), bounds)
    assert store.get("c") is None
    store.record("a", "done", {}, status="completed")
    assert store.create(a_job("c"), bounds).id == "c"
    # What was accepted is not refused when it is asked for again.
    assert store.create(a_job("b"), bounds).id == "b"


def test_no_more_is_admitted_than_the_bound_on_gpu_seconds(store: Store) -> None:
    bounds = Bounds(Bound(gpu_seconds=100.0))
    store.create(a_job("large", gpu_seconds=500.0), bounds)
    with pytest.raises(
        QueueFull, match="500 GPU-seconds are unfinished, of at most 100; this request would add 10"
    ) as e:
        store.create(a_job("small", gpu_seconds=10.0), bounds)
    assert e.value.retry_after_s == 120
    store.record("large", "failed", {}, status="failed")
    for name in ("b", "c"):
        store.create(a_job(name, gpu_seconds=45.0), bounds)
    with pytest.raises(QueueFull) as caught:
        store.create(a_job("d", gpu_seconds=20.0), bounds)
    assert caught.value.retry_after_s == 10
    assert store.usage().gpu_seconds == 90.0


def test_a_keys_own_bound(store: Store) -> None:
    bounds = Bounds(Bound(), default=Bound(jobs=1), keys={"alice": Bound(jobs=2)})
    for name in "ab":
        store.create(a_job(name, api_key="alice"), bounds)
    with pytest.raises(QueueFull, match="for this API key"):
        store.create(a_job("c", api_key="alice"), bounds)
    store.create(a_job("d", api_key="bob"), bounds)
    with pytest.raises(QueueFull):
        store.create(a_job("e", api_key="bob"), bounds)
    assert (store.usage("alice").jobs, store.usage("bob").jobs, store.usage().jobs) == (2, 1, 3)


def test_the_bound_holds_when_many_come_at_once(store: Store, database_url: str) -> None:
    bounds = Bounds(Bound(jobs=5))

    def accept(store: Store, name: str) -> bool:
        try:
            store.create(a_job(name), bounds)
        except QueueFull:
            return False
        return True

    with opened(database_url) as other:
        calls = [lambda s=s, n=n: accept(s, f"{n}-{id(s)}") for n in range(6) for s in (store, other)]
        assert sum(map(bool, together(*calls))) == 5
    assert store.usage().jobs == 5


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


# Ends


def test_only_the_newest_preview_is_kept_and_numbers_never_come_twice(store: Store) -> None:
    store.create(a_job())
    for step in range(3):
        store.record("video_gen_1", "preview", {"step": step})
    store.record("video_gen_1", "step", {})
    assert [(event.number, event.kind) for event in store.events("video_gen_1")] == [(3, "preview"), (4, "step")]


def test_what_nobody_attends_to_expires(store: Store) -> None:
    store.create(a_job("waited", detached=False), lives_s=0.05)
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


def test_which_jobs_are_over(store: Store) -> None:
    for name in "ab":
        store.create(a_job(name))
    store.record("b", "done", {}, status="completed", result={"uri": "file:///b"})
    many = [f"other{number}" for number in range(1200)]
    assert store.endings([*many, "a", "b"]) == {"a": Ending(False, None), "b": Ending(True, "file:///b")}


# The schema


def test_a_database_of_the_first_version_opens(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST_VERSION)
    with opened(f"sqlite:///{path}") as store:
        job = store.get("video_gen_old")
        assert job is not None and job.service_class == "batch" and "service_class" not in job.request
        assert (job.api_key, job.deaths, job.gpu_seconds, job.owner) == ("", [], 0.0, None)
        assert numbers(store.events(job.id)) == [1]
        claimed = claim(store, "me", application="a", service_class="batch")
        assert claimed is not None and claimed.id == job.id and claimed.deaths == []
        # Whoever waited for it is gone.
        assert store.expired() == ["img_gen_old"]


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    with opened(database_url) as store, store._database.writing() as session:
        session.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(RuntimeError, match="of another version than this software"), opened(database_url):
        pass


def test_the_migrations_end_at_the_tables(store: Store) -> None:
    with store._database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


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
