"""The stages composed in one process: the Python API, the reference of the tests, the body of the benchmarks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.manifest import GIVEN_NOISE, Manifest
from cosmos3_core.media.sound import fitted
from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.hashes import joined_sha256
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents, joined, sha256_of
from cosmos3_core.provenance import CheckpointFacts, DenoiseFacts, EncodeFacts, Prompt
from cosmos3_core.request import Event, Finished, GenerationRequest, StageName, Started, Step
from cosmos3_core.resolving.resolve import resolve
from cosmos3_core.resolving.resolved import ResolvedRequest
from cosmos3_core.sampling.denoise import DenoiseState
from cosmos3_core.settings import DtypeName, ExecutionSettings
from cosmos3_core.stages.decoder import Decoder, Tail
from cosmos3_core.stages.denoiser import Denoiser, DenoiseTask
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.encoder import Encoder

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class GenerationResult:
    """The result of a request.

    Attributes:
        request: the request with every number decided.
        latents: final latents per modality, fp32 on the CPU; those of several parts one after the other in time.
        frames: uint8 `[frames, height, width, 3]`.
        fps: frames per second.
        sound: fp32 `[2, samples]` in [-1, 1], or None; a given soundtrack as it was given.
        sampling_rate: samples per second of the sound, in Hz.
        action: fp32 `[rows, width]` in the model's normalised space where the mode predicts actions, else None.
        seconds: wall time per stage.
        manifest: what decided the result, so that it can be made again.
    """

    request: ResolvedRequest
    latents: Latents
    frames: Frames
    fps: float
    sound: NDArray[np.float32] | None
    sampling_rate: int
    action: NDArray[np.float32] | None
    seconds: dict[str, float]
    manifest: Manifest

    @property
    def latents_sha256(self) -> dict[str, str]:
        """Hash of the final latents per modality; equal hashes mean bit-identical results."""
        return self.manifest.latents_sha256


@dataclass(frozen=True)
class _Made:
    """One part of a generation.

    Attributes:
        encoded: what the Encoder made.
        task: its finished task.
        latents: the final ones, fp32 on the CPU.
        frames: those that the part before did not make, uint8 `[frames, height, width, 3]`.
        sound: its soundtrack.
        tail: its last frames, which the next part starts with.
    """

    encoded: EncodedRequest
    task: DenoiseTask
    latents: Latents
    frames: Frames
    sound: NDArray[np.float32] | None
    tail: Tensor | None


class LocalPipeline:
    """All stages of one checkpoint in this process."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: ExecutionSettings,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.facts = replace(checkpoint.facts, adapters=tuple(sorted(adapters or {})))
        self.settings = settings
        self.encoder = Encoder.from_checkpoint(checkpoint, settings)
        self.denoiser = Denoiser.from_checkpoint(checkpoint, settings, adapters=adapters)
        self.decoder = Decoder(checkpoint, settings)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | os.PathLike[str],
        *,
        device: str = "auto",
        dtype: DtypeName = "auto",
        attention: str = AttentionBackend.AUTO,
        batch_guidance: bool = True,
        revision: str | None = None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> LocalPipeline:
        """Load a checkpoint: a local folder or a Hugging Face id.

        `adapters` are safetensors files with LoRA, or their folders, by the names that requests use.

        Raises:
            RequestError: a setting this machine cannot run; it names the setting.
            CheckpointError: not found, gated, damaged, or too large for the device.
        """
        settings = ExecutionSettings(device=device, dtype=dtype, attention=attention, batch_guidance=batch_guidance)
        return cls(Checkpoint.find(path_or_id, revision), settings, adapters)

    def generate(
        self,
        request: GenerationRequest,
        noise: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]] | None = None,
        on_event: OnEvent | None = None,
    ) -> GenerationResult:
        """Run a request from words to frames.

        Args:
            request: what to generate.
            noise: standard normal noise per modality (`vision`, `sound`, `action`) instead of what the seed gives; of
                each part, where the request is made in several.
            on_event: called when a stage starts or ends, and after every denoising step.

        Raises:
            RequestError: the request cannot be served as asked; it names the field.
        """
        created_at, clock = time.time(), _StageClock(on_event)
        with clock.stage("encode"):
            inputs = read_inputs(request)
            resolved = resolve(request, self.facts, inputs)
            noises = _noise_of_parts(noise, len(resolved.parts))
            encoded = self.encoder.encode(resolved, inputs)
        made = [self._make(resolved, inputs, 0, encoded, noises[0], clock)]
        for index in range(1, len(resolved.parts)):
            with clock.stage("encode"):
                encoded = self.encoder.encode(resolved, inputs, index, made[-1].tail)
            made.append(self._make(resolved, inputs, index, encoded, noises[index], clock))
        facts = self._encode_facts(request, inputs, resolved, made[0].encoded, noise is not None)
        hashes = joined_sha256([sha256_of(one.latents) for one in made])
        return GenerationResult(
            request=resolved,
            latents=joined([one.latents for one in made]),
            frames=np.concatenate([one.frames for one in made]),
            fps=resolved.fps,
            sound=made[0].sound,
            sampling_rate=self.facts.sound.sampling_rate if self.facts.sound else 48_000,
            action=_predicted_action(resolved, [one.latents for one in made]),
            seconds=clock.seconds,
            manifest=Manifest.of(
                request.to_fields(),
                facts,
                DenoiseFacts.of(self.denoiser, made[-1].task),
                hashes,
                clock.seconds,
                created_at=created_at,
            ),
        )

    def _make(
        self,
        resolved: ResolvedRequest,
        inputs: MediaInputs,
        index: int,
        encoded: EncodedRequest,
        noise: Mapping[str, Tensor] | None,
        clock: _StageClock,
    ) -> _Made:
        """One part, from what the Encoder made to its frames."""
        last = index + 1 == len(resolved.parts)
        with clock.stage("denoise"):
            on_event = clock.on_step(index, len(resolved.parts))
            task = self._denoise(encoded, noise, on_event)
        with clock.stage("decode"):
            tail = None if last else Tail(resolved.parts[index + 1].overlap)
            decoded = np.concatenate(list(self.decoder.decode_frames(task.state.latents[Modality.VISION], tail)))
            sound = self._sound(resolved, inputs, task.state.latents)
        latents = {name: tensor.cpu() for name, tensor in task.state.latents.items()}
        kept = decoded[resolved.parts[index].new_frames]
        return _Made(encoded, task, latents, kept, sound, None if tail is None else tail.clip)

    def _sound(self, resolved: ResolvedRequest, inputs: MediaInputs, latents: Latents) -> NDArray[np.float32] | None:
        if inputs.sound is not None:
            return fitted(inputs.sound, resolved.sound_samples)
        if Modality.SOUND not in latents:
            return None
        return self.decoder.decode_sound(latents[Modality.SOUND], resolved.sound_samples)

    def _encode_facts(
        self,
        request: GenerationRequest,
        inputs: MediaInputs,
        resolved: ResolvedRequest,
        encoded: EncodedRequest,
        given_noise: bool,
    ) -> EncodeFacts:
        branches = {"conditional": encoded.conditional, "unconditional": encoded.unconditional}
        prompts = {name: Prompt.of(text) for name, text in branches.items() if text is not None}
        where = CheckpointFacts.of(self.checkpoint)
        facts = EncodeFacts.of(request, inputs, resolved, where, self.settings, prompts)
        if not given_noise:
            return facts
        sampling = facts.resolved["sampling"] | {"noise": GIVEN_NOISE}
        return facts.model_copy(update={"resolved": facts.resolved | {"sampling": sampling}})

    def encode(self, request: GenerationRequest) -> tuple[ResolvedRequest, EncodedRequest]:
        """Check a request, decide its numbers and encode it, or its first part where it is made in several.

        Raises:
            RequestError: the request cannot be served as asked.
        """
        inputs = read_inputs(request)
        resolved = resolve(request, self.facts, inputs)
        return resolved, self.encoder.encode(resolved, inputs)

    def denoise(
        self,
        encoded: EncodedRequest,
        noise: Mapping[str, Tensor] | None = None,
        on_event: OnEvent | None = None,
        state: DenoiseState | None = None,
    ) -> Latents:
        """Run all steps, from noise or from a saved state, and return the final latents on the device."""
        return self._denoise(encoded, noise, on_event, state).state.latents

    def _denoise(
        self,
        encoded: EncodedRequest,
        noise: Mapping[str, Tensor] | None = None,
        on_event: OnEvent | None = None,
        state: DenoiseState | None = None,
    ) -> DenoiseTask:
        task = self.denoiser.start(encoded, noise, state)
        while not task.done:
            step = self.denoiser.step(task)
            if on_event is not None:
                on_event(step)
        return task


def _noise_of_parts(
    noise: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]] | None, parts: int
) -> Sequence[Mapping[str, Tensor] | None]:
    if noise is None:
        return [None] * parts
    given = [noise] if isinstance(noise, Mapping) else list(noise)
    if len(given) != parts:
        raise RequestError("noise", f"is given for {len(given)} parts; this request is made in {parts}")
    return given


def _predicted_action(request: ResolvedRequest, parts: list[Latents]) -> NDArray[np.float32] | None:
    if request.action is None or not request.mode.predicts_action:
        return None
    first, width = request.action.state_rows, request.action.width
    rows: list[NDArray[np.float32]] = [latents[Modality.ACTION][first:, :width].numpy() for latents in parts]
    return np.concatenate(rows)


class _StageClock:
    """Times the stages and reports what happens; a stage of several parts starts once and ends after each."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self.seconds: dict[str, float] = {}
        self._on_event = on_event or (lambda event: None)

    @contextmanager
    def stage(self, name: StageName) -> Iterator[None]:
        started = time.perf_counter()
        self._on_event(Started(name))
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        self._on_event(Finished(name, spent))

    def on_step(self, part: int, parts: int) -> OnEvent:
        """Reports the steps of a part, counted over all parts."""

        def report(event: Event) -> None:
            self._on_event(event.within(part, parts) if isinstance(event, Step) else event)

        return report
