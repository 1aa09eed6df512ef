"""A change of the hedge is found where there is one, and not more often than said where there is none."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from market import Floats, WrongUse
from pairscope.kernels.honesty import best_split
from pairscope.numbers.stability import CRITICAL, QUANTILES, TAILS, beta_break


def pairs(
    reps: int, n: int, phi: float, seed: int, *, change: float = 0.0, feedback: float = 0.0, noise: float = 0.0
) -> tuple[Floats, Floats]:
    """Return y and x, a row a pair: x a random walk from 100, y = x + AR(1), the slope changed from the middle on.

    `feedback` is the correlation of the steps of the spread with those of x; `noise` is that in the prices of y, as a
    share of the deviation of the spread.
    """
    rng = np.random.default_rng(seed)
    moves, own = rng.standard_normal((2, reps, n))
    spread = lfilter([1.0], [1.0, -phi], feedback * moves + math.sqrt(1 - feedback**2) * own, axis=1)
    spread += noise * spread.std() * rng.standard_normal((reps, n))
    x = 100 + np.cumsum(moves, axis=1)
    slope = np.where(np.arange(n) < n // 2, 1.0, 1.0 + change)
    return x * slope + spread, x


def rejections(y: Floats, x: Floats, level: float = 0.05) -> float:
    return float(np.mean([beta_break(*pair).pvalue < level for pair in zip(y, x, strict=True)]))


@pytest.mark.parametrize("phi", [0.0, pytest.param(0.5, marks=pytest.mark.nightly), 0.9])
def test_a_hedge_that_holds_is_doubted_in_5_of_100_samples(phi: float) -> None:
    assert rejections(*pairs(6000, 1000, phi, seed=1)) == pytest.approx(0.05, abs=0.015)


@pytest.mark.nightly
@pytest.mark.parametrize("n", [1000, 3000])
@pytest.mark.parametrize("phi", [0.0, 0.3, 0.5, 0.7, 0.8, 0.9])
def test_the_level_holds_for_every_memory_of_the_spread(n: int, phi: float) -> None:
    assert rejections(*pairs(10_000, n, phi, seed=2)) == pytest.approx(0.05, abs=0.015)


@pytest.mark.nightly
@pytest.mark.parametrize(("feedback", "noise"), [(0.5, 0.0), (-0.5, 0.0), (0.0, 0.3), (0.0, 1.0)])
def test_neither_feedback_nor_noise_in_the_prices_breaks_the_level(feedback: float, noise: float) -> None:
    y, x = pairs(5000, 1000, 0.85, seed=3, feedback=feedback, noise=noise)
    assert rejections(y, x) == pytest.approx(0.05, abs=0.025)


def test_a_change_of_five_per_cent_in_the_middle_is_found_where_it_is() -> None:
    y, x = pairs(200, 1000, 0.9, seed=4, change=0.05)
    found = [beta_break(*pair) for pair in zip(y, x, strict=True)]
    assert np.mean([each.pvalue < 0.05 for each in found]) > 0.8
    assert np.median([abs(each.position - 500) for each in found if each.position is not None]) < 30


def test_the_hedge_ratios_on_both_sides_are_those_of_least_squares() -> None:
    y, x = (leg[0] for leg in pairs(1, 600, 0.5, seed=5, change=0.5))
    found = beta_break(y, x)
    at = found.position
    assert at is not None
    assert found.beta_before == pytest.approx(np.polyfit(x[:at], y[:at], 1)[0], rel=1e-9)
    assert found.beta_after == pytest.approx(np.polyfit(x[at:], y[at:], 1)[0], rel=1e-9)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(20, 60))
def test_the_best_split_is_that_of_trying_every_row(seed: int, n: int) -> None:
    y, x = np.random.default_rng(seed).normal(size=(2, n))

    def rest(first: Floats, second: Floats) -> float:
        return float(np.polyfit(second, first, 1, full=True)[1][0])

    sums = [rest(y[:row], x[:row]) + rest(y[row:], x[row:]) for row in range(5, n - 4)]
    found = best_split(y, x, 5)
    assert (found.one, found.two) == pytest.approx((rest(y, x), min(sums)), rel=1e-9)
    assert found.position == 5 + int(np.argmin(sums))


@pytest.mark.parametrize(("scale_y", "scale_x", "offset"), [(1e-8, 1e8, 0.0), (-1.0, 1.0, 0.0), (1.0, -3.0, 1e8)])
def test_the_units_of_the_legs_do_not_matter(scale_y: float, scale_x: float, offset: float) -> None:
    y, x = (leg[0] for leg in pairs(1, 500, 0.7, seed=6))
    plain, moved = beta_break(y, x), beta_break((y + offset) * scale_y, (x + offset) * scale_x)
    assert moved.statistic == pytest.approx(plain.statistic, rel=1e-4)
    assert moved.position == plain.position
    assert moved.beta_before == pytest.approx(plain.beta_before * scale_y / scale_x, rel=1e-4)


def test_the_p_value_agrees_with_the_table_and_goes_on_falling() -> None:
    y, x = pairs(40, 500, 0.3, seed=7, change=0.01)
    found = sorted((beta_break(*pair) for pair in zip(y, x, strict=True)), key=lambda each: each.statistic)
    assert [each.pvalue for each in found] == sorted((each.pvalue for each in found), reverse=True)
    for each in found:
        assert (each.pvalue < 0.05) == (each.statistic > CRITICAL["5%"])
        assert 0 < each.pvalue <= 1
    assert (QUANTILES[5], TAILS[5]) == (CRITICAL["5%"], 0.05)


def test_the_time_is_the_label_of_the_row() -> None:
    y, x = (leg[0] for leg in pairs(1, 300, 0.5, seed=8, change=0.2))
    index = pd.date_range("2026-01-01", periods=300, freq="min", tz="UTC")
    found = beta_break(pd.Series(y, index), pd.Series(x, index))
    assert found.position is not None
    assert found.time == index[found.position]
    assert beta_break(y, x).time is None
    assert beta_break(y.tolist(), x).position == found.position


def test_rows_missing_at_the_ends_shift_the_position_and_nothing_else() -> None:
    y, x = (leg[0] for leg in pairs(1, 300, 0.5, seed=9, change=0.2))
    plain = beta_break(y, x)
    padded = beta_break([math.nan, math.nan, *y, 1.0], [1.0, math.inf, *x, math.nan])
    assert (padded.statistic, padded.n) == (plain.statistic, 300)
    assert padded.position == (plain.position or 0) + 2


def test_a_hole_inside_leaves_no_answer() -> None:
    y, x = (leg[0] for leg in pairs(1, 300, 0.5, seed=10))
    y[100], x[200] = math.nan, math.inf
    assert beta_break(y, x).reason == "2 of 300 values are missing inside the sample"


def test_a_spread_that_does_not_revert_gets_no_answer_or_a_rare_one() -> None:
    y, x = pairs(200, 500, 1.0, seed=11)
    found = [beta_break(*pair) for pair in zip(y, x, strict=True)]
    assert np.mean(["too rarely" in each.reason for each in found]) > 0.85


WALK = np.cumsum(np.random.default_rng(12).normal(size=300))


@pytest.mark.parametrize(
    ("y", "x", "why"),
    [
        ([], [], "0 rows"),
        ([1.0], [2.0], "1 rows"),
        ([1.0, 2.0], [2.0, 1.0], "2 rows"),
        ([math.nan] * 300, [1.0] * 300, "0 rows"),
        ([5.0] * 300, [1.0] * 300, "nothing to test"),
        (WALK, WALK, "nothing to test"),
        (WALK * 3 + 1e6, WALK, "nothing to test"),
        ([1e8] * 300, WALK, "nothing to test"),
    ],
)
def test_poor_data_give_no_number_and_say_why(y: Any, x: Any, why: str) -> None:
    found = beta_break(y, x)
    assert math.isnan(found.pvalue)
    assert found.position is None
    assert why in found.reason


def test_legs_that_do_not_match_are_refused() -> None:
    with pytest.raises(WrongUse, match="join them by time"):
        beta_break([1.0, 2.0], [1.0])
