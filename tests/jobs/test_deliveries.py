"""Webhooks from the end of a job to a receiver on loopback, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from openai import OpenAI
from sqlalchemy import select

from deployments.jobs import deliveries
from deployments.jobs.database.connection import Database
from deployments.jobs.database.store import Store
from deployments.jobs.database.tables import DeliveryRow
from deployments.jobs.deliveries import Deliveries, delay_before
from deployments.jobs.job import Job
from deployments.jobs.webhooks import event_body
from deployments.settings.jobs import WebhookSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SETTINGS = WebhookSettings(allow_private=True, timeout_s=2)


@dataclass
class Receiver:
    """Answers with each of its statuses in turn, and keeps what came."""

    statuses: list[int]
    url: str = ""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, value in lines}
        self.came.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.statuses.pop(0)
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(*statuses: int) -> Any:
    receiver = Receiver(list(statuses))
    server = await asyncio.start_server(receiver, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


@pytest.fixture
def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("COSMOS3_WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr(deliveries, "delay_before", lambda attempt: 0.0 if attempt <= 3 else None)
    found = Database(database_url)
    yield found
    found.close()


def end_a_job(database: Database, url: str | None, job_id: str = "video_gen_1") -> None:
    store = Store(database)
    request = {"fields": {}, "media": {}, "output": {"target": "x"}, "webhook": url}
    store.create(Job(job_id, "video", "m", "nano", "decoder", True, request, {}))
    store.record(job_id, "started", {}, status="in_progress", webhook_body="too early")
    body = event_body(job_id, "video.completed", 5).decode()
    store.record(job_id, "done", {}, status="completed", webhook_body=body)
    store.record(job_id, "done", {}, status="completed", webhook_body=body)


def waiting(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(DeliveryRow.job_id)))


def test_a_completed_job_is_told_once_signed_as_openai_signs(database: Database) -> None:
    async def test() -> None:
        async with receiving(200) as receiver:
            end_a_job(database, receiver.url)
            end_a_job(database, None, "video_gen_2")
            await asyncio.sleep(0.01)
            # Two replicas look after the same deliveries.
            both = [Deliveries(database, SETTINGS) for _ in range(2)]
            for _ in range(2):
                await asyncio.gather(*(one.run() for one in both))
                await asyncio.gather(*map(made, both))
            ((headers, body),) = receiver.came
            with OpenAI(api_key="x", webhook_secret=SECRET) as client:
                event: Any = client.webhooks.unwrap(body, headers)
            assert (event.type, event.data.id) == ("video.completed", "video_gen_1")
            assert json.loads(body)["id"] == headers["webhook-id"] == "evt_video_gen_1"
            assert sum(one.counts["webhooks_delivered"] for one in both) == 1
        assert waiting(database) == []

    asyncio.run(asyncio.wait_for(test(), 30))


def test_it_is_tried_again_and_given_up_at_last(database: Database) -> None:
    async def test() -> None:
        async with receiving(500, 503, 200, 500, 500, 500) as receiver:
            for job_id, attempts in (("video_gen_1", 3), ("video_gen_2", 3)):
                end_a_job(database, receiver.url, job_id)
                one = Deliveries(database, SETTINGS)
                for attempt in range(1, attempts + 1):
                    assert waiting(database) == [job_id], attempt
                    await asyncio.sleep(0.01)
                    await one.run()
                    await made(one)
                assert waiting(database) == []
            assert (one.counts["webhooks_delivered"], one.counts["webhooks_given_up"]) == (0, 1)
            ids = [headers["webhook-id"] for headers, _ in receiver.came]
            assert ids == ["evt_video_gen_1"] * 3 + ["evt_video_gen_2"] * 3

    asyncio.run(asyncio.wait_for(test(), 30))


async def made(one: Deliveries) -> None:
    """Once its attempts have been made."""
    while one.under_way:
        await asyncio.sleep(0.01)


def test_who_was_tried_less_goes_first(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with receiving(500, 200) as receiver:
            end_a_job(database, receiver.url, "video_gen_tried")
            await asyncio.sleep(0.01)
            one = Deliveries(database, SETTINGS)
            await one.run()
            await made(one)
            end_a_job(database, receiver.url, "video_gen_new")
            await asyncio.sleep(0.01)
            monkeypatch.setattr(deliveries, "MAX_CONCURRENT_ATTEMPTS", 1)
            await one.run()
            await made(one)
            came = [headers["webhook-id"] for headers, _ in receiver.came]
            assert came == ["evt_video_gen_tried", "evt_video_gen_new"]
            assert waiting(database) == ["video_gen_tried"]

    asyncio.run(asyncio.wait_for(test(), 30))


def test_an_address_that_never_answers_holds_up_no_other(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MAX_CONCURRENT_ATTEMPTS", 4)
    over = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async def test() -> None:
        silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
        pit = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/hook"
        async with silent, receiving(200) as receiver:
            for number in range(3):
                end_a_job(database, pit, f"video_gen_pit{number}")
            await asyncio.sleep(0.01)
            one = Deliveries(database, WebhookSettings(allow_private=True, timeout_s=20))
            await one.run()
            end_a_job(database, receiver.url, "video_gen_other")
            await asyncio.sleep(0.01)
            await one.run()
            assert len(one.under_way) == 4
            async with asyncio.timeout(10):
                while not one.counts["webhooks_delivered"]:
                    await asyncio.sleep(0.01)
            assert len(receiver.came) == 1
            over.set()
            await made(one)

    asyncio.run(asyncio.wait_for(test(), 30))


def test_a_private_address_is_not_called(database: Database) -> None:
    async def test() -> None:
        async with receiving(200) as receiver:
            end_a_job(database, receiver.url)
            await asyncio.sleep(0.01)
            one = Deliveries(database, WebhookSettings(timeout_s=2))
            await one.run()
            await made(one)
            assert receiver.came == [] and waiting(database) == [] and one.counts["webhooks_given_up"] == 1

    asyncio.run(asyncio.wait_for(test(), 30))


def test_without_settings_nobody_is_called_and_without_a_secret_nothing_starts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(Deliveries(database, None).run())
    monkeypatch.setenv("COSMOS3_WEBHOOK_SECRET", "whsec_no base64")
    with pytest.raises(ValueError):
        Deliveries(database, SETTINGS)
    monkeypatch.delenv("COSMOS3_WEBHOOK_SECRET")
    with pytest.raises(RuntimeError, match="set COSMOS3_WEBHOOK_SECRET"):
        Deliveries(database, SETTINGS)


def test_delays_grow_to_an_hour_and_end() -> None:
    assert [delay_before(attempt) for attempt in range(1, 11)] == [0, 5, 20, 80, 320, 1280, 3600, 3600, None, None]
