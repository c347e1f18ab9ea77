"""Log lines that name the request or job they belong to."""

from __future__ import annotations

import logging

import pytest

from deployments.logs import log, logs_for


@pytest.mark.parametrize("subject", ["abc", "%s %d%%", "100%", "%(name)s", "{}"])
def test_the_subject_stands_in_front_whatever_it_is(subject: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ray.serve.cosmos3"), logs_for(subject):
        log.info("answered: %d", 200)
        log.warning("100% of it")
        log.debug("not asked for")
    first, second = caplog.records
    assert first.getMessage() == f"[{subject}] answered: 200"
    assert second.getMessage() == f"[{subject}] 100% of it"
    assert first.filename == second.filename == "test_logs.py", "the line is that of the caller"


def test_an_exception_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "ray.serve.cosmos3"), logs_for("%s"):
        try:
            raise KeyError("x")
        except KeyError as error:
            log.exception("failed: %s", error)
    (record,) = caplog.records
    assert record.getMessage() == "[%s] failed: 'x'" and record.exc_info and record.filename == "test_logs.py"
