"""How far a graph is: what the process that deploys it reports, and how that crosses a pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class DeploymentStatus:
    """A deployment's status in Serve's words; `replicas` counts them by state."""

    name: str
    status: str
    message: str
    replicas: Mapping[str, int]

    @property
    def healthy(self) -> bool:
        """Whether it serves."""
        return self.status == "HEALTHY"


@dataclass(frozen=True)
class ApplicationStatus:
    """An application's status in Serve's words."""

    name: str
    status: str
    message: str
    deployments: tuple[DeploymentStatus, ...]


@dataclass(frozen=True)
class GraphStatus:
    """How far a graph is.

    Attributes:
        phase: what it does: starting, starting Ray, starting Serve, deploying, serving or stopping.
        ray_address: host and port of Ray's GCS; empty until Ray has started.
        applications: the status of each application; empty until Serve has started.
    """

    phase: str = "starting"
    ray_address: str = ""
    applications: tuple[ApplicationStatus, ...] = ()

    @property
    def running(self) -> bool:
        """Whether every application runs."""
        return bool(self.applications) and all(one.status == "RUNNING" for one in self.applications)

    @property
    def failed(self) -> ApplicationStatus | None:
        """The first application that Serve gave up."""
        return next((one for one in self.applications if one.status == "DEPLOY_FAILED"), None)

    def encode(self) -> bytes:
        """The line that `decode` reads."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> GraphStatus:
        """The status in a line."""
        fields = json.loads(line)
        applications = (
            ApplicationStatus(**{**one, "deployments": tuple(DeploymentStatus(**each) for each in one["deployments"])})
            for one in fields["applications"]
        )
        return cls(fields["phase"], fields["ray_address"], tuple(applications))
