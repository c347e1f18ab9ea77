"""`/v1/images/generations` and `/v1/images/edits` as the cookbooks' notebooks and OpenAI's clients call it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from cosmos3_core.media.stills import decode_image
from tests.surface.inputs import as_parts, compact_prompt, jpeg
from tests.surface.reading import error_of

PATH = "/v1/images/generations"
EDITS = "/v1/images/edits"
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


EDIT: dict[str, Any] = {"prompt": "make it snow", "num_inference_steps": 1, "seed": 3}


def test_an_edit_follows_its_picture_its_text_and_its_seed(http: httpx.Client) -> None:
    """Each of them decides the result, and nothing else does; a JSON body says the same as a form."""
    robot, road = jpeg("humanoid_robot", 128, 80), jpeg("av_0", 128, 80)

    def edited(picture: tuple[str, bytes, str], **fields: Any) -> bytes:
        answer = http.post(EDITS, files=as_parts(EDIT | {"size": "128x80"} | fields, image=picture))
        image = image_in(answer)
        assert (decode_image(image).shape, answer.json()["size"]) == ((80, 128, 3), "128x80")
        assert "x-ignored-fields" not in answer.headers
        return image

    first = edited(robot)
    assert first == edited(robot)
    others = [edited(road), edited(robot, prompt="make it night"), edited(robot, seed=4)]
    assert len({first, *others}) == 4
    uri = f"data:image/jpeg;base64,{base64.b64encode(robot[1]).decode()}"
    assert image_in(http.post(EDITS, json=EDIT | {"size": "128x80", "image": {"image_url": uri}})) == first


def test_an_edit_keeps_the_aspect_of_its_picture(http: httpx.Client) -> None:
    """Without a size, the longer side is 512 and both are multiples of 32."""
    answer = http.post(
        EDITS, files=as_parts(EDIT | {"response_format": "file"}, image=jpeg("humanoid_robot", 300, 200))
    )
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    assert decode_image(answer.content).shape == (320, 512, 3)


@pytest.mark.parametrize(
    ("fields", "files", "status", "param"),
    [
        ({}, (), 422, "image"),
        ({}, ("image", "mask"), 400, "mask"),
        ({}, ("image[]", "image[]"), 400, "image"),
        ({"stream": True}, ("image",), 400, "stream"),
        ({"url": "http://127.0.0.1/a.png"}, (), 400, "url"),
        ({"generate_sound": True}, ("image",), 400, "generate_sound"),
    ],
)
def test_edits_that_are_refused(
    fields: dict[str, Any], files: tuple[str, ...], status: int, param: str, http: httpx.Client
) -> None:
    picture = jpeg("humanoid_robot", 64, 64)
    answer = http.post(EDITS, files=[*as_parts(EDIT | fields), *((name, picture) for name in files)])
    assert error_of(answer, status)["param"] == param
