"""Calls the webhooks of jobs that have ended, again with growing pauses until somebody answers. At least once each."""

from __future__ import annotations

import asyncio

from sqlalchemy import select

from deployments.background import Background
from deployments.jobs.database.connection import AWAY, Database
from deployments.jobs.database.tables import DeliveryRow
from deployments.jobs.webhooks import DeliveryError, delay_before, deliver, event_id, signing_key
from deployments.logs import log, logs_for
from deployments.settings import WebhookSettings

AT_ONCE = 64


class Deliveries:
    """The webhooks that are still to be called; any number of processes may look after them.

    Args:
        database: where they are kept.
        settings: None calls nobody.

    Raises:
        RuntimeError, ValueError: the secret is missing, or is none.
    """

    def __init__(self, database: Database, settings: WebhookSettings | None) -> None:
        self.counts = {"webhooks_delivered": 0, "webhooks_given_up": 0}
        self.under_way = Background()
        self._database = database
        self._settings = settings
        self._secret = "" if settings is None else settings.secret()
        if settings is not None:
            signing_key(self._secret)

    async def run(self) -> None:
        """Begin the attempts that are due, and wait for none: many may hang."""
        if self._settings is None:
            return
        room = AT_ONCE - len(self.under_way)
        if room > 0:
            due = await asyncio.to_thread(self._take_due, self._settings, room)
            for delivery in due:
                self.under_way.start(self._attempt(delivery, self._settings))

    def _take_due(self, settings: WebhookSettings, most: int) -> list[DeliveryRow]:
        """Deliveries whose time has come; nobody else takes them before this attempt's own time is over.

        Those that were tried less go first: an address that never answers holds up nobody's first attempt for long.
        """
        with self._database.reading() as session:
            due_now = select(DeliveryRow.job_id).where(DeliveryRow.due_at < self._database.now(session)).limit(1)
            if session.scalar(due_now) is None:
                return []
        with self._database.writing() as session:
            now = self._database.now(session)
            query = select(DeliveryRow).where(DeliveryRow.due_at < now)
            query = query.order_by(DeliveryRow.attempts, DeliveryRow.due_at).limit(most)
            due = list(session.scalars(query.with_for_update(skip_locked=True)))
            for delivery in due:
                delivery.attempts += 1
                delivery.due_at = now + 2 * settings.timeout_s
            session.flush()
            session.expunge_all()
            return due

    async def _attempt(self, delivery: DeliveryRow, settings: WebhookSettings) -> None:
        with logs_for(delivery.job_id):
            try:
                await deliver(
                    *(delivery.url, self._secret, event_id(delivery.job_id), delivery.body.encode()),
                    allow_private=settings.allow_private,
                    timeout_s=settings.timeout_s,
                )
            except Exception as error:
                final = isinstance(error, DeliveryError) and error.final
                pause = None if final else delay_before(delivery.attempts + 1)
                log.warning("webhook, attempt %d: %s", delivery.attempts, error)
                self.counts["webhooks_given_up"] += pause is None
            else:
                pause = None
                self.counts["webhooks_delivered"] += 1
            try:
                await asyncio.to_thread(self._put_off, delivery.job_id, pause)
            except AWAY as error:
                # It is due again by itself.
                log.warning("the database is away: %s", type(error).__name__)

    def _put_off(self, job_id: str, pause: float | None) -> None:
        """Have a delivery wait some seconds; None forgets it."""
        with self._database.writing() as session:
            row = session.get(DeliveryRow, job_id, with_for_update=True)
            if row is None:
                return
            if pause is None:
                session.delete(row)
            else:
                row.due_at = self._database.now(session) + pause
