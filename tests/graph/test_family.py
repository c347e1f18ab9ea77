"""The recipe family-cpu by `serve deploy`: each request to the model it names, adapters, a fourth model, guardrails."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core import Checkpoint
from cosmos3_core.media.stills import encode_image
from cosmos3_core.tiny.guardrails import UNSAFE_COLOUR, UNSAFE_WORD, write_blocklist, write_frames_classifier
from tests.adapters import write_peft
from tests.graph.processes import RANK, Foreground, replica, titled, until
from tests.graph.serve_commands import (
    REPLICAS,
    apart,
    deploy,
    models,
    ray_head,
    recipe_on_a_free_port,
    serving,
    url_of,
    written,
)
from tests.graph.starting import START_TIMEOUT_S
from tests.surface.inputs import TINY, as_parts, jpeg
from tests.surface.reading import completed, error_of

pytestmark = pytest.mark.slow

NANO, FOUR_STEP, DROID = FAMILY = [
    "cosmos3-tiny-nano",
    "cosmos3-tiny-image2video-4step",
    "cosmos3-tiny-policy-droid",
]
EDGE = "cosmos3-tiny-edge"
IMAGE: dict[str, Any] = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 2, "seed": 1}
FIRST = jpeg("robot_153", 64, 64)
# Longer than a model takes to come up, with short steps.
LONG: dict[str, Any] = TINY | {"size": "256x192", "num_frames": 25, "num_inference_steps": 200}
FINISH_S = 400.0


@dataclass
class Family:
    """The graph: its recipe, the Ray that runs it, and a client.

    Attributes:
        deployed: how many recipes were written.
    """

    config: dict[str, Any]
    command: Foreground
    dashboard: int
    environment: dict[str, str]
    folder: Path
    http: httpx.Client
    deployed: int = 0

    def deploy(self, expected: list[str]) -> None:
        """Deploy the recipe as it is now, and wait until these models are served."""
        self.deployed += 1
        recipe = written(self.config, self.folder / f"family-{self.deployed}.yaml")
        deploy(recipe, self.dashboard, self.environment)
        url = url_of(self.config)
        ready = until(lambda: serving(url, self.command) and models(url) == expected, START_TIMEOUT_S)
        assert ready, self.command.output()[-3000:]

    def running(self, pattern: str) -> set[int]:
        """Process ids by title."""
        return titled(pattern, self.command.family())


@pytest.fixture(scope="module")
def family(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    folder = tmp_path_factory.mktemp("family")
    config = recipe_on_a_free_port("family-cpu", folder)
    # Members of one size class have the same tower.
    style = write_peft(folder / "style", Checkpoint.find(nano).transformer_config)
    config["applications"][1]["args"]["generator"]["adapters"] = {"style": str(style)}
    with (
        apart() as environment,
        ray_head(folder / "ray.log", environment) as (command, dashboard),
        httpx.Client(base_url=url_of(config), timeout=120) as http,
    ):
        found = Family(config, command, dashboard, environment, folder, http)
        found.deploy(FAMILY)
        yield found


def image(http: httpx.Client, **fields: Any) -> httpx.Response:
    answer = http.post("/v1/images/generations", json=IMAGE | fields)
    assert answer.status_code == 200, answer.text
    return answer


def latents(http: httpx.Client, **fields: Any) -> Any:
    return image(http, **fields).json()["data"][0]["latents_sha256"]


def test_a_request_goes_to_the_model_that_it_names(family: Family) -> None:
    http = family.http
    assert image(http).headers["x-model"] == image(http, model=NANO).headers["x-model"] == NANO
    fields = {"model": FOUR_STEP, "prompt": "a robot", "size": "64x64", "num_frames": 5, "guidance_scale": 3}
    animated = http.post("/v1/videos/sync", files=as_parts(fields, input_reference=FIRST))
    assert animated.status_code == 200, animated.text
    assert (animated.headers["x-model"], animated.headers["x-ignored-fields"]) == (FOUR_STEP, "guidance_scale")
    acting = {"model": DROID, "prompt": "x", "mode": "policy", "resolution": "256", "action_chunk_size": 8}
    job = http.post("/v1/videos", files=as_parts(acting, input_reference=FIRST))
    assert job.status_code == 200, job.text
    done = completed(http, job.json()["id"])
    assert done["model"] == DROID
    assert (len(done["action"]["data"]), len(done["action"]["data"][0])) == (8, 8)


def test_what_a_model_cannot_do_names_one_that_can(family: Family) -> None:
    error = error_of(family.http.post("/v1/images/generations", json=IMAGE | {"model": DROID}), 400)
    assert NANO in error["message"]


def test_the_decoder_is_one_for_all(family: Family) -> None:
    assert len(family.running(replica("Decoder", "decoder"))) == 1
    assert not family.running(r"ServeReplica:(nano|image2video-4step|policy-droid):Decoder\b")


def test_adapters_change_the_requests_that_name_them_and_no_other(family: Family) -> None:
    http = family.http
    plain = latents(http)
    styled = latents(http, lora={"name": "style", "scale": 0.5})
    assert styled != plain == latents(http) == latents(http, lora={"name": "style", "scale": 0})
    assert styled == latents(http, lora=[{"name": "style", "scale": 0.5}]) != latents(http, lora={"name": "style"})
    job = http.post("/v1/videos", json=TINY | {"lora": {"name": "style"}}).json()["id"]
    completed(http, job)
    used = http.get(f"/v1/videos/{job}/manifest").json()["adapters"]
    assert {name: adapter["weight"] for name, adapter in used.items()} == {"style": 1.0}
    unknown = error_of(http.post("/v1/videos", json=TINY | {"lora": {"name": "look"}}), 400)
    assert unknown["param"] == "lora" and "style" in unknown["message"]
    other_model = {"model": FOUR_STEP, "prompt": "x", "lora": {"name": "style"}}
    elsewhere = error_of(http.post("/v1/videos", files=as_parts(other_model, input_reference=FIRST)), 400)
    assert elsewhere["param"] == "lora"


def with_a_fourth_model(config: dict[str, Any]) -> dict[str, Any]:
    """The recipe with an Edge, which takes what two CPUs have left."""
    changed = copy.deepcopy(config)
    front, nano = changed["applications"][:2]
    edge = copy.deepcopy(nano)
    edge["name"] = "edge"
    edge["args"] |= {"name": EDGE, "checkpoint": "tiny:edge"}
    del edge["args"]["generator"]["adapters"]
    changed["applications"].append(edge)
    (ingress,) = (each for each in front["deployments"] if each["name"] == "Ingress")
    ingress["user_config"]["models"].append({"application": "edge"})
    return changed


def test_a_fourth_model_restarts_nothing_and_interrupts_no_job(family: Family) -> None:
    http = family.http
    plain = latents(http)
    job = http.post("/v1/videos", json=LONG).json()["id"]
    assert until(lambda: http.get(f"/v1/videos/{job}").json()["status"] == "in_progress", 60)
    before = {what: family.running(what) for what in (REPLICAS, RANK)}
    family.config = with_a_fourth_model(family.config)
    family.deploy([*FAMILY, EDGE])
    assert http.get(f"/v1/videos/{job}").json()["status"] == "in_progress", "the video ended before the model came up"
    assert latents(http, model=EDGE) != plain == latents(http, model=NANO)
    # Edge has no sound tokenizer: a mode that the checkpoint cannot do never reaches a stage.
    silent = error_of(http.post("/v1/videos", json=TINY | {"model": EDGE, "generate_sound": True}), 400)
    assert silent["param"] == "generate_sound"
    done = completed(http, job, FINISH_S)
    assert (done["model"], done["interruptions"]) == (NANO, [])
    after = {what: family.running(what) for what in before}
    assert all(before[what] <= after[what] for what in before)
    # Encoder, Generator and card of the new one, and its rank.
    assert [len(after[what] - before[what]) for what in before] == [3, 1]


def with_guardrails(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe with an application that checks every request; it computes for moments only."""
    changed = copy.deepcopy(config)
    changed["applications"][0]["args"]["guardrails"] = {"mode": "on", "application": "guardrails"}
    checks = {
        "blocklist": str(write_blocklist(folder / "words.txt")),
        "frames_classifier": str(write_frames_classifier(folder / "red", "tiny:nano")),
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
    }
    changed["applications"].append(
        {
            "name": "guardrails",
            "route_prefix": None,
            "import_path": "deployments.app:build_guardrails",
            "args": checks,
            "deployments": [{"name": "Guardrails", "ray_actor_options": {"num_cpus": 0}}],
        }
    )
    return changed


def outputs(family: Family) -> set[Path]:
    return set((family.folder / "data" / "media" / "outputs").iterdir())


def test_guardrails_are_added_and_block_what_is_unsafe(family: Family) -> None:
    """C32 and C33 in a graph: texts, frames, and requests that do without."""
    http = family.http
    assert image(http).headers["x-guardrails"] == "off"
    family.config = with_guardrails(family.config, family.folder)
    family.deploy(models(url_of(family.config)))
    # The recipe's other front may still answer, and then the new one waits for its guardrails.
    assert until(lambda: guarded(http), START_TIMEOUT_S), family.command.output()[-3000:]
    assert image(http).headers["x-guardrails"] == "passed"
    unsafe = IMAGE | {"prompt": f"a {UNSAFE_WORD}"}
    error = error_of(http.post("/v1/images/generations", json=unsafe), 400)
    assert (error["type"], error["param"]) == ("content_policy_violation", "prompt")
    assert image(http, prompt=unsafe["prompt"], guardrails=False).headers["x-guardrails"] == "skipped"

    red = ("red.png", encode_image(np.full((64, 64, 3), UNSAFE_COLOUR, np.uint8), "png"), "image/png")
    before = outputs(family)
    answer = http.post("/v1/videos/sync", files=as_parts(TINY, input_reference=red))
    assert error_of(answer, 400)["type"] == "content_policy_violation"
    job = http.post("/v1/videos", files=as_parts(TINY, input_reference=red)).json()
    assert job["guardrails"] == "pending"
    assert until(lambda: http.get(f"/v1/videos/{job['id']}").json()["status"] == "failed", FINISH_S)
    failed = http.get(f"/v1/videos/{job['id']}").json()
    assert (failed["guardrails"], failed["error"]["code"]) == ("blocked", 400)
    assert "frames show Red (frames_classifier)" in failed["error"]["message"]
    assert http.get(f"/v1/videos/{job['id']}/content").status_code == 422
    # Others may be removed meanwhile, with the jobs of synchronous requests.
    assert until(lambda: outputs(family) <= before, 30), outputs(family) - before

    job = http.post("/v1/videos", files=as_parts(TINY | {"guardrails": "false"}, input_reference=red)).json()
    assert completed(http, job["id"])["guardrails"] == "skipped"
    done = completed(http, http.post("/v1/videos", json=TINY).json()["id"])
    assert done["guardrails"] == "passed"
    found = http.get(f"/v1/videos/{done['id']}/manifest").json()["guardrails"]
    said = [(check["guardrail"], check["of"], check["outcome"]) for check in found["checks"]]
    assert said == [("blocklist", "prompt", "allowed"), ("frames_classifier", "frames", "allowed")]
    assert found["checks"] == done["guardrail_checks"] and all(len(check["sha256"]) == 64 for check in found["checks"])
    figures = http.get("/metrics").text
    assert re.search(r'cosmos3_guardrails_texts_blocked\{application="guardrails",replica="\w{8}"\} 1', figures)


def guarded(http: httpx.Client) -> bool:
    """Whether the front has requests checked, and the guardrails answer."""
    try:
        answer = http.post("/v1/images/generations", json=IMAGE)
    except httpx.TransportError:
        return False
    return bool(answer.headers.get("x-guardrails") == "passed")
