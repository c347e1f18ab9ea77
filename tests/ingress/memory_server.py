"""Serves an application over jobs that never run, behind the middleware of Serve's HTTP server.

Arguments: a checkpoint's folder, a folder for media, the intake's settings as JSON, and the descriptor of the socket.
"""

from __future__ import annotations

import os
import socket
import sys

import uvicorn
from starlette.types import ASGIApp

from cosmos3_core.checkpoint import Checkpoint
from deployments.ingress.app import create_app
from deployments.ingress.proxy import middleware
from deployments.names import INTAKE_VARIABLE
from deployments.settings.fetching import FetchSettings
from deployments.settings.front import FrontSettings
from deployments.settings.guardrails import GuardrailPolicy
from deployments.settings.intake import IntakeSettings
from deployments.wire.media_store import MediaStore
from tests.ingress.stubs import StubGraph, StubJobs, served_card


def main(checkpoint: str, folder: str, intake: str, descriptor: str) -> None:
    """Serve until the process is ended."""
    os.environ[INTAKE_VARIABLE] = intake
    fetch = FetchSettings(max_bytes=2**20)
    settings = FrontSettings(
        guardrails=GuardrailPolicy(mode="off"), intake=IntakeSettings.model_validate_json(intake), fetch=fetch
    )
    served = [served_card(Checkpoint.find(checkpoint).facts)]
    stub = StubGraph(served, settings=settings, media=MediaStore(folder), jobs=StubJobs())
    app: ASGIApp = create_app(stub.as_graph(), echo_request_id=False)
    for entry in middleware():
        app = entry.cls(app, *entry.args, **entry.kwargs)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, lifespan="off"))
    server.run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
