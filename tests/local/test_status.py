"""A graph's status: what follows from it, and its way through a pipe."""

from __future__ import annotations

import pytest

from deployments.local.status import ApplicationStatus, DeploymentStatus, GraphStatus


def graph(*statuses: str) -> GraphStatus:
    stage = DeploymentStatus("Encoder", "HEALTHY", "a\nmessage", {"RUNNING": 2, "STARTING": 1})
    applications = (ApplicationStatus(f"app{n}", status, "é", (stage,)) for n, status in enumerate(statuses))
    return GraphStatus("deploying", "127.0.0.1:6379", tuple(applications))


@pytest.mark.parametrize("status", [GraphStatus(), graph("RUNNING", "DEPLOYING")])
def test_a_status_is_one_line_and_comes_back_as_it_was(status: GraphStatus) -> None:
    line = status.encode()
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert GraphStatus.decode(line) == status


def test_a_graph_runs_when_all_its_applications_do() -> None:
    assert graph("RUNNING", "RUNNING").running
    assert not graph("RUNNING", "DEPLOYING").running
    assert not GraphStatus().running


def test_the_first_application_that_failed() -> None:
    failed = graph("RUNNING", "DEPLOY_FAILED", "DEPLOY_FAILED").failed
    assert failed is not None and failed.name == "app1"
    assert graph("RUNNING", "UNHEALTHY").failed is None
