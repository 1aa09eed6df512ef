"""How often the tests cry wolf, and how often they find what is there: by simulation.

The quick versions allow four standard errors of their own number of draws; the nightly ones are as wide as the promise.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from statsmodels.tsa.stattools import adfuller, coint

from market import Floats
from pairscope.numbers import mackinnon
from pairscope.numbers.cointegration import engle_granger, engle_granger_both
from pairscope.numbers.johansen import johansen
from pairscope.numbers.unitroot import adf, kpss, phillips_perron, variance_ratio


def share(found: Callable[[np.random.Generator], bool], draws: int) -> float:
    """Return the share of `draws` simulated samples in which something is found."""
    draw = np.random.default_rng(20_250_704)
    return sum(found(draw) for _ in range(draws)) / draws


def errors(rate: float, draws: int) -> float:
    """Return four standard errors of a share."""
    return 4 * math.sqrt(rate * (1 - rate) / draws)


def walks(draw: np.random.Generator, n: int) -> Floats:
    return draw.normal(size=(2, n)).cumsum(axis=1)


def autoregression(draw: np.random.Generator, n: int, weight: float) -> Floats:
    return np.convolve(draw.normal(size=n + 100), weight ** np.arange(100))[100 : n + 100]


def tied(draw: np.random.Generator, n: int, half_life: float) -> tuple[Floats, Floats]:
    x = draw.normal(size=n).cumsum()
    return 2 + 0.5 * x + autoregression(draw, n, 0.5 ** (1 / half_life)), x


def test_engle_granger_at_a_fixed_lag_rejects_a_twentieth_of_independent_walks() -> None:
    rate = share(lambda draw: engle_granger(*walks(draw, 500), lags=1).pvalue < 0.05, 2_000)
    assert rate == pytest.approx(0.05, abs=errors(0.05, 2_000))


@pytest.mark.nightly
@pytest.mark.parametrize("n", [250, 500, 1_000, 5_000])
def test_engle_granger_at_a_fixed_lag_keeps_its_size_within_a_point(n: int) -> None:
    rate = share(lambda draw: engle_granger(*walks(draw, n), lags=1).pvalue < 0.05, 20_000)
    assert rate == pytest.approx(0.05, abs=0.01)


def test_engle_granger_by_aic_keeps_its_size_where_a_plain_dickey_fuller_does_not() -> None:
    found = [engle_granger(*walks(np.random.default_rng(seed), 1_000)) for seed in range(1_000)]
    right = np.mean([each.pvalue < 0.05 for each in found])
    plain = np.mean([mackinnon.tau_pvalue(each.statistic, trend="c") < 0.05 for each in found])
    assert right == pytest.approx(0.057, abs=errors(0.057, 1_000))
    assert plain == pytest.approx(0.15, abs=errors(0.15, 1_000))


@pytest.mark.nightly
@pytest.mark.parametrize("n", [250, 500])
def test_engle_granger_by_aic_rejects_exactly_the_walks_that_statsmodels_rejects(n: int) -> None:
    samples = [walks(np.random.default_rng(seed), n) for seed in range(2_000)]
    mine = [engle_granger(*each).pvalue < 0.05 for each in samples]
    theirs = [coint(*each)[1] < 0.05 for each in samples]
    plain = [adfuller(y - np.polyval(np.polyfit(x, y, 1), x), result_object=True).pvalue < 0.05 for y, x in samples]
    assert mine == theirs
    assert np.mean(mine) == pytest.approx(0.06, abs=errors(0.06, 2_000))
    assert np.mean(plain) > 0.12


def test_the_better_of_both_directions_does_not_reject_more_than_one() -> None:
    rate = share(lambda draw: engle_granger_both(*walks(draw, 500), lags=1).pvalue < 0.05, 2_000)
    assert 0.02 < rate < 0.05 + errors(0.05, 2_000)


@pytest.mark.parametrize(
    ("test", "low", "high"),
    [
        (lambda draw: adf(walks(draw, 500)[0]), 0.05, 0.06),
        (lambda draw: adf(walks(draw, 500)[0], lags=1, trend="ct"), 0.05, 0.055),
        (lambda draw: phillips_perron(walks(draw, 500)[0]), 0.05, 0.07),
        (lambda draw: variance_ratio(walks(draw, 500)[0], lags=4), 0.045, 0.055),
        (lambda draw: kpss(draw.normal(size=500)), 0.04, 0.055),
        (lambda draw: kpss(autoregression(draw, 500, 0.5)), 0.05, 0.08),
    ],
    ids=["adf", "adf with a line", "Phillips-Perron", "variance ratio", "KPSS of noise", "KPSS of AR(.5)"],
)
def test_a_true_null_is_rejected_about_a_twentieth_of_the_time(test: Any, low: float, high: float) -> None:
    rate = share(lambda draw: test(draw).pvalue <= 0.05, 2_000)
    assert low - errors(low, 2_000) < rate < high + errors(high, 2_000)


@pytest.mark.parametrize(
    ("det_order", "low", "high"),
    [("restricted", 0.05, 0.065), (-1, 0.045, 0.06), (0, 0.10, 0.13)],
    ids=["restricted", "none", "a drift that is not there"],
)
def test_the_size_of_johansens_trace_on_walks_without_drift(det_order: Any, low: float, high: float) -> None:
    rate = share(lambda draw: johansen(walks(draw, 500).T, det_order=det_order).rank_trace != 0, 1_000)
    assert low - errors(low, 1_000) < rate < high + errors(high, 1_000)


def test_johansens_trace_keeps_its_size_on_walks_that_do_drift() -> None:
    rate = share(lambda draw: johansen((draw.normal(size=(500, 2)) + 0.5).cumsum(axis=0)).rank_trace != 0, 1_000)
    assert rate == pytest.approx(0.055, abs=errors(0.055, 1_000))


@pytest.mark.parametrize(("n", "half_life", "low", "high"), [(120, 30, 0.03, 0.15), (2_000, 30, 0.9, 1.0)])
def test_two_minutes_of_seconds_find_nothing_where_half_an_hour_does(
    n: int, half_life: float, low: float, high: float
) -> None:
    rate = share(lambda draw: engle_granger(*tied(draw, n, half_life)).pvalue < 0.05, 500)
    assert low < rate <= high


@pytest.mark.parametrize(
    "test",
    [
        lambda draw: adf(autoregression(draw, 500, 0.9)),
        lambda draw: phillips_perron(autoregression(draw, 500, 0.9)),
        lambda draw: variance_ratio(autoregression(draw, 500, 0.5)),
        lambda draw: kpss(walks(draw, 500)[0]),
    ],
    ids=["adf", "Phillips-Perron", "variance ratio", "KPSS"],
)
def test_what_is_there_is_found(test: Any) -> None:
    assert share(lambda draw: test(draw).pvalue <= 0.05, 300) > 0.85


@pytest.mark.nightly
def test_johansen_finds_the_planted_relation_and_only_that_one() -> None:
    def one(draw: np.random.Generator) -> bool:
        return johansen(*tied(draw, 500, 5), det_order="restricted").rank_trace == 1

    assert share(one, 2_000) == pytest.approx(0.945, abs=0.02)
