"""How large the schemas, expressions and grammars may be that a client has an answer follow.

They are compiled, and followed at every token, beside the chats of everybody else. The bounds were measured with
xgrammar on a vocabulary of 152 thousand tokens: what is below them compiles within seconds on two cores. What no bound
on sizes tells, the Reasoner finds out by a trial (`deployments/reasoner/trials`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos3_core.errors import RequestError
from deployments.ingress.requests.reasoner.bounds import larger_than
from deployments.ingress.requests.reasoner.patterns import check_pattern
from deployments.ingress.requests.strict_json import JsonError, parse_json

MAX_SCHEMA = 256 * 2**10
MAX_GRAMMAR = 64 * 2**10
MAX_RULES = 1000
MAX_CHOICES = 2048
MAX_CHOICE_CHARACTERS = 32 * 2**10
MAX_ALTERNATIVES = 256
MAX_LENGTHS = 32
MAX_PATTERN_REPEATS = 256
ALTERNATIVES = ("anyOf", "oneOf", "allOf")
LENGTHS = ("minLength", "maxLength")
STRUCTURED = "structured_outputs"


@dataclass
class _Found:
    """What a schema holds in all of its parts together."""

    repeats: int = 0
    lengths: set[float] = dataclasses.field(default_factory=set)


def check_constraints(body: Mapping[str, Any]) -> None:
    """Refuse schemas, expressions and grammars that are too large to compile beside other clients' chats.

    Raises:
        RequestError: with the client's name of the field.
    """
    given = body.get(STRUCTURED)
    structured: Mapping[str, Any] = given if isinstance(given, dict) else {}
    _check_choices(f"{STRUCTURED}.choice", structured.get("choice"))
    for name in ("regex", "whitespace_pattern"):
        if isinstance(structured.get(name), str):
            check_pattern(f"{STRUCTURED}.{name}", structured[name])
    _check_grammar(f"{STRUCTURED}.grammar", structured.get("grammar"))
    for field, schema in _schemas(body, structured):
        if larger_than(schema, MAX_SCHEMA):
            raise RequestError(field, f"is too large; expected at most {MAX_SCHEMA} characters")
        found = _Found()
        for path, part in _objects(field, _parsed(field, schema)):
            _check_object(path, part, found)


def _schemas(body: Mapping[str, Any], structured: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each value that holds schemas, with its field."""
    for name in ("json", "structural_tag"):
        yield f"{STRUCTURED}.{name}", structured.get(name)
    yield "response_format", body.get("response_format")
    text = body.get("text")
    if isinstance(text, dict):
        yield "text.format", text.get("format")
    for name in ("tools", "functions"):
        tools = body.get(name)
        for number, tool in enumerate(tools if isinstance(tools, list) else ()):
            if _is_followed(tool, body.get("tool_choice")):
                yield f"{name}.{number}", tool


def _is_followed(tool: Any, choice: Any) -> bool:
    """Whether vLLM has an answer follow the schema of a tool, and does not only show it to the model."""
    if choice == "required" or not isinstance(tool, dict):
        return True
    function = tool.get("function")
    described = function if isinstance(function, dict) else tool
    if described.get("strict") or tool.get("strict") or _holds_tools(tool):
        return True
    # Only the tool that is named; a choice in another form may mean any of them.
    return isinstance(choice, dict) and _named(choice) in (None, described.get("name"))


def _holds_tools(tool: dict[str, Any]) -> bool:
    """Whether it is a namespace of tools, as OpenAI's Responses have them; each of these may be strict."""
    return isinstance(tool.get("tools"), list)


def _named(choice: dict[str, Any]) -> Any:
    function = choice.get("function")
    return function.get("name") if isinstance(function, dict) else choice.get("name")


def _parsed(field: str, schema: Any) -> Any:
    if not isinstance(schema, str):
        return schema
    try:
        return parse_json(schema)
    except JsonError as error:
        raise RequestError(field, f"is not valid JSON: {error}") from None


def _objects(field: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in a schema, each with its path; values are among them, because a property may be named `const`."""
    waiting = [(field, schema)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, dict):
            yield path, part
            waiting.extend((f"{path}.{key[:40]}", inner) for key, inner in part.items())
        elif isinstance(part, list):
            waiting.extend((f"{path}.{number}", inner) for number, inner in enumerate(part))


def _check_object(path: str, part: dict[str, Any], found: _Found) -> None:
    for name in ALTERNATIVES:
        alternatives = part.get(name)
        if isinstance(alternatives, list) and len(alternatives) > MAX_ALTERNATIVES:
            reason = f"has {len(alternatives)} alternatives; expected at most {MAX_ALTERNATIVES}"
            raise RequestError(f"{path}.{name}", reason)
    found.lengths |= {part[name] for name in LENGTHS if isinstance(part.get(name), (int, float))}
    if len(found.lengths) > MAX_LENGTHS:
        reason = f"bounds a text, and all bounds are more than {MAX_LENGTHS} different lengths; expected fewer of them"
        raise RequestError(path, reason)
    for place, pattern in _patterns(path, part):
        found.repeats += check_pattern(place, pattern).repeats
        if found.repeats > MAX_PATTERN_REPEATS:
            reason = f"is one of patterns with more than {MAX_PATTERN_REPEATS} repetitions together; expected fewer"
            raise RequestError(place, reason)
    _check_grammar(f"{path}.grammar", part.get("grammar"))


def _patterns(path: str, part: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("pattern", "regex"):
        if isinstance(part.get(name), str):
            yield f"{path}.{name}", part[name]
    named = part.get("patternProperties")
    for pattern in named if isinstance(named, dict) else ():
        yield f"{path}.patternProperties", pattern


def _check_grammar(field: str, text: Any) -> None:
    if not isinstance(text, str):
        return
    if len(text) > MAX_GRAMMAR:
        raise RequestError(field, f"has {len(text)} characters; expected at most {MAX_GRAMMAR}")
    # Rules are written `name ::= ...` or, in Lark's form, `name: ...`, one or more to a line.
    rules = max(text.count("::="), text.count("\n"))
    if rules > MAX_RULES:
        raise RequestError(field, f"has {rules} rules; expected at most {MAX_RULES}")


def _check_choices(field: str, choices: Any) -> None:
    if not isinstance(choices, list):
        return
    if len(choices) > MAX_CHOICES:
        raise RequestError(field, f"has {len(choices)} choices; expected at most {MAX_CHOICES}")
    if larger_than(choices, MAX_CHOICE_CHARACTERS):
        raise RequestError(field, f"is too large; expected at most {MAX_CHOICE_CHARACTERS} characters together")
