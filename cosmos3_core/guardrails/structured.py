"""What a prompt says that is a JSON object: its texts as a model reads them, without the escapes of JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosmos3_core.prompt import parse_structured


def with_decoded(text: str) -> str:
    """A text, and below it, where it is a JSON object with escapes, each of its keys and strings on a line of its own.

    The text as it stands remains: of keys that stand twice only it has both, and not every model reads JSON.
    """
    if "\\" not in text:
        return text
    structured = parse_structured(text)
    if structured is None:
        return text
    # Half of a surrogate pair is no character, and no tokenizer takes it.
    lines = "\n".join(_strings(structured)).encode(errors="ignore").decode()
    return f"{text}\n{lines}"


def _strings(structured: dict[str, Any]) -> Iterator[str]:
    """All keys and strings in their order. It does not recurse, because a client decides how deep the object is."""
    waiting: list[Any] = [structured]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += reversed([part for item in value.items() for part in item])
        elif isinstance(value, list):
            waiting += reversed(value)
