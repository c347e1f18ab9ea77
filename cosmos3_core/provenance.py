"""What decided a result, as each stage knows it: the parts of a manifest.

Weights are known by the checkpoint's name, revision and configuration, not by their bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from cosmos3_core.catalog import Family
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.resolved import ResolvedRequest
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.settings import ExecutionSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cosmos3_core.checkpoint import Checkpoint
    from cosmos3_core.inputs import MediaInputs
    from cosmos3_core.stages.denoiser import Denoiser, DenoiseTask

GUIDANCE_INTERVAL = "guidance_interval"
CONTROL_GUIDANCE_INTERVAL = "control_guidance_interval"
SHOWN_WHERE_USED = frozenset({"given_weights", "shared_times", "control_scale", "control_interval"})
"""Fields that most requests have no use for, and older records do not have."""


class Record(BaseModel):
    """Base of a manifest's parts: unknown names are refused, for another set of fields is another format."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Medium(Record):
    """A conditioning image, video, control or soundtrack.

    Attributes:
        of: what was hashed: the encoded file or, if there was none, the RGB frames or the samples that were used.
        sha256, bytes: the hash and the size of that.
    """

    of: Literal["file", "frames", "samples"]
    sha256: str
    bytes: int

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Medium:
        """Describe an encoded file, without reading it into memory as a whole.

        Raises:
            OSError: it cannot be read.
        """
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return cls(of="file", sha256=digest.hexdigest(), bytes=file.tell())

    @classmethod
    def of_array(cls, values: NDArray[Any], of: Literal["frames", "samples"] = "frames") -> Medium:
        """Describe frames, uint8 `[frames, height, width, 3]`, or samples, fp32 `[2, samples]`."""
        return cls(of=of, sha256=hashlib.sha256(values.tobytes()).hexdigest(), bytes=values.nbytes)


class Tokenized(Protocol):
    """A prompt's number of tokens, and the hash of their ids."""

    @property
    def tokens(self) -> int:
        """Number of tokens."""

    @property
    def key(self) -> str:
        """Hash of their ids."""


class Prompt(Record):
    """What the tokenizer made of a guidance branch's text: number and hash of its token ids."""

    tokens: int
    sha256: str

    @classmethod
    def of(cls, text: Tokenized) -> Prompt:
        """Describe the prompt behind some keys and values."""
        return cls(tokens=text.tokens, sha256=text.key)


class CheckpointFacts(Record):
    """Which weights.

    Attributes:
        name: the Hugging Face id, or the folder's name.
        revision: the hub's commit; None for a folder.
        family: its size class.
        config_sha256: of `transformer/config.json`, however it is laid out.
    """

    name: str
    revision: str | None
    family: Family
    config_sha256: str

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> CheckpointFacts:
        """Describe a checkpoint."""
        config = json.dumps(checkpoint.read_json("transformer/config.json"), sort_keys=True)
        return cls(
            name=checkpoint.public_name,
            revision=checkpoint.revision,
            family=checkpoint.facts.family,
            config_sha256=hashlib.sha256(config.encode()).hexdigest(),
        )


class Split(Record):
    """How the steps were split over ranks.

    Attributes:
        tp, cfg, ulysses: of the gang; see `cosmos3_core.parallel.degrees`.
        spread: whether the ranks shared the request; otherwise each computed it whole, with weights that `tp` splits.
    """

    tp: int = 1
    cfg: int = 1
    ulysses: int = 1
    spread: bool = True

    @property
    def effective(self) -> dict[str, int]:
        """The degrees that the bits depend on."""
        return {"tp": self.tp, "cfg": self.cfg if self.spread else 1, "ulysses": self.ulysses if self.spread else 1}


class Precision(Record):
    """What a stage computed with.

    Attributes:
        device: `cpu` or `cuda`.
        device_name: the GPU's name, or the instruction set that torch uses of the CPU.
        dtype, attention, batch_guidance: see `cosmos3_core.settings`.
        threads: torch's, which decide the order of sums on a CPU; None on a GPU.
    """

    device: str
    device_name: str
    dtype: Literal["float32", "bfloat16"]
    attention: str
    batch_guidance: bool
    threads: int | None

    @classmethod
    def of(cls, settings: ExecutionSettings) -> Precision:
        """Describe what the calling thread computes with."""
        import torch

        device = settings.torch_device
        cuda = device.type == "cuda"
        return cls(
            device=device.type,
            device_name=torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability(),
            dtype="bfloat16" if settings.torch_dtype is torch.bfloat16 else "float32",
            attention=str(settings.attention),
            batch_guidance=settings.batch_guidance,
            threads=None if cuda else torch.get_num_threads(),
        )


class EncodeFacts(Record):
    """What the Encoder knows of a result; see `Manifest`."""

    checkpoint: CheckpointFacts
    media: dict[str, Medium]
    resolved: dict[str, Any]
    prompts: dict[str, Prompt]
    precision: Precision
    approximations: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        request: GenerationRequest,
        inputs: MediaInputs,
        resolved: ResolvedRequest,
        checkpoint: CheckpointFacts,
        settings: ExecutionSettings,
        prompts: Mapping[str, Prompt],
    ) -> EncodeFacts:
        """Describe a request that the calling thread has encoded."""
        asked, guidance = request.guidance_interval is not None, resolved.sampling.guidance
        skipped = {
            GUIDANCE_INTERVAL: asked and guidance.enabled and guidance.interval is not None,
            CONTROL_GUIDANCE_INTERVAL: guidance.control_scale != 1 and guidance.control_interval is not None,
        }
        return cls(
            checkpoint=checkpoint,
            media=_media(request, inputs),
            resolved=_described(resolved),
            prompts=dict(prompts),
            precision=Precision.of(settings),
            approximations=tuple(name for name, skips in skipped.items() if skips),
        )


class AppliedAdapter(Record):
    """An adapter that the steps used.

    Attributes:
        weight: factor on what it added.
        sha256: of the file with its weights.
    """

    weight: float
    sha256: str


class DenoiseFacts(Record):
    """What the Denoiser knows of a result; see `Manifest`."""

    plan: Split
    precision: Precision
    resumed_at_step: tuple[int, ...]
    shared_steps: int
    versions: dict[str, str]
    adapters: dict[str, AppliedAdapter] = Field(default_factory=dict)

    @classmethod
    def of(cls, denoiser: Denoiser, task: DenoiseTask) -> DenoiseFacts:
        """Describe a task whose steps the calling thread has made."""
        return cls(
            plan=Split(**asdict(denoiser.mesh.degrees), spread=task.spread),
            precision=Precision.of(denoiser.settings),
            resumed_at_step=task.state.history.resumed_at,
            shared_steps=task.state.history.shared_steps,
            versions=versions(),
            adapters={
                use.name: AppliedAdapter(weight=use.weight, sha256=denoiser.adapters.sha256[use.name])
                for use in task.request.adapters
            },
        )


def _media(request: GenerationRequest, inputs: MediaInputs) -> dict[str, Medium]:
    return {name: _medium(name, source, inputs) for name, source in request.media().items()}


def _medium(name: str, source: Any, inputs: MediaInputs) -> Medium:
    if isinstance(source, bytes):
        return Medium(of="file", sha256=hashlib.sha256(source).hexdigest(), bytes=len(source))
    # A pipe can be read once only, and that was for its frames.
    if isinstance(source, (str, os.PathLike)) and Path(source).is_file():
        return Medium.of_file(source)
    used = inputs.array(name)
    return Medium.of_array(used, "frames" if name != "sound" else "samples")


def _described(request: ResolvedRequest) -> dict[str, Any]:
    """A resolved request, JSON-able; rows of actions are those of the request's own field."""
    action = request.action
    described = {
        "mode": request.mode,
        "preset": request.preset.name,
        "width": request.canvas.width,
        "height": request.canvas.height,
        "num_frames": request.num_frames,
        "fps": request.fps,
        "layout": _used(request.layout),
        "positive": request.positive,
        "negative": request.negative,
        "system_prompt": request.system_prompt,
        "max_prompt_tokens": request.max_prompt_tokens,
        "sampling": _used(request.sampling) | {"guidance": _used(request.sampling.guidance)},
        "action": None if action is None else {"domain": action.domain, "width": action.width, "chunk": action.chunk},
        "sound_samples": request.sound_samples,
    }
    if request.controls:
        described["controls"] = [control.model_dump(exclude={"video"}) for control in request.controls]
    if len(request.parts) > 1 or request.controls:
        described["parts"] = [asdict(part) for part in request.parts]
    if request.ignored:
        described["ignored"] = request.ignored
    plain: dict[str, Any] = json.loads(json.dumps(described))
    return plain


def _used(numbers: SequenceLayout | Sampling | Guidance) -> dict[str, Any]:
    """The fields of a value; those that a record shows only where they are used are left out at their defaults."""
    shown = asdict(numbers)
    defaults = {field.name: field.default for field in fields(numbers) if field.name in SHOWN_WHERE_USED}
    return {name: value for name, value in shown.items() if name not in defaults or value != defaults[name]}


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute, in this process."""
    import torch

    packages = {name: _version(name) for name in ("cosmos3", "diffusers", "transformers")}
    return {"python": platform.python_version(), "torch": str(torch.__version__), **packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
