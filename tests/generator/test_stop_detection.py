"""When Serve's silence means a stop."""

from __future__ import annotations

from deployments.generator.stop_detection import SILENCE_S, StopDetector


def test_a_stop_is_expected_after_a_silence() -> None:
    now = 100.0
    detector = StopDetector(clock=lambda: now)
    expected, almost = [], SILENCE_S - 0.1
    for seconds, contact in ((almost, True), (almost, False), (0.2, True), (0.0, False)):
        now += seconds
        expected.append(detector.stop_expected)
        if contact:
            detector.record_contact()
    assert expected == [False, False, True, False]
    assert detector.last_contact == now
