"""Templates of prompts that a Reasoner with random weights writes within seconds, as an operator's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cosmos3_core.upsampling.template import NAMES

FORM: dict[str, Any] = {
    "scene_imagination": "notes",
    "context": "what the scene is about",
    "subjects": [{"description": "what it is", "number_of_arms": "int"}],
    "lighting": {"direction": "where it comes from"},
    "transitions": ["how the scene changes"],
}
MAX_TOKENS = 200
TEXT = "Describe $nl_description for {resolution_w}x{resolution_h} pixels and {duration}.\n$json_template"


def write_templates(folder: Path) -> Path:
    """Write the templates of all modes into a folder, which is made."""
    folder.mkdir()
    for name in NAMES.values():
        (folder / f"reasoner_{name}_prompt.txt").write_text(TEXT)
        (folder / f"reasoner_{name}_json_schema.json").write_text(json.dumps(FORM))
    return folder
