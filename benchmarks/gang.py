"""What scheduling by the step costs and gains, on the tiny checkpoint.

Eight equal images at once against eight in a row, with and without one forward pass for several tasks; what the
scheduler and the way to the ranks add to a step; how long a gang of two ranks is away when one of them is killed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console

from benchmarks.environment import describe, milliseconds
from deployments.cli.client import Client
from deployments.generator.scheduler import Limits, Run, Scheduler, Task
from deployments.local.launch import Launch, RunningGraph, running_graph
from deployments.local.recipes import find_recipe, load_recipe, override
from deployments.wire.service_class import ServiceClass

IMAGES = 8
STEPS = 20
SIZE = "128x96"
PATIENCE = {ServiceClass.INTERACTIVE: 5.0, ServiceClass.STANDARD: 30.0, ServiceClass.BATCH: 120.0}
STEP_MS = 50.0
console = Console(stderr=True)


def decisions(tasks: int, repeats: int = 2000) -> dict[str, float]:
    """One decision and its bookkeeping with some tasks on a gang, as a share of a step of 50 ms."""
    scheduler = Scheduler(Limits(memory_bytes=tasks, max_batch=1, patience_s=PATIENCE))
    for number in range(tasks):
        scheduler.add(Task(f"{number}", ServiceClass.STANDARD, 1, number, 0.05, repeats, 0.0, resident=True))
    started = time.perf_counter()
    for number in range(repeats):
        decision = scheduler.next(number * 0.05)
        assert isinstance(decision, Run)
        scheduler.stepped(decision.tasks, number * 0.05)
        scheduler.expected_seconds(decision.tasks[0])
    seconds = (time.perf_counter() - started) / repeats
    return {"us": round(1e6 * seconds, 1), f"per cent of {STEP_MS:g} ms": round(100 * seconds / STEP_MS * 1e3, 3)}


@contextmanager
def served(folder: Path, ranks: int = 1, **generator: Any) -> Iterator[tuple[RunningGraph, httpx.Client, Client]]:
    """The tiny graph without its Reasoner."""
    config = override(load_recipe(find_recipe("tiny-cpu")), port=0, data=folder)
    model = config["applications"][1]
    model["args"]["reasoner"] = None
    model["args"]["previews"] = False
    model["args"]["generator"] |= {"parallel": {"cfg": ranks}, "rank_resources": {"CPU": 0.4 / ranks}, **generator}
    model["deployments"] = [entry for entry in model["deployments"] if entry["name"] != "Reasoner"]
    with running_graph(Launch(config, logical_cpus=2)) as graph:
        graph.wait_ready(300)
        client = Client(graph.url)
        client.wait_healthy(300)
        with httpx.Client(base_url=graph.url, timeout=300) as http:
            yield graph, http, client
        client.close()


def image(http: httpx.Client, seed: int = 0) -> float:
    """Seconds of one image."""
    started = time.perf_counter()
    body = {"prompt": "a robot", "size": SIZE, "num_inference_steps": STEPS, "seed": seed}
    http.post("/v1/images/generations", json=body).raise_for_status()
    return time.perf_counter() - started


def eight(http: httpx.Client, repeats: int) -> dict[str, Any]:
    """Eight images in a row and at once, in turns."""
    in_a_row, at_once = [], []
    with ThreadPoolExecutor(IMAGES) as pool:
        for _ in range(repeats):
            started = time.perf_counter()
            for seed in range(IMAGES):
                image(http, seed)
            in_a_row.append(time.perf_counter() - started)
            started = time.perf_counter()
            list(pool.map(lambda seed: image(http, seed), range(IMAGES)))
            at_once.append(time.perf_counter() - started)
    ratio = sorted(row / once for row, once in zip(in_a_row, at_once, strict=True))[repeats // 2]
    return {"in a row": milliseconds(in_a_row), "at once": milliseconds(at_once), "ratio": round(ratio, 2)}


def per_step(http: httpx.Client, client: Client, images: int = 10) -> dict[str, float]:
    """What a step costs beyond the ranks' own work."""
    before = settled(client)
    for seed in range(images):
        image(http, seed)
    after = settled(client)
    grown = {name: after[f"cosmos3_generator_{name}"] - before[f"cosmos3_generator_{name}"] for name in NAMES}
    return {
        "scheduler_ms": round(1e3 * grown["scheduler_seconds"] / grown["steps"], 3),
        "dispatch_ms": round(1e3 * grown["dispatch_seconds"] / grown["steps"], 2),
    }


NAMES = ("steps", "scheduler_seconds", "dispatch_seconds")


def settled(client: Client) -> dict[str, float]:
    """Figures newer than all that went before: they are gathered once a second."""
    time.sleep(1.5)
    return client.figures()


def kill_to_serving(graph: RunningGraph, http: httpx.Client) -> float:
    """Seconds from the death of a rank to an image from the gang that replaces its own."""
    rank = next(process for process in graph.processes() if "ray::Rank" in " ".join(process.cmdline()))
    psutil.Process(rank.pid).kill()
    started = time.perf_counter()
    image(http)
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and write a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    results: dict[str, Any] = {f"a decision among {n} tasks": decisions(n) for n in (1, 8, 64)}
    with tempfile.TemporaryDirectory() as folder:
        for batch in (1, IMAGES):
            console.print(f"eight images, up to {batch} in a forward pass")
            with served(Path(folder, f"batch-{batch}"), batch_tasks=batch) as (_, http, client):
                image(http)
                results[f"eight images, batch_tasks {batch}"] = eight(http, arguments.repeats)
                results[f"a step of one rank, batch_tasks {batch}"] = per_step(http, client)
        console.print("a gang of two ranks")
        with served(Path(folder, "gang"), ranks=2) as (graph, http, client):
            image(http)
            results["a step of two ranks"] = per_step(http, client)
            results["from the kill of a rank to the next image, s"] = round(kill_to_serving(graph, http), 1)
    report = {"environment": describe(), "results": results}
    console.print_json(json.dumps(results))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
