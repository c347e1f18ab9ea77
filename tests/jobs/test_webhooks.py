"""Webhooks: verified by OpenAI's own SDK, and delivered to real servers on loopback addresses."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import socket
import time
from typing import Any

import openai
import pytest

from deployments import addresses
from deployments.addresses import Unreachable
from deployments.jobs import webhooks
from deployments.jobs.webhooks import DeliveryError, deliver, event_body, event_id, signed_headers
from tests.http_receiver import (
    PRIVATE_BODY,
    Answer,
    Receiver,
    answers,
    dribbles,
    hangs,
    never_ends,
    resolves,
    run,
    talks_nonsense,
)

PREFIXED = "whsec_" + base64.b64encode(bytes(range(200, 232))).decode()


PLAIN = "a secret – with a dash"


BODY = event_body("video_1", "video.completed", 1_700_000_000)


TIMEOUT_S = 10.0


async def attempt(
    url: str, *, allow_private: bool = True, timeout_s: float = TIMEOUT_S, secret: str = PREFIXED
) -> DeliveryError | None:
    """Why one attempt failed; None if it delivered."""
    try:
        await deliver(url, secret, "evt_video_1", BODY, allow_private=allow_private, timeout_s=timeout_s)
    except DeliveryError as error:
        return error
    return None


async def refusal(url: str, *, allow_private: bool = True, timeout_s: float = TIMEOUT_S) -> DeliveryError:
    error = await attempt(url, allow_private=allow_private, timeout_s=timeout_s)
    assert error is not None, "delivered"
    assert str(error) == error.reason
    assert PRIVATE_BODY.decode() not in error.reason
    return error


def verify(body: bytes, headers: dict[str, str], secret: str) -> None:
    with openai.OpenAI(api_key="none") as client:
        client.webhooks.verify_signature(body, headers, secret=secret)


@pytest.mark.parametrize("secret", [PREFIXED, PLAIN])
@pytest.mark.parametrize("kind", ["video.completed", "video.failed"])
def test_openais_sdk_unwraps_the_event(secret: str, kind: webhooks.EventType) -> None:
    body = event_body("video_7", kind, 1_700_000_000)
    headers = signed_headers(secret, event_id("video_7"), int(time.time()), body)
    with openai.OpenAI(api_key="none") as client:
        event: Any = client.webhooks.unwrap(body, headers, secret=secret)
    assert (event.id, event.object, event.created_at) == ("evt_video_7", "event", 1_700_000_000)
    assert event.type == kind
    assert json.loads(body)["data"] == {"id": "video_7"}
    assert headers["webhook-id"] == "evt_video_7"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("secret", [PREFIXED, PLAIN])
def test_openais_sdk_refuses_a_changed_event(secret: str) -> None:
    now = int(time.time())
    headers = signed_headers(secret, "evt_1", now, BODY)
    verify(BODY, headers, secret)
    changes: list[tuple[bytes, dict[str, str], str]] = [
        (BODY.replace(b"video_1", b"video_2"), headers, secret),
        (BODY, {**headers, "webhook-id": "evt_2"}, secret),
        (BODY, {**headers, "webhook-timestamp": str(now - 1)}, secret),
        (BODY, signed_headers(secret, "evt_1", now - 3600, BODY), secret),
        (BODY, headers, PLAIN if secret == PREFIXED else PREFIXED),
    ]
    for body, changed, key in changes:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            verify(body, changed, key)


def test_a_job_has_one_event_whose_signature_is_fresh() -> None:
    assert event_body("video_1", "video.completed", 1_700_000_000) == BODY
    first, second = (signed_headers(PREFIXED, event_id("video_1"), at, BODY) for at in (1000, 1001))
    assert first["webhook-id"] == second["webhook-id"] == json.loads(BODY)["id"]
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_abc", "whsec_ab-_", "whsec_aGFsbG8= "])
def test_a_secret_that_is_not_valid(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^is (empty|not valid base64)"):
        webhooks.signing_key(secret)


def test_an_error_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(DeliveryError("answered 410", final=True)))
    assert (error.reason, error.final, str(error)) == ("answered 410", True, "answered 410")


@pytest.mark.parametrize("secret", [PREFIXED, PLAIN])
def test_an_event_arrives_and_verifies(secret: str) -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            assert await attempt(f"{receiver.url}?a=b", secret=secret) is None
        (received,) = receiver.received
        assert received.line == "POST /hook?a=b HTTP/1.1"
        assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert received.headers["content-type"] == "application/json"
        assert received.body == BODY
        verify(received.body, received.headers, secret)

    run(test())


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_answers_that_accept(status: int) -> None:
    async def test() -> None:
        async with Receiver(answers(status, body=b"")) as receiver:
            assert await attempt(receiver.url) is None
        assert receiver.connections == 1

    run(test())


@pytest.mark.parametrize(("status", "final"), [(304, False), (400, False), (404, False), (410, True), (500, False)])
def test_answers_that_do_not_accept(status: int, final: bool) -> None:
    async def test() -> None:
        async with Receiver(answers(status, body=b"" if status == 304 else PRIVATE_BODY)) as receiver:
            error = await refusal(receiver.url)
        assert (error.reason, error.final) == (f"answered {status}", final)

    run(test())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    async def test() -> None:
        async with Receiver() as other, Receiver(answers(status, f"location: {other.url}")) as receiver:
            error = await refusal(receiver.url)
        assert (error.reason, error.final) == (f"answered {status}", False)
        assert (receiver.connections, other.connections) == (1, 0)

    run(test())


@pytest.mark.parametrize("answer", [hangs, dribbles])
def test_a_receiver_that_takes_too_long(answer: Answer) -> None:
    async def test() -> None:
        async with Receiver(answer) as receiver:
            started = time.monotonic()
            error = await refusal(receiver.url, timeout_s=0.4)
            assert time.monotonic() - started < 5
        assert (error.reason, error.final) == ("no answer within 0.4 s", False)
        assert len(receiver.received) == 1

    run(test())


def test_a_name_server_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(addresses, "resolve", resolve)

    async def test() -> None:
        assert (await refusal("http://hook.test/", timeout_s=0.1)).reason == "no answer within 0.1 s"

    run(test())


def test_a_body_without_end_is_not_waited_for() -> None:
    async def test() -> None:
        async with Receiver(never_ends) as receiver:
            started = time.monotonic()
            assert await attempt(receiver.url) is None
            assert time.monotonic() - started < TIMEOUT_S / 2

    run(test())


def test_a_receiver_that_speaks_no_http() -> None:
    async def test() -> None:
        async with Receiver(talks_nonsense) as receiver:
            error = await refusal(receiver.url)
        assert (error.reason, error.final) == ("the connection broke (RemoteProtocolError)", False)

    run(test())


def test_a_receiver_that_is_not_there() -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            pass
        error = await refusal(receiver.url)
        assert error.reason.startswith("could not connect") and not error.final

    run(test())


def test_an_attempt_can_be_cancelled() -> None:
    async def test() -> None:
        async with Receiver(hangs) as receiver:
            task = asyncio.create_task(attempt(receiver.url))
            while not receiver.received:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(test())


def test_a_secret_that_is_not_valid_is_reported() -> None:
    async def test() -> None:
        async with Receiver() as receiver:
            error = await attempt(receiver.url, secret="whsec_no base64")
        assert error is not None and error.reason == "the secret is not valid base64 after whsec_"
        assert receiver.connections == 0

    run(test())


def test_nothing_connects_to_a_receiver_on_this_machine_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves(monkeypatch, "127.0.0.1")

    async def test() -> None:
        async with Receiver() as receiver:
            url = f"http://hook.test:{receiver.port}/hook"
            await refusal(url, allow_private=False)
            error = await refusal(receiver.url, allow_private=False)
            assert error.final and error.reason.startswith("the URL names an address")
            assert receiver.connections == 0
            assert await attempt(url) is None
        assert receiver.connections == 1

    run(test())


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)

    async def test() -> None:
        error = await refusal("https://hook.test/")
        assert (error.reason, error.final) == ("the host's name does not resolve", False)

    run(test())


def test_a_host_that_is_unreachable_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise Unreachable("could not connect: the certificate is for another name")

    monkeypatch.setattr(webhooks, "open_response", unreachable)

    async def test() -> None:
        error = await refusal("https://hook.test/")
        assert error.reason.startswith("could not connect") and "certificate" in error.reason
        assert not error.final

    run(test())
