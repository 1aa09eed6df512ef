"""What a price did: returns, volatility, tails and drawdown, for a market that never closes.

A return is taken between two neighbouring bars only: one that spans a hole is longer than a bar, and is left out and
counted. Mean, volatility, skew and kurtosis are those of log returns; value at risk and expected shortfall are those of
simple returns, because they say which share of the money is lost.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from market import DAY, Bars, Flags, Floats, Integers, WrongUse
from pairscope.numbers.series import Series, index_of, values, yes_or_no

YEAR_MS = 365 * DAY
"""A market that never closes has 365 whole days a year, not 252."""


def share(name: str, value: float) -> float:
    """Return an option that lies between 0 and 1, both excluded.

    Raises:
        WrongUse: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.floating) or not 0 < value < 1:
        raise WrongUse(f"{name} is {value!r}; expected a number between 0 and 1, such as 0.95")
    return float(value)


def growth(prices: Floats, *, log: bool = True) -> Floats:
    """Return the return of every row but the first; NaN next to a price that is missing or not positive."""
    good = np.isfinite(prices) & (prices > 0)
    if not good.all():
        prices = np.where(good, prices, math.nan)
    with np.errstate(all="ignore"):
        steps = np.diff(prices) / prices[:-1]
        steps[~((steps > -1) & (steps < math.inf))] = math.nan  # lost to rounding: a move by more than a factor of 1e16
        return np.log1p(steps) if log else steps


def row_returns(prices: Floats, *, log: bool = True) -> Floats:
    """Return the return of every row; NaN in the first."""
    changes = np.full(len(prices), math.nan)
    changes[1:] = growth(prices, log=log)
    return changes


def returns(series: Series, *, log: bool = True) -> pd.Series:
    """Return the returns of prices from row to row, the first of them NaN.

    Args:
        series: prices in time order.
        log: ``ln(p[t] / p[t-1])``; otherwise ``p[t] / p[t-1] - 1``.
    """
    changes = row_returns(values(series), log=yes_or_no("log", log))
    return pd.Series(changes, index=index_of(series), name="return", copy=False)


def drawdown(series: Series) -> pd.Series:
    """Return how far each price is below the highest before it, as a share: 0 at a new high, -0.2 at 20 % below."""
    return pd.Series(_depth(values(series)), index=index_of(series), name="drawdown", copy=False)


def _depth(prices: Floats) -> Floats:
    good = np.isfinite(prices) & (prices > 0)
    known = prices if good.all() else np.where(good, prices, math.nan)
    return known / np.fmax.accumulate(known) - 1


def value_at_risk(returns: Series, *, level: float = 0.95) -> float:
    """Return the loss that one return exceeds with a chance of 1 - level, by history; positive is a loss.

    Returns:
        Minus the (1 - level) quantile of the finite returns, interpolated as numpy and pandas do; NaN when there are
        too few returns for one of them to be beyond it (20 at 0.95, 100 at 0.99).
    """
    return _value_at_risk(_finite(values(returns, name="returns")), share("level", level))


def expected_shortfall(returns: Series, *, level: float = 0.95) -> float:
    """Return the mean loss of the returns at or beyond the value at risk; positive is a loss.

    Reference: Rockafellar and Uryasev 2002 (conditional value at risk), historical.
    """
    return _expected_shortfall(_finite(values(returns, name="returns")), share("level", level))


def _finite(array: Floats) -> Floats:
    return array[np.isfinite(array)]


def _value_at_risk(changes: Floats, level: float) -> float:
    if len(changes) * (1 - level) < 1 - 1e-9:
        return math.nan
    return 0.0 - float(np.quantile(changes, 1 - level))


def _expected_shortfall(changes: Floats, level: float) -> float:
    limit = _value_at_risk(changes, level)
    with np.errstate(over="ignore"):
        return math.nan if math.isnan(limit) else 0.0 - float(changes[changes <= -limit].mean())


class Shape(NamedTuple):
    """The first four moments of a sample; kurtosis is 0 for a normal distribution."""

    mean: float
    deviation: float
    skew: float
    kurtosis: float


def shape(sample: Floats) -> Shape:
    """Return mean, standard deviation (ddof 1), skew and excess kurtosis, both corrected for the size of the sample.

    Reference: Joanes and Gill 1998, G1 and G2; equal to pandas' `skew` and `kurt` and to scipy's with ``bias=False``.
    """
    n = len(sample)
    mean = float(sample.mean()) if n else math.nan
    centred = sample - mean
    largest = float(np.abs(centred).max()) if n else 0.0
    if n < 2 or largest <= 1e-13 * abs(mean):  # equal but for rounding
        return Shape(mean, 0.0 if n > 1 else math.nan, math.nan, math.nan)
    unit = centred / largest
    squares = unit * unit
    square = float(squares.mean())
    third, fourth = float((squares * unit).mean()) / square**1.5, float((squares * squares).mean()) / square**2
    return Shape(
        mean,
        largest * math.sqrt(square * n / (n - 1)),
        third * math.sqrt(n * (n - 1)) / (n - 2) if n > 2 else math.nan,
        ((n + 1) * fourth - 3 * (n - 1)) * (n - 1) / ((n - 2) * (n - 3)) if n > 3 else math.nan,
    )


@dataclass(frozen=True, slots=True)
class PriceStatistics:
    """What one price did; a number that the data cannot give is NaN, and `reason` says why.

    `n` is the number of returns used, `left_out` of those that span a hole or touch a missing price. `mean_return`,
    `volatility`, `skew` and `kurtosis` (excess) are of log returns a bar; `annualised_volatility` is NaN when nothing
    says how long a bar is. `change` is from the first to the last price, as a share. Losses are positive shares:
    `value_at_risk_*`, `expected_shortfall_*` of one bar, `max_drawdown` of the whole. `drawdown_start`, `_trough` and
    `_end` are the peak before it, its lowest bar and the recovery (None while it lasts), in epoch milliseconds where
    the data carry time, else row numbers; `drawdown_bars` is its length from peak to recovery or to the last row.
    """

    n: int
    left_out: int
    last: float
    high: float
    low: float
    change: float
    mean_return: float
    volatility: float
    annualised_volatility: float
    skew: float
    kurtosis: float
    value_at_risk_95: float
    value_at_risk_99: float
    expected_shortfall_95: float
    expected_shortfall_99: float
    max_drawdown: float
    drawdown_start: int | None
    drawdown_trough: int | None
    drawdown_end: int | None
    drawdown_bars: int
    reason: str = ""


class _Path(NamedTuple):
    """Prices with the time of each, where it is known, and the length of a bar in milliseconds, or 0."""

    close: Floats
    high: Floats
    low: Floats
    time: Integers | None
    bar_ms: int


def price_statistics(
    data: Series | Bars, *, timeframe_ms: int | None = None, periods_per_year: float | None = None
) -> PriceStatistics:
    """Describe one price.

    Args:
        data: bars (the forming one is left out), or closing prices; a Series indexed by time shows its holes when
            `timeframe_ms` is given, otherwise every row is taken for the neighbour of the row before.
        timeframe_ms: the length of a bar; bars know their own.
        periods_per_year: bars a year, when it is not 365 days of them.
    """
    path = _path(data, timeframe_ms)
    steps, left_out = _steps(path)
    mean, volatility, skew, kurtosis = shape(np.log1p(steps))
    if periods_per_year is not None and not periods_per_year > 0:
        raise WrongUse(f"periods_per_year is {periods_per_year!r}; expected how many bars a year has, such as 525600")
    if periods_per_year is None:
        periods_per_year = YEAR_MS / path.bar_ms if path.bar_ms else math.nan
    known = _finite(path.close)
    high, low = _finite(path.high), _finite(path.low)
    return PriceStatistics(
        n=len(steps),
        left_out=left_out,
        last=float(known[-1]) if len(known) else math.nan,
        high=float(high.max()) if len(high) else math.nan,
        low=float(low.min()) if len(low) else math.nan,
        change=float(known[-1] / known[0] - 1) if len(known) and known[0] > 0 else math.nan,
        mean_return=mean,
        volatility=volatility,
        annualised_volatility=volatility * math.sqrt(periods_per_year),
        skew=skew,
        kurtosis=kurtosis,
        value_at_risk_95=_value_at_risk(steps, 0.95),
        value_at_risk_99=_value_at_risk(steps, 0.99),
        expected_shortfall_95=_expected_shortfall(steps, 0.95),
        expected_shortfall_99=_expected_shortfall(steps, 0.99),
        **_worst(path),
        reason=_shortage(len(steps), volatility),
    )


def _path(data: Series | Bars, timeframe_ms: int | None) -> _Path:
    if isinstance(data, Bars):
        bars = data[~data.forming] if data.forming.any() else data
        return _Path(bars.close, bars.high, bars.low, bars.time, bars.timeframe.ms)
    if timeframe_ms is not None and not timeframe_ms > 0:
        raise WrongUse(f"timeframe_ms is {timeframe_ms!r}; expected the length of a bar in milliseconds, such as 60000")
    prices = values(data)
    return _Path(prices, prices, prices, times(data), int(timeframe_ms or 0))


def times(series: Series) -> Integers | None:
    """Return the epoch milliseconds of a Series indexed by time, None for anything else; without a zone it is UTC."""
    index = getattr(series, "index", None)
    return index.as_unit("ms").asi8 if isinstance(index, pd.DatetimeIndex) else None


def _steps(path: _Path) -> tuple[Floats, int]:
    """Return the simple returns between neighbouring bars, and how many others were left out."""
    steps = growth(path.close, log=False)
    good = np.isfinite(steps)
    if path.time is not None and path.bar_ms:
        good &= neighbours(path.time, path.bar_ms)
    used = steps if good.all() else steps[good]
    return used, len(steps) - len(used)


def neighbours(time: Integers, bar_ms: int) -> Flags:
    """Return for every bar but the first whether it starts right where the one before ends."""
    adjacent: Flags = np.diff(time) == bar_ms
    return adjacent


def _worst(path: _Path) -> dict[str, Any]:
    """Return the fields of the deepest drawdown of the closing prices."""
    depth = _depth(path.close)
    nothing = {"drawdown_start": None, "drawdown_trough": None, "drawdown_end": None, "drawdown_bars": 0}
    if np.isnan(depth).all():
        return {"max_drawdown": math.nan, **nothing}
    trough = int(np.nanargmin(depth))
    if depth[trough] == 0:
        return {"max_drawdown": 0.0, **nothing}
    start = int(np.flatnonzero(depth[:trough] == 0)[-1])
    healed = np.flatnonzero(depth[trough:] == 0)
    end = trough + int(healed[0]) if len(healed) else None
    return {
        "max_drawdown": -float(depth[trough]),
        "drawdown_start": _moment(path, start),
        "drawdown_trough": _moment(path, trough),
        "drawdown_end": None if end is None else _moment(path, end),
        "drawdown_bars": (len(depth) - 1 if end is None else end) - start,
    }


def _moment(path: _Path, row: int) -> int:
    return row if path.time is None else int(path.time[row])


def _shortage(n: int, volatility: float) -> str:
    if n < 2:
        return f"{n} returns between neighbouring bars; volatility needs 2, the tail at 95 % needs 20"
    if volatility == 0:
        return "the price did not move"
    return "" if n >= 100 else f"{n} returns: too few for the tail at {'95 and ' if n < 20 else ''}99 %"
