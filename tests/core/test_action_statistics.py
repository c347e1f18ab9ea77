"""Predicted actions in physical units: files of statistics, methods, refusals (spec 8.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_core.action_statistics import (
    ActionStatistics,
    Normalisation,
    StatisticsError,
    check_domain,
    find_normalisation,
    statistics_of,
)
from cosmos3_core.outputs import action_object

FLAT: dict[str, Any] = {
    "q01": [-0.5, 0.0, 2.0],
    "q99": [1.5, 0.0, 6.0],
    "min": [-1.0, 0.0, 0.0],
    "max": [3.0, 1.0, 8.0],
    "mean": [0.25, 0.5, 4.0],
    "std": [2.0, 1.0, 0.5],
}
# As the file of libero has them: rotations keep their values by `global`, and not by `global_raw`.
NESTED: dict[str, Any] = {
    "metadata": {"action_dim": 3},
    "global": {"q01": [-0.5, -1.0, -1.0], "q99": [1.5, 1.0, 1.0]},
    "global_raw": {"q01": [-0.5, 0.9, -0.25], "q99": [1.5, 1.0, 0.25]},
}
ROWS = np.array([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 0.5, -0.25]], np.float32)


def written(folder: Path, content: Any) -> Path:
    path = folder / "statistics.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("method", "low", "middle", "high"),
    [
        (Normalisation.QUANTILE, [-0.5, 0.0, 2.0], [0.5, 0.0, 4.0], [1.5, 0.0, 6.0]),
        (Normalisation.QUANTILE_ROT, [-0.5, 0.0, 2.0], [0.5, 0.0, 4.0], [1.5, 0.0, 6.0]),
        (Normalisation.MINMAX, [-1.0, 0.0, 0.0], [1.0, 0.5, 4.0], [3.0, 1.0, 8.0]),
        (Normalisation.MEANSTD, [-1.75, -0.5, 3.5], [0.25, 0.5, 4.0], [2.25, 1.5, 4.5]),
    ],
)
def test_each_method_is_undone(
    tmp_path: Path, method: Normalisation, low: list[float], middle: list[float], high: list[float]
) -> None:
    statistics = ActionStatistics.read(written(tmp_path, FLAT), method)
    physical = statistics.physical(ROWS)
    assert physical.dtype == np.float32 and statistics.width == 3
    assert physical[:3].tolist() == [low, middle, high]


@pytest.mark.parametrize("method", [Normalisation.QUANTILE, Normalisation.MINMAX, Normalisation.MEANSTD])
def test_the_formulas_of_the_specification_lead_back(tmp_path: Path, method: Normalisation) -> None:
    content = FLAT | {"q99": [1.5, 3.0, 6.0]}
    given = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    physical = ActionStatistics.read(written(tmp_path, content), method).physical(given).astype(np.float64)
    low, high = (np.array(content[name]) for name in (("min", "max") if method == "minmax" else ("q01", "q99")))
    forward = (physical - (high + low) / 2) / ((high - low) / 2)
    if method is Normalisation.MEANSTD:
        forward = (physical - np.array(content["mean"])) / np.array(content["std"])
    assert np.abs(forward - given).max() < 1e-5


def test_a_file_in_blocks_leaves_rotations_as_they_are_or_scales_them(tmp_path: Path) -> None:
    path = written(tmp_path, NESTED)
    kept = ActionStatistics.read(path, Normalisation.QUANTILE).physical(ROWS)
    assert kept[:, 1:].tolist() == ROWS[:, 1:].tolist() and kept[2].tolist() == [1.5, 1.0, 1.0]
    scaled = ActionStatistics.read(path, Normalisation.QUANTILE_ROT).physical(ROWS)
    assert scaled[0].tolist() == pytest.approx([-0.5, 0.9, -0.25])
    assert scaled[2].tolist() == pytest.approx([1.5, 1.0, 0.25])


@pytest.mark.parametrize("name", ["asinh", "asinh_rot", "piecewise_asinh_rot", "none"])
def test_a_method_that_cannot_be_undone_is_refused_by_name(name: str) -> None:
    with pytest.raises(StatisticsError, match=f"'{name}'.*expected one of quantile, quantile_rot, minmax, meanstd"):
        find_normalisation(name)
    assert find_normalisation("minmax") is Normalisation.MINMAX


@pytest.mark.parametrize(
    ("content", "method", "message"),
    [
        ([1, 2], "quantile", "is a list; expected an object"),
        ({}, "quantile", "has no q01; it has nothing"),
        ({"q01": [0.0]}, "quantile", "has no q99; it has q01"),
        ({"q01": [0.0], "q99": [1.0]}, "minmax", "has no min"),
        ({"q01": [0.0], "q99": [1.0, 2.0]}, "quantile", "has 1 and 2 channels"),
        ({"mean": [0.0], "std": [1.0, 2.0]}, "meanstd", "has 1 and 2 channels"),
        ({"q01": [0.0, 1.0], "q99": [1.0, 0.0]}, "quantile", "channel 1 ends below its start"),
        ({"q01": [], "q99": []}, "quantile", "q01 is not a list of finite numbers"),
        ({"q01": [0.0, None], "q99": [1.0, 1.0]}, "quantile", "q01 is not a list of finite numbers"),
        ({"q01": ["a"], "q99": [1.0]}, "quantile", "q01 is not a list of finite numbers"),
        ({"q01": [[0.0]], "q99": [[1.0]]}, "quantile", "q01 is not a list of finite numbers"),
        ({"q01": [float("nan")], "q99": [1.0]}, "quantile", "q01 is not a list of finite numbers"),
        ({"global": {"q01": [0.0], "q99": [1.0]}}, "quantile_rot", "has no object global_raw"),
        ({"global": [0.0]}, "quantile", "has no object global"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: Any, method: str, message: str) -> None:
    with pytest.raises(StatisticsError, match=message) as error:
        ActionStatistics.read(written(tmp_path, content), Normalisation(method))
    assert "statistics.json" in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StatisticsError, match=r"missing\.json: cannot be read as JSON"):
        ActionStatistics.read(tmp_path / "missing.json")
    (tmp_path / "words.json").write_text("q01")
    with pytest.raises(StatisticsError, match=r"words\.json: cannot be read as JSON"):
        ActionStatistics.read(tmp_path / "words.json")


def test_the_answer_has_physical_values_beside_the_normalised_ones(tmp_path: Path) -> None:
    statistics = ActionStatistics.read(written(tmp_path, FLAT), Normalisation.MINMAX)
    without, found = action_object(ROWS, "policy", 7), action_object(ROWS, "policy", 7, statistics)
    assert "physical" not in without and found.items() >= without.items()
    assert found["physical"] == {
        "data": statistics.physical(ROWS).tolist(),
        "units": "dataset",
        "method": "minmax",
    }


def test_statistics_are_found_by_the_name_of_the_embodiment_or_its_id(tmp_path: Path) -> None:
    one, other = (ActionStatistics.read(written(tmp_path, FLAT), Normalisation(name)) for name in ("minmax", "meanstd"))
    # Both have id 8, and statistics of their own.
    both = {"droid_lerobot": one, "robomind-franka": other}
    assert statistics_of(both, "robomind-franka", 8, 3) is other and statistics_of(both, "DROID_LeRobot", 8, 3) is one
    assert statistics_of(both, None, 8, 3) is None and statistics_of(both | {"8": other}, None, 8, 3) is other
    assert statistics_of({"droid_lerobot": one}, None, 8, 3) is one
    assert statistics_of({"droid_lerobot": one}, "robomind-franka", 8, 3) is None
    # The id wins over a name.
    assert statistics_of({"umi": one, "av": other}, "umi", 1, 3) is other
    assert statistics_of({"*": one, "av": other}, "umi", 6, 3) is one
    assert statistics_of({"*": one}, "umi", 6, 10) is None


@pytest.mark.parametrize("name", ["*", "8", "umi", "UMI"])
def test_a_domain_is_a_name_or_an_id(name: str) -> None:
    assert check_domain(name) == name.lower()


@pytest.mark.parametrize("name", ["marvin", "-1", "", "1.5"])
def test_a_domain_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(StatisticsError, match="expected a domain id or one of no_action, av, "):
        check_domain(name)


def test_statistics_of_another_width_are_not_used(tmp_path: Path) -> None:
    statistics = ActionStatistics.read(written(tmp_path, FLAT))
    assert "physical" not in action_object(ROWS[:, :2], "policy", 7, statistics)
