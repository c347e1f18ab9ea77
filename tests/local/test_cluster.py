"""Cluster files: the Serve config inside, what fits where, what must be the same on every node."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deployments.local.recipes import load_recipe
from deployments.settings.front import FrontSettings
from tests import recipes
from tests.recipes import RAY_SERVICE, RAY_UP, ROOT, Resources, Stage

UNITS = {"Gi": 1024**3, "Mi": 1024**2}


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    spec: dict[str, Any] = recipes.load(RAY_SERVICE)["spec"]["rayClusterConfig"]
    return spec


@pytest.fixture
def stages() -> list[Stage]:
    return recipes.stages(recipes.ray_service_config())


def quantity(text: str) -> float:
    return float(text[:-2]) * UNITS[text[-2:]] if text[-2:] in UNITS else float(text)


def container(group: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = group["template"]["spec"]["containers"][0]
    return found


def pod(group: dict[str, Any]) -> Resources:
    limits = container(group)["resources"]["limits"]
    return {"CPU": quantity(limits["cpu"]), "GPU": quantity(limits.get("nvidia.com/gpu", "0"))}


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def demand(stages: list[Stage], most: int, resource: str) -> float:
    return sum(stage.replicas[most] * stage.total.get(resource, 0.0) for stage in stages)


# KubeRay


def test_the_serve_config_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(recipes.load(RAY_SERVICE)["spec"]["serveConfigV2"], encoding="utf-8")
    assert recipes.problems(load_recipe(path)) == []


def test_jobs_and_media_are_where_every_node_reaches_them() -> None:
    front = recipes.settings_of(recipes.ray_service_config()["applications"][0])
    assert isinstance(front, FrontSettings)
    assert not front.database_url.startswith("sqlite")
    assert not front.media_url.startswith("file")


def test_a_replica_fits_one_pod(cluster: dict[str, Any], stages: list[Stage]) -> None:
    nodes = {group["groupName"]: pod(group) for group in cluster["workerGroupSpecs"]}
    assert [stage.name for stage in stages if not recipes.fits(stage, nodes)] == []


def test_no_stage_starts_on_the_head(cluster: dict[str, Any], stages: list[Stage]) -> None:
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert [stage.name for stage in stages if not stage.total["CPU"]] == []


@pytest.mark.parametrize(("most", "count"), [(0, "minReplicas"), (1, "maxReplicas")])
@pytest.mark.parametrize("resource", ["CPU", "GPU"])
def test_the_pods_suffice(cluster: dict[str, Any], stages: list[Stage], most: int, count: str, resource: str) -> None:
    there = sum(group[count] * pod(group)[resource] for group in cluster["workerGroupSpecs"])
    assert demand(stages, most, resource) <= there


def test_a_card_holds_whatever_ray_puts_on_it(stages: list[Stage]) -> None:
    for together in recipes.cards(stages):
        assert sum(map(recipes.memory, together)) <= recipes.CARD, [stage.name for stage in together]


def test_drains_outlast_requests(cluster: dict[str, Any], stages: list[Stage]) -> None:
    timeout = recipes.ray_service_config()["http_options"]["request_timeout_s"]
    drains = {stage.name: stage.drain_s for stage in stages}
    assert min(drains["Ingress"], drains["Generator"]) >= timeout
    for group in cluster["workerGroupSpecs"]:
        assert group["template"]["spec"]["terminationGracePeriodSeconds"] > max(drains.values())
    assert float(environment(groups(cluster)[0])["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) > timeout


def environment(group: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(group)["env"]}


def test_all_pods_have_one_environment_and_one_image(cluster: dict[str, Any]) -> None:
    head, *workers = groups(cluster)
    for worker in workers:
        assert environment(worker) == environment(head)
        assert container(worker)["image"] == container(head)["image"]


def test_shared_memory_holds_the_object_store_and_fits_the_pod(cluster: dict[str, Any]) -> None:
    for group in groups(cluster):
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        shared = quantity(volumes["shm"]["emptyDir"]["sizeLimit"])
        assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
        assert float(group["rayStartParams"]["object-store-memory"]) <= shared
        assert shared <= quantity(container(group)["resources"]["limits"]["memory"]) / 4
        mounts = {mount["name"]: mount["mountPath"] for mount in container(group)["volumeMounts"]}
        assert mounts.keys() == volumes.keys() and mounts["shm"] == "/dev/shm"


def test_readiness_is_the_graphs_own(cluster: dict[str, Any]) -> None:
    port = recipes.ray_service_config()["http_options"]["port"]
    for group in cluster["workerGroupSpecs"]:
        probe = container(group)["readinessProbe"]["httpGet"]
        assert probe == {"path": "/v1/health/ready", "port": port}


def test_the_versions_are_those_of_the_project(cluster: dict[str, Any]) -> None:
    pinned = re.search(r"ray\[serve\]==([\d.]+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert pinned is not None and cluster["rayVersion"] == pinned[1]
    assert f":{pinned[1]}-py311" in (ROOT / "cluster" / "Dockerfile.gpu").read_text(encoding="utf-8")


# `ray up`


def test_rays_schema_takes_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(recipes.load(RAY_UP)))


def test_the_nodes_take_the_same_graph(stages: list[Stage]) -> None:
    config = recipes.load(RAY_UP)
    kinds: dict[str, Any] = {
        name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]
    }
    assert all(recipes.fits(stage, {name: kind["resources"] for name, kind in kinds.items()}) for stage in stages)
    for most, count in enumerate(("min_workers", "max_workers")):
        for resource in ("CPU", "GPU"):
            there = sum(kind[count] * kind["resources"].get(resource, 0) for kind in kinds.values())
            assert demand(stages, most, resource) <= there
    assert sum(kind["max_workers"] for kind in kinds.values()) <= config["max_workers"]


def test_both_clusters_set_the_same_flags(cluster: dict[str, Any]) -> None:
    options = recipes.load(RAY_UP)["docker"]["run_options"]
    said = dict(option.removeprefix("-e ").split("=", 1) for option in options if option.startswith("-e RAY_SERVE"))
    expected = environment(cluster["headGroupSpec"])
    assert said == {name: value for name, value in expected.items() if name.startswith("RAY_SERVE")}
