"""How a job is driven: its tries, its progress, and stages and databases that are not available."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from ray.exceptions import RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError

from deployments.jobs import driver
from deployments.jobs.job import DatabaseAway, Job
from deployments.wire.messages import HandoffLost
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt, UpsamplingFailed
from tests.jobs.replicas import FailingStore, a_job, first, kill, run, started, stepping, use_flow


def test_a_job_is_queued_until_its_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        turn = asyncio.Event()
        use_flow(monkeypatch, stepping(turn, []))
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            assert (await first(replica, "job", "queued", after=1)).data == {"position": 0}
            turn.set()
            await first(replica, "job", "step")
            job = await replica.get("job")
            assert job is not None and (job.status, job.progress, job.tries) == ("in_progress", 50, 1)

    run(test)


def test_a_job_whose_drivers_die_in_each_try_fails_with_the_reasons(tmp_path: Path, endless: None) -> None:
    async def test() -> None:
        settings = {"lease_s": 1, "max_tries": 2}
        async with started(tmp_path, **settings) as one:
            await one.submit(a_job(tmp_path, "job"))
            await first(one, "job", "started")
            await kill(one)
            async with started(tmp_path, **settings) as two:
                await first(two, "job", "started", after=2)
                await kill(two)
                async with started(tmp_path, **settings) as three:
                    failed = await first(three, "job", "failed")
        message = failed.data["error"]["message"]
        assert message.startswith("gave up after 2 tries") and message.count("the Jobs process that drove it died") == 2

    run(test)


def test_a_stage_that_is_not_available_costs_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "UNAVAILABLE_S", 0.01)
    resumed: list[bool] = []

    async def generate(*, resume: bool, **_: Any) -> None:
        resumed.append(resume)
        if len(resumed) < 3:
            raise cast(Any, DeploymentUnavailableError)("Decoder")
        await asyncio.Event().wait()

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            while len(resumed) < 3:
                await asyncio.sleep(0.01)
            job = await replica.get("job")
            # No process has died.
            assert resumed == [False, True, True] and job is not None and (job.tries, job.interruptions) == (1, [])

    run(test)


def test_a_database_that_is_away_fails_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        runs: list[Any] = []
        turn = asyncio.Event()
        use_flow(monkeypatch, stepping(turn, runs))
        async with started(tmp_path) as replica:
            await replica.submit(a_job(tmp_path, "job"))
            await first(replica, "job", "started")
            failing = FailingStore(replica, monkeypatch, "record", "renew", "get")
            turn.set()
            await asyncio.sleep(1)
            with pytest.raises(DatabaseAway):
                await replica.get("job")
            with pytest.raises(DatabaseAway):
                await first(replica, "job", "step", after=1)
            failing.available = True
            assert (await first(replica, "job", "step", after=1)).data["index"] == 1
            job = await replica.get("job")
            assert job is not None and (job.status, job.tries, job.interruptions) == ("in_progress", 1, [])
            assert len(runs) == 1

    run(test)


UPSAMPLE: dict[str, Any] = {
    "mode": "text2image",
    "prompt": "a robot",
    "width": 64,
    "height": 64,
    "num_frames": 1,
    "fps": 24.0,
    "seed": 7,
    "image": None,
}
WRITTEN = UpsampledPrompt(prompt='{"context": "a robot"}', template_sha256="0", seconds=1.5)


def plain_job(folder: Path) -> Job:
    """A job whose prompt is to be upsampled."""
    job = a_job(folder, "job")
    return replace(job, request={**job.request, "upsample": UPSAMPLE})


def test_an_upsampled_prompt_is_kept_before_the_generation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[tuple[Any, Any]] = []

    async def generate(*, call: Any, upsampled: Any, report: Any, **_: Any) -> None:
        tries.append((call.upsample, upsampled))
        if upsampled is None:
            await report(WRITTEN)
            raise HandoffLost("a process died")
        await asyncio.Event().wait()

    monkeypatch.setattr(driver, "RETRY_DELAY_S", 0.01)
    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path, lease_s=1) as one:
            await one.submit(plain_job(tmp_path))
            event = await first(one, "job", "upsampled")
            assert event.data == {"prompt": WRITTEN.prompt}
            # The next try of the same process has it,
            await first(one, "job", "started", after=event.number)
            await kill(one)
            job = one.store.get("job")
            assert job is not None and job.upsampled_prompt == WRITTEN.prompt
        async with started(tmp_path, lease_s=1) as two:
            # and that of another process has it too.
            while len(tries) < 3:
                await asyncio.sleep(0.05)
            assert (await two.get("job")) is not None
        assert [upsampled for _, upsampled in tries] == [None, WRITTEN, WRITTEN]
        assert {call for call, _ in tries} == {UpsampleCall(**UPSAMPLE)}

    run(test)


def test_a_job_that_no_client_waits_for_asks_a_busy_reasoner_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "UNAVAILABLE_S", 0.01)
    asked: list[str] = []

    async def generate(*, call: Any, **_: Any) -> None:
        asked.append(call.job_id)
        if len(asked) < 4:
            raise UpsamplingFailed("the Reasoner is busy", again=True)
        await asyncio.Event().wait()

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(replace(plain_job(tmp_path), detached=True))
            while len(asked) < 4:
                await asyncio.sleep(0.01)
            job = await replica.get("job")
            assert job is not None and (job.tries, job.interruptions, job.final) == (1, [], False)

    run(test)


@pytest.mark.parametrize(
    ("again", "detached", "code"), [(True, False, 503), (False, False, 502), (False, True, 502), (True, True, 503)]
)
def test_a_job_without_a_prompt_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool, detached: bool, code: int
) -> None:
    monkeypatch.setattr(driver, "UPSAMPLING_PATIENCE_S", 0.0)

    async def generate(**_: Any) -> None:
        failed = UpsamplingFailed("the Reasoner wrote none", again)
        raise cast(Any, RayTaskError)("upsample", "a traceback", failed).as_instanceof_cause()

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(replace(plain_job(tmp_path), detached=detached))
            failed = await first(replica, "job", "failed")
            assert failed.data["error"] == {"code": code, "message": "the Reasoner wrote none"}
            job = await replica.get("job")
            # Asking again at once would meet the same Reasoner.
            assert job is not None and (job.status, job.tries) == ("failed", 1)

    run(test)
