"""Processes: commands in the foreground, what Ray and vLLM call those of a graph, and placement groups."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from deployments.local.serve_process import kill_until_none

ROOT = Path(__file__).parents[2]
RANK = r"ray::Rank\b"
# vLLM cannot rename its engine where a variable that Ray's import sets is the first one of the environment, whose order
# is chance. Nothing else in a graph is spawned by multiprocessing.
ENGINE = r"VLLM::EngineCore|multiprocessing\.spawn"
MARK = "COSMOS3_TEST_MARK"
# Ray connects within seconds, on two busy cores too.
ANSWER_S = 60.0
# A shell that runs the tests in the background has them, and their children, ignore SIGINT.
_AS_A_TERMINAL_DOES = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""
_PLACEMENT_GROUPS = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)  # What Ray prints is no answer.
import ray
from ray.util import placement_group_table
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
for _ in sys.stdin:
    print(json.dumps([group["state"] for group in placement_group_table().values()]), file=answers)
"""


def replica(deployment: str, application: str) -> str:
    """The title of a deployment's replicas, as a pattern."""
    return rf"ServeReplica:{application}:{deployment}\b"


def titled(pattern: str, processes: Iterable[psutil.Process]) -> set[int]:
    """Process ids of those whose title has the pattern."""
    return {process.pid for process in processes if re.search(pattern, _title(process))}


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def lives(process: psutil.Process | int) -> bool:
    """Whether a process runs still."""
    try:
        process = psutil.Process(process) if isinstance(process, int) else process
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], object], seconds: float) -> bool:
    """Whether a condition comes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def healthy(url: str) -> bool:
    """Whether a graph answers that it is healthy."""
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class PlacementGroups:
    """The placement groups of a Ray cluster, asked for in a process that stays connected: to connect takes seconds."""

    def __init__(self, ray_address: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLACEMENT_GROUPS],
            env={**os.environ, **environment, "RAY_ADDRESS": ray_address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def states(self) -> list[str]:
        """The states of those that are not removed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert select.select([self._process.stdout], [], [], ANSWER_S)[0], "Ray does not answer"
        states: list[str] = json.loads(self._process.stdout.readline())
        return [state for state in states if state != "REMOVED"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def placement_groups(ray_address: str, environment: dict[str, str]) -> Iterator[PlacementGroups]:
    """The placement groups of the Ray cluster at an address."""
    groups = PlacementGroups(ray_address, environment)
    try:
        yield groups
    finally:
        groups.close()


class Foreground:
    """A command in a process group of its own, as a terminal has it, and every process that comes of it."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        self._mark = uuid.uuid4().hex
        self._family: set[psutil.Process] = set()
        with log.open("wb") as output:
            self.process = psutil.Popen(
                [sys.executable, "-c", _AS_A_TERMINAL_DOES, *command],
                env={**(os.environ if environment is None else environment), MARK: self._mark},
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def family(self) -> set[psutil.Process]:
        """Every living process that comes of it: those that carry its mark, and whatever is in their sessions.

        Ray's processes rename themselves, which wipes the environment that can be read from outside.
        """
        everything = list(psutil.process_iter())
        marked = {process for process in everything if self._marked(process)} | self._family
        sessions = {session for process in marked if (session := _session(process)) is not None}
        self._family |= marked | {process for process in everything if _session(process) in sessions}
        return {process for process in self._family if lives(process)}

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to its whole process group."""
        self.family()
        os.killpg(self.process.pid, signal.SIGINT)

    def _marked(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark
        except psutil.Error:
            return False


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid) if lives(process) else None
    except OSError:
        return None


@contextmanager
def foreground(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[Foreground]:
    """Run a command; what is left of it at the end of the block is killed."""
    running = Foreground(command, log, environment)
    try:
        yield running
    finally:
        kill_until_none(lambda: list(running.family()))
        running.process.wait(10)
