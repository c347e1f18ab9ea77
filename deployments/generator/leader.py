"""The Generator stage: the leader of a gang of ranks, and the loop that carries out what the scheduler decides.

Request handlers only enqueue, listen and cancel. One background loop calls the ranks, one step at a time. So a cancel
takes effect before the next step, and one place decides the order of steps.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import ray

from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.hardware import recognise
from cosmos3_core.planning.memory import StepShape, task_bytes
from cosmos3_core.request import Step
from deployments.background import in_background
from deployments.generator.gang import Gang
from deployments.generator.previews import Previews
from deployments.generator.running_request import RunningRequest, Update
from deployments.generator.scheduler import Begin, Decision, Evict, Limits, Remove, Run, Scheduler, Task
from deployments.generator.snapshots import Snapshots
from deployments.logs import log, logs_for
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import ModelSettings
from deployments.stop_detection import StopDetector
from deployments.wire.callers import dead_among
from deployments.wire.calls import DenoiseCall
from deployments.wire.messages import LatentsMessage
from deployments.wire.replica import Replica
from deployments.wire.service_class import ServiceClass

WATCH_PERIOD_S = 1.0
PING_TIMEOUT_S = 5.0
MAX_MISSED_PINGS = 3
MAX_FAILURES_IN_A_ROW = 3
FLUSH_S = 1.0
SILENCE_S = 5.0


class Generator(Replica):
    """Deployment: the leader. It holds no weights."""

    async def __init__(self, settings: ModelSettings) -> None:  # type: ignore[misc]  # Serve awaits it
        assert settings.generator is not None
        self.settings = settings.generator
        self.config = settings.find_checkpoint().transformer_config
        self.settings.parallel.degrees.check(self.config)
        self.gang = Gang.create(settings)
        await self.gang.load()
        device = self.gang.facts[0].device
        hardware = recognise(None if device == "cpu" else device)
        degrees = self.settings.parallel.degrees
        # The costs of a request that the ranks share, and of one that every rank computes whole. Weights that tensor
        # parallelism has split stay split in both.
        self.spread, self.whole = (
            CostModel(self.config, hardware, split, batch_guidance=self.settings.batch_guidance)
            for split in (degrees, Degrees(tp=degrees.tp))
        )
        self.scheduler = Scheduler(_limits(self.settings))
        self._requests: dict[str, RunningRequest] = {}
        self._work = asyncio.Event()
        self._call_started: float | None = None
        self._missed_pings = 0
        self._snapshots = Snapshots(self.gang, self.settings.snapshot_interval_s)
        self._previews = Previews(self.gang, self.settings.preview_interval_s)
        self._stop_detector = StopDetector(SILENCE_S)
        self._failures_in_a_row = 0
        self._overhead_seconds = self._dispatch_seconds = self._step_seconds = self._step_flops = 0.0
        counts = ("tasks", "completed", "cancelled", "failed", "evicted", "resumed", "steps_after_cancel_max")
        self._counts = dict.fromkeys(counts, 0)
        self._loops = [in_background(loop) for loop in (self._run(), self._watch(), self._watch_callers())]

    async def check_health(self) -> None:
        """Serve asks this before the replica is ready and regularly from then on.

        A gang that cannot go on ends itself. It never answers that it is unhealthy: Serve would stop it gracefully and
        wait for streams that never end.
        """
        self._stop_detector.record_contact()
        if any(loop.done() for loop in self._loops):
            self._end("a loop of the leader has ended")

    async def denoise(self, call: DenoiseCall) -> AsyncIterator[Update]:
        """Denoise a request: a stream of steps that ends with the latents. Closing the stream cancels the request.

        The stream ends without latents when the same job arrives again, or when its caller has died.

        Raises:
            HandoffLost: what the Encoder sent is gone.
            TaskTooLarge: no rank could hold the request.
        """
        request = self._accept(call)
        try:
            while True:
                update = await request.updates.get()
                if update is None:
                    return
                if isinstance(update, BaseException):
                    raise update
                yield update
                if isinstance(update, LatentsMessage):
                    return
        finally:
            request.task.cancelled = True
            self._work.set()

    def _accept(self, call: DenoiseCall) -> RunningRequest:
        message, now = call.message, time.monotonic()
        # Other calls of this job come from callers that are gone, and whose cancels may not have arrived yet. But this
        # call may itself be the older one, if it arrives late.
        others = [other for other in self._requests.values() if other.call.job_id == call.job_id]
        late = any(other.call.attempt > call.attempt for other in others)
        for other in others:
            other.task.cancelled |= not late
        self._counts["tasks"] += 1
        shape = message.step_shape(self.config)
        cost = self._cost_of(shape)
        task = Task(
            id=f"{call.job_id}/{self._counts['tasks']}",
            service_class=call.service_class,
            memory_bytes=task_bytes(
                config=self.config,
                latent_values=message.latent_values(self.config),
                step=shape,
                degrees=cost.degrees,
                bytes_per_value=message.bytes_per_value,
                given_values=message.given_values(self.config),
            ),
            shape=(shape.tokens, cost is self.spread, message.adapters),
            step_seconds=cost.step_seconds(shape),
            steps_left=message.sampling.steps,
            waiting_since=now,
        )
        task.cancelled = late
        self.scheduler.add(task)
        request = self._requests[task.id] = RunningRequest(task=task, call=call, shape=shape, cost=cost, saved_at=now)
        self._work.set()
        return request

    def _cost_of(self, shape: StepShape) -> CostModel:
        """The faster way to make its steps: ranks that share a small shape communicate more than they compute.

        Only formulas decide. If measured times decided, a retry might go the other way and give other bits.
        """
        if self.settings.spread == "always":
            return self.spread
        faster = self.spread.estimated_seconds(shape) < self.whole.estimated_seconds(shape)
        return self.spread if faster or self.spread.degrees == self.whole.degrees else self.whole

    async def _run(self) -> None:
        """The step loop."""
        while True:
            started = time.perf_counter()
            decision = self.scheduler.next(time.monotonic())
            self._overhead_seconds += time.perf_counter() - started
            if decision is None:
                self._work.clear()
                await self._work.wait()
            else:
                await self._carry_out(decision)

    async def _carry_out(self, decision: Decision) -> None:
        tasks = decision.tasks if isinstance(decision, Run) else (decision.task,)
        requests = [self._requests[task.id] for task in tasks]
        with logs_for(", ".join(request.call.job_id for request in requests)):
            self._call_started = time.monotonic()
            try:
                await self._do(decision)
            except ray.exceptions.RayActorError:
                self._end("a rank died while it worked on a task")
            except Exception as error:
                log.exception("failed")
                if isinstance(decision, Run):
                    await self._fail_in_a_step(requests, error)
                else:
                    await self._fail(requests, error)
            finally:
                self._call_started = None

    async def _do(self, decision: Decision) -> None:
        match decision:
            case Remove(task):
                log.info("cancelled")
                self._counts["cancelled"] += 1
                request = self._requests[task.id]
                await self._remove(request)
                # A stream that nobody reads counts as an ongoing request of this replica until it ends.
                request.updates.put_nowait(None)
            case Begin(task):
                await self._begin(self._requests[task.id])
            case Evict(task):
                log.info("evicted to make room")
                self._counts["evicted"] += 1
                await self.gang.evict(task.id)
                task.resident = False
            case Run(tasks):
                await self._step([self._requests[task.id] for task in tasks])

    async def _begin(self, request: RunningRequest) -> None:
        task = request.task
        snapshot = request.call.snapshot if request.call.resume else None
        begun = await self.gang.begin(task.id, request.call.message, snapshot, spread=request.cost is self.spread)
        task.resident = True
        task.steps_left = request.call.message.sampling.steps - begun.step
        request.fetched_bytes += begun.fetched_bytes
        self._counts["resumed"] += begun.step > 0
        log.info("resident at step %d: fetched %d bytes", begun.step, begun.fetched_bytes)
        if not task.steps_left:
            await self._finish(request)

    async def _step(self, requests: Sequence[RunningRequest]) -> None:
        """Make one step of some requests, and do what follows from it."""
        tasks, started = [request.task for request in requests], time.perf_counter()
        steps = await self.gang.step([task.id for task in tasks])
        self._failures_in_a_row = 0
        self._dispatch_seconds += time.perf_counter() - started - steps[0].seconds
        started = time.perf_counter()
        self.scheduler.stepped(tasks, time.monotonic())
        self._learn(requests, steps)
        for request, step in zip(requests, steps, strict=True):
            self._report(request, step)
        self._overhead_seconds += time.perf_counter() - started
        for request in requests:
            if request.task.steps_left:
                self._snapshots.save_if_due(request)
                self._previews.show_if_due(request)
            else:
                await self._finish(request)

    def _learn(self, requests: Sequence[RunningRequest], steps: Sequence[Step]) -> None:
        """Correct the estimates of all tasks by what a step took: estimates of different ages cannot be compared."""
        for request, step in zip(requests, steps, strict=True):
            request.cost.observe(request.shape, step.seconds, len(requests))
            self._step_seconds += step.seconds / len(requests)
            self._step_flops += request.call.message.flops / step.count
        for request in self._requests.values():
            request.task.step_seconds = request.cost.step_seconds(request.shape)

    def _report(self, request: RunningRequest, step: Step) -> None:
        """Report a step to the listener. The time left includes the work that goes before this task."""
        task = request.task
        if task.cancelled:
            request.steps_after_cancel += 1
            most = max(self._counts["steps_after_cancel_max"], request.steps_after_cancel)
            self._counts["steps_after_cancel_max"] = most
        left = self.scheduler.expected_seconds(task) if task.steps_left else 0.0
        request.updates.put_nowait(replace(step, seconds_left=left))

    async def _finish(self, request: RunningRequest) -> None:
        try:
            if request.call.keep:
                await self._snapshots.save_last(request)
            latents = await self.gang.finish(request.task.id)
        except ray.exceptions.RayActorError:
            raise
        except Exception as error:
            log.exception("failed to finish")
            await self._fail([request], error)
            return
        self._counts["completed"] += 1
        request.updates.put_nowait(replace(latents, fetched_bytes=request.fetched_bytes))
        self._forget(request)

    async def _fail(self, requests: Sequence[RunningRequest], error: BaseException) -> None:
        for request in requests:
            self._counts["failed"] += 1
            await self._remove(request)
            # Last, because a caller that learns of the error may try again at once.
            request.updates.put_nowait(error)

    async def _fail_in_a_step(self, requests: Sequence[RunningRequest], error: BaseException) -> None:
        """Fail requests whose step failed. End the gang if its ranks may differ now, or if it fails again and again."""
        self._failures_in_a_row += 1
        if len(self.gang.ranks) == 1 and self._failures_in_a_row < MAX_FAILURES_IN_A_ROW:
            await self._fail(requests, error)
            return
        for request in requests:
            request.updates.put_nowait(error)
        # Time for the errors to reach their callers. Only the other requests of the gang are tried again.
        await asyncio.sleep(FLUSH_S)
        self._end("a step failed")

    async def _remove(self, request: RunningRequest) -> None:
        await self.gang.drop(request.task.id)
        self._forget(request)

    def _forget(self, request: RunningRequest) -> None:
        self.scheduler.remove(request.task)
        self._requests.pop(request.task.id, None)

    async def _watch(self) -> None:
        """Save all requests before a stop. End a gang with a rank that is dead or stuck, even while no step runs."""
        while True:
            await asyncio.sleep(WATCH_PERIOD_S)
            if self._stop_detector.stop_expected:
                self._snapshots.save_all(self._requests.values(), since=self._stop_detector.last_contact)
            started, deadline = self._call_started, self.settings.step_deadline_s
            if started is not None and time.monotonic() - started > deadline:
                self._end(f"a call of the ranks has run for more than {deadline:g} s")
            try:
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await self.gang.ping()
            except ray.exceptions.RayActorError:
                self._end("a rank is dead")
            except TimeoutError:
                self._missed_pings += 1
                if self._missed_pings >= MAX_MISSED_PINGS:
                    self._end(f"a rank did not answer {MAX_MISSED_PINGS} times")
            else:
                self._missed_pings = 0

    async def _watch_callers(self) -> None:
        """Save and cancel requests whose caller has died. The job's next caller goes on from the snapshot."""
        while True:
            await asyncio.sleep(WATCH_PERIOD_S)
            dead = await dead_among(request.call.caller for request in self._requests.values())
            for request in [one for one in self._requests.values() if one.call.caller in dead]:
                with logs_for(request.call.job_id):
                    log.warning("its caller has died")
                    await self._snapshots.save_last(request)
                request.task.cancelled = True
                self._work.set()

    def _end(self, reason: str) -> None:
        """End this process and all ranks, so that Serve replaces the whole gang at once; it needs every rank."""
        log.error("%s: the gang ends and is replaced", reason)
        try:
            self.gang.kill()
        finally:
            os._exit(1)

    def record_routing_stats(self) -> dict[str, float]:
        """The figures that a router chooses by: the seconds of work that wait, and the work done in a second."""
        self._stop_detector.record_contact()
        hardware = self.spread.hardware
        expected = hardware.flops_per_second * hardware.product_efficiency * len(self.gang.ranks)
        measured = self._step_flops / self._step_seconds if self._step_seconds else expected
        return {"queued_seconds": self.scheduler.queued_seconds(), "flops_per_second": measured}

    async def stats(self) -> dict[str, float]:
        """Counters and gauges for `/metrics`."""
        waiting = [task for task in self.scheduler.tasks.values() if not task.resident]
        return {
            **await self.gang.stats(),
            **self._counts,
            "queued_tasks": len(self.scheduler.tasks),
            "waiting_tasks": len(waiting),
            "queued_seconds": self.scheduler.queued_seconds(),
            "task_bytes": self.scheduler.resident_bytes(),
            "scheduler_seconds": self._overhead_seconds,
            "dispatch_seconds": self._dispatch_seconds,
            "world_size": len(self.gang.ranks),
        }


def _limits(settings: GeneratorSettings) -> Limits:
    return Limits(
        memory_bytes=settings.resident_bytes,
        max_batch=settings.batch_tasks,
        patience_s={ServiceClass(name): seconds for name, seconds in settings.patience_s.model_dump().items()},
    )
