"""Which callers have died: a replica would go on with their requests although nobody reads the results.

Ray closes the stream of a caller that gives up. It leaves the stream of a caller that dies open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

ANSWER_TIMEOUT_S = 5.0


def this_actor() -> Any:
    """A handle of the actor that runs in this process; None if the process is no actor."""
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return context.current_actor if context.get_actor_id() else None


async def dead_among(actors: Iterable[Any]) -> set[Any]:
    """The actors that have died. One that only fails to answer does not count; None is a caller that is no actor."""
    asked = {actor for actor in actors if actor is not None}
    dead = await asyncio.gather(*map(_is_dead, asked))
    return {actor for actor, gone in zip(asked, dead, strict=True) if gone}


async def _is_dead(actor: Any) -> bool:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await actor.__ray_ready__.remote()
    except ActorDiedError:
        return True
    except (RayError, TimeoutError):
        # It may be unreachable for a while, or busy.
        return False
    return False
