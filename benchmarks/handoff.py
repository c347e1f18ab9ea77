"""The hand-off of keys and values at Nano's size, between two processes of one machine: publish, then fetch.

A thousand tokens of Nano are 147 MB in bfloat16. The functions are those of the Encoder and the rank; the Ray around
them is started here and has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ray
import torch

from benchmarks.environment import describe, milliseconds
from deployments.wire.handoff import fetch_heads, publish

# [layers, 2, kv_heads, tokens, head_dim]
NANO = (36, 2, 8, 1000, 128)
# The first touches of the object store's memory cost more than all that follow.
WARM_UP = 2


def fetch_seconds(reference: list[Any]) -> float:
    """Time a fetch in another process; the list keeps Ray from resolving the reference itself."""
    started = time.perf_counter()
    fetch_heads(reference[0], slice(None), torch.device("cpu"))
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and write a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=2 * 1024**3, log_to_driver=False)
    remote: Any = ray.remote(fetch_seconds)
    values = torch.randn(NANO).to(torch.bfloat16)
    samples: list[tuple[float, float]] = []
    for _ in range(arguments.repeats + WARM_UP):
        started = time.perf_counter()
        reference = publish(values)
        published = time.perf_counter() - started
        samples.append((published, ray.get(remote.remote([reference]))))
    ray.shutdown()
    measured = samples[WARM_UP:]
    results = {
        "tokens": NANO[3],
        "MB": round(values.nbytes / 1e6, 1),
        "publish": milliseconds([published for published, _ in measured]),
        "fetch": milliseconds([fetched for _, fetched in measured]),
    }
    report = {"environment": describe(), "results": results}
    print(json.dumps(results, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
