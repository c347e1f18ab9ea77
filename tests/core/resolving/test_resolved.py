"""A request cut into the parts that it is made in (spec 8.7, 9.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.inputs import MediaInputs
from cosmos3_core.request import GenerationRequest
from cosmos3_core.resolving.resolve import resolve
from cosmos3_core.resolving.resolved import Part, ResolvedRequest, cut, opening_frames, part_of
from tests.published import NANO

ROWS = np.arange(80, dtype=np.float32).reshape(8, 10)


def rollout(**fields: Any) -> ResolvedRequest:
    given: dict[str, Any] = {"mode": "forward_dynamics", "prompt": "", "domain_name": "umi", "action": ROWS}
    request = GenerationRequest(**given | {"action_chunk_size": 4} | fields)
    return resolve(request, NANO, MediaInputs(np.zeros((1, 64, 64, 3), np.uint8)))


@pytest.mark.parametrize(
    ("total", "length", "overlap", "starts"),
    [
        (9, 9, 1, (0,)),
        (5, 9, 1, (0,)),
        (17, 9, 1, (0, 8)),
        (18, 9, 1, (0, 8, 16)),
        (186, 93, 1, (0, 92, 184)),
        (185, 93, 1, (0, 92)),
        (20, 9, 0, (0, 9, 18)),
        (20, 9, 5, (0, 4, 8, 12)),
        (3, 1, 0, (0, 1, 2)),
    ],
)
def test_where_parts_start(total: int, length: int, overlap: int, starts: tuple[int, ...]) -> None:
    assert cut(total, length, overlap) == starts


@given(st.integers(1, 300), st.integers(1, 60), st.integers(0, 59))
def test_parts_cover_every_frame_once(total: int, length: int, overlap: int) -> None:
    overlap = min(overlap, length - 1)
    starts = cut(total, length, overlap)
    parts = [Part(i, start, min(start + length, total), overlap if i else 0) for i, start in enumerate(starts)]
    made = [list(range(part.start, part.stop))[part.new_frames] for part in parts]
    assert [frame for frames in made for frame in frames] == list(range(total)) and all(made)


@pytest.mark.parametrize(("overlap", "frames"), [(0, ()), (1, (0,)), (2, (0,)), (4, (0,)), (5, (0, 1)), (9, (0, 1, 2))])
def test_given_frames_fill_whole_latent_frames(overlap: int, frames: tuple[int, ...]) -> None:
    assert opening_frames(overlap) == frames


def test_each_part_has_its_own_actions_and_the_next_seed() -> None:
    whole = rollout(seed=7)
    assert whole.num_frames == 9 and whole.part_frames == 5
    assert whole.parts == (Part(0, 0, 5, 0), Part(1, 4, 9, 1))
    for index in range(2):
        part = part_of(whole, index)
        assert part.sampling.seed == 7 + index and part.parts == (whole.parts[index],)
        assert part.action is not None and part.action.rows is not None
        assert np.array_equal(part.action.rows, ROWS[4 * index : 4 * index + 4])
        assert part.layout == whole.layout and part.layout.action_rows == 4


@pytest.mark.parametrize(("seed", "second"), [(-1, 0), (2**63 - 1, -(2**63)), (-(2**63), -(2**63) + 1)])
def test_the_seed_after_the_last_is_the_first(seed: int, second: int) -> None:
    assert part_of(rollout(seed=seed), 1).sampling.seed == second


def test_a_request_of_one_part_is_its_only_part() -> None:
    whole = rollout(action=ROWS[:4])
    assert part_of(whole, 0) is whole and whole.parts == (Part(0, 0, 5, 0),)
