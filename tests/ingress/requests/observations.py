"""Requests for actions as SGLang's clients send them."""

from __future__ import annotations

import base64
from typing import Any

from cosmos3_core.media.stills import encode_image
from tests.parity.cases import picture

PIXELS = picture(32, 48, seed=1)
PNG = encode_image(PIXELS, "png")
BASE64 = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{BASE64}"
PARAMETERS = {"domain_name": "av", "action_chunk_size": 4, "num_inference_steps": 2, "seed": 7}


def envelope(parameters: dict[str, Any] | None = None, **observation: Any) -> dict[str, Any]:
    seen = observation or {"images": {"front": {"base64": BASE64, "mime_type": "image/png"}}}
    return {"input": {"task": "pick up the cup", "observation": seen}, "parameters": PARAMETERS | (parameters or {})}
