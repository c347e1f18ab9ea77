"""The tokenizer of the tiny checkpoints: same bytes everywhere, real ids' layout, and few enough tokens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import transformers
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from cosmos3_core.tiny import TinyFamily
from cosmos3_core.tiny.text import SpecialTokens, train_tokenizer, vocabulary_size, write_tokenizer

FAMILIES: tuple[TinyFamily, ...] = get_args(TinyFamily)

STAND_IN: dict[str, Any] = {
    "subjects": [
        {
            "description": "A compact delivery robot with six rubber wheels and a white plastic lid.",
            "appearance_details": "An orange flag stands on a thin pole; two headlights glow at the front.",
            "relationship": "The only moving object among parked bicycles",
            "location": "Left of center, close to the curb",
            "action": "Crossing a narrow street behind a cyclist",
            "state_changes": "It slows down before the curb, waits for the cyclist, then rolls on.",
            "clothing": "",
            "number_of_subjects": 1,
            "number_of_arms": 0,
        }
    ],
    "background_setting": "A quiet street between brick buildings after rain, with puddles on dark asphalt.",
    "lighting": {"conditions": "Overcast morning light", "shadows": "Faint and soft below the wheels"},
    "cinematography": {"camera_motion": "Slow pan to the right", "framing": "Wide shot"},
    "actions": [{"time": "0:01-0:03", "description": "The robot stops and turns its front wheels."}],
    "temporal_caption": "The robot waits near the curb while a cyclist passes, then crosses the wet street "
    "and reaches the opposite sidewalk as the camera follows from the left.",
    "audio_description": "Light traffic noise, an electric motor, and water under the wheels.",
    "resolution": {"H": 480, "W": 832},
    "fps": 24,
}


def prompts() -> dict[str, str]:
    """NVIDIA's structured prompts where they are at hand, else one of our own."""
    folder = Path(os.environ.get("COSMOS3_ASSETS", "missing")) / "prompts"
    found = {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.json"))}
    return found or {"stand_in": json.dumps(STAND_IN, indent=2)}


Written = tuple[Path, SpecialTokens]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[TinyFamily, Written]:
    folder = tmp_path_factory.mktemp("tokenizers")
    return {family: (folder / family, write_tokenizer(folder / family, family, seed=0)) for family in FAMILIES}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> TinyFamily:
    chosen: TinyFamily = request.param
    return chosen


@pytest.fixture(scope="module")
def written(family: TinyFamily, both: dict[TinyFamily, Written]) -> Written:
    return both[family]


@pytest.fixture(scope="module")
def tokenizer(written: Written) -> Any:
    return AutoTokenizer.from_pretrained(written[0])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# Two processes, not more: importing torch with the package is nearly all that they cost.
@pytest.mark.parametrize(("hash_seed", "threads"), [("1", "1"), ("random", "7")])
def test_the_bytes_do_not_depend_on_the_process(
    both: dict[TinyFamily, Written], tmp_path: Path, hash_seed: str, threads: str
) -> None:
    code = (
        "import sys; from pathlib import Path; from cosmos3_core.tiny.text import write_tokenizer\n"
        "for family in sys.argv[2:]: write_tokenizer(Path(sys.argv[1], family), family, 0)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "RAYON_NUM_THREADS": threads, "LC_ALL": "C"}
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", code, str(tmp_path), *FAMILIES]
    subprocess.run(command, env=environment, cwd=root, check=True, timeout=120)
    for family, (folder, _) in both.items():
        assert contents(tmp_path / family) == contents(folder)


def test_another_seed_gives_another_tokenizer(family: TinyFamily, tokenizer: Any) -> None:
    other = train_tokenizer(family, seed=1)
    assert other.get_vocab() != tokenizer.get_vocab()
    assert other.get_vocab_size() == vocabulary_size(family)


def test_every_id_is_below_the_vocabulary_size(family: TinyFamily, tokenizer: Any) -> None:
    assert sorted(tokenizer.get_vocab().values()) == list(range(vocabulary_size(family)))
    assert len(tokenizer) == vocabulary_size(family)


@cache
def trained(seed: int) -> Tokenizer:
    return train_tokenizer("nano", seed)


@pytest.mark.parametrize("indent", [None, 2, 4])
@pytest.mark.parametrize("name", sorted(prompts()))
@pytest.mark.parametrize("seed", [0, 3])
def test_a_prompt_has_about_as_many_tokens_as_with_the_real_one(name: str, indent: int | None, seed: int) -> None:
    text = json.dumps(json.loads(prompts()[name]), indent=indent)
    tokens = trained(seed).encode(text).ids
    assert 3.3 < len(text) / len(tokens) < 5


@pytest.mark.parametrize(
    "text",
    [
        "A robot's arm lifts the 10-inch plate — slowly.",
        "naïve café, Zürich, Ελλάδα, 你好世界, かな, 한국어, עברית",
        "🙂 👩‍🔧 \u200d \ufeff x² ½ ∑ €",
        '{"fps": 24,\n    "H": 720}\n\n\t  tab and trailing space ',
        "\x00\x07 control",
        "",
    ],
)
def test_unicode_text_survives(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text


def test_nothing_is_added_when_encoding(family: TinyFamily, tokenizer: Any, written: Written) -> None:
    raw = Tokenizer.from_file(str(written[0] / "tokenizer.json"))
    for text in prompts().values():
        assert tokenizer(text).input_ids == raw.encode(text, add_special_tokens=False).ids


def test_nano_composes_letters_and_edge_keeps_them(family: TinyFamily, tokenizer: Any) -> None:
    assert tokenizer.decode(tokenizer.encode("e\u0301")) == ("é" if family == "nano" else "e\u0301")


EXPECTED: Mapping[TinyFamily, SpecialTokens] = {
    "nano": SpecialTokens(
        pad=2048,
        eos=2050,
        im_start=2049,
        im_end=2050,
        vision_start=2057,
        vision_end=2058,
        image_pad=2060,
        video_pad=2061,
        bos=None,
    ),
    "edge": SpecialTokens(
        pad=0,
        eos=11,
        im_start=10,
        im_end=11,
        vision_start=20,
        vision_end=21,
        image_pad=19,
        video_pad=18,
        bos=1,
    ),
}


def test_special_tokens_have_their_ids(family: TinyFamily, tokenizer: Any, written: Written) -> None:
    special = written[1]
    assert special == EXPECTED[family]
    names = ["im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
    for name in names:
        token = f"<|{name}|>"
        assert tokenizer.convert_tokens_to_ids(token) == asdict(special)[name]
        assert tokenizer.encode(token) == [asdict(special)[name]]
    assert tokenizer.eos_token == "<|im_end|>"
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (special.eos, special.pad)
    assert tokenizer.bos_token_id == special.bos


def test_the_named_classes_load_it(family: TinyFamily, written: Written) -> None:
    named = getattr(transformers, {"nano": "Qwen2TokenizerFast", "edge": "PreTrainedTokenizerFast"}[family])
    automatic = AutoTokenizer.from_pretrained(written[0])
    assert isinstance(automatic, named)
    direct = named.from_pretrained(written[0])
    assert direct.get_vocab() == automatic.get_vocab()
    assert direct.eos_token_id == automatic.eos_token_id


def opening(family: TinyFamily) -> str:
    return "<|im_start|>assistant\n" + ("<think>\n" if family == "edge" else "")


def test_chat_of_text(family: TinyFamily, tokenizer: Any) -> None:
    turns = [{"role": "user", "content": "a robot"}]
    plain = "<|im_start|>user\na robot<|im_end|>\n"
    assert tokenizer.apply_chat_template(turns, tokenize=False) == plain
    system = [{"role": "system", "content": "Be brief."}]
    text = tokenizer.apply_chat_template(system + turns, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>system\nBe brief.<|im_end|>\n" + plain + opening(family)


def test_ids_of_a_chat_as_diffusers_asks_for_them(family: TinyFamily, tokenizer: Any) -> None:
    encoded = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a robot"}],
        tokenize=True,
        add_generation_prompt=True,
        add_vision_id=False,
        return_dict=True,
    )
    assert tokenizer.decode(encoded.input_ids) == "<|im_start|>user\na robot<|im_end|>\n" + opening(family)


def test_chat_with_media(tokenizer: Any) -> None:
    parts = [
        {"type": "image"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "video"},
        {"type": "text", "text": "Compare."},
    ]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": None}]
    image, video = (
        "<|vision_start|><|image_pad|><|vision_end|>",
        "<|vision_start|><|video_pad|><|vision_end|>",
    )
    end = "<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text == f"<|im_start|>user\n{image}{image}{video}Compare.{end}"
    numbered = tokenizer.apply_chat_template(turns, tokenize=False, add_vision_id=True)
    assert numbered == f"<|im_start|>user\nPicture 1: {image}Picture 2: {image}Video 1: {video}Compare.{end}"


def test_edge_thinks_unless_told_otherwise(family: TinyFamily, tokenizer: Any) -> None:
    turns = [{"role": "user", "content": "Why?"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert text.endswith("<|im_start|>assistant\n" + ("<think></think>" if family == "edge" else ""))


def processor(family: TinyFamily, tokenizer: Any) -> Any:
    if family == "nano":
        images, videos = (
            transformers.Qwen2VLImageProcessor(patch_size=16),
            transformers.Qwen3VLVideoProcessor(),
        )
        return transformers.Qwen3VLProcessor(images, tokenizer, videos, tokenizer.chat_template)
    return transformers.Cosmos3EdgeProcessor(
        transformers.Cosmos3EdgeImageProcessor(),
        tokenizer,
        transformers.Cosmos3EdgeVideoProcessor(),
        tokenizer.chat_template,
    )


def test_the_processor_puts_an_image_into_a_chat(family: TinyFamily, tokenizer: Any, written: Written) -> None:
    pytest.importorskip("torchvision")
    image = Image.fromarray(np.zeros((64, 96, 3), np.uint8))
    parts = [{"type": "image", "image": image}, {"type": "text", "text": "What is it?"}]
    encoded = processor(family, tokenizer).apply_chat_template(
        [{"role": "user", "content": parts}],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    ids = encoded.input_ids[0].tolist()
    patches = int(encoded.image_grid_thw.prod())
    assert ids.count(written[1].image_pad) == patches // 4 > 0
    assert ids.count(written[1].vision_start) == ids.count(written[1].vision_end) == 1
