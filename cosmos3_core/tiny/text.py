"""A small tokenizer for tiny checkpoints, trained on captions that are made up from a seed.

It writes the tokenizer files of a checkpoint folder, Qwen-like for Nano and Nemotron-like for Edge, with some
2,000 entries, so that a structured prompt has nearly as many tokens as with the published one. It is not that
tokenizer (the ids differ), and its captions mean nothing: they only use words about as often as real
captions do. TinyFamily and seed decide every byte; no data file, network, clock or hash seed matters.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.trainers import BpeTrainer

from cosmos3_core.tiny import TinyFamily
from cosmos3_core.tiny import words as tiny_words
from cosmos3_core.tiny.words import PATTERNS, Tiers

ORDINARY_ENTRIES: Final = 2048
"""Entries that are no special tokens, the 256 bytes among them."""

_NANO_SPECIAL: Final = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_EDGE_SPECIAL: Final = (
    *("<pad>", "<s>", "</s>"),
    *(f"<SPECIAL_{i}>" for i in range(3, 10)),
    *("<|im_start|>", "<|im_end|>"),
    *(f"<SPECIAL_{i}>" for i in range(12, 18)),
    *("<|video_pad|>", "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"),
)
_SPECIAL: Final[Mapping[TinyFamily, tuple[str, ...]]] = {"nano": _NANO_SPECIAL, "edge": _EDGE_SPECIAL}

_CONTEXT: Final[Mapping[TinyFamily, int]] = {"nano": 262144, "edge": 131072}
_CAPTIONS: Final = 200

_TAIL_RULES: Final = r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n%s]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SPLIT_RULES: Final[Mapping[TinyFamily, str]] = {
    "nano": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + _TAIL_RULES % "",
    "edge": rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|" + _TAIL_RULES % "/",
}

_CHAT_TEMPLATE: Final = """\
{%- set seen = namespace(images=0, videos=0) -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' -}}
    {%- if message.content is string -%}
        {{- message.content -}}
    {%- elif message.content -%}
        {%- for part in message.content -%}
            {%- if part.type in ('image', 'image_url') -%}
                {%- set seen.images = seen.images + 1 -%}
                {{- 'Picture ' ~ seen.images ~ ': ' if add_vision_id else '' -}}
                {{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
            {%- elif part.type in ('video', 'video_url') -%}
                {%- set seen.videos = seen.videos + 1 -%}
                {{- 'Video ' ~ seen.videos ~ ': ' if add_vision_id else '' -}}
                {{- '<|vision_start|><|video_pad|><|vision_end|>' -}}
            {%- elif 'text' in part -%}
                {{- part.text -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
@OPENING@{%- endif -%}
"""
_OPENING: Final[Mapping[TinyFamily, str]] = {
    "nano": "",
    "edge": "    {{- '<think>\\n' if enable_thinking | default(true) else '<think></think>' -}}\n",
}

_WORDS: Final[Mapping[str, Tiers]] = {
    "det": tiny_words.DETERMINERS,
    "prep": tiny_words.PREPOSITIONS,
    "adv": tiny_words.ADVERBS,
    "color": tiny_words.COLORS,
    "noun": tiny_words.NOUNS,
    "plural": tiny_words.PLURALS,
    "verb": tiny_words.VERBS,
    "irregular": tiny_words.IRREGULAR,
    "conn": tiny_words.CONNECTIVES,
    "opener": tiny_words.OPENERS,
    "adj": (*tiny_words.ADJECTIVES, *tiny_words.COLORS),
    "digit": ((1, "0 1 2 3 4 5 6 7 8 9"),),
}

_CAPTION: Final[Mapping[str, Any]] = {
    "subjects": [
        {
            **dict.fromkeys(("description", "appearance_details"), "{prose}"),
            **dict.fromkeys(("relationship", "location"), "{phrase}"),
            "relative_size": "{short}",
            **dict.fromkeys(("orientation", "pose", "action"), "{phrase}"),
            "state_changes": "{prose}",
            **dict.fromkeys(("clothing", "expression", "gender", "age"), "{maybe}"),
            **dict.fromkeys(("skin_tone_and_texture", "facial_features"), "{maybe}"),
            **dict.fromkeys(("number_of_subjects", "number_of_arms", "number_of_legs"), (0, 1, 2, 4)),
            **dict.fromkeys(("number_of_hands", "number_of_fingers"), (0, 2, 5, 10)),
        }
    ],
    "subject_details": {"{noun}": "{phrase}", "{noun}_{noun}": "{phrase}"},
    "background_setting": "{paragraph}",
    "lighting": dict.fromkeys(("conditions", "direction", "shadows", "illumination_effect"), "{phrase}"),
    "aesthetics": {
        "composition": "{sentence}",
        "color_scheme": "{phrase}",
        "mood_atmosphere": "{mood}",
        "patterns": "{phrase}",
    },
    "cinematography": {
        "camera_motion": "{short}",
        **dict.fromkeys(("framing", "camera_angle"), "{phrase}"),
        "depth_of_field": "{short}",
        "focus": "{phrase}",
        "lens_focal_length": "{digit}{digit}mm {short}",
    },
    "style_medium": "{short}",
    "artistic_style": "{mood}",
    "context": "{phrase}",
    "actions": [{"time": "{clock}", "description": "{prose}"}],
    "text_and_signage_elements": [
        {
            **dict.fromkeys(("text", "category"), "{short}"),
            **dict.fromkeys(("appearance", "spatial_temporal"), "{phrase}"),
        }
    ],
    "segments": [
        {
            "segment_index": (0, 1, 2, 3),
            "time_range": "{clock}",
            "description": "{prose}",
            "key_changes": "{phrase}",
            "camera": "{short}",
        }
    ],
    "transitions": [],
    "quadrant_scan": dict.fromkeys(
        ("top_left", "top_right", "bottom_left", "bottom_right", "absolute_center"), "{phrase}"
    ),
    "physical_realism": "{sentence}",
    **dict.fromkeys(("temporal_caption", "comprehensive_t2i_caption"), "{paragraph}"),
    "audio_description": "{prose}",
    "resolution": {"W": (1280, 832, 640, 1920), "H": (720, 480, 256, 1080)},
    "aspect_ratio": "16,9",
    "duration": "{digit}s",
    "fps": (10, 16, 24, 30),
}


@dataclass(frozen=True)
class SpecialTokens:
    """Ids that the configuration files of a checkpoint repeat."""

    pad: int
    eos: int
    im_start: int
    im_end: int
    vision_start: int
    vision_end: int
    image_pad: int
    video_pad: int
    bos: int | None


def vocabulary_size(family: TinyFamily) -> int:
    """The length of the tokenizer; every id is below it."""
    return ORDINARY_ENTRIES + len(_SPECIAL[family])


def train_tokenizer(family: TinyFamily, seed: int) -> Tokenizer:
    """Train a byte-level BPE; under a second on one core.

    Args:
        family: `nano` has its special tokens after the ordinary entries, as Qwen has; `edge` before them.
        seed: seed of the text that it is trained on.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence(
        [Split(Regex(_SPLIT_RULES[family]), "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.post_processor = ByteLevelProcessor(trim_offsets=False)
    if family == "nano":
        tokenizer.normalizer = NFC()
    special = list(_SPECIAL[family])
    trainer = BpeTrainer(
        vocab_size=vocabulary_size(family) if family == "edge" else ORDINARY_ENTRIES,
        special_tokens=special if family == "edge" else [],
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_documents(seed), trainer)
    tokenizer.add_special_tokens(special)
    return tokenizer


def write_tokenizer(folder: Path, family: TinyFamily, seed: int) -> SpecialTokens:
    """Write the files that `AutoTokenizer` reads: tokenizer.json, tokenizer_config.json, chat_template.jinja.

    Args:
        folder: made if it is missing; files of these names in it are replaced.
        family: see `train_tokenizer`.
        seed: see `train_tokenizer`.
    """
    tokenizer = train_tokenizer(family, seed)
    config = json.dumps(_tokenizer_config(tokenizer, family), indent=2)
    template = _CHAT_TEMPLATE.replace("@OPENING@", _OPENING[family])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("tokenizer.json", tokenizer.to_str(pretty=True)),
        ("tokenizer_config.json", config),
        ("chat_template.jinja", template),
    ):
        (folder / name).write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")
    return _special_tokens(tokenizer, family)


def _special_tokens(tokenizer: Tokenizer, family: TinyFamily) -> SpecialTokens:
    ids = tokenizer.get_vocab()
    return SpecialTokens(
        pad=ids["<|endoftext|>" if family == "nano" else "<pad>"],
        eos=ids["<|im_end|>"],
        im_start=ids["<|im_start|>"],
        im_end=ids["<|im_end|>"],
        vision_start=ids["<|vision_start|>"],
        vision_end=ids["<|vision_end|>"],
        image_pad=ids["<|image_pad|>"],
        video_pad=ids["<|video_pad|>"],
        bos=None if family == "nano" else ids["<s>"],
    )


def _tokenizer_config(tokenizer: Tokenizer, family: TinyFamily) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    special = _SPECIAL[family]
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {str(tokenizer.token_to_id(t)): {"content": t, **flags} for t in special},
        "additional_special_tokens": [t for t in special if t.startswith("<|") and t != "<|endoftext|>"],
        "bos_token": None if family == "nano" else "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": _CONTEXT[family],
        "pad_token": "<|endoftext|>" if family == "nano" else "<pad>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer" if family == "nano" else "PreTrainedTokenizerFast",
        "unk_token": None,
    }


def _documents(seed: int) -> Iterator[str]:
    """Captions as users send them (compact or indented, escaped or not), each followed by plain sentences."""
    writer = _Writer(seed)
    for number in range(_CAPTIONS):
        text = json.dumps(writer.caption(), indent=(None, 2, 4)[number % 3], ensure_ascii=number % 2 == 0)
        # Prompts are often pasted into another document, and are then indented as a whole.
        yield text.replace("\n", "\n  ") if number % 4 == 0 else text
        yield writer.text("{paragraph} {paragraph}")


class _Writer:
    """Fills patterns with words drawn by whole-number weights, so that no rounding can change a draw."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._slots = _slots()

    def caption(self) -> dict[str, Any]:
        """A caption, each of whose fields but the subjects is sometimes missing."""
        wanted = {k: v for k, v in _CAPTION.items() if k == "subjects" or self._random.randrange(4)}
        return {key: self._value(shape) for key, shape in wanted.items()}

    def text(self, pattern: str) -> str:
        """The pattern with every `{slot}` filled; a slot in title case begins with a capital."""
        return re.sub(r"\{(\w+)\}", self._fill, pattern)

    def _fill(self, match: re.Match[str]) -> str:
        slot = match[1]
        choices, cumulative = self._slots[slot.lower()]
        text = self.text(self._random.choices(choices, cum_weights=cumulative)[0])
        return text[:1].upper() + text[1:] if slot[0].isupper() else text

    def _value(self, shape: Any) -> Any:
        match shape:
            case str():
                return self.text(shape)
            case tuple():
                return self._random.choice(shape)
            case list():
                return [self._value(item) for item in shape for _ in range(self._random.randrange(4))]
            case _:
                return {self.text(key): self._value(item) for key, item in shape.items()}


@cache
def _slots() -> dict[str, tuple[list[str], list[int]]]:
    """What can fill each slot, with cumulative weights."""
    words = {slot: [(w, x) for w, line in tiers for x in line.split()] for slot, tiers in _WORDS.items()}
    verbs = words["verb"]
    words["vs"] = [(weight, _third_person(verb)) for weight, verb in verbs]
    words["ving"] = [(weight, _participle(verb)) for weight, verb in verbs]
    words["ved"] = [(weight, _past(verb)) for weight, verb in verbs]
    everything = {**words, **{slot: list(patterns) for slot, patterns in PATTERNS.items()}}
    return {
        slot: ([text for _, text in choices], list(accumulate(weight for weight, _ in choices)))
        for slot, choices in everything.items()
    }


def _third_person(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return verb + ("es" if re.search(r"(s|x|z|ch|sh)$", verb) else "s")


def _participle(verb: str) -> str:
    return (verb[:-1] if verb.endswith("e") else _stem(verb)) + "ing"


def _past(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ied"
    return verb + "d" if verb.endswith("e") else _stem(verb) + "ed"


def _stem(verb: str) -> str:
    """The verb, its last consonant doubled where a short vowel precedes it: stop, stopping."""
    return verb + verb[-1] if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", verb) else verb
