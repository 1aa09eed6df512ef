"""The regression behind every Dickey-Fuller test, without ever building its matrix.

The change of a series is explained by a trend, the level before, and the changes before that:

    d[t] = trend + gamma * level[t] + sum of phi[j] * d[t - j] + e[t]

All that least squares needs are the cross-products of these columns. Those with lag j are lagged dot products; those
of lag i with lag j follow from lag i-1 with lag j-1 by one product more at the head and one less at the tail. One
Cholesky factor then holds the residual sum of squares of *every* number of lags: in nested regressions the last row of
the factor is what each further column explains. Cost: n * lags + lags**3, where a regression for each number of lags
costs n * lags**3.
"""

from typing import NamedTuple

import numpy as np

from market import Floats
from pairscope.kernels import kernel

BLOCK = 2048
"""Values that are multiplied with all lags while they are in the nearest cache; sums by block also round less.

It must stay well below 10,000: from there on OpenBLAS splits one dot product among threads, which wait for each other
for 20 ms where the cores are busy.
"""

FIXED, AIC, BIC, T_STAT = 0, 1, 2, 3
"""How the number of lags is chosen."""

SIGNIFICANT = 1.6448536269514722
"""The 95 % quantile of a normal: what the t statistic of the last lag must reach (Ng and Perron, 1995)."""

SURE = 1e-5
"""A squared pivot below this has lost so many digits that the 1e-8 we promise are in doubt."""


class Regression(NamedTuple):
    """The t statistic of the level, the lags, the residual's standard deviation, the weakest pivot (0 to 1)."""

    statistic: float
    lags: int
    deviation: float
    weakest: float


@kernel
def product(left: Floats, right: Floats) -> float:
    """Return the sum of ``left * right``, block by block."""
    total = 0.0
    for first in range(0, len(left), BLOCK):
        total += np.dot(left[first : first + BLOCK], right[first : first + BLOCK])
    return total


@kernel
def lagged_products(rows: Floats, steps: Floats, start: int, most: int) -> Floats:
    """Return for each row and each lag from 0 to `most` the sum of ``row[t] * steps[t - lag]``.

    It is taken over t from `start`, or from the lag where that is later, to the end.
    """
    n = len(steps)
    sums = np.zeros((rows.shape[0], most + 1))
    for first in range(start, n, BLOCK):
        last = min(first + BLOCK, n)
        for row in range(rows.shape[0]):
            for lag in range(most + 1):
                low = max(first, lag)
                if low < last:
                    sums[row, lag] += np.dot(rows[row, low:last], steps[low - lag : last - lag])
    return sums


@kernel
def regression_rows(series: Floats, order: int) -> Floats:
    """Return the columns of the regression as rows: `order` powers of time, the level, the change.

    With a constant nothing in the regression changes when a polynomial of the trend's degree is taken off the level or
    off the changes (a lagged polynomial is one, too). Taking off the fitted one keeps a price level of 1e8, or a steep
    trend, from eating the digits.
    """
    n = len(series) - 1
    rows = np.empty((order + 2, n))
    origin = series[0] if order > 0 else 0.0
    for t in range(n):
        power = 1.0
        for row in range(order):
            rows[row, t] = power
            power *= (2 * t - n + 1) / n
        rows[order, t] = series[t] - origin
        rows[order + 1, t] = series[t + 1] - series[t]
    for row in range(1, order + 2):
        for trend in range(min(row, order)):
            share = product(rows[trend], rows[row]) / product(rows[trend], rows[trend])
            for t in range(n):
                rows[row, t] -= share * rows[trend, t]
    return rows


@kernel
def cross_products(rows: Floats, order: int, lags: int) -> Floats:
    """Return the lower triangle of all cross-products of trend, level, lag 1 to `lags`, change; t from `lags` on."""
    n, steps, last = rows.shape[1], rows[order + 1], order + 1 + lags
    lagged = lagged_products(rows, steps, lags, lags)
    products = np.zeros((last + 1, last + 1))
    for row in range(order + 1):
        for other in range(row + 1):
            products[row, other] = product(rows[row, lags:], rows[other, lags:])
        for lag in range(1, lags + 1):
            products[order + lag, row] = lagged[row, lag]
        products[last, row] = lagged[row, 0]
    products[last, last] = lagged[order + 1, 0]
    for i in range(1, lags + 1):
        products[last, order + i] = lagged[order + 1, i]
        for j in range(1, i + 1):
            before = lagged[order + 1, i - 1] if j == 1 else products[order + i - 1, order + j - 1]
            head, tail = steps[lags - i] * steps[lags - j], steps[n - i] * steps[n - j]
            products[order + i, order + j] = before + head - tail
    return products


@kernel
def factorise(products: Floats, order: int) -> tuple[Floats, float]:
    """Scale to a diagonal of ones and factor (Cholesky); the smallest squared pivot tells how far to trust it.

    A lag's own sum of squares that has shrunk along the diagonal was left over from larger ones, so it counts too.
    """
    size = len(products)
    factor = np.zeros((size, size))
    scale = np.empty(size)
    weakest = 1.0
    for i in range(size):
        scale[i] = np.sqrt(products[i, i])
        if not scale[i] > 0.0:
            return factor, 0.0
        if order < i < size - 1:
            weakest = min(weakest, products[i, i] / products[size - 1, size - 1])
        for j in range(i + 1):
            total = products[i, j] / (scale[i] * scale[j])
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if j < i:
                factor[i, j] = total / factor[j, j]
        if not total > 0.0:
            return factor, 0.0
        weakest = min(weakest, total)
        factor[i, i] = np.sqrt(total)
    return factor, weakest


@kernel
def choose_lags(explained: Floats, order: int, n: int, rule: int) -> int:
    """Return the number of lags that `rule` chooses, from the last row of the factor of the longest regression.

    Args:
        explained: what each column adds to the fit, the root of the rest at the end.
        n: the rows of the regression, the same for each number of lags so that they compare.
    """
    most = len(explained) - order - 2
    rest = explained[-1] ** 2
    best, lowest = 0, np.inf
    for lags in range(most, -1, -1):
        columns, last = order + 1 + lags, explained[order + lags]
        if rule == T_STAT:
            if abs(last) >= SIGNIFICANT * np.sqrt(rest / (n - columns)):
                return int(lags)
        else:
            criterion = n * np.log(rest) + columns * (2.0 if rule == AIC else np.log(n))
            if criterion <= lowest:
                best, lowest = lags, criterion
        rest += last**2
    return best


@kernel
def level_statistic(factor: Floats, order: int, n: int) -> float:
    """Return the t statistic of the level's coefficient from the factor of its regression of `n` rows."""
    columns = len(factor) - 1
    unit = np.zeros(columns)
    unit[order] = 1.0 / factor[order, order]
    for i in range(order + 1, columns):
        unit[i] = -np.dot(factor[i, order:i], unit[order:i]) / factor[i, i]
    error = abs(factor[columns, columns]) / np.sqrt(n - columns)
    return float(np.dot(unit, factor[columns, :columns]) / (error * np.sqrt(np.dot(unit, unit))))


@kernel
def dickey_fuller(series: Floats, order: int, most: int, rule: int) -> Regression:
    """Choose the lags and return the t statistic of the level; NaN where a pivot is below SURE.

    Args:
        series: finite values in time order.
        order: how many powers of time the regression holds: 0 none, 1 a constant, 2 a line, 3 a parabola.
        most: the largest number of lags, or the number where `rule` is FIXED.
    """
    rows = regression_rows(series, order)
    n, lags = rows.shape[1], most
    products = cross_products(rows, order, most)
    factor, weakest = factorise(products, order)
    if rule != FIXED and weakest > SURE:
        lags = choose_lags(factor[-1], order, n - most, rule)
        if lags < most:
            products = cross_products(rows, order, lags)
            factor, second = factorise(products, order)
            weakest = min(weakest, second)
    if not weakest > SURE:
        return Regression(np.nan, lags, np.nan, weakest)
    deviation = factor[-1, -1] * np.sqrt(products[-1, -1] / (n - lags))
    return Regression(level_statistic(factor, order, n - lags), lags, deviation, weakest)
