"""Prompts as text and as token ids (spec 4.2 to 4.6, 8.6), with diffusers' pipeline as oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from diffusers import Cosmos3OmniPipeline
from transformers import AutoTokenizer

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import MediaInputs
from cosmos3_core.presets import DIFFUSERS, FRAMEWORK, VLLM_OMNI, Preset
from cosmos3_core.prompt import (
    ClipFacts,
    MetadataRules,
    action_caption,
    negative_text,
    parse_structured,
    positive_text,
    tokenize,
)
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.resolve import resolve
from examples import assets

VIDEO = ClipFacts(Canvas(1280, 720), 189, 24.0)
IMAGE = ClipFacts(Canvas(832, 480), 1, 24.0)
LENGTH, SIZE = "The video is 7.9 seconds long and is of 24 FPS.", "This video is of 720x1280 resolution."


def rules(**changes: Any) -> MetadataRules:
    everything: dict[str, Any] = {
        "resolution_sentence": True,
        "duration_sentence": True,
        "json_keys": True,
        "json_aspect_ratio": False,
        "negative": "inverse",
    }
    return MetadataRules(**everything | changes)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("a robot", f"a robot. {LENGTH} {SIZE}"),
        ("A robot.", f"A robot. {LENGTH} {SIZE}"),
        ("A robot...", f"A robot. {LENGTH} {SIZE}"),
        ("A robot. ", f"A robot. . {LENGTH} {SIZE}"),
        ("A robot!", f"A robot!. {LENGTH} {SIZE}"),
        ("", f"{LENGTH} {SIZE}"),
        ("..", f"{LENGTH} {SIZE}"),
    ],
)
def test_sentences_are_appended_after_the_trailing_dots(prompt: str, text: str) -> None:
    assert positive_text(prompt, VIDEO, rules()) == text


def test_each_sentence_has_its_switch() -> None:
    assert positive_text("a", VIDEO, rules(resolution_sentence=False)) == f"a. {LENGTH}"
    assert positive_text("a", VIDEO, rules(duration_sentence=False)) == f"a. {SIZE}"
    off = rules(duration_sentence=False, resolution_sentence=False)
    assert positive_text("a...", VIDEO, off) == "a..."


def test_an_image_has_a_size_and_no_length() -> None:
    assert positive_text("a", IMAGE, rules()) == "a. This image is of 480x832 resolution."
    assert negative_text("", IMAGE, rules()) == "This image is not of 480x832 resolution."


@pytest.mark.parametrize(
    ("frames", "fps", "sentence"),
    [
        (121, 29.97, "The video is 4.0 seconds long and is of 30 FPS."),
        (5, 60.0, "The video is 0.1 seconds long and is of 60 FPS."),
        (61, 10.0, "The video is 6.1 seconds long and is of 10 FPS."),
    ],
)
def test_length_and_rate_are_rounded(frames: int, fps: float, sentence: str) -> None:
    clip = ClipFacts(Canvas(640, 640), frames, fps)
    assert positive_text("", clip, rules(resolution_sentence=False)) == sentence


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        ("none", "dull."),
        ("same", f"dull. {LENGTH} {SIZE}"),
        (
            "inverse",
            "dull. The video is not 7.9 seconds long and is not of 24 FPS. This video is not of 720x1280 resolution.",
        ),
    ],
)
def test_the_negative_gets_no_the_same_or_inverse_metadata(mode: str, text: str) -> None:
    assert negative_text("dull.", VIDEO, rules(negative=mode)) == text


@pytest.mark.parametrize(
    "text", ["a robot", "[1, 2]", "3", '"text"', "null", "{'a': 1}", '{"a": 1} and more', "", "{" * 30]
)
def test_only_an_object_is_a_structured_prompt(text: str) -> None:
    assert parse_structured(text) is None
    assert positive_text(text, VIDEO, rules()).endswith(SIZE)


@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 15_000])
def test_a_deeply_nested_prompt_is_plain_text(text: str) -> None:
    assert parse_structured(text) is None


def test_a_structured_prompt_gets_keys_and_keeps_its_order() -> None:
    text = positive_text('{"z": 1, "fps": 7, "a": {"c": "\\u00e9", "b": [null]}}', VIDEO, rules())
    assert text == (
        '{"z": 1, "fps": 24.0, "a": {"c": "\\u00e9", "b": [null]}, "duration": "7s", '
        '"resolution": {"H": 720, "W": 1280}}'
    )


def test_a_structured_prompt_for_an_image_loses_length_and_rate() -> None:
    text = positive_text('{"duration": "7s", "a": 1, "fps": 24}', IMAGE, rules())
    assert text == '{"a": 1, "resolution": {"H": 480, "W": 832}}'


@pytest.mark.parametrize(
    ("prompt", "always", "requested", "ratio"),
    [
        ('{"a": 1}', False, None, None),
        ('{"a": 1}', False, "16:9", "16,9"),
        ('{"a": 1}', True, None, "16,9"),
        ('{"a": 1, "aspect_ratio": "1,1"}', False, None, "16,9"),
    ],
)
def test_the_ratio_is_written_where_it_stood_or_was_asked_for(
    prompt: str, always: bool, requested: str | None, ratio: str | None
) -> None:
    text = positive_text(prompt, VIDEO, rules(json_aspect_ratio=always), requested)
    assert json.loads(text).get("aspect_ratio") == ratio


def test_without_keys_a_structured_prompt_is_text_like_any_other() -> None:
    assert positive_text('{"a": 1}', VIDEO, rules(json_keys=False)) == '{"a": 1}. ' + f"{LENGTH} {SIZE}"


@pytest.mark.parametrize(("mode", "keys"), [("none", None), ("same", ["a", "duration", "fps", "resolution"])])
def test_a_structured_negative_gets_the_keys_of_the_positive(mode: str, keys: list[str] | None) -> None:
    text = negative_text('{"a": 1}', VIDEO, rules(negative=mode))
    assert list(json.loads(text)) == (keys or ["a"])


@pytest.mark.parametrize("name", ["t2v_robot_kitchen", "t2i_robot_draping"])
def test_a_real_caption_keeps_everything_but_the_metadata(name: str) -> None:
    metadata = {"duration", "fps", "resolution", "aspect_ratio"}
    given = json.loads(assets.prompt(name))
    for clip in (VIDEO, IMAGE):
        made = json.loads(positive_text(assets.prompt(name), clip, rules()))
        assert {k: v for k, v in made.items() if k not in metadata} == {
            k: v for k, v in given.items() if k not in metadata
        }
        assert made["resolution"] == {"H": clip.canvas.height, "W": clip.canvas.width}
        assert ("duration" in made, "fps" in made) == (clip is VIDEO, clip is VIDEO)


FRAMING = {
    "ego_view": "This video is captured from a first-person perspective looking at the scene.",
    "third_person_view": "This video is captured from a third-person perspective looking towards the agent "
    "from the front.",
    "wrist_view": "This video is captured from a wrist-mounted camera.",
    "concat_view": "This video contains concatenated views from multiple camera perspectives.",
}


@pytest.mark.parametrize(("view_point", "framing"), FRAMING.items())
def test_an_action_caption_has_the_keys_of_training_in_order(view_point: str, framing: str) -> None:
    clip = ClipFacts(Canvas(736, 544), 61, 10.0)
    caption = json.loads(action_caption("pick up the cup", clip, view_point, DIFFUSERS))
    assert list(caption.items()) == [
        ("cinematography", {"framing": framing}),
        ("actions", [{"time": "0:00-0:06", "description": "pick up the cup."}]),
        ("duration", "6s"),
        ("fps", 10.0),
        ("resolution", {"H": 544, "W": 736}),
        ("aspect_ratio", "4,3"),
    ]


@pytest.mark.parametrize(
    ("instruction", "description"),
    [(" pick it up ", "pick it up."), ("Pick it up!", "Pick it up!"), ("Which one?", "Which one?"), ("", "")],
)
def test_an_instruction_ends_with_punctuation(instruction: str, description: str) -> None:
    caption = json.loads(action_caption(instruction, VIDEO, "ego_view", DIFFUSERS))
    assert caption["actions"][0]["description"] == description


@pytest.mark.parametrize(
    ("frames", "fps", "time", "duration"),
    [
        (17, 5.0, "0:00-0:03", "3s"),
        (33, 15.0, "0:00-0:02", "2s"),
        (397, 5.0, "0:00-1:19", "79s"),
        (61, 24.0, "0:00-0:03", "2s"),
    ],
)
def test_an_action_caption_rounds_its_time_and_floors_its_duration(
    frames: int, fps: float, time: str, duration: str
) -> None:
    caption = json.loads(action_caption("go", ClipFacts(Canvas(640, 640), frames, fps), "ego_view", FRAMEWORK))
    assert (caption["actions"][0]["time"], caption["duration"]) == (time, duration)


@pytest.mark.parametrize(("preset", "ratio"), [(VLLM_OMNI, "16,9"), (DIFFUSERS, "16,9"), (FRAMEWORK, "13,8")])
def test_the_framework_names_the_exact_ratio(preset: Preset, ratio: str) -> None:
    clip = ClipFacts(Canvas(832, 512), 17, 5.0)
    assert json.loads(action_caption("go", clip, "ego_view", preset))["aspect_ratio"] == ratio


def test_a_structured_instruction_is_completed_where_the_preset_reads_json() -> None:
    given = '{"actions": [{"time": "0:00-0:01", "description": "go"}], "idle_frame": 3}'
    caption = json.loads(action_caption(given, VIDEO, "wrist_view", VLLM_OMNI))
    assert list(caption.items()) == [
        ("cinematography", {"framing": FRAMING["wrist_view"]}),
        ("actions", [{"time": "0:00-0:01", "description": "go"}]),
        ("idle_frame", 3),
        ("duration", "7s"),
        ("fps", 24.0),
        ("resolution", {"H": 720, "W": 1280}),
        ("aspect_ratio", "16,9"),
    ]
    own = json.loads(action_caption('{"cinematography": {"framing": "mine"}}', VIDEO, "ego_view", VLLM_OMNI))
    assert own["cinematography"] == {"framing": "mine"}
    wrapped = json.loads(action_caption(given, VIDEO, "wrist_view", DIFFUSERS))
    assert wrapped["actions"][0]["description"] == given + "."


def test_an_unknown_view_point_is_refused() -> None:
    with pytest.raises(RequestError) as error:
        action_caption("go", VIDEO, "bird_view", VLLM_OMNI)
    assert error.value.field == "view_point"


@pytest.fixture(scope="module", params=["nano", "edge"])
def folder(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder / "text_tokenizer")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    """diffusers' pipeline, of which only the prompt's part is used."""
    return Cosmos3OmniPipeline.from_pretrained(folder, transformer=None, sound_tokenizer=None, safety_checker=None)


def test_ids_end_with_the_end_of_the_chat_and_the_start_of_generation(tokenizer: Any) -> None:
    ids = tokenize(tokenizer, "a robot", None, None)
    markers = [tokenizer.convert_tokens_to_ids(name) for name in ("<|im_end|>", "<|vision_start|>")]
    assert ids[-2:] == markers
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a robot"}], tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.decode(ids[:-2]) == chat


def test_a_system_prompt_comes_first(tokenizer: Any) -> None:
    text = tokenizer.decode(tokenize(tokenizer, "a robot", "Be brief.", None))
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na robot<|im_end|>")
    assert "system" not in tokenizer.decode(tokenize(tokenizer, "a robot", None, None))


@pytest.mark.parametrize("limit", [1, 5, 12])
def test_a_long_prompt_is_cut_before_the_markers(tokenizer: Any, limit: int) -> None:
    whole = tokenize(tokenizer, assets.prompt("t2v_robot_kitchen"), None, None)
    assert tokenize(tokenizer, assets.prompt("t2v_robot_kitchen"), None, limit) == whole[:limit] + whole[-2:]
    assert tokenize(tokenizer, "a", None, 4096) == tokenize(tokenizer, "a", None, None)


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"mode": "text2image", "width": 640, "height": 480}, {"num_frames": 1, "width": 640, "height": 480}),
        ({"mode": "text2image"}, {"num_frames": 1}),
        ({"mode": "text2video"}, {}),
        ({"mode": "text2video", "num_frames": 61, "fps": 29.97}, {"num_frames": 61, "fps": 29.97}),
        ({"mode": "text2video", "use_system_prompt": False}, {"use_system_prompt": False}),
        ({"mode": "text2video", "use_system_prompt": True}, {"use_system_prompt": True}),
        (
            {"mode": "text2video", "use_resolution_template": False, "use_duration_template": False},
            {"add_resolution_template": False, "add_duration_template": False},
        ),
        (
            {
                "mode": "policy",
                "domain_name": "umi",
                "fps": 20,
                "resolution": "256",
                "view_point": "wrist_view",
            },
            {
                "action_mode": "policy",
                "num_frames": 17,
                "fps": 20,
                "height": 256,
                "width": 256,
                "action_view_point": "wrist_view",
            },
        ),
    ],
)
@pytest.mark.parametrize("prompt", ["A robot pours water...", "", "plan"])
@pytest.mark.parametrize("negative", [None, "blurry, dull."])
def test_the_ids_are_the_ones_of_diffusers(
    folder: Path,
    tokenizer: Any,
    pipeline: Any,
    fields: dict[str, Any],
    options: dict[str, Any],
    prompt: str,
    negative: str | None,
) -> None:
    text = assets.prompt("t2v_robot_kitchen") if prompt == "plan" else prompt
    media = MediaInputs(assets.video("umi")[:1]) if fields["mode"] == "policy" else MediaInputs()
    request = GenerationRequest(prompt=text, negative_prompt=negative, preset="diffusers", **fields)
    found = resolve(request, Checkpoint.find(folder).facts, media)
    ids = [
        tokenize(tokenizer, branch, found.system_prompt, found.max_prompt_tokens)
        for branch in (found.positive, found.negative)
    ]
    assert ids == list(pipeline.tokenize_prompt(text, negative, **options))
