"""The record of a result: what decided its bits, so that it can be made again, and two results can be told apart.

It is not a log: of what happened on the way it holds only what may change bits, and what it cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from cosmos3_core.guardrails.record import GuardrailRecord
from cosmos3_core.modes import Mode
from cosmos3_core.provenance import (
    AppliedAdapter,
    CheckpointFacts,
    DenoiseFacts,
    EncodeFacts,
    Medium,
    Precision,
    Prompt,
    Record,
    Split,
)
from cosmos3_core.request import MEDIA_FIELDS, MEDIA_NAMES

BATCH_TASKS = "batch_tasks"
GIVEN_NOISE = "given"
"""Recorded as the source of noise that the caller supplied, which is kept nowhere."""
CAUSES = ("checkpoint", "adapters", "precision", "plan", "approximations", "versions", "media", "resolved", "prompts")
MAX_SHOWN = 60
UNGROUPED = ("schedule", "guidance", "seed", "noise", "stochastic")
"""Keys that older records have directly in `resolved`; they are grouped in `resolved.sampling` now."""


class Upsampled(Record):
    """The prompt that a model's Reasoner wrote in place of the caller's.

    Attributes:
        prompt: the structured prompt that was used.
        template_sha256: hash of the template that the Reasoner was asked with.
    """

    prompt: str
    template_sha256: str


class Manifest(Record):
    """The record of one result.

    Attributes:
        format: the version of the record's format.
        job_id: the server's job; None if no server made the result.
        created_at: when it was requested, in Unix seconds.
        mode: as in `cosmos3_core.modes`.
        request: the fields as the caller gave them, without media.
        upsampled: the prompt that was used instead of that in `request`, if a Reasoner wrote one.
        guardrails: what they said; None where no server made the result. The latents do not depend on it, and the
            frames only where faces were blurred.
        media: kind of hash, hash and size of the media in each field.
        resolved: every number that was decided, and the texts.
        prompts: number and hash of the tokens of each guidance branch.
        checkpoint: which weights.
        adapters: those that the steps used, by their names.
        plan: how the steps were split.
        precision: what encoding and denoising computed with.
        approximations: `guidance_interval` if the caller asked for one, `batch_tasks` if steps were made in one forward
            pass with other requests, which cannot be repeated. Empty means exact.
        latents_sha256: a hash per modality; equal hashes mean bit-identical results.
        stage_seconds: wall time per stage.
        tries: how often it was started.
        resumed_at_step: where it was taken up from snapshots.
        versions: of Python and the packages that compute.
    """

    format: Literal[1] = 1
    job_id: str | None = None
    created_at: float
    mode: Mode
    request: dict[str, Any]
    upsampled: Upsampled | None = None
    guardrails: GuardrailRecord | None = None
    media: dict[str, Medium]
    resolved: dict[str, Any]
    prompts: dict[str, Prompt]
    checkpoint: CheckpointFacts
    adapters: dict[str, AppliedAdapter] = Field(default_factory=dict)
    plan: Split
    precision: dict[Literal["encode", "denoise"], Precision]
    approximations: tuple[str, ...]
    latents_sha256: dict[str, str]
    stage_seconds: dict[str, float]
    tries: int = 1
    resumed_at_step: tuple[int, ...] = ()
    versions: dict[str, str]

    @field_validator("request")
    @classmethod
    def _without_media(cls, request: dict[str, Any]) -> dict[str, Any]:
        # A path in a record that came from elsewhere would be read here, and sent to a server.
        controls = request.get("controls") or ()
        held = [request.get(name) for name in MEDIA_FIELDS] + [control.get("video") for control in controls]
        if any(source is not None for source in held):
            raise ValueError("holds media; they belong into `media`, by their hashes")
        return request

    @field_validator("resolved")
    @classmethod
    def _with_seed(cls, resolved: dict[str, Any]) -> dict[str, Any]:
        if "seed" in resolved and "sampling" not in resolved:
            resolved = _with_sampling(resolved)
        sampling = resolved.get("sampling")
        if not isinstance(sampling, dict) or not isinstance(sampling.get("seed"), int):
            raise ValueError("holds no seed")
        return resolved

    @field_validator("media")
    @classmethod
    def _known_media(cls, media: dict[str, Medium]) -> dict[str, Medium]:
        if not set(media) <= set(MEDIA_NAMES):
            raise ValueError(f"names {', '.join(media)}; expected {' or '.join(MEDIA_NAMES)}")
        return media

    @classmethod
    def of(
        cls,
        fields: dict[str, Any],
        encode: EncodeFacts,
        denoise: DenoiseFacts,
        latents_sha256: dict[str, str],
        stage_seconds: dict[str, float],
        *,
        created_at: float,
        job_id: str | None = None,
        tries: int = 1,
        upsampled: Upsampled | None = None,
        guardrails: GuardrailRecord | None = None,
    ) -> Manifest:
        """Put together what the stages know; `fields` are those of `GenerationRequest.to_fields`."""
        return cls(
            job_id=job_id,
            created_at=created_at,
            mode=encode.resolved["mode"],
            request=fields,
            upsampled=upsampled,
            guardrails=guardrails,
            media=encode.media,
            resolved=encode.resolved,
            prompts=encode.prompts,
            checkpoint=encode.checkpoint,
            adapters=denoise.adapters,
            plan=denoise.plan,
            precision={"encode": encode.precision, "denoise": denoise.precision},
            approximations=(*encode.approximations, *([BATCH_TASKS] if denoise.shared_steps else [])),
            latents_sha256=latents_sha256,
            stage_seconds=stage_seconds,
            tries=tries,
            resumed_at_step=denoise.resumed_at_step,
            versions=denoise.versions,
        )


def _with_sampling(resolved: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a record from before the sampler's were grouped, grouped."""
    others = {name: value for name, value in resolved.items() if name not in (*UNGROUPED, "steps")}
    return others | {"sampling": {name: resolved[name] for name in UNGROUPED if name in resolved}}


def differences(before: Manifest, after: Manifest) -> list[str]:
    """Possible reasons for a different result, as `name: this, was that`. Costs are left out."""
    old, new = dict(_flat(_causes(before))), dict(_flat(_causes(after)))
    return [_difference(name, old.get(name), new.get(name)) for name in old | new if old.get(name) != new.get(name)]


def _causes(manifest: Manifest) -> dict[str, Any]:
    said = manifest.model_dump(mode="json") | {"plan": manifest.plan.effective}
    return {name: said[name] for name in CAUSES}


def _flat(parts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _difference(name: str, old: Any, new: Any) -> str:
    was, now = json.dumps(old), json.dumps(new)
    if max(len(was), len(now)) > MAX_SHOWN:
        return f"{name}: another"
    return f"{name}: {now}, was {was}"
