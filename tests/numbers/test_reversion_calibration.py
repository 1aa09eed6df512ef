"""The tables behind half-life and power, made anew, and what their intervals hold in simulation.

``python tests/numbers/test_reversion_calibration.py`` prints both tables (a few minutes, 3 GB).
"""

import math
from typing import NamedTuple

import numpy as np
import pytest
from scipy.signal import lfilter

from market import Floats
from pairscope.numbers.honesty import FOUND, bars_needed, power
from pairscope.numbers.mackinnon import tau_critical
from pairscope.numbers.reversion import DECAYS, LEVELS, QUANTILES, half_life, ou_fit

BARS = 1500
BATCH = 2000
HALF_LIVES = (5, 15, 30, 60)


def spreads(reps: int, n: int, phi: float, rng: np.random.Generator) -> Floats:
    """Return AR(1) series, a row each, from their stationary law (random walks where phi is 1)."""
    steps = rng.standard_normal((reps, n))
    if phi < 1:
        steps[:, 0] /= math.sqrt(1 - phi * phi)
    rows: Floats = lfilter([1.0], [1.0, -phi], steps, axis=1)
    return rows


def fitted(rows: Floats, rng: np.random.Generator) -> Floats:
    """Return what least squares on a constant and a random walk of its own leaves over of each row."""
    walks = np.cumsum(rng.standard_normal(rows.shape), axis=1)
    walks -= walks.mean(axis=1, keepdims=True)
    rows = rows - rows.mean(axis=1, keepdims=True)
    slopes = (rows * walks).sum(axis=1) / (walks * walks).sum(axis=1)
    rest: Floats = rows - slopes[:, None] * walks
    return rest


def t_statistics(rows: Floats, phi: float, *, constant: bool) -> Floats:
    """Return the t statistic of the AR(1) coefficient against `phi` in each row."""
    before, change = rows[:, :-1], np.diff(rows, axis=1)
    if constant:
        before = before - before.mean(axis=1, keepdims=True)
        change = change - change.mean(axis=1, keepdims=True)
    level, cross = (before * before).sum(axis=1), (before * change).sum(axis=1)
    rest = (change * change).sum(axis=1) - cross * cross / level
    errors = np.sqrt(rest / (before.shape[1] - 1 - constant) / level)
    statistics: Floats = (1 + cross / level - phi) / errors
    return statistics


class Drawn(NamedTuple):
    """What one decay gives: t statistics of phi of known and of fitted spreads, and Engle-Granger's."""

    known: Floats
    fitted: Floats
    engle_granger: Floats


def draw(decay: float, reps: int, rng: np.random.Generator, n: int = BARS) -> Drawn:
    """Simulate `reps` samples in which n * (1 - phi**2) / 2 is `decay`."""
    phi = math.sqrt(1 - 2 * decay / n)
    batches = []
    for _ in range(0, reps, BATCH):
        rows = spreads(min(BATCH, reps), n, phi, rng)
        rest = fitted(rows, rng)
        batches.append(
            (
                t_statistics(rows, phi, constant=True),
                t_statistics(rest, phi, constant=True),
                t_statistics(rest, 1.0, constant=False),
            )
        )
    return Drawn(*map(np.concatenate, zip(*batches, strict=True)))


def assert_point(row: int, reps: int, slack: float) -> None:
    drawn = draw(DECAYS[row], reps, np.random.default_rng(row))
    for of_fitted, found in ((False, drawn.known), (True, drawn.fitted)):
        below = [np.mean(found < quantile) for quantile in QUANTILES[of_fitted][row]]
        assert below == pytest.approx(LEVELS, abs=slack)
    critical = tau_critical(BARS - 1, trend="c", legs=2)
    for level, name in ((0.01, "1%"), (0.05, "5%"), (0.10, "10%")):
        assert np.mean(drawn.engle_granger < critical[name]) == pytest.approx(FOUND[level][row], abs=slack)


@pytest.mark.parametrize("row", [0, 8, 15])
def test_points_of_the_tables_are_found_again(row: int) -> None:
    assert_point(row, 2000, 0.045)


@pytest.mark.nightly
@pytest.mark.parametrize("row", range(19))
def test_every_point_of_the_tables_is_found_again(row: int) -> None:
    assert_point(row, 20_000, 0.016)


def coverage(n: int, bars: float, reps: int, *, of_fitted: bool = False) -> float:
    """Return how often the 95 % interval holds the true half-life."""
    rng = np.random.default_rng(n + int(bars))
    rows = spreads(reps, n, 0.5 ** (1 / bars), rng)
    rows = fitted(rows, rng) if of_fitted else rows
    found = [half_life(row, fitted=of_fitted) for row in rows]
    return float(np.mean([each.low <= bars <= each.high for each in found]))


@pytest.mark.parametrize("n", [500, 1000, 5000])
@pytest.mark.parametrize("bars", HALF_LIVES)
def test_the_interval_of_a_half_life_holds_it_in_95_of_100_samples(n: int, bars: int) -> None:
    assert 0.93 <= coverage(n, bars, 2000) <= 0.97


@pytest.mark.parametrize(("n", "bars"), [(500, 15), (1000, 60)])
def test_the_interval_of_a_fitted_spread_holds_its_half_life(n: int, bars: int) -> None:
    assert 0.93 <= coverage(n, bars, 2000, of_fitted=True) <= 0.97


@pytest.mark.nightly
@pytest.mark.parametrize("of_fitted", [False, True])
@pytest.mark.parametrize("n", [500, 1000, 2000, 5000])
@pytest.mark.parametrize("bars", HALF_LIVES)
def test_the_interval_of_a_half_life_holds_it_at_every_length(n: int, bars: int, of_fitted: bool) -> None:
    assert 0.935 <= coverage(n, bars, 10_000, of_fitted=of_fitted) <= 0.965


def test_the_corrected_half_life_is_as_often_too_long_as_too_short() -> None:
    rows = spreads(2000, 500, 0.5 ** (1 / 30), np.random.default_rng(1))
    found = [half_life(row) for row in rows]
    assert np.mean([each.corrected > 30 for each in found]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([each.half_life > 30 for each in found]) < 0.35


@pytest.mark.parametrize(("n", "bars"), [(500, 5), (2000, 15), (2000, 60)])
def test_the_intervals_of_an_ornstein_uhlenbeck_process_hold_its_numbers(n: int, bars: int) -> None:
    phi, theta = 0.5 ** (1 / bars), math.log(2) / bars
    sigma = math.sqrt(2 * theta / (1 - phi * phi))
    found = [ou_fit(row) for row in spreads(4000, n, phi, np.random.default_rng(n + bars))]
    assert 0.93 <= np.mean([each.theta_low <= theta <= each.theta_high for each in found]) <= 0.97
    assert 0.93 <= np.mean([each.mu_low <= 0 <= each.mu_high for each in found]) <= 0.97
    assert 0.93 <= np.mean([each.sigma_low <= sigma <= each.sigma_high for each in found]) <= 0.97


def found_share(n: int, bars: float, reps: int) -> float:
    rng = np.random.default_rng(n)
    rest = fitted(spreads(reps, n, 0.5 ** (1 / bars), rng), rng)
    critical = tau_critical(n - 1, trend="c", legs=2)["5%"]
    return float(np.mean(t_statistics(rest, 1.0, constant=False) < critical))


@pytest.mark.parametrize(("n", "bars"), [(120, 30), (250, 15), (500, 15), (1000, 60), (3000, 60)])
def test_power_is_the_share_of_simulated_pairs_that_engle_granger_finds(n: int, bars: int) -> None:
    assert power(n, bars) == pytest.approx(found_share(n, bars, 3000), abs=0.04)


def test_two_minutes_of_seconds_find_a_half_life_of_30_in_7_of_100_cases() -> None:
    assert power(120, 30) == pytest.approx(0.07, abs=0.005)


@pytest.mark.nightly
@pytest.mark.parametrize("bars", [5, 30, 120])
def test_the_bars_that_are_needed_find_four_of_five(bars: int) -> None:
    assert found_share(int(bars_needed(bars)), bars, 10_000) == pytest.approx(0.8, abs=0.05)


def print_tables(reps: int = 100_000) -> None:
    rng = np.random.default_rng(1)
    critical = tau_critical(BARS - 1, trend="c", legs=2)
    for decay in DECAYS[:-1]:
        drawn = draw(decay, reps, rng)
        shares = [float(np.mean(drawn.engle_granger < critical[name])) for name in ("1%", "5%", "10%")]
        print(decay, *(np.quantile(each, LEVELS).round(2) for each in drawn[:2]), shares, sep="\n")


if __name__ == "__main__":
    print_tables()
