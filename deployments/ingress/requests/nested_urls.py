"""References as OpenAI's chats and its JSON edits write them: `{"image_url": {"url": ...}}`, also in a list of one."""

from __future__ import annotations

from typing import Any

from deployments.ingress.requests.references import URL_KEYS

URL = "url"
_BESIDE = frozenset({URL, "detail"})
"""`detail` says how closely a chat looks; a generation looks at all of it."""


def flat(reference: Any) -> Any:
    """A reference without the object around its URL, which is left alone if it holds anything else."""
    if isinstance(reference, list):
        return [flat(part) for part in reference]
    if not isinstance(reference, dict):
        return reference
    if URL in reference and set(reference) <= _BESIDE:
        return reference[URL]
    return {name: flat(value) if name in URL_KEYS else value for name, value in reference.items() if name != "type"}
