"""Two legs joined by time: what both have, what one lacks, and what was filled on request."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from market import IMPORTED, SECOND, Bars, Flags, Floats, Instrument, Integers, Timeframe, WrongUse, iso
from pairscope.kernels.joining import common
from pairscope.numbers.series import values, whole_number

FLAGS = ("forming", "gap", "klines", "filled")
"""What may be said of a row, from the gravest on: bit k of a row's flags stands for the k-th of them."""

FORMING, GAP, KLINES, FILLED = (np.uint8(1 << place) for place in range(len(FLAGS)))


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """One side of a pair: closes by the start of their bars, in epoch milliseconds; volume is NaN where not known."""

    instrument: Instrument
    timeframe: Timeframe
    time: Integers
    close: Floats
    volume: Floats
    flags: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The rows of both legs at the same times, and the count of what is not there.

    `missing_y` counts bars that x has and y has not, between the later start and the earlier end of the two.
    """

    timeframe: Timeframe
    time: Integers
    y: Floats
    x: Floats
    flags: NDArray[np.uint8]
    missing_y: int
    missing_x: int
    filled_y: int
    filled_x: int
    removed: int

    def __len__(self) -> int:
        return len(self.time)

    @property
    def closed(self) -> Flags:
        """The rows that can no longer change."""
        closed: Flags = (self.flags & FORMING) == 0
        return closed


def leg_of(bars: Any, name: str) -> Leg:
    """Return bars, a Series of closes, or a frame with a column ``close`` as a leg; an index without a zone is UTC.

    Raises:
        WrongUse: for anything else, for times that are not in order or come twice.
    """
    if isinstance(bars, Bars):
        flags = bars.forming * FORMING | bars.gap * GAP | bars.klines * KLINES
        leg = Leg(bars.instrument, bars.timeframe, bars.time, bars.close, bars.volume, flags.astype(np.uint8))
    elif isinstance(bars, pd.Series | pd.DataFrame):
        leg = _leg_of_pandas(bars, name)
    else:
        raise WrongUse(f"{name} is a {type(bars).__name__}; expected Bars, or closes of pandas indexed by time")
    _demand_order(leg, name)
    good = np.isfinite(leg.close)
    if good.all():
        return leg
    return Leg(leg.instrument, leg.timeframe, leg.time[good], leg.close[good], leg.volume[good], leg.flags[good])


def _leg_of_pandas(bars: "pd.Series[Any] | pd.DataFrame", name: str) -> Leg:
    if not isinstance(bars.index, pd.DatetimeIndex):
        raise WrongUse(
            f"{name} is indexed by {type(bars.index).__name__}; expected a DatetimeIndex, the start of each bar"
        )
    index = bars.index if bars.index.tz is None else bars.index.tz_convert("UTC").tz_localize(None)
    time = index.to_numpy(dtype="datetime64[ms]").astype(np.int64)
    if isinstance(bars, pd.DataFrame):
        columns = {str(column).lower(): column for column in bars.columns}
        if "close" not in columns:
            raise WrongUse(f"{name} has the columns {', '.join(map(str, bars.columns))}; expected one named close")
        close = values(bars[columns["close"]], name=f"{name} close")
        volume = values(bars[columns["volume"]]) if "volume" in columns else np.full(len(close), np.nan)
    else:
        close, volume = values(bars, name=name), np.full(len(bars), np.nan)
    symbol = getattr(bars, "name", None)
    own = symbol is not None and str(symbol).lower() not in ("close", "price")
    instrument = Instrument(IMPORTED, str(symbol) if own else name)
    return Leg(instrument, _step(time, name), time, close, volume, np.zeros(len(time), np.uint8))


def _step(time: Integers, name: str) -> Timeframe:
    """Return the commonest distance of two bars; a minute when there are too few to tell.

    Raises:
        WrongUse: when that is less than a second.
    """
    steps = np.diff(time)
    steps = steps[steps > 0]
    if not len(steps):
        return Timeframe(60_000)
    lengths, counts = np.unique(steps, return_counts=True)
    usual = int(lengths[counts.argmax()])
    if usual < SECOND:
        raise WrongUse(f"{name} has a value every {usual} ms; expected bars of a second or more: resample it first")
    return Timeframe(usual // SECOND * SECOND)


def _demand_order(leg: Leg, name: str) -> None:
    wrong = np.flatnonzero(leg.time[1:] <= leg.time[:-1])
    if len(wrong):
        first = int(wrong[0]) + 1
        what = "comes twice" if leg.time[first] == leg.time[first - 1] else "is earlier than the one before it"
        raise WrongUse(f"{name}: the bar of {iso(int(leg.time[first]))} {what}; expected bars in order, each time once")


def join(y: Leg, x: Leg, *, fill: int = 0, minimum_volume: float = 0.0) -> Joined:
    """Join two legs by time; a leg that lacks a bar takes its last close if that is at most `fill` bars old.

    Rows in which the volume of either leg is below `minimum_volume` are left out, and counted.

    Raises:
        WrongUse: for legs of different timeframes, or a minimum where volumes are not known.
    """
    if y.timeframe != x.timeframe:
        raise WrongUse(f"y has {y.timeframe} bars and x has {x.timeframe} bars; expected the same timeframe")
    longest = whole_number("fill", fill, least=0) * y.timeframe.ms
    shared, in_y, in_x = _match(y.time, x.time)
    start, end = (max(y.time[0], x.time[0]), min(y.time[-1], x.time[-1])) if len(y.time) and len(x.time) else (1, 0)
    if longest and end >= start:
        end = min(max(y.time[-1], x.time[-1]), end + longest)
    absent_y = _between(x.time, start, end) - len(shared)
    absent_x = _between(y.time, start, end) - len(shared)
    borrowed_y = borrowed_x = np.zeros(len(shared), np.bool_)
    if longest and (absent_y or absent_x):
        shared, in_y, in_x = _match_filled(y.time, x.time, start, longest)
        borrowed_y, borrowed_x = y.time[in_y] < shared, x.time[in_x] < shared
    flags = y.flags[in_y] | x.flags[in_x] | (borrowed_y | borrowed_x) * FILLED
    filled_y, filled_x = int(borrowed_y.sum()), int(borrowed_x.sum())
    kept = _busy(y, x, in_y, in_x, minimum_volume)
    return Joined(
        timeframe=y.timeframe,
        time=shared[kept],
        y=y.close[in_y][kept].copy(),  # of our own, also where all rows are taken: the caller may go on writing
        x=x.close[in_x][kept].copy(),
        flags=flags.astype(np.uint8)[kept],
        missing_y=absent_y - filled_y,
        missing_x=absent_x - filled_x,
        filled_y=filled_y,
        filled_x=filled_x,
        removed=len(shared) - len(shared[kept]),
    )


def _match(time_y: Integers, time_x: Integers) -> tuple[Integers, Any, Any]:
    """Return the times that both legs have, and their places in each."""
    if np.array_equal(time_y, time_x):
        return time_y.copy(), slice(None), slice(None)
    in_y, in_x = common(_read_only(time_y), _read_only(time_x))
    return time_y[in_y], in_y, in_x


def _read_only(time: Integers) -> Integers:
    """Return times as the kernel takes them: bars of a store may not be written to, and it is compiled for one kind."""
    view = np.ascontiguousarray(time, np.int64).view()
    view.flags.writeable = False
    return view


def _match_filled(time_y: Integers, time_x: Integers, start: int, longest: int) -> tuple[Integers, Integers, Integers]:
    """Return the times at which both legs have a bar that is at most `longest` old, and the places of these bars."""
    times = np.union1d(time_y, time_x)
    times = times[times >= start]  # beyond the earlier end too: a leg that is late is filled now, as it was before
    at_y, at_x = (np.searchsorted(time, times, side="right") - 1 for time in (time_y, time_x))
    fresh = (times - time_y[at_y] <= longest) & (times - time_x[at_x] <= longest)
    return times[fresh], at_y[fresh], at_x[fresh]


def _between(time: Integers, start: int, end: int) -> int:
    return int(np.searchsorted(time, end, side="right") - np.searchsorted(time, start)) if end >= start else 0


def _busy(y: Leg, x: Leg, in_y: Any, in_x: Any, least: float) -> Flags | slice:
    """Return which rows have enough volume in both legs; all of them when nothing is asked for."""
    if not least >= 0:
        raise WrongUse(f"minimum_volume is {least!r}; expected 0 or more")
    if least == 0:
        return slice(None)
    volume_y, volume_x = y.volume[in_y], x.volume[in_x]
    for volume, name in ((volume_y, "y"), (volume_x, "x")):
        if len(volume) and np.isnan(volume).all():
            raise WrongUse(f"the volumes of {name} are not known: a minimum volume cannot be asked for")
    busy: Flags = (volume_y >= least) & (volume_x >= least)
    return busy
