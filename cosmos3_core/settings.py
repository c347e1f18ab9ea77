"""How the stages run: device, dtype, attention kernel, guidance batching. Fixed at start, never per request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cosmos3_core.errors import RequestError
from cosmos3_core.model.backend import AttentionBackend

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16")
DtypeName = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class ExecutionSettings:
    """Typed settings of a process.

    Attributes:
        device: a torch device; `"auto"` is the first GPU, else the CPU.
        dtype: weights and activations; `"auto"` is bfloat16 on GPUs and float32 on CPUs.
        attention: the attention kernel.
        batch_guidance: run both guidance branches in one forward. A batched product differs in the last bit, so this
            is a setting and not a run-time choice.
        text_cache_bytes: budget of the cache of understanding keys and values.
        memory_limit_bytes: what one stage's weights may take; None means what the device has free.
    """

    device: str = "auto"
    dtype: DtypeName = "auto"
    attention: str = AttentionBackend.AUTO
    batch_guidance: bool = True
    text_cache_bytes: int = 2 * 1024**3
    memory_limit_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *DTYPES):
            raise RequestError("dtype", f"is {self.dtype!r}; expected auto, {' or '.join(DTYPES)}")
        if self.attention not in tuple(AttentionBackend):
            raise RequestError("attention", f"is {self.attention!r}; expected one of {', '.join(AttentionBackend)}")
        # Here and below: a process that only names settings needs no torch.
        from cosmos3_core.model.attention import check_backend

        self._check_device()
        check_backend(AttentionBackend(self.attention), self.torch_device)

    def _check_device(self) -> None:
        import torch

        try:
            device = self.torch_device
        except RuntimeError as error:
            raise RequestError("device", f"is {self.device!r}; expected auto, cpu, cuda or cuda:N") from error
        count = torch.cuda.device_count()
        if device.type == "cuda" and (device.index or 0) >= count:
            raise RequestError("device", f"is {self.device!r}; this machine has {count} CUDA devices")

    @property
    def torch_device(self) -> torch.device:
        """The resolved device."""
        import torch

        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The resolved dtype."""
        import torch

        if self.dtype == "auto":
            return torch.bfloat16 if self.torch_device.type == "cuda" else torch.float32
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.dtype]
