"""Spans in words, and the hours in which a rule keeps still."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import DAY, HOUR, MINUTE, SECOND, WrongUse
from pairscope.alerts.quiet import parse_quiet, parse_span, span_text, span_words


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "ms"), [("30s", 30_000), (" 5M ", 5 * MINUTE), ("2h", 2 * HOUR), ("1d", DAY), ("0", 0), ("0s", 0)]
)
def test_a_span_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert parse_span(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "1.5h", "5 s", "5ms", "1h30m", "367d", "9999999999s", "٣s", "1w"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(WrongUse, match=r"is no span of time: write a number|is too long: expected at most 366d"):
        parse_span(text)


@given(st.integers(0, 366 * DAY // SECOND))
def test_a_span_that_is_written_is_read_as_the_same(seconds: int) -> None:
    assert parse_span(span_text(seconds * SECOND)) == seconds * SECOND


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0, "0 s"),
        (500, "500 ms"),
        (30_000, "30 s"),
        (90_500, "1 min 30.5 s"),
        (5_400_000, "1 h 30 min"),
        (2 * DAY, "2 d"),
    ],
)
def test_a_span_is_said_as_people_do(ms: int, said: str) -> None:
    assert span_words(ms) == said


@pytest.mark.parametrize(
    ("hours", "moment", "until"),
    [
        ("22:00-07:00", "2025-06-14T21:59:59.999+00:00", None),
        ("22:00-07:00", "2025-06-14T22:00:00+00:00", "2025-06-15T07:00:00+00:00"),
        ("22:00-07:00", "2025-06-15T06:59:59.999+00:00", "2025-06-15T07:00:00+00:00"),
        ("22:00-07:00", "2025-06-15T07:00:00+00:00", None),
        ("12:00-13:30", "2025-06-15T13:00:00+00:00", "2025-06-15T13:30:00+00:00"),
        ("12:00-24:00", "2025-06-15T13:00:00+00:00", "2025-06-16T00:00:00+00:00"),
        ("22:00-07:00 Europe/Berlin", "2025-06-14T20:00:00+00:00", "2025-06-15T05:00:00+00:00"),
        ("22:00-07:00 Europe/Berlin", "2025-12-14T20:00:00+00:00", None),
        # summer time begins on 30 March 2025 and ends on 26 October 2025, at 01:00 UTC
        ("22:00-07:00 Europe/Berlin", "2025-03-29T21:00:00+00:00", "2025-03-30T05:00:00+00:00"),
        ("22:00-07:00 Europe/Berlin", "2025-10-25T20:00:00+00:00", "2025-10-26T06:00:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2025-10-26T00:10:00+00:00", "2025-10-26T00:30:00+00:00"),
        ("22:00-02:30 Europe/Berlin", "2025-10-26T00:40:00+00:00", None),
        ("22:00-02:30 Europe/Berlin", "2025-10-26T01:10:00+00:00", "2025-10-26T01:30:00+00:00"),
    ],
)
def test_quiet_hours_go_by_the_clock_on_the_wall(hours: str, moment: str, until: str | None) -> None:
    assert parse_quiet(hours).until(at(moment)) == (None if until is None else at(until))


@pytest.mark.parametrize("day", ["2025-03-30", "2025-10-26"])
@pytest.mark.parametrize("hours", ["22:00-02:30", "02:30-03:30", "01:30-02:30", "02:00-03:00", "22:00-07:00"])
def test_in_a_night_in_which_clocks_are_turned_they_end_when_the_clock_says_so(day: str, hours: str) -> None:
    quiet, start = parse_quiet(f"{hours} Europe/Berlin"), at(f"{day}T00:00:00+00:00") - 3 * HOUR
    minutes = range(start, start + 12 * HOUR, MINUTE)
    free = [minute for minute in minutes if quiet.until(minute) is None]
    for minute in minutes:
        until = quiet.until(minute)
        if until is not None and until < minutes.stop:
            assert until in free
            between = [each for each in free if minute < each < until]
            assert not between or day == "2025-10-26"  # a clock that is turned back may leave them twice


@given(
    st.sampled_from(["22:00-07:00", "02:30-03:30", "00:00-02:15", "09:00-17:00"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.datetimes(datetime.fromisoformat("2025-01-01"), datetime.fromisoformat("2026-01-01")),
)
def test_the_end_of_quiet_hours_is_in_none(hours: str, zone: str, moment: datetime) -> None:
    quiet, time_ms = parse_quiet(f"{hours} {zone}"), round(moment.replace(tzinfo=UTC).timestamp() * 1000)
    until = quiet.until(time_ms)
    clock = datetime.fromtimestamp(time_ms / 1000, ZoneInfo(zone)).time()
    inside = quiet.start <= clock < quiet.end if quiet.start < quiet.end else not quiet.end <= clock < quiet.start
    assert (until is not None) is inside
    if until is not None:
        assert quiet.until(until) is None
        assert timedelta(0) < timedelta(milliseconds=until - time_ms) <= timedelta(hours=11)


def test_quiet_hours_are_written_in_one_way() -> None:
    assert parse_quiet(" 22:00 -7:00   Europe/Berlin ").text == "22:00-07:00 Europe/Berlin"
    assert parse_quiet("0:00-06:00").text == "00:00-06:00 UTC"
    assert parse_quiet("22:00-24:00 utc").text == "22:00-00:00 UTC"
