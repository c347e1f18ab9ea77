"""All workflows of the Reasoner against a running server: typed answers as JSON, and pictures of them.

Start a server with `cosmos3 serve tiny-cpu`, then run `python -m examples.workflows --max-tokens 200`. The media are
those of NVIDIA's cookbook if COSMOS3_ASSETS names their folder, otherwise stand-ins. A tiny checkpoint's weights are
random, so most of its answers cannot be read; the example says which, and why.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cosmos3_core.errors import RequestError
from cosmos3_core.outputs import write_image
from cosmos3_core.workflows.annotate import annotated
from cosmos3_core.workflows.answers import Answer, Unreadable
from cosmos3_core.workflows.chat import chat_body
from cosmos3_core.workflows.medium import MediumKind, read_medium
from cosmos3_core.workflows.parsing import parse_answer
from cosmos3_core.workflows.summary import summary_lines
from cosmos3_core.workflows.table import find_workflow
from deployments.cli.client import Client, ServerError
from examples import assets

console = Console(markup=False, highlight=False)


@dataclass(frozen=True)
class Example:
    """A question about one asset; None asks the workflow's own question."""

    kind: MediumKind
    asset: str
    question: str | None = None


EXAMPLES: dict[str, Example] = {
    "caption": Example(MediumKind.VIDEO, "video_caption"),
    "temporal-localization": Example(MediumKind.VIDEO, "temporal_localization_2"),
    "embodied-reasoning": Example(MediumKind.VIDEO, "assisted_task_next_action", "What should be done next?"),
    "grounding-2d": Example(MediumKind.IMAGE, "grounding_2d", "Find the main objects in the picture."),
    "describe-anything": Example(MediumKind.IMAGE, "humanoid_robot"),
    "action-chain-of-thought": Example(MediumKind.IMAGE, "robot_153", "Grasp the object in front of the robot."),
    "physical-plausibility": Example(MediumKind.VIDEO, "physical_plausibility"),
    "situation-understanding": Example(MediumKind.VIDEO, "av_0", "Which traffic situation is this?"),
}


def media_file(example: Example, folder: Path) -> Path:
    """The asset as a file; a stand-in is written into a folder."""
    made = assets.image_file if example.kind is MediumKind.IMAGE else assets.video_file
    return made(example.asset, folder)


def run(client: Client, name: str, out: Path, max_tokens: int | None) -> Answer:
    """Ask one workflow; write its answer, and a picture of it unless it cannot be read.

    Raises:
        ServerError: the server refuses, fails or cannot be reached.
    """
    workflow, example = find_workflow(name), EXAMPLES[name]
    medium = read_medium(media_file(example, out / "inputs"))
    pieces: list[str] = []
    client.chat(chat_body(workflow, example.question, medium, max_tokens=max_tokens), pieces.append)
    answer = parse_answer(workflow, "".join(pieces), medium)
    (out / f"{name}.json").write_text(answer.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if not isinstance(answer.result, Unreadable):
        write_image(out / f"{name}.png", annotated(medium, answer.result))
    return answer


def run_all(client: Client, names: Sequence[str], out: Path, max_tokens: int | None) -> int:
    """Ask some workflows one after the other; returns how many the server did not answer."""
    (out / "inputs").mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in names:
        console.print(name, style="bold")
        try:
            answer = run(client, name, out, max_tokens)
        except ServerError as error:
            console.print(f"no answer: {error}")
            failed += 1
            continue
        prefix = "cannot be read: " if isinstance(answer.result, Unreadable) else ""
        for line in summary_lines(answer.result):
            console.print(prefix + line)
    return failed


def main() -> int:
    """Ask the workflows that are named, by default all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="WORKFLOW", help="by default all eight")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the server")
    parser.add_argument("--output", type=Path, default=Path("out/workflows"), help="folder for answers and pictures")
    parser.add_argument("--max-tokens", type=int, help="length of each answer")
    arguments = parser.parse_args()
    try:
        names = [find_workflow(name).name for name in arguments.names or EXAMPLES]
    except RequestError as error:
        parser.error(str(error))
    client = Client(arguments.url)
    try:
        failed = run_all(client, names, arguments.output, arguments.max_tokens)
    finally:
        client.close()
    console.print(f"The answers are in {arguments.output.absolute()}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
