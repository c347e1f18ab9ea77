"""A Serve config of the echo application, with which graphs start in seconds."""

from __future__ import annotations

from typing import Any


def echo(port: int = 0, **args: Any) -> dict[str, Any]:
    """The config; `args` are those of the application."""
    application = {"name": "front", "import_path": "tests.graph.echo_app:build", "args": args}
    return {"http_options": {"port": port}, "applications": [application]}
