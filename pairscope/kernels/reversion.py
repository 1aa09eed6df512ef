"""The sums behind a regression of a change on the level before, and the inversion of its t statistic."""

from typing import NamedTuple

import numpy as np

from market import Floats
from pairscope.kernels import in_any_order, kernel

BLOCK = 1024
"""Rows that are summed before they are added to the rest: many sums round less than one."""

HALVINGS = 40

ROUNDING = 2 * float(np.finfo(np.float64).eps)
"""A residual this small against the values themselves is their rounding."""


class Sums(NamedTuple):
    """Sums over the steps of a series less its mean: `level` of c[t-1]**2, `cross` of c[t-1] d[t], `change` of d[t]**2.

    `first` and `last` are the ends less the mean; d[t] is c[t] - c[t-1]. Not finite where a value is not.
    """

    n: int
    mean: float
    first: float
    last: float
    level: float
    cross: float
    change: float


@in_any_order
def plus(total: float, term: float) -> float:
    """Return a sum with one term more."""
    return total + term


@in_any_order
def plus_product(total: float, left: float, right: float) -> float:
    """Return a sum with one product more."""
    return total + left * right


@kernel
def sums(series: Floats) -> Sums:
    """Sum a series of at least two values; the change, not the next level, so that a unit root eats no digits."""
    n, origin = len(series), series[0]
    away = 0.0
    for start in range(0, n, BLOCK):
        away += distance(series[start : start + BLOCK], origin)
    mean = origin + away / n
    level = cross = change = 0.0
    for start in range(0, n - 1, BLOCK):
        stop = min(start + BLOCK, n - 1)
        more = products(series[start:stop], series[start + 1 : stop + 1], mean)
        level += more[0]
        cross += more[1]
        change += more[2]
    return Sums(n, mean, origin - mean, series[n - 1] - mean, level, cross, change)


@kernel
def distance(part: Floats, origin: float) -> float:
    """Return the sum of a block, counted from `origin`."""
    total = 0.0
    for row in range(len(part)):
        total = plus(total, part[row] - origin)
    return total


@kernel
def products(before: Floats, after: Floats, mean: float) -> tuple[float, float, float]:
    """Return the sums of a block: levels squared, levels times changes, changes squared."""
    level = cross = change = 0.0
    for row in range(len(before)):
        deviation, step = before[row] - mean, after[row] - before[row]
        level = plus_product(level, deviation, deviation)
        cross = plus_product(cross, deviation, step)
        change = plus_product(change, step, step)
    return level, cross, change


@kernel
def regress(sums: Sums) -> tuple[float, float]:
    """Return the AR(1) coefficient and its standard error, NaN where nothing but rounding is left over."""
    steps = sums.n - 1
    level = sums.level - sums.last * sums.last / steps
    cross = sums.cross + sums.last * (sums.last - sums.first) / steps
    change = sums.change - (sums.last - sums.first) ** 2 / steps
    if not level > 0.0:
        return np.nan, np.nan
    slope = cross / level
    rest = change - slope * cross
    noise = ROUNDING * (abs(sums.mean) + np.sqrt(level / steps))
    if not rest > steps * noise * noise:
        return 1.0 + slope, np.nan
    return 1.0 + slope, np.sqrt(rest / ((steps - 2) * level))


@kernel
def estimate(series: Floats, nodes: Floats, rows: Floats) -> tuple[float, float, float, float, float]:
    """Return coefficient, standard error and what `invert` makes of them, in one crossing from Python."""
    phi, stderr = regress(sums(series))
    return phi, stderr, *invert(phi, stderr, len(series) - 1, nodes, rows)


@kernel
def invert(phi: float, stderr: float, n: int, nodes: Floats, rows: Floats) -> tuple[float, float, float]:
    """Return for each of three rows of quantiles the true coefficient, 0 to 1, of which the estimate is that quantile.

    Args:
        phi: the estimate.
        stderr: of the estimate.
        n: the steps it was estimated from.
        nodes: s = 1 / sqrt(1 + c) from 1 (a unit root) down to 0, where c = n * (1 - true**2) / 2.
        rows: quantiles of the t statistic (phi - true) / stderr at these nodes, straight between them.

    Returns:
        1 where no coefficient below it fits.
    """
    return (
        _invert(phi, stderr, n, nodes, rows[0]),
        _invert(phi, stderr, n, nodes, rows[1]),
        _invert(phi, stderr, n, nodes, rows[2]),
    )


@kernel
def _invert(phi: float, stderr: float, n: int, nodes: Floats, quantiles: Floats) -> float:
    if phi - 1.0 - stderr * quantiles[0] >= 0.0:
        return 1.0
    place = 1
    while place < len(nodes) - 1 and phi - _coefficient(nodes[place], n) - stderr * quantiles[place] < 0.0:
        place += 1
    slope = (quantiles[place] - quantiles[place - 1]) / (nodes[place] - nodes[place - 1])
    high, low = nodes[place - 1], nodes[place]
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        quantile = quantiles[place] + slope * (middle - nodes[place])
        if phi - _coefficient(middle, n) - stderr * quantile < 0.0:
            high = middle
        else:
            low = middle
    return _coefficient(0.5 * (low + high), n)


@kernel
def _coefficient(node: float, n: int) -> float:
    """Return the coefficient at a node; 0 where the sample is too short for the node to have one."""
    square = node * node
    rest = square * n - 2.0 * (1.0 - square)
    return np.sqrt(rest / (square * n)) if rest > 0.0 else 0.0
