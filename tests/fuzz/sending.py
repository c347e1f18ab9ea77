"""Sends attempts as they are, and says what is wrong with an answer."""

from __future__ import annotations

import http.client
import re
import socket
import time
from dataclasses import dataclass

import httpx

from tests.fuzz.attempts import Attempt
from tests.surface.reading import error_of

LONGEST_S = 60.0
"""More than a synchronous generation may take on the graph that tests share."""
UNAVAILABLE = (503, 504)
ADDRESS_OF_AN_OBJECT = re.compile(r"\b0x[0-9a-f]{6,}")


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        attempt: the request.
        answer: its answer; None if the connection was closed without one.
        took: seconds.
        faults: what is wrong; empty if nothing is.
    """

    attempt: Attempt
    answer: httpx.Response | None
    took: float
    faults: tuple[str, ...]

    @property
    def made_job(self) -> str | None:
        """The id of the job that it made, if it made one."""
        if self.answer is None or self.answer.status_code != 200 or self.attempt.method != "POST":
            return None
        if self.answer.headers.get("content-type") != "application/json":
            return None
        made = self.answer.json().get("id")
        return made if isinstance(made, str) and made.startswith("video_gen_") else None

    def summary(self) -> str:
        """What went wrong, in a line."""
        one = self.attempt
        return f"{one.method} {one.path[:100]} ({one.what}) after {self.took:.1f} s: {'; '.join(self.faults)}"


def send(url: httpx.URL, attempt: Attempt) -> Outcome:
    """Send an attempt on a connection of its own, and judge its answer."""
    begun = time.monotonic()
    answer, lost = None, ""
    try:
        answer = _exchanged(url, attempt)
    except TimeoutError:
        lost = f"no answer within {LONGEST_S:g} s"
    except (OSError, http.client.HTTPException) as error:
        lost = f"the connection was dropped: {error!r}" if attempt.sound else ""
    took = time.monotonic() - begun
    faults = [lost] if lost else []
    if took > LONGEST_S and not lost:
        faults.append(f"took {took:.1f} s")
    if answer is not None:
        faults += wrong_with(answer, attempt.method, attempt.sound)
    return Outcome(attempt, answer, took, tuple(faults))


def _exchanged(url: httpx.URL, attempt: Attempt) -> httpx.Response:
    with socket.create_connection((url.host, url.port or 80), timeout=LONGEST_S) as connection:
        try:
            connection.sendall(attempt.content)
            if not attempt.sound:
                connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            # A body that is refused early is not read to its end, and there may be an answer.
            pass
        raw = http.client.HTTPResponse(connection, method=attempt.method)
        try:
            raw.begin()
            return httpx.Response(raw.status, headers=raw.getheaders(), content=raw.read())
        finally:
            raw.close()


def wrong_with(answer: httpx.Response, method: str, sound: bool = True) -> list[str]:
    """What is wrong with an answer, whatever it answers: faults in words, none if it is right.

    Args:
        answer: the answer.
        method: of the request.
        sound: whether the request was HTTP; if not, the HTTP server itself may have answered, in its own form.
    """
    status, faults = answer.status_code, []
    if status >= 500 and status not in UNAVAILABLE:
        faults.append(f"{status}: {answer.text[:300]}")
    if not sound:
        return faults
    if len(answer.headers.get_list("x-request-id")) != 1:
        faults.append(f"x-request-id is {answer.headers.get_list('x-request-id')}")
    if status in (429, 503) and not answer.headers.get("retry-after", "").isdecimal():
        faults.append(f"{status} without Retry-After")
    if status == 405 and not answer.headers.get("allow"):
        faults.append("405 without Allow")
    if status >= 400 and method != "HEAD":
        faults += _wrong_with_error(answer)
    return faults


def _wrong_with_error(answer: httpx.Response) -> list[str]:
    try:
        error = error_of(answer, answer.status_code)
    except (AssertionError, ValueError, KeyError) as fault:
        return [f"{answer.status_code} is not in the form of errors: {str(fault)[:300]} in {answer.text[:300]}"]
    faults = []
    if error["param"] is not None and not isinstance(error["param"], str):
        faults.append(f"error.param is {error['param']!r}")
    if "Traceback" in error["message"] or ADDRESS_OF_AN_OBJECT.search(error["message"]):
        faults.append(f"the message shows what is inside: {error['message'][:300]}")
    return faults
