"""Which adapters a request uses: names, weights and the operator's defaults."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from cosmos3_core import GenerationRequest
from cosmos3_core.adapters.use import MAX_ADAPTERS, AdapterUse, used_adapters
from cosmos3_core.errors import RequestError

STYLE, LOOK = AdapterUse(name="style", weight=0.5), AdapterUse(name="look")
KNOWN = ("look", "style")


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(**{"mode": "text2image", "prompt": "x"} | fields)


def test_the_order_of_names_does_not_matter() -> None:
    assert used_adapters((STYLE, LOOK), KNOWN, ()) == used_adapters((LOOK, STYLE), KNOWN, ()) == (LOOK, STYLE)


def test_defaults_apply_where_nothing_is_said() -> None:
    assert used_adapters(None, KNOWN, (STYLE,)) == (STYLE,)
    assert used_adapters((), KNOWN, (STYLE,)) == ()
    assert used_adapters((LOOK,), KNOWN, (STYLE,)) == (LOOK,)


def test_a_weight_of_0_leaves_an_adapter_out() -> None:
    assert used_adapters((AdapterUse(name="style", weight=0), LOOK), KNOWN, ()) == (LOOK,)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(RequestError, match=r"^adapters names 'other'; this model has look, style$"):
        used_adapters((AdapterUse(name="other", weight=0),), KNOWN, ())
    with pytest.raises(RequestError, match=r"^adapters names 'style'; this model has no adapters$"):
        used_adapters((STYLE,), (), ())


@pytest.mark.parametrize(
    ("adapters", "reason"),
    [
        ([{"name": "a"}, {"name": "a", "weight": 2}], "each adapter once"),
        ([{"name": ""}], "at least 1 character"),
        ([{"name": "a", "weight": float("nan")}], "finite"),
        ([{"name": "a", "weight": 11}], "less than or equal to 10"),
        ([{"name": "a", "path": "/etc"}], "Extra inputs"),
        ([{"name": str(number)} for number in range(MAX_ADAPTERS + 1)], f"at most {MAX_ADAPTERS}"),
    ],
)
def test_a_request_is_refused(adapters: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        request(adapters=adapters)


def test_a_request_keeps_what_it_says() -> None:
    asked = request(adapters=[{"name": "style", "weight": 0.5}, LOOK])
    assert GenerationRequest.of_fields(asked.to_fields(), {}).adapters == (STYLE, LOOK)
    none = request(adapters=[])
    assert GenerationRequest.of_fields(none.to_fields(), {}).adapters == ()
    for unsaid in (request(), request(adapters=None)):
        assert GenerationRequest.of_fields(unsaid.to_fields(), {}).adapters is None
