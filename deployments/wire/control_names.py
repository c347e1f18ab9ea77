"""What the keys of a control's object are called over HTTP (vLLM-Omni's names), for the server and for its client."""

from __future__ import annotations

from cosmos3_core.controls import ControlKind

WEIGHT = "control_weight"
PRESETS = {ControlKind.EDGE: "preset_edge_threshold", ControlKind.BLUR: "preset_blur_strength"}
"""The key that says how strongly a computed control simplifies the video."""
