"""The pace of a channel: never above a limit, and ever rarer after failures."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairscope.alerts.pacing import Limit, Pace, backoff_seconds, retry_after_seconds, verdict
from pairscope.stores.alerts import LONGEST_PAUSE_MS

NOW = 1_795_250_000_000


@given(
    st.lists(st.tuples(st.integers(1, 20), st.floats(0.5, 60)), min_size=1, max_size=3),
    st.lists(st.floats(0, 3), min_size=30, max_size=80),
)
def test_no_window_of_any_limit_holds_more_than_it_may(limits: list[tuple[int, float]], pauses: list[float]) -> None:
    pace, now, sent = Pace([Limit(*each) for each in limits]), 0.0, []
    for pause in pauses:
        now += pause
        now += pace.wait(now) + 1e-6
        assert pace.wait(now) == 0
        pace.sent(now)
        sent.append(now)
    for count, seconds in limits:
        assert all(late - early >= seconds for early, late in zip(sent, sent[count:], strict=False))


def test_after_five_failures_it_rests_for_longer_each_time_and_a_success_ends_that() -> None:
    pace, now, rests = Pace([Limit(60, 60.0)]), 0.0, []
    for _ in range(4):
        pace.failed(now)
        assert pace.rest(now) == 0
        assert not pace.probing
    for _ in range(8):
        pace.failed(now)
        assert pace.probing
        rests.append(pace.rest(now))
        now += rests[-1]
    assert rests == [30, 60, 120, 240, 480, 900, 900, 900]
    pace.succeeded()
    pace.failed(now)
    assert (pace.failures, pace.rest(now), pace.probing) == (1, 0, False)


def test_attempts_come_ever_rarer_up_to_a_quarter_of_an_hour() -> None:
    plain = [backoff_seconds(attempts, Random(1)) for attempts in range(1, 40)]
    assert all(0.8 * 2**attempt <= seconds <= 1.2 * 2**attempt for attempt, seconds in enumerate(plain[:8], 1))
    assert all(720 <= seconds <= 1080 for seconds in plain[10:])
    assert len({backoff_seconds(1, Random(seed)) for seed in range(20)}) == 20


@given(st.text())
def test_no_text_breaks_the_reading_of_a_wait(text: str) -> None:
    seconds = retry_after_seconds(text, NOW)
    assert seconds is None or 0 <= seconds <= 3_600


def test_a_date_in_the_past_means_now() -> None:
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT", NOW) == 0
    assert retry_after_seconds(" 1.5 ", NOW) == 1.5


@pytest.mark.parametrize(
    ("statuses", "wanted"),
    [
        ((200, 201, 204, 299), "sent"),
        ((408, 425, 429, 500, 502, 503, 504, 599), "again"),
        ((401, 403, 404, 410), "gone"),
        ((300, 301, 302, 307, 308, 400, 405, 413, 422, 451), "never"),
    ],
)
def test_each_status_has_its_verdict(statuses: tuple[int, ...], wanted: str) -> None:
    assert [verdict(status) for status in statuses] == [wanted] * len(statuses)


@given(st.integers(0, 10_000), st.integers(0, 10**9), st.integers())
def test_no_pause_is_so_long_that_the_store_takes_it_for_a_wrong_clock(attempts: int, asked: int, seed: int) -> None:
    pauses = backoff_seconds(attempts, Random(seed)), retry_after_seconds(str(asked), NOW)
    assert all(pause is None or pause * 1000 <= LONGEST_PAUSE_MS for pause in pauses)
