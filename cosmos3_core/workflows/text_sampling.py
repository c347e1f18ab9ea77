"""How the Reasoner's tokens are sampled: NVIDIA's numbers with and without reasoning (spec 10.8)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TextSampling:
    """The sampling fields of a chat request, under their names in vLLM's API.

    Attributes:
        temperature: divides the logits; 0 takes the most likely token.
        top_p: keep the most likely tokens whose probabilities sum to this.
        top_k: keep this many of the most likely tokens.
        repetition_penalty: above 1, tokens of prompt and answer become less likely.
        presence_penalty: above 0, tokens of the answer become less likely.
        max_tokens: length of the answer, including its reasoning.
        seed: of the random numbers.
    """

    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    presence_penalty: float
    max_tokens: int
    seed: int = 0

    def fields(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


DIRECT = TextSampling(
    temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.0, presence_penalty=1.5, max_tokens=1024
)
REASONING = TextSampling(
    temperature=0.6, top_p=0.95, top_k=20, repetition_penalty=1.0, presence_penalty=0.0, max_tokens=4096
)


def sampling_for(reasons: bool) -> TextSampling:
    """The numbers for an answer with reasoning or without."""
    return REASONING if reasons else DIRECT
