"""Figures of vLLM's engine: those of its scheduler, and the metrics of `vllm serve` under their own names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.core import Metric
from vllm.v1.metrics.loggers import StatLoggerBase

PREFIX = "vllm:"


class SchedulerFigures(StatLoggerBase):
    """The last figures of vLLM's scheduler, and totals."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self.running = self.waiting = self.prompt_tokens = self.generated_tokens = 0

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """vLLM calls this after each step of the engine."""
        if scheduler_stats is not None:
            self.running = scheduler_stats.num_running_reqs
            self.waiting = scheduler_stats.num_waiting_reqs
        if iteration_stats is not None:
            self.prompt_tokens += iteration_stats.num_prompt_tokens
            self.generated_tokens += iteration_stats.num_generation_tokens

    def log_engine_initialized(self) -> None:
        """vLLM requires this method; there is nothing to log."""


class EngineMetrics:
    """A collector of vLLM's own metrics, which it registers with everything else of its process."""

    def collect(self) -> Iterator[Metric]:
        """The families whose names are vLLM's."""
        return (family for family in REGISTRY.collect() if family.name.startswith(PREFIX))


def exposition() -> str:
    """vLLM's metrics of this process in Prometheus' text format."""
    return generate_latest(EngineMetrics()).decode()
