"""The Kalman filter of a line whose intercept and slope wander: y = alpha + beta x + e.

Inside, the line is held by its slope and its height at the first x, above the first y: the same filter as one of alpha
and beta, but prices of 1e8 cost it no digits. All variances are in units of that of e, so that neither the estimates
nor the gain need it. The covariance is brought forward in Joseph's form, a sum of squares, and
stays one.
"""

import math
from typing import NamedTuple

import numpy as np

from market import Floats
from pairscope.kernels import kernel

LEARN = 20
"""Innovations that must have been seen before their size is taken for known."""

ROUNDING = 8.9e-16
"""Four times the distance from 1 to the next number: an innovation that deviates less, as a share of y, is rounding."""


FULL = 1e100
"""Variances are multiplied up to here before a logarithm is taken: one for many rows."""


class Noise(NamedTuple):
    """How much the line wanders in a row, against e; with `relative` a beta times the root mean square of x does.

    `obs_var` is the variance of e, or NaN where it is learnt from the innovations. `diffuse` starts by knowing nothing,
    otherwise alpha and beta start at 0 for certain.
    """

    wander: float
    obs_var: float
    relative: bool
    intercept: bool
    diffuse: bool


class Line(NamedTuple):
    """Height and slope, with their covariance in units of the variance of e."""

    height: float
    slope: float
    height_var: float
    covariance: float
    slope_var: float


class State(NamedTuple):
    """All that the next row needs: rows used, x and y at the first one, the sum of squares of x, and the line.

    `unknown` counts what the data have not yet told of the two; `learnt` innovations have the mean square `size`, and
    the logarithms of their variances the sum ``spread + log(product)``, all in units of e's.
    """

    rows: int
    origin: float
    base: float
    squares: float
    line: Line
    unknown: int
    learnt: int
    size: float
    spread: float
    product: float


START = State(0, 0.0, 0.0, 0.0, Line(0.0, 0.0, 0.0, 0.0, 0.0), 0, 0, 0.0, 0.0, 1.0)
"""Nothing seen; alpha and beta are 0 for certain, unless the noise says that they are unknown."""


@kernel
def joseph(p: float, c: float, s: float, x: float, gain: float, lift: float) -> tuple[float, float, float]:
    """Return (I - k h') P (I - k h')' + k k' for P = [p c; c s], h = (1, x), k = (gain, lift)."""
    keep, loss, take, stay = 1.0 - gain, -gain * x, -lift, 1.0 - lift * x
    top_left, top_right = keep * p + loss * c, keep * c + loss * s
    low_left, low_right = take * p + stay * c, take * c + stay * s
    return (
        max(top_left * keep + top_right * loss + gain * gain, 0.0),
        top_left * take + top_right * stay + gain * lift,
        max(low_left * take + low_right * stay + lift * lift, 0.0),
    )


@kernel
def begun(line: Line, rise: float, away: float, unknown: int) -> tuple[Line, int]:
    """Take one of the first rows, which are used up by finding the line and foresee nothing; say what is still unknown.

    The gain is that of a variance without bound, in the limit.
    """
    if unknown == 2:
        return Line(rise, 0.0, 1.0, 0.0, 0.0), 1
    share = 1.0 / (line.height_var + 1.0)
    gain, lift = line.height_var * share, line.covariance * share
    if away != 0.0:
        gain, lift = 0.0, 1.0 / away
    innovation = rise - line.height
    p, c, s = joseph(line.height_var, line.covariance, line.slope_var, away, gain, lift)
    return Line(line.height + gain * innovation, line.slope + lift * innovation, p, c, s), 0 if away != 0.0 else 1


@kernel
def score(innovation: float, deviation: float, level: float, learnt: int) -> float:
    """Return the innovation in deviations, NaN where few are seen or it is the rounding of `level`."""
    return innovation / deviation if learnt > LEARN and deviation > ROUNDING * level else np.nan


@kernel
def walk(y: Floats, x: Floats, noise: Noise, state: State) -> tuple[Floats, State]:
    """Go on from `state`: return what every row says, and the last state.

    The rows of the result are alpha, beta, their standard errors, innovation, its variance and z-score; NaN where they
    are not known. A row with a missing value only lets the line wander. All stays in one loop: to hand the state to a
    function and back at every row would take as long as the filter itself.
    """
    rows, origin, base, squares, line, unknown, learnt, size, spread, product = state
    height, slope, p, c, s = line
    learns, floor = math.isnan(noise.obs_var), noise.wander if noise.intercept else 0.0
    result = np.full((7, len(y)), np.nan)
    for t in range(len(y)):
        good = math.isfinite(y[t] + x[t])
        if good:
            rows += 1
            squares += x[t] * x[t]
        if rows > 1 or (rows == 1 and not good):
            wander = noise.wander * (rows / squares) if noise.relative and squares > 0.0 else noise.wander
            p, c, s = p + (floor + origin * origin * wander), c + origin * wander, s + wander
        if not good:
            continue
        if rows == 1 and noise.intercept:
            origin = x[t]
        if rows == 1 and noise.diffuse:
            base, unknown = (y[t], 2) if noise.intercept else (0.0, 1)
        away, rise = x[t] - origin, y[t] - base
        if unknown > 0:
            away = away if abs(away) > ROUNDING * abs(x[t]) else 0.0
            line, unknown = begun(Line(height, slope, p, c, s), rise, away, unknown)
            height, slope, p, c, s = line
            continue
        innovation = (rise - height) - slope * away
        left, right = p + away * c, c + away * s
        variance = max(left + away * right, 0.0) + 1.0
        share = 1.0 / variance
        gain, lift = left * share, right * share
        height += gain * innovation
        slope += lift * innovation
        p, c, s = joseph(p, c, s, away, gain, lift)
        foreseen = variance * (size if learns else noise.obs_var)
        learnt += 1
        size += (innovation * innovation * share - size) / learnt
        product *= variance
        if product > FULL:
            spread, product = spread + math.log(product), 1.0
        if not noise.diffuse or learnt > LEARN:
            known = size if learns else noise.obs_var
            alpha_var = p - origin * (2.0 * c - origin * s)
            result[0, t], result[1, t] = (base - slope * origin) + height, slope
            result[2, t], result[3, t] = math.sqrt(max(alpha_var, 0.0) * known), math.sqrt(s * known)
            result[4, t], result[5, t] = innovation, foreseen
            result[6, t] = score(innovation, math.sqrt(foreseen), abs(y[t]) + abs(slope * x[t]), learnt)
    last = Line(height, slope, p, c, s)
    return result, State(rows, origin, base, squares, last, unknown, learnt, size, spread, product)
