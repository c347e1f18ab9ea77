"""Which adapters a request uses, and how strongly.

It imports no torch, so the processes that only check requests need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cosmos3_core.errors import RequestError

MAX_ADAPTERS = 16
"""The most adapters of one request."""
MAX_SHOWN_CHARACTERS = 60

AdapterName = Annotated[str, Field(min_length=1, max_length=128)]
AdapterWeight = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]


class AdapterUse(BaseModel):
    """One adapter of a request.

    Attributes:
        name: a name from the operator's list.
        weight: factor on what the adapter adds; 0 leaves it out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: AdapterName
    weight: AdapterWeight = 1.0


def _distinct(uses: tuple[AdapterUse, ...]) -> tuple[AdapterUse, ...]:
    if len({use.name for use in uses}) < len(uses):
        raise ValueError("must name each adapter once")
    return uses


AdapterUses = Annotated[tuple[AdapterUse, ...], Field(max_length=MAX_ADAPTERS), AfterValidator(_distinct)]
"""The adapters of a request, each named once."""


def used_adapters(
    asked: tuple[AdapterUse, ...] | None, known: Sequence[str], defaults: tuple[AdapterUse, ...]
) -> tuple[AdapterUse, ...]:
    """The adapters that change a request's result, in the order of their names.

    Requests with equal adapters have equal values of this, whatever the order in which they name them.

    Args:
        asked: what the request names; None if it says nothing.
        known: the adapters that the model has.
        defaults: what applies where a request says nothing.

    Raises:
        RequestError: a name that the model does not have.
    """
    uses = defaults if asked is None else asked
    check_known(uses, known)
    return tuple(sorted((use for use in uses if use.weight != 0), key=lambda use: use.name))


def check_known(uses: Sequence[AdapterUse], known: Sequence[str]) -> None:
    """Refuse names that are not in the operator's list.

    Raises:
        RequestError: it says which names there are.
    """
    for use in uses:
        if use.name not in known:
            there = f"this model has {', '.join(known)}" if known else "this model has no adapters"
            raise RequestError("adapters", f"names {use.name[:MAX_SHOWN_CHARACTERS]!r}; {there}")
