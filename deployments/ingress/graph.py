"""What the ingress can ask of the graph behind it: models, chats, health, figures, and, through `jobs`, jobs."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ray import serve

from deployments.ingress.errors import as_api_error
from deployments.ingress.jobs import JobService
from deployments.logs import log
from deployments.model import ModelCard
from deployments.settings import FrontSettings, ServedModels
from deployments.wire.chat_answer import ChatAnswer
from deployments.wire.handles import FRONT, answer_of, handle_of, items_of
from deployments.wire.media_store import MediaStore

REFRESH_S = 10.0
SEARCH_S = 0.5
STATUS_AGE_S = 1.0
STAGES = ("Jobs", "Encoder", "Reasoner", "Generator", "Decoder")


@dataclass(frozen=True)
class ServedCard:
    """A model's card and the application that serves it."""

    card: ModelCard
    application: str


class Graph:
    """Handles of the other deployments, and what is known of the models."""

    def __init__(self, settings: FrontSettings, jobs: Any) -> None:
        self.settings = settings
        self.media = MediaStore(settings.media_url)
        self.jobs = JobService(jobs)
        self.configured = ServedModels()
        self._cards: dict[str, ServedCard] = {}
        self._been_ready: set[str] = set()
        self._search: asyncio.Task[None] | None = None
        self._status: tuple[float, serve.schema.ServeStatus] | None = None

    # Models

    def configure(self, models: ServedModels) -> None:
        """Learn which applications serve models; their cards are fetched in the background."""
        self.configured = models
        wanted = {model.application for model in models.models}
        self._cards = {name: card for name, card in self._cards.items() if name in wanted}
        self._been_ready &= wanted
        if self._search is not None:
            self._search.cancel()
        # A context of its own: a task made inside a request would be cancelled with that request.
        self._search = asyncio.create_task(self._keep_cards(), context=contextvars.Context())

    async def _keep_cards(self) -> None:
        while True:
            fetching = (self._fetch_card(model.application) for model in self.configured.models)
            # Not even a fetch that is cancelled may end the search.
            await asyncio.gather(*fetching, return_exceptions=True)
            await asyncio.sleep(SEARCH_S if self.missing() else REFRESH_S)

    async def _fetch_card(self, application: str) -> None:
        try:
            if application in (await self.status()).applications:
                async with asyncio.timeout(REFRESH_S):
                    card = await handle_of("Model", application).describe.remote()
                self._cards[application] = ServedCard(card, application)
        except Exception as error:  # Whatever it is, the next round may do better, and there must be one.
            log.debug("no card of %s yet: %s", application, error)

    def missing(self) -> list[str]:
        """Configured applications that have not said yet what they serve."""
        return [model.application for model in self.configured.models if model.application not in self._cards]

    def models(self) -> list[ServedCard]:
        """The models, those that do everything first, because clients take the first one for anything."""
        known = [self._cards[m.application] for m in self.configured.models if m.application in self._cards]
        return sorted(known, key=lambda served: -(served.card.chats + served.card.generates))

    async def ready_models(self) -> list[ServedCard]:
        """Those of which every stage has been ready; one whose stage is being replaced stays among them."""
        models = self.models()
        if any(served.application not in self._been_ready for served in models):
            waiting = {name.partition("/")[0] for name in await self.unready()}
            for served in models:
                needed = {FRONT, served.application, *([served.card.decoder] if served.card.generates else [])}
                if needed.isdisjoint(waiting):
                    self._been_ready.add(served.application)
        return [served for served in models if served.application in self._been_ready]

    # Chat

    async def chat(self, application: str, request_id: str, body: dict[str, Any]) -> ChatAnswer:
        """A whole answer."""
        answer: ChatAnswer = await _asked(handle_of("Reasoner", application).chat.remote(request_id, body))
        return answer

    async def chat_stream(
        self, application: str, request_id: str, body: dict[str, Any]
    ) -> AsyncGenerator[ChatAnswer | str, None]:
        """An error, or the answer piece by piece."""
        reasoner = handle_of("Reasoner", application).options(stream=True)
        async with aclosing(_stream(reasoner.chat_stream.remote(request_id, body))) as stream:
            async for part in stream:
                yield part

    # Health and figures

    async def status(self) -> serve.schema.ServeStatus:
        """Serve's view of all applications, at most a second old."""
        now = time.monotonic()
        if self._status is None or now - self._status[0] > STATUS_AGE_S:
            self._status = (now, await asyncio.to_thread(serve.status))
        return self._status[1]

    async def unready(self) -> dict[str, str]:
        """What is not ready yet, with the reason; empty when every configured stage is."""
        applications = (await self.status()).applications
        wanted = {FRONT} | {model.application for model in self.configured.models}
        wanted |= {served.card.decoder for served in self._cards.values() if served.card.generates}
        reasons = {name: "is not deployed" for name in wanted if name not in applications}
        for name, overview in applications.items():
            for deployment, state in overview.deployments.items():
                # One that changes its number of replicas still serves with those it has. Serve types their states as an
                # enumeration, and gives its values.
                serves = state.status.value == "HEALTHY" or any(
                    count for kind, count in state.replica_states.items() if kind == "RUNNING"
                )
                if name in wanted and not serves:
                    reasons[f"{name}/{deployment}"] = state.status.value.lower()
            if name in wanted and not overview.deployments:
                reasons[name] = overview.status.value.lower()
        return reasons | {name: "has not described itself" for name in self.missing() if name not in reasons}

    async def figures(self) -> list[tuple[str, str, int, dict[str, float]]]:
        """Application, deployment, number of the replica, and its figures; silent ones are left out."""
        applications = (await self.status()).applications
        asked = [
            (application, deployment)
            for application, overview in applications.items()
            for deployment in overview.deployments
            if deployment in STAGES
        ]
        answers = await asyncio.gather(*(asyncio.to_thread(_broadcast, *names) for names in asked))
        return [
            (application, deployment, number, figures)
            for (application, deployment), replicas in zip(asked, answers, strict=True)
            for number, figures in enumerate(replicas)
        ]


def _broadcast(application: str, deployment: str) -> list[dict[str, float]]:
    try:
        results: list[dict[str, float]] = handle_of(deployment, application).broadcast("stats").results(timeout_s=2)
    except Exception as error:  # A replica that starts or dies just now says nothing.
        log.debug("no figures of %s/%s: %s", application, deployment, error)
        return []
    return results


async def _asked(response: Any) -> Any:
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
