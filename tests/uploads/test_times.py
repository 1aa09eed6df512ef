"""Times of any form, unit and zone become the same milliseconds, or are refused by a rule."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import EARLIEST_MS
from pairscope.uploads.times import RULES, TimeReader, from_local
from pairscope.uploads.upload import LATEST_MS, Dates, UploadOptions

START_MS = 1_723_161_255_342


def times(*texts: str, dates: Dates = "month first", zone: str | None = None) -> list[int | str]:
    read = TimeReader(UploadOptions(zone=zone), dates).read(pa.array(texts, pa.large_string()))
    return [RULES[rule] or ms for ms, rule in zip(read.ms.tolist(), read.rule.tolist(), strict=True)]


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-08T23:54:15.342Z",
        "2024-08-08T23:54:15.342999999Z",
        "2024-08-08 23:54:15.342",
        "2024-08-08 23:54:15,342 UTC",
        "2024.08.08 23:54:15.342",
        "2024/8/8 11:54:15.342 PM",
        "08/08/2024, 23:54:15.342",
        "2024-08-09T01:54:15.342+02:00",
        "2024-08-08T18:24:15.342-0530",
        "1723161255342",
        "1723161255342000",
        "1723161255342999999",
        "1723161255.342",
        "1723161255,342",
        "1723161255342.0",
        "1.723161255342e12",
    ],
)
def test_every_form_is_the_same_moment(text: str) -> None:
    assert times(text, "1723161255342") == [START_MS, START_MS]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("20240808", "2024-08-08"),
        ("202408082354", "2024-08-08T23:54"),
        ("20240808235415", "2024-08-08T23:54:15"),
        ("20240808 23:54:15", "2024-08-08T23:54:15"),
        ("2/29/2024", "2024-02-29"),
        ("1/2/2024 12:05 am", "2024-01-02T00:05"),
        ("1/2/2024 12:05 pm", "2024-01-02T12:05"),
        ("1970-01-01", "1970-01-01"),
    ],
)
def test_dates_without_marks_or_seconds_are_read(text: str, iso: str) -> None:
    assert times(text) == [int(datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp() * 1000)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("yesterday", "not a time"),
        ("12:30", "not a time"),
        ("1/2/24", "not a time"),
        ("0x12", "not a time"),
        ("９", "not a time"),
        ("99999999999999999999", "not a time"),
        ("2024-01-01 10:00 EST", "not a time"),
        ("500000000", "a time before 1990"),
        ("2023-02-29", "a date that does not exist, or is before 1970"),
        ("2024-13-01", "a date that does not exist, or is before 1970"),
        ("2024-01-01 24:00:00", "a date that does not exist, or is before 1970"),
        ("2024-01-01 23:59:60", "a date that does not exist, or is before 1970"),
        ("1969-12-31", "a date that does not exist, or is before 1970"),
        ("13:00 pm", "not a time"),
        ("2024-01-01 13:00 PM", "a date that does not exist, or is before 1970"),
    ],
)
def test_what_is_no_time_is_refused_by_its_rule(text: str, rule: str) -> None:
    assert times(text, "2024-01-01") == [rule, 1_704_067_200_000]


@settings(max_examples=200)
@given(st.lists(st.integers(EARLIEST_MS, LATEST_MS), min_size=1, max_size=5))
def test_every_unit_and_iso_agree(moments: list[int]) -> None:
    iso = np.datetime_as_string(np.array(moments, "datetime64[ms]"), timezone="UTC").tolist()
    for texts in (iso, *([str(ms * 10**power) for ms in moments] for power in (0, 3, 6))):
        assert times(*texts) == moments


def test_a_local_time_of_a_changing_clock_is_refused_where_it_is_two_or_none() -> None:
    local = ("2024-03-31 01:59", "2024-03-31 02:30", "2024-10-27 02:30", "2024-10-27 03:00", "2024-10-27T02:30+01:00")
    assert times(*local, zone="Europe/Berlin") == [
        1_711_846_740_000,
        "a local time that does not exist (the clock was set forward)",
        "a local time that comes twice (the clock was set back)",
        1_729_994_400_000,
        1_729_992_600_000,
    ]


def test_local_times_of_a_year_are_those_of_the_zones_own_rules() -> None:
    local = np.arange(1_704_067_200_000, 1_735_689_600_000, 1_860_000)
    ms, wrong = from_local(local, "America/New_York")
    back = [datetime.fromtimestamp(at / 1000, UTC) for at in ms[wrong == 0].tolist()]
    from zoneinfo import ZoneInfo

    shown = [at.astimezone(ZoneInfo("America/New_York")).replace(tzinfo=UTC).timestamp() * 1000 for at in back]
    assert shown == local[wrong == 0].tolist()
    assert 1 <= np.count_nonzero(wrong) <= 6


def test_a_unit_that_was_said_refuses_the_others() -> None:
    read = TimeReader(UploadOptions(unit="s"), "month first").read(pa.array(["1723161255", "1723161255342"]))
    assert [RULES[rule] for rule in read.rule] == ["", "not in the unit that was said"]


def test_how_times_were_written_is_counted() -> None:
    reader = TimeReader(UploadOptions(), "day first")
    reader.read(pa.array(["1723161255342", "1723161255342000", "1723161255343000", "13/1/2024"]))
    assert reader.sentence() == "ms since 1970 (1 rows) and us since 1970 (2 rows) and dates, day first (1 rows)"
    assert reader.zone_sentence() == "1 name no zone: assumed UTC (say zone=... if they are local)"
