"""Draws a contact sheet of the world: clips with their captions, some of them with the gripper, some with a flaw.

`python -m examples.tiny_world.contact_sheet out/tiny-world.png`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cosmos3_core.workflows.drawing import BACKGROUND, INK, font_of
from examples.tiny_world.draw_scenes import DEFAULT_FORMAT, Topic, draw_scene
from examples.tiny_world.episodes import policy_episode
from examples.tiny_world.expert import Verb
from examples.tiny_world.facts import facts_of
from examples.tiny_world.flaws import draw_flawed
from examples.tiny_world.questions import plausibility
from examples.tiny_world.render import Frames, render
from examples.tiny_world.scene import FlawKind
from examples.tiny_world.sentences import sentence
from examples.tiny_world.splits import held_out_rng

SHOWN, GAP, LINE, FONT = 5, 4, 20, 13
"""Frames of a clip, and sizes in pixels."""


def rows() -> list[tuple[str, Frames]]:
    """A caption and the frames of each clip."""
    found = []
    for index, topic in enumerate(Topic):
        rng = held_out_rng(index)
        scene = draw_scene(rng, topic)
        found.append((sentence(facts_of(scene), rng), render(scene)))
    for index, kind in enumerate(FlawKind):
        scene = draw_flawed(held_out_rng(index), kind)
        found.append((plausibility(scene).reasoning, render(scene)))
    for index, verb in enumerate(Verb):
        episode = policy_episode(held_out_rng(index), verb=verb)
        found.append((episode.task.instruction, episode.frames))
    return found


def sheet(clips: list[tuple[str, Frames]]) -> NDArray[np.uint8]:
    """The clips below each other, each with its caption above it: uint8 `[height, width, 3]`."""
    width, height = DEFAULT_FORMAT.width, DEFAULT_FORMAT.height
    row = height + LINE + GAP
    image = Image.new("RGB", (SHOWN * (width + GAP) + GAP, len(clips) * row + GAP), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for index, (text, frames) in enumerate(clips):
        draw.text((GAP, index * row + GAP), text, fill=INK, font=font_of(FONT))
        for column, frame in enumerate(np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)):
            image.paste(Image.fromarray(frames[frame]), (GAP + column * (width + GAP), index * row + GAP + LINE))
    return np.array(image)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="a PNG file")
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet(rows())).quantize(64, dither=Image.Dither.NONE).save(output, optimize=True)
    print(output)


if __name__ == "__main__":
    main()
