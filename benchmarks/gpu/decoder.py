"""The video decoder of the published size over drawn weights, in both memory layouts."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.profiling import LARGEST, kernels_of
from benchmarks.gpu.results import ItemResult, Measurement
from benchmarks.gpu.sizes import Clip
from benchmarks.gpu.weights import assign, draw_on
from cosmos3_core.codecs.construct import construct
from cosmos3_core.codecs.video_vae import VideoDecoder
from cosmos3_core.planning.cost import PIXELS_720P
from cosmos3_core.tiny.configs import LATENT_MEANS, LATENT_STDS
from cosmos3_core.tiny.weights import VAE_RULES
from cosmos3_core.weights import LoadReport

# A convolution by way of a matrix of patches, which torch falls back to where cuDNN has no kernel.
FALLBACK = "vol2col"
FRAMES_A_CHUNK = 4
PIXELS_A_LATENT = 256


def measure(bench: Bench, result: ItemResult) -> None:
    """Chunks of every clip, contiguous first, then with the channels last."""
    vae = _vae(bench)
    decoder = VideoDecoder(vae, LoadReport(0, 0))
    flops = {name: _chunk_flops(bench, decoder, clip) for name, clip in bench.size.clips.items()}
    for layout in ("contiguous", "channels last"):
        if layout == "channels last":
            _put_channels_last(vae)
        for name, clip in bench.size.clips.items():
            _measure_clip(bench, result, decoder, clip, f"{name}, {layout}", flops[name])


def _vae(bench: Bench) -> Any:
    config = {
        "base_dim": bench.size.vae_encoder_width,
        "decoder_base_dim": bench.size.vae_decoder_width,
        "z_dim": len(LATENT_MEANS),
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
        "is_residual": True,
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "scale_factor_temporal": 4,
        "scale_factor_spatial": 16,
        "latents_mean": list(LATENT_MEANS),
        "latents_std": list(LATENT_STDS),
    }
    vae = construct(AutoencoderKLWan, config)
    vae.encoder = vae.quant_conv = None
    shapes = {name: tuple(tensor.shape) for name, tensor in vae.state_dict().items()}
    assign(vae, draw_on(bench.device, shapes, VAE_RULES, torch.bfloat16))
    return vae


def _put_channels_last(vae: nn.Module) -> None:
    """Weights of convolutions with the channels last; the activations follow."""
    for layer in vae.modules():
        if isinstance(layer, nn.Conv3d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)
        elif isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)


def _latents(bench: Bench, clip: Clip) -> torch.Tensor:
    return torch.randn(len(LATENT_MEANS), clip.frames, clip.height, clip.width, device=bench.device)


def _chunk_flops(bench: Bench, decoder: VideoDecoder, clip: Clip) -> float:
    """FLOPs of a chunk after the first, whose four frames come from one latent frame."""
    totals = []
    with FlopCounterMode(display=False) as counter:
        for _ in islice(decoder.decode(_latents(bench, clip)), 3):
            totals.append(counter.get_total_flops())
    return float(totals[2] - totals[1])


def _measure_clip(bench: Bench, result: ItemResult, decoder: VideoDecoder, clip: Clip, name: str, flops: float) -> None:
    bench.reset_peak()
    chunks = decoder.decode(_latents(bench, clip))
    samples = []
    for _ in range(clip.frames - 1):
        started = time.perf_counter()
        next(chunks)
        samples.append(time.perf_counter() - started)
    kernels = kernels_of(bench, lambda: next(chunks))
    pixels = FRAMES_A_CHUNK * clip.height * clip.width * PIXELS_A_LATENT
    result.measurements.append(
        Measurement(
            f"four frames, {name}",
            # The first two chunks have shapes and kernels that the others have not seen yet.
            samples[2:] or samples[-1:],
            prediction_s=bench.hardware.decode_720p_s * pixels / PIXELS_720P,
            flops=flops,
        )
    )
    result.notes[f"first chunks, {name}, s"] = samples[:2]
    result.notes[f"falls back to {FALLBACK}, {name}"] = any(FALLBACK in kernel.name for kernel in kernels)
    result.notes[f"peak memory, {name}, bytes"] = bench.peak_bytes()
    result.kernels[name] = kernels[:LARGEST]
