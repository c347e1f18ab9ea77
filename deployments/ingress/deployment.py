"""The Ingress deployment: a Starlette application per replica, without any state of its own."""

from __future__ import annotations

from typing import Any

from ray import serve
from starlette.applications import Starlette

from deployments.ingress.app import create_app
from deployments.ingress.graph import Graph
from deployments.settings.front import FrontSettings, ServedModels


@serve.ingress()
class Ingress:
    """Deployment: `serve.ingress()` without an argument takes the application from `__serve_build_asgi_app__`."""

    def __init__(self, settings: FrontSettings, jobs: Any) -> None:
        self.graph = Graph(settings, jobs.options(_by_reference=True))

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Serve passes `user_config` here at start and whenever it changes, without a restart."""
        self.graph.configure(ServedModels(**user_config))

    def __serve_build_asgi_app__(self) -> Starlette:
        return create_app(self.graph, echo_request_id=False)
