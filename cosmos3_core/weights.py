"""Stream tensors of a safetensors folder into a module: only those it has, checked before the first byte is read.

Names in the file are parameter names of the module. Missing, unexpected or misshapen tensors are refused by name, and
so is a module that will not fit in memory, with the arithmetic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cosmos3_core.errors import CheckpointError

MAX_NAMED = 6
# safetensors' names of what checkpoints of this family are stored in, and of what they might be quantised to.
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2}
BYTES |= dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1)


@dataclass(frozen=True)
class LoadReport:
    """What loading one module read.

    Attributes:
        tensors: number of tensors.
        bytes_read: their bytes on disk.
        adapter_bytes: bytes that adapters take on the device beside them.
    """

    tensors: int
    bytes_read: int
    adapter_bytes: int = 0


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a safetensors file.

    Attributes:
        file: the file that holds it.
        shape: its shape.
        nbytes: its bytes in the file.
    """

    file: Path
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class TensorPart:
    """The part of a stored tensor that a module holds.

    Attributes:
        whole: the tensor's shape in the file.
        index: a slice for each axis.
    """

    whole: tuple[int, ...]
    index: tuple[slice, ...]


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a folder's safetensors files, from their headers; an index file, where there is one, is followed.

    Raises:
        CheckpointError: no safetensors file, or a damaged one.
    """
    files = sorted(folder.glob("*.safetensors"))
    for index in folder.glob("*.safetensors.index.json"):
        named = _indexed_files(index)
        absent = sorted(name for name in named if not (folder / name).is_file())
        if absent:
            raise CheckpointError(f"{folder}: {index.name} names {_list(absent)}, which are missing")
        files = sorted(folder / name for name in named)
    if not files:
        raise CheckpointError(f"{folder}: no .safetensors file; other formats are not read")
    found: dict[str, StoredTensor] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as reader:
                for name in reader.keys():  # noqa: SIM118 - safe_open is no mapping
                    header = reader.get_slice(name)
                    shape = tuple(header.get_shape())
                    found[name] = StoredTensor(file, shape, math.prod(shape) * BYTES.get(header.get_dtype(), 1))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file}: damaged or incomplete: {error}") from error
    return found


def _indexed_files(index: Path) -> set[str]:
    try:
        return {str(file) for file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: not a safetensors index with a weight_map") from error


def load(
    module: nn.Module,
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    known: Collection[str] = (),
    keep_fp32: Callable[[str], bool] = lambda name: False,
    rename: Callable[[str], str] = lambda name: name,
    parts: Mapping[str, TensorPart] | None = None,
    memory_limit: int | None = None,
) -> LoadReport:
    """Give a module built on the meta device its weights.

    Args:
        module: the module; every parameter and persistent buffer of it is read.
        folder: holds the safetensors files.
        device: where the weights go.
        dtype: what they are converted to.
        known: names that may be in the folder and are not read, because other stages read them.
        keep_fp32: whether a name stays in fp32 whatever `dtype` is.
        rename: maps a module's name to the name in the file.
        parts: for each tensor that the module holds only a part of, the part to read.
        memory_limit: bytes the weights may take; None means what the device has free.

    Raises:
        CheckpointError: missing, unexpected or misshapen tensors, or not enough memory.
    """
    wanted, parts = dict(module.state_dict()), parts or {}
    stored = stored_tensors(folder)
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    shapes |= {name: piece.whole for name, piece in parts.items()}
    _check(folder, {rename(name): shape for name, shape in shapes.items()}, stored, known)
    dtypes = {name: torch.float32 if keep_fp32(name) else dtype for name in wanted}
    _check_memory(module, wanted, dtypes, device, memory_limit)
    bytes_read = 0
    values: dict[str, Tensor] = {}
    sources = {name: (stored[rename(name)].file, rename(name), parts.get(name)) for name in wanted}
    for name, tensor in _streamed(sources):
        bytes_read += tensor.nbytes
        # A copy, so that nothing keeps the file mapped.
        values[name] = tensor.to(device=device, dtype=dtypes[name], copy=True)
    module.load_state_dict(values, assign=True)
    module.eval().requires_grad_(False)
    return LoadReport(len(values), bytes_read)


def _streamed(sources: Mapping[str, tuple[Path, str, TensorPart | None]]) -> Iterator[tuple[str, Tensor]]:
    """Tensors by their names in a module, one at a time, from files each opened once."""
    by_file: dict[Path, list[str]] = {}
    for name, (file, _, _) in sources.items():
        by_file.setdefault(file, []).append(name)
    for file, names in by_file.items():
        with safe_open(file, framework="pt") as reader:
            for name in names:
                _, stored, piece = sources[name]
                yield name, reader.get_tensor(stored) if piece is None else reader.get_slice(stored)[piece.index]


def _list(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:MAX_NAMED])
    return shown + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")


def _check(
    folder: Path,
    wanted: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, StoredTensor],
    known: Collection[str],
) -> None:
    missing = wanted.keys() - stored.keys()
    if missing:
        raise CheckpointError(f"{folder}: missing tensors: {_list(missing)}")
    unexpected = stored.keys() - wanted.keys() - set(known)
    if unexpected:
        hint = ""
        if any(name.endswith(("weight_scale", "input_scale")) for name in unexpected):
            hint = "; quantised checkpoints are not supported, use the bf16 revision"
        raise CheckpointError(f"{folder}: unexpected tensors: {_list(unexpected)}{hint}")
    wrong = [
        f"{name} is {list(stored[name].shape)}, expected {list(shape)}"
        for name, shape in wanted.items()
        if stored[name].shape != shape
    ]
    if wrong:
        raise CheckpointError(f"{folder}: misshapen tensors: {_list(wrong)}")


def _check_memory(
    module: nn.Module,
    wanted: Mapping[str, Tensor],
    dtypes: Mapping[str, torch.dtype],
    device: torch.device,
    limit: int | None,
) -> None:
    needed = sum(tensor.numel() * dtypes[name].itemsize for name, tensor in wanted.items())
    available = free_memory(device) if limit is None else limit
    if needed > available:
        count = sum(tensor.numel() for tensor in wanted.values())
        raise CheckpointError(
            f"{type(module).__name__} does not fit on {device}: {count / 1e9:.3f} billion parameters x "
            f"{needed / count:.1f} bytes = {needed / 1e9:.3f} GB, and {available / 1e9:.3f} GB are "
            f"{'free' if limit is None else 'allowed'}"
        )


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken on a device: free GPU memory, or available host memory within the container's limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # Cached file pages count as used but are reclaimed; a container that has just read weights is full of them.
        used = int((group / "memory.current").read_text()) - int(statistics["inactive_file"])
        return min(available, int((group / "memory.max").read_text()) - used)
    except (OSError, ValueError, KeyError):
        return available
