"""What a price did, against pandas, scipy and sums by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from market import DAY, MINUTE, Floats, Instrument, Timeframe, WrongUse, bars_from_rows
from pairscope.numbers.statistics import (
    drawdown,
    expected_shortfall,
    price_statistics,
    returns,
    shape,
    value_at_risk,
)

PRICES = arrays(np.float64, st.integers(5, 60), elements=st.floats(0.5, 2e5, width=32))


def walk(n: int = 500, seed: int = 1) -> Floats:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).standard_t(4, n)) * 1e-3)


def indexed(prices: Floats, minutes: Floats | None = None) -> pd.Series:
    offsets = np.arange(len(prices)) if minutes is None else minutes
    return pd.Series(prices, pd.to_datetime(offsets * MINUTE, unit="ms", utc=True))


def test_returns_keep_the_index_and_begin_with_nan() -> None:
    prices = indexed(walk(20))
    pd.testing.assert_series_equal(returns(prices), np.log(prices).diff().rename("return"))
    pd.testing.assert_series_equal(returns(prices, log=False), prices.pct_change().rename("return"))
    assert list(returns([1, 2]).index) == [0, 1]


def test_a_return_of_a_billionth_is_exact() -> None:
    assert returns([1e8, 1e8 + 0.125]).iloc[1] == pytest.approx(1.25e-9, rel=1e-8)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -3.0])
def test_a_price_that_is_none_makes_the_returns_beside_it_unknown(bad: float) -> None:
    assert list(np.isnan(returns([1.0, 2.0, bad, 2.0, 3.0]))) == [True, False, True, True, False]


def test_past_returns_and_drawdowns_do_not_know_the_future() -> None:
    prices = walk(100)
    changed = prices.copy()
    changed[60:] *= 1.5
    for function in (returns, drawdown):
        pd.testing.assert_series_equal(function(prices).iloc[:60], function(changed).iloc[:60])


@given(PRICES)
def test_moments_are_those_of_pandas_and_scipy(prices: Floats) -> None:
    sample = np.log(prices)
    if np.ptp(sample) < 1e-3:
        return
    found, reference = shape(sample), pd.Series(sample)
    expected = (reference.mean(), reference.std(), reference.skew(), reference.kurt())
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert found.skew == pytest.approx(float(stats.skew(sample, bias=False)), rel=1e-6, abs=1e-8)
    assert found.kurtosis == pytest.approx(float(stats.kurtosis(sample, bias=False)), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(("scale", "offset"), [(1e-8, 0.0), (1e8, 0.0), (1.0, 1e8), (1e-200, 0.0)])
def test_moments_do_not_lose_themselves_in_scale_or_offset(scale: float, offset: float) -> None:
    sample = np.random.default_rng(2).gamma(2, size=1000)
    plain, moved = shape(sample), shape(sample * scale + offset)
    assert moved[1:] == pytest.approx((plain.deviation * scale, plain.skew, plain.kurtosis), rel=1e-6)


def test_value_at_risk_is_the_quantile_and_shortfall_the_mean_beyond_it() -> None:
    changes = np.random.default_rng(3).standard_normal(500)
    limit = value_at_risk(changes, level=0.99)
    assert limit == pytest.approx(-pd.Series(changes).quantile(0.01), rel=1e-12)
    assert expected_shortfall(changes, level=0.99) == pytest.approx(-changes[changes <= -limit].mean(), rel=1e-12)


def test_value_at_risk_of_a_known_sample() -> None:
    changes = np.arange(-50, 51) / 100.0  # the 5 % quantile of 101 equal steps is the sixth of them
    assert value_at_risk(changes) == pytest.approx(0.45)
    assert expected_shortfall(changes) == pytest.approx(np.mean([0.50, 0.49, 0.48, 0.47, 0.46, 0.45]))


def test_a_tail_without_a_return_in_it_is_unknown() -> None:
    assert math.isnan(value_at_risk(np.zeros(19)))
    assert value_at_risk([0.0] * 20) == 0
    assert math.isnan(value_at_risk(np.full(100, math.nan)))
    assert math.isnan(expected_shortfall([], level=0.99))


@pytest.mark.parametrize("level", [0, 1, 1.5, -0.1, True, "95"])
def test_a_level_outside_0_to_1_is_refused(level: float) -> None:
    with pytest.raises(WrongUse, match="level is"):
        value_at_risk([0.1], level=level)


def test_drawdown_is_the_share_below_the_highest_before() -> None:
    assert drawdown([10, 8, math.nan, 12, 6]).to_numpy() == pytest.approx([0, -0.2, math.nan, 0, -0.5], nan_ok=True)


def test_the_deepest_drawdown_has_its_dates() -> None:
    found = price_statistics(indexed(np.array([10.0, 12, 9, 6, 8, 12, 11])), timeframe_ms=MINUTE)
    assert (found.max_drawdown, found.drawdown_bars) == (0.5, 4)
    assert (found.drawdown_start, found.drawdown_trough, found.drawdown_end) == (MINUTE, 3 * MINUTE, 5 * MINUTE)


def test_a_drawdown_that_lasts_has_no_end() -> None:
    found = price_statistics([10, 12, 9, 10])
    assert (found.drawdown_start, found.drawdown_trough, found.drawdown_end, found.drawdown_bars) == (1, 2, None, 2)
    assert price_statistics([1, 2, 3]).max_drawdown == 0


def test_volatility_is_annualised_over_365_days() -> None:
    found = price_statistics(indexed(walk()), timeframe_ms=MINUTE)
    reference = pd.Series(np.diff(np.log(walk())))
    assert found.volatility == pytest.approx(reference.std(), rel=1e-9)
    assert found.annualised_volatility == pytest.approx(reference.std() * math.sqrt(365 * 1440), rel=1e-9)
    assert math.isnan(price_statistics(walk()).annualised_volatility)
    daily = price_statistics(walk(), periods_per_year=252)
    assert daily.annualised_volatility == pytest.approx(reference.std() * math.sqrt(252), rel=1e-9)


def test_a_return_over_a_hole_is_left_out_and_counted() -> None:
    prices = np.array([100.0, 101, 102, 150, 151])
    found = price_statistics(indexed(prices, np.array([0, 1, 2, 9, 10])), timeframe_ms=MINUTE)
    steps = np.diff(np.log(prices))[[0, 1, 3]]
    assert (found.n, found.left_out) == (3, 1)
    assert found.volatility == pytest.approx(steps.std(ddof=1), rel=1e-9)


def test_bars_know_their_length_and_the_forming_one_is_left_out() -> None:
    rows = [
        (k * DAY, 10, 20 + k, 5 - k, p, 1, p, 0.5, 1, False, False, k == 4) for k, p in enumerate((10, 11, 12, 9, 99))
    ]
    found = price_statistics(bars_from_rows(Instrument("v", "A"), Timeframe(DAY), rows))
    assert (found.n, found.last, found.high, found.low) == (3, 9, 23, 2)
    assert found.change == pytest.approx(-0.1)
    assert found.annualised_volatility == pytest.approx(found.volatility * math.sqrt(365))
    assert found.drawdown_trough == 3 * DAY


@pytest.mark.parametrize("data", [[], [5.0], [math.nan] * 30, [-1.0] * 30])
def test_too_little_data_is_nan_with_a_reason(data: list[float]) -> None:
    found = price_statistics(data)
    assert math.isnan(found.volatility)
    assert math.isnan(found.value_at_risk_95)
    assert "0 returns" in found.reason


def test_a_price_that_stands_still_has_no_shape() -> None:
    found = price_statistics([5] * 150)
    assert (found.volatility, found.reason) == (0, "the price did not move")
    assert math.isnan(found.skew)
    assert math.isnan(found.kurtosis)


def test_lists_integers_and_strided_arrays_are_the_same_prices() -> None:
    prices = np.arange(1, 201) ** 2
    whole = price_statistics(prices, timeframe_ms=MINUTE)
    assert price_statistics(prices.tolist(), timeframe_ms=MINUTE) == whole
    assert price_statistics(np.repeat(prices, 2)[::2], timeframe_ms=MINUTE) == whole


@pytest.mark.parametrize("options", [{"timeframe_ms": 0}, {"timeframe_ms": -5}, {"periods_per_year": -1}])
def test_a_length_that_is_none_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(WrongUse, match="expected"):
        price_statistics([1, 2, 3], **options)
