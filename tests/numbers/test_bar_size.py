"""Correlations by bar size are those of the bars themselves, and rise with the size where legs trade apart."""

import math

import numpy as np
import pytest

from market import WrongUse
from pairscope.numbers.bar_size import Trades, bar_correlations, last_of_each
from pairscope.numbers.dependence import correlation

SIZES = (1_000, 2_000, 5_000, 60_000)


def legs(seconds: int = 4_000, *, every: float = 3.0, seed: int = 1) -> tuple[Trades, Trades]:
    """Two prices with one cause, seen at moments of their own about every so many seconds."""
    rng = np.random.default_rng(seed)
    cause = 100 * np.exp(np.cumsum(rng.normal(size=(seconds * 10, 2)) @ [[1.0, 0.8], [0.0, 0.6]] / 10_000, axis=0))
    found = []
    for leg in range(2):
        ticks = np.flatnonzero(rng.random(seconds * 10) < 0.1 / every)
        found.append(Trades(ticks * 100 + 1_700_000_000_000, cause[ticks, leg]))
    return found[0], found[1]


def test_each_is_the_correlation_of_the_bars_of_that_size() -> None:
    y, x = legs(every=0.2)
    size = 5_000
    closes = []
    for leg in (y, x):
        bars = {int(time) // size: price for time, price in zip(*leg, strict=True)}
        closes.append(bars)
    whole = sorted(set(closes[0]) & set(closes[1]))[1:-1]
    expected = correlation([closes[0][each] for each in whole], [closes[1][each] for each in whole])
    found = bar_correlations(y, x, sizes_ms=SIZES)[size]
    assert (found.value, found.low, found.n) == pytest.approx((expected.value, expected.low, expected.n))


def test_short_bars_of_legs_that_trade_apart_hide_what_long_ones_show() -> None:
    found = bar_correlations(*legs(40_000, every=1.0), sizes_ms=SIZES)
    assert found[1_000].high < found[5_000].low < found[60_000].low < 0.8 < found[60_000].high


def test_sizes_that_divide_no_other_are_right_too() -> None:
    y, x = legs()
    together = bar_correlations(y, x, sizes_ms=(2_000, 3_000, 5_000))
    for size, found in together.items():
        assert found == bar_correlations(y, x, sizes_ms=(size,))[size]


def test_a_bar_without_a_trade_is_missing_and_not_flat() -> None:
    time = np.array([0, 1_000, 2_000, 4_000, 5_000, 6_000, 7_000, 8_000]) + 500
    price = np.array([1.0, 1.1, 1.2, 1.3, 1.2, 1.25, 1.3, 1.2])
    found = bar_correlations(Trades(time, price), Trades(time, price), sizes_ms=(1_000,))[1_000]
    assert found.n == 4


def test_nothing_traded_gives_a_reason() -> None:
    none = Trades(np.empty(0, np.int64), np.empty(0))
    found = bar_correlations(none, legs()[0], sizes_ms=(1_000,))[1_000]
    assert math.isnan(found.value)
    assert found.reason


def test_the_last_trade_of_each_stretch_stays() -> None:
    trades = Trades(np.array([0, 400, 900, 1_000, 3_100]), np.arange(5.0))
    assert last_of_each(trades, 1_000).price.tolist() == [2.0, 3.0, 4.0]
    assert len(last_of_each(Trades(np.empty(0, np.int64), np.empty(0)), 10).time) == 0


def test_what_makes_no_sense_is_refused() -> None:
    y, x = legs(100)
    with pytest.raises(WrongUse, match="a size"):
        bar_correlations(y, x, sizes_ms=(0,))
    with pytest.raises(WrongUse, match="sort them"):
        bar_correlations(Trades(y.time[::-1], y.price), x, sizes_ms=(1_000,))
