"""Modules that only plan, parse or read media are imported without the model libraries, which take seconds."""

from __future__ import annotations

import subprocess
import sys

LIGHT = (
    "action_statistics",
    "adapters.use",
    "byte_cache",
    "catalog",
    "checkpoint",
    "codecs.preview_map",
    "controls",
    "embodiments",
    "errors",
    "hub",
    "inputs",
    "manifest",
    "media.clips",
    "media.join",
    "media.mp4",
    "media.sound",
    "media.stills",
    "model.hashes",
    "model.layout",
    "modes",
    "outputs",
    "parallel.degrees",
    "planning.cost",
    "planning.hardware",
    "planning.memory",
    "planning.placement",
    "presets",
    "prompt",
    "request",
    "resolving.resolve",
    "resolving.resolved",
    "sampling.sampling",
    "settings",
    "tiny.cache",
    "upsampling.prompt",
    "upsampling.schema",
    "upsampling.template",
    "workflows.annotate",
    "workflows.chat",
    "workflows.parsing",
)
PROGRAM = """
import sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module(f"cosmos3_core.{name}")
    heavy = [library for library in ("torch", "diffusers", "transformers") if library in sys.modules]
    if heavy:
        sys.exit(f"{name} imports {heavy}")
"""


def test_light_modules_import_no_model_library() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *LIGHT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
