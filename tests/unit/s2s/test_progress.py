"""The meter: what it reports, when, and how it counts."""

from __future__ import annotations

import pytest

from s2s import progress
from s2s.progress import Meter, audio, duration, magnitude, sentences


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    caplog.set_level("INFO")
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock.now)
    return clock


def test_audio_is_reported_with_its_real_time_factor_and_the_time_left(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with Meter(60.0, True, "synthesized", audio) as meter:
        clock.now = 115.0
        meter.advance(20.0)
        assert caplog.text == "", "the first line comes after half a minute"
        meter.correct(20.0)
        clock.now = 131.0
        meter.advance(20.0)
    assert meter.seconds_per_unit == pytest.approx(31 / 40)
    assert caplog.messages == ["synthesized 0:40/1:20  real-time factor 0.78  ETA 0:31"]


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (40, "decoded 10/40 sentences  2.0 sentences/s  ETA 0:15"),
        (None, "decoded 10 sentences  2.0 sentences/s"),
        (0, "decoded 10/0 sentences  2.0 sentences/s  ETA 0:00"),
    ],
)
def test_sentences_are_reported_with_their_rate(
    clock: Clock, caplog: pytest.LogCaptureFixture, total: int | None, text: str
) -> None:
    for enabled in (True, False):
        with Meter(total, enabled, "decoded", sentences) as meter:
            clock.now += 5
            meter.advance(10)
            meter.report()
    assert caplog.messages == [text]


def test_a_bar_takes_totals_that_are_unknown_or_wrong(
    clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    for total in (None, 0, 1, 100):
        with Meter(total, True, "decoded", sentences) as meter:
            for _ in range(3):
                clock.now += 40
                meter.advance(5)
    assert "15/100 sentences" in capsys.readouterr().err
    assert caplog.messages == [], "the bar is enough"


def test_durations_and_large_numbers() -> None:
    assert [duration(seconds) for seconds in (0, 59.6, 3799)] == ["0:00", "1:00", "1:03:19"]
    assert [magnitude(count) for count in (530, 12_300, 22.7e6, 1.5e9)] == ["530", "12.3 k", "22.7 M", "1.5 G"]
