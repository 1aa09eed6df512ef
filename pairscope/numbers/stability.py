"""Did the hedge of a pair change within the sample?"""

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from market import Floats
from pairscope.kernels import honesty as kernels
from pairscope.kernels.unitroot import lagged_products
from pairscope.numbers.results import HypothesisTest
from pairscope.numbers.series import Series, index_of, legs, tamed, unbroken_rows, untamed

EDGE: Final = 0.15
"""No change is looked for nearer to an end than this share of the rows; the table below is for it."""

LEAST_ROWS: Final = 100
MOST_LAGS: Final = 16
LEAST_DECAYS: Final = 45.0
"""Estimated; a spread that reverts more rarely wanders so far that it cannot be told from one whose hedge changes."""

TAILS: Final = (0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001)
QUANTILES: Final = (3.42, 4.51, 6.12, 8.27, 10.76, 12.53, 14.13, 16.27, 17.84, 22.04)
"""Of the largest F of 20,000 random walks x of 3,000 rows and independent residuals (Hansen 1992: 12.4 at 5 %)."""

CRITICAL: Final = {"1%": 16.27, "5%": 12.53, "10%": 10.76}

TOO_PERSISTENT: Final = "the spread reverts too rarely in this sample to tell a changed hedge from a wandering spread"
NOTHING_LEFT: Final = "a leg does not vary, or one leg is a multiple of the other: nothing to test"


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaBreak(HypothesisTest):
    """A test of one hedge for the whole sample against two, with a change at an unknown row.

    `position` is the row from which the second hedge fits best, `time` its index label (None without an index);
    `beta_before` and `beta_after` are the hedge ratios on both sides of it, by least squares.
    """

    position: int | None = None
    time: Any = None
    beta_before: float = math.nan
    beta_after: float = math.nan


def beta_break(y: Series, x: Series) -> BetaBreak:
    """Test whether intercept and hedge ratio are the same over the whole sample, where the spread remembers itself.

    The largest F statistic of a change at any row of the middle 70 %, in a regression whose residuals are independent:
    both legs are filtered by the autoregression (order by AIC) of what the best two lines leave over, and freed of the
    moves of x at the same moment, which may feed back into y. Where the spread reverts c times the statistic is too
    large by ``1 + 560 * c**-1.5``, found by simulation, and is divided by it.

    Args:
        y: prices or log prices in time order.
        x: row by row at the same times.

    Returns:
        NaN where the spread reverts too rarely (about 17 half-lives in the sample) for the test to keep its level.

    References: Hansen 1992 (sup F of cointegrated series); Andrews 1993; Phillips and Park 1988 (filtering).
    """
    words: dict[str, Any] = {
        "name": "beta break",
        "null": "the hedge is the same over the whole sample",
        "alternative": "the hedge changed within the sample",
    }
    first, second = legs(y, x)
    rows, reason = unbroken_rows(first, second)
    (first, up), (second, across) = tamed(first[rows]), tamed(second[rows])
    n = len(first)
    if not reason and n < LEAST_ROWS:
        reason = f"{n} rows; the test needs {LEAST_ROWS}"
    found = _NOT_FOUND if reason else _search(_scaled(first), _scaled(second), _rounding(first) + _rounding(second))
    reason = reason or found.reason
    if reason:
        return BetaBreak(**words, lags=found.lags, n=n, reason=reason)
    row = rows.start + found.row
    indexed = isinstance(y, pd.Series) or isinstance(x, pd.Series)
    return BetaBreak(
        **words,
        statistic=found.statistic,
        pvalue=_pvalue(found.statistic),
        critical_values=dict(CRITICAL),
        lags=found.lags,
        n=n,
        position=row,
        time=index_of(y, x)[row] if indexed else None,
        beta_before=untamed(kernels.slope(first[: found.row], second[: found.row]), across - up),
        beta_after=untamed(kernels.slope(first[found.row :], second[found.row :]), across - up),
    )


class _Found(NamedTuple):
    statistic: float = math.nan
    row: int = 0
    lags: int = 0
    reason: str = ""


_NOT_FOUND: Final = _Found()


def _scaled(leg: Floats) -> Floats:
    centred: Floats = leg - leg.mean()
    largest = float(np.abs(centred).max())
    if largest > 1e-14 * float(np.abs(leg).max()):
        centred /= largest
    else:
        centred[:] = 0.0
    return centred


def _rounding(leg: Floats) -> float:
    """Return how far a value of the scaled leg may be off because its price was rounded."""
    size, width = float(np.abs(leg).max()), float(np.ptp(leg))
    return 4 * float(np.finfo(np.float64).eps) * size / width if width > 0 else 0.0


def _search(y: Floats, x: Floats, rounding: float) -> _Found:
    """Find the change twice: roughly, to learn how the spread remembers itself; then free of that memory.

    Args:
        y: scaled to a size of about 1.
        x: scaled to a size of about 1.
        rounding: residuals of this size are no spread.
    """
    n = len(y)
    rough = kernels.best_split(y, x, int(EDGE * n)).position
    left = np.concatenate([kernels.left_over(y[:rough], x[:rough]), kernels.left_over(y[rough:], x[rough:])])
    products = lagged_products(left[None], left, 0, MOST_LAGS)[0]
    if products[0] <= n * rounding**2:
        return _Found(reason=NOTHING_LEFT)
    memory = _autoregression(products, n)
    lags, decays = len(memory), n * (1 - _persistence(products, n))
    if decays < LEAST_DECAYS:
        return _Found(lags=lags, reason=TOO_PERSISTENT)
    moves = np.diff(x)[lags - 1 :]
    clean_y, clean_x = (kernels.left_over(_filtered(leg, memory), moves) for leg in (y, x))
    split = kernels.best_split(clean_y, clean_x, int(EDGE * len(clean_y)))
    largest = (split.one - split.two) / split.two * (len(clean_y) - lags - 5)
    return _Found(largest / (1 + 560 * decays**-1.5), split.position + lags, lags)


def _persistence(products: Floats, n: int) -> float:
    """Return how much of the spread is left after a bar: lag two over lag one, which noise in the prices leaves alone.

    0 where lag one is no more than chance.
    """
    if products[1] < 3 / math.sqrt(n) * products[0]:
        return 0.0
    return float(np.clip(products[2] / products[1], 0, 1))


def _autoregression(products: Floats, n: int) -> Floats:
    """Return the coefficients of the autoregression whose order has the least AIC, from 1 on (Levinson, 1947).

    Shorter ones (BIC) miss what noise in the prices does to the memory: 8.7 % are then rejected at "5 %", not 5.7.
    """
    coefficients, variance = np.zeros(0), products[0]
    best, least = coefficients, math.inf
    for order in range(1, len(products)):
        latest = (products[order] - coefficients @ products[order - 1 : 0 : -1]) / variance
        coefficients = np.append(coefficients - latest * coefficients[::-1], latest)
        variance *= 1 - latest * latest
        if not variance > 0:
            return coefficients
        criterion = n * math.log(variance) + 2 * order
        if criterion < least:
            best, least = coefficients, criterion
    return best


def _filtered(leg: Floats, memory: Floats) -> Floats:
    rest: Floats = leg[len(memory) :].copy()
    for lag, weight in enumerate(map(float, memory), start=1):
        rest -= weight * leg[len(memory) - lag : len(leg) - lag]
    return rest


def _pvalue(statistic: float) -> float:
    """Interpolate the logarithm of p; beyond the table it goes on falling as at the end of it."""
    if statistic <= QUANTILES[-1]:
        logs = np.interp(statistic, (0.0, *QUANTILES), np.log((1.0, *TAILS)))
        return math.exp(float(logs))
    pace = math.log(TAILS[-2] / TAILS[-1]) / (QUANTILES[-1] - QUANTILES[-2])
    return TAILS[-1] * math.exp(-pace * (statistic - QUANTILES[-1]))
