"""A method added to vLLM's workers: how many bytes of weights they hold. vLLM imports this in its own processes."""

from __future__ import annotations

from typing import Any

VISION_PREFIXES = ("visual", "vision")


class WeightBytes:
    """Mixed into vLLM's `Worker` by its argument `worker_extension_cls`."""

    def weight_bytes(self) -> dict[str, int]:
        """Bytes of the language tower with embeddings and head, and of the ViT."""
        worker: Any = self
        sizes = {"tower": 0, "vision": 0}
        for name, weight in worker.get_model().named_parameters():
            sizes["vision" if name.startswith(VISION_PREFIXES) else "tower"] += weight.nbytes
        return sizes
