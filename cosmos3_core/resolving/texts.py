"""The texts of a request's guidance branches, and its system prompt (spec 4)."""

from __future__ import annotations

from dataclasses import replace

from cosmos3_core.controls import directive
from cosmos3_core.modes import Given, Mode
from cosmos3_core.presets import ModeDefaults, Preset
from cosmos3_core.prompt import (
    EDIT_SYSTEM_PROMPT,
    IMAGE_SYSTEM_PROMPT,
    TRANSFER_SYSTEM_PROMPT,
    VIDEO_SYSTEM_PROMPT,
    ClipFacts,
    MetadataRules,
    action_caption,
    negative_text,
    positive_text,
)
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.facts import ModelFacts

SYSTEM_PROMPTS = {Mode.TRANSFER: TRANSFER_SYSTEM_PROMPT, Mode.IMAGE_TO_IMAGE: EDIT_SYSTEM_PROMPT}


def texts_of(request: GenerationRequest, preset: Preset, clip: ClipFacts) -> tuple[str, str]:
    """The user messages of the conditional and the unconditional branch."""
    negative = request.negative_prompt or ""
    if request.mode.is_action:
        return action_caption(request.prompt, clip, request.view_point, preset), negative
    sentences = preset.metadata_sentences
    resolution, duration = request.use_resolution_template, request.use_duration_template
    rules = MetadataRules(
        resolution_sentence=sentences if resolution is None else resolution,
        duration_sentence=sentences if duration is None else duration,
        json_keys=preset.json_metadata,
        json_aspect_ratio=preset.json_aspect_ratio,
        negative=request.negative_metadata_mode or preset.negative_metadata,
    )
    ratio = request.aspect_ratio
    if request.mode.row.given is Given.CONTROLS:
        return _transfer_texts(request, preset, clip, rules)
    return positive_text(request.prompt, clip, rules, ratio), negative_text(negative, clip, rules, ratio)


def _transfer_texts(
    request: GenerationRequest, preset: Preset, clip: ClipFacts, rules: MetadataRules
) -> tuple[str, str]:
    """The texts of a transfer; their metadata are those of one part, with a whole frame rate (spec 9.4)."""
    positive, negative = request.prompt, request.negative_prompt or ""
    if not preset.verbatim_transfer:
        rules = replace(rules, negative=request.negative_metadata_mode or "same")
        clip = replace(clip, fps=max(1, round(clip.fps)))
        positive = positive_text(positive, clip, rules, request.aspect_ratio)
        negative = negative_text(negative, clip, rules, request.aspect_ratio) if negative else negative
    emphasized = request.emphasize_control_in_prompt
    if emphasized or (emphasized is None and not preset.verbatim_transfer):
        sentence = directive(tuple(control.kind for control in request.used_controls()))
        positive = f"{positive.rstrip()} {sentence}".lstrip()
    return positive, negative


def system_prompt_of(
    request: GenerationRequest, preset: Preset, defaults: ModeDefaults, model: ModelFacts
) -> str | None:
    """The system message; None where there is none."""
    if preset.system_prompt is None:
        # diffusers' transfer has a switch of its own, which is on for every checkpoint (spec 4.3).
        by_default = model.default_system_prompt or request.mode is Mode.TRANSFER
    else:
        by_default = request.mode in preset.system_prompt
    if defaults.system_prompt is not None:
        by_default = defaults.system_prompt
    wanted, text = request.use_system_prompt, request.system_prompt
    if wanted is False or text == "" or (wanted is None and text is None and not by_default):
        return None
    own = SYSTEM_PROMPTS.get(request.mode, IMAGE_SYSTEM_PROMPT if request.mode.is_image else VIDEO_SYSTEM_PROMPT)
    return text or own
