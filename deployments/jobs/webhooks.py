"""Webhooks: the event that announces a job's end, its signature, and one attempt to deliver it.

The format is Standard Webhooks, which OpenAI's SDK verifies. `deliveries` decides when an attempt is made.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Literal

import httpx

from cosmos3_core.errors import CosmosError
from deployments.addresses import Target, Unreachable, check_url, open_response

EventType = Literal["video.completed", "video.failed"]

_SECRET_PREFIX = "whsec_"


class DeliveryError(CosmosError):
    """An attempt that did not deliver.

    Attributes:
        reason: what went wrong; of what the receiver sent it quotes only the status code.
        final: whether further attempts are pointless.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


def event_id(job_id: str) -> str:
    """The id of a job's event: the same for every attempt, so that a receiver can drop repetitions."""
    return f"evt_{job_id}"


def event_body(job_id: str, event_type: EventType, created_at: int) -> bytes:
    """The event as JSON; `created_at` is when the job ended, in Unix seconds, so that all attempts send the same."""
    event = {
        "id": event_id(job_id),
        "object": "event",
        "created_at": created_at,
        "type": event_type,
        "data": {"id": job_id},
    }
    return json.dumps(event).encode()


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: the decoded base64 of `whsec_<base64>`, or any other text as it is.

    Raises:
        ValueError: the rest of a sentence that starts with the secret's name.
    """
    if not secret.startswith(_SECRET_PREFIX):
        key = secret.encode()
    else:
        try:
            # Strict, because the SDK skips unknown characters and other receivers refuse them.
            key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"is not valid base64 after {_SECRET_PREFIX}") from None
    if not key:
        raise ValueError("is empty")
    return key


def signed_headers(secret: str, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers with which a receiver verifies the body; `signing_key` says what a secret is."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode("ascii")
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


async def deliver(url: str, secret: str, event_id: str, body: bytes, *, allow_private: bool, timeout_s: float) -> None:
    """Make one attempt, signed at this time.

    Raises:
        DeliveryError: there was no answer of 2xx within the time.
    """
    try:
        target = check_url(url, allow_private)
    except ValueError as error:
        raise DeliveryError(f"the URL {error}", final=True) from None
    try:
        headers = signed_headers(secret, event_id, int(time.time()), body)
    except ValueError as error:
        raise DeliveryError(f"the secret {error}") from None
    try:
        async with asyncio.timeout(timeout_s):
            status = await _post(target, headers, body, allow_private, timeout_s)
    except TimeoutError:
        raise DeliveryError(f"no answer within {timeout_s:g} s") from None
    if not 200 <= status < 300:
        raise DeliveryError(f"answered {status}", final=status == 410)


async def _post(target: Target, headers: Mapping[str, str], body: bytes, allow_private: bool, timeout_s: float) -> int:
    """The status of the answer. Its body is not read, so a receiver cannot make this server hold or wait for it."""
    try:
        async with open_response(
            "POST",
            target,
            allow_private=allow_private,
            timeout_s=timeout_s,
            headers={**headers, "user-agent": "cosmos3-webhooks"},
            content=body,
        ) as response:
            return response.status_code
    except Unreachable as error:
        raise DeliveryError(str(error)) from None
    except (httpx.HTTPError, OSError) as error:
        # Without the error's text, which may quote what the receiver sent.
        raise DeliveryError(f"the connection broke ({type(error).__name__})") from None
