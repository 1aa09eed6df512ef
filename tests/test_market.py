"""The nouns of the market and the arithmetic of bars."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import (
    DAY,
    EARLIEST_MS,
    HOUR,
    MAX_ID,
    MINUTE,
    SECOND,
    Bar,
    Bars,
    Coverage,
    Instrument,
    Tick,
    Timeframe,
    UnknownName,
    WrongUse,
    bars_from_rows,
    coarsen,
    did_you_mean,
    flaw,
    iso,
    join_bars,
)

BTC = Instrument("binance-spot", "BTCUSDT")
T0 = 1_700_000_040_000
"""A whole minute."""

timeframes = st.integers(1, 366 * 86_400).map(lambda seconds: Timeframe(seconds * SECOND))
times = st.integers(-(10**12), 4 * 10**12)


# ---------------------------------------------------------------------------------------------- timeframes


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1s", SECOND),
        ("5s", 5 * SECOND),
        ("15s", 15 * SECOND),
        ("1m", MINUTE),
        ("15m", 15 * MINUTE),
        ("1h", HOUR),
        ("4h", 4 * HOUR),
        ("1d", DAY),
        ("366d", 366 * DAY),
        ("7s", 7 * SECOND),
    ],
)
def test_a_timeframe_is_a_number_and_a_unit(text: str, ms: int) -> None:
    assert Timeframe.parse(text) == Timeframe(ms)
    assert str(Timeframe(ms)) == text


@given(timeframes)
def test_every_timeframe_is_read_back_from_its_text(timeframe: Timeframe) -> None:
    assert Timeframe.parse(str(timeframe)) == timeframe
    assert Timeframe.parse(timeframe) is timeframe


def test_the_text_of_a_timeframe_is_the_shortest_one() -> None:
    assert str(Timeframe.parse("60s")) == "1m"
    assert str(Timeframe.parse("90s")) == "90s"
    assert str(Timeframe.parse("24h")) == "1d"


@pytest.mark.parametrize(
    "text",
    [
        *("1M", "min", "1min", "1T", "T", "1H", "1D", "1S", "1ms", "1w", "1y", "1ME", "1QE", "B", "60", "s"),
        *("0s", "0m", "00s", "01s", "-1s", "+1s", "1.5m", "1m1s", "1e1s", "1_0s", "١s", "367d", "999999d"),
        *("", " 1m", "1m ", "1 m", "1m\n", "100000000s"),
    ],
)
def test_what_is_no_timeframe_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(WrongUse, match="timeframe"):
        Timeframe.parse(text)


@pytest.mark.parametrize("ms", [0, -1_000, 1, 1_500, 367 * DAY])
def test_a_timeframe_is_whole_seconds_up_to_a_year(ms: int) -> None:
    with pytest.raises(WrongUse, match="whole number of seconds up to 366d"):
        Timeframe(ms)


@given(timeframes, times)
def test_the_floor_is_the_start_of_the_bar_that_holds_the_time(timeframe: Timeframe, time: int) -> None:
    start = timeframe.floor(time)
    assert start % timeframe.ms == 0
    assert start <= time < start + timeframe.ms
    assert timeframe.floor(start) == start


def test_timeframes_are_ordered_by_length() -> None:
    assert sorted(map(Timeframe.parse, ("1d", "5s", "1h", "60s"))) == list(
        map(Timeframe.parse, ("5s", "1m", "1h", "1d"))
    )


# -------------------------------------------------------------------------------------------------- trades

SOUND = Tick("binance-spot", "BTCUSDT", 1, T0, 100.0, 0.5, "buy")


@pytest.mark.parametrize(
    "tick",
    [
        SOUND,
        SOUND._replace(side=None),
        SOUND._replace(trade_id=0),
        SOUND._replace(trade_id=MAX_ID),
        SOUND._replace(price=5e-324, qty=1e300),
        SOUND._replace(time_ms=EARLIEST_MS),
        SOUND._replace(price=np.float64(3.5)),
    ],
)
def test_a_trade_that_can_be_has_no_flaw(tick: Tick) -> None:
    assert flaw(tick, latest_ms=T0) is None


HOSTILE: list[tuple[dict[str, Any], str]] = [
    *[({"price": bad}, "price") for bad in (math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 100, True, "100", None)],
    *[({"qty": bad}, "quantity") for bad in (math.nan, math.inf, -math.inf, -1.0, 0.0, -0.0, 1, False, "1", None)],
    *[({"trade_id": bad}, "trade id") for bad in (-1, 2**63, True, 1.0, "1", None, np.int64(3), math.nan)],
    *[({"time_ms": bad}, "time is not") for bad in (0, -1, 1.7e12, True, "1700000040000", None, math.nan)],
    *[({"time_ms": bad}, "future") for bad in (T0 + 1, T0 * 1_000, 2**63)],
]


@pytest.mark.parametrize(("change", "why"), HOSTILE, ids=str)
def test_a_trade_that_cannot_be_is_told_by_what_is_wrong_with_it(change: dict[str, Any], why: str) -> None:
    assert why in (flaw(SOUND._replace(**change), latest_ms=T0) or "no flaw")


anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3))


@given(anything, anything, anything, anything)
def test_no_value_makes_the_check_itself_fail(trade_id: Any, time: Any, price: Any, qty: Any) -> None:
    tick = Tick("v", "S", trade_id, time, price, qty, None)
    if flaw(tick, latest_ms=T0) is None:
        assert math.isfinite(price)
        assert math.isfinite(qty)
        assert 0 < time <= T0
        assert 0 <= trade_id <= MAX_ID


# --------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "near"),
    [("ETHUSTD", "ETHUSDT"), ("ethusdt", "ETHUSDT"), ("BTCUSD", "BTCUSDT"), ("Btc-usdt", "BTCUSDT")],
)
def test_the_nearest_name_is_offered(name: str, near: str) -> None:
    assert did_you_mean(name, ["ETHUSDT", "BTCUSDT", "DOGEBTC"]) == f" (did you mean {near}?)"


@pytest.mark.parametrize("name", ["", "zzz", "?"])
def test_nothing_is_offered_when_nothing_is_near(name: str) -> None:
    assert did_you_mean(name, ["ETHUSDT", "BTCUSDT"]) == ""
    assert did_you_mean(name, []) == ""


def test_an_unknown_name_says_what_was_and_what_is_known() -> None:
    error = UnknownName("venue", "krakn", ["kraken", "coinbase"])
    assert str(error) == "unknown venue 'krakn' (did you mean kraken?); known: coinbase, kraken"
    assert str(UnknownName("symbol", "X", [])) == "unknown symbol 'X'; known: none yet"
    assert str(UnknownName("symbol", "X", map(str, range(99)))).count(",") == 11


def test_a_symbol_may_carry_its_venue() -> None:
    assert Instrument.parse("BTCUSDT", venue="kraken") == Instrument("kraken", "BTCUSDT")
    assert Instrument.parse(" binance-spot:BTCUSDT ", venue="kraken") == BTC
    assert Instrument.parse(str(BTC), venue="") == BTC
    assert SOUND.instrument == BTC


# --------------------------------------------------------------------------------------------------- times


@given(st.integers(0, 4 * 10**12))
def test_a_time_is_written_in_utc_with_milliseconds(time: int) -> None:
    moment = datetime.fromtimestamp(time // 1_000, UTC).replace(microsecond=time % 1_000 * 1_000)
    assert iso(time) == moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time % 1_000:03d}Z"
    assert datetime.fromisoformat(iso(time)) == moment


def test_the_share_of_an_empty_range_is_not_known() -> None:
    assert Coverage(0, 100, 25).share == 0.25
    assert math.isnan(Coverage(5, 5, 0).share)


# ---------------------------------------------------------------------------------------------------- bars

Rows = list[tuple[Any, ...]]
numbers = st.integers(1, 1_000).map(float)


@st.composite
def seconds(draw: st.DrawFn) -> Rows:
    """Rows of 1-second bars with holes between them; whole numbers, so that sums are exact."""
    steps = draw(st.lists(st.integers(1, 200), max_size=60))
    time, rows = T0, []
    for step in steps:
        time += step * SECOND
        prices = draw(st.lists(numbers, min_size=4, max_size=4))
        volume, turnover, buys = (draw(numbers) for _ in range(3))
        flags = (draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
        row = (time, prices[0], max(prices), min(prices), prices[3], volume, turnover, buys, draw(st.integers(1, 9)))
        rows.append((*row, *flags))
    return rows


def bars_of(rows: Rows, timeframe: str = "1s") -> Bars:
    return bars_from_rows(BTC, Timeframe.parse(timeframe), rows)


@given(seconds(), st.sampled_from(["1s", "5s", "7s", "1m", "15m", "1h", "1d"]))
def test_longer_bars_are_what_pandas_makes_of_the_short_ones(rows: Rows, timeframe: str) -> None:
    bars = bars_of(rows)
    made = coarsen(bars, Timeframe.parse(timeframe))
    first_last = {"open": "first", "high": "max", "low": "min", "close": "last"}
    sums = dict.fromkeys(("volume", "turnover", "buy_volume", "trades"), "sum")
    flags = dict.fromkeys(("klines", "gap", "forming"), "any")
    frame = pd.DataFrame(bars.columns())
    start = frame.pop("time") // Timeframe.parse(timeframe).ms * Timeframe.parse(timeframe).ms
    wanted = frame.groupby(start).agg(first_last | sums | flags)
    assert made.time.tolist() == wanted.index.tolist()
    for name in wanted.columns:
        assert made.columns()[name].tolist() == wanted[name].tolist(), name


@given(seconds())
def test_it_does_not_matter_through_which_bars_the_long_ones_are_made(rows: Rows) -> None:
    bars, hour = bars_of(rows), Timeframe.parse("1h")
    through_minutes = coarsen(coarsen(bars, Timeframe.parse("1m")), hour)
    assert list(through_minutes) == list(coarsen(bars, hour))


def test_bars_do_not_add_up_to_what_is_not_a_multiple() -> None:
    with pytest.raises(WrongUse, match="5s bars do not add up to 7s bars"):
        coarsen(bars_of([], "5s"), Timeframe.parse("7s"))


def test_a_side_that_is_not_known_stays_unknown_in_the_sum() -> None:
    rows = [(T0, *[1.0] * 6, math.nan, 1), (T0 + SECOND, *[1.0] * 6, 2.0, 1)]
    assert math.isnan(coarsen(bars_of(rows), Timeframe.parse("1m")).buy_volume[0])


@given(seconds(), st.integers(T0 - MINUTE, T0 + 4 * HOUR), st.integers(0, HOUR))
def test_between_takes_the_start_and_leaves_the_end(rows: Rows, start: int, length: int) -> None:
    bars = bars_of(rows)
    wanted = [bar for bar in bars if start <= bar.time_ms < start + length]
    assert list(bars.between(start, start + length)) == wanted


def test_between_does_not_copy() -> None:
    bars = bars_of([(T0 + n * SECOND, *[1.0] * 7, 1) for n in range(9)])
    assert np.shares_memory(bars.between(T0 + SECOND, T0 + 3 * SECOND).close, bars.close)
    assert not np.shares_memory(bars.copy().close, bars.close)


def test_the_frame_is_indexed_by_the_start_of_each_bar_in_utc() -> None:
    bars = bars_of([(T0, 1.0, 3.0, 0.5, 2.0, 4.0, 8.0, math.nan, 7)])
    frame = bars.frame
    assert str(frame.index.dtype) == "datetime64[ms, UTC]"
    assert frame.index.name == "time"
    assert frame.index[0] == pd.Timestamp(T0, unit="ms", tz="UTC")
    assert [*frame.columns] == [*Bar._fields[1:]]
    assert frame.iloc[0].trades == 7
    assert bars_of([]).frame.empty


@given(seconds(), st.integers(0, 60))
def test_bars_that_were_cut_are_joined_again(rows: Rows, cut: int) -> None:
    bars = bars_of(rows)
    assert list(join_bars(bars[:cut], bars[cut:])) == list(bars)


def test_a_bar_is_a_row_of_plain_values() -> None:
    [bar] = bars_of([(T0, 1.0, 3.0, 0.5, 2.0, 4.0, 8.0, 1.0, 7, False, True)])
    assert bar == Bar(T0, 1.0, 3.0, 0.5, 2.0, 4.0, 8.0, 1.0, 7, gap=True)
    assert type(bar.time_ms) is int
    assert type(bar.open) is float
    assert type(bar.forming) is bool
