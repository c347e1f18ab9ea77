"""Text that UTF-8 can encode: JSON may hold lone surrogates, on which vLLM fails in places, such as `stop`."""

from __future__ import annotations

from typing import Any

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.coercions import text


def check_encodable(body: dict[str, Any]) -> None:
    """Refuse a body with other text, wherever it is.

    Raises:
        ApiError: 400, with the name of the field.
    """
    for field, value in body.items():
        try:
            _check([field, value])
        except ValueError as error:
            raise ApiError(400, f"{field} {error}", param=field) from None


def _check(value: Any) -> None:
    match value:
        case str():
            # Long texts are mostly ASCII, which need not be encoded to be sure.
            if not value.isascii():
                text(value)
        case list():
            for entry in value:
                _check(entry)
        case dict():
            for name, entry in value.items():
                _check(name)
                _check(entry)
