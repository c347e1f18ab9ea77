"""What the graph costs on top of its work, on the tiny checkpoint: HTTP, refusals, the flow, the K/V hand-off.

The recipe tiny-cpu is started, used over HTTP and stopped. The flow's overhead is what an image of one step takes over
HTTP beyond what the same stages take in one process, measured in turns. The hand-off is timed where it happens: in the
Encoder, which puts keys and values into the object store, and in the rank, which takes them out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, milliseconds
from benchmarks.local_pipeline import prompt_of
from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.media.stills import encode_image
from cosmos3_core.modes import Mode
from deployments.cli.client import Client
from deployments.local.launch import Launch, running_graph
from deployments.local.recipes import find_recipe, load_recipe, override

CHECKPOINT = "tiny:nano"
IMAGE: dict[str, Any] = {"prompt": "a robot", "num_inference_steps": 1, "seed": 0}
HANDOFF_TOKENS = 1000
console = Console(stderr=True)


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def ingress(http: httpx.Client, repeats: int) -> dict[str, Any]:
    """A request that only the ingress answers, and refusals, the dearest of which decodes a picture first."""
    picture = {"input_reference": ("x.png", b"\x89PNG" + bytes(1_000_000))}
    calls: dict[str, Callable[[], httpx.Response]] = {
        "live": lambda: http.get("/v1/health/live"),
        "refused size": lambda: http.post("/v1/images/generations", json={"prompt": "x", "size": "abc"}),
        "refused image of 1 MB": lambda: http.post("/v1/videos", data={"prompt": "x"}, files=picture),
        "refused chat model": lambda: http.post("/v1/chat/completions", json={"model": "x", "messages": [{}]}),
    }
    return {name: milliseconds([timed(call) for _ in range(repeats)]) for name, call in calls.items()}


def flow(http: httpx.Client, repeats: int) -> dict[str, Any]:
    """An image of one step over HTTP and in one process, in turns, both with the prompt's K/V cached."""
    torch.set_num_threads(1)
    pipeline = LocalPipeline.from_pretrained(CHECKPOINT, device="cpu", dtype="float32")
    request = GenerationRequest(mode=Mode.TEXT_TO_IMAGE, width=128, height=96, **IMAGE)

    def here() -> None:
        encode_image(pipeline.generate(request).frames[0], "png")

    def there() -> None:
        http.post("/v1/images/generations", json={"size": "128x96", **IMAGE}).raise_for_status()

    for call in (here, there, here, there):
        call()
    pairs = [(timed(here), timed(there)) for _ in range(repeats)]
    return {
        "in one process": milliseconds([pair[0] for pair in pairs]),
        "over HTTP": milliseconds([pair[1] for pair in pairs]),
        "overhead": milliseconds([pair[1] - pair[0] for pair in pairs]),
    }


def handoff(http: httpx.Client, client: Client, repeats: int) -> dict[str, Any]:
    """Fresh prompts of about a thousand tokens, without guidance."""
    from transformers import AutoTokenizer

    checkpoint = Checkpoint.find(CHECKPOINT)
    prompt = prompt_of(AutoTokenizer.from_pretrained(checkpoint.folder("text_tokenizer")), HANDOFF_TOKENS)
    before = figures(client)
    for number in range(repeats):
        body = {**IMAGE, "prompt": f"{number} {prompt}", "size": "64x64", "guidance_scale": 1.0}
        http.post("/v1/images/generations", json=body).raise_for_status()
    after = figures(client)
    grown = {name: (after[name] - before[name]) / repeats for name in after}
    per_token = grown["generator_bytes_fetched"] / HANDOFF_TOKENS
    return {
        "tokens": HANDOFF_TOKENS,
        "kB per token": round(per_token / 1e3, 3),
        "publish_ms": round(1e3 * grown["encoder_publish_seconds"], 2),
        "fetch_ms": round(1e3 * grown["generator_fetch_seconds"], 2),
    }


def figures(client: Client) -> dict[str, float]:
    """The hand-off's figures, newer than all that went before: they are gathered once a second."""
    time.sleep(1.5)
    found = client.figures()
    names = ("encoder_publish_seconds", "generator_fetch_seconds", "generator_bytes_fetched")
    return {name: found[f"cosmos3_{name}"] for name in names}


def main() -> None:
    """Start the graph, measure, print, and write a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    parser.add_argument("--repeats", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = override(load_recipe(find_recipe("tiny-cpu")), port=0, data=Path(folder))
        with running_graph(Launch(config, logical_cpus=2)) as graph:
            console.print("starting the graph")
            started = time.perf_counter()
            graph.wait_ready(300)
            client = Client(graph.url)
            client.wait_healthy(300)
            ready = time.perf_counter() - started
            with httpx.Client(base_url=graph.url, timeout=120) as http:
                results = {
                    "ready_s": round(ready, 1),
                    "ingress": ingress(http, arguments.repeats),
                    "one-step image 128x96": flow(http, max(5, arguments.repeats // 4)),
                    "K/V hand-off of the tiny model": handoff(http, client, 5),
                }
            client.close()
    report = {"environment": describe(), "results": results}
    console.print(_table(results))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def _table(results: dict[str, Any]) -> Table:
    table = Table("measurement", "figures")
    for name, value in results.items():
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for row, figure in rows:
            shown = figure if not isinstance(figure, dict) else ", ".join(f"{k} {v}" for k, v in figure.items())
            table.add_row(f"{name} {row}".strip(), str(shown))
    return table


if __name__ == "__main__":
    main()
