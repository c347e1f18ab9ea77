"""The field `lora`: names and scales in all the forms that clients send, and nothing that names a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import MediaInputs
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolve import resolve
from deployments.ingress.requests.generation import Generation, read_image
from tests.ingress.requests.reading import refused, video

STYLE, LOOK = AdapterUse(name="style", weight=0.5), AdapterUse(name="look")

FORMS: list[tuple[Any, tuple[AdapterUse, ...]]] = [
    ({"name": "style", "scale": 0.5}, (STYLE,)),
    ({"lora_name": "style", "lora_scale": "0.5"}, (STYLE,)),
    ({"adapter": "style", "weight": 0.5, "int_id": 3}, (STYLE,)),
    ({"name": "look"}, (LOOK,)),
    ({"name": "look", "lora_int_id": 1, "path": None}, (LOOK,)),
    ([{"name": "style", "scale": 0.5}, {"name": "look"}], (STYLE, LOOK)),
]
NONE: list[Any] = [None, [], {}, False, "null", "[]", "{}", "none", "false"]


@pytest.mark.parametrize("place", ["top", "as text", "extra_params", "its own name"])
@pytest.mark.parametrize(("sent", "expected"), FORMS)
def test_forms(place: str, sent: Any, expected: tuple[AdapterUse, ...]) -> None:
    fields = {
        "top": {"lora": sent},
        "as text": {"lora": json.dumps(sent)},
        "extra_params": {"extra_params": json.dumps({"lora": sent})},
        "its own name": {"adapters": sent},
    }[place]
    assert video(fields).request.adapters == expected
    assert read_image({"prompt": "x"} | fields).request.adapters == expected


@pytest.mark.parametrize("sent", NONE)
def test_none_differs_from_nothing(sent: Any) -> None:
    found = video({"lora": sent})
    assert (found.request.adapters, found.ignored) == ((), ())
    assert read_image({"prompt": "x", "lora": sent}).request.adapters == ()


def test_nothing_leaves_the_default() -> None:
    assert video().request.adapters is None
    # A field that a form leaves empty is not filled in.
    assert video({"lora": ""}).request.adapters is None


REFUSED: list[tuple[Any, str]] = [
    *(
        ({"name": "style", key: "/loras/x"}, f"has {key}, and clients cannot name files")
        for key in ("path", "local_path")
    ),
    *(({key: "/loras/x"}, f"has {key}, and clients cannot name files") for key in ("lora_path", "lora_local_path")),
    ({"scale": 1}, "names no adapter"),
    ({"name": ""}, "names no adapter"),
    ({"name": 3}, "is a number; expected text"),
    ({"name": "a", "scale": "much"}, "is 'much'; expected a number"),
    ({"name": "a", "scale": 1e9}, "10"),
    ({"name": "a", "strength": 1}, "has 'strength', which is not known"),
    ({"name": "a", "lora_name": "b"}, "has both name and lora_name"),
    ({"name": "a" * 1000}, "128"),
    ([{"name": "a"}, {"name": "a"}], "each adapter once"),
    ([{"name": str(number)} for number in range(100)], "16"),
    (["style"], "holds text; expected an object"),
    (3, "holds a number; expected an object"),
    ("style", "Invalid JSON in form field"),
    ("{", "Invalid JSON in form field"),
    ('"style"', "holds text; expected an object"),
]


@pytest.mark.parametrize(("sent", "reason"), REFUSED)
def test_refusals(sent: Any, reason: str) -> None:
    error = refused({"lora": sent})
    assert error.param is not None and error.param.partition(".")[0] == "lora"
    assert reason in error.message and error.message.startswith("lora") and len(error.message) < 300


def resolved(generation: Generation, facts: ModelFacts) -> tuple[AdapterUse, ...]:
    return resolve(generation.request, facts, MediaInputs()).adapters


def test_the_model_decides_which_there_are(facts: ModelFacts) -> None:
    serving = replace(facts, adapters=("look", "style"), default_adapters=(LOOK,))
    assert resolved(video(), serving) == (LOOK,)
    assert resolved(video({"lora": None}), serving) == ()
    assert resolved(video({"lora": {"name": "style", "scale": 0.5}}), serving) == (STYLE,)
    generation = video({"lora": {"name": "other"}})
    with pytest.raises(RequestError) as caught:
        resolved(generation, serving)
    error = generation.refusal(caught.value)
    assert (error.status, error.param) == (400, "lora")
    assert error.message == "lora names 'other'; this model has look, style"
