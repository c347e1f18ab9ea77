"""Forms, clips, and answers that obey a schema."""

from __future__ import annotations

from typing import Any

from cosmos3_core.geometry import Canvas
from cosmos3_core.prompt import ClipFacts
from cosmos3_core.upsampling.schema import JsonSchema

STILL = ClipFacts(Canvas(832, 480), 1, 24.0)
CLIP = ClipFacts(Canvas(320, 192), 189, 24.0)
FORM: dict[str, Any] = {
    "scene_imagination": "notes",
    "subjects": [{"description": "what it is", "number_of_arms": "int; 2 for people"}],
    "lighting": {"direction": "where from"},
    "subject_details": {"<key_name>": "anything"},
    "transitions": ["how"],
    "resolution": "as asked",
    "fps": "as asked",
}


def answer_to(schema: JsonSchema, *, fullest: bool = False) -> Any:
    """A value that obeys a schema: the shortest, or the longest."""
    if schema["type"] == "object":
        return {name: answer_to(inner, fullest=fullest) for name, inner in schema["properties"].items()}
    if schema["type"] == "array":
        return [answer_to(schema["items"], fullest=fullest)] * schema["maxItems" if fullest else "minItems"]
    if schema["type"] == "integer":
        return schema["maximum"] if fullest else schema["minimum"]
    return "x" * schema["maxLength"] if fullest else ""
