"""Questions about pictures and clips for the Reasoner, with their answers in the form of its workflows.

Prompts are those that `cosmos3_core.workflows.chat` writes, and `cosmos3_core.workflows.parsing` reads the answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from numpy.random import Generator

from cosmos3_core.workflows.chat import prompt_text
from cosmos3_core.workflows.table import find_workflow
from examples.tiny_world.chance import one_of
from examples.tiny_world.scenes.facts import Facts, MotionKind, ShapeFacts, facts_of
from examples.tiny_world.scenes.motion import EventKind
from examples.tiny_world.scenes.palette import COLOURS
from examples.tiny_world.scenes.scene import Body, ClipFormat, FlawKind, Scene
from examples.tiny_world.scenes.shapes import ShapeKind
from examples.tiny_world.texts.sentences import event_words, motion_words, place_words, sentence, with_article

EVENT_LASTS = 0.25
"""How long an event that happens at a moment is said to last, in seconds."""
REASONER_FORMAT = ClipFormat(frames=17, fps=8.0)
"""Of the clips that are asked about: two seconds, of which the Reasoner sees four frames each."""
SCALE = 1000
"""The coordinate of the far edge of a picture."""


@dataclass(frozen=True)
class Question:
    """A question with its answer.

    Attributes:
        workflow: name in the table of workflows.
        question: as the user asks it; None for the workflow's own.
        answer: as the model should answer, without its reasoning.
        reasoning: what it should think before it answers.
        is_image: whether it is about the first frame instead of the clip.
    """

    workflow: str
    question: str | None
    answer: str
    reasoning: str = ""
    is_image: bool = False

    def prompt(self, reasons: bool = False) -> str:
        """The text of the user's message, which stands after the picture or clip."""
        workflow = find_workflow(self.workflow)
        return prompt_text(workflow, workflow.ask(self.question), reasons)

    def reply(self, reasons: bool = False) -> str:
        """The model's whole answer."""
        return f"<think>{self.reasoning}</think>\n{self.answer}" if reasons else self.answer


def questions_about(scene: Scene, rng: Generator) -> list[Question]:
    """Questions that make sense for a scene: only whether it is plausible for one with a flaw."""
    if scene.flaw is not None:
        return [plausibility(scene)]
    facts = facts_of(scene)
    found = [caption(facts, rng, is_image=True), grounding(scene, facts, rng), description(scene, facts, rng)]
    is_picture = scene.format.frames == 1
    found += [*facts_asked(facts, rng, is_picture), *yes_or_no(facts, rng, is_picture)]
    if not is_picture:
        found += [caption(facts, rng), events(scene, facts, rng), situation(facts), plausibility(scene)]
    return found


def caption(facts: Facts, rng: Generator, is_image: bool = False) -> Question:
    """What is shown."""
    asked = one_of(rng, (None, "Describe what you see.", f"What does this {'image' if is_image else 'video'} show?"))
    return Question("caption", asked, sentence(facts, rng, is_image=is_image), is_image=is_image)


def facts_asked(facts: Facts, rng: Generator, is_image: bool = False) -> list[Question]:
    """Questions about one fact each: colour, shape, number, ground and, of a clip, direction."""
    shape = one_of(rng, facts.shapes)
    count = len(facts.shapes)
    pairs = [("What color is the ground?", f"The ground is {facts.ground}.")]
    pairs.append(("How many shapes are there?", f"There {'is 1 shape' if count == 1 else f'are {count} shapes'}."))
    if len({one.kind for one in facts.shapes}) == count:
        pairs.append((f"What color is the {shape.kind}?", f"The {shape.kind} is {shape.colour}."))
    pairs.append((f"Which shape is {shape.colour}?", f"The {shape.kind} is {shape.colour}."))
    pairs.append((f"Where is the {shape.name}?", f"It is {place_words(shape, facts.aspect)}."))
    if not is_image:
        pairs.append((f"How does the {shape.name} move?", f"It {motion_words(shape.path, rng)}."))
    return [Question("embodied-reasoning", asked, _reply(said), said, is_image) for asked, said in pairs]


def yes_or_no(facts: Facts, rng: Generator, is_image: bool = False) -> list[Question]:
    """Questions that are answered with yes or no, half of them with each: as a judge of generated clips asks."""
    shape = one_of(rng, facts.shapes)
    colours = [shape.colour, one_of(rng, [name for name in COLOURS if name not in _colours(facts)])]
    kinds = [shape.kind, one_of(rng, [kind for kind in ShapeKind if kind not in {one.kind for one in facts.shapes}])]
    pairs = [(f"Is there {with_article(f'{colour} {shape.kind}')}?", colour == shape.colour) for colour in colours]
    pairs += [(f"Is the {shape.colour} shape a {kind}?", kind is shape.kind) for kind in kinds]
    direction = shape.path.direction
    if not is_image and direction is not None:
        wrong = one_of(rng, [to for to in type(direction) if to not in (direction, shape.path.direction_after)])
        pairs += [(f"Does the {shape.name} move {to}?", to is direction) for to in (direction, wrong)]
    return [
        Question(
            "embodied-reasoning", asked, json.dumps({"answer": "Yes." if holds else "No.", "actions": []}), "", is_image
        )
        for asked, holds in pairs
    ]


def grounding(scene: Scene, facts: Facts, rng: Generator) -> Question:
    """Where something is in the first frame: one shape, all shapes, or one that is not there."""
    chance = rng.random()
    if chance < 0.15:
        absent = one_of(rng, [name for name in COLOURS if name not in _colours(facts)])
        return Question("grounding-2d", f"Find the {absent} {one_of(rng, list(ShapeKind))}.", "[]", is_image=True)
    bodies = scene.bodies if chance < 0.5 else (one_of(rng, scene.bodies),)
    asked = "Find every shape." if chance < 0.5 else f"Find the {bodies[0].name}."
    if rng.random() < 0.2:
        places = [{"point_2d": _thousandths(scene, (body.x, body.y)), "label": body.name} for body in bodies]
        return Question("grounding-2d", f"{asked} Answer with points.", json.dumps(places), is_image=True)
    boxes = [{"bbox_2d": box_of(scene, body), "label": body.name} for body in bodies]
    return Question("grounding-2d", asked, json.dumps(boxes), is_image=True)


def description(scene: Scene, facts: Facts, rng: Generator) -> Question:
    """Each shape of the first frame with its box and a sentence."""
    items = [
        {"bbox_2d": box_of(scene, body), "label": body.name, "description": _described(facts, shape)}
        for body, shape in zip(scene.bodies, facts.shapes, strict=True)
    ]
    asked = one_of(rng, (None, "Describe the shapes in the image."))
    return Question("describe-anything", asked, json.dumps(items), is_image=True)


def events(scene: Scene, facts: Facts, rng: Generator) -> Question:
    """When something happens."""
    spans = [
        {
            "start": _clock(max(0.0, event.seconds - 0.5 * EVENT_LASTS)),
            "end": _clock(min(scene.format.frames / scene.format.fps, event.seconds + 0.5 * EVENT_LASTS)),
            "event": event_words(facts, event),
        }
        for event in facts.events
    ]
    asked = None
    if facts.events and rng.random() < 0.5:
        asked = f"When does this happen: {event_words(facts, facts.events[0])}?"
    return Question("temporal-localization", asked, json.dumps(spans))


def situation(facts: Facts) -> Question:
    """What a clip is about, in a few words."""
    if facts.events:
        name = {EventKind.START: "a start", EventKind.BOUNCE: "a bounce", EventKind.CONTACT: "a collision"}
        kind, why = name[facts.events[0].kind], event_words(facts, facts.events[0])
    elif all(shape.path.kind is MotionKind.STILL for shape in facts.shapes):
        kind, why = "a still scene", "nothing moves"
    else:
        mover = next(shape for shape in facts.shapes if shape.path.kind is not MotionKind.STILL)
        kind, why = "a free motion", f"the {mover.name} moves {mover.path.direction}"
    explanation = f"{why[:1].upper()}{why[1:]}."
    return Question(
        "situation-understanding", None, json.dumps({"situation": kind, "explanation": explanation}), explanation
    )


_FLAWS = {
    FlawKind.JUMP: "The {} is suddenly somewhere else.",
    FlawKind.TURN: "The {} turns although nothing touches it.",
    FlawKind.THROUGH_WALL: "The {} passes through the edge instead of bouncing off it.",
    FlawKind.THROUGH_SHAPE: "The {} passes through the other shape.",
    FlawKind.RECOLOUR: "The {} changes its color.",
}


def plausibility(scene: Scene) -> Question:
    """Whether the clip obeys the laws of the world."""
    if scene.flaw is None:
        why = "All shapes rest, move straight on or bounce off what they meet."
    else:
        why = _FLAWS[scene.flaw.kind].format(scene.bodies[0].name)
    verdict = "plausible" if scene.flaw is None else "implausible"
    return Question("physical-plausibility", None, json.dumps({"verdict": verdict, "explanation": why}), why)


def box_of(scene: Scene, body: Body) -> list[int]:
    """The box of a shape in the first frame: left, top, right, bottom, 0 to 1000 along each side."""
    reach = body.extent
    corners = (body.x - reach.left, body.y - reach.top), (body.x + reach.right, body.y + reach.bottom)
    return [*_thousandths(scene, corners[0]), *_thousandths(scene, corners[1])]


def _thousandths(scene: Scene, place: tuple[float, float]) -> list[int]:
    parts = (place[0] / scene.format.aspect, place[1])
    return [min(max(round(SCALE * part), 0), SCALE) for part in parts]


def _described(facts: Facts, shape: ShapeFacts) -> str:
    return f"A {shape.size} {shape.name} {place_words(shape, facts.aspect)}."


def _colours(facts: Facts) -> set[str]:
    return {shape.colour for shape in facts.shapes}


def _clock(seconds: float) -> str:
    """`mm:ss.ff`."""
    hundredths = round(100 * seconds)
    return f"{hundredths // 6000:02d}:{hundredths % 6000 / 100:05.2f}"


def _reply(answer: str) -> str:
    """The answer to a question that asks for no action."""
    return json.dumps({"answer": answer, "actions": []})
