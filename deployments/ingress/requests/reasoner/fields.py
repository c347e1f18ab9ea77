"""What holds for every request to the Reasoner: fields that are refused, and numbers that are bounded."""

from __future__ import annotations

from typing import Any

from deployments.ingress.errors import ApiError

MAX_CHOICES = 16
GUIDED = ("guided_json", "guided_regex", "guided_choice", "guided_grammar", "guided_decoding_backend")
REFUSED = {
    **dict.fromkeys(GUIDED, "is not supported; use response_format or structured_outputs"),
    **dict.fromkeys(
        ("kv_transfer_params", "ec_transfer_params", "vllm_xargs", "data_parallel_rank"), "is not for clients"
    ),
    "chat_template": "is not accepted from clients; the checkpoint's own is used",
    "prompt_embeds": "is not accepted from clients; send a prompt",
}


def check_fields(body: dict[str, Any]) -> None:
    """Refuse what controls more than a request's own sampling.

    Raises:
        ApiError: 400, with the name of the field.
    """
    for field, reason in REFUSED.items():
        if body.get(field) is not None:
            raise ApiError(400, f"{field} {reason}", param=field)
    if not isinstance(body.get("stream"), (bool, type(None))):
        raise ApiError(400, "stream must be true or false", param="stream")
    if body.get("stream_options") and not body.get("stream"):
        raise ApiError(400, "stream_options is only allowed with stream: true", param="stream_options")
    for field in ("n", "best_of"):
        choices = body.get(field)
        if choices is not None and not (type(choices) is int and 1 <= choices <= MAX_CHOICES):
            raise ApiError(400, f"{field} must be a whole number from 1 to {MAX_CHOICES}", param=field)
