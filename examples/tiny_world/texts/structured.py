"""Captions as JSON objects, as the generator's prompts are (spec 4.5): short ones, and ones with all fields."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

from numpy.random import Generator

from cosmos3_core.modes import Mode
from cosmos3_core.upsampling.schema import CLIP_KEYS, MAY_BE_EMPTY
from cosmos3_core.upsampling.template import OWN_TEMPLATES, Template
from examples.tiny_world.scenes.facts import Facts, MotionKind, ShapeFacts
from examples.tiny_world.scenes.scene import ClipFormat
from examples.tiny_world.scenes.sound import PITCH_CLASSES, PITCH_NAMES
from examples.tiny_world.texts.sentences import ALL, event_words, motion_words, place_words, sentence

Caption = dict[str, Any]


def short_caption(facts: Facts, clip: ClipFormat, rng: Generator, sounds: bool = False) -> Caption:
    """The fields that say something about this world, in the order of the published form.

    Args:
        facts: what is true of the clip or picture; one frame is a picture.
        clip: its size and length.
        rng: chooses the words.
        sounds: whether the tone is described.
    """
    return _written(facts, clip, rng, sounds)


def full_caption(facts: Facts, clip: ClipFormat, rng: Generator, sounds: bool = True) -> Caption:
    """All fields of the form that the Reasoner fills in when it upsamples; those with nothing to say are empty.

    Arguments as in `short_caption`.
    """
    form = _form(Mode.TEXT_TO_IMAGE if clip.frames == 1 else Mode.TEXT_TO_VIDEO)
    written = _written(facts, clip, rng, sounds and clip.frames > 1)
    return {name: _filled(name, value, written.get(name)) for name, value in form.items() if name not in CLIP_KEYS}


def as_text(caption: Caption) -> str:
    """A caption as the text of a prompt."""
    return json.dumps(caption)


@cache
def _form(mode: Mode) -> dict[str, Any]:
    return dict(Template.read(OWN_TEMPLATES, mode).form)


def _written(facts: Facts, clip: ClipFormat, rng: Generator, sounds: bool) -> Caption:
    is_image = clip.frames == 1
    whole = sentence(facts, rng, ALL, is_image)
    caption: Caption = {"comprehensive_t2i_caption" if is_image else "temporal_caption": whole}
    if sounds:
        caption["audio_description"] = _sound_words(facts)
    caption["subjects"] = [_subject(facts, shape, rng, is_image) for shape in facts.shapes]
    caption["background_setting"] = f"A plain {facts.ground} ground."
    if is_image:
        return caption
    caption["actions"] = [
        {"time": time, "description": f"{words[:1].upper()}{words[1:]}."} for time, words in _deeds(facts, clip, rng)
    ]
    return caption


def _subject(facts: Facts, shape: ShapeFacts, rng: Generator, is_image: bool) -> Caption:
    subject: Caption = {
        "description": f"A {shape.size} {shape.name}.",
        "location": place_words(shape, facts.aspect).rpartition("the ")[2],
        "relative_size": str(shape.size),
    }
    if not is_image:
        subject["action"] = motion_words(shape.path, rng, says_speed=True)
    return subject


def _deeds(facts: Facts, clip: ClipFormat, rng: Generator) -> list[tuple[str, str]]:
    """What happens and when, `M:SS-M:SS`; whole seconds, as in published captions."""
    whole = f"0:00-{_clock(math.ceil(clip.frames / clip.fps))}"
    if not facts.events:
        return [(whole, f"the {shape.name} {motion_words(shape.path, rng)}") for shape in facts.shapes]
    return [
        (f"{_clock(event.seconds)}-{_clock(event.seconds + 1)}", event_words(facts, event)) for event in facts.events
    ]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _sound_words(facts: Facts) -> str:
    """Which tone is heard, and from when on."""
    shape = facts.shapes[0]
    name = PITCH_NAMES[PITCH_CLASSES[shape.colour]]
    if facts.events:
        return f"A tone on {name}, when {event_words(facts, facts.events[0])}."
    verb = "moves" if shape.path.kind is not MotionKind.STILL else "rests"
    return f"A tone on {name} from the beginning, while the {shape.name} {verb}."


def _filled(name: str, form: Any, written: Any) -> Any:
    """The written value in the form's shape, with empty texts and zeros for what is not written."""
    if isinstance(form, dict):
        given = written if isinstance(written, dict) else {}
        return {key: _filled(key, value, given.get(key)) for key, value in form.items()}
    if isinstance(form, list):
        if isinstance(written, list):
            return [_filled(name, form[0], item) for item in written]
        return [] if name in MAY_BE_EMPTY else [_filled(name, form[0], None)]
    if isinstance(form, str) and form.startswith("int"):
        return 1 if name == "number_of_subjects" else 0
    return written or ""
