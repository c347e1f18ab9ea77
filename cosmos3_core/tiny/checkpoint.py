"""Write a small checkpoint with random weights in the published folder layout (spec 1.2 to 1.7).

It has every structural feature of the checkpoint that it imitates and is read by diffusers, transformers and vLLM as
that one is, so the whole system runs on a laptop. The same member, size and seed give the same bytes everywhere. The
video codec is the same in all members, and the sound codec in all that have one: one Decoder serves them all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, Cosmos3AVAEAudioTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn

from cosmos3_core.catalog import CATALOG
from cosmos3_core.codecs.construct import construct
from cosmos3_core.codecs.vit import vision_module
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.names import published_shapes
from cosmos3_core.tiny import MEMBERS, TinyMember, configs, weights
from cosmos3_core.tiny.configs import Size, layout_of, size_of
from cosmos3_core.tiny.text import write_tokenizer
from cosmos3_core.tiny.vae import set_colour_path

INDEX = "diffusion_pytorch_model.safetensors.index.json"


def write_checkpoint(out: Path, member: TinyMember = "nano", seed: int = 0, size: Size | None = None) -> Path:
    """Write a complete checkpoint into `out`, which must be empty or absent.

    Args:
        out: the folder.
        member: which member of the family it imitates.
        seed: seed of the weights and of the text that the tokenizer is trained on.
        size: size of the towers and codecs; None is the member's own.

    Raises:
        FileExistsError: `out` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name a new folder")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    entry = CATALOG[MEMBERS[member]]
    tokens = write_tokenizer(partial / "text_tokenizer", layout_of(entry), seed)
    shutil.copytree(partial / "text_tokenizer", partial, dirs_exist_ok=True)
    for name, content in configs.all_files(entry, size or size_of(entry), tokens).items():
        _write_json(partial / name, content)
    written = _write_transformer(partial, seed) | (_write_vision(partial, seed) if entry.chats else {})
    _write_json(partial / "model.safetensors.index.json", {"metadata": {}, "weight_map": written})
    _write_codecs(partial, entry.sound, seed)
    if out.exists():
        out.rmdir()
    partial.rename(out)
    return out


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _write_transformer(root: Path, seed: int) -> dict[str, str]:
    """Both towers in two shards with an index, as published; returns where each tensor is."""
    folder = root / "transformer"
    config = TransformerConfig.from_dict(_read_json(folder / "config.json"))
    tensors = weights.draw_tensors(published_shapes(config), weights.TRANSFORMER_RULES, seed, torch.bfloat16)
    names = sorted(tensors)
    half = len(names) // 2
    shards = {
        f"diffusion_pytorch_model-{number:05d}-of-00002.safetensors": {name: tensors[name] for name in part}
        for number, part in enumerate((names[:half], names[half:]), start=1)
    }
    weight_map: dict[str, str] = {}
    for file, part in shards.items():
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    _write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": weight_map})
    return {name: f"transformer/{file}" for name, file in weight_map.items()}


def _write_vision(root: Path, seed: int) -> dict[str, str]:
    """The Reasoner's ViT under its published names."""
    with torch.device("meta"):
        vision = vision_module(root)
    shapes = {vision.stored_name(name): shape for name, shape in _shapes(vision).items()}
    tensors = weights.draw_tensors(shapes, weights.VISION_RULES, seed, torch.bfloat16)
    return _save(tensors, root / "vision_encoder" / "model.safetensors", root)


def _write_codecs(root: Path, with_sound: bool, seed: int) -> None:
    vae = construct(AutoencoderKLWan, _read_json(root / "vae" / "config.json"))
    drawn = weights.draw_tensors(_shapes(vae), weights.VAE_RULES, seed, torch.bfloat16)
    set_colour_path(drawn)
    _save(drawn, root / "vae" / "diffusion_pytorch_model.safetensors", root)
    if not with_sound:
        return
    sound = construct(Cosmos3AVAEAudioTokenizer, _read_json(root / "sound_tokenizer" / "config.json"))
    drawn = weights.draw_tensors(_shapes(sound), weights.SOUND_RULES, seed, torch.float32)
    _save(drawn, root / "sound_tokenizer" / "diffusion_pytorch_model.safetensors", root)


def _save(tensors: dict[str, Tensor], path: Path, root: Path) -> dict[str, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return dict.fromkeys(tensors, str(path.relative_to(root)))
