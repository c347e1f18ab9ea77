"""The stages composed in one process: the Python API, the reference of the tests, the body of the benchmarks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.manifest import GIVEN_NOISE, Manifest
from cosmos3_core.model.backend import AttentionBackend
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents, sha256_of
from cosmos3_core.provenance import CheckpointFacts, DenoiseFacts, EncodeFacts, Prompt
from cosmos3_core.request import Event, Finished, GenerationRequest, StageName, Started
from cosmos3_core.resolve import ResolvedRequest, resolve
from cosmos3_core.sampling.denoise import DenoiseState
from cosmos3_core.settings import DtypeName, ExecutionSettings
from cosmos3_core.stages.decoder import Decoder
from cosmos3_core.stages.denoiser import Denoiser, DenoiseTask
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.encoder import Encoder

OnEvent = Callable[[Event], None]


@dataclass(frozen=True)
class GenerationResult:
    """The result of a request.

    Attributes:
        request: the request with every number decided.
        latents: final latents per modality, fp32 on the CPU.
        frames: uint8 `[frames, height, width, 3]`.
        fps: frames per second.
        sound: fp32 `[2, samples]` in [-1, 1], or None.
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
class _Prepared:
    """A request ready to be denoised, and what it came from."""

    request: GenerationRequest
    inputs: MediaInputs
    resolved: ResolvedRequest
    encoded: EncodedRequest

    def facts(self, checkpoint: Checkpoint, settings: ExecutionSettings, noise: object) -> EncodeFacts:
        branches = {"conditional": self.encoded.conditional, "unconditional": self.encoded.unconditional}
        prompts = {name: Prompt.of(text) for name, text in branches.items() if text is not None}
        where = CheckpointFacts.of(checkpoint)
        facts = EncodeFacts.of(self.request, self.inputs, self.resolved, where, settings, prompts)
        if noise is None:
            return facts
        sampling = facts.resolved["sampling"] | {"noise": GIVEN_NOISE}
        return facts.model_copy(update={"resolved": facts.resolved | {"sampling": sampling}})


class LocalPipeline:
    """All stages of one checkpoint in this process."""

    def __init__(self, checkpoint: Checkpoint, settings: ExecutionSettings) -> None:
        self.checkpoint = checkpoint
        self.settings = settings
        self.encoder = Encoder.from_checkpoint(checkpoint, settings)
        self.denoiser = Denoiser.from_checkpoint(checkpoint, settings)
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
    ) -> LocalPipeline:
        """Load a checkpoint: a local folder or a Hugging Face id.

        Raises:
            RequestError: a setting this machine cannot run; it names the setting.
            CheckpointError: not found, gated, damaged, or too large for the device.
        """
        settings = ExecutionSettings(device=device, dtype=dtype, attention=attention, batch_guidance=batch_guidance)
        return cls(Checkpoint.find(path_or_id, revision), settings)

    def generate(
        self,
        request: GenerationRequest,
        noise: Mapping[str, Tensor] | None = None,
        on_event: OnEvent | None = None,
    ) -> GenerationResult:
        """Run a request from words to frames.

        Args:
            request: what to generate.
            noise: standard normal noise per modality (`vision`, `sound`, `action`) instead of what the seed gives.
            on_event: called when a stage starts or ends, and after every denoising step.

        Raises:
            RequestError: the request cannot be served as asked; it names the field.
        """
        created_at, clock = time.time(), _StageClock(on_event)
        with clock.stage("encode"):
            prepared = self._prepare(request)
            resolved = prepared.resolved
        with clock.stage("denoise"):
            task = self._denoise(prepared.encoded, noise, on_event)
            latents = task.state.latents
        with clock.stage("decode"):
            frames = np.concatenate(list(self.decoder.decode_frames(latents[Modality.VISION])))
            sound = None
            if Modality.SOUND in latents:
                sound = self.decoder.decode_sound(latents[Modality.SOUND], resolved.sound_samples)
        kept = {name: tensor.cpu() for name, tensor in latents.items()}
        facts = (prepared.facts(self.checkpoint, self.settings, noise), DenoiseFacts.of(self.denoiser, task))
        return GenerationResult(
            request=resolved,
            latents=kept,
            frames=frames,
            fps=resolved.fps,
            sound=sound,
            sampling_rate=self.checkpoint.facts.sound.sampling_rate if self.checkpoint.facts.sound else 48_000,
            action=_predicted_action(resolved, kept),
            seconds=clock.seconds,
            manifest=Manifest.of(request.to_fields(), *facts, sha256_of(kept), clock.seconds, created_at=created_at),
        )

    def encode(self, request: GenerationRequest) -> tuple[ResolvedRequest, EncodedRequest]:
        """Check a request, decide its numbers and encode it.

        Raises:
            RequestError: the request cannot be served as asked.
        """
        prepared = self._prepare(request)
        return prepared.resolved, prepared.encoded

    def _prepare(self, request: GenerationRequest) -> _Prepared:
        inputs = read_inputs(request)
        resolved = resolve(request, self.checkpoint.facts, inputs)
        return _Prepared(request, inputs, resolved, self.encoder.encode(resolved, inputs))

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


def _predicted_action(request: ResolvedRequest, latents: Latents) -> NDArray[np.float32] | None:
    if request.action is None or not request.mode.predicts_action:
        return None
    return latents[Modality.ACTION][:, : request.action.width].numpy()


class _StageClock:
    """Times the stages and reports their start and end."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self.seconds: dict[str, float] = {}
        self._on_event = on_event or (lambda event: None)

    @contextmanager
    def stage(self, name: StageName) -> Iterator[None]:
        started = time.perf_counter()
        self._on_event(Started(name))
        yield
        self.seconds[name] = time.perf_counter() - started
        self._on_event(Finished(name, self.seconds[name]))
