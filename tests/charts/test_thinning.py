import time as timer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from market import Floats, Integers
from pairscope.charts import thin

STEP = 1_000
LENGTHS = st.integers(1, 4_000)
SEEDS = st.integers(0, 2**32 - 1)
POINTS = st.integers(60, 1_500)


def some_time(n: int, *, first: int = 0, missing: NDArray[np.bool_] | None = None) -> Integers:
    """Make the starts of `n` bars, without those that are missing."""
    time = 1_763_600_000_000 + (first + np.arange(n)) * STEP
    return time if missing is None else time[~missing]


def walk(n: int, seed: int) -> Floats:
    return np.cumsum(np.random.default_rng(seed).normal(size=n))


def reach(n: int, points: int, lines: int = 1) -> int:
    """Return how many rows a stretch has at most: a quarter more than asked for, for its length to be a round one."""
    return int(1.25 * n / max(1, points // (2 * lines) - 3)) + 1


@given(LENGTHS, SEEDS, POINTS)
def test_rows_ascend_from_the_first_to_the_last_and_are_no_more_than_asked_for(n: int, seed: int, points: int) -> None:
    rows = thin(some_time(n, first=seed), [walk(n, seed)], points)
    assert (rows[0], rows[-1]) == (0, n - 1)
    assert (np.diff(rows) > 0).all()
    assert len(rows) <= points


@given(LENGTHS, SEEDS, POINTS)
def test_every_value_lies_between_those_drawn_around_it(n: int, seed: int, points: int) -> None:
    """No spike is lost, up or down, wherever it is and whichever line has it."""
    lines = [walk(n, seed), walk(n, seed + 1) ** 3]
    rows, around = thin(some_time(n, first=seed), lines, points), reach(n, points, 2)
    for line in lines:
        for row in np.random.default_rng(seed).integers(0, n, 20):
            near = line[rows[(rows > row - around) & (rows < row + around)]]
            assert near.min() <= line[row] <= near.max()


@given(LENGTHS, SEEDS, POINTS, st.integers(1, 300))
def test_a_gap_stays_a_gap(n: int, seed: int, points: int, length: int) -> None:
    line = walk(n, seed)
    start = seed % n
    line[start : start + length] = np.nan
    rows = thin(some_time(n, first=seed), [line], points)
    assert np.isnan(line[rows]).any()
    assert np.isnan(line[rows[(rows >= start) & (rows < start + length)]]).any()


@given(LENGTHS, SEEDS, POINTS)
def test_spikes_beside_gaps_stay(n: int, seed: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    line = np.where(rng.random(n) < 0.3, np.nan, walk(n, seed))
    line[seed % n] = 1e9
    rows = thin(some_time(n, first=seed), [line], points)
    assert line[rows].tolist().count(1e9) == 1
    assert len(rows) <= 1.5 * points


@pytest.mark.parametrize("values", [np.zeros(5_000), np.full(5_000, np.nan), np.full(5_000, np.inf)])
def test_lines_without_shape_keep_their_ends(values: Floats) -> None:
    rows = thin(some_time(5_000), [values])
    assert (rows[0], rows[-1]) == (0, 4_999)
    assert len(rows) <= 1_500


def test_few_rows_stay_all() -> None:
    assert thin(some_time(1_500), [walk(1_500, 1)]).tolist() == list(range(1_500))
    assert thin(some_time(0), [np.empty(0)]).tolist() == []


def test_what_is_drawn_stays_when_rows_come_and_go() -> None:
    """A chart whose points moved at every refresh would shimmer."""
    n, line = 20_000, walk(20_100, 5)
    before = some_time(n)[thin(some_time(n), [line[:n]])]
    for shift in (1, 7, 100):
        time = some_time(n, first=shift)
        after = time[thin(time, [line[shift : shift + n]])]
        low, high = time[0] + 100 * STEP, before[-1] - 100 * STEP
        inside = [drawn[(drawn >= low) & (drawn < high)].tolist() for drawn in (before, after)]
        assert inside[0] == inside[1]


def test_missing_rows_and_long_pauses_are_no_trouble() -> None:
    missing = np.random.default_rng(3).random(30_000) < 0.4
    time, line = some_time(30_000, missing=missing), walk(30_000, 3)[~missing]
    time[len(time) // 2 :] += 30 * 86_400_000
    rows = thin(time, [line])
    assert line[rows].max() == line.max()
    assert len(rows) <= 1_500


@pytest.mark.nightly
def test_eight_lines_of_86400_rows_are_thinned_within_milliseconds() -> None:
    """It takes 2 ms on a quiet core; the bound leaves room for a busy one."""
    time, lines = some_time(86_400), [walk(86_400, seed) for seed in range(8)]
    took = []
    for _ in range(7):
        start = timer.perf_counter()
        for line in lines:
            thin(time, [line])
        took.append(timer.perf_counter() - start)
    assert min(took) < 0.015
