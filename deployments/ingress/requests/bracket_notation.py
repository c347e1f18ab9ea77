"""Names of form fields in bracket notation, such as `a[b]` and `a[]`, which stand for objects and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from deployments.ingress.errors import ApiError

MAX_NESTING = 8
_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def nested(texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The objects and lists that the names of a form's fields spell. Empty texts count as absent.

    Raises:
        ApiError: 400, names contradict each other, are ambiguous or are nested too deeply.
    """
    fields: dict[str, Any] = {}
    for name, text in texts:
        if text == "":
            continue
        bracketed = _BRACKETED.fullmatch(name)
        if bracketed is None:
            _append(fields, name, text)
            continue
        keys = [bracketed[1], *bracketed[2][1:-1].split("][")] if bracketed[2] else [name]
        if len(keys) > MAX_NESTING:
            raise ApiError(400, f"{keys[0]} is nested too deeply for a form; send it as JSON text", param=keys[0])
        if not _put(fields, keys, text):
            reason = "cannot be read from its bracketed form fields; send it as JSON text"
            raise ApiError(400, f"{keys[0]} {reason}", param=keys[0])
    return fields


def _put(holder: dict[str, Any], keys: list[str], text: str) -> bool:
    """Put a text at the path that the keys give; False if they contradict earlier ones or are ambiguous."""
    key, *rest = keys
    if not rest:
        return _append(holder, key, text)
    if rest == [""]:
        return _append(holder, key, text, always_list=True)
    if rest[0] != "":
        child = holder.setdefault(key, {})
        return isinstance(child, dict) and _put(child, rest, text)
    # `a[][b]` fills the last object of the list until a name repeats. Lists of lists, `a[][]`, do not say where a
    # row ends.
    entries = holder.setdefault(key, [])
    if rest[1] == "" or not isinstance(entries, list) or not (entries == [] or isinstance(entries[0], dict)):
        return False
    if not entries or rest[1] in entries[-1]:
        entries.append({})
    return _put(entries[-1], rest[1:], text)


def _append(holder: dict[str, Any], key: str, text: str, always_list: bool = False) -> bool:
    if key not in holder:
        holder[key] = [text] if always_list else text
    elif isinstance(holder[key], dict) or (isinstance(holder[key], list) and isinstance(holder[key][0], dict)):
        return False
    elif isinstance(holder[key], list):
        holder[key].append(text)
    else:
        holder[key] = [holder[key], text]
    return True
