"""How much a request to the Reasoner may hold: messages, text, tools, lists of tokens and words.

All of these are far above what the context of a model takes, and far below what would hold up vLLM, which reads a
request in the process that answers all chats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos3_core.errors import RequestError

MAX_MESSAGES = 4096
MAX_PARTS = 4096
MAX_TOOLS = 256
MAX_CHARACTERS = 4 * 2**20
MAX_SCORED_CHARACTERS = 32 * 2**10
"""Of a prompt whose own tokens are scored: each is answered with a list of alternatives."""
MAX_SCORED_TOGETHER = 128 * 2**10
"""Of all prompts of a request."""
MAX_INTEGER = 2**63 - 1
MAX_TOKEN = 2**31 - 1


@dataclass(frozen=True)
class ListBound:
    """The bound of a list.

    Attributes:
        most: the number of its items, or of an object's entries.
        characters: of each item that is text.
    """

    most: int
    characters: int = 1024


LISTS = {
    "tools": ListBound(MAX_TOOLS),
    "functions": ListBound(MAX_TOOLS),
    "stop": ListBound(64),
    "bad_words": ListBound(1000),
    "logit_bias": ListBound(1024),
    "stop_token_ids": ListBound(1024),
    "logprob_token_ids": ListBound(128),
    "allowed_token_ids": ListBound(2**18),
    "documents": ListBound(256),
    "include": ListBound(64),
    "metadata": ListBound(64),
}
TOKENS = ("stop_token_ids", "logprob_token_ids", "allowed_token_ids")
SIZES = {
    "tools": 2**20,
    "functions": 2**20,
    "documents": 2**20,
    "tool_choice": 64 * 2**10,
    "chat_template_kwargs": 64 * 2**10,
    "metadata": 64 * 2**10,
    "instructions": MAX_CHARACTERS,
}
"""The characters of values that are written into the prompt, or kept beside it."""
_SCORES = ("prompt_logprobs", "prompt_logprob_token_ids")


def check_bounds(body: Mapping[str, Any]) -> None:
    """Refuse a request whose fields hold too much; `check_text` bounds its prompt.

    Raises:
        RequestError: with the client's name of the field.
    """
    for field, bound in LISTS.items():
        _check_list(field, body.get(field), bound)
    for field in TOKENS:
        for number, token in enumerate(body[field] if isinstance(body.get(field), list) else ()):
            if not (type(token) is int and 0 <= token <= MAX_TOKEN):
                raise RequestError(f"{field}.{number}", "is no token; expected a whole number of at least 0")
    for field, most in SIZES.items():
        _check_size(field, body.get(field), most)
    for field, value in body.items():
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise RequestError(field, f"is too large; expected a number from {-MAX_INTEGER} to {MAX_INTEGER}")


def check_text(field: str, prompt: Any, body: Mapping[str, Any]) -> None:
    """Refuse a prompt that is too long, with its media taken out of it.

    Args:
        field: the client's field that holds it.
        prompt: text, lists and objects of it, or tokens, each of which counts as a character or two.
        body: the request; one that wants its prompt scored may have less of it.

    Raises:
        RequestError: it is too long.
    """
    _check_size(field, prompt, MAX_CHARACTERS)
    given = any(body.get(name) is not None for name in _SCORES)
    if not given and not (body.get("echo") and body.get("logprobs") is not None):
        return
    for most, part in ((MAX_SCORED_TOGETHER, prompt), *((MAX_SCORED_CHARACTERS, each) for each in _prompts(prompt))):
        if larger_than(part, most):
            reason = f"is too long to have its own tokens scored; expected at most {MAX_SCORED_CHARACTERS} characters"
            together = f" of a prompt and {MAX_SCORED_TOGETHER} of all together"
            raise RequestError(field, f"{reason}{together}, or neither prompt_logprobs nor echo with logprobs")


def _prompts(prompt: Any) -> list[Any]:
    """The prompts of a batch; anything else is one prompt, also tokens and messages."""
    if isinstance(prompt, list) and all(isinstance(each, (str, list)) for each in prompt):
        return prompt
    return [prompt]


def check_parts(field: str, items: list[Any]) -> None:
    """Refuse messages or items whose contents have too many parts together.

    Raises:
        RequestError: there are too many.
    """
    if len(items) > MAX_MESSAGES:
        raise RequestError(field, f"has {len(items)} items; expected at most {MAX_MESSAGES}")
    parts = 0
    for item in items:
        given = (item.get("content"), item.get("output")) if isinstance(item, dict) else ()
        parts += sum(len(content) for content in given if isinstance(content, list))
    if parts > MAX_PARTS:
        raise RequestError(field, f"has {parts} parts of content; expected at most {MAX_PARTS}")


def larger_than(value: Any, most: int) -> bool:
    """Whether a value of JSON has more characters than that, with one more for each value in it."""
    found, waiting = 0, [value]
    while waiting:
        part = waiting.pop()
        found += 1 + (len(part) if isinstance(part, str) else 0)
        if isinstance(part, dict):
            found += sum(map(len, part))
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
        if found + len(waiting) > most:
            return True
    return False


def _check_list(field: str, value: Any, bound: ListBound) -> None:
    items = value if isinstance(value, (list, dict)) else ()
    if len(items) > bound.most:
        raise RequestError(field, f"has {len(items)} entries; expected at most {bound.most}")
    texts = [value] if isinstance(value, str) else items
    for text in texts:
        if isinstance(text, str) and len(text) > bound.characters:
            raise RequestError(field, f"has a text of {len(text)} characters; expected at most {bound.characters}")


def _check_size(field: str, value: Any, most: int) -> None:
    if larger_than(value, most):
        raise RequestError(field, f"is too large; expected at most {most} characters")
