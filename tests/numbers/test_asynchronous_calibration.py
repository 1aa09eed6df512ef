"""Does the interval of the tick correlation hold the truth as often as it says?"""

import math

import numpy as np
import pytest

from market import Floats, Integers
from pairscope.numbers.asynchronous import HayashiYoshida, hayashi_yoshida, hayashi_yoshida_curve

Leg = tuple[Integers, Floats]


def poisson(generator: np.random.Generator, rho: float, rates: tuple[float, float], seconds: int) -> tuple[Leg, Leg]:
    """Draw two correlated Brownian motions at the moments of two Poisson processes, `rates` trades a second."""
    counts = (generator.poisson(rate * seconds) for rate in rates)
    moments = [np.unique(generator.integers(0, 1000 * seconds, count)) for count in counts]
    grid = np.union1d(*moments)
    move, own = generator.standard_normal((2, len(grid))) * np.sqrt(np.diff(grid, prepend=0)) * 1e-5
    paths = (np.cumsum(move), np.cumsum(rho * move + math.sqrt(1 - rho**2) * own))
    leg_y, leg_x = ((at, np.exp(path[np.searchsorted(grid, at)])) for at, path in zip(moments, paths, strict=True))
    return leg_y, leg_x


def draws(rho: float, rates: tuple[float, float], seconds: int, runs: int) -> list[HayashiYoshida]:
    generator = np.random.default_rng(7)
    return [hayashi_yoshida(*poisson(generator, rho, rates, seconds)) for _ in range(runs)]


def covered(found: list[HayashiYoshida], rho: float) -> float:
    return float(np.mean([each.low <= rho <= each.high for each in found]))


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
def test_the_interval_covers_roughly_what_it_says(rho: float) -> None:
    found = draws(rho, (1, 0.5), 600, 400)
    assert 0.91 < covered(found, rho) < 0.99
    assert np.mean([each.correlation for each in found]) == pytest.approx(rho, abs=0.02)


def test_clean_ticks_raise_no_caution() -> None:
    assert sum(bool(each.caution) for each in draws(0.8, (2, 2), 600, 200)) <= 3


def test_a_leader_is_seldom_invented_and_a_true_one_found() -> None:
    generator, invented, found = np.random.default_rng(8), 0, 0
    for _ in range(60):
        leg_y, leg_x = poisson(generator, 0.8, (2, 2), 600)
        invented += hayashi_yoshida_curve(leg_y, leg_x).leader != "neither"
        found += hayashi_yoshida_curve((leg_y[0] + 300, leg_y[1]), leg_x).leader == "x"
    assert invented <= 10
    assert found >= 55


@pytest.mark.nightly
@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
@pytest.mark.parametrize(
    ("rates", "seconds"), [((0.4, 0.4), 900), ((0.4, 0.4), 3600), ((2, 2), 600), ((5, 0.5), 1800), ((10, 3), 200)]
)
def test_the_interval_covers_what_it_says(rho: float, rates: tuple[float, float], seconds: int) -> None:
    found = draws(rho, rates, seconds, 4000)
    assert 0.93 <= covered(found, rho) <= 0.97
    assert np.mean([each.correlation for each in found]) == pytest.approx(rho, abs=0.015)
