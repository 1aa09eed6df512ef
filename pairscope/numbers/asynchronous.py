"""The correlation of two legs from their trades themselves, because they do not trade at the same instant.

Bars set the last price of one leg beside a fresher one of the other, and lose correlation by it (Epps 1979): where
both trade every 2.4 seconds, bars of one second show 0.15 of a true 0.80. Hayashi and Yoshida multiply every two
returns whose times overlap, and lose nothing.

Ticks come as a Series of prices indexed by time, a DataFrame with `time_ms` or `time` (or that index) and `price`, a
pair (times, prices), or a list of `market.Tick`. Times are UTC epoch milliseconds or datetimes. Unsorted ticks are
sorted, in the order given where times are equal; of several trades in one millisecond the last is taken. Ticks without
a finite time and a positive price are left out.

On real trades the textbook estimate is far too low: legs answer each other after some ten milliseconds, and prices
bounce. The last trade of each second, at its own time (`every_ms=1000`), mends both, and still sets no stale price
beside a fresh one; `caution` says when that is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market import Floats, Integers, Tick, WrongUse
from pairscope.kernels.asynchronous import overlap_sums
from pairscope.numbers.dependence import LEAST_BLOCKS, Blocks, Leader
from pairscope.numbers.series import choose, values, whole_number
from pairscope.numbers.statistics import growth, share

Ticks = Any
"""See the top of this file."""

MOST_BLOCKS = 200
LEAST_TICKS = 4
"""Fewer distinct moments of a leg in the common time say nothing."""

CAUTION_TICKS, CAUTION_CONFIDENCE = 10, 0.999
"""The estimate is doubted when this interval around that of every tenth tick or so does not hold it."""

LAGS_MS = tuple(sorted({sign * base * ten for sign in (-1, 0, 1) for ten in (10, 100, 1000) for base in range(1, 11)}))
"""Both directions up to ten seconds, finer towards 0, as in Huth and Abergel 2014."""


@dataclass(frozen=True, slots=True)
class HayashiYoshida:
    """The correlation of two legs from their ticks over the time in which both traded.

    `low` and `high` hold it with `confidence`. `covariance` is of the log prices over the whole common time, from
    `start_ms` to `end_ms`. `n_y` and `n_x` are the ticks used, `merged` those left out because another one
    of their leg followed within the same `every_ms`, `overlaps` the products summed. `caution` is empty, or says that
    fewer ticks give another answer, so that this one is not to be trusted.
    """

    correlation: float
    low: float
    high: float
    confidence: float
    every_ms: int
    covariance: float
    n_y: int
    n_x: int
    merged: int
    overlaps: int
    start_ms: int | None
    end_ms: int | None
    reason: str = ""
    caution: str = ""


def hayashi_yoshida(ticks_y: Ticks, ticks_x: Ticks, *, every_ms: int = 1, confidence: float = 0.95) -> HayashiYoshida:
    """Correlate two legs tick by tick.

    Every product of two log returns whose times overlap is summed, and divided by the root of both sums of squares. The
    interval is that of the delta method over sqrt(n) contiguous blocks of equally many ticks, n those of the slower
    leg, at most 200. The bounce between bid and ask adds to the squares but not to the products, and a leg that answers
    late takes from the products: both pull the result towards 0.

    Args:
        ticks_y: of y, see the top of this file.
        ticks_x: of x.
        every_ms: use the last trade of each so many milliseconds, at its own time; 1 is the textbook's estimate.
        confidence: of the interval.

    References: Hayashi and Yoshida 2005, 2011; Voev and Lunde 2007 (fewer ticks against noise).
    """
    confidence, every_ms = share("confidence", confidence), whole_number("every_ms", every_ms, least=1)
    leg_y, leg_x = _leg(ticks_y, "ticks_y", every_ms), _leg(ticks_x, "ticks_x", every_ms)
    merged = leg_y.merged + leg_x.merged
    leg_y, leg_x = _common(leg_y, leg_x)
    n_y, n_x = len(leg_y.time), len(leg_x.time)
    reason = _too_few(n_y, n_x)
    if reason:
        nan = math.nan
        return HayashiYoshida(nan, nan, nan, confidence, every_ms, nan, n_y, n_x, merged, 0, None, None, reason)
    sums, overlaps = _sums(leg_y, leg_x, _blocks(n_y, n_x))
    value, low, high, reason = _estimate(sums, confidence, min(n_y, n_x))
    return HayashiYoshida(
        correlation=value,
        low=low,
        high=high,
        confidence=confidence,
        every_ms=every_ms,
        covariance=float(sums[0].sum()),
        n_y=n_y,
        n_x=n_x,
        merged=merged,
        overlaps=overlaps,
        start_ms=int(min(leg_y.time[0], leg_x.time[0])),
        end_ms=int(max(leg_y.time[-1], leg_x.time[-1])),
        reason=reason,
        caution=_caution(value, leg_y, leg_x),
    )


def _caution(value: float, leg_y: "_Leg", leg_x: "_Leg") -> str:
    """Return what is wrong with the value, judged by a tenth of the ticks, which see less of bounce and delay."""
    slower = min((leg_y, leg_x), key=lambda leg: len(leg.time))
    every_ms = CAUTION_TICKS * int(slower.time[-1] - slower.time[0]) // len(slower.time)
    few_y, few_x = (_last_of_each(leg.time, leg.price, max(every_ms, 1)) for leg in (leg_y, leg_x))
    n_y, n_x = len(few_y.time), len(few_x.time)
    sums, _ = _sums(few_y, few_x, _blocks(n_y, n_x))
    other, low, high, _ = _estimate(sums, CAUTION_CONFIDENCE, min(n_y, n_x))
    if math.isnan(low) or math.isnan(value) or low <= value <= high:
        return ""
    return f"with one tick every {every_ms} ms it is {other:.2f}: bounce or delay hides what the legs share, trust that"


@dataclass(frozen=True, slots=True, eq=False)
class LagCurve:
    """The tick correlation at each lag; a positive lag sets y beside an earlier x, so that x moves first.

    `frame` is indexed by `lag_ms`: `correlation`, `low`, `high`. `lead_lag_ms` is where it is furthest from 0, `peak`
    its value there. `ratio` is the sum of squared correlations at positive lags over that at the mirrored negative
    ones, above 1 when x leads; `pvalue` is of "neither leads", and `leader` is named below 5 %
    (empty when `lags_ms` go one way only).
    """

    frame: pd.DataFrame
    confidence: float
    lead_lag_ms: int | None
    peak: float
    ratio: float
    pvalue: float
    leader: Leader
    n_y: int
    n_x: int
    reason: str = ""


def hayashi_yoshida_curve(
    ticks_y: Ticks, ticks_x: Ticks, *, lags_ms: Sequence[int] = LAGS_MS, every_ms: int = 1, confidence: float = 0.95
) -> LagCurve:
    """Correlate two legs tick by tick with one of them moved by each lag.

    Args:
        ticks_y: of y, see the top of this file.
        ticks_x: of x.
        lags_ms: milliseconds by which x is moved later; sorted, and once each. Ratio and p-value need both directions.
        every_ms: use the last trade of each so many milliseconds, at its own time; 1 uses all.
        confidence: of the interval at each lag.

    A lag at which the legs have too little time in common is NaN.

    References: Hoffmann, Rosenbaum and Yoshida 2013; Huth and Abergel 2014.
    """
    confidence, lags = share("confidence", confidence), _lags(lags_ms)
    every_ms = whole_number("every_ms", every_ms, least=1)
    leg_y, leg_x = _leg(ticks_y, "ticks_y", every_ms), _leg(ticks_x, "ticks_x", every_ms)
    usable = np.array([min(_counts(_moved(leg_y, leg_x, lag))) >= LEAST_BLOCKS**2 for lag in lags], np.bool_)
    found = _lagged(leg_y, leg_x, lags[usable]) if usable.any() else None
    n_y, n_x = _counts(_common(leg_y, leg_x))
    if found is None:
        reason = "a leg did not move" if usable.any() else _too_few(n_y, n_x) or _short(min(n_y, n_x))
        return LagCurve(_curve(lags), confidence, None, math.nan, math.nan, math.nan, "", n_y, n_x, reason)
    best = int(np.argmax(np.abs(found.correlation)))
    mirrored = np.isin(-lags[usable], lags[usable])
    ratio, pvalue = found.asymmetry(np.where(mirrored, lags[usable], 0))
    leader: Leader = "" if math.isnan(pvalue) else "neither" if pvalue >= 0.05 else "x" if ratio > 1 else "y"
    frame = _curve(lags[usable], found.correlation, found.widths(confidence)).reindex(lags).rename_axis("lag_ms")
    peak = float(np.clip(found.correlation[best], -1, 1))
    return LagCurve(frame, confidence, int(lags[usable][best]), peak, ratio, pvalue, leader, n_y, n_x)


def _moved(leg_y: "_Leg", leg_x: "_Leg", lag: int) -> tuple["_Leg", "_Leg"]:
    """Return both legs in their common time after x has been moved; made anew each time, a million times are 8 MB."""
    return _common(leg_y, leg_x._replace(time=leg_x.time + lag))


def _counts(legs: tuple["_Leg", "_Leg"]) -> tuple[int, int]:
    return len(legs[0].time), len(legs[1].time)


def _lagged(leg_y: "_Leg", leg_x: "_Leg", lags: Integers) -> Blocks | None:
    """Return the correlations at all lags by the same number of blocks; None when a leg stands still in one."""
    blocks = min(_blocks(*_counts(_moved(leg_y, leg_x, lag))) for lag in (lags[0], lags[-1]))
    sums = np.stack([_sums(*_moved(leg_y, leg_x, lag), blocks)[0] for lag in lags], axis=1)
    return Blocks.of(*sums) if (sums[1:].sum(axis=2) > 0).all() else None


def _lags(lags_ms: Sequence[int]) -> Integers:
    lags = np.unique(np.asarray(lags_ms))
    if not len(lags) or lags.dtype.kind not in "iu":
        raise WrongUse(f"lags_ms is {lags_ms!r}; expected whole milliseconds, such as range(-1000, 1001, 50)")
    return lags.astype(np.int64)


def _curve(lags: Integers, correlation: Floats | float = math.nan, width: Floats | float = math.nan) -> pd.DataFrame:
    bounds = {"correlation": correlation, "low": correlation - width, "high": correlation + width}
    columns = {name: np.clip(column, -1, 1) for name, column in bounds.items()}
    return pd.DataFrame(columns, index=pd.Index(lags, name="lag_ms"))


def _too_few(n_y: int, n_x: int) -> str:
    if min(n_y, n_x) >= LEAST_TICKS:
        return ""
    return f"{n_y} ticks of y and {n_x} of x at different moments of the common time; {LEAST_TICKS} of each are needed"


def _short(n: int) -> str:
    return f"{n} ticks of the slower leg; an interval needs {LEAST_BLOCKS**2}"


def _blocks(n_y: int, n_x: int) -> int:
    """Return how many blocks: longer ones see a longer memory, more of them know their own spread better."""
    return min(max(math.isqrt(min(n_y, n_x)), 1), MOST_BLOCKS)


def _estimate(sums: Floats, confidence: float, slower: int) -> tuple[float, float, float, str]:
    """Return the correlation, its interval, and why a part of it is missing or was cut."""
    if not (sums[1:].sum(axis=1) > 0).all():
        still = " and ".join(name for name, row in (("y", 1), ("x", 2)) if not sums[row].any())
        return math.nan, math.nan, math.nan, f"{still} did not move"
    found = Blocks.of(*sums[:, None])
    raw = float(found.correlation[0])
    value = float(np.clip(raw, -1, 1))
    reason = f"the estimate {raw:.3f} was cut to {value:.0f}: too few overlapping ticks" if abs(raw) > 1 + 1e-9 else ""
    if sums.shape[1] < LEAST_BLOCKS:
        return value, math.nan, math.nan, reason or _short(slower)
    width = found.width(0, confidence)
    return value, max(raw - width, -1.0), min(raw + width, 1.0), reason


class _Leg(NamedTuple):
    """Distinct times in rising order, the log return into each but the first, and how many ticks were merged."""

    time: Integers
    price: Floats
    change: Floats
    merged: int


def _sums(leg_y: _Leg, leg_x: _Leg, blocks: int) -> tuple[Floats, int]:
    sums, overlaps = overlap_sums(leg_y.time, leg_y.change, leg_x.time, leg_x.change, blocks)
    return sums, int(overlaps)


def _common(leg_y: _Leg, leg_x: _Leg) -> tuple[_Leg, _Leg]:
    """Cut both legs to the time in which both trade."""
    if not len(leg_y.time) or not len(leg_x.time):
        return _cut(leg_y, 0, 0), _cut(leg_x, 0, 0)
    start, end = max(leg_y.time[0], leg_x.time[0]), min(leg_y.time[-1], leg_x.time[-1])
    first, last = (_cut(leg, *np.searchsorted(leg.time, (start, end + 1)).tolist()) for leg in (leg_y, leg_x))
    return first, last


def _cut(leg: _Leg, start: int, end: int) -> _Leg:
    return _Leg(leg.time[start:end], leg.price[start:end], leg.change[start : max(end - 1, start)], leg.merged)


def _leg(ticks: Ticks, name: str, every_ms: int) -> _Leg:
    time, price = _columns(ticks, name)
    good = np.isfinite(price) & (price > 0) & (time != NO_TIME)
    if not good.all():
        time, price = time[good], price[good]
    if len(time) and (time[1:] < time[:-1]).any():
        order = np.argsort(time, kind="stable")
        time, price = time[order], price[order]
    return _last_of_each(time, price, every_ms)


def _last_of_each(time: Integers, price: Floats, every_ms: int) -> _Leg:
    """Keep the last of the ticks that lie within the same `every_ms`."""
    period = time if every_ms == 1 else time // every_ms
    last = np.ones(len(time), np.bool_)
    last[:-1] = period[1:] != period[:-1]
    merged = len(time) - int(np.count_nonzero(last))
    if merged:
        time, price = time[last], price[last]
    return _Leg(time, price, growth(price), merged)


def _columns(ticks: Ticks, name: str) -> tuple[Integers, Floats]:
    """Return times in epoch milliseconds, and prices."""
    time: Any
    price: Any
    if isinstance(ticks, pd.Series):
        time, price = ticks.index, ticks
    elif isinstance(ticks, pd.DataFrame):
        time, price = _frame_columns(ticks, name)
    elif isinstance(ticks, tuple) and len(ticks) == 2 and not isinstance(ticks[0], Tick):
        time, price = ticks
    elif isinstance(ticks, Sequence) and all(isinstance(tick, Tick) for tick in ticks):
        time, price = [tick.time_ms for tick in ticks], [tick.price for tick in ticks]
    else:
        raise WrongUse(
            f"{name} is {type(ticks).__name__}; expected prices indexed by time, a frame, (times, prices), Ticks"
        )
    prices, moments = values(price, name=f"the prices of {name}"), _milliseconds(time, name)
    if len(moments) != len(prices):
        raise WrongUse(f"{name} has {len(moments)} times and {len(prices)} prices; expected as many of each")
    return moments, prices


def _frame_columns(ticks: pd.DataFrame, name: str) -> tuple[Any, Any]:
    choose(f"column of {name}", "price", tuple(map(str, ticks.columns)))
    column = next((word for word in ("time_ms", "time") if word in ticks.columns), None)
    return ticks.index if column is None else ticks[column], ticks["price"]


NO_TIME = np.iinfo(np.int64).min
"""What numpy and pandas write where a time is missing."""


def _milliseconds(time: Any, name: str) -> Integers:
    """Return epoch milliseconds; without a zone it is UTC."""
    if isinstance(getattr(time, "dtype", None), pd.DatetimeTZDtype):
        time = pd.DatetimeIndex(time).tz_convert(None)
    moments: NDArray[Any] = np.asarray(time)
    if moments.dtype.kind == "M":
        return moments.astype("datetime64[ms]").astype(np.int64)
    if moments.dtype.kind == "f":
        return np.where(np.isfinite(moments), moments, NO_TIME).astype(np.int64)
    if moments.dtype.kind not in "iu" and len(moments):
        raise WrongUse(f"the times of {name} are {moments.dtype}; expected epoch milliseconds or datetimes")
    return np.ascontiguousarray(moments, dtype=np.int64)
