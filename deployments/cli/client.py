"""A client of a running server, for the terminal: it uses the public routes and reports progress.

It reads server-sent events itself, in ten lines, because nothing else here would use a library for them.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from cosmos3_core.errors import CosmosError
from cosmos3_core.modes import Mode
from cosmos3_core.request import MEDIA_FIELDS, Event, Finished, Started, Step
from deployments.wire.control_names import PRESETS, WEIGHT

CONNECT_S = 5.0
ANSWER_S = 600.0
FILE_PARTS = {"image": "input_reference", "video": "input_reference", "sound": "audio_reference"}
"""The names of files in a form, by the fields of a request."""
OnEvent = Callable[[Event], None]


class ServerError(CosmosError):
    """A server that cannot be reached or that refuses; the message is the server's own if it sent one."""


class Client:
    """A server at a URL such as `http://127.0.0.1:8000`."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout)
        except httpx.InvalidURL as error:
            raise ServerError(f"{url} is no URL: {error}; expected one such as http://127.0.0.1:8000") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def generate(
        self, fields: dict[str, Any], on_event: OnEvent, with_manifest: bool = False
    ) -> tuple[bytes, dict[str, Any]]:
        """Generate an image or a video.

        Args:
            fields: the fields of a `GenerationRequest`; media are paths, those of controls too.
            on_event: called for each event of a video; images have no events.
            with_manifest: whether to fetch a video's manifest as well; images have no manifest.

        Returns:
            The file's bytes, and the server's description of it; the manifest is under `manifest`.

        Raises:
            ServerError: the server refuses, fails or cannot be reached.
        """
        if Mode(fields["mode"]).is_image:
            return self._image(fields)
        job = self._submit(fields)
        try:
            self._follow(job["id"], on_event)
            job = self._json("GET", f"/v1/videos/{job['id']}")
            if job["status"] != "completed":
                raise ServerError(f"the generation failed: {(job['error'] or {}).get('message', job['status'])}")
            content = self._request("GET", f"/v1/videos/{job['id']}/content").content
            if with_manifest:
                job["manifest"] = self._json("GET", f"/v1/videos/{job['id']}/manifest")
        finally:
            # A job whose client has given up must not go on, and a job whose file was fetched need not be kept.
            with suppress(ServerError):
                self._request("DELETE", f"/v1/videos/{job['id']}")
        return content, job

    def ask(
        self, question: str, image: Path | None, max_tokens: int, on_text: Callable[[str], None], **sampling: Any
    ) -> None:
        """Ask a question, with or without an image; `on_text` gets the answer piece by piece."""
        content: list[dict[str, Any]] = [{"type": "text", "text": question}]
        if image is not None:
            encoded = base64.b64encode(image.read_bytes()).decode()
            content.insert(0, {"type": "image_url", "image_url": {"url": f"data:image/*;base64,{encoded}"}})
        message = {"role": "user", "content": content}
        self.chat({"messages": [message], "max_tokens": max_tokens, **sampling}, on_text)

    def chat(self, body: dict[str, Any], on_text: Callable[[str], None]) -> str | None:
        """Send a chat request; `on_text` gets the answer piece by piece.

        Args:
            body: the fields of `POST /v1/chat/completions`, without `stream`.
            on_text: called for each piece of text.

        Returns:
            Why the answer ended: `stop`, or `length` where it was cut off; None where the server does not say.

        Raises:
            ServerError: the server refuses, fails or cannot be reached.
        """
        ended: str | None = None
        with self._stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
            for _, data in _events(response):
                if data == "[DONE]":
                    break
                chunk = json.loads(data)
                if "error" in chunk:
                    raise ServerError(chunk["error"]["message"])
                for choice in chunk["choices"]:
                    on_text(choice["delta"].get("content") or "")
                    ended = choice.get("finish_reason") or ended
        return ended

    def wait_healthy(self, timeout: float) -> None:
        """Wait until every stage is ready.

        Raises:
            ServerError: they are not ready within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            with self._reached():
                response = self._http.get("/health")
            if response.is_success:
                return
            if time.monotonic() > deadline:
                raise ServerError(f"not ready within {timeout:g} s: {response.text[:500]}")
            time.sleep(0.25)

    def figures(self) -> dict[str, float]:
        """The graph's figures, summed over replicas."""
        totals: dict[str, float] = {}
        for line in self._request("GET", "/metrics").text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                bare = name.partition("{")[0]
                totals[bare] = totals.get(bare, 0.0) + float(value)
        return totals

    def _image(self, fields: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        body = {name: value for name, value in _sendable(fields).items() if name != "mode"}
        if fields.get("image") is None:
            answer = self._json("POST", "/v1/images/generations", json=body)
        else:
            parts: list[Any] = [(name, (None, _as_text(value))) for name, value in body.items()]
            answer = self._json("POST", "/v1/images/edits", files=[*parts, ("image", _file(fields["image"]))])
        (image,) = answer["data"]
        metrics = answer["metrics"]
        return base64.b64decode(image["b64_json"]), {**image, "b64_json": None, **metrics}

    def _submit(self, fields: dict[str, Any]) -> dict[str, Any]:
        # Always multipart, as other clients send it.
        parts: list[Any] = [(name, (None, _as_text(value))) for name, value in _sendable(fields).items()]
        files = [(FILE_PARTS[name], fields.get(name)) for name in MEDIA_FIELDS]
        for control in fields.get("controls", ()):
            hint, video = _hint(control), control.get("video")
            files.append((control["kind"], video))
            if hint or video is None:
                parts.append((control["kind"], (None, _as_text(hint))))
        parts += [(name, _file(path)) for name, path in files if path is not None]
        return self._json("POST", "/v1/videos", files=parts)

    def _follow(self, job_id: str, on_event: OnEvent) -> None:
        with self._stream("GET", f"/v1/videos/{job_id}/events") as response:
            for kind, data in _events(response):
                event = _decoded(kind, json.loads(data))
                if event is not None:
                    on_event(event)

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = self._request(method, path, **options)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise ServerError(f"{self._http.base_url} answers {path} with no JSON; is it this server?") from error
        return answer

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._reached():
            response = self._http.request(method, path, **options)
        _check(response)
        return response

    @contextmanager
    def _stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        with self._reached(), self._http.stream(method, path, **options) as response:
            if response.is_error:
                response.read()
                _check(response)
            yield response

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ServerError(f"{self._http.base_url}: {error or type(error).__name__}; is the server up?") from error


def _check(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:500] or response.reason_phrase
    raise ServerError(f"{response.status_code}: {message}")


def _events(response: httpx.Response) -> Iterator[tuple[str, str]]:
    """Kind and data of each server-sent event."""
    kind = "message"
    for line in _lines(response):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, value


def _lines(response: httpx.Response) -> Iterator[str]:
    """Lines as the standard for event streams ends them; httpx also splits at Unicode separators inside JSON."""
    rest = ""
    for text in response.iter_text():
        *lines, rest = (rest + text).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
    yield rest


def _decoded(kind: str, data: dict[str, Any]) -> Event | None:
    if kind == "step":
        return Step(**data)
    if kind == "stage":
        return Started(data["stage"]) if data["state"] == "started" else Finished(data["stage"], data["seconds"])
    return None


def _sendable(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as the routes take them: `size` for width and height, no media."""
    held = (*MEDIA_FIELDS, "controls")
    sent = {name: value for name, value in fields.items() if value is not None and name not in held}
    if "width" in sent and "height" in sent:
        sent["size"] = f"{sent.pop('width')}x{sent.pop('height')}"
    return sent


def _file(path: str | Path) -> tuple[str, bytes]:
    return Path(path).name, Path(path).read_bytes()


def _hint(control: dict[str, Any]) -> dict[str, Any]:
    """What is said about a control beside its file, as the routes take it."""
    kind = control["kind"]
    keys = {"weight": WEIGHT} | ({"strength": PRESETS[kind]} if kind in PRESETS else {})
    return {key: control[name] for name, key in keys.items() if name in control}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
