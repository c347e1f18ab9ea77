"""An example answer for each workflow, about the drawn table; written by hand, not by a model.

Run `python -m examples.workflow_answers docs/images/workflows` to draw the pictures of docs/workflows.md again.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from cosmos3_core.workflows.annotate import annotated
from cosmos3_core.workflows.answers import Answer
from cosmos3_core.workflows.medium import Medium, MediumKind, read_medium
from cosmos3_core.workflows.parsing import parse_answer
from cosmos3_core.workflows.table import find_workflow
from examples import drawn_scene

COLOURS = 64
"""Of the palette of a picture; drawn pictures have few, and the files stay small."""
ANSWERS: dict[str, tuple[MediumKind, str]] = {
    "caption": (
        MediumKind.IMAGE,
        "Three cups stand on a brown table: a red one on the left, a blue one in the middle, a green one on the right.",
    ),
    "temporal-localization": (
        MediumKind.VIDEO,
        '[{"start": "00:02.00", "end": "00:04.00", "event": "the green cup slides"},\n'
        ' {"start": "00:04.00", "end": "00:05.00", "event": "it falls to the floor"}]',
    ),
    "embodied-reasoning": (
        MediumKind.VIDEO,
        "<think>The green cup moves towards the edge and nothing holds it.</think>\n"
        '{"answer": "Stop the green cup.", "actions": ["reach for the green cup", "hold it", "push it back"]}',
    ),
    "grounding-2d": (
        MediumKind.IMAGE,
        '[{"bbox_2d": [62, 450, 200, 690], "label": "red cup"},\n'
        ' {"bbox_2d": [312, 450, 450, 690], "label": "blue cup"},\n'
        ' {"point_2d": [698, 578], "label": "green cup"}]',
    ),
    "describe-anything": (
        MediumKind.IMAGE,
        '[{"bbox_2d": [62, 450, 200, 690], "label": "cup", "description": "A red cup, its handle on the right."},\n'
        ' {"bbox_2d": [0, 687, 833, 1000], "label": "table", "description": "A brown table with two visible legs."}]',
    ),
    "action-chain-of-thought": (
        MediumKind.IMAGE,
        "<think>The red cup is free from above. It has to pass over the blue one.</think>\n"
        '[{"point_2d": [115, 480], "label": "grasp the red cup"}, {"point_2d": [160, 220], "label": "lift"},\n'
        ' {"point_2d": [490, 220], "label": "carry"}, {"point_2d": [540, 560], "label": "set down"}]',
    ),
    "physical-plausibility": (
        MediumKind.VIDEO,
        "<think>The cup leaves the table at its edge and gets faster while it falls.</think>\n"
        '{"verdict": "plausible", "explanation": "The cup falls faster and faster, as things do under gravity."}',
    ),
    "situation-understanding": (
        MediumKind.VIDEO,
        "<think>A cup slides on its own, then drops.</think>\n"
        '{"situation": "a cup falls off a table", "explanation": "It is past the edge; it may break: mind shards."}',
    ),
}


def example(name: str, folder: Path) -> tuple[Medium, Answer]:
    """The medium and the answer of a workflow, read as a model's answer is; the medium is written into a folder."""
    kind, text = ANSWERS[name]
    medium = read_medium((drawn_scene.picture_file if kind is MediumKind.IMAGE else drawn_scene.clip_file)(folder))
    return medium, parse_answer(find_workflow(name), text, medium)


def main() -> None:
    """Draw all answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the pictures")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in ANSWERS:
            medium, answer = example(name, Path(folder))
            path = output / f"{name}.png"
            picture = Image.fromarray(annotated(medium, answer.result))
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
            print(path)


if __name__ == "__main__":
    main()
