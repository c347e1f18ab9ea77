"""The messages between stages: small values, with references to the arrays that stay in the object store.

They import no torch, so a process that only passes them on needs none; `handoff` turns tensors into references and
back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cosmos3_core.action_statistics import ActionStatistics
from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.codecs.preview_map import PreviewMap
from cosmos3_core.errors import CosmosError
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import Modality, SequenceLayout, latent_shapes
from cosmos3_core.planning.memory import StepShape
from cosmos3_core.provenance import DenoiseFacts, EncodeFacts
from cosmos3_core.resolving.resolved import Part
from cosmos3_core.sampling.guidance import Branch
from cosmos3_core.sampling.sampling import Sampling


class HandoffLost(CosmosError):
    """What the Encoder sent was lost with its process before it was fetched: encode again."""


@dataclass(frozen=True)
class ArrayReference:
    """An array in the object store.

    Attributes:
        reference: holds a numpy array.
        dtype: the tensor's dtype, such as `bfloat16`.
        itemsize: bytes of one value.
        nbytes: bytes of the whole array.
    """

    reference: Any
    dtype: str
    itemsize: int
    nbytes: int


@dataclass(frozen=True)
class KeyValuesReference:
    """Keys and values of one prompt; a rank fetches them only where its cache lacks `key`."""

    key: str
    tokens: int
    values: ArrayReference


@dataclass(frozen=True)
class EmbeddingsReference:
    """The embeddings of an image or a video for the Reasoner.

    Attributes:
        key: hash of the medium and of how it was read.
        embeddings: `[tokens, hidden x (1 + deepstack layers)]`.
        grid: temporal, vertical and horizontal patches.
        timestamps: seconds at which each temporal patch of a video is shown; None for an image.
    """

    key: str
    embeddings: ArrayReference
    grid: tuple[int, int, int]
    timestamps: tuple[float, ...] | None = None


@dataclass(frozen=True)
class EncodedMessage:
    """Encoder to Generator: an `EncodedRequest` whose tensors stay in the object store.

    Attributes:
        conditional, unconditional: the guidance branches.
        conditioning: dictionary of arrays `clean.<modality>`, `mask.<modality>`, `given.<index>`; None where nothing is
            given.
        layout: shape of the generation sequence.
        sampling: how its latents are sampled.
        clip: what the Decoder needs to know besides the latents.
        facts: the Encoder's part of the manifest.
        adapters: those that its steps use.
        flops: the FLOPs of all denoising steps; a router weighs requests by them.
        preview: the map that previews are made with; None where the model shows none.
        parts: what the whole request is made in.
        part: the number of this part.
    """

    conditional: KeyValuesReference
    unconditional: KeyValuesReference | None
    conditioning: Any | None
    conditioning_bytes: int
    layout: SequenceLayout
    sampling: Sampling
    clip: ClipDescription
    facts: EncodeFacts
    adapters: tuple[AdapterUse, ...] = ()
    flops: float = 0.0
    preview: PreviewMap | None = None
    parts: tuple[Part, ...] = (Part(),)
    part: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes that a Generator without a cache would fetch."""
        branches = [branch for branch in (self.conditional, self.unconditional) if branch is not None]
        return self.conditioning_bytes + sum(branch.values.nbytes for branch in branches)

    @property
    def bytes_per_value(self) -> int:
        """Bytes of one value of the compute dtype."""
        return self.conditional.values.itemsize

    def step_shape(self, config: TransformerConfig) -> StepShape:
        """What its steps work on."""
        branches = [branch for branch in (self.conditional, self.unconditional) if branch is not None]
        return step_shape_of(config, self.layout, self.sampling, tuple(branch.tokens for branch in branches))

    def latent_values(self, config: TransformerConfig) -> int:
        """Values in the latents of all modalities."""
        return sum(math.prod(shape) for shape in latent_shapes(config, self.layout).values())

    def given_values(self, config: TransformerConfig) -> int:
        """Values in the latents of the items that are given whole."""
        one = math.prod(latent_shapes(config, self.layout)[Modality.VISION])
        return len(self.layout.given_weights) * one


def step_shape_of(
    config: TransformerConfig, layout: SequenceLayout, sampling: Sampling, text_tokens: tuple[int, ...]
) -> StepShape:
    """What the steps of a request work on, with texts of some lengths."""
    patch = config.latent_patch_size
    uncontrolled = layout.own_tokens(patch) if Branch.UNCONTROLLED in sampling.guidance.branches else 0
    return StepShape(layout.tokens(patch), text_tokens, uncontrolled)


@dataclass(frozen=True)
class ClipDescription:
    """What the output is: enough to decode latents into a file and to describe it.

    Attributes:
        mode: as in `cosmos3_core.modes`.
        width, height: in pixels.
        num_frames, fps: of the video; one frame is an image.
        sound_samples: samples per channel to keep; None keeps what the decoder gives.
        sampling_rate: of the sound, in Hz.
        action_width: channels of predicted actions; 0 where none are predicted.
        domain: embodiment id.
        state_rows: rows of the action latents before the first action.
        keep: the decoded frames that are kept.
        tail: how many frames at its end the next part starts with; 0 where there is none.
        action_statistics: those by which predicted actions are also given in physical units.
    """

    mode: str
    width: int
    height: int
    num_frames: int
    fps: float
    sound_samples: int | None
    sampling_rate: int
    action_width: int
    domain: int
    state_rows: int = 0
    keep: slice = field(default_factory=lambda: slice(None))
    tail: int = 0
    action_statistics: ActionStatistics | None = None


@dataclass(frozen=True)
class LatentsMessage:
    """Generator to Decoder: final latents.

    Attributes:
        reference: dictionary of fp32 arrays by modality in the object store.
        sha256: hash per modality.
        nbytes: their size.
        steps: steps made.
        fetched_bytes: what crossed to the ranks for this request; cached keys and values do not count.
        peak_memory_bytes: the most rank 0 has held, on its GPU, or in its process where it runs on a CPU.
        facts: for the manifest.
    """

    reference: Any
    sha256: dict[str, str]
    nbytes: int
    steps: int
    fetched_bytes: int
    peak_memory_bytes: int
    facts: DenoiseFacts
