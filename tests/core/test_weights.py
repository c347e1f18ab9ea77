"""Weights are read whole or refused by name, and never more of them than fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import CheckpointError
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.names import keeps_fp32, published_names
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.weights import LoadReport, free_memory, load, stored_tensors

CPU = torch.device("cpu")
INDEX = "model.safetensors.index.json"


def tensors() -> dict[str, Tensor]:
    return {
        "0.weight": torch.arange(6.0).view(2, 3),
        "0.bias": torch.ones(2),
        "1.weight": torch.arange(8.0).view(4, 2),
    }


def blank() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4, bias=False))


def read(folder: Path, **options: object) -> LoadReport:
    return load(blank(), folder, **{"device": CPU, "dtype": torch.float32, **options})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(tensors(), tmp_path / "model.safetensors")
    return tmp_path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Two shards behind an index; the first tensor in the second shard."""
    weight_map = {"0.weight": "b.safetensors", "0.bias": "a.safetensors", "1.weight": "a.safetensors"}
    for file in ("a.safetensors", "b.safetensors"):
        save_file({name: x for name, x in tensors().items() if weight_map[name] == file}, tmp_path / file)
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return tmp_path


@pytest.mark.parametrize("layout", ["folder", "sharded"])
def test_every_tensor_arrives(layout: str, request: pytest.FixtureRequest) -> None:
    module = blank()
    report = load(module, request.getfixturevalue(layout), device=CPU, dtype=torch.float32)
    assert report == LoadReport(tensors=3, bytes_read=4 * (6 + 2 + 8))
    assert not module.training
    for name, parameter in module.state_dict(keep_vars=True).items():
        assert torch.equal(parameter, tensors()[name])
        assert not parameter.requires_grad


def test_loaded_weights_outlive_the_file(folder: Path) -> None:
    module = blank()
    load(module, folder, device=CPU, dtype=torch.float32)
    (folder / "model.safetensors").write_bytes(bytes((folder / "model.safetensors").stat().st_size))
    assert torch.equal(module.state_dict()["0.weight"], tensors()["0.weight"])


def test_weights_are_converted_except_those_that_stay_in_fp32(folder: Path) -> None:
    module = blank()
    report = load(module, folder, device=CPU, dtype=torch.bfloat16, keep_fp32=lambda name: name.startswith("1."))
    state = module.state_dict()
    assert {name: x.dtype for name, x in state.items()} == {
        "0.weight": torch.bfloat16,
        "0.bias": torch.bfloat16,
        "1.weight": torch.float32,
    }
    assert torch.equal(state["0.weight"], tensors()["0.weight"].bfloat16())
    assert report.bytes_read == 4 * 16


def test_names_in_the_file_may_differ(tmp_path: Path) -> None:
    save_file({f"decoder.{name}": x for name, x in tensors().items()}, tmp_path / "model.safetensors")
    module = blank()
    load(module, tmp_path, device=CPU, dtype=torch.float32, rename=lambda name: f"decoder.{name}")
    assert torch.equal(module.state_dict()["0.bias"], tensors()["0.bias"])


def test_buffers_are_read_too(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = nn.Module()
        module.register_buffer("mean", torch.zeros(3))
    save_file({"mean": torch.arange(3.0)}, tmp_path / "model.safetensors")
    assert load(module, tmp_path, device=CPU, dtype=torch.float32).tensors == 1
    assert module.state_dict()["mean"].tolist() == [0, 1, 2]


def without(*names: str) -> dict[str, Tensor]:
    return {name: x for name, x in tensors().items() if name not in names}


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (without("0.bias"), r"missing tensors: 0\.bias$"),
        (without("0.bias", "1.weight"), r"missing tensors: 0\.bias, 1\.weight$"),
        (tensors() | {"2.weight": torch.zeros(1)}, r"unexpected tensors: 2\.weight$"),
        (
            tensors() | {f"new.{i}": torch.zeros(1) for i in range(9)},
            r"unexpected tensors: new\.0, new\.1, new\.2, new\.3, new\.4, new\.5 and 3 more$",
        ),
        (
            tensors() | {"0.weight": torch.zeros(3, 2)},
            r"misshapen tensors: 0\.weight is \[3, 2\], expected \[2, 3\]$",
        ),
        (
            tensors() | {"0.bias": torch.zeros(2, 1)},
            r"misshapen tensors: 0\.bias is \[2, 1\], expected \[2\]$",
        ),
    ],
    ids=["missing", "two missing", "unexpected", "many unexpected", "transposed", "rank"],
)
def test_other_tensors_are_refused_by_name(tmp_path: Path, stored: dict[str, Tensor], message: str) -> None:
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("leaf", ["0.weight_scale", "0.input_scale"])
def test_a_quantised_checkpoint_gets_a_hint(tmp_path: Path, leaf: str) -> None:
    save_file(tensors() | {leaf: torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=rf"{leaf}; quantised checkpoints are not supported, use the bf16"):
        read(tmp_path)


def test_tensors_of_other_stages_are_left_alone(tmp_path: Path) -> None:
    save_file(tensors() | {"other.weight": torch.ones(1000)}, tmp_path / "model.safetensors")
    assert read(tmp_path, known={"other.weight", "absent.weight"}).bytes_read == 4 * 16


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "a.safetensors").unlink()
    with pytest.raises(CheckpointError, match=rf"{INDEX} names a\.safetensors, which are missing"):
        read(sharded)


def test_files_outside_the_index_are_left_alone(sharded: Path) -> None:
    save_file({"stray": torch.ones(1)}, sharded / "c.safetensors")
    assert set(stored_tensors(sharded)) == set(tensors())
    assert read(sharded).tensors == 3


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_index_is_named(sharded: Path, content: str) -> None:
    (sharded / INDEX).write_text(content)
    with pytest.raises(CheckpointError, match=INDEX):
        read(sharded)


@pytest.mark.parametrize("kept", [0, 7, 60, -1])
def test_a_truncated_file_is_named(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged or incomplete"):
        read(folder)


def test_other_formats_are_not_read(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no \.safetensors file; other formats are not read"):
        read(tmp_path)


def test_what_does_not_fit_is_refused_with_the_arithmetic(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = nn.Linear(1000, 2000, bias=False)
    save_file({"weight": torch.zeros(2000, 1000, dtype=torch.bfloat16)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError) as error:
        load(module, tmp_path, device=CPU, dtype=torch.bfloat16, memory_limit=3_999_999)
    assert str(error.value) == (
        "Linear does not fit on cpu: 0.002 billion parameters x 2.0 bytes = 0.004 GB, and 0.004 GB are allowed"
    )
    assert module.weight.is_meta
    report = load(module, tmp_path, device=CPU, dtype=torch.bfloat16, memory_limit=4_000_000)
    assert report.bytes_read == 4_000_000


def test_the_dtype_counts_that_will_be_held(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="does not fit"):
        read(folder, memory_limit=63)
    assert read(folder, memory_limit=64).tensors == 3
    assert read(folder, memory_limit=32, dtype=torch.bfloat16).tensors == 3
    with pytest.raises(CheckpointError, match="does not fit"):
        read(folder, memory_limit=32, dtype=torch.bfloat16, keep_fp32=lambda name: name == "0.bias")


def test_without_a_limit_the_free_memory_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory(CPU) > 0
    monkeypatch.setattr("cosmos3_core.weights.free_memory", lambda device: 10)
    with pytest.raises(CheckpointError, match=r"and 0\.000 GB are free"):
        read(folder)


@pytest.mark.gpu
def test_free_memory_of_a_gpu_is_what_the_driver_says(folder: Path) -> None:
    device = torch.device("cuda")
    assert 0 < free_memory(device) <= torch.cuda.get_device_properties(device).total_memory
    module = blank()
    load(module, folder, device=device, dtype=torch.bfloat16)
    assert {x.device.type for x in module.state_dict().values()} == {"cuda"}


@pytest.fixture(params=["nano", "edge"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint.find(request.getfixturevalue(request.param))


def stored_bytes(folder: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as reader:
            found |= {name: reader.get_tensor(name).nbytes for name in reader.keys()}  # noqa: SIM118
    return found


@pytest.mark.parametrize("tower_class", [GenerationTower, UnderstandingTower])
def test_a_tower_reads_its_own_tensors_and_no_byte_more(
    checkpoint: Checkpoint, tower_class: type[GenerationTower | UnderstandingTower]
) -> None:
    config, folder = checkpoint.transformer_config, checkpoint.folder("transformer")
    with torch.device("meta"):
        tower = tower_class(config)
    report = load(
        tower,
        folder,
        device=CPU,
        dtype=torch.bfloat16,
        known=published_names(config),
        keep_fp32=keeps_fp32,
    )
    sizes, state = stored_bytes(folder), tower.state_dict()
    assert report == LoadReport(len(state), sum(sizes[name] for name in state))
    assert report.bytes_read < sum(sizes.values())
    for name, tensor in state.items():
        in_fp32 = name.startswith("time_embedder.")
        assert tensor.dtype == (torch.float32 if in_fp32 else torch.bfloat16), name
