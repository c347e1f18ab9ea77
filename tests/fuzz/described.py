"""schemathesis over `/openapi.json`: requests from the schemas, right and wrong, and answers held against them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.sending import LONGEST_S
from tests.graph.processes import ROOT

CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "answers_of_one_form",
)
"""The first ones are schemathesis' own. What it deems invalid may be served, since unknown fields are ignored, and what
it deems valid may be refused, since schemas say nothing of what contradicts itself; so neither is checked."""
GRACE_S = 120.0
"""How long it may go on behind its time, with the requests that it has begun."""


@dataclass(frozen=True)
class Described:
    """What schemathesis found.

    Attributes:
        sent: how many requests it made.
        failures: what is wrong, each in words and with a command that repeats it.
    """

    sent: int
    failures: tuple[str, ...]


def run(url: str, seed: int, seconds: float, folder: Path) -> Described:
    """Run schemathesis for some seconds; it prints what it finds.

    Raises:
        AssertionError: it did not run to its end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "schemathesis.json"
    report.unlink(missing_ok=True)
    arguments = {
        # Several would draw in threads, in which Python 3.11's compiler, which Hypothesis uses, fails at times.
        "workers": 1,
        "seed": seed,
        "max-time": int(seconds),
        "request-timeout": LONGEST_S,
        "checks": ",".join(CHECKS),
        "phases": "examples,coverage,fuzzing,stateful",
        "mode": "all",
        "generation-database": "none",
        "suppress-health-check": "all",
        "warnings": "off",
        "report-json-path": report,
    }
    flags = ["--continue-on-failure", "--no-color", "--no-shrink"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", *flags]
    command += [f"--{name}={value}" for name, value in arguments.items()]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
    # Its own settings and what it keeps are not those of whoever runs the tests.
    subprocess.run(command, cwd=folder, env=environment, timeout=seconds + GRACE_S, check=False)
    assert report.exists(), "schemathesis did not run to its end"
    found = json.loads(report.read_text())
    failures = [*found["failures"], *found["errors"]]
    return Described(found["test_cases"]["generated"], tuple(map(_in_words, failures)))


def _in_words(failure: dict[str, Any]) -> str:
    return json.dumps(failure)[:2000]
