"""Moments of every window of a series, or of two, without the drift of sums that add and take away.

The series is cut into blocks as long as the window. Every window that ends inside a block holds the block's first
value, the anchor. Its sums are those of a run backwards from the anchor and of a run forwards from it: nothing is ever
subtracted from a sum, so that nothing is left behind by a spike or a missing value once they are out of the window.

Values are counted from the anchor. As the anchor is one of the window's own values, its distance from the mean is at
most the root of the sum of squares about the mean: that sum loses at most a factor of (window + 1) in precision however
large the values are, and it is exactly zero where a window is constant.
"""

import numpy as np

from market import Floats
from pairscope.kernels import kernel

ROUNDING = 8.9e-16
"""Four times the distance from 1 to the next number: a deviation that is no larger, as a share of the values, is how
they are rounded and not how they move."""

FITTED, PROPORTIONAL, GIVEN = 0, 1, 2
"""Where a window's line comes from: least squares with an intercept, without one, or the caller."""


@kernel
def log_returns(prices: Floats) -> Floats:
    """Return the log return of each row, in one walk; NaN in the first, and next to a price that is not positive."""
    result = np.full(len(prices), np.nan)
    for t in range(1, len(prices)):
        before, now = prices[t - 1], prices[t]
        if 0.0 < before < np.inf and 0.0 < now < np.inf:
            step = (now - before) / before
            if -1.0 < step < np.inf:
                result[t] = np.log1p(step)
    return result


@kernel
def moments(series: Floats, window: int) -> Floats:
    """Return rows of mean, standard deviation (ddof 1) and z-score of each window by its end.

    A window with a value that is not finite has NaN; a constant one has a deviation of 0 and no z-score.
    """
    n = len(series)
    result = np.full((3, n), np.nan)
    first, second = np.zeros(window), np.zeros(window)
    share, freedom = 1.0 / window, 1.0 / (window - 1)
    for block in range(window - 1, n, window):
        anchor = series[block]
        if not np.isfinite(anchor):
            continue
        floor = ROUNDING * abs(anchor)
        total = squares = 0.0
        for back in range(1, window):
            step = series[block - back] - anchor
            total += step
            squares += step * step
            first[back], second[back] = total, squares
        total = squares = 0.0
        for ahead in range(min(window, n - block)):
            t = block + ahead
            step = series[t] - anchor
            total += step
            squares += step * step
            mean = (total + first[window - 1 - ahead]) * share
            variance = (squares + second[window - 1 - ahead] - mean * mean * window) * freedom
            if variance < np.inf:
                deviation = np.sqrt(max(variance, 0.0))
                result[0, t] = anchor + mean
                result[1, t] = deviation
                if deviation > floor:
                    result[2, t] = (step - mean) / deviation
    return result


@kernel
def run(y: Floats, x: Floats, sums: Floats) -> None:
    """Fill the columns with the sums so far of y, x, yy, xy and xx, counted from the first row."""
    anchor_y, anchor_x = y[0], x[0]
    to_y, to_x, to_yy, to_xy, to_xx = sums[0], sums[1], sums[2], sums[3], sums[4]
    sum_y = sum_x = yy = xy = xx = 0.0
    for row in range(len(y)):
        step_y, step_x = y[row] - anchor_y, x[row] - anchor_x
        sum_y += step_y
        sum_x += step_x
        yy += step_y * step_y
        xy += step_x * step_y
        xx += step_x * step_x
        to_y[row], to_x[row], to_yy[row], to_xy[row], to_xx[row] = sum_y, sum_x, yy, xy, xx


@kernel
def pair_moments(y: Floats, x: Floats, window: int) -> Floats:
    """Return rows of both means and the sums of yy, xy and xx about them, of each window by its end.

    Not all of them are finite where a value of the window is not; a constant window has sums of exactly zero.
    """
    n = len(y)
    result = np.full((5, n), np.nan)
    before, since, share = np.empty((5, window)), np.empty((5, window)), 1.0 / window
    for block in range(window - 1, n, window):
        past, now = slice(block - window + 1, block + 1), slice(block, block + window)
        run(y[past][::-1], x[past][::-1], before[:, ::-1])
        run(y[now], x[now], since)
        sums = result[:, now]
        sums[:] = before[:, : sums.shape[1]] + since[:, : sums.shape[1]]
        for ahead in range(sums.shape[1]):
            sum_y, sum_x = sums[0, ahead], sums[1, ahead]
            sums[0, ahead], sums[1, ahead] = y[block] + sum_y * share, x[block] + sum_x * share
            sums[2, ahead] -= sum_y * sum_y * share
            sums[3, ahead] -= sum_x * sum_y * share
            sums[4, ahead] -= sum_x * sum_x * share
    return result


@kernel
def correlations_of(before: Floats, since: Floats, floor_y: float, floor_x: float, result: Floats) -> None:
    """Fill in the correlations of the windows that hold an anchor, from the runs to and from it.

    Rows are taken out of both first, and there is one result only: so the loop becomes vector instructions.
    """
    share = 1.0 / before.shape[1]
    y, x, yy, xy, xx = before[0], before[1], before[2], before[3], before[4]
    more_y, more_x, more_yy, more_xy, more_xx = since[0], since[1], since[2], since[3], since[4]
    for ahead in range(len(result)):
        sum_y, sum_x = y[ahead] + more_y[ahead], x[ahead] + more_x[ahead]
        square_y = yy[ahead] + more_yy[ahead] - sum_y * sum_y * share
        square_x = xx[ahead] + more_xx[ahead] - sum_x * sum_x * share
        product = xy[ahead] + more_xy[ahead] - sum_x * sum_y * share
        found = max(-1.0, min(1.0, product / np.sqrt(square_y * square_x)))
        result[ahead] = found if (square_y > floor_y) & (square_x > floor_x) else np.nan


@kernel
def correlations(y: Floats, x: Floats, window: int, least: float) -> Floats:
    """Return the correlation of each window by its end; NaN where a deviation is not above rounding, or `least`."""
    n = len(y)
    result = np.full(n, np.nan)
    before, since = np.empty((5, window)), np.empty((5, window))
    for block in range(window - 1, n, window):
        if not np.isfinite(y[block] + x[block]):
            continue
        floor_y = (window - 1) * max(ROUNDING * y[block], least) ** 2
        floor_x = (window - 1) * max(ROUNDING * x[block], least) ** 2
        past, now = slice(block - window + 1, block + 1), slice(block, block + window)
        run(y[past][::-1], x[past][::-1], before[:, ::-1])
        run(y[now], x[now], since)
        correlations_of(before, since, floor_y, floor_x, result[now])
    return result


@kernel
def sums_before(before: Floats, y: Floats, x: Floats, block: int, slope: float) -> None:
    """Fill row k with the sums over the k rows before the anchor of x, u, x x, x u and u u, where u = y - slope x."""
    sum_x = sum_u = xx = xu = uu = 0.0
    for back in range(1, len(before)):
        step_x = x[block - back] - x[block]
        step_u = (y[block - back] - y[block]) - slope * step_x
        sum_x += step_x
        sum_u += step_u
        xx += step_x * step_x
        xu += step_x * step_u
        uu += step_u * step_u
        before[back, 0], before[back, 1] = sum_x, sum_u
        before[back, 2], before[back, 3], before[back, 4] = xx, xu, uu


@kernel
def slope_around(y: Floats, x: Floats, low: int, block: int) -> float:
    """Return the slope of the line through the anchor that is nearest to the finite rows before it.

    Rows behind it would serve as well, but then the last digit of a result would hang on the future.
    """
    xx = xy = 0.0
    for t in range(low, block):
        step_x, step_y = x[t] - x[block], y[t] - y[block]
        if np.isfinite(step_x * step_y):
            xx += step_x * step_x
            xy += step_x * step_y
    return xy / xx if xx > 0.0 else 0.0


@kernel
def line_of_window(
    sums: Floats, window: int, anchor_y: float, anchor_x: float, slope: float, line: int, beta: float
) -> tuple[float, float, float, float]:
    """Return the line's tilt against `slope`, its level at the anchor, its squared residuals about their mean, and R².

    Args:
        sums: over the window of x, u, x x, x u and u u, counted from the anchor, where u = y - slope x.
        beta: the line's own slope where `line` is GIVEN.
    """
    mean_x, mean_u = sums[0] / window, sums[1] / window
    xx, xu = sums[2] - sums[0] * mean_x, sums[3] - sums[0] * mean_u
    uu = max(sums[4] - sums[1] * mean_u, 0.0)
    about, explained_by_mean = 0.0, 0.0
    if line == GIVEN:
        tilt = beta - slope
    elif line == FITTED:
        flat = xx <= (window - 1) * (ROUNDING * anchor_x) ** 2
        tilt = np.nan if flat else xu / xx
    else:
        whole_x, whole_u = anchor_x + mean_x, (anchor_y - slope * anchor_x) + mean_u
        tilt = (xu + window * whole_x * whole_u) / (xx + window * whole_x * whole_x)
        about = window * (whole_u - tilt * whole_x) ** 2
        explained_by_mean = window * (anchor_y + mean_u + slope * mean_x) ** 2
    rest = max(uu - tilt * (2.0 * xu - tilt * xx), 0.0) if np.isfinite(tilt) else np.nan
    whole = uu + slope * (2.0 * xu + slope * xx) + explained_by_mean
    share = 1.0 - (rest + about) / whole if whole > 0.0 else np.nan
    return tilt, mean_u - tilt * mean_x, rest, share


@kernel
def lines(y: Floats, x: Floats, window: int, line: int, alpha: Floats, beta: Floats) -> Floats:
    """Return rows of alpha, beta, spread, mean, standard deviation, z-score and R² of each window by its end.

    The residuals of a window are all taken under the line of its end. They are measured from a line near the block's
    own, so that their squares keep their digits when the legs are nearly the same.

    Args:
        alpha: by row, where `line` is GIVEN; otherwise of any length.
        beta: the same.
    """
    n = len(y)
    result = np.full((7, n), np.nan)
    before, sums, past = np.zeros((window, 5)), np.zeros(5), np.zeros(5)
    for block in range(window - 1, n, window):
        if not np.isfinite(y[block] + x[block]):
            continue
        high = min(n, block + window)
        slope = slope_around(y, x, block - window + 1, block)
        sums_before(before, y, x, block, slope)
        past[:] = 0.0
        for t in range(block, high):
            step_x = x[t] - x[block]
            step_u = (y[t] - y[block]) - slope * step_x
            past[0] += step_x
            past[1] += step_u
            past[2] += step_x * step_x
            past[3] += step_x * step_u
            past[4] += step_u * step_u
            for k in range(5):
                sums[k] = past[k] + before[window - 1 - (t - block), k]
            given = beta[t] if line == GIVEN else 0.0
            tilt, level, rest, share = line_of_window(sums, window, y[block], x[block], slope, line, given)
            if not np.isfinite(rest):
                continue
            row, last = result[:, t], slope + tilt
            height = (y[block] - last * x[block]) + level
            row[0] = height if line == FITTED else (alpha[t] if line == GIVEN else 0.0)
            row[1] = last
            row[3] = 0.0 if line == FITTED else height - row[0]
            away = step_u - level - tilt * step_x
            row[2] = row[3] + away
            row[4] = np.sqrt(rest / (window - 1))
            if row[4] > ROUNDING * (abs(y[t]) + abs(last * x[t])):
                row[5] = away / row[4]
            row[6] = share
    return result
