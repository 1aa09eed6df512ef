"""Do two legs move together, at which lag, and does one lead the other?

One sign for every lag: at lag k, y at time t is set beside x at time t - k. A positive lag means that x moves first.

Returns are log returns from row to row. A missing price makes the returns on both sides of it unknown; those pairs are
left out, and rows are never pushed together, so that a lag stays a lag.

Long sums are `(a * b).sum()`, not `a @ b`: that calls a threaded library, which stalls for milliseconds on busy cores.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft, special

from market import Flags, Floats, Integers
from pairscope.numbers.rolling import Of
from pairscope.numbers.series import Series, choose, finite_pairs, index_of, legs, whole_number
from pairscope.numbers.statistics import growth, share

Leader = Literal["y", "x", "neither", ""]
"""Who moves first; empty when there is not enough data to say."""

LEAST_PAIRS = 4
"""Below this a correlation is not shown: three points lie near a line by themselves."""

LEAST_BLOCKS = 8
"""Below this the spread between blocks says too little for an interval."""

BATCH = 1 << 20
"""How many numbers of windows are transformed at once, to bound the memory of a heatmap."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """The correlation of two legs, its interval, and the `n` pairs used; `reason` says why a number is NaN."""

    of: Of
    value: float
    low: float
    high: float
    confidence: float
    n: int
    reason: str = ""


def correlation(y: Series, x: Series, *, of: Of = "returns", confidence: float = 0.95) -> Correlation:
    """Correlate two legs over the whole sample.

    The interval is on Fisher's scale. Of returns, its width comes from the spread between blocks of sqrt(n) rows, which
    allows for changing volatility and short memory. Of prices, n is replaced by the number of independent observations
    that two AR(1) series of the same persistence are worth, n (1 - a b) / (1 + a b); without 4 of them it is NaN.

    Args:
        y: prices of y in time order.
        x: prices of x, row by row at the same times.
        of: what to correlate.
        confidence: of the interval.

    References: Fisher 1921; Bayley and Hammersley 1946; Marriott and Pope 1954 (bias of a and b).
    """
    confidence = share("confidence", confidence)
    first, second = finite_pairs(*_measured(y, x, of))
    n = len(first)
    reason = _poor(first, second)
    if reason:
        return Correlation(of, math.nan, math.nan, math.nan, confidence, n, reason)
    first, second = _standard(first), _standard(second)
    value = float(np.clip((first * second).sum(), -1, 1))
    if of == "prices":
        low, high, reason = _persistent_interval(first, second, value, confidence)
    else:
        low, high, reason = _blocked_interval(first, second, value, confidence)
    return Correlation(of, value, low, high, confidence, n, reason)


def _measured(y: Series, x: Series, of: Of) -> tuple[Floats, Floats]:
    choose("measure of dependence", of, get_args(Of))
    first, second = legs(y, x)
    return (growth(first), growth(second)) if of == "returns" else (first, second)


def _poor(y: Floats, x: Floats) -> str:
    """Return why nothing can be said of two legs, or an empty string; only finite values count."""
    n = int(np.count_nonzero(np.isfinite(y) & np.isfinite(x)))
    if n < LEAST_PAIRS:
        return f"{n} pairs; a correlation needs {LEAST_PAIRS}"
    still = [name for name, leg in (("y", y), ("x", x)) if _still(leg)]
    return f"{' and '.join(still)} did not move" if still else ""


def _still(leg: Floats) -> bool:
    known = leg[np.isfinite(leg)]
    return bool(np.ptp(known) <= 1e-13 * np.abs(known).max())  # equal but for rounding


def _standard(leg: Floats) -> Floats:
    """Return a leg centred, and of unit length."""
    centred = leg - leg.mean()
    centred /= np.abs(centred).max()  # before squaring, which would underflow at a scale of 1e-200
    unit: Floats = centred / math.sqrt(float((centred * centred).sum()))
    return unit


def _fisher(value: float, width: float) -> tuple[float, float]:
    if 1 - abs(value) < 1e-12:
        return value, value
    return math.tanh(math.atanh(value) - width), math.tanh(math.atanh(value) + width)


def _blocked_interval(y: Floats, x: Floats, value: float, confidence: float) -> tuple[float, float, str]:
    starts = _block_starts(len(y))
    if len(starts) < LEAST_BLOCKS:
        return math.nan, math.nan, f"{len(y)} pairs; an interval needs {LEAST_BLOCKS**2}"
    products, squares_y, squares_x = (np.add.reduceat(part, starts)[None] for part in (y * x, y * y, x * x))
    spread = Blocks.of(products, squares_y, squares_x).width(0, confidence)
    return *_fisher(value, spread / max(1 - value * value, 1e-12)), ""


def _persistent_interval(y: Floats, x: Floats, value: float, confidence: float) -> tuple[float, float, str]:
    first_y, first_x = (_less_bias(float((leg[1:] * leg[:-1]).sum()), len(leg)) for leg in (y, x))
    product = first_y * first_x
    worth = max(len(y) * (1 - product) / (1 + product), 0.0)
    if worth < 4:
        why = f"the prices wander: {len(y)} of them are worth {worth:.1f} independent ones, an interval needs 4"
        return math.nan, math.nan, why
    width = float(special.ndtri(0.5 + confidence / 2)) / math.sqrt(worth - 3)
    return *_fisher(value, width), ""


def _less_bias(first: float, n: int) -> float:
    """Return a lag-one autocorrelation without its bias -(1 + 3 a) / n, at most 1."""
    return min(first + (1 + 3 * first) / n, 1.0)


def _block_starts(rows: int) -> Integers:
    """Return where sqrt(n) blocks of about equal size start."""
    count = max(math.isqrt(rows), 1)
    return np.arange(count, dtype=np.int64) * rows // count


class Blocks(NamedTuple):
    """Correlations at several lags, and how much each contiguous block of the data pulls each of them.

    A correlation c / sqrt(v w) of sums moves by dc / sqrt(v w) - (dv / v + dw / w) / 2 times itself (the delta
    method). The pulls of the blocks add up to zero, and the sum of their squares is the variance of the correlation,
    whatever happens inside a block: products that share a return, memory, bounce, changing volatility.
    """

    correlation: Floats
    pull: Floats
    freedom: float

    @classmethod
    def of(cls, products: Floats, squares_y: Floats, squares_x: Floats) -> "Blocks":
        """Make them from sums by lag (rows) and block (columns)."""
        part_y = squares_y / squares_y.sum(axis=1, keepdims=True)
        part_x = squares_x / squares_x.sum(axis=1, keepdims=True)
        scale = np.sqrt(squares_y.sum(axis=1)) * np.sqrt(squares_x.sum(axis=1))
        parts = products / scale[:, None]
        value = parts.sum(axis=1)
        pull = parts - value[:, None] * (part_y + part_x) / 2
        weight = ((part_y + part_x) ** 2).mean(axis=0)
        # A few wild blocks decide alone: they count as few (Satterthwaite 1946).
        freedom = max(float(weight.sum() ** 2 / (weight**2).sum()) - 1, 1.0)
        return cls(value, pull, freedom)

    def width(self, lag: int, confidence: float) -> float:
        """Return half the interval of the correlation in a row."""
        return self._quantile(confidence) * self._deviation(self.pull[lag])

    def widths(self, confidence: float) -> Floats:
        """Return half the intervals of all rows."""
        return np.array([self.width(row, confidence) for row in range(len(self.pull))])

    def _quantile(self, confidence: float) -> float:
        return float(special.stdtrit(self.freedom, 0.5 + confidence / 2))

    def _deviation(self, pull: Floats) -> float:
        return math.sqrt(float(pull @ pull) * len(pull) / (len(pull) - 1))

    def asymmetry(self, lags: NDArray[np.int64]) -> tuple[float, float]:
        """Compare the squared correlations at positive lags with those at negative ones.

        Returns:
            Their ratio (Huth and Abergel 2014), above 1 when x leads; and the p-value of "neither leads", from the same
            pulls: where nothing is correlated at all it errs on the side of "neither".
        """
        later, earlier = lags > 0, lags < 0
        squares = self.correlation**2
        positive, negative = float(squares[later].sum()), float(squares[earlier].sum())
        pull = 2 * (np.where(later, self.correlation, 0.0) - np.where(earlier, self.correlation, 0.0)) @ self.pull
        deviation = self._deviation(pull)
        ratio = positive / negative if negative > 0 else math.inf if positive > 0 else math.nan
        if not deviation > 0:
            return ratio, math.nan
        return ratio, 2 * float(special.stdtr(self.freedom, -abs(positive - negative) / deviation))


@dataclass(frozen=True, slots=True, eq=False)
class CrossCorrelation:
    """The correlation at each lag; a positive lag sets y beside an earlier x, so that x moves first.

    `frame` is indexed by `lag`, from -max_lag to max_lag: `correlation` of the overlapping rows, `low` and `high` of
    the band in which it lies where there is no correlation, `n` pairs. `peak` is the correlation furthest from 0.
    """

    of: Of
    confidence: float
    frame: pd.DataFrame
    peak_lag: int | None
    peak: float
    reason: str = ""


def cross_correlation(
    y: Series, x: Series, *, max_lag: int, of: Of = "returns", confidence: float = 0.95
) -> CrossCorrelation:
    """Correlate y with x at each lag from -max_lag to max_lag bars.

    The band is for one lag looked at alone: of 40 lags without correlation about two lie outside at 95 %. It is wider
    where both legs have memory (Bartlett 1946) and where they are wild at the same moments (White 1980).

    Args:
        y: prices of y in time order.
        x: prices of x, row by row at the same times.
        max_lag: in rows, at least 0.
        of: what to correlate.
        confidence: of the band.
    """
    lag, level = whole_number("max_lag", max_lag, least=0), share("confidence", confidence)
    first, second = _measured(y, x, of)
    lags = np.arange(-lag, lag + 1)
    reason = _poor(first, second)
    sums = _LaggedSums.of(first[None], second[None], lag)
    values = np.full(len(lags), math.nan) if reason else sums.correlations()[0]
    half = np.full(len(lags), math.nan) if reason else _band(first, second, sums, level)
    half[np.isnan(values)] = math.nan
    frame = pd.DataFrame(
        {"correlation": values, "low": -half, "high": half, "n": sums.n[0].astype(np.int64)},
        index=pd.Index(lags, name="lag"),
    )
    best = None if np.isnan(values).all() else int(np.nanargmax(np.abs(values)))
    if best is None:
        return CrossCorrelation(of, level, frame, None, math.nan, reason or "no lag has enough pairs")
    return CrossCorrelation(of, level, frame, int(lags[best]), float(values[best]), reason)


class _LaggedSums(NamedTuple):
    """Sums over the pairs of each window (row) and lag (column) in which both legs are known."""

    n: Floats
    y: Floats
    x: Floats
    yy: Floats
    xx: Floats
    yx: Floats
    yyxx: Floats

    @classmethod
    def of(cls, y: Floats, x: Floats, max_lag: int) -> "_LaggedSums":
        """Sum by Fourier transforms, of 0 in place of what is unknown."""
        size = fft.next_fast_len(max(y.shape[1] + max_lag, 1), real=True)
        powers_y = [fft.rfft(power, size) for power in _powers(y)]
        powers_x = [fft.rfft(power, size).conj() for power in _powers(x)]
        places = np.arange(-max_lag, max_lag + 1) % size

        def total(of_y: int, of_x: int) -> Floats:
            summed: Floats = fft.irfft(powers_y[of_y] * powers_x[of_x], size)[:, places]
            return summed

        pairs = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (2, 2))
        return cls(np.rint(total(0, 0)), *(total(*pair) for pair in pairs))

    def correlations(self) -> Floats:
        """Return Pearson's correlation of the pairs of each lag; NaN for too few, or where a leg stands still."""
        with np.errstate(divide="ignore", invalid="ignore"):
            vary_y = self.yy - self.y**2 / self.n
            vary_x = self.xx - self.x**2 / self.n
            values = (self.yx - self.y * self.x / self.n) / np.sqrt(vary_y * vary_x)
        whole = [power.max(axis=1, keepdims=True) for power in (self.yy, self.xx)]
        moving = (vary_y > 1e-10 * whole[0]) & (vary_x > 1e-10 * whole[1])  # below it is the transform's rounding
        return np.where((self.n >= LEAST_PAIRS) & moving, np.clip(values, -1, 1), math.nan)


def _powers(legs: Floats) -> Iterator[Floats]:
    """Yield what is known (1 or 0), the values centred and scaled row by row, and their squares."""
    known = np.isfinite(legs)
    zeroed = np.where(known, legs, 0.0)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, zeroed - zeroed.sum(axis=1, keepdims=True) / count, 0.0)
    largest = np.abs(centred).max(axis=1, keepdims=True, initial=0.0)
    centred = centred / np.where(largest > 0, largest, 1.0)
    yield known.astype(np.float64)
    yield centred
    yield centred**2


def _band(y: Floats, x: Floats, sums: _LaggedSums, confidence: float) -> Floats:
    """Return half the band of no correlation at each lag."""
    with np.errstate(divide="ignore", invalid="ignore"):
        wild = sums.n * sums.yyxx / (sums.yy * sums.xx)
        spread = np.sqrt(np.maximum(wild + _memory(y, x), 0.1) / sums.n)[0]
    half: Floats = np.minimum(float(special.ndtri(0.5 + confidence / 2)) * spread, 1.0)
    return half


def _memory(y: Floats, x: Floats) -> float:
    """Return twice the sum of the products of both autocorrelations.

    They are tapered to nothing at a quarter of the sample, which is short of the truth where prices wander: the sum is
    at least that of AR(1) series with the same persistence.
    """
    n = len(y)
    reach = max(n // 4, 1)
    own_y, own_x = _autocorrelation(y, reach), _autocorrelation(x, reach)
    taper = 1 - np.arange(1, reach + 1) / (reach + 1)
    product = _less_bias(float(own_y[1]), n) * _less_bias(float(own_x[1]), n)
    return 2 * max(float((taper * own_y[1:] * own_x[1:]).sum()), product / max(1 - product, 1 / n))


def _autocorrelation(leg: Floats, reach: int) -> Floats:
    """Return the autocorrelations at lags 0 to `reach`; what is unknown counts as the mean."""
    size = fft.next_fast_len(len(leg) + reach, real=True)
    _, centred, _ = _powers(leg[None])
    sums = fft.irfft(np.abs(fft.rfft(centred[0], size)) ** 2, size)[: reach + 1]
    scaled: Floats = sums / sums[0]
    return scaled


@dataclass(frozen=True, slots=True, eq=False)
class LagHeatmap:
    """Correlations by window and lag; a positive lag means that x moves first.

    `frame` has a row a window, indexed by its last row (the window is known then, not before), and a column a lag.
    """

    of: Of
    window: int
    step: int
    frame: pd.DataFrame

    @property
    def matrix(self) -> Floats:
        """The correlations, windows by lags."""
        numbers: Floats = self.frame.to_numpy()
        return numbers

    @property
    def times(self) -> pd.Index:
        """The last row of each window."""
        return self.frame.index

    @property
    def lags(self) -> Integers:
        """The lags, in rows."""
        numbers: Integers = self.frame.columns.to_numpy(dtype=np.int64)
        return numbers


def cross_correlation_heatmap(
    y: Series, x: Series, *, max_lag: int, window: int, step: int | None = None, of: Of = "returns"
) -> LagHeatmap:
    """Cross-correlate past windows, one every `step` rows.

    Args:
        y: prices of y in time order.
        x: prices of x, row by row at the same times.
        max_lag: in rows.
        window: returns (or prices) a window; one that holds an unknown value gives NaN.
        step: rows from a window to the next, by default a quarter of a window.
        of: what to correlate.
    """
    lag = whole_number("max_lag", max_lag, least=0)
    window = whole_number("window", window, least=lag + LEAST_PAIRS)
    step = max(window // 4, 1) if step is None else whole_number("step", step, least=1)
    first, second = _measured(y, x, of)
    index = index_of(y, x)
    ends = np.arange(window - 1, len(first), step)
    rows = [_windowed(first, second, part, window, lag) for part in _batches(ends, window + lag)]
    matrix = np.concatenate(rows) if rows else np.empty((0, 2 * lag + 1))
    times = index[ends + (len(index) - len(first))]  # a return belongs to the later of its two prices
    return LagHeatmap(of, window, step, pd.DataFrame(matrix, times, pd.Index(range(-lag, lag + 1), name="lag")))


def _batches(ends: Integers, size: int) -> Iterator[Integers]:
    length = max(BATCH // size, 1)
    return (ends[start : start + length] for start in range(0, len(ends), length))


def _windowed(y: Floats, x: Floats, ends: Integers, window: int, max_lag: int) -> Floats:
    starts = ends - window + 1
    part_y, part_x = (np.lib.stride_tricks.sliding_window_view(leg, window)[starts] for leg in (y, x))
    values = _LaggedSums.of(part_y, part_x, max_lag).correlations()
    values[_lifeless(part_y) | _lifeless(part_x)] = math.nan
    return values


def _lifeless(windows: Floats) -> Flags:
    """Return which windows hold an unknown value, or one value only but for rounding."""
    whole = np.logical_and.reduce(np.isfinite(windows), axis=1, keepdims=True)
    known = np.where(whole, windows, 0.0)
    lifeless: Flags = np.ptp(known, axis=1) <= 1e-13 * np.abs(known).max(axis=1)  # a window of zeros too
    return lifeless


@dataclass(frozen=True, slots=True)
class LeadLag:
    """Who moves first. `lag` is the leader's strongest lag in bars, positive when x leads, 0 when neither does.

    `ratio` is the sum of squared correlations at positive lags over that at negative ones: above 1 speaks for x.
    `pvalue` is of "neither leads". `correlation` is the one at `lag`.
    """

    leader: Leader
    lag: int
    correlation: float
    ratio: float
    pvalue: float
    n: int
    reason: str = ""

    @property
    def words(self) -> str:
        """The finding in a sentence."""
        if not self.leader:
            return f"no answer: {self.reason}"
        if self.leader == "neither":
            return f"neither leg leads (p {self.pvalue:.2g})"
        other = "y" if self.leader == "x" else "x"
        bars = f"{abs(self.lag)} bar{'s' if abs(self.lag) > 1 else ''}"
        return f"{self.leader} leads {other} by {bars} (correlation {self.correlation:.2f} there, p {self.pvalue:.2g})"


def lead_lag(y: Series, x: Series, *, max_lag: int, of: Of = "returns", level: float = 0.05) -> LeadLag:
    """Say which leg leads, within `max_lag` bars, by the squared correlations on both sides of lag 0.

    Args:
        y: prices of y in time order.
        x: prices of x, row by row at the same times.
        max_lag: in rows, at least 1.
        of: what to correlate.
        level: a leader is named when the p-value of "neither leads" is below it.

    Reference: Huth and Abergel 2014 (lead-lag ratio); the p-value by the delta method over blocks of sqrt(n) rows.
    """
    lag, level = whole_number("max_lag", max_lag, least=1), share("level", level)
    first, second = _measured(y, x, of)
    n = int(np.count_nonzero(np.isfinite(first) & np.isfinite(second)))
    reason = _poor(first, second)
    need = max(LEAST_BLOCKS, lag + 1) ** 2
    if not reason and n < need:
        reason = f"{n} pairs; {lag} lags on both sides need {need}"
    if reason:
        return LeadLag("", 0, math.nan, math.nan, math.nan, n, reason)
    lags = np.arange(-lag, lag + 1)
    found = _blocked_lags(first, second, lags)
    ratio, pvalue = found.asymmetry(lags)
    if math.isnan(pvalue):
        return LeadLag("", 0, math.nan, ratio, math.nan, n, "both directions are equal in every part of the sample")
    if pvalue >= level:
        return LeadLag("neither", 0, float(found.correlation[lag]), ratio, pvalue, n)
    leads = lags > 0 if ratio > 1 else lags < 0
    best = int(np.argmax(np.where(leads, np.abs(found.correlation), -1.0)))
    return LeadLag("x" if ratio > 1 else "y", int(lags[best]), float(found.correlation[best]), ratio, pvalue, n)


def _blocked_lags(y: Floats, x: Floats, lags: Integers) -> Blocks:
    """Return the correlations at the lags by blocks; what is unknown counts as no move."""
    _, first, squares_y = (row[0] for row in _powers(y[None]))
    _, second, squares_x = (row[0] for row in _powers(x[None]))
    starts = _block_starts(len(y))
    products = np.empty((len(lags), len(starts)))
    for row, lag in enumerate(lags):
        product = np.zeros(len(y))
        late, early = slice(max(lag, 0), len(y) + min(lag, 0)), slice(max(-lag, 0), len(y) - max(lag, 0))
        product[late] = first[late] * second[early]
        products[row] = np.add.reduceat(product, starts)
    squares = (np.add.reduceat(each, starts)[None].repeat(len(lags), axis=0) for each in (squares_y, squares_x))
    return Blocks.of(products, *squares)
