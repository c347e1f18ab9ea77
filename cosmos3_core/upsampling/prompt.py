"""The chat that asks a Reasoner for a structured prompt, and the prompt that its answer becomes (spec 4.5, 4.8)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.errors import CosmosError
from cosmos3_core.media.stills import encode_image
from cosmos3_core.prompt import ClipFacts, clip_keys
from cosmos3_core.request import MAX_PROMPT_CHARACTERS
from cosmos3_core.upsampling.schema import MAX_TOKENS, JsonSchema, problem_in, schema_of
from cosmos3_core.upsampling.template import Template

SAMPLING = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.0, "presence_penalty": 1.5}
"""What NVIDIA's upsampler samples with (spec 4.8)."""
NOTES = "scene_imagination"
"""A field in which the model plans; it is no part of the prompt."""
SEED_BITS = 63
# A model may write blanks between two fields for as long as it is allowed to.
MAX_BLANKS = 1


class UnusableAnswer(CosmosError):
    """A Reasoner's answer is no structured prompt; the message is the rest of a sentence that begins with it."""


@dataclass(frozen=True)
class PlainPrompt:
    """A prompt in plain text, and what is generated from it.

    Attributes:
        text: the caller's words.
        clip: size, length and rate of the image or video.
        seed: of the Reasoner's sampling.
        image: the picture that a video starts with, if it starts with one, as `picture_for_chat` gives it.
    """

    text: str
    clip: ClipFacts
    seed: int
    image: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Upsampling:
    """How the prompts of one mode are upsampled.

    Attributes:
        template: what the Reasoner is told.
        schema: what its answers obey.
        max_tokens: the most tokens of an answer.
    """

    template: Template
    schema: JsonSchema = field(hash=False)
    max_tokens: int = MAX_TOKENS

    @classmethod
    def of(cls, template: Template, max_tokens: int = MAX_TOKENS) -> Upsampling:
        """The upsampling by a template.

        Raises:
            TemplateError: its form cannot be used.
        """
        return cls(template, schema_of(template.form, max_tokens), max_tokens)

    def chat(self, prompt: PlainPrompt) -> dict[str, Any]:
        """The body of the chat request, without a model's name. It encodes the picture, so call it in a thread.

        Constrained decoding goes by vLLM's structural tag instead of a plain `json_schema`: only that bounds the blanks
        between fields.
        """
        content: list[dict[str, Any]] = [{"type": "text", "text": self.template.filled(prompt.text, prompt.clip)}]
        if prompt.image is not None:
            content.insert(0, {"type": "image_url", "image_url": {"url": _data_uri(prompt.image)}})
        form = {"type": "json_schema", "json_schema": self.schema, "max_whitespace_cnt": MAX_BLANKS}
        return {
            "messages": [{"role": "user", "content": content}],
            "response_format": {"type": "structural_tag", "format": form},
            "chat_template_kwargs": {"enable_thinking": False},
            "max_tokens": self.max_tokens,
            # vLLM takes -1 for no seed.
            "seed": prompt.seed % 2**SEED_BITS,
            **SAMPLING,
        }

    def read(self, answer: str) -> dict[str, Any]:
        """The caption in an answer, its fields in the form's order, without the model's notes.

        Raises:
            UnusableAnswer: it is no JSON or disobeys the schema.
        """
        try:
            # Constrained decoding lets control characters through in texts, which are no strict JSON.
            found = json.loads(answer, strict=False)
        except (ValueError, RecursionError):
            raise UnusableAnswer("is no JSON") from None
        problem = problem_in(found, self.schema)
        if problem is not None:
            raise UnusableAnswer(f"does not obey its schema: {problem}")
        return {name: found[name] for name in self.schema["properties"] if name != NOTES}


def prompt_of(caption: dict[str, Any], clip: ClipFacts) -> str:
    """A caption as the text of a request's prompt, with the keys that say what is generated.

    Raises:
        UnusableAnswer: it is longer than a prompt may be.
    """
    text = json.dumps(caption | clip_keys(clip))
    if len(text) > MAX_PROMPT_CHARACTERS:
        raise UnusableAnswer(f"has {len(text)} characters; expected at most {MAX_PROMPT_CHARACTERS}")
    return text


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    return f"data:image/png;base64,{base64.b64encode(encode_image(pixels, 'png')).decode()}"
