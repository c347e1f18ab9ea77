"""Calls the webhooks of jobs that have ended, each at least once, and again with growing delays until one is accepted.

A delivery is given up after `MAX_ATTEMPTS`, or when its receiver wants no more.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import select

from deployments.background import Background
from deployments.jobs.database.connection import AWAY, Database
from deployments.jobs.database.tables import DeliveryRow
from deployments.jobs.webhooks import DeliveryError, deliver, event_id, signing_key
from deployments.logs import log, logs_for
from deployments.settings.jobs import WebhookSettings

MAX_CONCURRENT_ATTEMPTS = 64
MAX_ATTEMPTS = 8
FIRST_DELAY_S = 5.0
DELAY_GROWTH = 4.0
MAX_DELAY_S = 3600.0


class Deliveries:
    """The webhooks that are still to be called; any number of processes may call them.

    Args:
        database: the database that keeps them.
        settings: how they are called; None calls none.

    Raises:
        RuntimeError: the secret is missing.
        ValueError: the secret is not valid.
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
        """Start the attempts that are due, without waiting for them: many may hang."""
        if self._settings is None:
            return
        room = MAX_CONCURRENT_ATTEMPTS - len(self.under_way)
        if room > 0:
            due = await asyncio.to_thread(self._take_due, self._settings, room)
            for delivery in due:
                self.under_way.start(self._attempt(delivery, self._settings))

    def _take_due(self, settings: WebhookSettings, most: int) -> list[DeliveryRow]:
        """Take deliveries that are due; no other process takes them until this attempt's time has passed.

        Those with fewer attempts are first, so that receivers that never answer delay no first attempt for long.
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
                    url=delivery.url,
                    secret=self._secret,
                    event_id=event_id(delivery.job_id),
                    body=delivery.body.encode(),
                    allow_private=settings.allow_private,
                    timeout_s=settings.timeout_s,
                )
            except Exception as error:
                final = isinstance(error, DeliveryError) and error.final
                delay_s = None if final else delay_before(delivery.attempts + 1)
                log.warning("webhook, attempt %d: %s", delivery.attempts, error)
                self.counts["webhooks_given_up"] += delay_s is None
            else:
                delay_s = None
                self.counts["webhooks_delivered"] += 1
            try:
                await asyncio.to_thread(self._reschedule, delivery.job_id, delay_s)
            except AWAY as error:
                # The delivery stays and becomes due again.
                log.warning("the database is away: %s", type(error).__name__)

    def _reschedule(self, job_id: str, delay_s: float | None) -> None:
        """Make a delivery due after some seconds; None removes it."""
        with self._database.writing() as session:
            row = session.get(DeliveryRow, job_id, with_for_update=True)
            if row is None:
                return
            if delay_s is None:
                session.delete(row)
            else:
                row.due_at = self._database.now(session) + delay_s


def delay_before(attempt: int) -> float | None:
    """Seconds to wait before an attempt, counted from 1; None if there are to be no more attempts."""
    if attempt > MAX_ATTEMPTS:
        return None
    if attempt <= 1:
        return 0.0
    return min(FIRST_DELAY_S * DELAY_GROWTH ** (attempt - 2), MAX_DELAY_S)
