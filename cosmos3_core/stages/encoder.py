"""The Encoder stage: a resolved request to everything the Denoiser needs, and nothing it could do itself.

Prompts become keys and values, conditioning media become clean latents, action rows are padded. It holds the
understanding tower and the VAE's encoder half; the latter is loaded when a request first brings media.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs import pixels
from cosmos3_core.errors import CheckpointError
from cosmos3_core.inputs import MediaInputs
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE, Modality, latent_shapes
from cosmos3_core.modes import Fit
from cosmos3_core.prompt import tokenize
from cosmos3_core.resolve import ResolvedRequest
from cosmos3_core.sampling.denoise import Conditioning
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import Understanding

if TYPE_CHECKING:
    from cosmos3_core.codecs.video_vae import VideoEncoder


class Encoder:
    """Tokenizer, understanding tower and VAE encoder of one checkpoint."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: ExecutionSettings,
        tokenizer: Any,
        understanding: Understanding,
    ) -> None:
        self.checkpoint = checkpoint
        self.settings = settings
        self.tokenizer = tokenizer
        self.understanding = understanding
        self._video_encoder: VideoEncoder | None = None

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> Encoder:
        """Load the tokenizer and the understanding tower."""
        folder = checkpoint.folder("text_tokenizer")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{checkpoint.name}: text_tokenizer/ cannot be read: {error}") from error
        return cls(checkpoint, settings, tokenizer, Understanding.from_checkpoint(checkpoint, settings))

    @property
    def video_encoder(self) -> VideoEncoder:
        """The VAE's encoder half, loaded at its first use."""
        if self._video_encoder is None:
            # With its weights comes diffusers, which requests without media never need.
            from cosmos3_core.codecs.video_vae import VideoEncoder

            self._video_encoder = VideoEncoder.from_checkpoint(self.checkpoint, self.settings)
        return self._video_encoder

    @property
    def bytes_read(self) -> int:
        """Bytes of weights read so far."""
        codec = self._video_encoder.report.bytes_read if self._video_encoder else 0
        return self.understanding.report.bytes_read + codec

    @torch.no_grad()
    def encode(self, request: ResolvedRequest, inputs: MediaInputs) -> EncodedRequest:
        """Prepare a request for denoising."""
        conditional, unconditional = self.token_ids(request)
        return EncodedRequest(
            conditional=self.understanding.prefill(conditional),
            unconditional=None if unconditional is None else self.understanding.prefill(unconditional),
            layout=request.layout,
            conditioning=self.conditioning(request, inputs),
            sampling=request.sampling,
        )

    def token_ids(self, request: ResolvedRequest) -> tuple[list[int], list[int] | None]:
        """The prompts of the guidance branches; no second one without guidance."""

        def ids(text: str) -> list[int]:
            return tokenize(self.tokenizer, text, request.system_prompt, request.max_prompt_tokens)

        return ids(request.positive), ids(request.negative) if request.sampling.guidance.enabled else None

    @torch.no_grad()
    def conditioning(self, request: ResolvedRequest, inputs: MediaInputs) -> Conditioning:
        """Clean latents and masks of what the request gives."""
        layout, device = request.layout, self.settings.torch_device
        shapes = latent_shapes(self.checkpoint.transformer_config, layout)
        conditioning = Conditioning.none(shapes, device)
        clean, mask = conditioning.clean, conditioning.mask
        if layout.clean_frames:
            frames = list(layout.clean_frames)
            encoded = self._encode_video(request, inputs)
            clean[Modality.VISION][:, frames] = encoded[:, frames, : layout.height, : layout.width]
            mask[Modality.VISION][:, frames] = 1
        if layout.action_rows:
            mask[Modality.ACTION][:, layout.action_width :] = 1
        if request.action is not None and request.action.rows is not None:
            rows = torch.from_numpy(request.action.rows).to(device)
            clean[Modality.ACTION][:, : layout.action_width] = rows
            mask[Modality.ACTION][:] = 1
        return conditioning

    def _encode_video(self, request: ResolvedRequest, inputs: MediaInputs) -> Tensor:
        """Latents of the conditioning frames; later frames cannot change them, the VAE being causal."""
        assert inputs.frames is not None
        canvas, preset, frames = request.canvas, request.preset, inputs.frames
        fit = request.mode.row.fit
        if fit is Fit.PAD:
            clip = pixels.fit_and_pad(frames, canvas, preset.action_source(frames.shape[2], frames.shape[1]))
        elif fit is Fit.PRESET and not preset.crop_video:
            clip = pixels.stretch(frames, canvas)
        else:
            clip = pixels.cover(frames, canvas, preset.resize)
        needed = max(request.layout.clean_frames) * VAE_TEMPORAL_STRIDE + 1
        return self.video_encoder.encode(pixels.extend(clip, needed))
