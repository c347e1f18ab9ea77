"""From the fields of transfer, wherever a client put them, to the core's controls and the client's names for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from cosmos3_core.controls import Control, ControlKind
from cosmos3_core.request import CONTROL_PREFIX
from deployments.ingress.errors import ApiError, bad_fields
from deployments.ingress.requests.control_fields import HINTS, KINDS, MEDIA_KEYS, OPTIONS, Hint
from deployments.ingress.requests.given_fields import GivenFields

NIM_OBJECT = "transfer."


@dataclass(frozen=True)
class GivenControls:
    """The controls of a request.

    Attributes:
        controls: in the order of their kinds; their videos are encoded bytes.
        names: the client's names of `controls` and of each control's video, as the core names it.
    """

    controls: tuple[Control, ...]
    names: Mapping[str, str]


@dataclass
class _Gathered:
    """What all fields together say about one control.

    Attributes:
        place: the field that names it first.
        values: attributes of `Control`.
        names: the client's name of each attribute.
    """

    place: str
    values: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, hint: Hint) -> None:
        """Add what one more field says; a later field takes precedence, but a video is given once.

        Raises:
            ApiError: 400, a second video.
        """
        for attribute, value in hint.values.items():
            name = f"{place}.{hint.keys[attribute]}" if attribute in hint.keys else place
            if attribute == "video" and "video" in self.values:
                raise ApiError(400, f"{name} repeats the {hint.kind} control of {self.names['video']}", param=name)
            self.values[attribute], self.names[attribute] = value, name

    @property
    def video_name(self) -> str:
        """The client's name of the control's video, or the name under which it would be expected."""
        vllm_omni, nim = MEDIA_KEYS
        return self.names.get("video", f"{self.place}.{nim if '.' in self.place else vllm_omni}")


def read_controls(given: GivenFields) -> GivenControls:
    """The controls of a request; what a `transfer` object says beside them is merged into the given fields.

    Raises:
        ApiError: 400, with the client's name of the field.
    """
    gathered: dict[ControlKind, _Gathered] = {}
    for place, hint in _hints(given):
        gathered.setdefault(hint.kind, _Gathered(place)).add(place, hint)
    _merge_options(given)
    found = {kind: gathered[kind] for kind in ControlKind if kind in gathered}
    names = {f"{CONTROL_PREFIX}{kind}": said.video_name for kind, said in found.items()}
    if found:
        names["controls"] = next(iter(found.values())).place
    for said in found.values():
        _drop_unused_strength(given, said)
    return GivenControls(tuple(_control(kind, said) for kind, said in found.items()), names)


def _drop_unused_strength(given: GivenFields, said: _Gathered) -> None:
    """Drop the strength of a control that is not computed; NIM refuses it, and vLLM-Omni has no use for it."""
    if not {"video", "strength"} <= said.values.keys():
        return
    name = said.names["strength"]
    if name.startswith(NIM_OBJECT):
        reason = f"is for a control that is computed, and {said.names['video']} gives it; send only one of them"
        raise ApiError(400, f"{name} {reason}", param=name)
    del said.values["strength"]
    given.ignored.append(name)


def _control(kind: ControlKind, said: _Gathered) -> Control:
    try:
        return Control(kind=kind, **said.values)
    except ValidationError as error:
        raise bad_fields(error, said.names) from None


def _hints(given: GivenFields) -> Iterator[tuple[str, Hint]]:
    """All that is said about controls, each with the name of its field."""
    for kind in HINTS:
        for found in given.every(kind):
            yield from ((found.name, hint) for hint in found.value)
    for found in given.every("transfer"):
        for name in HINTS.keys() & found.value.keys():
            yield from ((f"{found.name}.{name}", hint) for hint in found.value[name])
    reference, kind_of = "control_reference", "control_type"
    if kind_of not in given and reference in given:
        raise given.refusal(kind_of, f"is missing; expected one of {KINDS} for {given.name(reference)}")
    if kind_of in given:
        if reference not in given:
            raise given.refusal(reference, f"is missing; {kind_of} is the kind of a control that is sent with it")
        yield given.name(reference), Hint(given.value(kind_of), {"video": given.value(reference)})


def _merge_options(given: GivenFields) -> None:
    for found in given.every("transfer"):
        for name in OPTIONS.keys() & found.value.keys():
            inner = replace(found, name=f"{found.name}.{name}", value=found.value[name])
            if name in given and given.value(name) != inner.value:
                raise ApiError(400, f"{inner.name} contradicts {given.name(name)}; send only one", param=inner.name)
            given.fields[name] = inner
