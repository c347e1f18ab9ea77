"""The table of workflows: what each is for, what it needs, and which form its answer has.

They are the eight of NVIDIA's Reasoner cookbook. `parsing` has a reader for each form.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cosmos3_core.errors import RequestError
from cosmos3_core.workflows.medium import MediumKind

VIDEO_FPS = 4
"""Frames per second at which the Reasoner sees a video (spec 10.5)."""


class Form(StrEnum):
    """The form of an answer; the values are the `kind` of the types in `answers`."""

    CAPTION = "caption"
    SPANS = "spans"
    ACTIONS = "actions"
    REGIONS = "regions"
    TRAJECTORY = "trajectory"
    VERDICT = "verdict"
    LABEL = "label"


IMAGE, VIDEO = MediumKind.IMAGE, MediumKind.VIDEO
_WITH_ARTICLE = {IMAGE: "an image", VIDEO: "a video"}


@dataclass(frozen=True)
class Workflow:
    """One kind of question.

    Attributes:
        name: as the command line takes it.
        purpose: one line that says what it is for.
        media: what it can be asked about.
        reasons: whether the model thinks before it answers, unless the caller decides.
        form: the form of the answer.
        form_text: the part of the prompt that asks for this form.
        question: the question where the user gives none; None where the user must give one.
        example: a question that a user may ask.
        aliases: other names.
    """

    name: str
    purpose: str
    media: tuple[MediumKind, ...]
    reasons: bool
    form: Form
    form_text: str
    question: str | None
    example: str
    aliases: tuple[str, ...] = ()

    def check_medium(self, kind: MediumKind) -> None:
        """Refuse a medium that the workflow cannot be asked about.

        Raises:
            RequestError: with what would be right.
        """
        if kind not in self.media:
            needed = " or ".join(_WITH_ARTICLE[accepted] for accepted in self.media)
            raise RequestError("medium", f"is {_WITH_ARTICLE[kind]}; {self.name} needs {needed}")

    def ask(self, question: str | None) -> str:
        """The user's question, or the workflow's own.

        Raises:
            RequestError: neither exists.
        """
        asked = (question or "").strip() or self.question
        if asked is None:
            raise RequestError("question", f'is missing; {self.name} needs one such as "{self.example}"')
        return asked


_ROWS = (
    Workflow(
        name="caption",
        purpose="Describe what an image or a video shows.",
        media=(IMAGE, VIDEO),
        reasons=False,
        form=Form.CAPTION,
        form_text="",
        question="Describe what is shown, in detail.",
        example="Describe the scene in three sentences.",
    ),
    Workflow(
        name="temporal-localization",
        purpose="Find the events of a video and when each starts and ends.",
        media=(VIDEO,),
        reasons=False,
        form=Form.SPANS,
        form_text=(
            "Answer with a JSON list that has one object for each event, in the order of time: "
            '{"start": "mm:ss.ff", "end": "mm:ss.ff", "event": "what happens"}. '
            "If there is no such event, answer with an empty list."
        ),
        question="Which events happen in this video?",
        example="When does somebody open a door?",
    ),
    Workflow(
        name="embodied-reasoning",
        purpose="Answer a question of common sense, or say what a robot should do next.",
        media=(IMAGE, VIDEO),
        reasons=True,
        form=Form.ACTIONS,
        form_text=(
            'Answer with a JSON object: {"answer": "your reply in one sentence", "actions": ["first action", ...]}. '
            "Leave the list of actions empty if the question does not ask for actions."
        ),
        question=None,
        example="The robot is to clear the table. What should it do next?",
        aliases=("common-sense",),
    ),
    Workflow(
        name="grounding-2d",
        purpose="Find things in an image, as boxes or as points.",
        media=(IMAGE,),
        reasons=False,
        form=Form.REGIONS,
        form_text=(
            "Answer with a JSON list that has one object for each thing: "
            '{"bbox_2d": [x1, y1, x2, y2], "label": "name"}, '
            'or {"point_2d": [x, y], "label": "name"} if the question asks for points. '
            "Coordinates go from 0 to 1000 along each side of the image, from its upper left corner. "
            "If the thing is not there, answer with an empty list."
        ),
        question=None,
        example="Find every cup.",
    ),
    Workflow(
        name="describe-anything",
        purpose="Describe chosen things in an image, each with its box.",
        media=(IMAGE,),
        reasons=False,
        form=Form.REGIONS,
        form_text=(
            "Answer with a JSON list that has one object for each thing: "
            '{"bbox_2d": [x1, y1, x2, y2], "label": "name", "description": "one or two sentences about it"}. '
            "Coordinates go from 0 to 1000 along each side of the image, from its upper left corner."
        ),
        question="Describe every main object in the image.",
        example="Describe what lies on the table.",
    ),
    Workflow(
        name="action-chain-of-thought",
        purpose="Plan the path of a robot's hand through an image for a task.",
        media=(IMAGE,),
        reasons=True,
        form=Form.TRAJECTORY,
        form_text=(
            "Plan the path that the end of the robot's arm has to take in the image for this. Answer with a JSON list "
            'of its points in order: {"point_2d": [x, y], "label": "what happens there"}. '
            "Coordinates go from 0 to 1000 along each side of the image, from its upper left corner."
        ),
        question=None,
        example="Put the red cup to the right of the blue one.",
    ),
    Workflow(
        name="physical-plausibility",
        purpose="Judge whether what a video shows obeys the laws of physics.",
        media=(VIDEO,),
        reasons=True,
        form=Form.VERDICT,
        form_text=(
            "Answer with a JSON object: "
            '{"verdict": "plausible" or "implausible", "explanation": "why, in one sentence"}.'
        ),
        question="Does everything in this video obey the laws of physics?",
        example="Does the ball fall as it would in reality?",
    ),
    Workflow(
        name="situation-understanding",
        purpose="Name the situation that a video or an image shows, and what it means.",
        media=(IMAGE, VIDEO),
        reasons=True,
        form=Form.LABEL,
        form_text=(
            'Answer with a JSON object: {"situation": "its name in a few words", '
            '"explanation": "what shows it, what may happen next and what to watch out for"}.'
        ),
        question="Which situation is this?",
        example="Is anybody in danger here?",
    ),
)
WORKFLOWS: dict[str, Workflow] = {row.name: row for row in _ROWS}
_BY_ANY_NAME = WORKFLOWS | {alias: row for row in _ROWS for alias in row.aliases}


def find_workflow(name: str) -> Workflow:
    """The workflow of a name; case does not matter, and underscores are read as hyphens.

    Raises:
        RequestError: there is none; with the names there are.
    """
    found = _BY_ANY_NAME.get(name.strip().lower().replace("_", "-"))
    if found is None:
        raise RequestError("workflow", f"is {name!r}; expected one of {', '.join(_BY_ANY_NAME)}")
    return found
