"""The fields of a body by their canonical names, from all places where clients put them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmos3_core.errors import RequestError
from deployments.ingress.errors import ApiError, bad_field
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.coercions import InnerError, is_absent, is_harmless, structure
from deployments.ingress.requests.foreign_fields import asks_for_nothing
from deployments.ingress.requests.form import Upload


@dataclass(frozen=True)
class GivenField:
    """A field of a body.

    Attributes:
        name: the client's name of the field.
        sent: the value that the client sent.
        value: the value as it was read.
    """

    name: str
    sent: Any
    value: Any


class GivenFields:
    """A body's fields by their canonical names.

    Attributes:
        fields: the fields, each from the place that takes precedence.
        layers: the fields of each place, in ascending precedence.
        ignored: the names of ignored fields, with the prefixes of their places.
    """

    def __init__(self) -> None:
        self.fields: dict[str, GivenField] = {}
        self.layers: list[dict[str, GivenField]] = []
        self.ignored: list[str] = []

    @classmethod
    def collect(cls, body: Body, schema: tables.Schema) -> GivenFields:
        """Read all fields of a body.

        Raises:
            ApiError: 400, with the client's name of the field.
        """
        given = cls()
        outside: dict[str, GivenField] = {}
        for prefix, layer in _layers(body):
            read = given._read(prefix, layer, schema)
            if not prefix:
                # Files of controls come first and contradict nothing.
                outside = dict(read)
            elif prefix.removesuffix(".") in tables.MERGED:
                _check_agreement(prefix, read, outside)
                outside |= read
            given.layers.append(read)
            given.fields |= read
        return given

    def __contains__(self, field: str) -> bool:
        return field in self.fields

    def value(self, field: str, default: Any = None) -> Any:
        """A field's value, or the default."""
        return self.fields[field].value if field in self.fields else default

    def every(self, field: str) -> list[GivenField]:
        """What each place says about a field, in ascending precedence."""
        return [layer[field] for layer in self.layers if field in layer]

    def sent(self, field: str) -> str | None:
        """The value that the client sent, as text."""
        return str(self.fields[field].sent) if field in self.fields else None

    def name(self, field: str) -> str:
        """The client's name of a field."""
        return self.fields[field].name if field in self.fields else field

    def ignore(self, field: str) -> None:
        """Drop a field whose value has been checked, and list it as ignored."""
        self.ignored.append(self.fields.pop(field).name)

    def refusal(self, field: str, reason: str) -> ApiError:
        """An error with the client's name of a field."""
        return bad_field(RequestError(field, reason), {field: self.name(field)})

    def _read(self, prefix: str, layer: Mapping[str, Any], schema: tables.Schema) -> dict[str, GivenField]:
        read: dict[str, GivenField] = {}
        for name, sent in layer.items():
            canonical = tables.ALIASES.get(name, name)
            if _is_file(sent) and schema.coercion(name) is None and schema.refusal(name) is None:
                expected = ", ".join(schema.files) or "none"
                raise ApiError(400, f"{name} is no file that this route takes; expected {expected}", param=name)
            meant_empty = isinstance(sent, dict) and canonical in tables.MEANT_EMPTY
            says_none = sent != "" and canonical in tables.EMPTY_MEANS_NONE
            if (is_absent(sent) and not meant_empty and not says_none) or canonical in tables.COSMETIC:
                continue
            reason = schema.refusal(name)
            if reason is not None:
                if not asks_for_nothing(canonical, sent):
                    raise ApiError(400, f"{name} {reason}", param=name)
                if not is_harmless(sent):
                    self.ignored.append(prefix + name)
                continue
            value = self._coerced(name, sent, schema)
            if value is None:
                self.ignored.append(prefix + name)
                continue
            prior = read.get(canonical)
            if prior is not None and not _same(prior.value, value):
                reason = f"contradicts {prior.name}, another name of the same field; send only one of them"
                raise ApiError(400, f"{name} {reason}", param=name)
            read[canonical] = GivenField(name, sent, value)
        return read

    @staticmethod
    def _coerced(name: str, sent: Any, schema: tables.Schema) -> Any:
        coerce = schema.coercion(name)
        if coerce is None:
            return None
        try:
            return coerce(sent)
        except ValueError as error:
            place = f"{name}.{error.path}" if isinstance(error, InnerError) else name
            raise ApiError(400, f"{place} {error}", param=place) from None


def _is_file(value: Any) -> bool:
    return isinstance(value, Upload) or (isinstance(value, list) and any(isinstance(part, Upload) for part in value))


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


def _check_agreement(prefix: str, read: Mapping[str, GivenField], outside: Mapping[str, GivenField]) -> None:
    """Check that a place that has no precedence says nothing else than the places that it is merged with."""
    for field in read.keys() & outside.keys():
        if not _same(read[field].value, outside[field].value):
            name = prefix + read[field].name
            raise ApiError(400, f"{name} contradicts {outside[field].name}; send only one of them", param=name)


def _layers(body: Body) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The fields by place, in ascending precedence, each place with the prefix of its fields' names."""
    top = dict(body.fields)
    merged = {name: dict(_container(name, top.pop(name, None))) for name in tables.MERGED}
    containers = {name: _united(name, (top, *merged.values())) for name in (tables.FILLER, *tables.CONTAINERS)}
    controls: dict[str, Any] = {}
    for name, uploads in body.uploads.items():
        file = uploads if len(uploads) > 1 else uploads[0]
        # A control's file and its numbers have one name.
        if name in tables.MEANT_EMPTY:
            controls[name] = file
            continue
        if name in top or name in containers or name in merged:
            raise ApiError(400, f"{name} is given as a file; expected text, and only once", param=name)
        top[name] = file
    yield "", controls
    yield f"{tables.FILLER}.", containers.pop(tables.FILLER)
    yield "", top
    for name, layer in (merged | containers).items():
        yield f"{name}.", layer


def _united(name: str, holders: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Take an object of further fields out of all that may hold it, as one."""
    united: dict[str, Any] = {}
    for holder in holders:
        for field, value in _container(name, holder.pop(name, None)).items():
            if united.setdefault(field, value) != value:
                message = f"{name}.{field} is given twice with different values; send only one of them"
                raise ApiError(400, message, param=f"{name}.{field}")
    return united


def _container(name: str, value: Any) -> Mapping[str, Any]:
    if is_absent(value):
        return {}
    try:
        fields: Mapping[str, Any] = structure(value, dict)
    except ValueError as error:
        raise ApiError(400, f"{name} {error}", param=name) from None
    return fields
