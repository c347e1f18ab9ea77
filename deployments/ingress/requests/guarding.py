"""Whether a request is checked by guardrails, and what they say of its texts."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.guardrails.verdict import ContentBlocked
from cosmos3_core.request import GenerationRequest
from deployments.ingress.errors import RETRY_AFTER, ApiError, as_api_error
from deployments.ingress.graph import Graph
from deployments.ingress.requests.generation import Generation
from deployments.jobs.job import CONTENT_POLICY, Guarded
from deployments.wire.guardrails import GuardrailsUnavailable, JobGuardrails

FIELD = "guardrails"


@dataclass(frozen=True)
class Guarding:
    """How a request is guarded.

    Attributes:
        word: `off`, `skipped` or `pending`, as in `Job.guarded`.
        checked: what was said of its texts, and who checks the rest; None if nobody does.
    """

    word: Guarded
    checked: JobGuardrails | None = None


def refuse_unguarded(graph: Graph, generation: Generation) -> None:
    """Refuse a request for guardrails that are not there, and one without guardrails that are required.

    Raises:
        ApiError: 400.
    """
    policy, name = graph.settings.guardrails, generation.names.get(FIELD, FIELD)
    if policy.mode == "required" and generation.guardrails is False:
        raise ApiError(400, f"{name} is false, and this server checks every request; leave it out", param=name)
    if policy.mode == "on" and policy.application is None and generation.guardrails is not False:
        raise ApiError(400, "guardrails are requested but none is loaded here; send guardrails: false", param=name)


def _texts(request: GenerationRequest) -> dict[str, str]:
    """The client's texts, by their fields, that a result may show.

    Guidance leads away from a negative prompt, whose use is to name what is not wanted. Below 1 it leads towards it.
    """
    fields = {"prompt": request.prompt, "system_prompt": request.system_prompt}
    if request.guidance_scale is not None and request.guidance_scale < 1:
        fields["negative_prompt"] = request.negative_prompt
    return {name: text or "" for name, text in fields.items()}


async def guard(graph: Graph, generation: Generation) -> Guarding:
    """Have the texts of a request checked, if it is to be checked.

    Raises:
        ApiError: 400, a text is blocked; 503, the guardrails cannot be asked now.
    """
    policy = graph.settings.guardrails
    if policy.mode == "off":
        return Guarding("off")
    if policy.application is None or generation.guardrails is False:
        return Guarding("skipped")
    try:
        checks = await graph.check_texts(policy.application, _texts(generation.request))
    except ContentBlocked as error:
        name = generation.names.get(error.check.of, error.check.of)
        raise ApiError(400, str(error), param=name, kind=CONTENT_POLICY) from error
    except GuardrailsUnavailable as error:
        message = f"the request is to be checked, and cannot be now: {error}; try again"
        raise ApiError(503, message, headers=RETRY_AFTER) from error
    except Exception as error:
        raise as_api_error(error) from error
    return Guarding("pending", JobGuardrails(policy.application, checks))
