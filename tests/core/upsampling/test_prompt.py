"""The chat that asks for a prompt, and what becomes of its answer."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from cosmos3_core import GenerationRequest
from cosmos3_core.geometry import Canvas
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.stills import decode_image, encode_image
from cosmos3_core.modes import Mode
from cosmos3_core.presets import find_preset
from cosmos3_core.prompt import ClipFacts, parse_structured
from cosmos3_core.resolving.texts import texts_of
from cosmos3_core.upsampling.picture import picture_for_chat
from cosmos3_core.upsampling.prompt import NOTES, SAMPLING, PlainPrompt, UnusableAnswer, Upsampling, prompt_of
from cosmos3_core.upsampling.schema import MAX_TOKENS
from cosmos3_core.upsampling.template import NAMES, OWN_TEMPLATES, Template
from tests.core.upsampling.samples import CLIP, FORM, STILL, answer_to
from tests.parity.cases import picture

UPSAMPLING = Upsampling.of(Template("Describe $nl_description for {fps} fps.\n$json_template", FORM))


def chat(image: bytes | None = None, clip: ClipFacts = CLIP, seed: int = 7) -> dict[str, Any]:
    pixels = None if image is None else picture_for_chat(image, clip.canvas)
    return UPSAMPLING.chat(PlainPrompt("a robot", clip, seed, pixels))


def shown(image: bytes, clip: ClipFacts) -> Any:
    """The pixels that the Reasoner is shown, and that they come before the text."""
    first, second = chat(image, clip)["messages"][0]["content"]
    assert (first["type"], second["type"]) == ("image_url", "text")
    head, _, encoded = first["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return decode_image(base64.b64decode(encoded, validate=True))


def test_the_chat_is_one_message_with_nvidias_sampling_and_the_requests_seed() -> None:
    body = chat()
    (message,) = body["messages"]
    assert message["role"] == "user"
    (text,) = message["content"]
    assert text["type"] == "text" and text["text"].startswith("Describe a robot for 24 fps.\n{")
    assert {name: body[name] for name in SAMPLING} == SAMPLING and body["seed"] == 7
    assert body["max_tokens"] == MAX_TOKENS and "model" not in body
    json.dumps(body)


def test_decoding_is_constrained_to_the_schema_and_to_few_blanks() -> None:
    constraint = chat()["response_format"]
    assert constraint["type"] == "structural_tag"
    assert constraint["format"]["type"] == "json_schema" and constraint["format"]["max_whitespace_cnt"] == 1
    assert constraint["format"]["json_schema"] == UPSAMPLING.schema


@pytest.mark.parametrize("seed", [0, -1, -(2**63), 2**63 - 1])
def test_every_seed_is_one_that_vllm_takes(seed: int) -> None:
    """It takes -1 for no seed at all."""
    assert 0 <= chat(seed=seed)["seed"] < 2**63
    assert chat(seed=seed)["seed"] == (seed if seed >= 0 else 2**63 + seed)


def test_a_picture_is_shown_as_it_is_if_the_video_is_larger() -> None:
    pixels = picture(90, 160, seed=3)
    assert np.array_equal(shown(encode_image(pixels, "png"), CLIP), pixels)


def test_a_picture_is_shown_no_larger_than_the_video() -> None:
    found = shown(encode_image(picture(720, 1280, seed=3), "jpeg"), ClipFacts(Canvas(320, 192), 5, 24.0))
    assert found.shape == (180, 320, 3)


def test_the_same_picture_makes_the_same_chat() -> None:
    png = encode_image(picture(720, 1280, seed=3), "png")
    assert chat(png) == chat(png) != chat(encode_image(picture(720, 1280, seed=4), "png"))


def test_a_picture_that_cannot_be_read() -> None:
    with pytest.raises(MediaError):
        chat(b"no picture")


def test_an_answer_becomes_a_caption_in_the_forms_order_without_notes() -> None:
    answer = answer_to(UPSAMPLING.schema)
    backwards = dict(reversed(answer.items()))
    caption = UPSAMPLING.read(json.dumps(backwards))
    assert list(caption) == [name for name in UPSAMPLING.schema["properties"] if name != NOTES]
    assert caption["subjects"] == [{"description": "", "number_of_arms": 0}] and NOTES in answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "is no JSON"),
        ("```json\n{}\n```", "is no JSON"),
        ('{"scene_imagination": "a', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "does not obey its schema: scene_imagination is missing"),
        ("[]", "does not obey its schema: it is not of type object"),
    ],
)
def test_answers_that_are_no_caption(answer: str, message: str) -> None:
    with pytest.raises(UnusableAnswer, match=message):
        UPSAMPLING.read(answer)


def test_a_prompt_says_what_is_generated() -> None:
    still, clip = (parse_structured(prompt_of({"context": "x"}, facts)) for facts in (STILL, CLIP))
    size = {"resolution": {"H": 480, "W": 832}, "aspect_ratio": "16,9"}
    assert still == {"context": "x", **size}
    assert clip == {
        "context": "x",
        "duration": "7s",
        "fps": 24.0,
        "resolution": {"H": 192, "W": 320},
        "aspect_ratio": "16,9",
    }


def test_a_prompt_can_be_encoded_whatever_the_model_wrote() -> None:
    """JSON may hold lone surrogates and NUL, which neither UTF-8 nor a database may."""
    text = prompt_of(json.loads('{"context": "\\ud800 \\u0000 é"}'), STILL)
    assert text.isascii() and "\0" not in text
    assert GenerationRequest(mode=Mode.TEXT_TO_IMAGE, prompt=text).prompt == text


def test_control_characters_in_an_answer_are_read_and_escaped() -> None:
    """The grammar of vLLM lets them through, although strict JSON does not."""
    answer = answer_to(UPSAMPLING.schema)
    answer["lighting"]["direction"] = "left"
    text = prompt_of(UPSAMPLING.read(json.dumps(answer).replace("left", "le\t\x01ft")), STILL)
    assert json.loads(text)["lighting"] == {"direction": "le\t\x01ft"} and "\x01" not in text


def test_a_prompt_that_is_too_long() -> None:
    with pytest.raises(UnusableAnswer, match="expected at most 100000"):
        prompt_of({"context": "x" * 100_000}, STILL)


@pytest.mark.parametrize("preset", ["vllm-omni", "diffusers", "framework"])
@pytest.mark.parametrize("mode", NAMES)
def test_the_generator_reads_the_prompt_as_it_is(mode: Mode, preset: str) -> None:
    """A preset that writes keys into captions writes the same; one that appends sentences leaves the caption whole."""
    upsampling = Upsampling.of(Template.read(OWN_TEMPLATES, mode), 4096)
    clip = STILL if mode.is_image else CLIP
    prompt = prompt_of(upsampling.read(json.dumps(answer_to(upsampling.schema, fullest=True))), clip)
    request = GenerationRequest(mode=mode, prompt=prompt, preset=preset)
    positive, _ = texts_of(request, find_preset(preset), clip)
    found = find_preset(preset)
    assert positive == prompt if found.json_metadata else positive.startswith(prompt)
