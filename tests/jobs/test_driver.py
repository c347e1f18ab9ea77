"""How a job is driven: its tries, its progress, and stages and databases that are not available."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import RayTaskError
from ray.serve.exceptions import DeploymentUnavailableError

from cosmos3_core.guardrails.record import GuardrailCheck, GuardrailRecord, Outcome
from cosmos3_core.guardrails.verdict import ContentBlocked
from cosmos3_core.manifest import Manifest
from deployments.jobs import driver
from deployments.jobs.flow import GenerationOutcome, MadePart, Timings
from deployments.jobs.job import DatabaseAway, Job
from deployments.wire.calls import DecodedFile
from deployments.wire.guardrails import GuardrailsUnavailable, JobGuardrails
from deployments.wire.media_store import MediaStore, write_media
from deployments.wire.messages import HandoffLost, LatentsMessage
from deployments.wire.upsampling import UpsampleCall, UpsampledPrompt, UpsamplingFailed
from tests.jobs.replicas import FailingStore, a_job, first, kill, run, started, stepping, use_flow
from tests.manifests import denoise_facts, encode_facts


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


CHECK = GuardrailCheck(guardrail="blocklist", sha256="0", of="prompt", outcome=Outcome.ALLOWED)
BLOCKED = GuardrailCheck(
    guardrail="frames_classifier", sha256="1", of="frames", outcome=Outcome.BLOCKED, reason="show Violence"
)


def guarded_job(folder: Path) -> Job:
    """A job whose frames are to be checked."""
    job = a_job(folder, "job")
    return replace(job, request={**job.request, "guardrails": JobGuardrails("checks", (CHECK,)).to_json()})


def test_a_blocked_job_fails_with_the_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def generate(*, output: Any, wrote: Any, guardrails: Any, **_: Any) -> None:
        assert guardrails == JobGuardrails("checks", (CHECK,))
        part = output.target.replace(".mp4", ".0.mp4")
        wrote(part)
        write_media(part, lambda target: target.write(b"a part that was allowed"))
        raise ContentBlocked(BLOCKED)

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(guarded_job(tmp_path))
            error = (await first(replica, "job", "failed")).data["error"]
            assert (error["code"], error["type"]) == (400, "content_policy_violation")
            assert error["message"].startswith("Output was blocked by Cosmos3 guardrails. frames show Violence")
            job = await replica.get("job")
            assert job is not None and (job.status, job.guarded, job.tries) == ("failed", "blocked", 1)
            assert job.guardrail_checks == [CHECK.model_dump(mode="json")]
            media = MediaStore(f"file://{tmp_path / 'media'}")
            deadline = asyncio.get_running_loop().time() + 10
            while [file for folder in ("inputs", "outputs") for file in media.files(folder)]:
                assert asyncio.get_running_loop().time() < deadline, media.files("outputs")
                await asyncio.sleep(0.05)

    run(test)


def test_a_job_that_fails_for_another_reason_waits_for_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def generate(**_: Any) -> None:
        raise RuntimeError("out of memory")

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(guarded_job(tmp_path))
            await first(replica, "job", "failed")
            job = await replica.get("job")
            assert job is not None and (job.status, job.guarded) == ("failed", "unchecked")

    run(test)


@pytest.mark.parametrize("error", [GuardrailsUnavailable("they are starting"), HandoffLost("a process died")])
def test_the_files_of_an_attempt_are_removed_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(driver, "UNAVAILABLE_S", 0.01)
    monkeypatch.setattr(driver, "RETRY_DELAY_S", 0.01)
    media = MediaStore(f"file://{tmp_path / 'media'}")
    found: list[int] = []

    async def generate(*, output: Any, wrote: Any, **_: Any) -> None:
        found.append(len(list(media.files("outputs"))))
        if len(found) == 3:
            raise ContentBlocked(BLOCKED)
        for name in (".0.mp4", ".1.mp4"):
            part = output.target.replace(".mp4", name)
            wrote(part)
            write_media(part, lambda target: target.write(b"a part that was allowed"))
        raise error

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path, max_tries=3) as replica:
            await replica.submit(guarded_job(tmp_path))
            await first(replica, "job", "failed")
        assert found == [0, 0, 0]

    run(test)


def test_guardrails_that_cannot_be_asked_let_nothing_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "UNAVAILABLE_S", 0.01)
    resumed: list[bool] = []

    async def generate(*, resume: bool, **_: Any) -> None:
        resumed.append(resume)
        if len(resumed) < 4:
            raise GuardrailsUnavailable("they are starting")
        raise ContentBlocked(BLOCKED)

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path) as replica:
            await replica.submit(guarded_job(tmp_path))
            assert (await first(replica, "job", "failed")).data["error"]["code"] == 400
            job = await replica.get("job")
            assert resumed == [False, True, True, True] and job is not None and job.tries == 1

    run(test)


def test_a_job_that_another_process_goes_on_with_keeps_its_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    async def generate(*, guardrails: Any, **_: Any) -> None:
        told.append(guardrails)
        await asyncio.Event().wait()

    use_flow(monkeypatch, generate)

    async def test() -> None:
        async with started(tmp_path, lease_s=1) as one:
            await one.submit(guarded_job(tmp_path))
            await first(one, "job", "started")
            while not told:
                await asyncio.sleep(0.01)
            await kill(one)
        async with started(tmp_path, lease_s=1):
            while len(told) < 2:
                await asyncio.sleep(0.05)
        assert told == [JobGuardrails("checks", (CHECK,))] * 2

    run(test)


@pytest.mark.parametrize(
    ("checked", "shown", "said", "verdict"),
    [
        (JobGuardrails("checks", (CHECK,)), {}, ["allowed"], "passed"),
        (JobGuardrails("checks", (CHECK,)), {}, ["blurred"], "blurred"),
        (None, {"guardrails": "off"}, [], "off"),
        (None, {"guardrails": "skipped"}, [], "skipped"),
    ],
)
def test_the_result_and_the_manifest_hold_every_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    checked: JobGuardrails | None,
    shown: dict[str, Any],
    said: list[str],
    verdict: str,
) -> None:
    frames = [GuardrailCheck(guardrail="face_blur", sha256="1", of="frames", outcome=Outcome(word)) for word in said]

    async def generate(*, guardrails: JobGuardrails | None, **_: Any) -> GenerationOutcome:
        return outcome_of(() if guardrails is None else guardrails.checks, tuple(frames))

    use_flow(monkeypatch, generate)

    async def test() -> None:
        job = replace(a_job(tmp_path, "job"), shown=shown)
        given = {} if checked is None else {"guardrails": checked.to_json()}
        async with started(tmp_path) as replica:
            await replica.submit(replace(job, request={**job.request, **given}))
            await first(replica, "job", "done")
            done = await replica.get("job")
        assert done is not None and done.result is not None and done.guarded == verdict
        manifest = Manifest.model_validate(done.result["manifest"])
        expected = [*([] if checked is None else [CHECK]), *frames]
        assert manifest.guardrails == GuardrailRecord(verdict=verdict, checks=tuple(expected))  # type: ignore[arg-type]
        assert done.guardrail_checks == [check.model_dump(mode="json") for check in expected]

    run(test)


def outcome_of(texts: tuple[GuardrailCheck, ...], frames: tuple[GuardrailCheck, ...]) -> GenerationOutcome:
    """A finished generation of one part."""
    clip = SimpleNamespace(width=64, height=64, fps=10.0)
    encoded: Any = SimpleNamespace(clip=clip, facts=encode_facts(), sampling=SimpleNamespace(seed=0))
    latents = LatentsMessage(None, {"vision": "0"}, 0, 1, 0, 0, denoise_facts())
    file = DecodedFile("file:///a.mp4", 1, 5, None, checks=frames)
    return GenerationOutcome(file, (MadePart(encoded, latents, file),), Timings(), checks=texts)
