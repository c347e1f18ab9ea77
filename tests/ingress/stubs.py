"""A graph that serves models and runs nothing, and requests to an application over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
import numpy as np
from starlette.applications import Starlette

from cosmos3_core.guardrails.record import GuardrailCheck
from cosmos3_core.outputs import action_object
from cosmos3_core.resolving.facts import ModelFacts
from deployments.decoding.decoder import MediaDecoder
from deployments.ingress.app import create_app
from deployments.ingress.graph import Graph, ServedCard
from deployments.jobs.job import Job, JobEvent
from deployments.model import ModelCard
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.wire.guardrails import GuardrailsClient, GuardrailsUnavailable
from deployments.wire.media_store import MediaStore, local_path, read_media
from tests.media_decoder import media_decoder


def served_card(facts: ModelFacts, name: str = "nano", **changes: Any) -> ServedCard:
    """A model that chats and generates."""
    fields: dict[str, Any] = {"root": "tiny:nano", "chats": True, "generates": True, "max_model_len": None}
    card = ModelCard(name=name, facts=facts, decoder="decoder", **fields | changes)
    return ServedCard(card, f"app-{name}")


@dataclass
class StubGraph:
    """As much of the graph as the routes use.

    Attributes:
        served: the models.
        absent: applications that have not described themselves yet.
        reasons: why each stage that is not ready is not.
        failure: raised by the health check.
        settings: the front's settings.
        media: the media store.
        jobs: the client of Jobs.
        decoder: decodes media, in processes of its own.
        guardrails: the client of the guardrails.
    """

    served: list[ServedCard] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    failure: Exception | None = None
    settings: FrontSettings = field(default_factory=lambda: FrontSettings(guardrails=GuardrailPolicy(mode="off")))
    media: MediaStore | None = None
    jobs: Any = None
    decoder: MediaDecoder = field(default_factory=media_decoder)
    guardrails: GuardrailsClient | None = None

    async def check_texts(self, application: str, texts: Mapping[str, str]) -> tuple[GuardrailCheck, ...]:
        if self.guardrails is None:
            raise GuardrailsUnavailable(f"the application {application} of the guardrails is not deployed")
        return await self.guardrails.check_texts("request", texts)

    def models(self) -> list[ServedCard]:
        return self.served

    async def ready_models(self) -> list[ServedCard]:
        return [] if self.reasons else self.served

    def missing(self) -> list[str]:
        return self.absent

    async def unready(self) -> dict[str, str]:
        if self.failure is not None:
            raise self.failure
        return self.reasons

    def as_graph(self) -> Graph:
        """The stub as the type that the routes expect."""
        return cast(Graph, self)


@dataclass
class StubJobs:
    """Jobs that are stored and never run.

    Attributes:
        failure: raised instead of telling positions.
        stored: the submitted jobs.
        discarded: ids of the discarded jobs.
    """

    failure: BaseException | None = None
    stored: list[Job] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    async def submit(self, job: Job) -> Job:
        self.stored.append(job)
        return job

    async def get(self, job_id: str) -> Job | None:
        return next((job for job in self.stored if job.id == job_id), None)

    async def positions(self, jobs: list[Job]) -> dict[str, int]:
        if self.failure is not None:
            raise self.failure
        return {job.id: 3 for job in jobs}

    def discard(self, job: Job) -> None:
        self.discarded.append(job.id)


@dataclass
class CompletedJobs(StubJobs):
    """Jobs that are completed as soon as they are submitted, each with its input image, if it has one, as its file."""

    async def submit(self, job: Job) -> Job:
        target, given = job.request["output"]["target"], job.request["media"].get("image")
        path = local_path(target)
        assert path is not None
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(read_media(given) if given else b"a file")
        result = {
            "uri": target,
            "seed": job.request["fields"].get("seed", 42),
            "latents_sha256": {"vision": "0"},
            "stage_seconds": {"encode": 0.5, "denoise": 0.5, "decode": 0.5},
            "handed_over_bytes": {"fetched": 1},
            "peak_memory_bytes": 2_000_000,
            "action": action_object(np.zeros((4, 9), np.float32), job.request["fields"]["mode"], 1),
        }
        self.stored.append(replace(job, status="completed", result=result))
        return job

    async def watch(self, job_id: str, after: int = 0, attend: bool = False) -> AsyncIterator[JobEvent]:
        yield JobEvent(1, "done", {}, 0.0)


def ask(stub: StubGraph, path: str, method: str = "GET", echo: bool = True, **options: Any) -> httpx.Response:
    """The answer of the application over a stub."""
    return ask_app(create_app(stub.as_graph(), echo), path, method, **options)


def ask_app(app: Starlette, path: str, method: str = "GET", root: str = "", **options: Any) -> httpx.Response:
    """The answer of an application, mounted below a prefix of paths."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.request(method, path, **options)

    return asyncio.run(asked())
