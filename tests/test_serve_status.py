"""Serve's status, as its controller sends it."""

from __future__ import annotations

from ray import serve
from ray.serve.schema import ServeInstanceDetails

from deployments.local.status import ApplicationStatus, DeploymentStatus
from deployments.serve_status import applications_in


def test_states_may_be_words_or_members_of_an_enumeration() -> None:
    replicas = [{"state": "RUNNING"}, {"state": serve.schema.ReplicaState.RUNNING}, {"state": "STARTING"}]  # type: ignore[attr-defined]
    deployment = {"status": serve.schema.DeploymentStatus.HEALTHY, "message": "m", "replicas": replicas}  # type: ignore[attr-defined]
    details = {"applications": {"app": {"status": "RUNNING", "message": "", "deployments": {"X": deployment}}}}
    stage = DeploymentStatus("X", "HEALTHY", "m", {"RUNNING": 2, "STARTING": 1})
    assert applications_in(details) == {"app": ApplicationStatus("app", "RUNNING", "", (stage,))}


def test_serve_without_applications_has_no_status() -> None:
    assert applications_in(ServeInstanceDetails.get_empty_schema_dict()) == {}
