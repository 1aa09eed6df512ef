"""Hedge ratios: how much of x offsets one unit of y, fitted four ways, over a whole sample or a moving window.

Regression: `y = alpha + beta x + e`. The value at a time of a rolling hedge uses the rows up to that time only.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from market import Floats
from pairscope.kernels import hedge as kernels
from pairscope.kernels.rolling import pair_moments
from pairscope.numbers import series
from pairscope.numbers.hedge_error import quantile, reason_of
from pairscope.numbers.statistics import share

HedgeMethod = Literal["ols", "huber", "theil_sen", "tls"]
METHODS: tuple[str, ...] = get_args(HedgeMethod)

ROUNDING = 64.0 * float(np.finfo(np.float64).eps)
"""Residuals smaller than this share of the legs are rounding, not spread: that of the legs, and that of long sums."""

THE_SAME = "one leg is the other, up to rounding"


@dataclass(frozen=True, slots=True)
class HedgeRatio:
    """A fitted `y = alpha + beta x`; `reason` says why numbers are NaN, and is empty when none is.

    `stderr`, `low` and `high` allow for residuals that remember (see `hedge_error`); `classical_stderr` does not. The
    first three are NaN without a reason where no interval was asked for.
    `r2` is the share of the variance of y that the line explains, about zero without an intercept. `residual_std` is
    in units of y (of log y with `log`). `n` is the rows used.
    """

    method: str
    alpha: float = math.nan
    beta: float = math.nan
    stderr: float = math.nan
    classical_stderr: float = math.nan
    low: float = math.nan
    high: float = math.nan
    r2: float = math.nan
    n: int = 0
    residual_std: float = math.nan
    log: bool = False
    intercept: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RollingHedge:
    """Past-only hedge ratios: `frame` has `alpha`, `beta`, `r2` at each time, of the `window` rows that end there."""

    window: int
    method: str
    log: bool
    intercept: bool
    frame: pd.DataFrame


class Moments(NamedTuple):
    """Means (zero without an intercept), and sums of products about them; numbers, or arrays over time."""

    mean_y: float
    mean_x: float
    yy: float
    xy: float
    xx: float


def hedge_ratio(
    y: series.Series,
    x: series.Series,
    *,
    method: HedgeMethod = "ols",
    log: bool = False,
    intercept: bool = True,
    confidence: float | None = 0.95,
) -> HedgeRatio:
    """Fit `y = alpha + beta x` over the whole sample (it uses all of it, so it is no signal for the past).

    Args:
        y, x: prices in time order; rows in which one is missing are left out.
        method: `ols` least squares (statsmodels' OLS); `huber` least squares that give less weight to outliers
            (statsmodels' RLM with HuberT); `theil_sen` the median slope of all pairs of rows, exactly (SciPy's
            theilslopes; without an intercept the median of y / x); `tls` the line nearest to the points, errors in
            both legs alike, which depends on the units of the legs.
        log: fit the logarithms of the prices.
        intercept: fit alpha; otherwise it is 0.
        confidence: of the interval `low` to `high`; None saves its time, and leaves them and `stderr` NaN.

    Raises:
        WrongUse: for an unknown method, a confidence that is not between 0 and 1, legs that do not match.
    """
    series.choose("hedge method", method, METHODS)
    log, intercept = series.yes_or_no("log", log), series.yes_or_no("intercept", intercept)
    if confidence is not None:
        share("confidence", confidence)
    interval = confidence is not None
    first, second, reason = prepared(y, x, log=log)
    moments, line = measured(first, second, intercept, interval)
    if not math.isfinite(moments.yy + moments.xx):
        first, second = series.finite_pairs(first, second)
        moments, line = measured(first, second, intercept, interval)
    rows = len(first)
    reason = reason or refusal(first, second, moments, intercept=intercept)
    if method != "ols" and not reason:
        line = line_of(FITS[method](first, second, moments, intercept), intercept, interval)
    alpha, beta, squares, (stderr, classical, freedom, rho, outcome) = line
    if reason or not math.isfinite(beta):
        reason = reason or "the legs do not move together: no slope is better than another"
        return HedgeRatio(method, n=rows, log=log, intercept=intercept, reason=reason)
    if squares <= ROUNDING**2 * (moments.yy + rows * (moments.mean_y**2 + (beta * moments.mean_x) ** 2)):
        squares, stderr, classical, reason = 0.0, math.nan, math.nan, THE_SAME
    reach = stderr * quantile(freedom, confidence) if confidence is not None else math.nan
    r2, residual_std = 1.0 - squares / moments.yy, math.sqrt(squares / (rows - 1 - intercept))
    reason = reason or reason_of(outcome, rho, rows)
    numbers = alpha, beta, stderr, classical, beta - reach, beta + reach, r2, rows, residual_std
    return HedgeRatio(method, *numbers, log, intercept, reason)


def rolling_hedge(
    y: series.Series,
    x: series.Series,
    *,
    window: int,
    method: HedgeMethod = "ols",
    log: bool = False,
    intercept: bool = True,
) -> RollingHedge:
    """Fit `y = alpha + beta x` at each time to the `window` rows that end there; nothing later is used.

    NaN before the first full window, and while a missing value is inside the window or a leg does not move in it.
    The options are those of `hedge_ratio`.

    Raises:
        WrongUse: for an unknown method, a window that is not a whole number from 3, legs that do not match.
    """
    series.choose("hedge method", method, METHODS)
    window = series.whole_number("window", window, least=3)
    log, intercept = series.yes_or_no("log", log), series.yes_or_no("intercept", intercept)
    first, second, _ = prepared(y, x, log=log)
    sums = pair_moments(first, second, window)
    dead = ~((sums[2] > 0.0) & (sums[4] > 0.0) & np.isfinite(sums).all(axis=0))
    sums[:, dead] = math.nan
    moments = about_zero(Moments(*sums), window, intercept=intercept)
    if method in LOOPS:
        alpha, beta = LOOPS[method](first, second, sums, window, intercept)
    else:
        beta = moments.xy / moments.xx if method == "ols" else nearest(moments)
        alpha = moments.mean_y - beta * moments.mean_x
    frame = {"alpha": alpha, "beta": beta, "r2": explained(moments, alpha, beta, window)}
    return RollingHedge(window, method, log, intercept, series.varying(frame, series.index_of(y, x)))


def prepared(y: series.Series, x: series.Series, *, log: bool) -> tuple[Floats, Floats, str]:
    """Return both legs, or their logarithms (NaN where there is none, and then why)."""
    first, second = series.legs(y, x)
    if not log:
        return first, second, ""
    bad = int(((first <= 0.0) | (second <= 0.0)).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (np.where(leg > 0.0, np.log(leg), math.nan) for leg in (first, second))
    return (
        first,
        second,
        f"{bad} of {len(first)} rows have a price that is not above 0 and has no logarithm" * (bad > 0),
    )


def measured(y: Floats, x: Floats, intercept: bool, interval: bool) -> tuple[Moments, kernels.Line]:
    """Return the moments of the whole sample, NaN where a value is missing or there is none, and the OLS line.

    One call gives both; what the line costs beyond the moments is nothing beside the other methods.
    """
    moments, line = kernels.least_squares(y, x, intercept, interval)
    return Moments._make(moments), line


def about_zero(moments: Moments, rows: int, *, intercept: bool) -> Moments:
    """Return moments about the means as they are, or without an intercept those about zero."""
    if intercept:
        return moments
    y, x, yy, xy, xx = moments
    return Moments(0.0 * y, 0.0 * x, yy + rows * y * y, xy + rows * x * y, xx + rows * x * x)


def refusal(y: Floats, x: Floats, moments: Moments, *, intercept: bool) -> str:
    """Return why no line can be fitted, or nothing.

    About its mean, a constant leg has squares of exactly zero; about zero it is to be looked for.
    """
    if intercept and len(y) >= 3 and 0.0 < moments.yy < math.inf and 0.0 < moments.xx < math.inf:
        return ""
    if len(y) < 3:
        return f"{len(y)} rows with both legs are too few; a line needs 3"
    if not math.isfinite(moments.yy + moments.xx):
        return "the values are too large to be squared"
    for name, leg, squares in (("y", y, moments.yy), ("x", x, moments.xx)):
        if (squares == 0.0 or not intercept) and leg[0] == leg[1] and leg.min() == leg.max():
            return f"{name} is constant"
        if squares == 0.0:
            return f"the moves of {name} are too small to be squared"
    return ""


def explained(moments: Moments, alpha: Floats, beta: Floats, rows: int) -> Floats:
    """Return the share of the squares of y that a line explains; negative where it is worse than none."""
    offset = alpha - (moments.mean_y - beta * moments.mean_x)
    with np.errstate(over="ignore", invalid="ignore"):
        left = moments.yy - 2.0 * beta * moments.xy + beta * beta * moments.xx + rows * offset * offset
    return 1.0 - np.maximum(left, 0.0) / moments.yy


def nearest(moments: Moments) -> Floats:
    """Return the slope of the line with the least squared distances, measured at right angles; NaN when undefined.

    It is the first principal axis: `(d + sqrt(d^2 + 4 xy^2)) / (2 xy)` with `d = yy - xx` (Pearson 1901).
    """
    gap, twice = moments.yy - moments.xx, 2.0 * np.asarray(moments.xy)
    reach = np.hypot(gap, twice)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(gap > 0.0, (gap + reach) / twice, twice / (reach - gap))
    return np.where(np.isfinite(slope), slope, math.nan)


class Solved(NamedTuple):
    """A line with residuals `e` that solves `sum(w seen) = 0`, `seen` being these as the method sees them.

    `slope` is how fast that sum falls as beta grows.
    """

    alpha: float
    beta: float
    e: Floats
    seen: Floats
    w: Floats
    slope: float


def least_distances(y: Floats, x: Floats, moments: Moments, intercept: bool) -> Solved:
    """Fit by least squared distances; its equation is `sum((x + beta y) e) = 0`."""
    beta = float(nearest(moments))
    rise, run = y - moments.mean_y, x - moments.mean_x
    e = rise - beta * run
    slope = moments.xx - moments.yy + 2.0 * beta * moments.xy
    return Solved(moments.mean_y - beta * moments.mean_x, beta, e, e, run + beta * rise, slope)


def bounded_squares(y: Floats, x: Floats, moments: Moments, intercept: bool) -> Solved:
    """Fit Huber's M-estimate by reweighting; its error follows from the residuals clipped at 1.345 deviations."""
    w, rise = x - moments.mean_x, y - moments.mean_y
    offset, beta, scale = kernels.huber_line(rise, w, moments.xy / moments.xx, intercept)
    e = rise - offset - beta * w
    clipped = np.clip(e, -kernels.HUBER_BEND * scale, kernels.HUBER_BEND * scale)
    slope = float(np.mean(clipped == e)) * moments.xx
    alpha = offset + moments.mean_y - beta * moments.mean_x
    return Solved(alpha, beta, e, clipped, w, slope)


def median_of_slopes(y: Floats, x: Floats, moments: Moments, intercept: bool) -> Solved:
    """Fit by the median of all slopes; its error follows from ranks.

    The median solves `sum(sign(x_i - x_j) sign(e_i - e_j)) = 0`, which in large samples is the sum of the products of
    the centred ranks of x and of e. It falls with beta by twice the density of the difference of two residuals at
    zero, for each unit of `rank x` (Sen 1968, JASA 63). Without an intercept, ranks become signs, the difference of
    two residuals the residual, and x itself takes the place of its ranks' product.
    """
    alpha, beta = kernels.theil_sen_line(y, x, intercept)
    e = y - alpha - beta * x
    ordered = np.sort(e)
    if intercept:
        ranks, w = centred_ranks(e), centred_ranks(x)
        slope = 2.0 * density_of_differences(ordered) * float(np.sum(w * (x - moments.mean_x)))
    else:
        ranks, w = np.sign(e), np.sign(x)
        slope = 2.0 * density_at_zero(ordered) * float(np.abs(x).sum())
    return Solved(alpha, beta, e, ranks, w, slope)


def line_of(solved: Solved, intercept: bool, interval: bool) -> kernels.Line:
    """Return a line with the error of its slope."""
    alpha, beta, e, seen, w, slope = solved
    return alpha, beta, *kernels.score_error(w, e, seen, slope, intercept, interval)


def centred_ranks(values: Floats) -> Floats:
    """Return the share of values below each less the share above it: from -1 to 1, ties in the middle."""
    ordered = np.sort(values)
    both = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return both / len(values) - 1.0


def bandwidth(ordered: Floats) -> float:
    """Return how near two residuals must be to count as equal: a part of the quartile range that falls with n."""
    rows = len(ordered)
    return float(ordered[(3 * rows) // 4] - ordered[rows // 4]) * rows**-0.2 or math.nan


def density_of_differences(ordered: Floats) -> float:
    """Return the density at zero of the difference of two residuals (Koul, Sievers and McKean 1987)."""
    rows, near = len(ordered), bandwidth(ordered)
    pairs = int(np.searchsorted(ordered, ordered + near, "right").sum()) - rows * (rows + 1) // 2
    return pairs / (rows * (rows - 1) * near)


def density_at_zero(ordered: Floats) -> float:
    """Return the density of the residuals at zero."""
    near = bandwidth(ordered)
    ends = np.searchsorted(ordered, (-near / 2, near / 2))
    return float(ends[1] - ends[0]) / (len(ordered) * near)


FITS: dict[str, Callable[[Floats, Floats, Moments, bool], Solved]] = {
    "huber": bounded_squares,
    "theil_sen": median_of_slopes,
    "tls": least_distances,
}

LOOPS: dict[str, Callable[[Floats, Floats, Floats, int, bool], Floats]] = {
    "huber": kernels.rolling_huber,
    "theil_sen": kernels.rolling_theil_sen,
}
