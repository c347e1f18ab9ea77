"""A prompt by the project's own template, written by a Reasoner with random weights: whole, and within its tokens."""

from __future__ import annotations

import json

import httpx
import pytest

from cosmos3_core.modes import Mode
from cosmos3_core.upsampling.template import OWN_TEMPLATES, Template
from deployments.local.launch import RunningGraph
from tests.surface.inputs import TINY
from tests.surface.reading import completed


@pytest.mark.slow
@pytest.mark.long
def test_a_reasoner_fills_in_the_own_form(roomy_with_chat: RunningGraph) -> None:
    form = Template.read(OWN_TEMPLATES, Mode.TEXT_TO_VIDEO).form
    with httpx.Client(base_url=roomy_with_chat.url, timeout=120) as http:
        created = http.post("/v1/videos", json=TINY | {"upsample_prompt": True})
        caption = json.loads(completed(http, created.json()["id"], timeout_s=240)["upsampled_prompt"])
    assert list(caption) == [*list(form)[1:], "duration", "fps", "resolution", "aspect_ratio"]
    assert all(subject.keys() == form["subjects"][0].keys() for subject in caption["subjects"])
    assert all(caption[name].keys() == form[name].keys() for name in ("lighting", "aesthetics", "cinematography"))
