"""The manifest of a job's result: what the stages of the graph have told, put together."""

from __future__ import annotations

from cosmos3_core.manifest import Manifest
from deployments.calls import GenerationCall
from deployments.flow import GenerationOutcome


def manifest_of(call: GenerationCall, outcome: GenerationOutcome, *, tries: int, created_at: float) -> Manifest:
    """The record of a generation that is done.

    Args:
        call: what was asked for.
        outcome: what came of it.
        tries: how often it was started.
        created_at: when it was asked for, in Unix seconds.
    """
    return Manifest.of(
        *(call.fields, outcome.encoded.facts, outcome.latents.facts),
        *(outcome.latents.sha256, outcome.timings.seconds),
        created_at=created_at,
        job_id=call.job_id,
        tries=tries,
    )
