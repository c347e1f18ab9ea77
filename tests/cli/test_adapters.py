"""`--adapter`: files for a run in this process, names for a server."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from deployments.cli.adapters import fields_of, paths_of, read_options


@pytest.mark.parametrize(
    ("option", "name", "path", "weight"),
    [
        ("style=loras/style", "style", "loras/style", 1.0),
        ("style=loras/style.safetensors:0.5", "style", "loras/style.safetensors", 0.5),
        ("style=C:loras", "style", "C:loras", 1.0),
        ("style=C:loras:-1", "style", "C:loras", -1.0),
        ("style=a=b", "style", "a=b", 1.0),
    ],
)
def test_files(option: str, name: str, path: str, weight: float) -> None:
    found = read_options([option], here=True)
    assert paths_of(found) == {name: Path(path)}
    assert fields_of(found) == [{"name": name, "weight": weight}]


def test_names_of_a_server() -> None:
    found = read_options(["style:0.5", "look"], here=False)
    assert paths_of(found) == {}
    assert fields_of(found) == [{"name": "style", "weight": 0.5}, {"name": "look", "weight": 1.0}]


def test_no_option_leaves_the_servers_default() -> None:
    assert fields_of(read_options([], here=False)) is None


@pytest.mark.parametrize(("option", "here"), [("style", True), ("style=path", False), ("=path", True), ("", False)])
def test_refusals(option: str, here: bool) -> None:
    with pytest.raises(typer.BadParameter, match="expected NAME"):
        read_options([option], here=here)
