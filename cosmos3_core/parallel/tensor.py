"""Tensor parallelism of the generation tower: a rank holds some heads and some MLP columns, and streams only those.

Projections into heads and columns are split by their output, projections out of them by their input; the partial sums
of the latter are added over the ranks (Shoeybi et al. 2019, Megatron-LM, section 3). The rest is replicated.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.parallel.mesh import Mesh
from cosmos3_core.weights import TensorPart

ALL = slice(None)


def apply_tensor_parallel(tower: GenerationTower, mesh: Mesh) -> dict[str, TensorPart]:
    """Cut a tower that is still on the meta device to what a rank holds.

    Returns:
        The part of each stored tensor to read; tensors that are not named are read whole.
    """
    if mesh.degrees.tp == 1:
        return {}
    parts = {}
    for name, index in tensor_slices(tower.config, mesh):
        owner, _, leaf = name.rpartition(".")
        module = tower.get_submodule(owner)
        whole: Tensor = getattr(module, leaf)
        parts[name] = TensorPart(tuple(whole.shape), index)
        setattr(module, leaf, nn.Parameter(whole[index].clone(), requires_grad=False))
        if index[0] == ALL:
            module.register_forward_hook(SumOverRanks(mesh.group("tp")))
    return parts


def tensor_slices(config: TransformerConfig, mesh: Mesh) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """The weights that are split, each with its rows and columns on this rank."""
    heads = mesh.degrees.tensor_heads(config, mesh.rank)
    columns = mesh.degrees.mlp_columns(config, mesh.rank)
    group = config.num_attention_heads // config.num_key_value_heads
    keys = slice(heads.start * config.head_dim, heads.stop * config.head_dim)
    queries = slice(keys.start * group, keys.stop * group)
    into_mlp = ("up_proj",) if config.hidden_act == "relu2" else ("gate_proj", "up_proj")
    for layer in range(config.num_hidden_layers):
        attention, mlp = f"layers.{layer}.self_attn", f"layers.{layer}.mlp_moe_gen"
        yield f"{attention}.add_q_proj.weight", (queries, ALL)
        yield f"{attention}.add_k_proj.weight", (keys, ALL)
        yield f"{attention}.add_v_proj.weight", (keys, ALL)
        yield f"{attention}.to_add_out.weight", (ALL, queries)
        for projection in into_mlp:
            yield f"{mlp}.{projection}.weight", (columns, ALL)
        yield f"{mlp}.down_proj.weight", (ALL, columns)


class SumOverRanks:
    """Forward hook: the output is a partial sum."""

    def __init__(self, group: ProcessGroup) -> None:
        self.group = group

    def __call__(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Add the ranks' outputs, in place."""
        dist.all_reduce(output, group=self.group)
        return output
