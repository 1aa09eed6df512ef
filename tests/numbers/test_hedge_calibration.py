"""Simulated samples: the interval of beta holds what it says, and keeps silent where it would mean nothing."""

import numpy as np
import pytest
from scipy import signal

from market import Floats
from pairscope.numbers.hedge import HedgeMethod, hedge_ratio

BETA = 0.7
CASES = [(walk, memory) for walk in (1.0, 0.9) for memory in (0.0, 0.5, 0.8, 0.9)]


def remembering(rng: np.random.Generator, rows: int, memory: float) -> Floats:
    """Return an AR(1) path from its stationary start; a random walk where `memory` is 1."""
    shocks = rng.standard_normal(rows)
    if memory < 1.0:
        shocks[0] /= np.sqrt(1.0 - memory**2)
    path: Floats = signal.lfilter([1.0], [1.0, -memory], shocks)
    return path


def outcomes(
    rows: int, walk: float, memory: float, times: int, *, method: HedgeMethod = "ols", bounce: float = 0.0
) -> Floats:
    """Return one row a sample: whether there is an interval, whether it holds the true beta, and its width.

    Orthogonal regression gets the errors it is made for: the same in both legs.
    """
    rng = np.random.default_rng([rows, int(100 * walk), int(100 * memory), int(bounce)])
    found = np.empty((times, 3))
    for row in found:
        x = remembering(rng, rows, walk)
        e = remembering(rng, rows, memory) + bounce * rng.standard_normal(rows)
        seen = x + remembering(rng, rows, memory) if method == "tls" else x
        hedge = hedge_ratio(3.0 + BETA * x + e, seen, method=method)
        row[:] = not hedge.reason, hedge.low <= BETA <= hedge.high, hedge.high - hedge.low
    return found


def coverage(found: Floats) -> float:
    """Return the share of the intervals that hold the true beta."""
    return float(found[found[:, 0] == 1.0, 1].mean())


@pytest.mark.parametrize(("walk", "memory"), CASES)
def test_the_interval_of_beta_covers_95_percent_whatever_the_residuals_remember(walk: float, memory: float) -> None:
    found = outcomes(1_000, walk, memory, 400)
    assert found[:, 0].mean() > 0.99
    assert 0.905 <= coverage(found) <= 0.99


def test_an_interval_that_takes_rows_as_independent_would_be_far_too_short() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        x, e = remembering(rng, 1_000, 1.0), remembering(rng, 1_000, 0.9)
        hedge = hedge_ratio(BETA * x + e, x)
        held += abs(hedge.beta - BETA) < 1.96 * hedge.classical_stderr
    assert held / 300 < 0.5


@pytest.mark.parametrize("bounce", [0.0, 2.0])
def test_unrelated_random_walks_rarely_get_an_interval(bounce: float) -> None:
    """About 8 % do, measured over 6,000 samples; 0.13 is four standard deviations of 400 above it."""
    found = outcomes(1_000, 1.0, 1.0, 400, bounce=bounce)
    assert found[:, 0].mean() < 0.13


@pytest.mark.parametrize("method", ["huber", "theil_sen", "tls"])
def test_the_other_methods_cover_too(method: HedgeMethod) -> None:
    found = outcomes(1_000, 1.0, 0.8, 200, method=method)
    assert 0.88 <= coverage(found) <= 0.995


@pytest.mark.nightly
@pytest.mark.parametrize("rows", [1_000, 3_000, 10_000])
@pytest.mark.parametrize(("walk", "memory"), CASES)
def test_the_interval_of_ols_covers_93_to_97_percent(rows: int, walk: float, memory: float) -> None:
    found = outcomes(rows, walk, memory, 4_000)
    assert 0.93 <= coverage(found) <= 0.97


@pytest.mark.nightly
@pytest.mark.parametrize("bounce", [0.0, 2.0])
def test_unrelated_random_walks_get_an_interval_in_less_than_a_tenth(bounce: float) -> None:
    assert outcomes(1_000, 1.0, 1.0, 4_000, bounce=bounce)[:, 0].mean() < 0.10


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["huber", "theil_sen", "tls"])
@pytest.mark.parametrize(("walk", "memory"), CASES)
def test_the_other_methods_cover_92_to_97_percent(method: HedgeMethod, walk: float, memory: float) -> None:
    found = outcomes(1_000, walk, memory, 4_000, method=method)
    assert 0.92 <= coverage(found) <= 0.97
