"""The tests of what is left over equal those of statsmodels, and keep quiet on poor data."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.diagnostic import acorr_ljungbox
from statsmodels.stats.stattools import jarque_bera as reference_jarque_bera

from market import WrongUse
from pairscope.numbers.residuals import jarque_bera, ljung_box


@pytest.mark.parametrize(("n", "lags"), [(12, 3), (200, 10), (5000, 40)])
def test_ljung_box_is_that_of_statsmodels(n: int, lags: int) -> None:
    series = np.random.default_rng(n).standard_t(4, size=n)
    expected = acorr_ljungbox(series, lags=[lags]).iloc[0]
    found = ljung_box(series, lags=lags)
    assert found.statistic == pytest.approx(expected["lb_stat"], rel=1e-10)
    assert found.pvalue == pytest.approx(expected["lb_pvalue"], rel=1e-9)


@pytest.mark.parametrize("n", [5, 200, 5000])
def test_jarque_bera_is_that_of_statsmodels(n: int) -> None:
    series = np.random.default_rng(n).gamma(3, size=n)
    found = jarque_bera(series)
    expected = reference_jarque_bera(series)
    assert (found.statistic, found.pvalue, found.skew, found.kurtosis) == pytest.approx(expected, rel=1e-10)


def test_the_default_number_of_lags_is_ten_and_none_takes_a_fifth_of_few_values() -> None:
    series = np.random.default_rng(1).normal(size=40)
    assert (ljung_box(series).lags, ljung_box(series, lags=None).lags) == (10, 8)
    assert ljung_box(series, lags=None).statistic == pytest.approx(acorr_ljungbox(series)["lb_stat"].iloc[7])


def test_noise_passes_and_memory_does_not() -> None:
    noise = np.random.default_rng(2).normal(size=1000)
    assert ljung_box(noise).rejects() is False
    assert ljung_box(np.convolve(noise, [1, 0.5])).rejects() is True
    assert jarque_bera(noise).rejects() is False
    assert jarque_bera(np.exp(noise)).rejects() is True


def test_both_reject_a_true_null_about_as_often_as_they_say() -> None:
    samples = np.random.default_rng(3).normal(size=(2000, 500))
    for test in (ljung_box, jarque_bera):
        assert np.mean([test(sample).pvalue < 0.05 for sample in samples]) == pytest.approx(0.05, abs=0.017)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1e-150, 1e-8, 1.0, 1e8, 1e150]), st.booleans())
def test_neither_scale_nor_sign_matters(seed: int, scale: float, flip: bool) -> None:
    series = np.random.default_rng(seed).standard_t(5, size=100)
    moved = series * (-scale if flip else scale)
    for test in (ljung_box, jarque_bera):
        assert test(moved).statistic == pytest.approx(test(series).statistic, rel=1e-9)


def test_an_offset_of_1e8_costs_no_more_than_its_rounding() -> None:
    series = np.random.default_rng(4).normal(size=500)
    for test in (ljung_box, jarque_bera):
        assert test(series + 1e8).statistic == pytest.approx(test(series).statistic, rel=1e-5)


def test_the_order_of_values_matters_for_memory_only() -> None:
    rng = np.random.default_rng(5)
    series = np.cumsum(rng.normal(size=300))
    mixed = rng.permutation(series)
    assert jarque_bera(mixed).statistic == pytest.approx(jarque_bera(series).statistic)
    assert ljung_box(mixed).statistic < ljung_box(series).statistic / 10


@pytest.mark.parametrize("poor", [[], [1.0], [math.nan] * 20, [3.0] * 50, [1e8] * 50])
def test_poor_data_give_no_number_and_say_why(poor: Any) -> None:
    for found in (ljung_box(poor), jarque_bera(poor)):
        assert math.isnan(found.statistic)
        assert math.isnan(found.pvalue)
        assert found.reason


def test_a_hole_stops_the_test_of_memory_and_not_that_of_shape() -> None:
    series = np.random.default_rng(6).normal(size=100)
    series[40] = math.nan
    assert ljung_box(series).reason == "1 of 100 values are missing inside the sample"
    assert jarque_bera(series).n == 99
    assert jarque_bera(series).statistic == pytest.approx(jarque_bera(np.delete(series, 40)).statistic)


def test_any_array_like_gives_the_same_answer() -> None:
    whole = np.random.default_rng(7).integers(-9, 9, size=200)
    for same in (whole.tolist(), pd.Series(whole), np.repeat(whole, 2)[::2]):
        assert ljung_box(same) == ljung_box(whole)
        assert jarque_bera(same) == jarque_bera(whole)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True])
def test_a_number_of_lags_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(WrongUse, match="lags"):
        ljung_box([1.0, 2.0], lags=wrong)
