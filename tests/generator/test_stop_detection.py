"""When Serve's silence means a stop."""

from __future__ import annotations

from deployments.generator.stop_detection import SILENCE_S, StopDetector


def test_a_stop_is_expected_after_a_silence() -> None:
    now = 100.0
    detector = StopDetector(clock=lambda: now)
    now += SILENCE_S - 0.1
    assert not detector.stop_expected
    detector.record_contact()
    assert detector.last_contact == now
    now += SILENCE_S - 0.1
    assert not detector.stop_expected
    now += 0.2
    assert detector.stop_expected
    detector.record_contact()
    assert not detector.stop_expected
