"""Media files made to harm, through every door of the running graph: refused soon, and nobody else notices.

`COSMOS3_HOSTILE_FILES` sets how many damaged files are sent, then beside all that cost much;
`COSMOS3_TEST_SEED` draws the same ones again.
"""

from __future__ import annotations

import base64
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.fuzz.sending import ADDRESS_OF_AN_OBJECT
from tests.graph.processes import lives
from tests.hostile_files import NAMES_OTHERS, RESOURCE_FILES, damaged_files, external_reference
from tests.surface.inputs import TINY, as_parts

SEED = int(os.environ.get("COSMOS3_TEST_SEED") or 20261128)
COUNT = int(os.environ.get("COSMOS3_HOSTILE_FILES") or 0)
# Without the variable: these of those that cost much, and a few damaged ones.
FEW = 24
COSTLY = (
    "a PNG above the limit",
    "a JPEG of many scans",
    "a TIFF of many strips",
    "a PNG with a colour profile that unpacks",
    "an MP4 that claims samples",
    "an MP4 with a fragment that claims samples",
)
LONGEST_S = 10.0
MEDIAN_S, WORST_S = 1.0, 3.0
REFUSED = (400, 413, 422)


class Onlooker:
    """A client whose cheap requests are timed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self.seconds: list[float] = []

    def _look(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as http:
            while not self._over.wait(0.05):
                begun = time.monotonic()
                assert http.get("/v1/models").status_code == 200
                self.seconds.append(time.monotonic() - begun)

    @contextmanager
    def looking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()


def hostile_files(places: list[str]) -> Iterator[tuple[str, bytes]]:
    costly = RESOURCE_FILES if COUNT else COSTLY
    yield from ((name, RESOURCE_FILES[name]()) for name in costly)
    for place in places:
        yield f"a reference to {place}", external_reference(place)
        yield from ((f"a list of {place}", text.replace("{url}", place).encode()) for text in NAMES_OTHERS)
    yield from damaged_files(SEED, COUNT or FEW)


def send(http: httpx.Client, file: bytes, door: int) -> tuple[int, str]:
    """Send a file through one of the doors, and forget the job that may come of it."""
    uri, upload = base64.b64encode(file).decode(), ("x.png", file, "image/png")
    match door % 4:
        case 0:
            answer = http.post("/v1/videos", files=as_parts(TINY, input_reference=upload))
            if answer.status_code == 200:
                http.delete(f"/v1/videos/{answer.json()['id']}")
        case 1:
            answer = http.post("/v1/chat/completions", json=chat("image_url", f"data:image/png;base64,{uri}"))
        case 2:
            answer = http.post("/v1/chat/completions", json=chat("video_url", f"data:video/mp4;base64,{uri}"))
        case _:
            fields = {"prompt": "x", "size": "64x64", "num_inference_steps": "1"}
            answer = http.post("/v1/images/edits", data=fields, files={"image": upload})
    return answer.status_code, answer.text[:500]


def chat(kind: str, url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, kind: {"url": url}}]}], "max_tokens": 1}


@pytest.mark.timeout(1800 if COUNT else 300)
def test_hostile_files_harm_nobody(graph: RunningGraph, http: httpx.Client, tmp_path: Path) -> None:
    canary = tmp_path / "canary.png"
    canary.write_bytes(b"secret")
    before = {process.pid for process in graph.processes() if "deployments.decoding" not in " ".join(process.cmdline())}
    onlooker = Onlooker(graph.url)
    with socket.create_server(("127.0.0.1", 0)) as listener, onlooker.looking():
        listener.settimeout(0)
        places = [f"http://127.0.0.1:{listener.getsockname()[1]}/x.mp4", f"file://{canary}"]
        for door, (name, file) in enumerate(hostile_files(places)):
            begun = time.monotonic()
            status, said = send(http, file, door)
            took = time.monotonic() - begun
            assert status == 200 or status in REFUSED, (name, door % 4, status, said)
            assert "secret" not in said and not ADDRESS_OF_AN_OBJECT.search(said), (name, said)
            assert took < LONGEST_S, (name, door % 4, took)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert all(map(lives, before))
    print(f"\n{door + 1} files; cheap requests: median {statistics.median(onlooker.seconds):.2f} s, worst", end=" ")
    print(f"{max(onlooker.seconds):.2f} s")
    assert statistics.median(onlooker.seconds) < MEDIAN_S and max(onlooker.seconds) < WORST_S
