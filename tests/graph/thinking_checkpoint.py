"""A tiny checkpoint whose tokenizer has the marks of thinking and of tool calls, as the published one has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Special tokens that the tiny checkpoint never uses, and those of the published tokenizer.
RENAMED = {
    "<|quad_start|>": "<think>",
    "<|quad_end|>": "</think>",
    "<|object_ref_start|>": "<tool_call>",
    "<|object_ref_end|>": "</tool_call>",
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def thinking_checkpoint(source: Path, target: Path) -> Path:
    """The checkpoint with some tokens renamed; weights and all other tokens are the source's."""
    target.mkdir()
    for entry in source.iterdir():
        if entry.name in TOKENIZER_FILES:
            _write_renamed(entry, target / entry.name)
        elif entry.is_dir() and (entry / TOKENIZER_FILES[0]).exists():
            (target / entry.name).mkdir()
            for file in entry.iterdir():
                if file.name in TOKENIZER_FILES:
                    _write_renamed(file, target / entry.name / file.name)
                else:
                    (target / entry.name / file.name).symlink_to(file)
        else:
            (target / entry.name).symlink_to(entry)
    return target


def _write_renamed(source: Path, target: Path) -> None:
    content = json.loads(source.read_text(encoding="utf-8"))
    target.write_text(json.dumps(_renamed(content), ensure_ascii=False), encoding="utf-8")


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        changed = {RENAMED.get(name, name): _renamed(inner) for name, inner in value.items()}
        # Not special: they stay in a decoded text, where a parser finds them.
        return changed | {"special": False} if value.get("content") in RENAMED else changed
    if isinstance(value, list):
        return [_renamed(inner) for inner in value]
    return RENAMED.get(value, value) if isinstance(value, str) else value
