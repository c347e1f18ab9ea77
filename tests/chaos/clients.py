"""A client in a run of chaos: stubborn, as good clients are, and sometimes gone in the middle."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image
from tests.chaos.schedule import Plan
from tests.graph.events import followed

PATIENCE_S = 600.0
POLL_S = 0.5
LONGEST_PAUSE_S = 2.0
RETRIED = (429, 502, 503)


@dataclass
class Outcome:
    """What a client saw of a job.

    Attributes:
        plan: what it wanted.
        job: its id, where it learnt of one.
        ending: completed, failed, cancelled or left.
        answer: the job or the error at its end.
        refusals: how often it was told to come back later.
    """

    plan: Plan
    job: str | None = None
    ending: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    refusals: int = 0


class ChaosClient:
    """One of the clients, with its jobs in their order, in a run that began at a time of the monotonic clock.

    It sends `headers` with every request.
    """

    def __init__(self, url: str, headers: dict[str, str], plans: tuple[Plan, ...], begun: float) -> None:
        self._url = url
        self._headers = headers
        self._plans = plans
        self._begun = begun

    def run(self) -> list[Outcome]:
        """Do what is planned."""
        with httpx.Client(
            base_url=self._url, headers=self._headers, timeout=httpx.Timeout(PATIENCE_S, connect=5)
        ) as http:
            return [self._do(http, plan) for plan in self._plans]

    def _do(self, http: httpx.Client, plan: Plan) -> Outcome:
        time.sleep(max(0.0, self._begun + plan.begins_s - time.monotonic()))
        outcome = Outcome(plan)
        deeds: dict[str, Callable[[httpx.Client, Outcome], None]] = {
            "poll": self._poll,
            "stream": self._stream,
            "image": self._image,
            "twice": self._twice,
            "cancel": self._cancel,
            "disconnect": self._disconnect,
        }
        deeds[plan.fate](http, outcome)
        return outcome

    def _poll(self, http: httpx.Client, outcome: Outcome) -> None:
        outcome.job = self._create(http, outcome)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            job = self._asked(http, outcome, "GET", f"/v1/videos/{outcome.job}").json()
            if job["status"] in ("completed", "failed"):
                break
            assert time.monotonic() < deadline, job
            time.sleep(POLL_S)
        self._end(http, outcome, job)

    def _stream(self, http: httpx.Client, outcome: Outcome) -> None:
        outcome.job = self._create(http, outcome)
        events = followed(http, outcome.job, lambda event: None, patience_s=PATIENCE_S)
        numbers = [event.number for event in events if event.number is not None]
        assert numbers == sorted(set(numbers)), events
        self._end(http, outcome, self._asked(http, outcome, "GET", f"/v1/videos/{outcome.job}").json())

    def _twice(self, http: httpx.Client, outcome: Outcome) -> None:
        with ThreadPoolExecutor(2) as pool:
            first, second = [pool.submit(self._create, http, outcome) for _ in range(2)]
            assert first.result() == second.result()
        self._poll(http, outcome)

    def _cancel(self, http: httpx.Client, outcome: Outcome) -> None:
        outcome.job = self._create(http, outcome)
        time.sleep(outcome.plan.patience_s)
        # The answer to a first attempt may have been lost with the process that gave it.
        answer = self._asked(http, outcome, "DELETE", f"/v1/videos/{outcome.job}", also=(404,))
        assert answer.status_code in (200, 404)
        assert self._asked(http, outcome, "GET", f"/v1/videos/{outcome.job}", also=(404,)).status_code == 404
        outcome.ending = "cancelled"

    def _disconnect(self, http: httpx.Client, outcome: Outcome) -> None:
        try:
            answer = http.post("/v1/videos/sync", data=_form(outcome.plan), timeout=outcome.plan.patience_s)
            outcome.ending = "completed" if answer.is_success else "left"
        except httpx.TransportError:
            outcome.ending = "left"

    def _image(self, http: httpx.Client, outcome: Outcome) -> None:
        plan = outcome.plan
        body = {"prompt": "a cup", "size": f"{plan.width}x{plan.height}", "num_inference_steps": plan.steps}
        headers = {"Idempotency-Key": plan.name}
        path, given = "/v1/images/generations", body | {"seed": plan.seed}
        answer = self._asked(http, outcome, "POST", path, json=given, headers=headers, also=(500,))
        if answer.status_code == 500:
            outcome.ending, outcome.answer = "failed", answer.json()["error"]
            return
        picture = decode_image(base64.b64decode(answer.json()["data"][0]["b64_json"]))
        assert picture.shape == (plan.height, plan.width, 3)
        outcome.ending = "completed"

    def _create(self, http: httpx.Client, outcome: Outcome) -> str:
        headers = {"Idempotency-Key": outcome.plan.name}
        answer = self._asked(http, outcome, "POST", "/v1/videos", data=_form(outcome.plan), headers=headers)
        return str(answer.json()["id"])

    def _end(self, http: httpx.Client, outcome: Outcome, job: dict[str, Any]) -> None:
        outcome.ending, outcome.answer = job["status"], job
        if job["status"] == "completed":
            content = self._asked(http, outcome, "GET", f"/v1/videos/{outcome.job}/content").content
            clip = decode_video(content)
            assert clip.frames.shape == (outcome.plan.frames, outcome.plan.height, outcome.plan.width, 3)

    @staticmethod
    def _asked(
        http: httpx.Client, outcome: Outcome, method: str, path: str, *, also: tuple[int, ...] = (), **request: Any
    ) -> httpx.Response:
        """The answer, asked for until there is one; other errors than those in `also` are raised."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = http.request(method, path, **request)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 500 and not _ours(answer):
                # Serve's proxy, whose replica died.
                answer = None
            if answer is not None and (answer.is_success or answer.status_code in also):
                return answer
            assert answer is None or answer.status_code in RETRIED, f"{method} {path}: {answer.text}"
            assert time.monotonic() < deadline, f"{method} {path}: no answer"
            outcome.refusals += answer is not None and answer.status_code == 429
            pause = float(answer.headers.get("Retry-After", POLL_S)) if answer is not None else POLL_S
            time.sleep(min(pause, LONGEST_PAUSE_S))


def _ours(answer: httpx.Response) -> bool:
    try:
        return "error" in answer.json()
    except ValueError:
        return False


def _form(plan: Plan) -> dict[str, Any]:
    return {
        "prompt": "a robot",
        "size": f"{plan.width}x{plan.height}",
        "num_frames": plan.frames,
        "num_inference_steps": plan.steps,
        "seed": plan.seed,
    }
