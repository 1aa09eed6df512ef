"""What is left of one leg when the other is taken off: by a hedge, as a ratio, or by the line of each window."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from market import Floats, WrongUse
from pairscope.numbers.rolling import Lines, fitted_lines, given_lines
from pairscope.numbers.series import Series, index_of, legs, values, varying, whole_number, yes_or_no


def levels(y: Floats, x: Floats, *, log: bool) -> tuple[Floats, Floats]:
    """Return the legs as they are, or their natural logarithms; that of a price that is not positive is NaN."""
    return (_logarithm(y), _logarithm(x)) if log else (y, x)


def _logarithm(prices: Floats) -> Floats:
    good = prices > 0
    return np.log(prices if good.all() else np.where(good, prices, math.nan))


def spread(
    y: Series,
    x: Series,
    *,
    hedge: Any = None,
    alpha: Any = 0.0,
    beta: Any = None,
    log: bool = False,
) -> pd.Series:
    """Return ``y - alpha - beta x``, of prices or of their logarithms.

    Args:
        y: prices of the leg that is bought.
        x: prices of the leg that hedges it.
        hedge: a hedge ratio of ours, with its alpha, beta and log; one that varies in time is taken row by row.
        alpha: instead of a hedge, a number or one for each row.
        beta: the same; required where there is no hedge.
        log: take logarithms first; a hedge knows this itself.

    Raises:
        WrongUse: for both a hedge and a beta, or neither, and for rows that do not match.
    """
    first, second = legs(y, x)
    index = index_of(y, x)
    if hedge is not None:
        if beta is not None:
            raise WrongUse("both hedge and beta are given; expected one of them")
        source = getattr(hedge, "frame", None)
        source = hedge if source is None else source
        alpha, beta, log = source.alpha, source.beta, hedge.log
    if beta is None:
        raise WrongUse("neither hedge nor beta is given; expected spread(y, x, hedge=hedge_ratio(y, x)) or beta=1.5")
    left, right = (_by_row(each, index, name) for each, name in ((alpha, "alpha"), (beta, "beta")))
    first, second = levels(first, second, log=yes_or_no("log", log))
    with np.errstate(all="ignore"):
        return pd.Series(first - left - right * second, index=index, name="spread", copy=False)


def _by_row(given: Any, index: pd.Index, name: str) -> Floats:
    """Return alpha or beta as an array as long as `index`."""
    if np.ndim(given) == 0:
        return np.full(len(index), values([given], name=name)[0])
    array = values(given, name=name)
    if len(array) != len(index):
        raise WrongUse(f"{name} has {len(array)} values and the legs have {len(index)}; expected one for each row")
    if isinstance(given, pd.Series) and not given.index.equals(index):
        raise WrongUse(f"{name} is indexed by other times than the legs; expected the same rows")
    return array


def ratio_spread(y: Series, x: Series) -> pd.Series:
    """Return ``y / x``; NaN where x is 0."""
    first, second = legs(y, x)
    with np.errstate(all="ignore"):
        ratio = np.where(second == 0, math.nan, first / second)
    return pd.Series(ratio, index=index_of(y, x), name="ratio", copy=False)


def log_ratio_spread(y: Series, x: Series) -> pd.Series:
    """Return ``ln(y / x)``: the spread of log prices with a beta of 1; NaN where a price is not positive."""
    first, second = levels(*legs(y, x), log=True)
    return pd.Series(first - second, index=index_of(y, x), name="log_ratio", copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class RollingRegression:
    """The line of each window and its residuals, in columns alpha, beta, spread, mean, std, zscore, r2 of `frame`.

    A row takes one window for all of them: alpha and beta of the window that ends there, the spread under them, the
    mean and deviation of that window's own residuals under them. `n` counts the rows that have a z-score.
    """

    frame: pd.DataFrame
    window: int
    log: bool
    n: int
    reason: str = ""


def rolling_zscore_regression(
    y: Series, x: Series, *, window: int, log: bool = False, intercept: bool = True
) -> RollingRegression:
    """Fit ``y = alpha + beta x`` to each window by least squares and score its last residual against its others.

    spread[t] = y[t] - alpha[t] - beta[t] x[t]; z[t] = (spread[t] - mean[t]) / std[t], where mean and std (ddof 1) are
    those of the residuals of rows t - window + 1 to t under alpha[t] and beta[t]. With an intercept the mean is 0.
    """
    log, intercept = yes_or_no("log", log), yes_or_no("intercept", intercept)
    first, second = levels(*legs(y, x), log=log)
    return _regression(fitted_lines(first, second, window, intercept=intercept), index_of(y, x), window, log)


def window_zscore(y: Series, x: Series, alpha: Any, beta: Any, *, window: int, log: bool = False) -> RollingRegression:
    """Score the last residual of each window against the others, under an alpha and beta that some other method gave.

    Args:
        y: prices of one leg.
        x: prices of the other.
        alpha: a number, or one for each row (of a rolling or a Kalman hedge): row t is used for the window ending at t.
        beta: the same.
        window: how many rows.
        log: whether alpha and beta are those of logarithms.
    """
    index = index_of(y, x)
    first, second = levels(*legs(y, x), log=yes_or_no("log", log))
    left, right = _by_row(alpha, index, "alpha"), _by_row(beta, index, "beta")
    return _regression(given_lines(first, second, left, right, window), index, window, log)


def _regression(lines: Lines, index: pd.Index, window: int, log: bool) -> RollingRegression:
    window = whole_number("window", window, least=2)
    n = int(np.count_nonzero(np.isfinite(lines.zscore)))
    reason = "" if n else _shortage(lines, window)
    return RollingRegression(varying(lines._asdict(), index), window, log, n, reason)


def _shortage(lines: Lines, window: int) -> str:
    """Say why no row has a z-score."""
    if len(lines.beta) < window:
        return f"{len(lines.beta)} rows; a window of {window} is never full"
    if np.isfinite(lines.beta).any():
        return "y is a line of x but for rounding: the spread does not move"
    return f"x does not move within {window} rows, or each window of {window} holds a value that is missing"
