"""An HTTP server in this process whose answers the tests choose, and which keeps what it was sent."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

COMPLETED = {"id": "video_1", "status": "completed", "error": None, "stage_durations": {"decode": 0.5}}


@dataclass
class Sent:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, Any]
    parts: list[tuple[str, Any]]


@dataclass
class Server:
    """Answers by method and path; a function is asked anew every time."""

    url: str = ""
    answers: dict[tuple[str, str], Response | Callable[[], Response]] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    def calls(self) -> list[str]:
        return [f"{sent.method} {sent.path}" for sent in self.sent]

    async def answer(self, request: Request) -> Response:
        fields: dict[str, Any] = {}
        parts: list[tuple[str, Any]] = []
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/"):
            async with request.form() as form:
                for name, value in form.multi_items():
                    parts.append((name, value if isinstance(value, str) else (value.filename, await value.read())))
                fields = dict(parts)
        elif content_type == "application/json":
            fields = await request.json()
        path = request.url.path
        self.sent.append(Sent(request.method, path, dict(request.headers), fields, parts))
        found = self.answers.get((request.method, path), PlainTextResponse("nothing here", 404))
        return found if isinstance(found, Response) else found()

    def makes_a_video(self, *events: str, job: dict[str, Any] | None = None) -> None:
        self.answers |= {
            ("POST", "/v1/videos"): JSONResponse({"id": "video_1", "status": "queued"}),
            ("GET", "/v1/videos/video_1/events"): lambda: stream("".join(events)),
            ("GET", "/v1/videos/video_1"): JSONResponse(job or COMPLETED),
            ("GET", "/v1/videos/video_1/content"): Response(b"an mp4"),
            ("DELETE", "/v1/videos/video_1"): JSONResponse({"deleted": True}),
        }


class Running(uvicorn.Server):
    """In a thread, where no signals arrive."""

    def run_on(self, listener: socket.socket) -> Iterator[None]:
        thread = threading.Thread(target=self.run, args=([listener],))
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while not self.started:
                assert thread.is_alive() and time.monotonic() < deadline
                time.sleep(0.01)
            yield
        finally:
            self.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def answering() -> Iterator[Server]:
    """A server on a free port of the loopback address; it stops when the generator is closed."""
    server = Server()
    routes = [Route("/{path:path}", server.answer, methods=["GET", "POST", "DELETE"])]
    config = uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off", ws="none")
    config.timeout_graceful_shutdown = 5
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for _ in Running(config).run_on(listener):
            yield server


def stream(text: str | bytes, piece: int = 7) -> Response:
    content = text.encode() if isinstance(text, str) else text

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), piece):
            yield content[start : start + piece]

    return StreamingResponse(pieces(), media_type="text/event-stream")


def envelope(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "code": status}}, status)


def chunk(text: str | None, ascii_only: bool = False) -> str:
    data = {"choices": [{"delta": {"content": text} if text is not None else {"role": "assistant"}}]}
    return f"data: {json.dumps(data, ensure_ascii=ascii_only)}\n\n"
