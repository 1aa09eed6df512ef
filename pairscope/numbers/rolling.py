"""What a window of the past says about one series, or about two: mean, deviation, z-score, correlation, beta.

The value at t uses the `window` values that end at t, all of them finite, and nothing else: how much history came
before the window changes no digit that counts, so that the tail alone may be computed again when bars are appended.
"""

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd

from market import Floats, WrongUse
from pairscope.kernels import rolling as kernels
from pairscope.numbers.series import Series, choose, index_of, legs, values, varying, whole_number
from pairscope.numbers.statistics import row_returns

Of = Literal["returns", "prices"]
"""What is compared: log returns from row to row, or the values as they are."""

LEAST_RETURN = 1e-15
"""Returns that deviate less are the rounding of prices."""

LEAST_VALUE = 1e-75
"""The product of the sums of squares of two smaller deviations would be too small for a float."""


class Moments(NamedTuple):
    """Mean, standard deviation (ddof 1) and z-score of each window by its end; NaN where the window is not full."""

    mean: Floats
    std: Floats
    zscore: Floats


def rolling_moments(series: Floats, window: int) -> Moments:
    """Return the moments of each window of an array; the z-score of a constant window is NaN."""
    mean, std, score = kernels.moments(series, whole_number("window", window, least=2))
    return Moments(mean, std, score)


def rolling_mean(series: Series, *, window: int) -> pd.Series:
    """Return the mean of the last `window` values."""
    return pd.Series(rolling_moments(values(series), window).mean, index=index_of(series), name="mean", copy=False)


def rolling_std(series: Series, *, window: int) -> pd.Series:
    """Return the standard deviation (ddof 1) of the last `window` values."""
    return pd.Series(rolling_moments(values(series), window).std, index=index_of(series), name="std", copy=False)


def zscore(series: Series, *, window: int) -> pd.Series:
    """Return how many standard deviations (ddof 1) each value is from the mean of the `window` values that end with it.

    z[t] = (s[t] - mean[t]) / std[t]; NaN until the window is full, and where it does not move but for rounding.
    """
    score = rolling_moments(values(series), window).zscore
    return pd.Series(score, index=index_of(series), name="zscore", copy=False)


def rolling_correlation(y: Series, x: Series, *, window: int, of: Of = "returns") -> pd.Series:
    """Return Pearson's correlation of two legs over the last `window` log returns, or values.

    Args:
        y: prices of one leg.
        x: prices of the other.
        window: how many returns, or values; the first result from returns is at row `window`.
        of: levels of prices correlate by chance, because both wander; take them only to show that.
    """
    result = correlation_of(*legs(y, x), window, of=of)
    return pd.Series(result, index=index_of(y, x), name="correlation", copy=False)


def correlation_of(y: Floats, x: Floats, window: int, *, of: Of = "returns") -> Floats:
    """Return the rolling correlation of two arrays of one length."""
    choose("measure of dependence", of, get_args(Of))
    window = whole_number("window", window, least=2)
    if of == "prices":
        return kernels.correlations(y, x, window, LEAST_VALUE)
    return kernels.correlations(row_returns(y), row_returns(x), window, LEAST_RETURN)


class Lines(NamedTuple):
    """The line ``alpha + beta x`` of each window by its end, and the residuals of that window under that line.

    `spread` is the residual of the last row; `mean`, `std` (ddof 1) and `zscore` are taken over the residuals of the
    window; `r2` is the share of y's variance that the line explains (of its squares, without an intercept).
    """

    alpha: Floats
    beta: Floats
    spread: Floats
    mean: Floats
    std: Floats
    zscore: Floats
    r2: Floats


def fitted_lines(y: Floats, x: Floats, window: int, *, intercept: bool = True) -> Lines:
    """Fit a line to each window by least squares; NaN where x does not move."""
    kind = kernels.FITTED if intercept else kernels.PROPORTIONAL
    return Lines(*kernels.lines(y, x, whole_number("window", window, least=3), kind, y[:0], y[:0]))


def given_lines(y: Floats, x: Floats, alpha: Floats, beta: Floats, window: int) -> Lines:
    """Take the residuals of each window under the alpha and beta of its last row; four arrays of one length."""
    return Lines(*kernels.lines(y, x, whole_number("window", window, least=2), kernels.GIVEN, alpha, beta))


def rolling_beta(y: Series, x: Series, *, window: int, of: Of = "prices") -> pd.Series:
    """Return the least-squares slope of y on x, with intercept, over the last `window` values or log returns."""
    return pd.Series(_line_of(y, x, window, of, "beta"), index=index_of(y, x), name="beta", copy=False)


def rolling_r2(y: Series, x: Series, *, window: int, of: Of = "prices") -> pd.Series:
    """Return the share of y's variance that x explains, by a line, over the last `window` values or log returns."""
    return pd.Series(_line_of(y, x, window, of, "r2"), index=index_of(y, x), name="r2", copy=False)


def _line_of(y: Series, x: Series, window: int, of: Of, field: Literal["beta", "r2"]) -> Floats:
    choose("measure of dependence", of, get_args(Of))
    first, second = legs(y, x)
    if of == "returns":
        first, second = row_returns(first), row_returns(second)
    return np.asarray(getattr(fitted_lines(first, second, window), field))


def bollinger(series: Series, *, window: int, width: float = 2.0) -> pd.DataFrame:
    """Return Bollinger's bands: the mean of the window, and `width` standard deviations (ddof 1) above and below it.

    Returns:
        A frame of ``mid``, ``upper``, ``lower``, ``percent_b`` (0 on the lower band, 1 on the upper) and ``bandwidth``
        (the distance of the bands as a share of the mid; of little use for a spread, whose mid is near 0).

    Reference: Bollinger 2001, who takes ddof 0; with ddof 1 the bands are where the z-score is plus or minus `width`.
    """
    if isinstance(width, bool) or not isinstance(width, int | float | np.number) or not 0 < width < math.inf:
        raise WrongUse(f"width is {width!r}; expected a positive number of standard deviations, such as 2")
    mid, std, score = rolling_moments(values(series), window)
    half = width * std
    with np.errstate(all="ignore"):
        bandwidth = np.where(mid == 0, math.nan, 2 * half / np.abs(mid))
    columns = {"mid": mid, "upper": mid + half, "lower": mid - half}
    return varying(columns | {"percent_b": 0.5 + score / (2 * width), "bandwidth": bandwidth}, index_of(series))
