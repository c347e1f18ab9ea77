"""Contact sheets: the frames at the spans' starts, and bars where the spans lie."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import decode_video
from cosmos3_core.workflows.annotate import annotated
from cosmos3_core.workflows.answers import Actions, Caption, Result, Span, Spans, Unreadable, Verdict
from cosmos3_core.workflows.contact_sheet import (
    GAP,
    MARGIN,
    MAX_FRAMES,
    MAX_ROWS,
    ROW,
    TILE_WIDTH,
    WIDTH,
    contact_sheet,
    position_of,
    time_line,
)
from cosmos3_core.workflows.drawing import COLOURS, colour_of
from cosmos3_core.workflows.medium import Medium, MediumKind
from tests.core.workflows.samples import short_video

TILE_HEIGHT = 180


def spans(*ends: tuple[float, float]) -> Spans:
    return Spans(spans=tuple(Span(start=start, end=end, label="event") for start, end in ends))


def tile(sheet: NDArray[np.uint8], column: int) -> NDArray[np.uint8]:
    left = GAP + column * (TILE_WIDTH + GAP)
    return sheet[GAP : GAP + TILE_HEIGHT, left : left + TILE_WIDTH]


def test_the_frames_are_those_at_the_starts() -> None:
    medium = short_video(24, 12)
    sheet = annotated(medium, spans((1.5, 2.0), (0.5, 1.0)))
    frames = decode_video(medium.content).frames
    for column, index in enumerate((6, 18)):
        # The frame's own pixels lie 3.75 apart; the border and the label cover the rest.
        inner = tile(sheet, column)[10:120:15, 10:230:15].astype(float)
        expected = [
            np.abs(inner - frame.repeat(15, 0).repeat(15, 1)[40:480:60, 40:920:60].astype(float)).mean()
            for frame in frames
        ]
        assert int(np.argmin(expected)) == index
        assert tuple(tile(sheet, column)[0, 120]) == colour_of(column)


def test_the_time_line_has_a_bar_for_each_span() -> None:
    line = np.asarray(time_line(spans((0, 5), (5, 10)).spans, 10))
    middle = WIDTH // 2
    first, second = GAP + ROW // 2, GAP + ROW + ROW // 2
    assert tuple(line[first, MARGIN + 5]) == colour_of(0) == tuple(line[first, middle - 5])
    assert tuple(line[second, middle + 5]) == colour_of(1) == tuple(line[second, WIDTH - MARGIN - 5])
    assert tuple(line[second, MARGIN + 5]) not in COLOURS


def test_a_short_span_can_be_seen() -> None:
    line = np.asarray(time_line(spans((5, 5)).spans, 10))
    assert tuple(line[GAP + ROW // 2, round(position_of(5, 10)) + 1]) == colour_of(0)


@pytest.mark.parametrize(
    ("time", "length", "position"),
    [(0, 10, MARGIN), (10, 10, WIDTH - MARGIN), (5, 10, WIDTH / 2), (99, 10, WIDTH - MARGIN), (5, 0, MARGIN)],
)
def test_places_on_the_time_line(time: float, length: float, position: float) -> None:
    assert position_of(time, length) == position


def test_more_spans_than_there_is_room_for() -> None:
    many = spans(*((index / 10, index / 10 + 0.1) for index in range(40)))
    sheet = contact_sheet(short_video(), many)
    assert sheet.height == 2 * (TILE_HEIGHT + GAP) + GAP + (MAX_ROWS + 2) * ROW + 2 * GAP
    assert MAX_FRAMES == 8


@pytest.mark.parametrize(
    "result",
    [Caption(text="A pattern."), Actions(answer="Wait."), Verdict(plausible=True), Spans(), Unreadable(reason="empty")],
    ids=lambda result: result.kind,
)
def test_other_answers_stand_below_frames_of_the_whole_video(result: Result) -> None:
    sheet = np.asarray(contact_sheet(short_video(), result))
    below = 2 * (TILE_HEIGHT + GAP) + GAP
    assert sheet.shape[1] == WIDTH and sheet.shape[0] > below
    assert (sheet[below:] < 128).any()


@pytest.mark.parametrize("frames", [1, 2])
def test_videos_of_one_frame_or_two(frames: int) -> None:
    assert contact_sheet(short_video(frames), Caption(text="short")).width == WIDTH
    assert contact_sheet(short_video(frames), spans((0, 9))).width == WIDTH


def test_content_that_cannot_be_decoded() -> None:
    with pytest.raises(MediaError):
        contact_sheet(Medium(MediumKind.VIDEO, 4, 4, 1.0, b"no video"), Caption(text="a"))
