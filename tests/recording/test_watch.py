"""A silent stream is questioned as soon as its own pace says, and not again and again."""

import pytest

from pairscope.recording.health import Pulse
from pairscope.recording.watch import ASK_AT_MOST_EVERY, FIRST_TRADE, LONGEST_SILENCE, Silence, patience


def pulse(pause: float, seconds: float) -> Pulse:
    beating = Pulse(0.0)
    for n in range(int(seconds / pause)):
        beating.beat((n + 1) * pause, 1)
    return beating


@pytest.mark.parametrize(
    ("pause", "seconds", "expected"),
    [(0.01, 60, 2.5), (0.1, 3, 2.5), (0.5, 120, 10.0), (1.0, 120, 20.0), (20.0, 600, LONGEST_SILENCE)],
)
def test_patience_is_twenty_pauses_within_bounds(pause: float, seconds: float, expected: float) -> None:
    assert patience(pulse(pause, seconds)) == pytest.approx(expected, rel=0.05)


def test_a_connection_without_a_first_trade_is_questioned_after_ten_seconds() -> None:
    assert patience(Pulse(0.0)) == FIRST_TRADE


def test_questions_about_one_silence_become_rarer() -> None:
    silence, now, asked = Silence(0.0), 0.0, []
    while now < 1_500:
        now += 0.5
        if silence.is_due(now, 10.0):
            silence.ask(now, 10.0)
            asked.append(now)
    assert asked == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 620.0, 920.0, 1220.0]
    assert silence.interval == ASK_AT_MOST_EVERY


def test_a_burst_at_the_start_does_not_look_like_an_unusual_silence_later() -> None:
    beating = Pulse(0.0)
    beating.beat(1.0, 3)
    assert not beating.is_unusual(101.0)
    assert pulse(1.0, 60).is_unusual(60 + 21)
    assert not pulse(1.0, 60).is_unusual(60 + 19)


def test_the_rate_is_of_the_last_minute_or_since_the_beginning() -> None:
    beating = pulse(0.1, 10)
    assert beating.rate(10.0) == pytest.approx(10.0)
    assert beating.rate(40.0) == pytest.approx(100 / 40)
    assert beating.rate(75.0) == 0.0
    assert beating.age(75.0) == pytest.approx(65.0)
