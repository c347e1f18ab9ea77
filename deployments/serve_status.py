"""Serve's view of its applications.

`serve.status()` would do, but it validates the whole configuration of each deployment and, in doing so, pickles the
class of each one's router with all that this class refers to. Here the controller's answer is read as it comes, which
costs about a tenth of that in every process that asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ray.serve.context import _get_global_client

from deployments.local.status import ApplicationStatus, DeploymentStatus


def serve_status() -> dict[str, ApplicationStatus]:
    """The status of each application by its name; empty before Serve has started.

    Raises:
        RayError: Serve's controller does not answer; it may be starting anew.
    """
    client: Any = _get_global_client(raise_if_no_controller_running=False)
    return {} if client is None else applications_in(client.get_serve_details())


def applications_in(details: Mapping[str, Any]) -> dict[str, ApplicationStatus]:
    """The applications in what Serve's controller tells of itself, a dump of its `ServeInstanceDetails`."""
    return {
        name: ApplicationStatus(
            name=name,
            status=_word(application["status"]),
            message=application["message"],
            deployments=tuple(
                DeploymentStatus(
                    name=deployment_name,
                    status=_word(deployment["status"]),
                    message=deployment["message"],
                    replicas=dict(Counter(_word(replica["state"]) for replica in deployment["replicas"])),
                )
                for deployment_name, deployment in application["deployments"].items()
            ),
        )
        for name, application in details["applications"].items()
    }


def _word(state: Any) -> str:
    """Serve sends some states as members of an enumeration and some as their values."""
    word: str = getattr(state, "value", state)
    return word
