"""The options of `cosmos3 generate` that name media, and the request's fields that they give."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from cosmos3_core.controls import ControlKind
from cosmos3_core.request import CONTROL_PREFIX

CONTROL = "--control"
EXPECTED = "expected KIND=FILE, KIND=FILE:WEIGHT, or KIND alone to compute it from --video"


@dataclass(frozen=True)
class GivenMedia:
    """Files by name, as in `GenerationRequest.media`, and what the options say about controls beside their files.

    Attributes:
        files: the path of each medium.
        controls: the fields of each control but its video.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    controls: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of_options(
        cls, image: Path | None, video: Path | None, soundtrack: Path | None, controls: Iterable[str]
    ) -> GivenMedia:
        """Read the options.

        Raises:
            BadParameter: a control is not of the form that is expected, or of no known kind.
        """
        options = {"image": image, "video": video, "sound": soundtrack}
        files = {name: path for name, path in options.items() if path is not None}
        said: list[Mapping[str, Any]] = []
        for text in controls:
            control, path = _control(text)
            said.append(control)
            if path is not None:
                files[f"{CONTROL_PREFIX}{control['kind']}"] = path
        return cls(files, tuple(said))

    def fields(self) -> dict[str, Any]:
        """The fields of a request."""
        return with_media({"controls": list(self.controls)} if self.controls else {}, self.files)


def with_media(fields: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """A request's fields with the media, by their names, where they belong."""
    controls = [
        {**control, "video": files.get(f"{CONTROL_PREFIX}{control['kind']}")} for control in fields.get("controls", ())
    ]
    plain = {name: path for name, path in files.items() if not name.startswith(CONTROL_PREFIX)}
    return {**fields, **plain, **({"controls": controls} if controls else {})}


def option_of(name: str) -> str:
    """The option that gives a medium, by its name."""
    if name.startswith(CONTROL_PREFIX):
        return f"{CONTROL} {name.removeprefix(CONTROL_PREFIX)}=FILE"
    return "--soundtrack" if name == "sound" else f"--{name}"


def read_rows(path: Path, option: str) -> Any:
    """A JSON file with rows of numbers; a single row counts as a list of one.

    Raises:
        BadParameter: it cannot be read, or is no JSON.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror}", param_hint=option) from error
    except ValueError as error:
        raise typer.BadParameter(f"{path} is no JSON: {error}", param_hint=option) from error
    return [rows] if isinstance(rows, list) and rows and not isinstance(rows[0], list) else rows


def _control(text: str) -> tuple[dict[str, Any], Path | None]:
    named, equals, file = text.partition("=")
    kind, colon, weight = named.partition(":")
    if equals:
        if colon:
            raise typer.BadParameter(f"is {text!r}; {EXPECTED}", param_hint=CONTROL)
        file, colon, weight = _weighted(file)
    if kind not in list(ControlKind):
        raise typer.BadParameter(f"is of the kind {kind!r}; expected {', '.join(ControlKind)}", param_hint=CONTROL)
    control: dict[str, Any] = {"kind": kind}
    if colon:
        control["weight"] = _number(text, weight)
    if equals and not file:
        raise typer.BadParameter(f"is {text!r}; {EXPECTED}", param_hint=CONTROL)
    return control, Path(file) if equals else None


def _weighted(file: str) -> tuple[str, str, str]:
    """A file's name and the weight after it; a colon that no number follows belongs to the name."""
    name, colon, weight = file.rpartition(":")
    try:
        float(weight)
    except ValueError:
        return file, "", ""
    return (name, colon, weight) if colon else (file, "", "")


def _number(text: str, weight: str) -> float:
    try:
        return float(weight)
    except ValueError:
        raise typer.BadParameter(f"is {text!r}; {EXPECTED}", param_hint=CONTROL) from None
