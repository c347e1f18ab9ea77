"""Templates: those of this package, those of a folder, and files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cosmos3_core.geometry import Canvas
from cosmos3_core.modes import Mode
from cosmos3_core.prompt import ClipFacts
from cosmos3_core.upsampling.template import MAX_BYTES, NAMES, OWN_TEMPLATES, Template, TemplateError
from tests.core.upsampling.samples import CLIP, FORM, STILL

TEXT = 'Say "$nl_description" in {resolution_w}x{resolution_h} ({aspect_ratio}), {duration} at {fps}: $json_template'


def written(folder: Path, text: str | bytes = TEXT, form: str = json.dumps(FORM), name: str = "t2v") -> Path:
    (folder / f"reasoner_{name}_prompt.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    (folder / f"reasoner_{name}_json_schema.json").write_text(form)
    return folder


@pytest.mark.parametrize("mode", NAMES)
def test_own_templates_name_all_that_is_generated(mode: Mode) -> None:
    template = Template.read(OWN_TEMPLATES, mode)
    prompt, form = "a robot {fps} $json_template", json.dumps(template.form, indent=2)
    filled = template.filled(prompt, STILL if mode.is_image else CLIP)
    assert prompt in filled and form in filled
    assert set("{}$").isdisjoint(filled.replace(prompt, "").replace(form, "")), "a placeholder is left"
    size = "832x480" if mode.is_image else "320x192"
    assert f"{size} pixels" in filled and "16,9" in filled
    # 189 frames at 24 a second are less than 8 seconds.
    assert mode.is_image or ("0:07" in filled and "24 frames per second" in filled)


def test_a_videos_form_is_that_of_a_video_from_an_image() -> None:
    forms = [Template.read(OWN_TEMPLATES, mode).form for mode in (Mode.TEXT_TO_VIDEO, Mode.IMAGE_TO_VIDEO)]
    assert forms[0] == forms[1]


def test_placeholders_are_filled_once(tmp_path: Path) -> None:
    template = Template.read(written(tmp_path), Mode.TEXT_TO_VIDEO)
    filled = template.filled("{fps} of $json_template", ClipFacts(Canvas(1280, 720), 241, 12.5))
    start, _, form = filled.partition(": ")
    assert start == 'Say "{fps} of $json_template" in 1280x720 (16,9), 0:19 at 12.5'
    assert json.loads(form) == FORM


def test_braces_that_are_no_placeholders_stay(tmp_path: Path) -> None:
    text = '$nl_description {"W": {resolution_w}, "other": {unknown}} $nl $nl_descriptions {duration}'
    filled = Template.read(written(tmp_path, text), Mode.TEXT_TO_VIDEO).filled("a", CLIP)
    assert filled == 'a {"W": 320, "other": {unknown}} $nl $nl_descriptions 0:07'


def test_a_short_clip_lasts_a_second(tmp_path: Path) -> None:
    template = Template.read(written(tmp_path), Mode.TEXT_TO_VIDEO)
    assert "0:01 at 24" in template.filled("a", ClipFacts(Canvas(64, 64), 5, 24.0))
    assert "1:05 at 6" in template.filled("a", ClipFacts(Canvas(64, 64), 393, 6.0))


def test_the_hash_is_of_the_text_and_the_form() -> None:
    hashes = {Template(text, form).sha256 for text in ("a", "b") for form in ({"x": "y"}, {"x": "z"})}
    assert len(hashes) == 4 and Template("a", {"x": "y"}).sha256 in hashes


@pytest.mark.parametrize(
    ("text", "form", "message"),
    [
        ("no placeholder", "{}", r"reasoner_t2v_prompt.txt has no \$nl_description"),
        (b"\xff", "{}", "reasoner_t2v_prompt.txt is no UTF-8 text"),
        ("x" * (MAX_BYTES + 1), "{}", f"has {MAX_BYTES + 1} bytes; expected at most"),
        (TEXT, "{", "reasoner_t2v_json_schema.json is no JSON"),
        (TEXT, "[" * 100_000, "reasoner_t2v_json_schema.json is no JSON"),
        (TEXT, "[]", "reasoner_t2v_json_schema.json holds no fields; expected a JSON object"),
        (TEXT, "{}", "reasoner_t2v_json_schema.json holds no fields"),
    ],
)
def test_files_that_are_no_template(tmp_path: Path, text: str | bytes, form: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        Template.read(written(tmp_path, text, form), Mode.TEXT_TO_VIDEO)


@pytest.mark.parametrize("missing", ["prompt.txt", "json_schema.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (written(tmp_path) / f"reasoner_t2v_{missing}").unlink()
    with pytest.raises(TemplateError, match=rf"cannot read .*reasoner_t2v_{missing}: No such file"):
        Template.read(tmp_path, Mode.TEXT_TO_VIDEO)


@pytest.mark.skipif("COSMOS3_ASSETS" not in os.environ, reason="needs NVIDIA's files")
@pytest.mark.parametrize("mode", NAMES)
def test_nvidias_templates_are_read(mode: Mode) -> None:
    template = Template.read(Path(os.environ["COSMOS3_ASSETS"]) / "prompting", mode)
    filled = template.filled("a robot folds a shirt", STILL if mode.is_image else CLIP)
    assert "a robot folds a shirt" in filled
    assert not any(name in filled for name in ("$nl_description", "$json_template", "{duration}", "{resolution_w}"))
    assert '{"W": 832, "H": 480}' in filled or '{"W": 320, "H": 192}' in filled


@pytest.mark.skipif("COSMOS3_ASSETS" not in os.environ, reason="needs NVIDIA's files")
@pytest.mark.parametrize("mode", NAMES)
def test_own_forms_have_nvidias_fields(mode: Mode) -> None:
    """But for those that are written from the request, and for keys of the model's choice."""
    nvidia = Template.read(Path(os.environ["COSMOS3_ASSETS"]) / "prompting", mode).form
    own = Template.read(OWN_TEMPLATES, mode).form
    assert _names(own) == [
        name
        for name in _names(nvidia)
        if name.partition(".")[0] not in ("resolution", "aspect_ratio", "duration", "fps", "subject_details")
    ]


def _names(form: object, prefix: str = "") -> list[str]:
    if isinstance(form, list):
        return _names(form[0], prefix)
    if not isinstance(form, dict):
        return [prefix]
    return [name for key, value in form.items() for name in _names(value, f"{prefix}.{key}" if prefix else key)]
