"""Fetches of a replica together: one for all who want the same, in bounded number, bytes and time."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from deployments.byte_budget import ByteBudget
from deployments.fetching.errors import Outcome
from deployments.logs import logs_for
from tests.fetching.fetchers import CountingFetcher
from tests.http_receiver import PRIVATE_BODY, Receiver, answers, hangs, run


def fetcher(**settings: Any) -> CountingFetcher:
    return CountingFetcher(**{"allow_private": True} | settings)


def test_who_wants_the_same_shares_a_fetch_and_then_the_cache() -> None:
    async def test() -> None:
        found = fetcher()
        async with Receiver() as receiver:
            together = await asyncio.gather(*(found.fetch(receiver.url, 10) for _ in range(5)))
            assert receiver.connections == 1
            later = await found.fetch(receiver.url, 5)
            assert receiver.connections == 1
            await found.fetch(receiver.url + "?other", 10)
            assert receiver.connections == 2
        assert all(content is later for content in together) and later == PRIVATE_BODY
        assert found.outcomes == {Outcome.FETCHED: 6, Outcome.CACHED: 1}
        assert found._cache.held == len(PRIVATE_BODY)

    run(test())


@pytest.mark.parametrize(
    "directive", ["no-store", "private, max-age=5", "max-age=0, No-Cache", "max-age=0", 'public, s-maxage="0"']
)
def test_what_its_host_keeps_to_one_client_is_not_cached(directive: str) -> None:
    async def test() -> None:
        found = fetcher()
        async with Receiver(answers(200, f"cache-control: {directive}")) as receiver:
            for _ in range(2):
                await found.fetch(receiver.url, 10)
            assert receiver.connections == 2

    run(test())


@pytest.mark.parametrize("directive", ["no-store", "max-age=0"])
def test_what_a_redirect_that_may_not_be_kept_leads_to_is_not_cached(directive: str) -> None:
    async def test() -> None:
        found = fetcher()
        async with Receiver(answers(200)) as behind:
            headers = (f"location: {behind.url}", f"cache-control: {directive}")
            async with Receiver(answers(302, *headers)) as receiver:
                for _ in range(2):
                    await found.fetch(receiver.url, 10)
                assert (receiver.connections, behind.connections) == (2, 2)

    run(test())


def test_a_failure_is_not_cached() -> None:
    async def test() -> None:
        found = fetcher()
        async with Receiver(answers(503)) as receiver:
            await found.refusal(receiver.url)
            receiver.answer = answers(200)
            assert await found.fetch(receiver.url, 10) == PRIVATE_BODY

    run(test())


def test_more_than_the_bound_wait_for_their_turn_and_then_give_up() -> None:
    async def test() -> None:
        found = fetcher(concurrent=4)
        async with Receiver(hangs) as slow, Receiver() as quick:
            waiting = [asyncio.create_task(found.fetch(f"{slow.url}?{number}", 5)) for number in range(2)]
            while slow.connections < 2:
                await asyncio.sleep(0.01)
            error = await found.refusal(quick.url, 0.1)
            assert (error.outcome, quick.connections) == (Outcome.BUSY, 0)
            turn = asyncio.create_task(found.fetch(quick.url, 5))
            waiting[0].cancel()
            assert await turn == PRIVATE_BODY
            waiting[1].cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(test())


def test_one_client_does_not_take_every_turn_and_holds_its_own_bytes() -> None:
    async def partly(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + bytes(60))
        await closing.wait()

    async def test() -> None:
        found = fetcher(concurrent=4, max_bytes=100, budget=ByteBudget(1000, 280))
        async with Receiver(partly) as slow, Receiver(answers(200, body=bytes(60))) as quick:
            waiting = [asyncio.create_task(found.fetch(f"{slow.url}?{number}", 5, "one")) for number in range(3)]
            while found.budget.held < 240:
                await asyncio.sleep(0.01)
            assert slow.connections == 2
            assert len(await found.fetch(quick.url, 2, "other")) == 60
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert (found.budget.held, found._clients) == (0, {})

    run(test())


def test_a_fetch_that_nobody_waits_for_ends() -> None:
    async def test() -> None:
        found = fetcher(concurrent=1)
        async with Receiver(hangs) as slow:
            waiting = asyncio.create_task(found.fetch(slow.url, 20))
            while not slow.received:
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            slow.answer = answers(200)
            assert await found.fetch(slow.url, 5) == PRIVATE_BODY

    run(test())


def test_bytes_on_the_way_are_bounded_together() -> None:
    async def endless(writer: asyncio.StreamWriter, closing: asyncio.Event) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + bytes(60))
        await closing.wait()

    async def test() -> None:
        found = fetcher(max_bytes=100, budget=ByteBudget(200))
        async with Receiver(endless) as slow, Receiver(answers(200, body=bytes(60))) as quick:
            waiting = asyncio.create_task(found.fetch(slow.url, 20))
            while found.budget.held < 120:
                await asyncio.sleep(0.01)
            assert (await found.refusal(quick.url)).outcome is Outcome.BUSY
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert len(await found.fetch(quick.url, 10)) == 60
        assert found.budget.held == 0

    run(test())


def test_files_of_the_server_count_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(60))

    async def test() -> None:
        found = fetcher(max_bytes=60, budget=ByteBudget(200), roots=[tmp_path])
        with found.budget.share() as share:
            share.take(120)
            assert (await found.refusal(f"file://{tmp_path}/a.png")).outcome is Outcome.BUSY
        assert len(await found.fetch(f"file://{tmp_path}/a.png", 10)) == 60
        assert found.budget.held == 0

    run(test())


def test_files_of_the_server_are_read_anew(tmp_path: Path) -> None:
    async def test() -> None:
        found = fetcher(roots=[tmp_path])
        for content in (b"first", b"second"):
            (tmp_path / "a.png").write_bytes(content)
            assert await found.fetch(f"file://{tmp_path}/a.png", 10) == content
        assert found.outcomes == {Outcome.READ: 2}
        assert "no file" in (await found.refusal("/etc/passwd")).reason

    run(test())


def test_the_log_names_the_request_and_the_host_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ray.serve.cosmos3")

    async def test() -> None:
        found = fetcher()
        async with Receiver() as receiver:
            with logs_for("request-7"):
                await found.fetch(f"{receiver.url}?token=hidden", 10)
                receiver.answer = answers(404)
                await found.refusal(f"{receiver.url}?token=hidden-too")
                await found.refusal("http://user:hidden@example.com/")

    run(test())
    lines = [record.getMessage() for record in caplog.records if "request-7" in record.getMessage()]
    assert len(lines) == 3 and not any("hidden" in line or "hook" in line for line in lines)
    assert f"127.0.0.1 was fetched: {len(PRIVATE_BODY)} bytes" in lines[0] and "answers 404" in lines[1]
