"""An adapter's file: found, checked against the tower's modules from its header, and only then read."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from cosmos3_core.adapters.names import Role, split_name, tower_module
from cosmos3_core.adapters.scaling import Scaling
from cosmos3_core.errors import CheckpointError
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.generation import GenerationTower

DTYPES = ("F64", "F32", "F16", "BF16")
"""safetensors' names of what an adapter may be stored in."""
MAX_NAMED = 6

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StoredPair:
    """The two matrices of one module.

    Attributes:
        down, up: names of the tensors `[rank, in]` and `[out, rank]` in the file.
        rank: the low rank.
        factor: alpha over rank.
    """

    down: str
    up: str
    rank: int
    factor: float


@dataclass(frozen=True)
class AdapterFile:
    """An adapter that fits a tower.

    Attributes:
        name: the operator's name of it.
        path: the file.
        sha256: the file's hash.
        pairs: its matrices, by the tower's names of the modules.
    """

    name: str
    path: Path
    sha256: str
    pairs: Mapping[str, StoredPair]


def read_adapters(adapters: Mapping[str, str | os.PathLike[str]], config: TransformerConfig) -> list[AdapterFile]:
    """Find and check adapters, in the order of their names; no tensor is read.

    Args:
        adapters: a safetensors file, or a folder with one, by name.
        config: shapes of the checkpoint that they are for.

    Raises:
        CheckpointError: a file is missing, damaged, no LoRA, or of another model; the message names the adapter.
    """
    shapes = linear_shapes(config) if adapters else {}
    return [_read(name, Path(adapters[name]), shapes) for name in sorted(adapters)]


def linear_shapes(config: TransformerConfig) -> dict[str, Shape]:
    """Shapes `[out, in]` of the weights that an adapter can change: those of the tower's linear maps, whole."""
    with torch.device("meta"):
        tower = GenerationTower(config)
    modules = tower.named_modules()
    return {name: tuple(module.weight.shape) for name, module in modules if isinstance(module, nn.Linear)}


@contextmanager
def opened(name: str, path: Path) -> Iterator[Any]:
    """A safetensors file.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as reader:
            yield reader
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"adapter {name}: {path} cannot be read: {error}") from error


def _read(name: str, given: Path, shapes: Mapping[str, Shape]) -> AdapterFile:
    path = _find(name, given.expanduser())
    try:
        with opened(name, path) as reader:
            stored = _header(reader)
            modules = _by_module(stored)
            scaling = Scaling.of(path, reader.metadata() or {})
            alphas = {
                module: _number(reader, tensors[Role.ALPHA])
                for module, tensors in modules.items()
                if Role.ALPHA in tensors
            }
        pairs = dict(_pairs(stored, modules, scaling, alphas, shapes))
    except ValueError as error:
        raise CheckpointError(f"adapter {name}: {path}: {error}") from error
    return AdapterFile(name, path, _sha256(path), pairs)


def _header(reader: Any) -> dict[str, Shape]:
    """The shapes of a file's tensors.

    Raises:
        ValueError: one is stored as something else than floating-point numbers.
    """
    stored: dict[str, Shape] = {}
    for tensor in reader.keys():  # noqa: SIM118 - safe_open is no mapping
        header = reader.get_slice(tensor)
        stored[tensor] = tuple(header.get_shape())
        if header.get_dtype() not in DTYPES:
            raise ValueError(f"{tensor} is stored as {header.get_dtype()}; expected one of {', '.join(DTYPES)}")
    return stored


def _number(reader: Any, tensor: str) -> float:
    values = reader.get_tensor(tensor)
    if values.numel() != 1:
        raise ValueError(f"{tensor} has {values.numel()} values; expected one")
    return float(values.item())


def _find(name: str, given: Path) -> Path:
    if given.is_file():
        return given
    if not given.is_dir():
        raise CheckpointError(f"adapter {name}: {given} does not exist; expected a .safetensors file or its folder")
    files = sorted(given.glob("*.safetensors"))
    if len(files) != 1:
        raise CheckpointError(f"adapter {name}: {given} holds {len(files)} .safetensors files; expected one")
    return files[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_module(stored: Mapping[str, Shape]) -> dict[str, dict[Role, str]]:
    """The tensors of each module, by the module's name in the file.

    Raises:
        ValueError: a tensor is not of LoRA, or has no counterpart.
    """
    modules: dict[str, dict[Role, str]] = {}
    found = {tensor: split_name(tensor) for tensor in sorted(stored)}
    strange = [tensor for tensor, known in found.items() if known is None]
    if strange or not found:
        held = _list(strange) or "no tensor"
        raise ValueError(f"it holds {held}; expected only tensors of LoRA, such as <module>.lora_A.weight")
    for tensor, known in found.items():
        if known is not None:
            module, role = known
            modules.setdefault(module, {})[role] = tensor
    halves = [module for module, tensors in modules.items() if not {Role.DOWN, Role.UP} <= tensors.keys()]
    if halves:
        raise ValueError(f"one of the two matrices is missing: {_list(halves)}")
    return modules


def _pairs(
    stored: Mapping[str, Shape],
    modules: Mapping[str, Mapping[Role, str]],
    scaling: Scaling,
    alphas: Mapping[str, float],
    shapes: Mapping[str, Shape],
) -> Iterator[tuple[str, StoredPair]]:
    """The matrices by the tower's names; they are checked against the tower's shapes.

    Raises:
        ValueError: a module that the tower does not have, or has in another shape, or that is named twice.
    """
    unknown = [module for module in modules if tower_module(module) not in shapes]
    if unknown:
        raise ValueError(f"the generation tower has no such linear maps: {_list(unknown)}")
    seen: dict[str, str] = {}
    for module, tensors in modules.items():
        target = tower_module(module)
        if target in seen:
            raise ValueError(f"{seen[target]} and {module} are two names of one module")
        seen[target] = module
        down, up = tensors[Role.DOWN], tensors[Role.UP]
        rank = _rank(stored[down], stored[up], shapes[target])
        if rank is None:
            out, into = shapes[target]
            found = f"are {list(stored[down])} and {list(stored[up])}"
            raise ValueError(f"{down} and {up} {found}; expected [rank, {into}] and [{out}, rank]")
        yield target, StoredPair(down, up, rank, _factor(scaling, module, rank, alphas.get(module)))


def _rank(down: Shape, up: Shape, whole: Shape) -> int | None:
    """The rank of two matrices; None where they do not make a matrix of some shape."""
    fits = len(down) == len(up) == 2 and down[0] == up[1] > 0 and (up[0], down[1]) == whole
    return down[0] if fits else None


def _factor(scaling: Scaling, module: str, rank: int, alpha: float | None) -> float:
    factor = scaling.factor(module, rank, alpha)
    if not math.isfinite(factor):
        raise ValueError(f"the alpha of {module} is no finite number")
    return factor


def _list(names: list[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
