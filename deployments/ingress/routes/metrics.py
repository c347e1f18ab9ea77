"""`/metrics`: the graph's own figures and vLLM's in Prometheus' text format. Ray's exporter has those of processes."""

from __future__ import annotations

import asyncio
import time

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from deployments.fetching.errors import Outcome
from deployments.ingress.graph import Graph

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FIGURES_AGE_S = 1.0
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600)
UNKNOWN_ROUTE = "other"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class HttpMetrics:
    """Metrics of this replica's requests, and the graph's figures, which are gathered at most once a second."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter("cosmos3_http_requests", "Answers", (*labels, "status"), registry=self.registry)
        self._seconds = Histogram(
            "cosmos3_http_seconds", "Time to the end of the answer", labels, registry=self.registry, buckets=BUCKETS
        )
        self._fetches = Counter(
            "cosmos3_media_fetches", "Media that requests name by their address", ("outcome",), registry=self.registry
        )
        self._gathering = asyncio.Lock()
        self._gathered: tuple[float, list[Metric]] = (-FIGURES_AGE_S, [])

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count an answer; status 0 means that the client hung up before there was one."""
        route = scope.get("route")
        path = getattr(route, "path_format", UNKNOWN_ROUTE)
        # A client may send any word as a method, and each label value makes a time series.
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(method, path).observe(seconds)

    def count_fetch(self, outcome: Outcome) -> None:
        """Count an attempt to fetch a medium."""
        self._fetches.labels(outcome.value).inc()

    async def exposition(self, graph: Graph) -> bytes:
        """All metrics in the text format."""
        async with self._gathering:
            gathered_at, families = self._gathered
            if time.monotonic() - gathered_at > FIGURES_AGE_S:
                figures, metrics = await asyncio.gather(graph.figures(), graph.engine_metrics())
                families = [*_families(figures), *_engine_families(metrics)]
                self._gathered = (time.monotonic(), families)
        return generate_latest(self.registry) + generate_latest(_Fixed(families))


class _Fixed:
    """A collector of given families, for `generate_latest`."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(figures: list[tuple[str, str, str, dict[str, float]]]) -> list[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    for application, deployment, replica, values in figures:
        for name, value in values.items():
            full = f"cosmos3_{deployment.lower()}_{name}"
            if full not in families:
                families[full] = GaugeMetricFamily(full, name.replace("_", " "), labels=("application", "replica"))
            families[full].add_metric((application, replica), value)
    return list(families.values())


def _engine_families(metrics: list[tuple[str, str, str]]) -> list[Metric]:
    """vLLM's metrics under their own names and labels, and two labels more that tell replicas apart."""
    families: dict[str, Metric] = {}
    for application, replica, text in metrics:
        own = {"application": application, "replica": replica}
        for family in text_string_to_metric_families(text):
            whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [sample._replace(labels=sample.labels | own) for sample in family.samples]
    return list(families.values())


async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format 0.0.4."""
    graph: Graph = request.app.state.graph
    return Response(await request.app.state.metrics.exposition(graph), media_type=CONTENT_TYPE)
