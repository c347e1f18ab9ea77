"""How strong an adapter is: alpha over rank, from where its trainer has written it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

CONFIG_FILE = "adapter_config.json"
METADATA_KEY = "lora_adapter_metadata"
"""Where diffusers keeps the same configuration within a file."""
WRAPPER = "base_model.model."
"""What PEFT writes before each name in a file; its patterns do not have it."""
REFUSED = {"use_dora": "DoRA", "fan_in_fan_out": "transposed weights", "lora_bias": "biases"}
T = TypeVar("T")


@dataclass(frozen=True)
class Scaling:
    """What an adapter's configuration says about ranks and alphas.

    Attributes:
        rank, alpha: of all modules; None where it says nothing. Without an alpha the factor is 1, as in diffusers.
        ranks, alphas: of the modules whose names end with a pattern, instead.
        square_root: whether alpha is divided by the square root of the rank.
    """

    rank: int | None = None
    alpha: float | None = None
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    square_root: bool = False

    def factor(self, module: str, rank: int, own_alpha: float | None) -> float:
        """The factor on the product of a module's two matrices.

        Args:
            module: its name in the file.
            rank: the rank that the matrices have.
            own_alpha: the alpha that the file has for this module, which takes precedence.

        Raises:
            ValueError: the configuration tells another rank.
        """
        said = _matching(self.ranks, module, self.rank)
        if said is not None and said != rank:
            raise ValueError(f"{module} has rank {rank}, and its configuration says {said}")
        alpha = _matching(self.alphas, module, self.alpha) if own_alpha is None else own_alpha
        if alpha is None:
            return 1.0
        return alpha / math.sqrt(rank) if self.square_root else alpha / rank

    @classmethod
    def of(cls, file: Path, metadata: Mapping[str, str]) -> Self:
        """From the configuration beside a file, or else from the file's metadata.

        Raises:
            ValueError: it cannot be read, or describes something else than LoRA.
        """
        beside = file.parent / CONFIG_FILE
        try:
            if beside.is_file():
                return cls._of_peft(json.loads(beside.read_text(encoding="utf-8")))
            if METADATA_KEY in metadata:
                return cls._of_peft(json.loads(metadata[METADATA_KEY]))
            rank, alpha = metadata.get("ss_network_dim"), metadata.get("ss_network_alpha")
            return cls(int(rank) if rank and rank.isdecimal() else None, float(alpha) if alpha else None)
        except (ValueError, TypeError, AttributeError, OSError) as error:
            where = CONFIG_FILE if beside.is_file() else "its metadata"
            raise ValueError(f"{where} cannot be used: {error}") from error

    @classmethod
    def _of_peft(cls, written: Mapping[str, Any]) -> Self:
        # diffusers writes the component's name before each key.
        config = {key.removeprefix("transformer."): value for key, value in written.items()}
        kind = str(config.get("peft_type") or "LORA")
        if kind.upper() != "LORA":
            raise ValueError(f"peft_type is {kind}; expected LORA")
        for key, what in REFUSED.items():
            if config.get(key):
                raise ValueError(f"{key} is set; {what} are not supported")
        if config.get("bias") not in (None, "none"):
            raise ValueError(f"bias is {config['bias']}; biases are not supported")
        rank, alpha = config.get("r"), config.get("lora_alpha")
        found = cls(
            rank=None if rank is None else int(rank),
            alpha=None if alpha is None else float(alpha),
            ranks={pattern: int(value) for pattern, value in (config.get("rank_pattern") or {}).items()},
            alphas={pattern: float(value) for pattern, value in (config.get("alpha_pattern") or {}).items()},
            square_root=bool(config.get("use_rslora")),
        )
        _matching({**found.ranks, **found.alphas}, "", None)
        return found


def _matching(patterns: Mapping[str, T], module: str, otherwise: T | None) -> T | None:
    """The value of the first pattern that the end of a module's name matches, as PEFT reads them.

    Raises:
        ValueError: a pattern is no regular expression.
    """
    for pattern, value in patterns.items():
        try:
            if re.fullmatch(rf"(.*\.)?({pattern})", module.removeprefix(WRAPPER)):
                return value
        except re.error as error:
            raise ValueError(f"the pattern {pattern!r} is no regular expression: {error}") from error
    return otherwise
