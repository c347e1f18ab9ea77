"""When Serve's silence means a stop."""

from __future__ import annotations

from deployments.stop_detection import StopDetector


def test_a_stop_is_expected_after_a_silence() -> None:
    now = 100.0
    detector = StopDetector(silence_s=5.0, clock=lambda: now)
    expected, almost = [], detector.silence_s - 0.1
    for seconds, contact in ((almost, True), (almost, False), (0.2, True), (0.0, False)):
        now += seconds
        expected.append(detector.stop_expected)
        if contact:
            detector.record_contact()
    assert expected == [False, False, True, False]
    assert detector.last_contact == now
