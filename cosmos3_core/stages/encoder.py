"""The Encoder stage: a resolved request to everything the Denoiser needs, and nothing it could do itself.

Prompts become keys and values, conditioning media become clean latents, action rows are padded. It holds the
understanding tower and the codecs' encoder halves; the latter are loaded when a request first brings media.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from cosmos3_core.arrays import tensor_of
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs import pixels
from cosmos3_core.controls import Control
from cosmos3_core.errors import CheckpointError
from cosmos3_core.inputs import MediaInputs
from cosmos3_core.media.sound import fitted
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE, Modality, latent_shapes
from cosmos3_core.modes import Clean, Fit, Given
from cosmos3_core.prompt import tokenize
from cosmos3_core.resolving.resolved import ResolvedRequest, part_of
from cosmos3_core.sampling.denoise import Conditioning
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import Understanding

if TYPE_CHECKING:
    from cosmos3_core.codecs.sound import SoundEncoder
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
        self._sound_encoder: SoundEncoder | None = None

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
    def sound_encoder(self) -> SoundEncoder:
        """The sound tokenizer's encoder half, loaded at its first use."""
        if self._sound_encoder is None:
            from cosmos3_core.codecs.sound import SoundEncoder

            self._sound_encoder = SoundEncoder.from_checkpoint(self.checkpoint, self.settings)
        return self._sound_encoder

    @property
    def bytes_read(self) -> int:
        """Bytes of weights read so far."""
        codecs = [codec.report.bytes_read for codec in (self._video_encoder, self._sound_encoder) if codec is not None]
        return self.understanding.report.bytes_read + sum(codecs)

    @torch.no_grad()
    def encode(
        self, request: ResolvedRequest, inputs: MediaInputs, part: int = 0, before: Tensor | None = None
    ) -> EncodedRequest:
        """Prepare a request, or a part of it, for denoising.

        Args:
            request: the whole request.
            inputs: its media.
            part: 0-based number of the part.
            before: the last frames of the part before, `[1, 3, frames, height, width]` in [-1, 1].
        """
        conditional, unconditional = self.token_ids(request)
        own = part_of(request, part)
        return EncodedRequest(
            conditional=self.understanding.prefill(conditional),
            unconditional=None if unconditional is None else self.understanding.prefill(unconditional),
            layout=own.layout,
            conditioning=self.conditioning(own, inputs, before),
            sampling=own.sampling,
            adapters=own.adapters,
        )

    def token_ids(self, request: ResolvedRequest) -> tuple[list[int], list[int] | None]:
        """The prompts of the guidance branches; no second one without guidance."""

        def ids(text: str) -> list[int]:
            return tokenize(self.tokenizer, text, request.system_prompt, request.max_prompt_tokens)

        return ids(request.positive), ids(request.negative) if request.sampling.guidance.enabled else None

    @torch.no_grad()
    def conditioning(self, request: ResolvedRequest, inputs: MediaInputs, before: Tensor | None = None) -> Conditioning:
        """Clean latents and masks of what is given.

        Args:
            request: a request of one part (`resolved.part_of`).
            inputs: the media of the whole request.
            before: the last frames of the part before.
        """
        layout, device = request.layout, self.settings.torch_device
        shapes = latent_shapes(self.checkpoint.transformer_config, layout)
        conditioning = Conditioning.none(shapes, device)
        clean, mask = conditioning.clean, conditioning.mask
        if layout.clean_frames:
            frames = list(layout.clean_frames)
            encoded = self._encode_frames(request, inputs, before)
            clean[Modality.VISION][:, frames] = encoded[:, frames, : layout.height, : layout.width]
            mask[Modality.VISION][:, frames] = 1
        if layout.clean_sound:
            clean[Modality.SOUND][:] = self._encode_sound(request, inputs)
            mask[Modality.SOUND][:] = 1
        self._put_action(request, conditioning)
        return replace(conditioning, given=tuple(self._encode_given(request, inputs)))

    def _put_action(self, request: ResolvedRequest, conditioning: Conditioning) -> None:
        layout, action = request.layout, request.action
        if action is None:
            return
        clean, mask = conditioning.clean[Modality.ACTION], conditioning.mask[Modality.ACTION]
        mask[:, layout.action_width :] = 1
        for given in (action.rows, action.state):
            if given is not None:
                rows = tensor_of(given).to(clean.device)
                clean[: len(rows), : layout.action_width] = rows
                mask[: len(rows)] = 1

    def _encode_frames(self, request: ResolvedRequest, inputs: MediaInputs, before: Tensor | None) -> Tensor:
        """Latents of the conditioning frames; later frames cannot change them, the VAE being causal."""
        needed = max(request.layout.clean_frames) * VAE_TEMPORAL_STRIDE + 1
        (part,) = request.parts
        if part.index and request.mode.row.clean is not Clean.ALL:
            assert before is not None, "the part before this one ended without its last frames"
            return self.video_encoder.encode(pixels.extend(before, needed))
        assert inputs.frames is not None
        frames = inputs.frames[part.start :] if request.mode.row.clean is Clean.ALL else inputs.frames
        return self.video_encoder.encode(pixels.extend(self._fitted(request, frames[:needed]), needed))

    def _fitted(self, request: ResolvedRequest, frames: pixels.Frames) -> Tensor:
        """Source frames on the canvas: `[1, 3, frames, height, width]` in [-1, 1]."""
        canvas, preset, fit = request.canvas, request.preset, request.mode.row.fit
        if fit is Fit.PAD:
            return pixels.fit_and_pad(frames, canvas, preset.action_source(frames.shape[2], frames.shape[1]))
        if fit is Fit.PRESET and not preset.crop_video:
            return pixels.stretch(frames, canvas)
        return pixels.cover(frames, canvas, preset.resize)

    def _encode_given(self, request: ResolvedRequest, inputs: MediaInputs) -> Iterator[Tensor]:
        """Latents of the vision items that are given whole."""
        if request.mode.row.given is Given.PICTURE:
            assert inputs.frames is not None
            yield self.video_encoder.encode(pixels.picture(inputs.frames, request.canvas, request.preset.resize))
        for control in request.controls:
            yield self.video_encoder.encode(self._control_clip(request, inputs, control))

    def _control_clip(self, request: ResolvedRequest, inputs: MediaInputs, control: Control) -> Tensor:
        """The stretch of a control that belongs to a part, continued by reflection to its length (spec 9.4)."""
        (part,), length = request.parts, request.part_frames
        given = inputs.controls.get(control.kind)
        source = inputs.frames if given is None else given
        assert source is not None
        order = pixels.reflected(len(source), max(part.stop, length))[part.start : part.stop]
        frames = source[order[pixels.reflected(len(order), length)]]
        if given is not None:
            return self._fitted(request, frames)
        # OpenCV is needed here only.
        from cosmos3_core.codecs.control import computed

        return pixels.to_clip(pixels.to_tensor(computed(control, pixels.to_pixels(self._fitted(request, frames)))))

    def _encode_sound(self, request: ResolvedRequest, inputs: MediaInputs) -> Tensor:
        """Latents of the given soundtrack, cut or padded with silence to the video."""
        facts = self.checkpoint.facts.sound
        assert inputs.sound is not None and facts is not None
        return self.sound_encoder.encode(fitted(inputs.sound, request.layout.sound_frames * facts.hop))
