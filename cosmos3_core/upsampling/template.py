"""The texts that ask a Reasoner for a structured prompt, read from a folder: this package's or an operator's.

A template has two files, named as in NVIDIA's framework: a text with placeholders, and a form, which is a JSON object
with the names of the prompt's fields and a few words for each of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosmos3_core.errors import CosmosError
from cosmos3_core.geometry import nearest_aspect_ratio
from cosmos3_core.modes import Mode
from cosmos3_core.prompt import ClipFacts

OWN_TEMPLATES = Path(__file__).with_name("templates")
NAMES: Mapping[Mode, str] = {Mode.TEXT_TO_IMAGE: "t2i", Mode.TEXT_TO_VIDEO: "t2v", Mode.IMAGE_TO_VIDEO: "i2v"}
"""The modes whose prompts can be upsampled, and what the files of their templates are called."""
DESCRIPTION, FORM = "$nl_description", "$json_template"
MAX_BYTES = 200_000
"""The largest file of a template."""
_PLACEHOLDER = re.compile(r"\$(?:nl_description|json_template)\b|\{(?:duration|fps|aspect_ratio|resolution_[wh])\}")


class TemplateError(CosmosError):
    """A template cannot be read or used; the message names its file."""


@dataclass(frozen=True)
class Template:
    """What a Reasoner is told about the prompts of one mode.

    Attributes:
        text: the instructions. `$nl_description` stands for the caller's prompt, `$json_template` for the form, and
            `{duration}`, `{fps}`, `{aspect_ratio}`, `{resolution_w}` and `{resolution_h}` for what is generated.
        form: the fields of the structured prompt, in order; each value is a text that describes the field, an object
            of fields, or a list with one example of its items.
    """

    text: str
    form: Mapping[str, Any] = field(hash=False)

    @classmethod
    def read(cls, folder: Path, mode: Mode) -> Template:
        """The template of a mode.

        Raises:
            TemplateError: a file is missing, too large or no UTF-8, the text has no `$nl_description`, or the form is
                not a JSON object.
        """
        name = NAMES[mode]
        text = _read(folder / f"reasoner_{name}_prompt.txt")
        if DESCRIPTION not in text:
            raise TemplateError(f"{folder / f'reasoner_{name}_prompt.txt'} has no {DESCRIPTION}")
        path = folder / f"reasoner_{name}_json_schema.json"
        try:
            form = json.loads(_read(path))
        except (ValueError, RecursionError) as error:
            raise TemplateError(f"{path} is no JSON: {error}") from error
        if not isinstance(form, dict) or not form:
            raise TemplateError(f"{path} holds no fields; expected a JSON object")
        return cls(text, form)

    @property
    def sha256(self) -> str:
        """Hash of the text and the form."""
        return hashlib.sha256(json.dumps([self.text, self.form]).encode()).hexdigest()

    def filled(self, prompt: str, clip: ClipFacts) -> str:
        """The text for one prompt; placeholders inside of the prompt stay as they are."""
        values = {DESCRIPTION: prompt, FORM: json.dumps(self.form, indent=2, ensure_ascii=False), **_numbers(clip)}
        return _PLACEHOLDER.sub(lambda found: values[found[0]], self.text)


def _numbers(clip: ClipFacts) -> dict[str, str]:
    minutes, seconds = divmod(max(1, int(clip.duration)), 60)
    return {
        "{duration}": f"{minutes}:{seconds:02d}",
        "{fps}": f"{clip.fps:g}",
        "{aspect_ratio}": nearest_aspect_ratio(clip.canvas),
        "{resolution_w}": str(clip.canvas.width),
        "{resolution_h}": str(clip.canvas.height),
    }


def _read(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TemplateError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise TemplateError(f"{path} has {len(content)} bytes; expected at most {MAX_BYTES}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise TemplateError(f"{path} is no UTF-8 text") from error
