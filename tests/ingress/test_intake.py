"""What a replica holds of its requests: how much of it, for whom, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.ingress.errors import ApiError
from deployments.ingress.intake import HeldRequests, Holding, Intake, client_of, holding_of
from deployments.settings.intake import IntakeSettings

SETTINGS = IntakeSettings(request_bytes=100, replica_bytes=1000, disk_bytes=1000)


def refusal(take: Callable[[int], None], count: int) -> ApiError:
    with pytest.raises(ApiError) as caught:
        take(count)
    return caught.value


@pytest.mark.parametrize("name", ["take", "reserve_disk"])
def test_what_does_not_fit_now_may_come_again(name: str) -> None:
    intake = Intake(SETTINGS)
    first, second = intake.holding("a"), intake.holding("a")
    getattr(first, name)(300)
    error = refusal(getattr(second, name), 201)
    assert (error.status, error.headers["Retry-After"]) == (429, "5")
    getattr(intake.holding("b"), name)(500)
    first.release()
    getattr(second, name)(300)


@pytest.mark.parametrize("name", ["take", "reserve_disk"])
def test_what_never_fits_is_refused_for_good(name: str) -> None:
    error = refusal(getattr(Intake(SETTINGS).holding("a"), name), 501)
    assert (error.status, "multipart" in error.message) == (413, True)


def test_the_disk_is_reserved_up_to_a_total() -> None:
    intake = Intake(SETTINGS)
    holding = intake.holding()
    holding.reserve_disk(100)
    holding.reserve_disk(70)
    assert intake.disk.held == 100
    holding.reserve_disk(130)
    assert intake.disk.held == 130


def test_what_was_only_used_while_reading_is_given_back_once() -> None:
    intake = Intake(SETTINGS)
    holding = intake.holding()
    holding.take(100)
    holding.spare(60)
    holding.settle()
    holding.settle()
    assert intake.memory.held == 40
    holding.take(5)
    holding.give(20)
    assert intake.memory.held == 25


async def _never() -> Any:
    raise AssertionError


async def handle(app: ASGIApp, intake: Intake, **scope: Any) -> None:
    await HeldRequests(app, intake)({"type": "http", "headers": []} | scope, _never, _never)  # type: ignore[arg-type]


def fill(holding: Holding) -> None:
    holding.take(10)
    holding.reserve_disk(20)
    holding.new_file().write(b"x" * 20)


@pytest.mark.parametrize("ends", ["an answer", "an error", "a cancel"])
def test_a_request_that_ends_in_any_way_holds_nothing(ends: str) -> None:
    intake = Intake(SETTINGS)
    files: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        holding = holding_of(Request(scope))
        fill(holding)
        files.append(holding.new_file())
        assert (intake.memory.held, intake.disk.held) == (10, 20)
        if ends == "an error":
            raise RuntimeError
        if ends == "a cancel":
            await asyncio.sleep(60)

    async def test() -> None:
        task = asyncio.create_task(handle(app, intake))
        while not files:
            await asyncio.sleep(0)
        if ends == "a cancel":
            task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done()

    asyncio.run(test())
    assert (intake.memory.held, intake.disk.held) == (0, 0)
    with pytest.raises(ValueError, match="closed"):
        files[0].read(1)


def test_a_request_that_is_over_takes_nothing_any_more() -> None:
    intake = Intake(SETTINGS)
    holding = intake.holding()
    holding.release()
    for take in (holding.take, holding.reserve_disk):
        assert refusal(take, 1).status == 429
    assert (intake.memory.held, intake.disk.held) == (0, 0)


def test_shares_are_those_of_api_keys_or_addresses() -> None:
    clients = [
        client_of({"state": {"api_key": "x"}, "client": ("10.0.0.1", 5)}),
        client_of({"state": {}, "client": ("10.0.0.1", 5)}),
        client_of({"state": {}, "client": ("10.0.0.1", 6)}),
        client_of({"client": ("x", 6)}),
        client_of({"client": None}),
    ]
    assert clients[1] == clients[2] and len(set(clients)) == 4


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("no:address", "no:address"),
    ],
)
def test_a_client_has_a_network_of_addresses_of_ipv6(host: str, network: str) -> None:
    assert client_of({"client": (host, 5)}) == f"host {network}"


def test_settings_under_which_the_largest_upload_would_never_fit() -> None:
    with pytest.raises(ValueError, match="largest upload never fits"):
        IntakeSettings(request_bytes=1000, disk_bytes=1500)
