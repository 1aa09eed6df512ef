"""Spreads, and the line of each window with the residuals of that same window."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import Floats, WrongUse
from pairscope.numbers.spread import (
    log_ratio_spread,
    ratio_spread,
    rolling_zscore_regression,
    spread,
    window_zscore,
)

COLUMNS = ["alpha", "beta", "spread", "mean", "std", "zscore", "r2"]


def pair(n: int = 500, *, seed: int = 1, noise: float = 1.0) -> tuple[Floats, Floats]:
    """A walk and a leg that follows it."""
    random = np.random.default_rng(seed)
    x = 60_000 * np.exp(random.normal(0, 1e-4, n).cumsum())
    return 100 + 0.05 * x + random.normal(0, noise, n), x


def exact(y: Floats, x: Floats, window: int, *, intercept: bool = True, given: Any = None) -> pd.DataFrame:
    """The same numbers by a regression for each window, in extended precision."""
    y, x = y.astype(np.longdouble), x.astype(np.longdouble)
    rows = []
    for end in range(window, len(y) + 1):
        left, right = y[end - window : end], x[end - window : end]
        middle_y, middle_x = (left.mean(), right.mean()) if intercept else (0, 0)
        beta = ((left - middle_y) * (right - middle_x)).sum() / ((right - middle_x) ** 2).sum()
        alpha = middle_y - beta * middle_x
        if given is not None:
            alpha, beta = (column[end - 1] for column in given)
        rest = left - alpha - beta * right
        middle = left.mean() if intercept or given is not None else 0
        about = rest.mean() if given is not None else 0
        std = np.sqrt(((rest - rest.mean()) ** 2).sum() / (window - 1))
        r2 = 1 - ((rest - about) ** 2).sum() / ((left - middle) ** 2).sum()
        rows.append((alpha, beta, rest[-1], rest.mean(), std, (rest[-1] - rest.mean()) / std, r2))
    frame = pd.DataFrame(np.array(rows, float), columns=COLUMNS)
    frame.index += window - 1
    return frame


def close(ours: Any, theirs: Any, tolerance: float = 1e-9) -> None:
    """Demand equal numbers, and NaN in the same places."""
    np.testing.assert_allclose(np.asarray(ours, float), np.asarray(theirs, float), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("window", [3, 60, 200])
def test_each_window_is_its_own_regression(window: int, *, intercept: bool) -> None:
    y, x = pair()
    ours = rolling_zscore_regression(y, x, window=window, intercept=intercept).frame
    assert list(ours.columns) == COLUMNS
    assert ours[: window - 1].isna().all().all()
    close(ours[window - 1 :], exact(y, x, window, intercept=intercept), 1e-7 if window == 3 else 1e-9)


@pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
def test_legs_that_are_nearly_the_same_keep_their_digits(noise: float) -> None:
    y, x = pair(noise=noise)
    ours = rolling_zscore_regression(y, x, window=60).frame[59:]
    assert ours.r2.min() > 1 - noise
    theirs = exact(y, x, 60)
    digits = 1e-9 + 1e-11 / noise  # the rounding of a residual at a price of 60,000
    close(ours.zscore, theirs.zscore, digits)
    np.testing.assert_allclose(ours["std"], theirs["std"], rtol=digits)


@pytest.mark.parametrize("leg", ["y", "x"])
def test_a_wild_price_leaves_nothing_behind(leg: str) -> None:
    y, x = pair()
    (y if leg == "y" else x)[250] *= 10
    ours = rolling_zscore_regression(y, x, window=60).frame
    close(ours.zscore[310:], exact(y, x, 60).zscore[310 - 59 :], 1e-8)


def test_a_given_line_is_scored_by_its_own_window() -> None:
    y, x = pair()
    random = np.random.default_rng(3)
    alpha, beta = 90 + random.normal(0, 5, 500), 0.05 + random.normal(0, 1e-4, 500)
    ours = window_zscore(y, x, alpha, beta, window=60).frame[59:]
    theirs = exact(y, x, 60, given=(alpha, beta))
    close(ours.drop(columns="r2"), theirs.drop(columns="r2"), 1e-8)
    constant = window_zscore(y, x, 90, 0.05, window=60).frame[59:]
    close(constant.zscore, exact(y, x, 60, given=(np.full(500, 90.0), np.full(500, 0.05))).zscore)


def test_the_line_of_least_squares_given_back_scores_the_same() -> None:
    y, x = pair()
    fitted = rolling_zscore_regression(y, x, window=30).frame
    given_back = window_zscore(y, x, fitted.alpha, fitted.beta, window=30).frame
    close(given_back[["spread", "std", "zscore", "r2"]], fitted[["spread", "std", "zscore", "r2"]], 1e-7)


def test_logarithms_are_taken_first_and_refuse_what_is_not_positive() -> None:
    y, x = pair(100)
    ours = rolling_zscore_regression(y, x, window=20, log=True).frame
    close(ours, rolling_zscore_regression(np.log(y), np.log(x), window=20).frame, 1e-12)
    y[50] = -1.0
    holed = rolling_zscore_regression(y, x, window=20, log=True).frame
    assert holed[50:70].isna().all().all()
    close(holed[70:], ours[70:], 1e-8)


def test_the_future_and_the_distant_past_change_nothing() -> None:
    y, x = pair()
    whole = rolling_zscore_regression(y, x, window=40).frame
    close(rolling_zscore_regression(y[:300], x[:300], window=40).frame, whole[:300])
    close(rolling_zscore_regression(y[123:], x[123:], window=40).frame[39:], whole[162:])


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.1])
def test_identical_legs_have_a_beta_but_no_zscore(factor: float) -> None:
    _, x = pair(100)
    ours = rolling_zscore_regression(factor * x + 5, x, window=20)
    close(ours.frame.beta[19:], np.full(81, factor))
    assert ours.frame.zscore.isna().all()
    assert (ours.n, ours.reason) == (0, "y is a line of x but for rounding: the spread does not move")


def test_a_leg_that_does_not_move_has_no_beta() -> None:
    y, _ = pair(100)
    ours = rolling_zscore_regression(y, np.full(100, 60_000.1), window=20)
    assert ours.frame.isna().all().all()
    assert "x does not move" in ours.reason


@pytest.mark.parametrize("n", [0, 1, 2, 19])
def test_too_few_rows_say_so(n: int) -> None:
    y, x = pair(20)
    ours = rolling_zscore_regression(y[:n], x[:n], window=20)
    assert ours.frame.isna().all().all()
    assert ours.reason == f"{n} rows; a window of 20 is never full"


@pytest.mark.parametrize("offset", [1e8, -1e8])
def test_a_high_level_costs_no_digits(offset: float) -> None:
    random = np.random.default_rng(5)
    x = offset + random.integers(-2000, 2000, 300) / 64
    y = offset + random.integers(-2000, 2000, 300) / 64
    ours = rolling_zscore_regression(y, x, window=50).frame
    low = rolling_zscore_regression(y - offset, x - offset, window=50).frame
    close(ours[["beta", "spread", "std", "zscore", "r2"]], low[["beta", "spread", "std", "zscore", "r2"]])


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([1e-8, 0.125, 1e8]), st.sampled_from([1e-8, -2.0, 1e8]))
def test_scaling_the_legs_scales_the_line_and_not_the_zscore(seed: int, by: float, bx: float) -> None:
    y, x = pair(60, seed=seed)
    plain = rolling_zscore_regression(y, x, window=25).frame
    scaled = rolling_zscore_regression(by * y, bx * x, window=25).frame
    close(scaled.zscore, plain.zscore, 1e-8)
    np.testing.assert_allclose(scaled.beta, plain.beta * by / bx, rtol=1e-8)
    np.testing.assert_allclose(scaled["std"], plain["std"] * by, rtol=1e-8)


def test_a_spread_takes_numbers_rows_or_a_hedge() -> None:
    y, x = pair(50)
    expected = y - 100 - 0.05 * x
    rows = pd.DataFrame({"alpha": np.full(50, 100.0), "beta": np.full(50, 0.05)})
    hedge = SimpleNamespace(alpha=100.0, beta=0.05, log=False)
    varying = SimpleNamespace(alpha=1.0, beta=7.0, log=False, frame=rows)
    for options in (
        {"alpha": 100, "beta": 0.05},
        {"alpha": rows.alpha, "beta": list(rows.beta)},
        {"hedge": hedge},
        {"hedge": varying},
    ):
        ours = spread(y, x, **options)
        assert ours.name == "spread"
        close(ours, expected, 1e-12)


def test_a_hedge_of_logarithms_gives_a_spread_of_logarithms() -> None:
    y, x = pair(50)
    hedge = SimpleNamespace(alpha=0.5, beta=0.7, log=True)
    close(spread(y, x, hedge=hedge), np.log(y) - 0.5 - 0.7 * np.log(x))
    close(spread(y, x, beta=0.7, log=True), np.log(y) - 0.7 * np.log(x))


def test_ratios() -> None:
    y, x = [4.0, 2.0, 1.0, math.nan], [2.0, 0.0, -1.0, 1.0]
    close(ratio_spread(y, x), [2.0, math.nan, -1.0, math.nan])
    close(log_ratio_spread(y, x), [math.log(2), math.nan, math.nan, math.nan])
    close(log_ratio_spread(x, y), -log_ratio_spread(y, x))


def test_the_index_is_kept_and_a_different_one_refused() -> None:
    index = pd.date_range("2024-01-01", periods=50, freq="min")
    y, x = (pd.Series(leg, index=index) for leg in pair(50))
    assert spread(y, x, beta=0.05).index.equals(index)
    assert rolling_zscore_regression(y, x, window=5).frame.index.equals(index)
    with pytest.raises(WrongUse, match="other times"):
        spread(y, x, beta=pd.Series(np.ones(50)))


def test_wrong_use_is_named() -> None:
    y, x = pair(50)
    with pytest.raises(WrongUse, match="neither hedge nor beta"):
        spread(y, x)
    with pytest.raises(WrongUse, match="both hedge and beta"):
        spread(y, x, hedge=SimpleNamespace(alpha=0.0, beta=1.0, log=False), beta=1.0)
    with pytest.raises(WrongUse, match="beta has 49 values"):
        spread(y, x, beta=np.ones(49))
    with pytest.raises(WrongUse, match="beta holds something that is not a number"):
        spread(y, x, beta="steep")
    with pytest.raises(WrongUse, match="window is 2"):
        rolling_zscore_regression(y, x, window=2)
