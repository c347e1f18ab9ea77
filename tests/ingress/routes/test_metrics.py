"""vLLM's own metrics as the graph tells them: the same names, and labels that tell replicas apart."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from deployments.ingress.routes.metrics import _engine_families, _Fixed


def told(running: int) -> str:
    """What an engine's process tells."""
    registry = CollectorRegistry()
    labels = {"model_name": "m", "engine": "0"}
    Gauge("vllm:num_requests_running", "Running.", labels, registry=registry).labels(**labels).set(running)
    Counter("vllm:prompt_tokens", "Tokens.", labels, registry=registry).labels(**labels).inc(7)
    seconds = Histogram("vllm:e2e_request_latency_seconds", "Seconds.", labels, buckets=(1, 2), registry=registry)
    seconds.labels(**labels).observe(1.5)
    return generate_latest(registry).decode()


def test_replicas_are_series_of_one_family() -> None:
    text = generate_latest(
        _Fixed(_engine_families([("a", "x", told(1)), ("a", "y", told(2)), ("b", "z", told(3))]))
    ).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    running = families["vllm:num_requests_running"]
    assert (running.type, running.documentation) == ("gauge", "Running.")
    found = {(sample.labels["application"], sample.labels["replica"]): sample.value for sample in running.samples}
    assert found == {("a", "x"): 1, ("a", "y"): 2, ("b", "z"): 3}
    assert all(sample.labels["model_name"] == "m" for sample in running.samples)
    assert families["vllm:prompt_tokens"].type == "counter"
    assert {sample.name for sample in families["vllm:prompt_tokens"].samples} >= {"vllm:prompt_tokens_total"}
    buckets = [one for one in families["vllm:e2e_request_latency_seconds"].samples if one.name.endswith("_bucket")]
    assert len(buckets) == 3 * 3
    assert text.count("# TYPE vllm:num_requests_running") == 1
