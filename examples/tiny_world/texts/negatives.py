"""Negative prompts: what a clip of this world should not look like. Most requests have none."""

from __future__ import annotations

from numpy.random import Generator

EMPTY = 0.5
"""The part of negative prompts that are empty."""
SENTENCES = (
    "Blurry shapes with unclear edges.",
    "Noise, grain and flicker.",
    "Several shapes melt into each other.",
    "Shapes that jump, vanish or change their colour.",
    "A ground with spots and stripes.",
)


def negative_prompt(rng: Generator) -> str:
    """An empty text, or one or two sentences."""
    if rng.random() < EMPTY:
        return ""
    chosen = rng.permutation(len(SENTENCES))[: int(rng.integers(1, 3))]
    return " ".join(SENTENCES[index] for index in chosen)
