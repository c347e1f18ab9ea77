"""Jobs and their events as values."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from deployments.jobs.job import LAST_EVENTS, EventKind, JobEvent, Status, preview_data, preview_jpeg
from tests.jobs.stores import a_job

KINDS: tuple[EventKind, ...] = get_args(EventKind)
STATUSES: tuple[Status, ...] = get_args(Status)


def test_the_files_of_a_job() -> None:
    media = {"image": "file:///in/a", "video": "file:///in/b"}
    request = {"fields": {}, "media": media, "output": {"target": "file:///out/c"}, "snapshot": "file:///d"}
    working = ("file:///in/a", "file:///in/b", "file:///d")
    assert a_job(request=request).media() == a_job(request=request).working_media() == working
    assert a_job(request=request, result={"uri": "file:///out/c.1"}).media() == (*working, "file:///out/c.1")


@pytest.mark.parametrize("status", STATUSES)
def test_which_statuses_are_final(status: Status) -> None:
    assert a_job(status=status).final == (status in ("completed", "failed"))


@pytest.mark.parametrize("kind", KINDS)
def test_which_events_are_last(kind: EventKind) -> None:
    assert JobEvent(1, kind, {}, 0.0).last == (kind in LAST_EVENTS) == (kind in ("done", "failed", "cancelled"))


def test_a_preview_is_kept_as_json() -> None:
    data = json.loads(json.dumps(preview_data(7, b"\xff\xd8\x00")))
    assert data["step"] == 7 and preview_jpeg(JobEvent(1, "preview", data, 0.0)) == b"\xff\xd8\x00"
