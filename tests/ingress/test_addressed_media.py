"""Media that requests name by their address, through the application: what is fetched, and what a client is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.ingress.app import create_app
from deployments.settings.fetching import FetchSettings
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.settings.intake import IntakeSettings
from deployments.wire.media_store import MediaStore, read_media
from deployments.wire.reasoner_calls import ReasonerAnswer, ReasonerCall
from tests.http_receiver import PRIVATE_BODY, Receiver, answers, hangs, redirects, run
from tests.ingress.requests.observations import envelope
from tests.ingress.requests.reading import JPEG, PNG
from tests.ingress.stubs import CompletedJobs, StubGraph, served_card

VIDEO = {"prompt": "a robot", "size": "64x64", "num_frames": 5}


@dataclass
class StubReasoner(StubGraph):
    """A graph whose Reasoner keeps the calls that reach it."""

    calls: list[ReasonerCall] = field(default_factory=list)

    async def ask(self, application: str, call: ReasonerCall) -> ReasonerAnswer:
        self.calls.append(call)
        return ReasonerAnswer(200, {"id": "a"})

    async def figures(self) -> list[Any]:
        return []

    async def engine_metrics(self) -> list[Any]:
        return []


@dataclass
class Server:
    """The application over a graph that runs nothing."""

    graph: StubReasoner
    client: httpx.AsyncClient

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.client.post(path, headers={"x-request-id": "request-7"}, **options)

    async def refused(self, path: str, status: int, **options: Any) -> dict[str, Any]:
        """The error of a refused request, which reached no stage and repeats nothing of what a host sent."""
        answer = await self.post(path, **options)
        assert answer.status_code == status, answer.text
        assert PRIVATE_BODY.decode() not in answer.text and "secret" not in answer.text
        assert not self.graph.calls and not self.graph.jobs.stored
        error: dict[str, Any] = answer.json()["error"]
        return error

    async def fetches(self) -> dict[str, float]:
        """How often each outcome was counted."""
        text = (await self.client.get("/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("cosmos3_media_fetches_total{")]
        return {line.split('"')[1]: float(line.split()[-1]) for line in lines}


@pytest.fixture
def served(facts: ModelFacts, tmp_path: Path) -> Any:
    """Makes a server with these settings of fetching."""

    @asynccontextmanager
    async def serve(intake: IntakeSettings | None = None, **fetch: Any) -> AsyncIterator[Server]:
        settings = FrontSettings(
            guardrails=GuardrailPolicy(mode="off"), fetch=FetchSettings(**fetch), intake=intake or IntakeSettings()
        )
        graph = StubReasoner(
            [served_card(facts)], settings=settings, media=MediaStore(tmp_path.as_uri()), jobs=CompletedJobs()
        )
        transport = httpx.ASGITransport(app=create_app(graph.as_graph()), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Server(graph, client)

    return serve


def chat(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]}


def test_media_are_fetched_in_every_route(served: Any) -> None:
    async def test() -> None:
        page = answers(200, "content-type: text/html", body=PNG)
        async with Receiver(page) as host, served(allow_private=True) as server:
            picture = {"type": "input_image", "image_url": host.url}
            for path, body in (
                ("/v1/chat/completions", chat({"type": "image_url", "image_url": {"url": host.url}})),
                ("/tokenize", chat({"image_url": host.url})),
                ("/v1/responses", {"input": [{"role": "user", "content": [picture]}]}),
            ):
                assert (await server.post(path, json=body)).status_code == 200
                assert server.graph.calls.pop().media[0].visual.files == (PNG,)
            form = {"prompt": "x", "size": "64x64", "num_frames": "5", "vision_path": host.url}
            for path, options in (
                ("/v1/videos", {"json": VIDEO | {"image_reference": {"image_url": host.url}}}),
                ("/v1/videos/sync", {"data": form}),
                ("/v1/images/edits", {"data": {"prompt": "x", "url": host.url}}),
                ("/v1/actions/generations", {"json": envelope(images={"front": host.url})}),
            ):
                answer = await server.post(path, **options)
                assert answer.status_code == 200, answer.text
                assert read_media(server.graph.jobs.stored.pop().request["media"]["image"]) == PNG
            # All of them asked for one address.
            assert host.connections == 1
            assert await server.fetches() == {"fetched": 1, "cached": 6}

    run(test())


def test_several_addresses_are_fetched_side_by_side(served: Any) -> None:
    async def test() -> None:
        together = asyncio.Event()

        async def waits(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
            if host.connections == 3:
                together.set()
            await together.wait()
            await answers(200, body=PNG)(writer, closing)

        async with Receiver(waits) as host, served(allow_private=True, per_request=3) as server:
            parts = [{"image_url": f"{host.url}?{number}"} for number in range(6)]
            assert (await server.post("/v1/chat/completions", json=chat(*parts))).status_code == 200
            assert [medium.visual.files for medium in server.graph.calls[0].media] == [(PNG,)] * 6
            assert len({id(medium.visual.files[0]) for medium in server.graph.calls[0].media}) == 1

    run(test())


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/videos", 400), ("/v1/chat/completions", 422), ("/v1/actions/generations", 400)]
)
def test_private_addresses_are_refused_and_not_reached(path: str, status: int, served: Any) -> None:
    async def test() -> None:
        async with Receiver() as private, served() as server:
            for address in ("http://169.254.169.254/secret", private.url, f"http://0x7f.1:{private.port}/secret"):
                body, param = {
                    "/v1/videos": (VIDEO | {"image_reference": {"image_url": address}}, "image_reference"),
                    "/v1/chat/completions": (chat({"image_url": {"url": address}}), "messages.0.content.1.image_url"),
                    "/v1/actions/generations": (envelope(image=address), "input.observation.image"),
                }[path]
                error = await server.refused(path, status, json=body)
                assert (error["param"], error["request_id"]) == (param, "request-7")
                assert error["message"].startswith(f"{param} names ")
            assert private.connections == 0
            assert await server.fetches() == {"refused": 3}

    run(test())


def test_a_public_host_that_redirects_into_a_private_network(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.addresses.is_globally_routable", lambda address: str(address) == "127.0.0.1")

    async def test() -> None:
        async with Receiver() as public, Receiver(address="127.0.0.2", port=public.port) as private, served() as server:
            public.answer = redirects(302, private.url)
            error = await server.refused("/v1/videos", 400, json=VIDEO | {"image_reference": public.url})
            assert error["message"].startswith("image_reference leads to a redirect whose URL names an address")
            assert (public.connections, private.connections) == (1, 0)

    run(test())


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (answers(404), "answers 404"),
        (answers(200, "content-type: image/png"), "cannot be read"),
        (answers(200, body=bytes(3 * 2**20)), "more than 1048576 bytes"),
        (hangs, "did not arrive within 0.2 s"),
    ],
)
def test_files_that_cannot_be_used(answer: Any, says: str, served: Any) -> None:
    async def test() -> None:
        fast = {"image": 0.2, "video": 0.2}
        async with Receiver(answer) as host, served(allow_private=True, max_bytes=2**20, timeouts_s=fast) as server:
            error = await server.refused("/v1/videos", 400, json=VIDEO | {"input_reference": host.url})
            assert error["param"] == "input_reference" and says in error["message"]
            # A file that arrives is judged as one that was sent.
            status = 400 if says == "cannot be read" else 422
            error = await server.refused("/v1/chat/completions", status, json=chat({"image_url": host.url}))
            assert error["param"] == "messages.0.content.1.image_url" and says in error["message"]
            assert error["type"] == ("Bad Request" if status == 400 else "UnprocessableEntityError")

    run(test())


def test_files_that_are_too_large_together(served: Any) -> None:
    async def test() -> None:
        small = IntakeSettings(request_bytes=2000)
        async with Receiver(answers(200, body=PNG + bytes(1500))) as host, served(small, allow_private=True) as server:
            fields = {"image_reference": host.url, "edge": {"control_path": host.url}}
            error = await server.refused("/v1/videos", 400, json=VIDEO | fields)
            assert "more than 2000 bytes of media" in error["message"]
            part = {"image_url": host.url}
            error = await server.refused("/v1/chat/completions", 422, json=chat(part, part))
            assert "more than 2000 bytes of media" in error["message"]
            assert error["type"] == "UnprocessableEntityError"

    run(test())


def test_files_of_the_server(served: Any, tmp_path: Path) -> None:
    root = tmp_path / "shared"
    root.mkdir()
    (root / "a.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(JPEG)
    (root / "link.png").symlink_to(tmp_path / "secret.png")

    async def test() -> None:
        async with served(roots=[root]) as server:
            inside = chat({"type": "image_url", "image_url": {"url": f"file://{root}/a.png"}})
            assert (await server.post("/v1/chat/completions", json=inside)).status_code == 200
            assert server.graph.calls.pop().media[0].visual.files == (PNG,)
            for outside in (f"{tmp_path}/secret.png", f"{root}/../secret.png", f"{root}/link.png", "/etc/passwd"):
                body = chat({"image_url": {"url": f"file://{outside}"}})
                error = await server.refused("/v1/chat/completions", 400, json=body)
                assert error["message"].endswith("image_url names no file that this server may read")
                error = await server.refused("/v1/videos", 400, json=VIDEO | {"vision_path": outside})
                assert error["message"] == "vision_path names no file that this server may read"
            video = VIDEO | {"edge": {"control_path": f"{root}/a.png"}}
            assert (await server.post("/v1/videos", json=video)).status_code == 200
        async with served() as server:
            error = await server.refused("/v1/chat/completions", 400, json=inside)
            assert "reads none for its clients" in error["message"]

    run(test())


def test_nothing_is_fetched_if_the_operator_says_so(served: Any) -> None:
    async def test() -> None:
        async with Receiver() as host, served(enabled=False, allow_private=True) as server:
            for path, status, body in (
                ("/v1/videos", 400, VIDEO | {"image_reference": host.url}),
                ("/v1/chat/completions", 422, chat({"image_url": host.url})),
            ):
                assert "this server fetches none" in (await server.refused(path, status, json=body))["message"]
            assert host.connections == 0

    run(test())


def test_the_addresses_of_a_request_are_bounded(served: Any) -> None:
    async def test() -> None:
        async with Receiver() as host, served(allow_private=True) as server:
            parts = [{"image_url": f"{host.url}?{number}"} for number in range(17)]
            error = await server.refused("/v1/chat/completions", 400, json=chat(*parts))
            assert error["param"] == "messages.0.content.17.image_url" and "one more than the 16" in error["message"]
            assert host.connections == 0

    run(test())


def test_a_replica_that_fetches_too_much_says_so(served: Any) -> None:
    async def test() -> None:
        limits = {"image": 0.1, "video": 5}
        async with Receiver(hangs) as slow, served(allow_private=True, concurrent=1, timeouts_s=limits) as server:
            waiting = asyncio.create_task(server.post("/v1/videos", json=VIDEO | {"video_reference": slow.url}))
            while not slow.received:
                await asyncio.sleep(0.01)
            answer = await server.post("/v1/videos", json=VIDEO | {"image_reference": f"{slow.url}?other"})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
            assert answer.json()["error"]["param"] == "image_reference"
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    run(test())
