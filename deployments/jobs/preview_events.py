"""Previews as a job's events carry them: JSON, with the picture as base64."""

from __future__ import annotations

import base64
from typing import Any

from deployments.wire.calls import Preview


def preview_data(preview: Preview) -> dict[str, Any]:
    """The data of a `preview` event."""
    return {"step": preview.step, "jpeg": base64.b64encode(preview.jpeg).decode()}


def jpeg_of(data: dict[str, Any]) -> bytes:
    """The picture in the data of a `preview` event."""
    return base64.b64decode(data["jpeg"])
