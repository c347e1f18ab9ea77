"""What an answer of the Reasoner is once it is read: positions in pixels, times in seconds, texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Box(_Value):
    """A rectangle in pixels of the image: left `x1`, top `y1`, right `x2`, bottom `y2`, with `x1 <= x2`, `y1 <= y2`."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    description: str = ""


class Point(_Value):
    """A position in pixels of the image, counted from its upper left corner."""

    x: float
    y: float
    label: str = ""


class Span(_Value):
    """A part of the video, in seconds from its first frame, with `start <= end`."""

    start: float
    end: float
    label: str = ""


class Caption(_Value):
    """A text that describes the image or video."""

    kind: Literal["caption"] = "caption"
    text: str


class Spans(_Value):
    """Parts of the video, in the order of the answer; none where the answer says that nothing was found."""

    kind: Literal["spans"] = "spans"
    spans: tuple[Span, ...] = ()


class Actions(_Value):
    """The reply to the question, and the actions it names, in order; a question about facts has none."""

    kind: Literal["actions"] = "actions"
    answer: str = ""
    actions: tuple[str, ...] = ()


class Regions(_Value):
    """Boxes and points, in the order of the answer; none where the answer says that nothing was found."""

    kind: Literal["regions"] = "regions"
    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()


class Trajectory(_Value):
    """The positions that something moves through, in order."""

    kind: Literal["trajectory"] = "trajectory"
    points: tuple[Point, ...]


class Verdict(_Value):
    """Whether what the video shows is physically plausible, and why."""

    kind: Literal["verdict"] = "verdict"
    plausible: bool
    explanation: str = ""


class Label(_Value):
    """A short name for what is seen, and why it is that."""

    kind: Literal["label"] = "label"
    label: str
    explanation: str = ""


class Unreadable(_Value):
    """The answer is not of the form that was asked for; `reason` says what is missing. `Answer.text` has the text."""

    kind: Literal["unreadable"] = "unreadable"
    reason: str


Result = Annotated[
    Caption | Spans | Actions | Regions | Trajectory | Verdict | Label | Unreadable, Field(discriminator="kind")
]


class Answer(_Value):
    """The answer of one workflow.

    Attributes:
        workflow: the workflow's name.
        result: the typed value, or `Unreadable`.
        reasoning: the text inside `<think>`; None where there is none.
        text: the whole answer as the model wrote it.
    """

    workflow: str
    result: Result
    reasoning: str | None = None
    text: str
