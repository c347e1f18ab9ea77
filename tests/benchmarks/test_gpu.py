"""The script that measures a card, in miniature: it writes every item, and its file is valid whenever it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu.deadline import Clock
from benchmarks.gpu.results import ItemResult, Measurement, Report, Status
from benchmarks.gpu.run import Item, UnavailableError, run_items

REPOSITORY = Path(__file__).parents[2]
IDS = ["machine", "tests", "accuracy", "t2i", "attention", "products", "256p", "480p", "720p", "decoder", "graphs"]


def command(output: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu", "--miniature", "--output", str(output), *options]


def items_of(output: Path) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in json.loads(output.read_text())["items"]}


def wait_until(holds: Callable[[], bool], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# The whole script


@pytest.mark.slow
def test_it_writes_every_item(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    answer = subprocess.run(command(output), cwd=REPOSITORY, capture_output=True, text=True, timeout=500)
    assert answer.returncode == 0, answer.stderr
    items = items_of(output)
    assert list(items) == IDS
    graphs = items.pop("graphs")
    assert (graphs["status"], "CUDA graphs" in graphs["reason"]) == ("skipped", True)
    assert {name: item["reason"] for name, item in items.items() if item["status"] != "done"} == {}
    timed = [name for name, item in items.items() if item["measurements"]]
    assert timed == [name for name in IDS if name not in ("tests", "accuracy", "graphs")]
    for name in ("t2i", "256p", "480p", "720p"):
        step = items[name]["measurements"][-1]
        assert {"median_s", "samples", "peer_samples", "prediction_s", "tflop_per_s", "ours_over_peer"} <= set(step)
    assert len(items["t2i"]["kernels"]["our step"]) == len(items["256p"]["kernels"]["our step"]) == 25
    errors = items["accuracy"]["notes"]
    # In fp32 both compute the same, which shows that both are given the same request.
    assert errors["one layer"]["diffusers in fp32"] < 1e-5
    assert 0 < errors["4 steps"]["ours"] < 0.1
    assert "fa3-fwd" in items["attention"]["omitted"]["FA3"]
    assert "CUDA" in items["products"]["omitted"]["FP8"]


def test_killed_in_the_middle_it_leaves_a_valid_file(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(
            command(output, "--items", "attention", "decoder"),
            cwd=REPOSITORY,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: output.exists() and items_of(output)["decoder"]["status"] == "running")
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    items = items_of(output)
    assert list(items) == IDS
    assert items["attention"]["status"] == "done" and items["attention"]["measurements"]
    assert items["decoder"]["status"] == "running" and items["graphs"]["status"] == "skipped"


def test_with_too_short_a_deadline_it_skips_items_and_names_them(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    answer = subprocess.run(
        command(output, "--deadline", "15"), cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    items = items_of(output)
    assert {item["status"] for item in items.values()} == {"skipped"}
    for name in IDS:
        assert items[name]["reason"].startswith("takes about 20 s, and ")
        assert f"{name} skipped takes about 20 s" in answer.stderr


def test_an_unknown_item_is_refused(tmp_path: Path) -> None:
    answer = subprocess.run(
        command(tmp_path / "gpu.json", "--items", "1080p"), cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 1 and "no such items: 1080p; there are machine, tests" in answer.stderr


# One item after the other


def succeed(_: None, result: ItemResult) -> None:
    result.measurements.append(Measurement("work", [0.5]))


def fail(_: None, result: ItemResult) -> None:
    succeed(None, result)
    raise ValueError("no good")


def take_long(_: None, __: ItemResult) -> None:
    try:
        time.sleep(30)
    except Exception:
        pytest.fail("an item caught the alarm")


def cannot(_: None, __: ItemResult) -> None:
    raise UnavailableError("nothing to measure")


def run(tmp_path: Path, deadline_s: float, *items: Item[None]) -> tuple[list[ItemResult], list[str]]:
    """The results, and the statuses in the file after every change."""
    report = Report("miniature", deadline_s, {}, [item.result() for item in items])
    output, seen = tmp_path / "gpu.json", []

    def changed(_: ItemResult) -> None:
        report.write(output)
        seen.append(" ".join(item["status"] for item in items_of(output).values()))

    run_items(items, None, report, Clock(deadline_s), changed)
    return report.items, seen


def test_the_file_follows_every_item(tmp_path: Path) -> None:
    items = [Item(name, name, 1, succeed) for name in "ab"]
    results, seen = run(tmp_path, 60, *items)
    assert seen == ["running pending", "done pending", "done running", "done done"]
    assert all(result.seconds is not None for result in results)


def test_an_item_that_fails_keeps_what_it_measured_and_does_not_end_the_run(tmp_path: Path) -> None:
    results, _ = run(tmp_path, 60, Item("bad", "bad", 1, fail), Item("good", "good", 1, succeed))
    assert [result.status for result in results] == [Status.FAILED, Status.DONE]
    assert results[0].reason == "ValueError: no good" and len(results[0].measurements) == 1
    assert "raise ValueError" in "\n".join(results[0].notes["traceback"])


def test_an_item_is_stopped_at_three_times_its_estimate(tmp_path: Path) -> None:
    results, _ = run(tmp_path, 60, Item("long", "long", 0.1, take_long), Item("good", "good", 1, succeed))
    assert [result.status for result in results] == [Status.FAILED, Status.DONE]
    assert results[0].reason.startswith("TimeUp: stopped after")


def test_an_item_is_stopped_at_the_deadline_and_the_next_is_skipped(tmp_path: Path) -> None:
    started = time.monotonic()
    results, _ = run(tmp_path, 0.6, Item("long", "long", 0.5, take_long), Item("next", "next", 0.5, succeed))
    assert time.monotonic() - started < 5
    assert [result.status for result in results] == [Status.FAILED, Status.SKIPPED]
    assert results[1].reason == "takes about 0.5 s, and 0.0 s are left"


def test_a_short_item_still_runs_after_a_long_one_was_skipped(tmp_path: Path) -> None:
    results, _ = run(tmp_path, 60, Item("long", "long", 100, fail), Item("short", "short", 1, succeed))
    assert [result.status for result in results] == [Status.SKIPPED, Status.DONE]
    assert results[0].reason.startswith("takes about 100 s, and ")


def test_an_item_that_cannot_be_measured_counts_as_skipped(tmp_path: Path) -> None:
    results, _ = run(tmp_path, 60, Item("absent", "absent", 1, cannot))
    assert (results[0].status, results[0].reason) == (Status.SKIPPED, "nothing to measure")


# The file


def test_a_measurement_says_rates_and_the_ratio_to_the_peer() -> None:
    found = Measurement("work", [2.0, 1.0, 4.0], prediction_s=1.5, flops=4e12, bytes_moved=6e12, peer=[4.0]).to_json()
    assert (found["median_s"], found["tflop_per_s"], found["tb_per_s"]) == (2.0, 2.0, 3.0)
    assert (found["peer_median_s"], found["ours_over_peer"]) == (4.0, 0.5)
    assert set(Measurement("alone", [1.0]).to_json()) == {"name", "median_s", "samples"}


def test_what_json_cannot_hold_becomes_text(tmp_path: Path) -> None:
    report = Report("miniature", 1, {}, [ItemResult("a", "a", 1, notes={"errors": [float("nan"), 1.0]})])
    report.write(tmp_path / "folder" / "gpu.json")
    assert items_of(tmp_path / "folder" / "gpu.json")["a"]["notes"] == {"errors": ["nan", 1.0]}
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["gpu.json"]
