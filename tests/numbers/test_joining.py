"""Legs are joined by time; what one lacks is counted, and filled only on request."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import Instrument, Timeframe, WrongUse, bars_from_rows
from pairscope.numbers.joining import FILLED, FORMING, GAP, Leg, join, leg_of

MINUTE = Timeframe.parse("1m")
T0 = 1_700_000_040_000 // 60_000 * 60_000


def leg(minutes: list[int], *, name: str = "A", volume: float = 1.0) -> Leg:
    """Return a leg with a bar in each of some minutes; its close is the minute."""
    time = T0 + 60_000 * np.array(minutes, dtype=np.int64)
    many = len(minutes)
    close, size = np.array(minutes, dtype=np.float64), np.full(many, volume)
    return Leg(Instrument("import", name), MINUTE, time, close, size, np.zeros(many, np.uint8))


def closes(minutes: list[int]) -> "pd.Series[float]":
    index = pd.to_datetime([T0 + 60_000 * minute for minute in minutes], unit="ms")
    return pd.Series(np.arange(len(minutes), dtype=float), index=index, name="ETHUSDT")


def test_only_times_that_both_have_are_rows() -> None:
    joined = join(leg([0, 1, 2, 4, 5]), leg([1, 2, 3, 4]))
    assert joined.time.tolist() == [T0 + 60_000 * minute for minute in (1, 2, 4)]
    assert joined.y.tolist() == joined.x.tolist() == [1, 2, 4]


def test_bars_that_one_leg_lacks_are_counted_where_both_overlap() -> None:
    joined = join(leg([0, 1, 2, 4, 5]), leg([1, 2, 3, 4]))
    assert (joined.missing_y, joined.missing_x) == (1, 0)


def test_a_fill_is_bounded_marked_and_counted() -> None:
    joined = join(leg([0, 1, 5, 6]), leg([0, 1, 2, 3, 4, 5, 6]), fill=2)
    assert joined.y.tolist() == [0, 1, 1, 1, 5, 6]
    assert joined.x.tolist() == [0, 1, 2, 3, 5, 6]
    assert (joined.filled_y, joined.filled_x, joined.missing_y) == (2, 0, 1)
    assert ((joined.flags & FILLED) > 0).tolist() == [False, False, True, True, False, False]


def test_a_leg_that_is_late_is_filled_at_the_end_as_it_was_when_it_was_live() -> None:
    joined = join(leg([0, 1, 2]), leg([0, 1, 2, 3, 4, 5]), fill=2)
    assert joined.y.tolist() == [0, 1, 2, 2, 2]
    assert (joined.filled_y, joined.missing_y) == (2, 0)


def test_the_rows_are_copies() -> None:
    y = leg([0, 1, 2])
    joined = join(y, leg([0, 1, 2]))
    joined.y[0] = 99
    assert y.close[0] == 0


@pytest.mark.parametrize("word", ["close", "Price", None])
def test_legs_whose_names_are_only_words_are_called_y_and_x(word: str | None) -> None:
    assert leg_of(closes([0, 1]).rename(word), "x").instrument.symbol == "x"


def test_values_faster_than_a_second_are_refused() -> None:
    index = pd.to_datetime([T0, T0 + 100, T0 + 200], unit="ms")
    with pytest.raises(WrongUse, match="y has a value every 100 ms"):
        leg_of(pd.Series([1.0, 2.0, 3.0], index=index), "y")


def test_a_fill_takes_nothing_from_the_future() -> None:
    joined = join(leg([2, 3]), leg([0, 1, 2, 3]), fill=10)
    assert joined.time[0] == T0 + 2 * 60_000


@given(
    st.lists(st.integers(0, 30), unique=True, min_size=1).map(sorted),
    st.lists(st.integers(0, 30), unique=True, min_size=1).map(sorted),
    st.integers(0, 5),
)
def test_what_is_filled_and_what_is_missing_add_up(minutes_y: list[int], minutes_x: list[int], fill: int) -> None:
    bare, filled = join(leg(minutes_y), leg(minutes_x)), join(leg(minutes_y), leg(minutes_x), fill=fill)
    assert bare.missing_y - filled.filled_y <= filled.missing_y <= bare.missing_y
    assert bare.missing_x - filled.filled_x <= filled.missing_x <= bare.missing_x
    assert len(filled) == len(bare) + filled.filled_y + filled.filled_x
    assert set(bare.time.tolist()) <= set(filled.time.tolist())


def test_rows_with_too_little_volume_go_and_are_counted() -> None:
    quiet = leg([0, 1, 2])
    quiet.volume[1] = 0.1
    joined = join(quiet, leg([0, 1, 2]), minimum_volume=0.5)
    assert (len(joined), joined.removed) == (2, 1)


def test_a_minimum_volume_of_unknown_volumes_is_refused() -> None:
    with pytest.raises(WrongUse, match="volumes of y are not known"):
        join(leg([0, 1], volume=np.nan), leg([0, 1]), minimum_volume=1)


def test_legs_of_two_timeframes_are_refused() -> None:
    hours = leg([0, 60])
    other = Leg(hours.instrument, Timeframe.parse("1h"), hours.time, hours.close, hours.volume, hours.flags)
    with pytest.raises(WrongUse, match="1h bars"):
        join(leg([0, 60]), other)


def test_flags_of_both_legs_hold_for_the_row() -> None:
    y, x = leg([0, 1]), leg([0, 1])
    y.flags[0], x.flags[1] = GAP, FORMING
    joined = join(y, x)
    assert joined.flags.tolist() == [GAP, FORMING]
    assert joined.closed.tolist() == [True, False]


def test_closes_of_pandas_are_a_leg() -> None:
    found = leg_of(closes([0, 1, 2, 5]), "y")
    assert found.timeframe == MINUTE
    assert str(found.instrument) == "import:ETHUSDT"
    assert found.time[-1] == T0 + 5 * 60_000
    assert np.isnan(found.volume).all()


def test_times_of_another_zone_become_utc() -> None:
    local = closes([0, 1]).tz_localize("UTC").tz_convert("Asia/Tokyo")
    assert leg_of(local, "y").time.tolist() == [T0, T0 + 60_000]


def test_a_frame_needs_a_column_close_in_any_case() -> None:
    found = leg_of(pd.DataFrame({"Close": [1.0], "VOLUME": [2.0]}, index=closes([0]).index), "y")
    assert (found.close[0], found.volume[0]) == (1.0, 2.0)
    with pytest.raises(WrongUse, match="expected one named close"):
        leg_of(pd.DataFrame({"price": [1.0]}, index=closes([0]).index), "y")


def test_bars_without_a_close_are_missing_not_zero() -> None:
    holed = closes([0, 1, 2])
    holed.iloc[1] = np.nan
    assert leg_of(holed, "y").time.tolist() == [T0, T0 + 120_000]


@pytest.mark.parametrize(("minutes", "words"), [([0, 2, 1], "earlier than the one before"), ([0, 1, 1], "comes twice")])
def test_times_out_of_order_are_refused_by_name(minutes: list[int], words: str) -> None:
    with pytest.raises(WrongUse, match=f"x: the bar of 2023.*{words}"):
        leg_of(closes(minutes), "x")


@pytest.mark.parametrize("wrong", [[1.0, 2.0], "ETHUSDT", pd.Series([1.0, 2.0])])
def test_what_has_no_times_is_refused(wrong: object) -> None:
    with pytest.raises(WrongUse, match="x is"):
        leg_of(wrong, "x")


def test_two_empty_legs_join_to_nothing() -> None:
    assert len(join(leg([]), leg([]), fill=3)) == 0


def test_bars_of_the_store_carry_their_marks() -> None:
    rows = [(T0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1, True, True, True)]
    bars = bars_from_rows(Instrument("binance-spot", "BTCUSDT"), MINUTE, rows)
    assert leg_of(bars, "y").flags.tolist() == [7]
