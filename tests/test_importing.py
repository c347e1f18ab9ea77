"""Imports without garbage collection."""

from __future__ import annotations

import gc

import pytest

from deployments.importing import without_collection


def test_nothing_is_collected_within_and_everything_is_afterwards() -> None:
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collection_goes_on_after_an_import_that_fails() -> None:
    with pytest.raises(ImportError), without_collection():
        raise ImportError
    assert gc.isenabled()


def test_who_had_turned_collection_off_finds_it_off() -> None:
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
