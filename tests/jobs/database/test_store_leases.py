"""Claims and leases of a store, on SQLite and on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

from sqlalchemy import insert

from deployments.jobs.database.store import DRIVER_DIED, Store, _values
from deployments.jobs.database.tables import JobRow
from tests.jobs.stores import a_job, claim, opened


def test_a_claim_belongs_to_one_owner(store: Store) -> None:
    store.create(a_job())
    mine = claim(store, "me")
    assert mine is not None and (mine.owner, mine.tries, mine.interruptions) == ("me", 0, [])
    assert claim(store, "you") is None
    assert store.renew(["me", "you"], 60) == {"me"}
    assert store.record(mine.id, "started", {}, owner="you") is None
    assert store.record(mine.id, "started", {}, owner="me", status="in_progress", tries=1) is not None
    assert store.record(mine.id, "done", {}, owner="me", status="completed") is not None
    assert store.renew(["me"], 60) == set() and claim(store, "you") is None


def test_a_lapsed_lease_is_taken_over_and_the_interruption_is_recorded(store: Store) -> None:
    made = store.create(a_job())
    claim(store, "me", 0.05)
    store.record(made.id, "started", {"try": 1}, owner="me", status="in_progress", tries=1)
    time.sleep(0.1)
    taken = claim(store, "you")
    assert taken is not None and (taken.owner, taken.tries) == ("you", 1)
    (interruption,) = taken.interruptions
    assert (interruption["attempt"], interruption["reason"]) == (1, DRIVER_DIED)
    assert [event.kind for event in store.events(made.id)] == ["started", "interrupted"]
    # An owner that was only slow is refused.
    assert store.record(made.id, "step", {}, owner="me") is None and store.renew(["me"], 60) == set()


def test_a_job_that_was_never_started_is_taken_over_without_an_interruption(store: Store) -> None:
    store.create(a_job())
    claim(store, "me", 0.05)
    time.sleep(0.1)
    taken = claim(store, "you")
    assert taken is not None and taken.interruptions == []


def test_a_try_that_has_ended_is_not_counted_twice(store: Store) -> None:
    made = store.create(a_job())
    claim(store, "me", 0.05)
    store.record(made.id, "started", {"try": 1}, owner="me", tries=1)
    store.record(made.id, "interrupted", {"reason": "the Encoder died"}, owner="me")
    time.sleep(0.1)
    # Its driver died between two tries.
    taken = claim(store, "you")
    assert taken is not None and (taken.tries, len(taken.interruptions)) == (1, 1)
    store.release(["you"])
    again = claim(store, "we")
    assert again is not None and (again.tries, len(again.interruptions)) == (1, 1)


def test_what_is_released_is_free_at_once_and_its_try_does_not_count(store: Store) -> None:
    made, waiting = store.create(a_job("a")), store.create(a_job("b"))
    for _ in range(2):
        claim(store, "me")
    store.record(made.id, "started", {}, owner="me", status="in_progress", tries=1)
    store.release(["me"])
    taken = {job.id: job for _ in range(2) if (job := claim(store, "you")) is not None}
    found = {name: (job.tries, job.interruptions) for name, job in taken.items()}
    assert found == {made.id: (0, []), waiting.id: (0, [])}


def test_an_interruption_is_recorded_with_its_try_and_its_reason(store: Store) -> None:
    made = store.create(a_job())
    store.record(made.id, "started", {}, status="in_progress", tries=2)
    event = store.record(made.id, "interrupted", {"reason": "the Encoder died"})
    job = store.get(made.id)
    assert job is not None and event is not None and job.interruptions == [event.data] and event.data["attempt"] == 2
    assert job.started_at is not None and job.created_at <= job.started_at <= event.data["at"]


def test_the_keys_take_turns_and_each_keys_jobs_keep_their_order(store: Store) -> None:
    for number in range(4):
        store.create(a_job(f"a{number}", api_key="alice"))
    for number in range(2):
        store.create(a_job(f"b{number}", api_key="bob"))
    claimed = [job.id for _ in range(6) if (job := claim(store, "me")) is not None]
    assert claimed == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_beyond_the_bound_only_idle_keys_have_a_turn(store: Store) -> None:
    for number in range(2):
        store.create(a_job(f"a{number}", api_key="alice"))
    claim(store, "me")
    store.create(a_job("b", api_key="bob"))
    found = claim(store, "you", only_idle_keys=True)
    assert found is not None and found.id == "b"
    assert claim(store, "you", only_idle_keys=True) is None


def test_each_class_is_claimed_by_itself(store: Store) -> None:
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
