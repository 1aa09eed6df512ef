"""Correlation and its lags, against numpy's own and planted leads."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from market import Floats, UnknownName, WrongUse
from pairscope.numbers.dependence import correlation, cross_correlation, cross_correlation_heatmap, lead_lag


def prices(returns: Floats) -> Floats:
    path: Floats = 100 * np.exp(np.concatenate([[0.0], np.cumsum(returns)]))
    return path


def pair(n: int = 400, rho: float = 0.6, *, lead: int = 0, seed: int = 1) -> tuple[Floats, Floats]:
    """Prices with n returns; y repeats x's move `lead` bars later, with correlation rho."""
    move, own = np.random.default_rng(seed).standard_normal((2, n + lead)) * 1e-3
    late = rho * move[:n] + math.sqrt(1 - rho**2) * own[:n]
    return prices(late), prices(move[lead:])


def shifted(y: Floats, x: Floats, lag: int) -> float:
    """Return numpy's correlation of y[t] and x[t - lag]."""
    late, early = (y[lag:], x[: len(x) - lag]) if lag >= 0 else (y[:lag], x[-lag:])
    return float(np.corrcoef(late, early)[0, 1])


def test_the_value_is_numpys_of_the_log_returns() -> None:
    y, x = pair()
    found = correlation(y, x)
    assert found.value == pytest.approx(np.corrcoef(np.diff(np.log(y)), np.diff(np.log(x)))[0, 1], rel=1e-12)
    assert found.low < found.value < found.high
    assert correlation(y, x, of="prices").value == pytest.approx(np.corrcoef(y, x)[0, 1], rel=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_swap_and_scale_change_nothing(seed: int, scale_y: float, scale_x: float) -> None:
    y, x = pair(100, seed=seed)
    found, other = correlation(y, x), correlation(x * scale_x, y * scale_y)
    assert (other.value, other.low, other.high) == pytest.approx((found.value, found.low, found.high), abs=1e-7)


def test_levels_far_from_zero_correlate_as_near_it() -> None:
    y, x = np.random.default_rng(5).standard_normal((2, 300)).cumsum(axis=1)
    near, far = correlation(y, x, of="prices"), correlation(y + 1e8, x - 1e8, of="prices")
    assert far.value == pytest.approx(near.value, abs=1e-6)
    here, there = (cross_correlation(y + c, x - c, max_lag=5, of="prices").frame for c in (0, 1e8))
    np.testing.assert_allclose(here["correlation"], there["correlation"], atol=1e-6)


def test_identical_legs_correlate_wholly() -> None:
    y, _ = pair()
    found = correlation(y, y)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))
    assert cross_correlation(y, y, max_lag=3).peak_lag == 0
    assert cross_correlation(y, -1 * y, max_lag=3, of="prices").peak == pytest.approx(-1)


def test_missing_prices_are_left_out_and_counted() -> None:
    y, x = pair(50)
    y[10], x[30] = math.nan, math.inf
    known = np.isfinite(y) & np.isfinite(x)
    good = known[1:] & known[:-1]
    found = correlation(y, x)
    assert found.n == good.sum() == 46
    with np.errstate(invalid="ignore"):
        expected = np.corrcoef(np.diff(np.log(y))[good], np.diff(np.log(x))[good])[0, 1]
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_prices_that_wander_get_no_interval() -> None:
    y, x = np.random.default_rng(1).standard_normal((2, 500)).cumsum(axis=1)
    found = correlation(y, x, of="prices")
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert found.reason.startswith("the prices wander")


def coverage(draw: Callable[[np.random.Generator], tuple[Floats, Floats]], rho: float, runs: int) -> float:
    generator = np.random.default_rng(11)
    found = [correlation(*map(prices, draw(generator))) for _ in range(runs)]
    return float(np.mean([each.low <= rho <= each.high for each in found]))


def returns_of(kind: str, rho: float, n: int) -> Callable[[np.random.Generator], tuple[Floats, Floats]]:
    """Return what draws returns that are plain, have memory, or have a volatility that both legs share."""

    def draw(generator: np.random.Generator) -> tuple[Floats, Floats]:
        move, own = generator.standard_normal((2, n)) * 1e-4
        if kind == "wild":
            move, own = np.array([move, own]) * np.exp(0.5 * lfilter([0.2], [1, -0.95], generator.standard_normal(n)))
        y, x = rho * move + math.sqrt(1 - rho**2) * own, move
        return (lfilter([1], [1, -0.3], y), lfilter([1], [1, -0.3], x)) if kind == "memory" else (y, x)

    return draw


@pytest.mark.parametrize("kind", ["plain", "memory", "wild"])
def test_the_interval_covers_roughly_what_it_says(kind: str) -> None:
    assert 0.91 < coverage(returns_of(kind, 0.6, 300), 0.6, 400) < 0.99


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["plain", "memory", "wild"])
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("n", [200, 1000, 5000])
def test_the_interval_covers_what_it_says(kind: str, rho: float, n: int) -> None:
    assert 0.925 < coverage(returns_of(kind, rho, n), rho, 4000) < 0.975


def test_every_lag_is_numpys_correlation_of_the_shifted_legs() -> None:
    y, x = pair(200)
    frame = cross_correlation(y, x, max_lag=30).frame
    expected = [shifted(np.diff(np.log(y)), np.diff(np.log(x)), lag) for lag in range(-30, 31)]
    np.testing.assert_allclose(frame["correlation"], expected, atol=1e-12)
    assert list(frame["n"]) == [200 - abs(lag) for lag in range(-30, 31)]


def test_a_lag_of_levels_is_numpys_too_with_holes() -> None:
    y, x = np.random.default_rng(3).standard_normal((2, 80)).cumsum(axis=1)
    y[20], x[50] = math.nan, math.nan
    frame = cross_correlation(y, x, max_lag=4, of="prices").frame
    late, early = y[3:], x[:-3]
    known = np.isfinite(late) & np.isfinite(early)
    assert frame.loc[3, "n"] == known.sum() == 75
    assert frame.loc[3, "correlation"] == pytest.approx(np.corrcoef(late[known], early[known])[0, 1], rel=1e-10)


def test_a_positive_peak_means_that_x_moves_first() -> None:
    y, x = pair(lead=3)
    assert cross_correlation(y, x, max_lag=10).peak_lag == 3
    assert cross_correlation(x, y, max_lag=10).peak_lag == -3
    late, early = np.diff(np.log([y, x]))
    assert cross_correlation(y, x, max_lag=10).peak == pytest.approx(shifted(late, early, 3))


@pytest.mark.parametrize("memory", [0.0, 0.7])
def test_one_lag_in_twenty_leaves_the_band_by_chance(memory: float) -> None:
    generator, outside = np.random.default_rng(4), []
    for _ in range(60):
        y, x = (prices(lfilter([1e-4], [1, -memory], generator.standard_normal(500))) for _ in "yx")
        frame = cross_correlation(y, x, max_lag=20).frame
        outside.append((frame["correlation"].abs() > frame["high"]).mean())
    assert 0.03 < np.mean(outside) < 0.07


def test_the_band_of_random_walks_is_wide() -> None:
    generator = np.random.default_rng(4)
    walks = (generator.standard_normal((2, 300)).cumsum(axis=1) for _ in range(40))
    frames = [cross_correlation(y, x, max_lag=10, of="prices").frame for y, x in walks]
    assert np.mean([(frame["correlation"].abs() > frame["high"]).mean() for frame in frames]) < 0.05


def test_the_heatmap_holds_the_curves_of_its_windows() -> None:
    y, x = pair(120, lead=2)
    found = cross_correlation_heatmap(pd.Series(y), pd.Series(x), max_lag=4, window=40, step=20)
    assert list(found.times) == [40, 60, 80, 100, 120]
    assert list(found.lags) == list(range(-4, 5))
    curve = cross_correlation(y[20:61], x[20:61], max_lag=4).frame["correlation"]
    np.testing.assert_allclose(found.matrix[1], curve, atol=1e-12)
    assert (found.lags[found.matrix.argmax(axis=1)] == 2).all()


def test_past_windows_do_not_know_the_future() -> None:
    y, x = pair(120)
    changed = y.copy()
    changed[81:] *= 3
    true, other = (cross_correlation_heatmap(leg, x, max_lag=3, window=30, step=5).frame for leg in (y, changed))
    pd.testing.assert_frame_equal(true.loc[:80], other.loc[:80])
    assert not true.loc[81:].equals(other.loc[81:])


def test_a_window_with_a_hole_or_a_dead_leg_is_unknown_and_others_are_not() -> None:
    y, x = pair(100)
    y[20], x[70:] = math.nan, x[70]
    matrix = cross_correlation_heatmap(y, x, max_lag=2, window=10, step=10).matrix
    assert np.isnan(matrix).all(axis=1).tolist() == [False, True, True, False, False, False, False, True, True, True]


def test_an_infinite_level_spoils_only_its_windows() -> None:
    y, x = np.random.default_rng(6).standard_normal((2, 60))
    y[:20] = math.inf
    matrix = cross_correlation_heatmap(y, x, max_lag=1, window=10, step=10, of="prices").matrix
    assert np.isnan(matrix).all(axis=1).tolist() == [True, True, False, False, False, False]
    assert cross_correlation(y, x, max_lag=1, of="prices").frame.loc[0, "n"] == 40


@pytest.mark.parametrize(("lead", "leader"), [(2, "x"), (0, "neither")])
def test_the_leader_is_found(lead: int, leader: str) -> None:
    y, x = pair(600, lead=lead)
    found = lead_lag(y, x, max_lag=5)
    assert (found.leader, found.lag) == (leader, lead)
    swapped = lead_lag(x, y, max_lag=5)
    assert (swapped.leader, swapped.lag) == ({"x": "y"}.get(leader, leader), -lead)
    assert swapped.ratio == pytest.approx(1 / found.ratio)
    assert found.correlation == pytest.approx(0.6, abs=0.1)


def test_the_leader_is_named_in_words() -> None:
    assert lead_lag(*pair(600, lead=1), max_lag=5).words.startswith("x leads y by 1 bar (correlation 0.")
    assert lead_lag(*pair(600), max_lag=5).words.startswith("neither leg leads (p ")
    assert lead_lag([1, 2], [2, 1], max_lag=1).words == "no answer: 1 pairs; a correlation needs 4"


def test_a_leader_is_seldom_invented() -> None:
    leaders = [lead_lag(*pair(300, 0.7, seed=seed), max_lag=5).leader for seed in range(200)]
    assert leaders.count("neither") >= 185


HOSTILE: tuple[list[float], ...] = ([], [1.0], [1.0, 2.0], [5.0] * 90, [math.nan] * 90, [-1.0] * 90, [0] * 90)


@pytest.mark.parametrize("data", HOSTILE, ids=str)
def test_poor_data_is_nan_with_a_reason(data: list[float]) -> None:
    found, lagged, leading = (
        correlation(data, data),
        cross_correlation(data, data, max_lag=2),
        lead_lag(data, data, max_lag=2),
    )
    assert math.isnan(found.value)
    assert lagged.frame["correlation"].isna().all()
    assert (lagged.peak_lag, leading.leader) == (None, "")
    assert found.reason
    assert found.reason == lagged.reason == leading.reason
    assert np.isnan(cross_correlation_heatmap(data, data, max_lag=1, window=5).matrix).all()


def test_few_pairs_have_a_value_but_no_interval() -> None:
    found = correlation(*pair(20))
    assert math.isfinite(found.value)
    assert math.isnan(found.high)
    assert found.reason == "20 pairs; an interval needs 64"


def test_lists_integers_and_strided_arrays_are_the_same_prices() -> None:
    y, x = (np.random.default_rng(seed).integers(50, 150, 200) for seed in (1, 2))
    whole = correlation(y, x)
    assert correlation(y.tolist(), x.tolist()) == whole
    assert correlation(np.repeat(y, 2)[::2], np.repeat(x, 3)[::3]) == whole


def test_wrong_use_is_named() -> None:
    y, x = pair(20)
    with pytest.raises(UnknownName, match="did you mean returns"):
        correlation(y, x, of="return")  # type: ignore[arg-type]
    with pytest.raises(WrongUse, match="confidence is 95"):
        correlation(y, x, confidence=95)
    with pytest.raises(WrongUse, match="max_lag is -1"):
        cross_correlation(y, x, max_lag=-1)
    with pytest.raises(WrongUse, match="join them by time"):
        lead_lag(y, x[:-1], max_lag=1)
    with pytest.raises(WrongUse, match="window is 5"):
        cross_correlation_heatmap(y, x, max_lag=3, window=5)
