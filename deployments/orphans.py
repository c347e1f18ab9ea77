"""Whose caller has died: a replica would go on with such a request for nobody, and nobody would stop it.

Ray closes the stream of a caller that gives up, and leaves that of a caller that dies open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

from deployments.running_request import Request

ANSWER_TIMEOUT_S = 5.0


def this_actor() -> Any:
    """A handle of the actor that this process is; None where it is none."""
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return context.current_actor if context.get_actor_id() else None


async def orphans(requests: Iterable[Request]) -> list[Request]:
    """Those requests whose driver is dead; one that does not answer is not."""
    by_driver: dict[Any, list[Request]] = {}
    for request in requests:
        if request.call.driver is not None:
            by_driver.setdefault(request.call.driver, []).append(request)
    dead = await asyncio.gather(*(is_dead(driver) for driver in by_driver))
    return [request for gone, driven in zip(dead, by_driver.values(), strict=True) if gone for request in driven]


async def is_dead(actor: Any) -> bool:
    """Whether an actor has died; one that does not answer has not."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await actor.__ray_ready__.remote()
    except ActorDiedError:
        return True
    except (RayError, TimeoutError):
        # It may be away for a while, or busy.
        return False
    return False
