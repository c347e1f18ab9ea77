"""A decoding process, where its caller may open no more files."""

from __future__ import annotations

import psutil
import pytest

from deployments.decoding.worker import NotStarted, Worker
from deployments.settings.decoding import DecodingSettings
from deployments.wire.encoded_file import DiskFile
from tests.decoding.descriptors import descriptors_left


@pytest.mark.parametrize("left", range(7))
def test_without_descriptors_it_is_not_started_and_leaves_nothing_open(left: int) -> None:
    before, processes = psutil.Process().num_fds(), psutil.Process().children()
    with descriptors_left(left), pytest.raises(NotStarted, match="Too many open files"):
        Worker(DecodingSettings())
    assert (psutil.Process().num_fds(), psutil.Process().children()) == (before, processes)


def test_without_descriptors_it_is_not_asked_and_can_be_asked_again() -> None:
    worker = Worker(DecodingSettings())
    files = [DiskFile(), DiskFile()]
    try:
        before = psutil.Process().num_fds()
        with descriptors_left(1), pytest.raises(NotStarted, match="cannot be handed"):
            worker.ask("check", (files,), lambda found: True, lambda: True)
        assert worker.usable and psutil.Process().num_fds() == before
    finally:
        worker.stop()
        for file in files:
            file.close()
