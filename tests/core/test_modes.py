"""The table of modes: complete, consistent, and what the documentation says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos3_core.modes import MODES, Actions, Clean, Given, Mode, Output, Route, SourceKind, implied_mode, offered_on

DOCUMENTED = (Path(__file__).parents[2] / "docs" / "requests.md").read_text(encoding="utf-8")
each_mode = pytest.mark.parametrize("mode", Mode)


def test_every_mode_has_a_row() -> None:
    assert set(MODES) == set(Mode)


@each_mode
def test_a_mode_is_found_by_any_of_its_names(mode: Mode) -> None:
    names = (mode.value, mode.value.upper(), mode.value.replace("_", "-"), *mode.row.aliases)
    assert {Mode(name) for name in names} == {mode}


def test_no_name_means_two_modes() -> None:
    names = [name for mode in Mode for name in (mode.value, *mode.row.aliases)]
    assert len(names) == len(set(names))


@each_mode
def test_a_row_contradicts_itself_nowhere(mode: Mode) -> None:
    row = mode.row
    assert (row.source is SourceKind.NONE) == (row.clean is Clean.NONE and row.given is Given.NONE)
    assert (row.source is SourceKind.CONTROLS) == (row.given is Given.CONTROLS) == (row.clean is Clean.OPENING)
    assert (row.output is Output.ROLLOUT) == (row.actions is not Actions.NONE)
    assert not row.sound or row.output is Output.VIDEO
    assert row.routes


@pytest.mark.parametrize(
    ("route", "reference", "mode"),
    [
        (Route.IMAGES, None, Mode.TEXT_TO_IMAGE),
        (Route.EDITS, "image", Mode.IMAGE_TO_IMAGE),
        (Route.VIDEOS, None, Mode.TEXT_TO_VIDEO),
        (Route.VIDEOS, "image", Mode.IMAGE_TO_VIDEO),
        (Route.VIDEOS, "video", Mode.VIDEO_TO_VIDEO),
        (Route.ACTIONS, None, Mode.POLICY),
        (Route.ACTIONS, "image", Mode.POLICY),
        (Route.ACTIONS, "video", Mode.INVERSE_DYNAMICS),
    ],
)
def test_a_reference_implies_one_mode(route: Route, reference: str | None, mode: Mode) -> None:
    assert [found for found in offered_on(route) if reference in found.row.routes[route]] == [mode]
    assert implied_mode(route, reference) is mode  # type: ignore[arg-type]  # the table's own literals


@each_mode
def test_the_documentation_has_the_row(mode: Mode) -> None:
    (line,) = [line for line in DOCUMENTED.splitlines() if line.startswith(f"| `{mode.value}`")]
    short = [alias for alias in mode.row.aliases if "_" not in alias]
    assert all(alias in line for alias in short)
    assert line.endswith(f"| {mode.row.gives} |")
