"""Chats through the graph against `vllm serve` on the same checkpoint, by vLLM's own benchmark client.

`python -m benchmarks.reasoner` starts both and asks them in turn, text and images, at several concurrencies: requests a
second, and the median time to the first token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, milliseconds
from benchmarks.vllm_server import vllm_serve
from cosmos3_core.checkpoint import Checkpoint
from deployments.cli.client import Client
from deployments.local.launch import Launch, running_graph
from deployments.local.recipes import find_recipe, load_recipe, override

NAME = "cosmos3-tiny"
CONCURRENCIES = (1, 8, 32)
TOKENS_IN, TOKENS_OUT = 64, 32
IMAGE = "{(96, 160, 1): 1.0}"
START_TIMEOUT_S = 600
CLIENT = (
    "import argparse; from vllm.utils.argparse_utils import FlexibleArgumentParser; "
    "from vllm.benchmarks.serve import add_cli_args, main; "
    "parser = FlexibleArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
)
console = Console(stderr=True)


@contextmanager
def graph(folder: Path) -> Iterator[str]:
    """The URL of a graph that only chats; its Encoder embeds images."""
    config = override(load_recipe(find_recipe("tiny-cpu")), port=0, data=folder)
    front, model, _ = config["applications"]
    model["args"] |= {"generator": None, "previews": False}
    model["deployments"] = [entry for entry in model["deployments"] if entry["name"] in ("Encoder", "Reasoner")]
    for entry in model["deployments"]:
        entry.pop("autoscaling_config", None)
    config["applications"] = [front, model]
    with running_graph(Launch(config, logical_cpus=2)) as running:
        running.wait_ready(START_TIMEOUT_S)
        client = Client(running.url)
        client.wait_healthy(START_TIMEOUT_S)
        client.close()
        yield running.url


@contextmanager
def reference(log: Path) -> Iterator[str]:
    """The URL of vLLM's own server, with the arguments that the recipe gives ours."""
    model = load_recipe(find_recipe("tiny-cpu"))["applications"][1]["args"]
    arguments = {"served_model_name": NAME, **model["reasoner"]["engine"], **model["reasoner"]["server"]}
    root = Checkpoint.find(model["checkpoint"]).root
    with vllm_serve(root, arguments, log, model["reasoner"]["environment"]) as url:
        yield url


def measure(url: str, kind: str, concurrency: int, requests: int) -> dict[str, float]:
    """One run of vLLM's client."""
    data = ["--dataset-name", "random", "--random-input-len", str(TOKENS_IN), "--random-output-len", str(TOKENS_OUT)]
    if kind == "image":
        data[1] = "random-mm"
        data += ["--random-mm-base-items-per-request", "1", "--random-mm-bucket-config", IMAGE]
        data += ["--random-mm-limit-mm-per-prompt", '{"image": 1, "video": 0}']
    with tempfile.TemporaryDirectory() as folder:
        options = ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", url]
        options += ["--model", NAME, "--tokenizer", str(Checkpoint.find("tiny:nano").root), "--ignore-eos"]
        options += ["--max-concurrency", str(concurrency), "--num-prompts", str(requests), "--disable-tqdm"]
        options += ["--save-result", "--result-dir", folder, "--result-filename", "result.json", "--num-warmups", "1"]
        command = [sys.executable, "-c", CLIENT, *options, *data]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        result = json.loads((Path(folder) / "result.json").read_text())
    assert result["completed"] == requests, done.stdout[-2000:]
    return {"requests_per_s": result["request_throughput"], "first_token_ms": result["median_ttft_ms"]}


def compare(urls: dict[str, str], rounds: int) -> dict[str, Any]:
    """Both servers in turn."""
    results: dict[str, Any] = {}
    for kind in ("text", "image"):
        for concurrency in CONCURRENCIES:
            requests = max(8, 2 * concurrency)
            samples: dict[str, list[dict[str, float]]] = {name: [] for name in urls}
            for number in range(rounds):
                # Whoever is asked second finds warmer caches.
                for name in sorted(urls, reverse=bool(number % 2)):
                    samples[name].append(measure(urls[name], kind, concurrency, requests))
            medians = {
                name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                for name, runs in samples.items()
            }
            ours, theirs = medians["graph"], medians["vllm serve"]
            results[f"{kind}, {concurrency} at once"] = {
                **medians,
                "throughput_ratio": round(ours["requests_per_s"] / theirs["requests_per_s"], 3),
                "added_first_token_ms": round(ours["first_token_ms"] - theirs["first_token_ms"], 1),
            }
            console.print(kind, concurrency, results[f"{kind}, {concurrency} at once"])
    return results


def profile(urls: dict[str, str], repeats: int = 60) -> dict[str, Any]:
    """Where the graph's time goes before the first token: medians of requests that each go one process further.

    `version` ends in the Ingress, behind Serve's proxy; `tokenize` in the Reasoner's process, before the engine; `first
    token` is a streamed chat's. Of `vllm serve` all three end in, or go through, its one server process.
    """
    short: dict[str, Any] = {"model": NAME, "messages": [{"role": "user", "content": "hello"}]}
    chat = short | {"max_tokens": 1, "ignore_eos": True, "stream": True}
    found: dict[str, Any] = {}
    for name, url in urls.items():
        with httpx.Client(base_url=url, timeout=60) as client:
            samples: dict[str, list[float]] = {"version": [], "tokenize": [], "first token": []}
            for _ in range(repeats):
                samples["version"].append(_seconds(lambda: client.get("/version").raise_for_status()))
                samples["tokenize"].append(_seconds(lambda: client.post("/tokenize", json=short).raise_for_status()))
                samples["first token"].append(_seconds(lambda: _first_event(client, chat)))
        found[name] = {kind: milliseconds(seconds) for kind, seconds in samples.items()}
        console.print(name, found[name])
    return found


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _first_event(client: httpx.Client, body: dict[str, Any]) -> None:
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_lines())


def main() -> None:
    """Measure, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="r")))
        urls = {
            "graph": stack.enter_context(graph(folder)),
            "vllm serve": stack.enter_context(reference(folder / "log")),
        }
        hops = profile(urls)
        results = compare(urls, arguments.rounds)
    table = Table("", "throughput, graph / vllm serve", "added to the first token, ms")
    for name, found in results.items():
        table.add_row(name, str(found["throughput_ratio"]), str(found["added_first_token_ms"]))
    Console().print(table)
    if arguments.output:
        arguments.output.write_text(
            json.dumps({"environment": describe(), "results": results, "hops": hops}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
