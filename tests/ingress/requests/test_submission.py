"""The fields that a checkpoint ignores: every route that generates names them, as the client does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.resolving.facts import ModelFacts
from deployments.wire.media_store import MediaStore
from tests.ingress.requests.reading import PNG, uri
from tests.ingress.stubs import CompletedJobs, StubGraph, ask, served_card

FOUR_STEPS = (1.0, 0.9375, 0.8333, 0.625)
POLICY = {"mode": "policy", "domain_name": "av", "image": uri(PNG)}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/videos": {"num_frames": 5},
    "/v1/videos/sync": {"num_frames": 5},
    "/v1/images/generations": {},
    "/v1/images/edits": {"image": uri(PNG)},
    "/v1/actions/generations": POLICY,
}


@pytest.fixture
def stub(facts: ModelFacts, tmp_path: Path) -> StubGraph:
    """A graph with a distilled model, and one with a model that takes any number of steps."""
    distilled = replace(facts, scheduler=replace(facts.scheduler, fixed_levels=FOUR_STEPS))
    models = [served_card(distilled, "distilled"), served_card(facts, "base")]
    return StubGraph(models, media=MediaStore(tmp_path.as_uri()), jobs=CompletedJobs())


@pytest.mark.parametrize("path", BODIES)
def test_fields_that_a_distilled_checkpoint_ignores(stub: StubGraph, path: str) -> None:
    given = {
        "prompt": "a robot",
        "negative_prompt": "fog",
        "steps": 7,
        "no_such_field": 1,
        "extra_params": {"shift": 3},
    }

    def ignored(**fields: Any) -> str:
        answer = ask(stub, path, "POST", json=BODIES[path] | given | fields)
        assert answer.status_code == 200, answer.text
        return answer.headers["x-ignored-fields"]

    assert ignored(model="distilled") == "no_such_field, steps, negative_prompt, shift"
    assert ignored(model="distilled", steps=4, negative_prompt="") == "no_such_field, shift", "it does 4 steps anyway"
    assert ignored(model="base") == "no_such_field"


def test_the_fields_of_an_envelope(stub: StubGraph) -> None:
    parameters = {"domain_name": "av", "num_steps": 7, "other": 1}
    body = {"input": {"task": "drive", "image": uri(PNG)}, "parameters": parameters, "model": "distilled"}
    answer = ask(stub, "/v1/actions/generations", "POST", json=body)
    assert answer.headers["x-ignored-fields"] == "parameters.other, num_steps"
