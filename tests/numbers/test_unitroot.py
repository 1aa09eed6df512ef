"""Tests of a unit root, of stationarity and of a random walk, against statsmodels and arch."""

import math
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from arch.unitroot import PhillipsPerron
from arch.unitroot import VarianceRatio as ArchVarianceRatio
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.stattools import adfuller
from statsmodels.tsa.stattools import kpss as reference_kpss

from market import Floats, UnknownName, WrongUse
from pairscope.kernels import unitroot as kernels
from pairscope.numbers import unitroot
from pairscope.numbers.mackinnon import TRENDS
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.unitroot import LAG_RULES, adf, kpss, phillips_perron, variance_ratio

KINDS = ("walk", "noise", "ar", "price", "moving average", "heavy tails")
RULES = (*LAG_RULES, None)
TESTS = (adf, kpss, phillips_perron, variance_ratio)


def process(kind: str, n: int, seed: int = 0) -> Floats:
    shocks = np.random.default_rng(seed).normal(size=n + 1)
    match kind:
        case "walk":
            return shocks[1:].cumsum()
        case "noise":
            return shocks[1:]
        case "ar":
            weights = 0.9 ** np.arange(n)
            return np.convolve(shocks[1:], weights)[:n]
        case "price":
            return 60_000 + 3 * shocks[1:].cumsum()
        case "moving average":
            return (shocks[1:] - 0.7 * shocks[:-1]).cumsum()
    return np.random.default_rng(seed).standard_t(3, size=n).cumsum()


def agrees(mine: HypothesisTest, theirs: Any, *, within: float = 1e-8) -> bool:
    assert mine.lags == theirs.lags
    assert mine.n == theirs.nobs
    assert mine.statistic == pytest.approx(theirs.statistic, rel=within)
    assert mine.pvalue == pytest.approx(theirs.pvalue, rel=within)
    assert dict(mine.critical_values) == pytest.approx(theirs.critical_values, rel=1e-12)
    return True


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_adf_equals_statsmodels_for_every_trend_and_lag_rule(kind: str, trend: Any) -> None:
    for n, seed in ((30, 1), (101, 2), (300, 3)):
        series = process(kind, n, seed)
        for rule in RULES:
            theirs = adfuller(series, regression=trend, autolag=rule, result_object=True)
            assert agrees(adf(series, trend=trend, autolag=rule), theirs)


def test_adf_equals_statsmodels_by_default_on_a_thousand_prices() -> None:
    series = process("price", 1_000)
    assert agrees(adf(series), adfuller(series, autolag="AIC", result_object=True))


@pytest.mark.parametrize("lags", [0, 1, 7])
def test_adf_takes_a_fixed_number_of_lags(lags: int) -> None:
    series = process("ar", 200)
    assert agrees(adf(series, lags=lags), adfuller(series, maxlag=lags, autolag=None, result_object=True))
    assert agrees(adf(series, max_lags=lags), adfuller(series, maxlag=lags, result_object=True))


@pytest.mark.parametrize("trend", TRENDS)
def test_adf_of_thousands_of_values_equals_statsmodels(trend: Any) -> None:
    series = process("ar", 5_000)
    theirs = adfuller(series, regression=trend, maxlag=5, autolag=None, result_object=True)
    assert agrees(adf(series, trend=trend, lags=5), theirs)


@pytest.mark.nightly
@pytest.mark.parametrize("n", [10_000, 86_400])
def test_adf_of_a_long_series_chooses_the_lags_of_statsmodels(n: int) -> None:
    series = process("moving average", n)
    assert agrees(adf(series), adfuller(series, autolag="AIC", result_object=True))


@pytest.mark.parametrize("trend", ["c", "ct", "ctt"])
def test_adf_keeps_its_digits_at_an_offset_of_1e8(trend: Any) -> None:
    series = 1e8 + process("walk", 500)
    centred = series - 1e8
    assert agrees(adf(series, trend=trend), adfuller(centred, regression=trend, result_object=True))


@settings(max_examples=30)
@given(scale=st.floats(1e-8, 1e8), shift=st.floats(-1e3, 1e3), trend=st.sampled_from(["c", "ct", "ctt"]))
def test_adf_does_not_depend_on_scale_sign_or_origin(scale: float, shift: float, trend: Any) -> None:
    series = process("ar", 120)
    plain, moved = adf(series, trend=trend), adf(-(series + shift) * scale, trend=trend)
    assert moved.lags == plain.lags
    assert moved.statistic == pytest.approx(plain.statistic, rel=1e-8)


def test_adf_answers_from_the_matrix_itself_where_cross_products_lose_their_digits() -> None:
    smooth = process("walk", 300).cumsum().cumsum().cumsum()
    fit = kernels.dickey_fuller(smooth, 1, 15, kernels.AIC)
    assert math.isnan(fit.statistic)
    assert agrees(adf(smooth), adfuller(smooth, result_object=True), within=1e-6)


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("rule", RULES)
def test_both_ways_of_factoring_give_the_same_answer(trend: Any, rule: Any) -> None:
    series, order, number = process("ar", 200), unitroot.ORDER[trend], unitroot.RULE[rule]
    fast = kernels.dickey_fuller(series, order, 10, number)
    sure = unitroot._by_orthogonal_columns(series, order, 10, number)
    assert fast.lags == sure.lags
    assert fast.statistic == pytest.approx(sure.statistic, rel=1e-11)
    assert fast.deviation == pytest.approx(sure.deviation, rel=1e-11)


def test_one_huge_move_at_the_end_does_not_cost_digits() -> None:
    series = process("walk", 300)
    series[-1] += 1e7
    assert agrees(adf(series), adfuller(series, result_object=True), within=1e-7)


@pytest.mark.filterwarnings("ignore:The test statistic is outside")
@pytest.mark.parametrize("trend", ["c", "ct"])
@pytest.mark.parametrize("kind", KINDS)
def test_kpss_equals_statsmodels(kind: str, trend: Any) -> None:
    for n in (12, 100, 1_000):
        series = process(kind, n, n)
        for lags in (None, 0, 5):
            theirs = reference_kpss(
                series, regression=trend, nlags="auto" if lags is None else lags, result_object=True
            )
            mine = kpss(series, trend=trend, lags=lags)
            assert mine.lags == theirs.lags
            assert mine.statistic == pytest.approx(theirs.statistic, rel=1e-8)
            assert mine.pvalue == pytest.approx(theirs.pvalue, rel=1e-8)
            assert mine.critical_values == {level: theirs.critical_values[level] for level in ("1%", "5%", "10%")}


def test_kpss_says_on_which_side_of_its_table_the_truth_is() -> None:
    noise, walk = kpss(process("noise", 500)), kpss(process("walk", 500))
    assert (noise.pvalue, noise.pvalue_bound) == (0.10, "above")
    assert (walk.pvalue, walk.pvalue_bound) == (0.01, "below")


def test_kpss_keeps_its_digits_at_an_offset_of_1e8() -> None:
    series = process("ar", 500)
    assert kpss(series + 1e8).statistic == pytest.approx(kpss(series).statistic, rel=1e-6)


@pytest.mark.parametrize("kind", ["tau", "rho"])
@pytest.mark.parametrize("trend", ["n", "c", "ct"])
def test_phillips_perron_equals_arch(trend: Any, kind: Any) -> None:
    for process_kind in ("walk", "noise", "ar", "moving average", "heavy tails"):
        series = process(process_kind, 250)
        for lags in (None, 4):
            theirs = PhillipsPerron(series, trend=trend, lags=lags, test_type=kind)
            mine = phillips_perron(series, trend=trend, lags=lags, kind=kind)
            assert (mine.lags, mine.n) == (theirs.lags, 249)
            assert mine.statistic == pytest.approx(theirs.stat, rel=1e-8)
            assert mine.pvalue == pytest.approx(theirs.pvalue, rel=1e-8, abs=1e-300)
            assert dict(mine.critical_values) == pytest.approx(theirs.critical_values, rel=1e-12)


@pytest.mark.filterwarnings("ignore:.*not.*multiple:Warning", "ignore:.*The length of y.*:Warning")
@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("debiased", [True, False])
def test_variance_ratio_equals_arch(robust: bool, overlap: bool, debiased: bool) -> None:
    options = {"robust": robust, "overlap": overlap, "debiased": debiased}
    cases: tuple[tuple[int, Any], ...] = ((2, "c"), (2, "n"), (5, "c"), (20, "n"))
    for lags, trend in cases:
        series = process("ar", 241)
        theirs = ArchVarianceRatio(series, lags=lags, trend=trend, **options)
        mine = variance_ratio(series, lags=lags, trend=trend, **options)
        assert mine.ratio == pytest.approx(theirs.vr, rel=1e-9)
        assert mine.statistic == pytest.approx(theirs.stat, rel=1e-8)
        assert mine.pvalue == pytest.approx(theirs.pvalue, rel=1e-7, abs=1e-15)  # theirs is 2 - 2 * cdf


def test_variance_ratio_without_overlap_drops_the_incomplete_block() -> None:
    series = process("walk", 100)
    assert variance_ratio(series, lags=7, overlap=False) == variance_ratio(series[:99], lags=7, overlap=False)


def test_variance_ratio_tells_mean_reversion_from_momentum() -> None:
    assert variance_ratio(process("noise", 500)).ratio == pytest.approx(0.5, abs=0.1)
    assert variance_ratio(process("walk", 500).cumsum()).ratio > 1.5


def test_the_two_sided_critical_values_give_their_own_p() -> None:
    found = variance_ratio(process("walk", 300))
    assert found.rejects() == (abs(found.statistic) > found.critical_values["5%"])


@pytest.mark.parametrize("test", TESTS)
@settings(max_examples=15)
@given(scale=st.floats(1e-8, 1e8), shift=st.floats(-1e3, 1e3))
def test_no_test_depends_on_units_or_origin(test: Any, scale: float, shift: float) -> None:
    series = process("ar", 120)
    plain, moved = test(series), test((series + shift) * scale)
    assert moved.lags == plain.lags
    assert moved.statistic == pytest.approx(plain.statistic, rel=1e-7)


@pytest.mark.parametrize("test", TESTS)
def test_each_test_takes_any_array_of_numbers(test: Any) -> None:
    series = np.round(process("walk", 80) * 10)
    expected = test(series)
    sparse = np.repeat(series, 2)[::2]
    for given_as in (series.tolist(), series.astype(int), series.astype(np.float32), pd.Series(series), sparse):
        assert test(given_as) == expected


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize(
    "series",
    [[], [1.0], [1.0, 2.0], [5.0] * 50, [math.nan] * 50, [0.1 * i for i in range(50)], [1e8 + 0.1] * 50],
    ids=["empty", "one", "two", "constant", "all NaN", "line", "large constant"],
)
def test_poor_data_give_nan_and_a_reason(test: Any, series: list[float]) -> None:
    if test is kpss and len(series) == 50 and series[1] == 0.1:
        series = [5.0] * 50  # a line is a fair input for KPSS around a constant
    found = test(series)
    assert math.isnan(found.statistic)
    assert math.isnan(found.pvalue)
    assert found.reason
    assert found.rejects() is None


@pytest.mark.parametrize("test", TESTS)
def test_missing_values_are_cut_at_the_ends_and_refused_inside(test: Any) -> None:
    series = process("ar", 100)
    padded = np.concatenate([[math.nan, math.inf], series, [math.nan]])
    assert test(padded) == test(series)
    padded[50] = math.nan
    assert test(padded).reason == "1 of 100 values are missing inside the sample"


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize("n", range(3, 24))
def test_adf_of_very_short_series_answers_or_says_why(trend: Any, n: int) -> None:
    found = adf(process("walk", n), trend=trend)
    assert math.isfinite(found.statistic) == (not found.reason)
    assert math.isfinite(found.pvalue) == (not found.reason)


@pytest.mark.parametrize("series", [[0, 1] * 30, [math.sin(0.3 * i) for i in range(100)], [0] * 3 + [1] * 80])
def test_adf_of_an_exact_rule_has_no_answer(series: list[float]) -> None:
    assert adf(series).reason


def test_wrong_options_are_refused_with_the_nearest_right_one() -> None:
    series = process("walk", 50)
    with pytest.raises(UnknownName, match="did you mean aic"):
        adf(series, autolag=cast("Any", "AIC"))
    with pytest.raises(UnknownName, match="trend"):
        kpss(series, trend=cast("Any", "ctt"))
    with pytest.raises(WrongUse, match="lags is -1"):
        adf(series, lags=-1)
    with pytest.raises(WrongUse, match="from 2"):
        variance_ratio(series, lags=1)
    with pytest.raises(UnknownName, match="kind"):
        phillips_perron(series, kind=cast("Any", "z"))


def test_results_hold_plain_numbers() -> None:
    for test in TESTS:
        found = test(process("ar", 200))
        assert {type(found.statistic), type(found.pvalue), *map(type, found.critical_values.values())} == {float}
        assert {type(found.lags), type(found.n)} == {int}


def test_the_words_name_what_was_tested() -> None:
    found = adf(process("noise", 200), trend="ct")
    assert found.null == "the series has a unit root"
    assert found.finding.startswith("augmented Dickey-Fuller: the series is stationary around a straight line (p ")
