"""The clock that pages show times by."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairscope.views.clock import Clock, both_texts, clock_of

SUMMER, WINTER = 1_782_000_000_000, 1_795_280_645_000  # 21 Jun and 21 Nov 2026
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Chatham")


def test_a_moment_is_written_as_the_zone_shows_it() -> None:
    assert Clock().text(WINTER) == "21 Nov 2026 17:04:05"
    assert Clock("Europe/Berlin").time_text(WINTER) == "18:04:05"
    assert both_texts(WINTER, Clock()) == "21 Nov 2026 17:04:05 UTC"
    assert both_texts(WINTER, Clock("Asia/Kolkata")) == "21 Nov 2026 17:04:05 UTC · 22:34:05 Asia/Kolkata"


def test_times_that_stand_together_have_the_day_where_one_is_not_of_today() -> None:
    clock, day = Clock("Asia/Kolkata"), 86_400_000  # where it is 22:34:05
    assert clock.column_texts([WINTER - 3_600_000, WINTER], WINTER) == ["21:34:05", "22:34:05"]
    assert clock.column_texts([WINTER], WINTER + 2 * 3_600_000) == ["21 Nov 22:34:05"]
    assert clock.column_texts([WINTER - day, WINTER], WINTER) == ["20 Nov 22:34:05", "21 Nov 22:34:05"]
    assert clock.column_texts([WINTER - 365 * day], WINTER) == ["21 Nov 2025 22:34:05"]
    assert clock.column_texts([], WINTER) == []


def test_local_means_what_the_browser_says_and_an_unknown_zone_means_utc() -> None:
    assert clock_of("local", "Asia/Tokyo") == Clock("Asia/Tokyo")
    assert clock_of("local", None) == clock_of("UTC", "Asia/Tokyo") == Clock()
    for nonsense in ("Mars/Olympus", "../../etc/passwd", "\0", "Europe", ""):
        assert clock_of(nonsense, None) == Clock()


@pytest.mark.parametrize("zone", ZONES)
@given(start=st.integers(1_700_000_000_000, 1_900_000_000_000), step=st.integers(1_000, 86_400_000))
def test_the_wall_of_many_moments_is_that_of_each(zone: str, start: int, step: int) -> None:
    times = start + step * np.arange(60, dtype=np.int64)
    shown = Clock(zone).wall(times)
    for time, wall in zip(times.tolist(), shown.tolist(), strict=True):
        there = datetime.fromtimestamp(time / 1000, ZoneInfo(zone)).replace(tzinfo=UTC)
        assert wall == round(there.timestamp() * 1000)


def test_no_moments_have_no_wall() -> None:
    assert not len(Clock("Europe/Berlin").wall(np.empty(0, np.int64)))
