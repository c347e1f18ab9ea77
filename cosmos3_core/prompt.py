"""From a request's words to the token ids of each guidance branch (spec 4, 8.6).

Text in, ids out: no model. Which of the rules apply is decided by the preset and the request.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cosmos3_core.embodiments import VIEW_POINTS
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas, exact_aspect_ratio, nearest_aspect_ratio
from cosmos3_core.presets import NegativeMetadata, Preset

IMAGE_SYSTEM_PROMPT = "You are a helpful assistant who will generate images from a give prompt."
VIDEO_SYSTEM_PROMPT = "You are a helpful assistant who will generate videos from a give prompt."
EDIT_SYSTEM_PROMPT = "You are a helpful assistant who will edit images based on the user's instructions."
TRANSFER_SYSTEM_PROMPT = (
    "You are a helpful assistant that generates images or videos following the user's instructions and control signals "
    "(edge maps, blur, depth, or segmentation)."
)
GENERATION_MARKER = "<|vision_start|>"


@dataclass(frozen=True)
class ClipFacts:
    """What the metadata of a prompt says about the output."""

    canvas: Canvas
    num_frames: int
    fps: float

    @property
    def is_image(self) -> bool:
        """A single frame."""
        return self.num_frames == 1

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_frames / self.fps


@dataclass(frozen=True)
class MetadataRules:
    """Which metadata the prompts get."""

    resolution_sentence: bool
    duration_sentence: bool
    json_keys: bool
    json_aspect_ratio: bool
    negative: NegativeMetadata


def parse_structured(prompt: str) -> dict[str, Any] | None:
    """The prompt as a JSON object, or None when it is plain text."""
    try:
        value = json.loads(prompt)
        json.dumps(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _append(text: str, sentence: str) -> str:
    stem = text.rstrip(".")
    return f"{stem}. {sentence}" if stem else sentence


def _with_sentences(text: str, clip: ClipFacts, rules: MetadataRules, inverse: bool) -> str:
    negation = "not " if inverse else ""
    if rules.duration_sentence and not clip.is_image:
        length = f"The video is {negation}{clip.duration:.1f} seconds long"
        text = _append(text, f"{length} and is {negation}of {clip.fps:.0f} FPS.")
    if rules.resolution_sentence:
        kind, size = "image" if clip.is_image else "video", f"{clip.canvas.height}x{clip.canvas.width}"
        text = _append(text, f"This {kind} is {negation}of {size} resolution.")
    return text


def clip_keys(clip: ClipFacts) -> dict[str, Any]:
    """The keys of a structured caption that say what is generated (spec 4.5)."""
    timing = {} if clip.is_image else {"duration": f"{int(clip.duration)}s", "fps": float(clip.fps)}
    return {
        **timing,
        "resolution": {"H": clip.canvas.height, "W": clip.canvas.width},
        "aspect_ratio": nearest_aspect_ratio(clip.canvas),
    }


def _with_keys(structured: dict[str, Any], clip: ClipFacts, rules: MetadataRules, requested_ratio: str | None) -> str:
    caption = dict(structured)
    if clip.is_image:
        caption.pop("duration", None)
        caption.pop("fps", None)
    keys = clip_keys(clip)
    if not (rules.json_aspect_ratio or requested_ratio is not None or "aspect_ratio" in caption):
        del keys["aspect_ratio"]
    return json.dumps(caption | keys)


def positive_text(prompt: str, clip: ClipFacts, rules: MetadataRules, requested_ratio: str | None = None) -> str:
    """The conditional branch's user message."""
    structured = parse_structured(prompt) if rules.json_keys else None
    if structured is not None:
        return _with_keys(structured, clip, rules, requested_ratio)
    return _with_sentences(prompt, clip, rules, inverse=False)


def negative_text(prompt: str, clip: ClipFacts, rules: MetadataRules, requested_ratio: str | None = None) -> str:
    """The unconditional branch's user message."""
    if rules.negative == "same":
        return positive_text(prompt, clip, rules, requested_ratio)
    if rules.negative == "inverse":
        return _with_sentences(prompt, clip, rules, inverse=True)
    return prompt


def action_caption(instruction: str, clip: ClipFacts, view_point: str, preset: Preset) -> str:
    """The JSON caption of an action request; its key order is the one seen in training (spec 8.6).

    An instruction that is itself a JSON object is taken as the caption where the preset reads JSON, and completed.

    Raises:
        RequestError: `view_point` is unknown.
    """
    if view_point not in VIEW_POINTS:
        raise RequestError("view_point", f"is {view_point!r}; expected one of {', '.join(VIEW_POINTS)}")
    framing = {"framing": VIEW_POINTS[view_point]}
    given = parse_structured(instruction) if preset.json_metadata else None
    if given is not None:
        caption = {"cinematography": framing, **given}
    else:
        text = instruction.strip()
        text = f"{text}." if text and not text.endswith((".", "!", "?")) else text
        minutes, seconds = divmod(round(clip.duration), 60)
        span = f"0:00-{minutes}:{seconds:02d}"
        caption = {"cinematography": framing, "actions": [{"time": span, "description": text}]}
    ratio = exact_aspect_ratio if preset.exact_action_aspect else nearest_aspect_ratio
    caption["duration"] = f"{math.floor(clip.duration)}s"
    caption["fps"] = float(clip.fps)
    caption["resolution"] = {"H": clip.canvas.height, "W": clip.canvas.width}
    caption["aspect_ratio"] = ratio(clip.canvas)
    return json.dumps(caption)


def tokenize(tokenizer: Any, text: str, system_prompt: str | None, max_tokens: int | None) -> list[int]:
    """Chat template, end-of-sequence, start-of-generation marker (spec 4.2).

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        text: the user message.
        system_prompt: the system message, if any.
        max_tokens: longer templated prompts are cut before the two markers are added.
    """
    conversation = [{"role": "system", "content": system_prompt}] if system_prompt else []
    conversation.append({"role": "user", "content": text})
    apply: Callable[..., Any] = tokenizer.apply_chat_template
    encoded = apply(conversation, tokenize=True, add_generation_prompt=True, add_vision_id=False, return_dict=True)
    ids = list(encoded["input_ids"])[:max_tokens]
    return [*ids, int(tokenizer.eos_token_id), int(tokenizer.convert_tokens_to_ids(GENERATION_MARKER))]
