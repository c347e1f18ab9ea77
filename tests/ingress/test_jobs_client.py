"""The client of Jobs, with a handle whose replicas die and whose database is sometimes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest
from ray.exceptions import RayActorError

from deployments.ingress import jobs_client
from deployments.ingress.errors import ApiError
from deployments.ingress.jobs_client import JobsClient
from deployments.jobs.admission import IdempotencyMismatch, QueueFull
from deployments.jobs.job import DatabaseAway, Job, JobEvent


@dataclass(frozen=True)
class Pause:
    """A pause in a stream."""

    seconds: float


class Response:
    """The result of a call: awaited for an answer, iterated for a stream."""

    def __init__(self, script: Any) -> None:
        self.script = script
        self.cancelled = False

    def __await__(self) -> Any:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        if isinstance(self.script, Exception):
            raise self.script
        return await self.script() if callable(self.script) else self.script

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.script:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, Pause):
                await asyncio.sleep(item.seconds)
                continue
            yield item

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """A handle that gives scripted answers one after the other, and records its calls."""

    def __init__(self, **scripts: list[Any]) -> None:
        self.scripts = scripts
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def options(self, **_: Any) -> Handle:
        return self

    def __getattr__(self, name: str) -> Any:
        handle = self

        class Method:
            @staticmethod
            def remote(*arguments: Any) -> Response:
                handle.calls.append((name, arguments))
                return Response(handle.scripts[name].pop(0))

        return Method


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_client, "RETRY_PAUSE_S", 0.01)
    monkeypatch.setattr(jobs_client, "RETRY_FOR_S", 0.2)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def a_job(**given: Any) -> Job:
    request = {"fields": {}, "media": {}, "output": {"target": "memory://none/x.mp4"}}
    return Job("video_gen_1", "video", "m", "nano", "decoder", True, request, {}, **given)


def test_a_call_is_repeated_after_a_replica_has_died() -> None:
    async def test() -> None:
        handle = Handle(get=[RayActorError(), DatabaseAway(), a_job()])
        assert await JobsClient(handle).get("video_gen_1") == a_job()
        assert handle.calls == [("get", ("video_gen_1",))] * 3

    run(test)


def test_a_503_if_jobs_does_not_come_back() -> None:
    async def test() -> None:
        with pytest.raises(ApiError) as caught:
            await JobsClient(Handle(get=[RayActorError()] * 100)).get("x")
        assert caught.value.status == 503 and "Retry-After" in caught.value.headers

    run(test)


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [(QueueFull("no", 7), 429, {"Retry-After": "7"}), (IdempotencyMismatch("k"), 422, {}), (ValueError(), 500, {})],
)
def test_other_errors_are_not_retried(error: Exception, status: int, headers: dict[str, str]) -> None:
    async def test() -> None:
        handle = Handle(submit=[error])
        with pytest.raises(ApiError) as caught:
            await JobsClient(handle).submit(a_job())
        assert (caught.value.status, caught.value.headers) == (status, headers)
        # A refused job was never stored, so it is not deleted.
        assert [name for name, _ in handle.calls] == ["submit"]

    run(test)


@pytest.mark.parametrize("key", [None, "k"])
def test_a_client_hangs_up_while_its_job_is_submitted(key: str | None) -> None:
    """No client knows the job's id, so it is removed; with an idempotency key the client may send its request again."""

    async def test() -> None:
        stored, job = asyncio.Event(), a_job(idempotency_key=key)

        async def submitted() -> Job:
            await stored.wait()
            return job

        handle = Handle(submit=[submitted], delete=[job])
        submitting = asyncio.create_task(JobsClient(handle).submit(job))
        await asyncio.sleep(0.05)
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting
        assert [name for name, _ in handle.calls] == ["submit"]
        stored.set()
        await asyncio.sleep(0.05)
        assert [name for name, _ in handle.calls] == ["submit", *(["delete"] if key is None else [])]

    run(test)


def event(number: int, kind: Any = "step") -> JobEvent:
    return JobEvent(number, kind, {}, 0.0)


def test_a_broken_stream_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        broken = [[event(1), event(0, "queued"), event(2), RayActorError()], [DatabaseAway()], [event(3, "done")]]
        handle = Handle(watch=broken)
        received = [event async for event in JobsClient(handle).watch("x", attend=True)]
        assert [event.number for event in received] == [1, 0, 2, 3]
        assert [arguments[:3] for _, arguments in handle.calls] == [
            ("x", 0, True),
            ("x", 2, True),
            ("x", 2, True),
        ]

    run(test)


def test_the_time_for_retries_starts_with_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queued job has no events for minutes; if a replica dies then, that is the first failure."""
    monkeypatch.setattr(jobs_client, "LONG_CALL_S", 0.1)

    async def test() -> None:
        handle = Handle(watch=[[event(1), Pause(0.5), RayActorError()], [event(2, "done")]])
        received = [event.number async for event in JobsClient(handle).watch("x")]
        assert received == [1, 2]

    run(test)
