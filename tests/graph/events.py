"""Jobs and their events over HTTP, as tests follow them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

RECONNECT_S = 0.5


@dataclass(frozen=True)
class SentEvent:
    """A server-sent event; its number is None where it has no id."""

    number: int | None
    kind: str
    data: dict[str, Any]


def submitted(http: httpx.Client, fields: dict[str, Any], reference: bytes | None = None) -> str:
    """Make a video job, of a reference image or video where there is one, and return its id."""
    files = None if reference is None else {"input_reference": reference}
    answer = http.post("/v1/videos", data=fields, files=files)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def events_of(http: httpx.Client, job: str, **query: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A job's events until its last one."""
    with http.stream("GET", f"/v1/videos/{job}/events", params=query) as response:
        for event in events_in(response):
            yield event.kind, event.data


def events_in(response: httpx.Response) -> Iterator[SentEvent]:
    """The events of an open stream."""
    number, kind = None, ""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield SentEvent(number, kind, json.loads(value))
            number = None


def followed(
    http: httpx.Client, job: str, on_event: Callable[[SentEvent], None], *, after: int = 0, patience_s: float = 120.0
) -> list[SentEvent]:
    """A job's events behind number `after`, to its last one, across broken connections and servers that are away."""
    events: list[SentEvent] = []
    deadline = time.monotonic() + patience_s
    while not (events and events[-1].kind in ("done", "failed", "cancelled")):
        assert time.monotonic() < deadline, events[-3:]
        last = next((event.number for event in reversed(events) if event.number is not None), after)
        try:
            with http.stream("GET", f"/v1/videos/{job}/events", headers={"Last-Event-ID": str(last)}) as response:
                assert response.status_code == 200 or response.status_code >= 500, response.read()
                for event in events_in(response) if response.is_success else ():
                    deadline = time.monotonic() + patience_s
                    events.append(event)
                    on_event(event)
        except httpx.TransportError:
            pass  # Whoever served it may be dead; somebody else goes on.
        time.sleep(RECONNECT_S)
    return events


def finished(http: httpx.Client, job: str) -> dict[str, Any]:
    """A job once it is done."""
    kinds = [kind for kind, _ in events_of(http, job)]
    assert kinds[-1] == "done", kinds[-1]
    answer: dict[str, Any] = http.get(f"/v1/videos/{job}").json()
    return answer
