"""From the names in an adapter's file to the modules of the generation tower.

Trainers name the modules as the published checkpoints do or as NVIDIA's framework does (spec 1.6), each with prefixes
of their own.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a tensor of an adapter is."""

    DOWN = "down"
    """From the input to the low rank: `[rank, in]`."""
    UP = "up"
    """From the low rank to the output: `[out, rank]`."""
    ALPHA = "alpha"
    """A number that says how strong the adapter is."""


SUFFIXES = {
    ".lora_A.weight": Role.DOWN,
    ".lora_B.weight": Role.UP,
    ".lora_A.default.weight": Role.DOWN,
    ".lora_B.default.weight": Role.UP,
    ".lora_down.weight": Role.DOWN,
    ".lora_up.weight": Role.UP,
    ".alpha": Role.ALPHA,
}
PREFIXES = frozenset({"base_model", "model", "transformer", "net", "language_model", "module"})
"""Leading parts of names that only say what the tower was wrapped in."""
FRAMEWORK_NAMES = {
    "q_proj_moe_gen": "add_q_proj",
    "k_proj_moe_gen": "add_k_proj",
    "v_proj_moe_gen": "add_v_proj",
    "o_proj_moe_gen": "to_add_out",
    "vae2llm": "proj_in",
    "llm2vae": "proj_out",
    "sound2llm": "audio_proj_in",
    "llm2sound": "audio_proj_out",
    "action2llm": "action_proj_in",
    "llm2action": "action_proj_out",
    "time_embedder.mlp.0": "time_embedder.linear_1",
    "time_embedder.mlp.2": "time_embedder.linear_2",
}
"""The framework's names of modules, and the published ones (spec 1.6)."""


def split_name(tensor: str) -> tuple[str, Role] | None:
    """The module's name in the file, and what the tensor is of it; None if it is no tensor of LoRA."""
    for suffix, role in SUFFIXES.items():
        if tensor.endswith(suffix):
            return tensor.removesuffix(suffix), role
    return None


def tower_module(name: str) -> str:
    """The tower's name of a module, from its name in a file; it need not exist."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in PREFIXES:
        parts.pop(0)
    bare = ".".join(parts)
    if bare in FRAMEWORK_NAMES:
        return FRAMEWORK_NAMES[bare]
    return ".".join([*parts[:-1], FRAMEWORK_NAMES.get(parts[-1], parts[-1])])
