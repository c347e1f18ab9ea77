"""A fixed list of requests has the bits and the manifests it had at commit 6f5b030, whatever has changed since.

Renamed fields of a manifest are read as what they were called then. Where a processor's kernels compute other bits even
when pinned, which `fingerprint` tells, the latents' values are compared instead of their hashes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.manifest import Manifest
from tests.golden.requests import DISTILLED, FAMILIES, names_of
from tests.golden.run import PINNED

ROOT = Path(__file__).parents[2]
RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("records.json").read_text(encoding="utf-8"))
OTHER_KERNELS = 1e-3
"""Largest difference of a summary's numbers between machines whose kernels differ; guided steps amplify rounding."""
TIMES: dict[str, Any] = {"created_at": 0.0, "stage_seconds": {}, "versions": {}}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("golden")
    subprocess.run(
        [sys.executable, "-m", "tests.golden.run", str(folder)],
        cwd=ROOT,
        env=os.environ | PINNED,
        check=True,
        timeout=500,
    )
    records: dict[str, Any] = json.loads((folder / "records.json").read_text(encoding="utf-8"))
    return records


def _same_kernels(found: dict[str, Any]) -> bool:
    return bool(found["fingerprint"] == RECORDED["fingerprint"])


def _alike(summary: dict[str, list[float]], recorded: dict[str, list[float]]) -> None:
    assert summary.keys() == recorded.keys()
    for modality, numbers in recorded.items():
        assert summary[modality] == pytest.approx(numbers, abs=OTHER_KERNELS), modality


@pytest.mark.parametrize("family", FAMILIES)
def test_the_list_is_the_recorded_one(found: dict[str, Any], family: str) -> None:
    for way in ("alone", "sharded"):
        assert found[family][way].keys() == RECORDED[family][way].keys()
    modes = {one["manifest"]["mode"] for one in RECORDED[family]["alone"].values()}
    assert len(modes) == 7 and set(names_of(family)) | {f"distilled {name}" for name in DISTILLED} >= set(
        RECORDED[family]["alone"]
    )


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILIES for name in RECORDED[family]["alone"]]
)
def test_a_result_and_its_manifest_are_what_they_were(found: dict[str, Any], family: str, name: str) -> None:
    now, before = found[family]["alone"][name], RECORDED[family]["alone"][name]
    manifests = [Manifest.model_validate(one["manifest"] | TIMES).model_dump(mode="json") for one in (now, before)]
    hashes = [manifest.pop("latents_sha256") for manifest in manifests]
    # What a distilled checkpoint ignores was not said then.
    assert bool(manifests[0]["resolved"].pop("ignored", None)) is name.startswith("distilled")
    assert manifests[0] == manifests[1]
    if _same_kernels(found):
        assert hashes[0] == hashes[1]
    _alike(now["summary"], before["summary"])


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILIES for name in RECORDED[family]["sharded"]]
)
def test_ranks_that_share_a_request_come_to_the_bits_they_had(found: dict[str, Any], family: str, name: str) -> None:
    now, before = found[family]["sharded"][name], RECORDED[family]["sharded"][name]
    if _same_kernels(found):
        assert now["latents_sha256"] == before["latents_sha256"]
    _alike(now["summary"], before["summary"])
