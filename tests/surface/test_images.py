"""`/v1/images/generations` as the cookbooks' notebooks and OpenAI's clients call it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from cosmos3_core.media.stills import decode_image
from tests.surface.inputs import compact_prompt
from tests.surface.reading import error_of

PATH = "/v1/images/generations"
SMALL: dict[str, Any] = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 1}
COOKBOOK: dict[str, Any] = {
    "size": "1280x720",
    "n": 1,
    "num_inference_steps": 2,
    "guidance_scale": 6.0,
    "flow_shift": 10.0,
    "seed": 0,
}


def image_in(answer: httpx.Response) -> bytes:
    """The only image of an answer."""
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["data"]
    return base64.b64decode(image["b64_json"], validate=True)


def test_c04_the_cookbooks_image(http: httpx.Client) -> None:
    """C4, with 2 steps instead of 35: a PNG of the size that was asked for.

    No guardrail model can be loaded, so the shared graph runs with guardrails off: `guardrails: true` has no effect,
    and the answer says that nothing was checked.
    """
    extra = {"use_resolution_template": False, "guardrails": True}
    body = COOKBOOK | {"prompt": compact_prompt("t2i_robot_draping"), "extra_args": extra}
    answer = http.post(PATH, json=body)
    png = image_in(answer)
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and decode_image(png).shape == (720, 1280, 3)
    assert (answer.json()["size"], answer.json()["output_format"]) == ("1280x720", "png")
    assert answer.headers["x-guardrails"] == "off" and "x-ignored-fields" not in answer.headers


def test_c04_extra_args_take_precedence(http: httpx.Client) -> None:
    """C4: in `extra_args`, a wrong value is refused by name, a right one takes precedence, unknown fields are named."""
    refused = http.post(PATH, json=SMALL | {"extra_args": {"guardrails": "perhaps"}})
    assert error_of(refused, 400)["param"] == "guardrails"
    answer = http.post(PATH, json=SMALL | {"seed": 1, "extra_args": {"seed": 2, "no_such_field": 1}})
    assert answer.json()["data"][0]["seed"] == 2
    assert answer.headers["x-ignored-fields"] == "extra_args.no_such_field"


def test_c05_no_urls(http: httpx.Client) -> None:
    """C5: `response_format: url`."""
    assert error_of(http.post(PATH, json=SMALL | {"response_format": "url"}), 400)["param"] == "response_format"


def test_c06_a_size_is_two_numbers(http: httpx.Client) -> None:
    """C6: `size` without an x."""
    error = error_of(http.post(PATH, json=SMALL | {"size": "1024"}), 400)
    assert error["param"] == "size" and "size" in error["message"]


def test_c07_another_model(http: httpx.Client) -> None:
    """C7: a model that is not served."""
    error = error_of(http.post(PATH, json=SMALL | {"model": "wrong"}), 400)
    assert error["param"] == "model" and "mismatch" in error["message"]


@pytest.mark.parametrize("where", ["fields", "extra_args", "extra_params"])
def test_c37_no_sound_with_images(where: str, http: httpx.Client) -> None:
    """C37: sound on the image route."""
    sound = {"generate_sound": True}
    body = SMALL | (sound if where == "fields" else {where: sound})
    assert error_of(http.post(PATH, json=body), 400)["param"] == "generate_sound"


def test_c41_a_seed_decides_every_pixel(http: httpx.Client) -> None:
    """C41 at 64x64 and one step: the same seed gives the same file; 0 is a seed, and without one it is drawn."""

    def image(**seed: int) -> tuple[bytes, int]:
        answer = http.post(PATH, json=SMALL | seed)
        return image_in(answer), answer.json()["data"][0]["seed"]

    first, second, other = image(seed=0), image(seed=0), image(seed=1)
    assert first == second and first[1] == 0
    assert other[0] != first[0] and other[1] == 1
    drawn, drawn_again = image(), image()
    assert len({first[0], drawn[0], drawn_again[0]}) == 3
    # The answer has the drawn seed, so that the image can be reproduced.
    assert image(seed=drawn[1]) == drawn
