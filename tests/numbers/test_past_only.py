"""What analytics gives by row knows nothing later than the row, and what knows more is caught; and it is the caller's.

Every public function that returns a Series or a frame is in one of the tables here.
"""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analytics
from analytics import (
    KalmanFilter,
    LookaheadReport,
    bollinger,
    cross_correlation,
    cross_correlation_heatmap,
    drawdown,
    hayashi_yoshida_curve,
    kalman_hedge,
    log_ratio_spread,
    lookahead_check,
    ratio_spread,
    returns,
    rolling_beta,
    rolling_correlation,
    rolling_hedge,
    rolling_mean,
    rolling_r2,
    rolling_std,
    rolling_zscore_regression,
    signals,
    spread,
    window_zscore,
    zscore,
)
from pairscope.numbers.hedge import METHODS, HedgeMethod

Leg = pd.Series
Estimator = Callable[..., Any]

WINDOW = 20


def pair(rows: int, seed: int = 1, *, offset: float = 100.0) -> tuple[Leg, Leg]:
    """A leg that follows another one; the spread has a memory."""
    rng = np.random.default_rng(seed)
    index = pd.date_range("2026-01-01", periods=rows, freq="min", tz="UTC")
    x = offset * np.exp(rng.normal(0, 3e-3, rows).cumsum())
    e = pd.Series(rng.normal(0, 1e-3 * offset, rows)).ewm(alpha=0.3).mean().to_numpy()
    return pd.Series(0.1 * offset + 0.5 * x + e, index), pd.Series(x, index)


def row_by_row(y: Leg, x: Leg) -> pd.DataFrame:
    following = KalmanFilter()
    return pd.DataFrame([following.update(*prices) for prices in zip(y, x, strict=True)], index=y.index)


def by_window(method: HedgeMethod, intercept: bool) -> Estimator:
    def estimate(y: Leg, x: Leg) -> Any:
        hedge = rolling_hedge(y, x, window=WINDOW, method=method, intercept=intercept).frame
        return window_zscore(y, x, hedge.alpha, hedge.beta, window=WINDOW)

    return estimate


ONE: dict[str, Estimator] = {
    "rolling_mean": lambda s: rolling_mean(s, window=WINDOW),
    "rolling_std": lambda s: rolling_std(s, window=WINDOW),
    "zscore": lambda s: zscore(s, window=WINDOW),
    "bollinger": lambda s: bollinger(s, window=WINDOW),
    "returns": returns,
    "simple returns": lambda s: returns(s, log=False),
    "drawdown": drawdown,
    "signals": lambda s: signals(zscore(s, window=WINDOW), entry=1.5, stop=2.5, time_stop=9),
    "signals of scores": signals,
    "signals of what is fit": lambda s: signals(s, fit=s > 0),
}

TWO: dict[str, Estimator] = {
    "rolling_correlation": lambda y, x: rolling_correlation(y, x, window=WINDOW),
    "correlation of prices": lambda y, x: rolling_correlation(y, x, window=WINDOW, of="prices"),
    "rolling_beta": lambda y, x: rolling_beta(y, x, window=WINDOW),
    "beta of returns": lambda y, x: rolling_beta(y, x, window=WINDOW, of="returns"),
    "rolling_r2": lambda y, x: rolling_r2(y, x, window=WINDOW),
    "ratio_spread": ratio_spread,
    "log_ratio_spread": log_ratio_spread,
    "spread": lambda y, x: spread(y, x, alpha=x, beta=0.5),
    "spread of a rolling hedge": lambda y, x: spread(y, x, hedge=rolling_hedge(y, x, window=WINDOW, log=True)),
    "cross_correlation_heatmap": lambda y, x: cross_correlation_heatmap(y, x, max_lag=3, window=30),
    "heatmap of prices": lambda y, x: cross_correlation_heatmap(y, x, max_lag=3, window=30, of="prices"),
    "window_zscore": lambda y, x: window_zscore(y, x, y, x, window=WINDOW),
    **{
        f"rolling_hedge {method} {words}": lambda y, x, method=method, intercept=intercept: rolling_hedge(
            y, x, window=WINDOW, method=method, intercept=intercept
        )
        for method in METHODS
        for intercept, words in ((True, "with intercept"), (False, "without"))
    },
    **{
        f"window_zscore {method} {words}": by_window(method, intercept)  # type: ignore[arg-type]
        for method in METHODS
        for intercept, words in ((True, "with intercept"), (False, "without"))
    },
    **{
        f"{function.__name__} {words}": lambda y, x, function=function, options=options: function(y, x, **options)
        for function, required in ((rolling_zscore_regression, {"window": WINDOW}), (kalman_hedge, {}))
        for words, more in (("", {}), ("without intercept", {"intercept": False}), ("of logarithms", {"log": True}))
        for options in ({**required, **more},)
    },
    "kalman_hedge with noise given": lambda y, x: kalman_hedge(y, x, delta=1e-3, obs_var=0.5),
}

WHOLE: dict[str, Estimator] = {
    "kalman_hedge by likelihood": lambda y, x: kalman_hedge(y, x, fit="mle"),
    "by likelihood without intercept": lambda y, x: kalman_hedge(y, x, fit="mle", intercept=False),
    "spread of a whole hedge": lambda y, x: spread(y, x, hedge=analytics.hedge_ratio(y, x)),
}

NOT_BY_ROW: dict[str, Estimator] = {
    "cross_correlation": lambda y, x: cross_correlation(y, x, max_lag=3),
    "hayashi_yoshida_curve": lambda y, x: hayashi_yoshida_curve(y, x, lags_ms=[-60_000, 0, 60_000]),
}


def with_holes(legs: tuple[Leg, Leg]) -> tuple[Leg, Leg]:
    return legs[0].where(np.arange(len(legs[0])) % 41 > 0), legs[1]


def flat(legs: tuple[Leg, Leg]) -> tuple[Leg, Leg]:
    """Prices that often stand still: many deviations are zero but for rounding."""
    return legs[0].round(0), legs[1].round(0)


SHAPES = {"": lambda legs: legs, "holed": with_holes, "flat": flat}
QUICK = ((100.0, ""), (1e8, "holed"), (1e-6, "flat"))
DATA = [
    pytest.param(offset, shape, marks=() if (offset, shape) in QUICK else pytest.mark.nightly)
    for offset in (100.0, 1e-6, 1e8)
    for shape in SHAPES
]
"""At which level, and what is wrong with them."""


def checked(estimator: Estimator, data: tuple[Leg, ...]) -> LookaheadReport:
    return lookahead_check(estimator, data, cuts=3)


@pytest.mark.parametrize(("offset", "shape"), DATA)
@pytest.mark.parametrize("name", TWO)
def test_what_is_said_of_two_legs_at_a_time_knows_nothing_later(name: str, offset: float, shape: str) -> None:
    report = checked(TWO[name], SHAPES[shape](pair(150, offset=offset)))
    assert report.clean, report.sentence
    assert report.compared


@pytest.mark.parametrize(("offset", "shape"), DATA)
@pytest.mark.parametrize("name", ONE)
def test_what_is_said_of_one_series_at_a_time_knows_nothing_later(name: str, offset: float, shape: str) -> None:
    report = checked(ONE[name], SHAPES[shape](pair(150, offset=offset))[:1])
    assert report.clean, report.sentence
    assert report.compared


@pytest.mark.parametrize("name", ONE)
def test_scores_about_zero_know_nothing_later(name: str) -> None:
    score = zscore(pair(200)[0], window=WINDOW)
    assert checked(ONE[name], (score,)).clean


def test_a_filter_fed_row_by_row_knows_nothing_later() -> None:
    assert checked(row_by_row, with_holes(pair(120))).clean


@pytest.mark.parametrize("name", WHOLE)
def test_what_knows_the_whole_sample_is_caught(name: str) -> None:
    report = checked(WHOLE[name], pair(150))
    assert not report.clean
    assert "look-ahead" in report.sentence


def table_of(found: Any) -> pd.DataFrame:
    return pd.DataFrame(getattr(found, "frame", found))


def overwrite(found: Any) -> None:
    """Write into the memory of a result, past the copies that pandas makes on writing, and name its index."""
    table = getattr(found, "frame", found)
    for part in [table] if isinstance(table, pd.Series) else [table[name] for name in table]:
        memory = part.cat.codes.to_numpy().view() if part.dtype == "category" else part.to_numpy().view()
        memory.flags.writeable = True
        memory[:] = 7
    table.index.name = "mine"


EVERY = {**{name: (each, 1) for name, each in ONE.items()}, **{name: (each, 2) for name, each in TWO.items()}}
EVERY |= {name: (each, 2) for name, each in (WHOLE | NOT_BY_ROW).items()}


@pytest.mark.parametrize("name", EVERY)
@given(seed=st.integers(0, 1_000), rows=st.integers(40, 90))
@settings(max_examples=4)
def test_a_result_is_the_callers_to_change_and_the_data_are_never_written_to(name: str, seed: int, rows: int) -> None:
    estimator, legs = EVERY[name]
    data = pair(rows, seed)[:legs]
    before = [each.copy() for each in data]
    overwrite(estimator(*data))
    for each, kept in zip(data, before, strict=True):
        pd.testing.assert_series_equal(each, kept, check_exact=True)
    pd.testing.assert_frame_equal(table_of(estimator(*data)), table_of(estimator(*before)), check_exact=True)


@pytest.mark.parametrize("name", EVERY)
def test_arrays_are_never_written_to_either(name: str) -> None:
    estimator, legs = EVERY[name]
    if name in ("hayashi_yoshida_curve", "signals of what is fit"):
        return  # times come with a Series only
    data = [each.to_numpy(copy=True) for each in pair(60)[:legs]]
    before = [each.copy() for each in data]
    overwrite(estimator(*data))
    for each, kept in zip(data, before, strict=True):
        np.testing.assert_array_equal(each, kept)


def test_every_public_function_that_varies_in_time_is_in_a_table() -> None:
    varying = set()
    for name in analytics.__all__:
        function = getattr(analytics, name)
        if inspect.isfunction(function):
            result = typing.get_type_hints(function)["return"]
            if result in (pd.Series, pd.DataFrame) or "frame" in getattr(result, "__annotations__", {}):
                varying.add(name)
    named = {word for name in EVERY for word in name.split()}
    assert varying - named == set()
