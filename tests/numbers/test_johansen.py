"""Johansen's test, against the published answers and statsmodels."""

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.vector_ar.vecm import coint_johansen

from market import Floats, UnknownName, WrongUse
from pairscope.numbers.johansen import johansen


def basket(n: int, k: int, seed: int = 0) -> Floats:
    """Return k walks, the first of which is tied to the second."""
    draw = np.random.default_rng(seed)
    data = draw.normal(size=(n, k)).cumsum(axis=0)
    data[:, 0] = 0.5 * data[:, 1] + draw.normal(size=n)
    return data


@pytest.mark.parametrize("det_order", [-1, 0, 1])
@pytest.mark.parametrize("lags", [1, 2, 4])
@pytest.mark.parametrize("k", [2, 3, 6])
def test_it_equals_statsmodels(det_order: Any, lags: int, k: int) -> None:
    data = basket(200, k)
    theirs, mine = coint_johansen(data, det_order, lags), johansen(data, det_order=det_order, lags=lags)
    assert mine.eigenvalues == pytest.approx(theirs.eig, rel=1e-7)
    assert mine.trace == pytest.approx(theirs.trace_stat, rel=1e-7)
    assert mine.max_eigenvalue == pytest.approx(theirs.max_eig_stat, rel=1e-7)
    assert pytest.approx(theirs.evec / theirs.evec[0], rel=1e-6) == np.array(mine.vectors).T
    assert [list(each.values()) for each in mine.trace_critical] == theirs.trace_stat_crit_vals.tolist()
    assert [list(each.values()) for each in mine.max_eigenvalue_critical] == theirs.max_eig_stat_crit_vals.tolist()


def test_the_danish_money_demand_has_its_published_answer(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "published" / "statsmodels_danish_data.csv")[["lrm", "lry", "ibo", "ide"]]
    found = johansen(frame, det_order="restricted", lags=1, seasons=4)
    assert found.eigenvalues == pytest.approx((0.43316542, 0.17758364, 0.11279052, 0.0434113), abs=1e-8)
    assert found.trace == pytest.approx((49.14436518, 19.05691375, 8.69496374, 2.35223329), abs=1e-7)
    # Johansen and Juselius (1990), table 3: m = 1.03 y - 5.21 ib + 4.22 id + 6.06
    assert found.hedge == pytest.approx((1, -1.03, 5.21, -4.22), abs=0.006)
    assert found.constants[0] == pytest.approx(-6.06, abs=0.006)
    assert (found.rank_trace, found.rank_max_eigenvalue, found.n) == (0, 1, 53)


def test_the_two_banks_have_their_published_hedge(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "published" / "arbitragelab_ANZ-ADB.csv", index_col=0)
    frame = frame[pd.to_datetime(frame.index, format="%m/%d/%Y") < pd.Timestamp("2002-01-01")]
    found = johansen(frame["ANZ"], frame["ADB"])
    assert found.hedge == pytest.approx((1, -1.8647763422881), rel=1e-12)
    assert johansen(frame) == found


def test_the_hedge_is_the_planted_one() -> None:
    found = johansen(basket(2_000, 2))
    assert found.hedge == pytest.approx((1, -0.5), abs=0.02)
    assert (found.rank_trace, found.rank_max_eigenvalue) == (1, 1)


def test_the_restricted_constant_makes_the_spread_centre_on_zero() -> None:
    data = basket(2_000, 2) + np.array([60_000, 10])
    found = johansen(data, det_order="restricted")
    assert np.mean(data @ found.hedge) + found.constants[0] == pytest.approx(0, abs=0.05)


def test_stationary_series_have_full_rank_and_walks_have_none() -> None:
    draw = np.random.default_rng(5).normal(size=(500, 3))
    assert johansen(draw, det_order="restricted").rank_trace == 3
    assert johansen(draw.cumsum(axis=0), det_order="restricted").rank_trace == 0


@settings(max_examples=30)
@given(
    scales=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3),
    shift=st.floats(-1e3, 1e3),
    order=st.permutations(range(3)),
    det_order=st.sampled_from([0, 1, "restricted"]),
)
def test_units_origin_and_order_do_not_matter(
    scales: list[float], shift: float, order: list[int], det_order: Any
) -> None:
    data = basket(150, 3)
    moved = ((data + shift) * scales)[:, order]
    plain, found = johansen(data, det_order=det_order), johansen(moved, det_order=det_order)
    assert found.trace == pytest.approx(plain.trace, rel=1e-6)
    assert found.max_eigenvalue == pytest.approx(plain.max_eigenvalue, rel=1e-6)


def test_it_keeps_its_digits_at_an_offset_of_1e8() -> None:
    data = basket(300, 2)
    for det_order in (0, 1, "restricted"):
        plain, moved = johansen(data, det_order=det_order), johansen(data + 1e8, det_order=det_order)
        assert moved.trace == pytest.approx(plain.trace, rel=1e-6)
        assert moved.hedge == pytest.approx(plain.hedge, rel=1e-6)


def test_without_lags_the_level_is_the_one_before_the_change() -> None:
    data = basket(200, 2)
    moves, levels = np.diff(data, axis=0), data[:-1]
    moves, levels = moves - moves.mean(axis=0), levels - levels.mean(axis=0)
    left, right = np.linalg.qr(moves)[0], np.linalg.qr(levels)[0]
    expected = np.linalg.svd(left.T @ right)[1] ** 2
    assert johansen(data, lags=0).eigenvalues == pytest.approx(expected, rel=1e-9)


WALK = np.random.default_rng(6).normal(size=60).cumsum()
OTHER = np.random.default_rng(7).normal(size=60).cumsum()


@pytest.mark.parametrize("det_order", [-1, 0, 1, "restricted"])
@pytest.mark.parametrize(
    ("y", "x"),
    [
        ([], []),
        ([1.0], [2.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        (WALK, WALK),
        (WALK, np.full(60, 0.1)),
        (np.zeros(60), np.zeros(60)),
        (np.full(60, math.nan), WALK),
        (np.where(np.arange(60) == 30, math.nan, OTHER), WALK),
    ],
    ids=["empty", "one", "two", "identical", "constant", "zeros", "all NaN", "NaN inside"],
)
def test_poor_data_give_nan_and_a_reason(y: object, x: object, det_order: Any) -> None:
    found = johansen(y, x, det_order=det_order)
    assert found.reason
    assert all(map(math.isnan, (*found.eigenvalues, *found.trace, *found.max_eigenvalue, *found.hedge)))
    assert found.rank_trace is None
    assert found.rank_max_eigenvalue is None


def test_any_arrays_of_numbers_are_taken() -> None:
    y, x = np.round(10 * WALK), np.round(10 * OTHER)
    expected = johansen(y, x)
    assert johansen(y.tolist(), x.astype(int)) == expected
    assert johansen(pd.Series(y), pd.Series(x)) == expected
    assert johansen(np.column_stack([y, x])) == expected
    assert johansen(np.concatenate([y, [math.nan]]), np.concatenate([x, [1.0]])) == expected


def test_wrong_use_is_refused() -> None:
    with pytest.raises(WrongUse, match="takes 2 to 6"):
        johansen(WALK)
    with pytest.raises(WrongUse, match="join them by time"):
        johansen(WALK, OTHER[1:])
    with pytest.raises(WrongUse, match="different times"):
        johansen(pd.Series(WALK), pd.Series(OTHER, index=range(1, 61)))
    with pytest.raises(UnknownName, match="did you mean restricted"):
        johansen(WALK, OTHER, det_order=cast("Any", "restrict"))
    with pytest.raises(WrongUse, match="lags"):
        johansen(WALK, OTHER, lags=cast("Any", 1.5))
