"""Engle and Granger's test in one direction and in both, against statsmodels."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.adfvalues import mackinnoncrit, mackinnonp
from statsmodels.tsa.stattools import adfuller, coint

from market import Floats, UnknownName, WrongUse
from pairscope.numbers import mackinnon
from pairscope.numbers.cointegration import engle_granger, engle_granger_both
from pairscope.numbers.mackinnon import TRENDS
from pairscope.numbers.unitroot import LAG_RULES

RULES = (*LAG_RULES, None)


def tied(n: int, seed: int = 0, *, revert: float = 0.9) -> tuple[Floats, Floats]:
    """Return two legs whose spread is an autoregression of order 1."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=n).cumsum()
    return 3 + 0.5 * x + np.convolve(draw.normal(size=n), revert ** np.arange(n))[:n], x


def walks(n: int, seed: int = 0) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=n).cumsum(), draw.normal(size=n).cumsum()


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("legs", [tied, walks])
def test_it_equals_statsmodels_for_every_trend_and_lag_rule(legs: Any, trend: Any) -> None:
    for n in (30, 100, 400):
        y, x = legs(n, n)
        for rule in RULES:
            statistic, pvalue, critical = coint(y, x, trend=trend, autolag=rule)
            found = engle_granger(y, x, trend=trend, autolag=rule)
            assert found.statistic == pytest.approx(statistic, rel=1e-8)
            assert found.pvalue == pytest.approx(pvalue, rel=1e-8)
            assert list(found.critical_values.values()) == pytest.approx(critical, rel=1e-12, nan_ok=True)


def test_it_equals_statsmodels_by_default_on_prices() -> None:
    y, x = tied(1_000)
    y, x = 3_000 + y, 60_000 + 10 * x
    statistic, pvalue, critical = coint(y, x)
    found = engle_granger(y, x)
    assert found.statistic == pytest.approx(statistic, rel=1e-8)
    assert found.pvalue == pytest.approx(pvalue, rel=1e-8)
    assert list(found.critical_values) == ["1%", "5%", "10%"]
    assert list(found.critical_values.values()) == pytest.approx(critical)


def test_it_gives_the_hedge_and_the_lags_of_its_residuals() -> None:
    y, x = tied(300)
    slope, level = np.polyfit(x, y, 1)
    found = engle_granger(y, x)
    assert (found.alpha, found.beta) == pytest.approx((level, slope), rel=1e-9)
    theirs = adfuller(y - level - slope * x, regression="n", result_object=True)
    assert (found.lags, found.n, found.direction, found.directions) == (theirs.lags, theirs.nobs, "y on x", 1)
    assert found.pvalue > theirs.pvalue  # what a plain Dickey-Fuller table would have claimed


@pytest.mark.parametrize(("trend", "powers"), [("n", 0), ("ct", 2), ("ctt", 3)])
def test_alpha_is_the_level_halfway_through(trend: Any, powers: int) -> None:
    y, x = tied(101)
    columns = np.column_stack([x, *(np.linspace(-1, 1, 101) ** power for power in range(powers))])
    beta, *levels = np.linalg.lstsq(columns, y, rcond=None)[0]
    found = engle_granger(y, x, trend=trend)
    assert (found.alpha, found.beta) == pytest.approx((levels[0] if levels else 0.0, beta), rel=1e-9)


@settings(max_examples=30)
@given(
    scales=st.tuples(st.floats(1e-8, 1e8), st.floats(1e-8, 1e8)),
    shifts=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
def test_it_does_not_depend_on_the_units_or_the_origin_of_a_leg(
    scales: tuple[float, float], shifts: tuple[float, float]
) -> None:
    y, x = tied(150)
    plain, moved = engle_granger(y, x), engle_granger(scales[0] * (y + shifts[0]), -scales[1] * (x + shifts[1]))
    assert moved.statistic == pytest.approx(plain.statistic, rel=1e-8)
    assert moved.beta == pytest.approx(-plain.beta * scales[0] / scales[1], rel=1e-8)


def test_it_keeps_its_digits_at_an_offset_of_1e8() -> None:
    y, x = tied(500)
    plain, moved = engle_granger(y, x), engle_granger(y + 1e8, x + 1e8)
    assert moved.statistic == pytest.approx(plain.statistic, rel=1e-6)
    assert moved.beta == pytest.approx(plain.beta, rel=1e-6)


def test_it_still_answers_for_a_spread_far_smaller_than_the_legs() -> None:
    draw = np.random.default_rng(4)
    x = 60_000 + 300 * draw.normal(size=1_000).cumsum()
    spread = np.convolve(draw.normal(size=1_000), 0.9 ** np.arange(1_000))[:1_000]
    found = engle_granger(x + spread, x)  # R² is 1 - 5e-9: statsmodels calls it collinear
    assert found.statistic == pytest.approx(adfuller(spread, regression="c", result_object=True).statistic, abs=0.1)
    assert found.pvalue < 1e-6


@pytest.mark.filterwarnings("ignore:y0 and y1 are")
def test_both_directions_cost_twice_the_p_of_the_better_one() -> None:
    for seed in range(20):
        y, x = walks(200, seed)
        forward, backward, best = engle_granger(y, x), engle_granger(x, y), engle_granger_both(y, x)
        assert best.pvalue == min(1.0, 2 * min(forward.pvalue, backward.pvalue))
        assert best.statistic == min(forward.statistic, backward.statistic)
        assert best.direction == ("y on x" if forward.pvalue < backward.pvalue else "x on y")
        assert "twice" in best.name


def test_both_directions_answer_the_same_whichever_leg_comes_first() -> None:
    y, x = tied(300)
    first, second = engle_granger_both(y, x), engle_granger_both(x, y)
    assert (first.statistic, first.pvalue, first.beta) == (second.statistic, second.pvalue, second.beta)
    assert first.directions == 2


@pytest.mark.parametrize("trend", ["c", "ct", "ctt"])
def test_the_paid_critical_values_agree_with_the_paid_p(trend: Any) -> None:
    for level, value in mackinnon.best_of_two(10**9, trend=trend).items():
        paid = 2 * mackinnon.tau_pvalue(value, trend=trend, legs=2)
        assert paid == pytest.approx(float(level[:-1]) / 100, rel=0.03)
    two_tries, one_try = mackinnon.best_of_two(250, trend=trend), mackinnon.tau_critical(250, trend=trend, legs=2)
    assert two_tries["10%"] == pytest.approx(one_try["5%"], abs=0.03)


@pytest.mark.parametrize("legs", [1, 2])
@pytest.mark.parametrize("trend", TRENDS)
def test_the_tables_are_mackinnons(trend: Any, legs: Any) -> None:
    for statistic in np.linspace(-30, 5, 351):
        theirs = mackinnonp(statistic, trend, N=legs)
        assert mackinnon.tau_pvalue(float(statistic), trend=trend, legs=legs) == pytest.approx(theirs, rel=1e-10)
    if (trend, legs) != ("n", 2):
        mine = mackinnon.tau_critical(77, trend=trend, legs=legs)
        assert list(mine.values()) == pytest.approx(mackinnoncrit(legs, trend, 77), rel=1e-12)


def test_p_grows_with_the_statistic() -> None:
    p = [mackinnon.tau_pvalue(each, trend="c", legs=2) for each in np.linspace(-18, 0.9, 200).tolist()]
    assert all(low <= high for low, high in pairwise(p))
    assert 0 < p[0] < 1e-18


def test_financials_and_technology_before_2020_are_not_cointegrated(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "published" / "arbitragelab_XLF-XLK.csv", index_col=0, encoding="utf-8-sig")
    frame = frame[pd.to_datetime(frame.index, format="%m/%d/%Y") < pd.Timestamp("2020-01-01")]
    for y, x in (("XLF", "XLK"), ("XLK", "XLF")):
        statistic, pvalue, _ = coint(frame[y], frame[x])
        found = engle_granger(frame[y], frame[x])
        assert (found.statistic, found.pvalue) == pytest.approx((statistic, pvalue), rel=1e-8)
        assert found.rejects() is False
    assert engle_granger_both(frame["XLF"], frame["XLK"]).rejects() is False


def test_legs_without_a_constant_have_p_but_no_critical_values() -> None:
    found = engle_granger(*tied(200), trend="n")
    assert found.alpha == 0.0
    assert math.isfinite(found.pvalue)
    assert all(map(math.isnan, found.critical_values.values()))
    assert engle_granger_both(*tied(200), trend="n").reason == ""


LINE = [0.1 * i for i in range(60)]
WALK = walks(60)[0]


@pytest.mark.parametrize("test", [engle_granger, engle_granger_both])
@pytest.mark.parametrize(
    ("y", "x"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        (WALK, WALK),
        (WALK, 7 - 0.3 * WALK),
        (1e8 + WALK, 1e8 + WALK),
        (WALK, np.full(60, 0.1)),
        (np.full(60, 0.1), WALK),
        (LINE, LINE[::-1]),
        (np.full(60, math.nan), WALK),
    ],
    ids=["empty", "one", "two", "identical", "scaled", "offset", "x constant", "y constant", "lines", "NaN"],
)
def test_poor_data_give_nan_and_a_reason(test: Any, y: object, x: object) -> None:
    found = test(y, x)
    assert math.isnan(found.statistic)
    assert math.isnan(found.pvalue)
    assert found.reason


def test_rows_are_cut_at_the_ends_and_missed_inside() -> None:
    y, x = tied(100)
    longer = np.concatenate([[math.nan], y, [1.0]]), np.concatenate([[1.0], x, [math.inf]])
    assert engle_granger(*longer) == engle_granger(y, x)
    longer[1][50] = math.nan
    assert engle_granger(*longer).reason == "1 of 100 values are missing inside the sample"
    assert engle_granger_both(*longer).reason


def test_any_array_of_numbers_is_taken_and_no_series_is_aligned_silently() -> None:
    y, x = (np.round(10 * leg) for leg in tied(80))
    expected = engle_granger(y, x)
    assert engle_granger(y.tolist(), x.astype(int)) == expected
    assert engle_granger(pd.Series(y), pd.Series(x)) == expected
    with pytest.raises(WrongUse, match="different times"):
        engle_granger(pd.Series(y), pd.Series(x, index=range(1, 81)))
    with pytest.raises(WrongUse, match="80 values and x has 79"):
        engle_granger(y, x[1:])
    with pytest.raises(UnknownName, match="did you mean c"):
        engle_granger(y, x, trend=cast("Any", "C"))
