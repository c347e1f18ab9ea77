"""Jobs and their events over HTTP, as tests follow them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx


def submitted(http: httpx.Client, fields: dict[str, Any]) -> str:
    """Make a video job and return its id."""
    answer = http.post("/v1/videos", data=fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def events_of(http: httpx.Client, job: str, **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A job's events until its last one."""
    kind = ""
    with http.stream("GET", f"/v1/videos/{job}/events", params=query) as response:
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                yield kind, json.loads(value)


def finished(http: httpx.Client, job: str) -> dict[str, Any]:
    """A job once it is done."""
    kinds = [kind for kind, _ in events_of(http, job)]
    assert kinds[-1] == "done", kinds[-1]
    answer: dict[str, Any] = http.get(f"/v1/videos/{job}").json()
    return answer
