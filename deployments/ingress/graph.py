"""What the ingress calls in the graph behind it: models, chats, health, figures and, through `jobs`, jobs."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from cosmos3_core.guardrails.record import GuardrailCheck
from deployments.decoding.decoder import MediaDecoder
from deployments.ingress.errors import as_api_error
from deployments.ingress.jobs_client import JobsClient
from deployments.local.status import ApplicationStatus
from deployments.logs import current_subject, log
from deployments.model import ModelCard
from deployments.names import FRONT
from deployments.serve_status import serve_status
from deployments.settings.front import FrontSettings, ServedModels
from deployments.wire.guardrails import GuardrailsClient, GuardrailsUnavailable
from deployments.wire.handles import answer_of, handle_of, items_of
from deployments.wire.media_store import MediaStore
from deployments.wire.reasoner_calls import ReasonerAnswer, ReasonerCall
from deployments.wire.replica import Subject

REFRESH_S = 10.0
# While the card of a configured application is missing.
MISSING_REFRESH_S = 0.5
STATUS_AGE_S = 1.0
STAGES = ("Jobs", "Model", "Encoder", "Reasoner", "Generator", "Decoder", "Guardrails")


@dataclass(frozen=True)
class ServedCard:
    """A model's card and the application that serves it."""

    card: ModelCard
    application: str


class Graph:
    """The other deployments, the cards of the models that they serve, and what requests are checked with."""

    def __init__(self, settings: FrontSettings, jobs: Any) -> None:
        self.settings = settings
        self.media = MediaStore(settings.media_url)
        self.decoder = MediaDecoder(settings.decoding, ready=True)
        self.jobs = JobsClient(jobs)
        self.configured = ServedModels()
        self._cards: dict[str, ServedCard] = {}
        self._once_ready: set[str] = set()
        self._refreshing: asyncio.Task[None] | None = None
        self._status: tuple[float, dict[str, ApplicationStatus]] | None = None

    # Models

    def configure(self, models: ServedModels) -> None:
        """Set the applications that serve models; their cards are fetched in the background."""
        self.configured = models
        wanted = {model.application for model in models.models}
        self._cards = {name: card for name, card in self._cards.items() if name in wanted}
        self._once_ready &= wanted
        if self._refreshing is not None:
            self._refreshing.cancel()
        # In a context of its own, because Serve cancels a task of a request's context together with that request.
        self._refreshing = asyncio.create_task(self._refresh_cards(), context=contextvars.Context())

    async def _refresh_cards(self) -> None:
        while True:
            fetching = (self._fetch_card(model.application) for model in self.configured.models)
            # Exceptions are returned, so that not even a cancelled fetch ends this loop.
            await asyncio.gather(*fetching, return_exceptions=True)
            await asyncio.sleep(MISSING_REFRESH_S if self.missing() else REFRESH_S)

    async def _fetch_card(self, application: str) -> None:
        try:
            if application in await self.status():
                async with asyncio.timeout(REFRESH_S):
                    card = await handle_of("Model", application).describe.remote()
                self._cards[application] = ServedCard(card, application)
        except Exception as error:  # Any failure may pass, so the next round tries again.
            log.debug("no card of %s yet: %s", application, error)

    def missing(self) -> list[str]:
        """Configured applications whose cards have not been fetched yet."""
        return [model.application for model in self.configured.models if model.application not in self._cards]

    def models(self) -> list[ServedCard]:
        """The models, those that both chat and generate first, because clients use the first one for everything."""
        known = [self._cards[m.application] for m in self.configured.models if m.application in self._cards]
        return sorted(known, key=lambda served: -(served.card.chats + served.card.generates))

    async def ready_models(self) -> list[ServedCard]:
        """The models whose stages have all been ready once; replacing a stage does not remove a model from them."""
        models = self.models()
        if any(served.application not in self._once_ready for served in models):
            waiting = {name.partition("/")[0] for name in await self.unready()}
            for served in models:
                needed = {FRONT, served.application, *([served.card.decoder] if served.card.generates else [])}
                if needed.isdisjoint(waiting):
                    self._once_ready.add(served.application)
        return [served for served in models if served.application in self._once_ready]

    # The Reasoner

    async def ask(self, application: str, call: ReasonerCall) -> ReasonerAnswer:
        """The Reasoner's whole answer."""
        answer: ReasonerAnswer = await _call(handle_of("Reasoner", application).answer.remote(call))
        return answer

    async def ask_stream(self, application: str, call: ReasonerCall) -> AsyncGenerator[ReasonerAnswer | str, None]:
        """The Reasoner's answer piece by piece, or an error."""
        reasoner = handle_of("Reasoner", application).options(stream=True)
        async with aclosing(_stream(reasoner.stream.remote(call))) as stream:
            async for part in stream:
                yield part

    # Guardrails

    async def check_texts(self, application: str, texts: Mapping[str, str]) -> tuple[GuardrailCheck, ...]:
        """What an application's guardrails say of texts by the names of their fields.

        Raises:
            ContentBlocked: one of them blocks.
            GuardrailsUnavailable: they are not deployed, have not started, or do not answer in time.
        """
        overview = (await self.status()).get(application)
        if overview is None or not any(stage.replicas.get("RUNNING") for stage in overview.deployments):
            state = "is not deployed" if overview is None else f"has no replica that runs ({overview.status.lower()})"
            raise GuardrailsUnavailable(f"the application {application} of the guardrails {state}")
        client = GuardrailsClient(application, self.settings.guardrails.timeout_s)
        return await client.check_texts(current_subject(), texts)

    # Health and figures

    async def status(self) -> dict[str, ApplicationStatus]:
        """Serve's view of each application, at most a second old."""
        now = time.monotonic()
        if self._status is None or now - self._status[0] > STATUS_AGE_S:
            self._status = (now, await asyncio.to_thread(serve_status))
        return self._status[1]

    async def unready(self) -> dict[str, str]:
        """The reason for each stage that is not ready; empty once every configured stage is."""
        applications = await self.status()
        wanted = {FRONT} | {model.application for model in self.configured.models}
        wanted |= {served.card.decoder for served in self._cards.values() if served.card.generates}
        asked = self.settings.guardrails.asked
        wanted |= set() if asked is None else {asked}
        reasons = {name: "is not deployed" for name in wanted if name not in applications}
        for name, overview in applications.items():
            for stage in overview.deployments:
                # A deployment that changes its number of replicas still serves with those that run.
                if name in wanted and not (stage.healthy or stage.replicas.get("RUNNING")):
                    reasons[f"{name}/{stage.name}"] = stage.status.lower()
            if name in wanted and not overview.deployments:
                reasons[name] = overview.status.lower()
        return reasons | {name: "has not described itself" for name in self.missing() if name not in reasons}

    async def figures(self) -> list[tuple[str, str, str, dict[str, float]]]:
        """Application, deployment, replica's id and figures of every replica that answers."""
        applications = await self.status()
        deployments = [
            (application, stage.name)
            for application, overview in applications.items()
            for stage in overview.deployments
            if stage.name in STAGES
        ]
        answers = await asyncio.gather(
            *(asyncio.to_thread(_told, application, deployment, "stats") for application, deployment in deployments)
        )
        return [
            (application, deployment, replica, figures)
            for (application, deployment), replicas in zip(deployments, answers, strict=True)
            for replica, figures in replicas
        ]

    async def engine_metrics(self) -> list[tuple[str, str, str]]:
        """Application, replica's id and vLLM's own metrics, as text, of every Reasoner that answers."""
        chatting = [served.application for served in self.models() if served.card.chats]
        answers = await asyncio.gather(
            *(asyncio.to_thread(_told, application, "Reasoner", "exposition") for application in chatting)
        )
        return [
            (application, replica, text)
            for application, replicas in zip(chatting, answers, strict=True)
            for replica, text in replicas
        ]


def _told(application: str, deployment: str, subject: Subject) -> list[tuple[str, Any]]:
    """What every replica that answers tells of a subject, each with the replica's id."""
    try:
        told = handle_of(deployment, application).broadcast("tell", subject)
        results: list[tuple[str, Any]] = told.results(timeout_s=2)
    except Exception as error:  # A replica that is starting or dying does not answer.
        log.debug("no figures of %s/%s: %s", application, deployment, error)
        return []
    return results


async def _call(response: Any) -> Any:
    try:
        return await answer_of(response)
    except Exception as error:
        raise as_api_error(error) from error


async def _stream(response: Any) -> AsyncGenerator[Any, None]:
    try:
        async with aclosing(items_of(response)) as items:
            async for item in items:
                yield item
    except Exception as error:
        raise as_api_error(error) from error
