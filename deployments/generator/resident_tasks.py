"""The tasks that a rank holds: fetched, stepped, evicted, saved, published."""

from __future__ import annotations

import resource
import time
from functools import partial

import ray
import torch

from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.codecs.preview import preview
from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.media.stills import encode_image
from cosmos3_core.model.layout import Modality, latent_shapes
from cosmos3_core.model.sequence import sha256_of
from cosmos3_core.provenance import DenoiseFacts
from cosmos3_core.request import Step
from cosmos3_core.sampling.denoise import Conditioning, DenoiseState
from cosmos3_core.stages.denoiser import Denoiser, DenoiseTask
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import TextKeyValues
from deployments.generator.rank import Begun
from deployments.logs import log, logs_for
from deployments.wire.handoff import fetch_conditioning, fetch_heads, to_array
from deployments.wire.media_store import read_media, write_media
from deployments.wire.messages import EncodedMessage, HandoffLost, KeyValuesReference, LatentsMessage

PREVIEW_QUALITY = 80


class ResidentTasks:
    """The tasks of one rank by their ids, and the prompts' keys and values that it keeps.

    Attributes:
        denoiser: the rank's part of the generation tower.
    """

    def __init__(self, denoiser: Denoiser, key_value_bytes: int) -> None:
        self.denoiser = denoiser
        self._device = denoiser.settings.torch_device
        self._prompts: ByteCache[str, TextKeyValues] = ByteCache(key_value_bytes, lambda entry: entry.values.nbytes)
        self._tasks: dict[str, DenoiseTask] = {}
        self._evicted: dict[str, DenoiseState] = {}
        self._steps = self._fetched_bytes = self._snapshots = 0
        self._fetch_seconds = 0.0

    def begin(self, task_id: str, message: EncodedMessage, snapshot: str | None, spread: bool) -> Begun:
        """Fetch what a task needs and make it resident, from its evicted state, its snapshot or its first step.

        Raises:
            HandoffLost: the object store no longer has what the Encoder sent.
        """
        before = self._fetched_bytes
        try:
            request = self._request(message, spread)
        except ray.exceptions.RayError as error:
            raise HandoffLost(f"the Encoder's result cannot be fetched: {type(error).__name__}") from error
        state = self._evicted.pop(task_id, None) or self._saved(task_id, request, snapshot)
        task = self._tasks[task_id] = self.denoiser.start(request, state=state, spread=spread)
        return Begun(fetched_bytes=self._fetched_bytes - before, step=task.state.step)

    def _saved(self, task_id: str, request: EncodedRequest, snapshot: str | None) -> DenoiseState | None:
        if snapshot is None:
            return None
        try:
            state = DenoiseState.from_bytes(read_media(snapshot))
            state.check(latent_shapes(self.denoiser.tower.config, request.layout), request.sampling)
        except FileNotFoundError:
            return None
        except Exception as error:
            # If the store or the file fails, starting over gives the same result, only later.
            with logs_for(task_id):
                log.warning("the snapshot is not used, starting over: %s", error)
            return None
        return state.resumed()

    def step(self, task_ids: list[str]) -> list[Step]:
        """Make the next step of some tasks, in one forward pass."""
        self._steps += len(task_ids)
        return self.denoiser.step_together([self._tasks[task_id] for task_id in task_ids])

    def evict(self, task_id: str) -> None:
        """Take a task off the device and keep its state in host memory."""
        self._evicted[task_id] = self._tasks.pop(task_id).state.map(torch.Tensor.cpu)

    def save(self, task_id: str, uri: str) -> int:
        """Write a snapshot of a task as it is now, while a step may be running.

        Returns:
            The number of steps in it; 0 if the task is gone.
        """
        task = self._tasks.get(task_id)
        found = self._evicted.get(task_id) if task is None else task.state
        if found is None:
            return 0
        state = found.map(torch.Tensor.cpu)
        content = state.to_bytes()
        write_media(uri, lambda target: target.write(content))
        self._snapshots += 1
        return state.step

    def preview(self, task_id: str, colours: PreviewMap) -> bytes | None:
        """A small JPEG of what a task is about to become; None if the sampler has no estimate of that yet."""
        task = self._tasks.get(task_id)
        solver = task.state.solver.get(Modality.VISION) if task else None
        if solver is None or not solver.clean:
            return None
        return encode_image(preview(solver.clean[-1].cpu(), colours), "jpeg", PREVIEW_QUALITY)

    def finish(self, task_id: str) -> LatentsMessage:
        """Publish a finished task's latents and drop the task."""
        task = self._tasks.pop(task_id)
        latents = {name: x.cpu() for name, x in task.state.latents.items()}
        arrays = {name.value: to_array(x) for name, x in latents.items()}
        return LatentsMessage(
            reference=ray.put(arrays),
            sha256=sha256_of(latents),
            nbytes=sum(array.nbytes for array in arrays.values()),
            steps=task.state.step,
            fetched_bytes=0,
            peak_memory_bytes=self._peak_memory(),
            facts=DenoiseFacts.of(self.denoiser, task),
        )

    def drop(self, task_id: str) -> None:
        """Drop a task and its state."""
        self._tasks.pop(task_id, None)
        self._evicted.pop(task_id, None)

    def stats(self) -> dict[str, float]:
        """Counters and gauges."""
        return {
            "bytes_read": self.denoiser.report.bytes_read,
            "adapter_bytes": self.denoiser.report.adapter_bytes,
            "steps": self._steps,
            "snapshots": self._snapshots,
            "resident_tasks": len(self._tasks),
            "parked_tasks": len(self._evicted),
            "bytes_fetched": self._fetched_bytes,
            "fetch_seconds": self._fetch_seconds,
            "key_value_cache_hits": self._prompts.hits,
            "key_value_cache_misses": self._prompts.misses,
            "key_value_cache_bytes": self._prompts.held,
        }

    def _peak_memory(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _request(self, message: EncodedMessage, spread: bool) -> EncodedRequest:
        unconditional, guidance = message.unconditional, message.sampling.guidance
        reads = partial(self.denoiser.reads, guidance, spread=spread)
        return EncodedRequest(
            conditional=self._key_values(message.conditional, reads(negative=False), spread),
            unconditional=(
                None if unconditional is None else self._key_values(unconditional, reads(negative=True), spread)
            ),
            layout=message.layout,
            conditioning=self._conditioning(message),
            sampling=message.sampling,
            adapters=message.adapters,
        )

    def _key_values(self, reference: KeyValuesReference, wanted: bool, spread: bool) -> TextKeyValues:
        """The heads that this rank attends with. Of a text that only other ranks read, just the shape."""
        heads = self.denoiser.heads(spread)
        if not wanted:
            config = self.denoiser.tower.config
            shape = (config.num_hidden_layers, 2, heads.stop - heads.start, reference.tokens, config.head_dim)
            return TextKeyValues(reference.key, torch.empty(shape, device="meta"))
        key = f"{reference.key} {heads.start}:{heads.stop}"
        known = self._prompts.get(key)
        if known is None:
            started = time.perf_counter()
            values = fetch_heads(reference.values, heads, self._device)
            known = TextKeyValues(reference.key, values)
            self._fetch_seconds += time.perf_counter() - started
            self._prompts.put(key, known)
            self._fetched_bytes += values.nbytes
        return known

    def _conditioning(self, message: EncodedMessage) -> Conditioning:
        device = self._device
        if message.conditioning is None:
            return Conditioning.none(latent_shapes(self.denoiser.tower.config, message.layout), device)
        self._fetched_bytes += message.conditioning_bytes
        return fetch_conditioning(message.conditioning, device)
