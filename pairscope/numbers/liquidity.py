"""How much trades, who takes, and what it does to the price."""

import math
from dataclasses import dataclass

import numpy as np

from market import MINUTE, Bars, Floats, WrongUse
from pairscope.numbers.statistics import growth, neighbours


@dataclass(frozen=True, slots=True)
class Liquidity:
    """What traded in some bars; NaN where the source did not say it, and `reason` names what is unknown.

    `volume` is in the base currency, `turnover` in the quote currency; `buy_share` is the share of the volume that
    buyers took; `amihud` is the mean of |return| / turnover, times a million: the move, as a share of the price, that
    goes with a million of the quote currency. `n` is the number of bars, `incomplete` of those that overlap a gap.
    """

    n: int
    incomplete: int
    volume: float
    turnover: float
    trades: float
    trades_per_minute: float
    buy_share: float
    vwap: float
    amihud: float
    reason: str = ""


def liquidity(bars: Bars, *, covered_ms: float | None = None) -> Liquidity:
    """Describe the trading in `bars`, the forming one left out.

    Args:
        bars: bars of one instrument. Zero trades or no turnover in a bar that traded mean that they are unknown.
        covered_ms: the time that was recorded (`market.Coverage.recorded_ms`); by default from the start of the first
            bar to the end of the last, in which bars without trades count as quiet.
    """
    if bars.forming.any():
        bars = bars[~bars.forming]
    volume = _known(bars.volume)
    turnover, trades = _known(bars.turnover), _known(bars.trades.astype(np.float64))
    span = int(bars.time[-1] - bars.time[0]) + bars.timeframe.ms if len(bars) else 0
    minutes = (span if covered_ms is None else covered_ms) / MINUTE
    return Liquidity(
        n=len(bars),
        incomplete=int(np.count_nonzero(bars.gap)),
        volume=_total(volume),
        turnover=_total(turnover),
        trades=_total(trades),
        trades_per_minute=_total(trades) / minutes if minutes > 0 else math.nan,
        buy_share=_ratio(bars.buy_volume, volume),
        vwap=_ratio(turnover, volume),
        amihud=_amihud(bars, turnover),
        reason=_unknown(volume=volume, turnover=turnover, trades=trades, buy_volume=bars.buy_volume),
    )


def _known(amounts: Floats) -> Floats:
    """Return the amounts of bars, NaN where one is not positive: a bar exists because something traded."""
    return np.where(np.isfinite(amounts) & (amounts > 0), amounts, math.nan)


def _total(amounts: Floats) -> float:
    """Return the sum, NaN when a part of it is unknown."""
    return float(amounts.sum()) if len(amounts) else math.nan


def _ratio(part: Floats, whole: Floats) -> float:
    """Return sum over sum, of the bars in which both are known."""
    known = np.isfinite(part) & np.isfinite(whole)
    return float(part[known].sum() / whole[known].sum()) if known.any() else math.nan


def _amihud(bars: Bars, turnover: Floats) -> float:
    """Return Amihud's (2002) illiquidity over returns between neighbouring bars, times a million."""
    impact = np.abs(growth(bars.close, log=False)) / turnover[1:]
    impact = impact[np.isfinite(impact) & neighbours(bars.time, bars.timeframe.ms)]
    return float(impact.mean()) * 1e6 if len(impact) else math.nan


def _unknown(**columns: Floats) -> str:
    lacking = {name: int(np.count_nonzero(np.isnan(column))) for name, column in columns.items()}
    parts = [f"{name.replace('_', ' ')} in {count}" for name, count in lacking.items() if count]
    n = len(columns["volume"])
    if not n:
        return "there are no bars"
    return f"unknown of {n} bars: {', '.join(parts)}" if parts else ""


@dataclass(frozen=True, slots=True, eq=False)
class VolumeFilter:
    """The bars that traded enough; `removed` of `n` did not, `unknown` among them because their volume is not known."""

    bars: Bars
    volume: float
    n: int
    removed: int
    unknown: int

    @property
    def share(self) -> float:
        """The removed share of the bars, from 0 to 1; NaN when there were none."""
        return self.removed / self.n if self.n else math.nan

    @property
    def words(self) -> str:
        """What the filter did, in a sentence."""
        unknown = f", {self.unknown} of them of unknown volume" if self.unknown else ""
        done = f"removed {self.removed} of {self.n} bars" + (f" ({self.share:.1%})" if self.n else "")
        return f"{done} with a volume below {self.volume:g}{unknown}"


def minimum_volume(bars: Bars, *, volume: float) -> VolumeFilter:
    """Keep the bars with a volume of at least `volume`, in the base currency.

    A removed bar is missing afterwards, as if nothing had traded in it. A bar of unknown volume is kept only by 0.

    Raises:
        WrongUse: for a minimum that is negative or not a number.
    """
    if not (math.isfinite(volume) and volume >= 0):
        raise WrongUse(f"volume is {volume!r}; expected a number from 0, the least volume of a bar to keep")
    keep = bars.volume >= volume if volume > 0 else np.ones(len(bars), np.bool_)
    unknown = int(np.count_nonzero(np.isnan(bars.volume) & ~keep))
    removed = len(bars) - int(np.count_nonzero(keep))
    return VolumeFilter(bars[keep], float(volume), len(bars), removed, unknown)
