"""Draws a contact sheet of the world: clips with their captions, some of them with the gripper, some with a flaw.

`python -m examples.tiny_world.contact_sheet out/tiny-world.png`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from cosmos3_core.workflows.drawing import stacked, text_panel
from examples.tiny_world.agent.episodes import policy_episode
from examples.tiny_world.agent.expert import Verb
from examples.tiny_world.scenes.draw import DEFAULT_FORMAT, Topic, draw_scene
from examples.tiny_world.scenes.facts import facts_of
from examples.tiny_world.scenes.flaws import draw_flawed
from examples.tiny_world.scenes.render import Frames, render
from examples.tiny_world.scenes.scene import FlawKind
from examples.tiny_world.splits import held_out_rng
from examples.tiny_world.texts.questions import plausibility
from examples.tiny_world.texts.sentences import Detail, sentence

SHORT = Detail(size=True, place=False, speed=False)
SHOWN = 5
"""Frames of a clip."""
GAP, FONT = 4, 13
"""Sizes in pixels."""


def rows() -> list[tuple[str, Frames]]:
    """A caption and the frames of each clip."""
    found = []
    for index, topic in enumerate(Topic):
        rng = held_out_rng(index)
        scene = draw_scene(rng, topic)
        found.append((sentence(facts_of(scene), rng, SHORT), render(scene)))
    for index, kind in enumerate(FlawKind):
        scene = draw_flawed(held_out_rng(index), kind)
        found.append((plausibility(scene).reasoning, render(scene)))
    for index, verb in enumerate(Verb):
        episode = policy_episode(held_out_rng(index), verb=verb)
        found.append((episode.task.instruction, episode.frames))
    return found


def sheet(clips: list[tuple[str, Frames]]) -> Image.Image:
    """The clips below each other, each with its caption above it."""
    width = SHOWN * (DEFAULT_FORMAT.width + GAP) - GAP
    return stacked([part for text, frames in clips for part in (text_panel([text], width, FONT), _strip(frames))])


def _strip(frames: Frames) -> Image.Image:
    """Frames of a clip side by side."""
    chosen = frames[np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)]
    gaps = np.pad(chosen, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return Image.fromarray(np.concatenate(list(gaps), axis=1)[:, :-GAP])


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="a PNG file")
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows()).quantize(64, dither=Image.Dither.NONE).save(output, optimize=True)
    print(output)


if __name__ == "__main__":
    main()
