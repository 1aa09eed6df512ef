"""Readers take what venues write, and nothing else: no input makes them raise anything but Refused."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import Bar, Tick
from pairscope.recording import reading
from pairscope.recording.reading import Refused
from pairscope.recording.venue import Parsed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANYTHING: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.just({})
)


@pytest.mark.parametrize("text", ["0", "1", "61837.63000000", "0.00000001", "1e5", "-0.5", "9" * 40])
def test_a_decimal_is_the_nearest_float(text: str) -> None:
    assert reading.decimal(text, "p") == float(text)


@settings(max_examples=200)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**12))
def test_any_decimal_is_read_as_python_reads_it(number: object) -> None:
    text = str(number)
    if len(text) <= 40:
        assert reading.decimal(text, "p") == float(text)


@pytest.mark.parametrize(
    "text",
    [*("", " ", "nan", "inf", "Infinity", "1_0", " 1", "1 ", "\t1", "+1", "1.", ".5", "01", "0x1", "1,5"),
     *("１", "١", "1e999", "1e", "--1", "1\x00", "\ud800", "9" * 41), 1.5, 1, True, None, [], {}],
)  # fmt: skip
def test_what_is_no_decimal_is_refused(text: object) -> None:
    with pytest.raises(Refused, match=r"^p is not a decimal number in a string$"):
        reading.decimal(text, "p")


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2021-04-17T16:43:30.244075Z", 1_618_677_810_244),
        ("2021-04-17T16:43:30.999999999Z", 1_618_677_810_999),
        ("2021-04-17T16:43:30.2Z", 1_618_677_810_200),
        ("2021-04-17T18:43:30.244+02:00", 1_618_677_810_244),
        ("2021-04-17T11:13:30.244-05:30", 1_618_677_810_244),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
    ],
)
def test_a_time_is_read_to_the_millisecond(text: str, time_ms: int) -> None:
    assert reading.rfc3339_ms(text, "time") == time_ms


@settings(max_examples=200)
@given(
    moment=st.datetimes(min_value=datetime(1990, 1, 1)),  # noqa: DTZ001  # the zone comes next
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_any_time_is_what_datetime_says(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (zoned - EPOCH) // timedelta(milliseconds=1)
    assert reading.rfc3339_ms(zoned.isoformat(), "time") == expected


@pytest.mark.parametrize(
    "text",
    ["", "2021-04-17", "2021-04-17T16:43:30", "2021-02-30T00:00:00Z", "2021-04-17T24:00:00Z", "2021-04-17T16:43:30.Z",
     "2021-04-17T16:43:30.1234567890Z", "２021-04-17T16:43:30Z", "2021-04-17T16:43:30Z\n", 1618677810, None],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(Refused, match=r"^time is not a time in RFC 3339$"):
        reading.rfc3339_ms(text, "time")


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1688669597.8277369", 1_688_669_597_827),
        ("1688669597.8279999", 1_688_669_597_827),
        ("1700000000.1309999", 1_700_000_000_130),
        ("1700000000.131", 1_700_000_000_131),
        ("1700000000.0", 1_700_000_000_000),
        ("1700000000", 1_700_000_000_000),
    ],
)
def test_seconds_are_read_digit_by_digit(text: str, time_ms: int) -> None:
    """The float next to 1700000000.1309999 belongs to the next millisecond for some such numbers."""
    (value,) = reading.read_exact(f"[{text}]".encode())
    assert reading.seconds_ms(value, "time") == time_ms


@given(ms=st.integers(10**12, 2 * 10**12), below=st.integers(0, 9999))
def test_what_is_below_a_millisecond_never_makes_it_the_next(ms: int, below: int) -> None:
    (value,) = reading.read_exact(f"[{ms // 1000}.{ms % 1000:03d}{below:04d}]".encode())
    assert reading.seconds_ms(value, "time") == ms


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff", b"[1e99999999999999999999]", b"9" * 5000])
def test_a_body_that_is_not_json_is_refused_with_its_beginning(body: bytes) -> None:
    for read in (reading.read_body, reading.read_exact):
        with pytest.raises(Refused, match=r"^JSON was expected, not "):
            read(body)


@settings(max_examples=200)
@given(value=ANYTHING)
def test_readers_raise_nothing_but_refused(value: object) -> None:
    readers: list[Callable[[object, str], object]] = [
        *(reading.decimal, reading.number, reading.whole, reading.symbol_in, reading.rfc3339_ms, reading.seconds_ms),
        lambda each, what: reading.choose(each, {"buy": 1}, what),
        lambda each, what: reading.columns(each, 2, what),
    ]
    for read in readers:
        try:
            read(value, "it")
        except Refused as refused:
            assert str(refused).startswith("it ")  # noqa: PT017  # most are read, some refused
    assert len(reading.shown(value)) <= reading.LONGEST_NOTE


def test_true_is_no_number() -> None:
    for read in (reading.number, reading.whole):
        with pytest.raises(Refused):
            read(True, "id")


def test_what_is_shown_of_a_stranger_is_short_and_printable() -> None:
    assert reading.shown("a\x1b[31m\n" + "b" * 999) == "a [31m " + "b" * (reading.LONGEST_NOTE - 7)
    assert reading.shown(b"\xff<html>") == "�<html>"
    assert (reading.shown(["a", 5, "b"]), reading.shown({}), reading.shown(None)) == ("a, b", "", "")


def test_rows_are_sifted_one_by_one() -> None:
    tick = Tick("v", "s", 1, 1_700_000_000_000, 1.0, 1.0, None)

    def read(row: int) -> Tick:
        return reading.sound(tick._replace(price=float(row)))

    assert reading.sift([1, 0, 1], read) == ((tick, tick), ("price is not a positive number",))


def test_a_candle_that_cannot_be_is_left_out_of_its_page() -> None:
    def read(price: float) -> Bar:
        return reading.candle(0, (price,) * 4, volume=1.0, turnover=1.0, trades=1)

    assert [bar.open for bar in reading.sift_bars([1.0, 0.0, 2.0], read)] == [1.0, 2.0]
    assert reading.sift_bars([], read) == []
    with pytest.raises(Refused, match="not a positive number"):
        reading.sift_bars([0.0, 0.0], read)


def test_a_frame_is_read_by_what_it_is_handed_to() -> None:
    seen: list[object] = []

    def read(message: dict[str, object]) -> Parsed:
        seen.append(message)
        raise Refused("no")

    frames = (b'{"a":1}', b"[1]", b"5", b"{")
    outcomes = [reading.read_frame(frame, read) for frame in frames]
    assert outcomes == [
        Parsed(rejected=("no",)),
        Parsed(ignored="other"),
        Parsed(rejected=("not a JSON object",)),
        Parsed(rejected=("not JSON",)),
    ]
    assert seen == [{"a": 1}]


def test_a_candle_becomes_a_bar() -> None:
    bar = reading.candle(60_000, (2.0, 3.0, 1.0, 2.5), volume=4.0, turnover=9.0, trades=3, bought=1.0)
    assert bar == Bar(60_000, 2.0, 3.0, 1.0, 2.5, 4.0, 9.0, 1.0, 3, klines=True)
    assert math.isnan(reading.candle(0, (1.0, 1.0, 1.0, 1.0), volume=1.0, turnover=1.0, trades=1).buy_volume)


@pytest.mark.parametrize(
    ("prices", "volume"),
    [
        ((1.0, 1.0, 1.0, math.nan), 1.0),
        ((1.0, math.inf, 1.0, 1.0), 1.0),
        ((0.0, 1.0, 0.0, 1.0), 1.0),
        ((2.0, 1.0, 1.0, 1.0), 1.0),
        ((1.0, 2.0, 1.5, 1.5), 1.0),
        ((1.0, 1.0, 1.0, 1.0), math.nan),
        ((1.0, 1.0, 1.0, 1.0), -1.0),
    ],
)
def test_a_candle_that_cannot_be_is_refused(prices: tuple[float, ...], volume: float) -> None:
    with pytest.raises(Refused, match=r"^a candle"):
        reading.candle(0, prices, volume=volume, turnover=1.0, trades=1)
