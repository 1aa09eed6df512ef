"""Autocorrelations equal those of statsmodels; bands hold as often as they say; shapes survive poor data."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.tsa.stattools import acf

from market import WrongUse
from pairscope.numbers.diagnostics import autocorrelation, histogram, normal_quantiles


@pytest.mark.parametrize(("n", "lags"), [(40, 10), (500, 40), (5_000, 100)])
def test_autocorrelations_are_those_of_statsmodels(n: int, lags: int) -> None:
    series = np.random.default_rng(n).normal(size=n).cumsum() + 1e6
    np.testing.assert_allclose(autocorrelation(series, max_lag=lags).values, acf(series, nlags=lags)[1:], atol=1e-9)


def test_the_band_holds_what_has_no_memory_also_where_volatility_changes() -> None:
    rng = np.random.default_rng(1)
    volatility = np.exp(np.sin(np.arange(800) / 60))
    found = [autocorrelation(volatility * rng.normal(size=800), max_lag=20) for _ in range(300)]
    outside = np.mean([np.abs(each.values) > each.band for each in found])
    assert outside == pytest.approx(0.05, abs=0.01)


def test_memory_leaves_the_band() -> None:
    noise = np.random.default_rng(2).normal(size=1_000)
    found = autocorrelation(np.convolve(noise, [1, 0.5], "valid"), max_lag=5)
    assert found.values[0] == pytest.approx(0.4, abs=0.05)
    assert np.flatnonzero(np.abs(found.values) > found.band).tolist()[0] == 0


def test_the_longest_lag_is_a_quarter_of_the_values() -> None:
    assert len(autocorrelation(np.random.default_rng(3).normal(size=40), max_lag=40).values) == 10


@pytest.mark.parametrize("n", [20, 400, 5_000])
def test_normal_quantiles_are_those_of_scipy(n: int) -> None:
    series = np.random.default_rng(n).normal(3, 2, size=n)
    found = normal_quantiles(series, points=n)
    np.testing.assert_allclose(found.expected, stats.norm.ppf((np.arange(n) + 0.5) / n))
    np.testing.assert_allclose(found.found, stats.zscore(np.sort(series)), rtol=1e-9)
    assert ((found.low < found.expected) & (found.expected < found.high)).all()


def test_of_many_values_the_outermost_stay() -> None:
    series = np.random.default_rng(4).standard_t(3, size=20_000)
    found = normal_quantiles(series, points=100)
    assert len(found.found) == 100
    assert (found.found[0], found.found[-1]) == (stats.zscore(series).min(), stats.zscore(series).max())
    assert (np.diff(found.expected) > 0).all()


def test_normal_values_lie_in_the_band_and_fat_tails_do_not() -> None:
    rng = np.random.default_rng(5)
    for series, share in ((rng.normal(size=2_000), 0.95), (rng.standard_t(3, size=2_000), 0.5)):
        found = normal_quantiles(series)
        held = np.mean((found.low <= found.found) & (found.found <= found.high))
        assert (held >= share) == (share == 0.95)


def test_a_histogram_counts_every_value_and_its_normal_as_many() -> None:
    series = np.random.default_rng(6).normal(10, 2, size=3_000)
    found = histogram(series)
    assert (found.counts.sum(), found.n) == (3_000, 3_000)
    assert found.normal.sum() == pytest.approx(3_000, rel=0.01)
    assert (found.mean, found.std) == pytest.approx((series.mean(), series.std(ddof=1)))
    assert 20 < len(found.counts) <= 80
    assert np.abs(found.counts - found.normal).max() < 60


def test_one_wild_value_does_not_make_a_million_bins() -> None:
    series = np.append(np.random.default_rng(7).normal(size=500), 1e6)
    assert len(histogram(series).counts) == 80


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_scale_does_not_matter(scale: float) -> None:
    series = np.random.default_rng(8).normal(size=200)
    np.testing.assert_allclose(autocorrelation(series * scale).values, autocorrelation(series).values, atol=1e-9)
    np.testing.assert_allclose(normal_quantiles(series * scale).found, normal_quantiles(series).found)
    np.testing.assert_allclose(histogram(series * scale).edges, histogram(series).edges * scale)


@pytest.mark.parametrize(
    "series", [[], [1.0] * 50, [math.nan] * 50, [1.0, 2.0, 3.0]], ids=["none", "constant", "unknown", "few"]
)
def test_poor_data_give_a_reason_and_no_values(series: list[float]) -> None:
    for found in (autocorrelation(series), normal_quantiles(series), histogram(series)):
        assert found.reason
    assert len(autocorrelation(series).values) == len(normal_quantiles(series).found) == 0
    assert len(histogram(series).counts) == 0


def test_a_hole_inside_breaks_the_lags_but_no_shape() -> None:
    series = np.random.default_rng(9).normal(size=100)
    series[50] = math.nan
    assert "missing" in autocorrelation(series).reason
    assert (normal_quantiles(series).n, histogram(series).n) == (99, 99)


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in (0, 1.5, True):
        with pytest.raises(WrongUse, match="max_lag"):
            autocorrelation([1.0, 2.0], max_lag=wrong)  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="confidence"):
        normal_quantiles([1.0, 2.0], confidence=1.5)
