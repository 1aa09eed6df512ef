"""What residuals look like: how they remember themselves, and how far they are from normal."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import fft, special

from market import Floats
from pairscope.numbers.residuals import CONSTANT
from pairscope.numbers.series import Series, tamed, unbroken, values, whole_number
from pairscope.numbers.statistics import share

LEAST_VALUES: Final = 8
"""Fewer values have no shape worth drawing."""

MOST_BINS: Final = 80


@dataclass(frozen=True, slots=True, eq=False)
class Autocorrelation:
    """The correlation of a series with itself at lags 1, 2, ...: `values`, and half the `band` of no memory at each."""

    values: Floats
    band: Floats
    confidence: float
    n: int
    reason: str = ""


def autocorrelation(series: Series, *, max_lag: int = 40, confidence: float = 0.95) -> Autocorrelation:
    """Correlate a series with itself.

    ``r[k] = sum of s[t] s[t-k] / sum of s[t]**2`` of the centred values; equals statsmodels' ``acf``. The band holds
    r[k] of a series without memory, also where its volatility changes:
    ``z * sqrt(sum of (s[t] s[t-k])**2) / sum of s[t]**2``.

    Args:
        series: residuals or changes, in time order.
        max_lag: the longest lag, at most a quarter of the values.
        confidence: of the band, for one lag looked at alone.

    References: Box and Jenkins 1970; Taylor 1984 (the band).
    """
    level, wanted = share("confidence", confidence), whole_number("max_lag", max_lag, least=1)
    data, reason = unbroken(values(series))
    n = len(data)
    unit, reason = _standard(data, reason)
    if reason:
        return Autocorrelation(np.empty(0), np.empty(0), level, n, reason)
    lags = slice(1, min(wanted, n // 4) + 1)
    width = float(special.ndtri(0.5 + level / 2)) / n  # the squares of a standard series add up to n
    return Autocorrelation(
        _lagged_sums(unit)[lags] / n, np.minimum(width * np.sqrt(_lagged_sums(unit * unit)[lags]), 1.0), level, n
    )


@dataclass(frozen=True, slots=True, eq=False)
class NormalQuantiles:
    """Values in order beside those of a normal sample: `expected`, `found`, and the band from `low` to `high`.

    All are in standard deviations from the mean. The band is for one value looked at alone.
    """

    expected: Floats
    found: Floats
    low: Floats
    high: Floats
    n: int
    reason: str = ""


def normal_quantiles(residuals: Series, *, points: int = 400, confidence: float = 0.95) -> NormalQuantiles:
    """Set the ordered values beside what a normal sample of that size would show (a QQ plot).

    The i-th of n stands at the normal quantile of ``(i - 0.5) / n``; it lies in the band that follows from its place,
    which is Beta(i, n - i + 1) distributed. Values that are not finite are left out: order plays no part.

    Args:
        residuals: what a fit left over, or changes.
        points: how many values are kept; the outermost tenth of them on both sides always are.
        confidence: of the band.

    References: Hazen 1914; Wilk and Gnanadesikan 1968.
    """
    level, most = share("confidence", confidence), whole_number("points", points, least=20)
    data = values(residuals)
    data = data[np.isfinite(data)]
    unit, reason = _standard(data, "")
    n = len(data)
    if reason:
        return NormalQuantiles(*(np.empty(0),) * 4, n, reason)
    place = _places(n, most)
    ends = (special.betaincinv(place + 1, n - place, tail) for tail in ((1 - level) / 2, (1 + level) / 2))
    low, high = (special.ndtri(end) for end in ends)
    return NormalQuantiles(special.ndtri((place + 0.5) / n), np.sort(unit)[place.astype(np.intp)], low, high, n)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How often which values occur: `counts` between neighbouring `edges`, and how many a normal would have there."""

    edges: Floats
    counts: Floats
    normal: Floats
    mean: float
    std: float
    n: int
    reason: str = ""


def histogram(residuals: Series) -> Histogram:
    """Count values in bins of Freedman and Diaconis' width, 80 of them at most; those that are not finite are left out.

    `normal` is what a normal of the same mean and deviation (ddof 1) would have in each bin.

    Args:
        residuals: what a fit left over, or changes.

    Reference: Freedman and Diaconis 1981.
    """
    data = values(residuals)
    data = data[np.isfinite(data)]
    _, reason = _standard(data, "")
    n = len(data)
    if reason:
        return Histogram(*(np.empty(0),) * 3, math.nan, math.nan, n, reason)
    small, power = tamed(data)
    low, quarter, three, high = np.quantile(small, (0.0, 0.25, 0.75, 1.0)).tolist()
    width = 2 * (three - quarter) / n ** (1 / 3)
    bins = min(MOST_BINS, max(8, math.ceil((high - low) / width))) if width > 0 else MOST_BINS
    counts, edges = np.histogram(small, bins=bins, range=(low, high))
    mean, std = float(small.mean()), float(small.std(ddof=1))
    normal = n * np.diff(special.ndtr((edges - mean) / std))
    return Histogram(
        np.ldexp(edges, -power), counts.astype(np.float64), normal, math.ldexp(mean, -power), math.ldexp(std, -power), n
    )


def _standard(data: Floats, reason: str) -> tuple[Floats, str]:
    """Return values of mean 0 and deviation 1, or why there are none."""
    n = len(data)
    if reason or n < LEAST_VALUES:
        return data, reason or f"{n} values; expected {LEAST_VALUES} at least"
    small, _ = tamed(data)
    centred = small - small.mean()
    largest = float(np.abs(centred).max())
    if largest <= 1e-14 * float(np.abs(small).max()):
        return data, CONSTANT
    centred /= largest
    unit: Floats = centred / math.sqrt(float((centred * centred).mean()))
    return unit, ""


def _lagged_sums(series: Floats) -> Floats:
    """Return the sum of the products of values k rows apart, for each k."""
    n = len(series)
    size = fft.next_fast_len(2 * n, real=True)
    sums: Floats = fft.irfft(np.abs(fft.rfft(series, size)) ** 2, size)[:n]
    return np.maximum(sums, 0.0) if (series >= 0).all() else sums  # products of squares, but for rounding


def _places(n: int, most: int) -> Floats:
    """Return which of n ordered values are kept."""
    if n <= most:
        return np.arange(n, dtype=np.float64)
    tail = most // 10
    middle = np.rint(np.linspace(tail, n - tail - 1, most - 2 * tail))
    return np.concatenate((np.arange(tail), middle, np.arange(n - tail, n))).astype(np.float64)
