"""A rank of a Generator's gang: the process that holds generation weights and makes denoising steps.

It decides nothing: the leader says which task takes a step. A second thread answers pings while a step runs.
"""

from __future__ import annotations

import resource
import time

import ray
import torch

from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.errors import CosmosError
from cosmos3_core.model.sequence import sha256_of
from cosmos3_core.request import Step
from cosmos3_core.sampling.denoise import Conditioning
from cosmos3_core.stages.denoiser import Denoiser, DenoiseTask
from cosmos3_core.stages.encoder import EncodedRequest, latent_shapes
from cosmos3_core.stages.understanding import TextKeyValues
from deployments.handoff import (
    EncodedMessage,
    KeyValuesReference,
    LatentsMessage,
    fetch,
    fetch_conditioning,
    to_array,
)
from deployments.settings import ModelSettings


class HandoffLost(CosmosError):
    """What the Encoder sent died with it before it was fetched: encode again."""


class Rank:
    """The generation tower, prompts' keys and values, and the tasks being denoised."""

    def __init__(self, settings: ModelSettings) -> None:
        assert settings.generator is not None
        self.settings = settings.generator
        self.execution = self.settings.execution()
        self.denoiser = Denoiser.from_checkpoint(settings.find_checkpoint(), self.execution)
        self._prompts: ByteCache[str, TextKeyValues] = ByteCache(
            self.settings.key_value_bytes, lambda entry: entry.values.nbytes
        )
        self._tasks: dict[str, DenoiseTask] = {}
        self._fetched: dict[str, int] = {}
        self._steps = self._fetched_bytes = 0
        self._fetch_seconds = 0.0

    def warm_up(self) -> None:
        """Make one small step before the replica calls itself ready."""
        self.denoiser.warm_up()

    def start(self, task_id: str, message: EncodedMessage) -> int:
        """Fetch what a task needs and draw its noise.

        Returns:
            Bytes that crossed to this rank for it.

        Raises:
            HandoffLost: the object store no longer has it.
        """
        # Ray runs methods in another thread than the constructor, and torch counts threads per thread.
        if self.settings.threads is not None:
            torch.set_num_threads(self.settings.threads)
        before = self._fetched_bytes
        try:
            request = self._request(message)
        except ray.exceptions.RayError as error:
            raise HandoffLost(f"the Encoder's result cannot be fetched: {type(error).__name__}") from error
        self._tasks[task_id] = self.denoiser.start(request)
        self._fetched[task_id] = self._fetched_bytes - before
        return self._fetched[task_id]

    def step(self, task_id: str) -> Step:
        """Make a task's next step."""
        self._steps += 1
        return self.denoiser.step(self._tasks[task_id])

    def finish(self, task_id: str) -> LatentsMessage:
        """Publish a finished task's latents and forget it."""
        task = self._tasks.pop(task_id)
        latents = {name: x.cpu() for name, x in task.state.latents.items()}
        arrays = {name.value: to_array(x) for name, x in latents.items()}
        return LatentsMessage(
            reference=ray.put(arrays),
            sha256=sha256_of(latents),
            nbytes=sum(array.nbytes for array in arrays.values()),
            steps=task.state.step,
            fetched_bytes=self._fetched.pop(task_id),
            peak_memory_bytes=self._peak_memory(),
        )

    def drop(self, task_id: str) -> None:
        """Forget a task that is not wanted any more."""
        self._tasks.pop(task_id, None)
        self._fetched.pop(task_id, None)

    def ping(self) -> None:
        """Answer; on the control thread, so also while a step runs."""

    def stats(self) -> dict[str, float]:
        """Counters and gauges; on the control thread."""
        return {
            "bytes_read": self.denoiser.report.bytes_read,
            "steps": self._steps,
            "resident_tasks": len(self._tasks),
            "bytes_fetched": self._fetched_bytes,
            "fetch_seconds": self._fetch_seconds,
            "key_value_cache_hits": self._prompts.hits,
            "key_value_cache_misses": self._prompts.misses,
            "key_value_cache_bytes": self._prompts.held,
        }

    def _peak_memory(self) -> int:
        if self.execution.torch_device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.execution.torch_device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _request(self, message: EncodedMessage) -> EncodedRequest:
        unconditional = message.unconditional
        return EncodedRequest(
            conditional=self._key_values(message.conditional),
            unconditional=None if unconditional is None else self._key_values(unconditional),
            layout=message.layout,
            conditioning=self._conditioning(message),
            schedule=message.schedule,
            guidance=message.guidance,
            seed=message.seed,
            noise=message.noise,
            stochastic=message.stochastic,
        )

    def _key_values(self, reference: KeyValuesReference) -> TextKeyValues:
        known = self._prompts.get(reference.key)
        if known is None:
            started = time.perf_counter()
            known = TextKeyValues(reference.key, fetch(reference.values, self.execution.torch_device))
            self._fetch_seconds += time.perf_counter() - started
            self._prompts.put(reference.key, known)
            self._fetched_bytes += reference.values.nbytes
        return known

    def _conditioning(self, message: EncodedMessage) -> Conditioning:
        device = self.execution.torch_device
        if message.conditioning is None:
            return Conditioning.none(latent_shapes(self.denoiser.tower.config, message.layout), device)
        self._fetched_bytes += message.conditioning_bytes
        return fetch_conditioning(message.conditioning, device)
