"""Domains, action widths and view points (spec 8.1, 8.6), with diffusers' tables as oracle."""

from __future__ import annotations

import pytest
from diffusers.pipelines.cosmos import pipeline_cosmos3_omni as oracle

from cosmos3_core.embodiments import EMBODIMENTS, VIEW_POINTS, Embodiment, find_embodiment
from cosmos3_core.errors import RequestError


@pytest.mark.parametrize(("name", "domain"), sorted(oracle._EMBODIMENT_TO_DOMAIN_ID.items()))
def test_diffusers_knows_the_same_domains_and_widths(name: str, domain: int) -> None:
    found = find_embodiment(name, None, 32)
    assert found == Embodiment(domain, oracle._EMBODIMENT_TO_RAW_ACTION_DIM.get(name))


@pytest.mark.parametrize(
    ("name", "domain", "width"),
    [
        ("embodiment_b", 9, 30),
        ("embodiment_c_gripper", 15, 29),
        ("embodiment_c_gripper_ext", 15, 29),
        ("xdof_yam", 16, 20),
        ("molmoact2_yam", 16, 20),
        ("abc_yam", 16, 20),
        ("robotwin", 17, 14),
        ("drawanything", 21, 3),
        ("behavior1k_lerobot", 22, 23),
        ("maniparena", 23, 20),
    ],
)
def test_the_domains_that_diffusers_lacks(name: str, domain: int, width: int) -> None:
    assert find_embodiment(name, None, 32) == Embodiment(domain, width)


def test_case_does_not_matter() -> None:
    assert find_embodiment("Bridge_Orig_LeRobot", None, 32) == Embodiment(7, 10)


@pytest.mark.parametrize(
    ("domain", "width"), [(1, 9), (8, 10), (9, 30), (15, 29), (0, None), (5, None), (10, None), (31, None)]
)
def test_a_domain_id_wins_and_brings_the_width_that_its_names_agree_on(domain: int, width: int | None) -> None:
    assert find_embodiment("umi", domain, 32) == Embodiment(domain, width)


@pytest.mark.parametrize(
    ("name", "domain", "field"),
    [
        (None, None, "domain_name"),
        ("marvin", None, "domain_name"),
        ("umi", -1, "domain_id"),
        (None, 32, "domain_id"),
    ],
)
def test_what_is_no_embodiment_is_refused(name: str | None, domain: int | None, field: str) -> None:
    with pytest.raises(RequestError) as error:
        find_embodiment(name, domain, 32)
    assert error.value.field == field


def test_every_domain_fits_the_published_matrices() -> None:
    assert all(0 <= e.domain < 32 and (e.width is None or e.width <= 64) for e in EMBODIMENTS.values())


def test_the_view_points_are_the_sentences_of_training() -> None:
    assert VIEW_POINTS == oracle._ACTION_VIEWPOINT_TEMPLATES
