"""The nouns of the market, the arithmetic of bars, and the base of the error tree.

Time is UTC epoch milliseconds everywhere in here; ranges are half-open, ``[start, end)``.

    PairscopeError                 everything this project raises on purpose
    ├── WrongUse                   the caller asked for something that does not exist (exit code 2)
    │   ├── UnknownName            with the nearest match, when there is one
    │   └── SettingsError          pairscope/settings.py
    ├── StoreError                 store.py draws its branch
    └── FeedError                  ingest.py draws its branch
"""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

MAX_ID = 2**63 - 1
"""The largest trade id that a store can hold (a signed 64-bit integer)."""

EARLIEST_MS = 631_152_000_000
"""1990: anything earlier is seconds taken for milliseconds, or worse."""

Side = Literal["buy", "sell"]
"""The side of the taker, the one who crossed the spread."""

Label = Literal["LIVE", "SIMULATED", "REPLAY", "FILE"]
"""Where the trades of a desk come from; every view and export says it."""

IMPORTED = "import"
"""The venue of trades and bars whose file names none."""


class PairscopeError(Exception):
    """Anything that this project raises on purpose."""


class WrongUse(PairscopeError):
    """The caller asked for something that cannot be: exit code 2 on the command line."""


class UnknownName(WrongUse):
    """A name that is not among the known ones.

    Args:
        kind: what the name stands for, such as "venue".
        name: what was given.
        known: the names that would have been right.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        allowed = ", ".join(self.known[:12]) or "none yet"
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, self.known)}; known: {allowed}")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return ``" (did you mean X?)"`` for the nearest known name, or an empty string."""
    folded = {candidate.upper(): candidate for candidate in known}
    near = difflib.get_close_matches(name.upper(), list(folded), n=1, cutoff=0.6)
    return f" (did you mean {folded[near[0]]}?)" if near else ""


class Instrument(NamedTuple):
    """One symbol at one venue."""

    venue: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.venue}:{self.symbol}"

    @classmethod
    def parse(cls, text: str, *, venue: str) -> Self:
        """Read ``BTCUSDT`` (at `venue`) or ``binance-futures:BTCUSDT``."""
        name, colon, symbol = text.strip().partition(":")
        return cls(name, symbol) if colon else cls(venue, name)


class Tick(NamedTuple):
    """One trade. `side` is the taker's, None where the source does not say."""

    venue: str
    symbol: str
    trade_id: int
    time_ms: int
    price: float
    qty: float
    side: Side | None

    @property
    def instrument(self) -> Instrument:
        return Instrument(self.venue, self.symbol)


def flaw(tick: Tick, *, latest_ms: int) -> str | None:
    """Return why `tick` cannot be a market trade, or None when it can.

    Args:
        tick: the trade to look at.
        latest_ms: no honest trade is later than this (now, plus what clocks may differ by).
    """
    if not (isinstance(tick.price, float) and math.isfinite(tick.price) and tick.price > 0):
        return "price is not a positive number"
    if not (isinstance(tick.qty, float) and math.isfinite(tick.qty) and tick.qty > 0):
        return "quantity is not a positive number"
    if type(tick.trade_id) is not int or not 0 <= tick.trade_id <= MAX_ID:
        return "trade id is not an integer from 0 to 2**63 - 1"
    if type(tick.time_ms) is not int or tick.time_ms < EARLIEST_MS:
        return "time is not in epoch milliseconds"
    if tick.time_ms > latest_ms:
        return "time is in the future"
    if tick.side not in ("buy", "sell", None):
        return "side is neither buy nor sell"
    return None


_TIMEFRAME = re.compile(r"([1-9][0-9]{0,7})([smhd])")
_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """The length of a bar, in whole seconds; bars start at multiples of it since 1970."""

    ms: int

    def __post_init__(self) -> None:
        if self.ms <= 0 or self.ms % SECOND or self.ms > 366 * DAY:
            raise WrongUse(f"a timeframe is a whole number of seconds up to 366d, not {self.ms} ms")

    @classmethod
    def parse(cls, text: "str | Timeframe") -> "Timeframe":
        """Read ``15s``, ``1m``, ``4h``, ``1d``: a number and one of s, m, h, d.

        Raises:
            WrongUse: for anything else; "1M", "min" and pandas offsets are not timeframes.
        """
        if isinstance(text, Timeframe):
            return text
        found = _TIMEFRAME.fullmatch(text)
        if found is None:
            raise WrongUse(f"unknown timeframe {text!r}: write a number and s, m, h or d, such as 5s, 1m, 4h")
        return cls(int(found[1]) * _UNITS[found[2]])

    def __str__(self) -> str:
        for unit, ms in reversed(_UNITS.items()):
            if self.ms % ms == 0:
                return f"{self.ms // ms}{unit}"
        raise AssertionError("a timeframe is a whole number of seconds")

    def floor(self, time_ms: int) -> int:
        """Return the start of the bar that holds `time_ms`."""
        return time_ms - time_ms % self.ms


class Hole(NamedTuple):
    """Trade ids that were skipped, `first_id` to `last_id`, between trades at `start_ms` and `end_ms`."""

    instrument: Instrument
    first_id: int
    last_id: int
    start_ms: int
    end_ms: int
    cause: str


GapState = Literal["open", "filled", "empty", "abandoned"]
"""`empty`: the exchange confirmed that the missing ids hold no trade."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Trade ids that are missing between two stored trades, or were missing once.

    `first_id` to `last_id` (inclusive) is what is still missing while the gap is open, and what was last missing after.
    `start_ms` and `end_ms` are the times of the stored trades on both sides of it.
    """

    key: int
    instrument: Instrument
    first_id: int
    last_id: int
    start_ms: int
    end_ms: int
    opened_ms: int
    cause: str
    state: GapState
    filled: int
    closed_ms: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a range was recorded: its time less what open and abandoned gaps take, in milliseconds."""

    start_ms: int
    end_ms: int
    recorded_ms: int

    @property
    def share(self) -> float:
        """The recorded share, from 0 to 1; NaN for an empty range."""
        return self.recorded_ms / (self.end_ms - self.start_ms) if self.end_ms > self.start_ms else math.nan


class Reject(NamedTuple):
    """A trade that cannot be stored, and why; `detail` is what came, as text, for a person to read."""

    venue: str
    symbol: str
    reason: str
    detail: str
    time_ms: int = 0
    """When it was rejected; set by the store."""


class Pair(NamedTuple):
    """The two legs of a pair: y is explained by x."""

    y: Instrument
    x: Instrument


class Bar(NamedTuple):
    """One bar of one instrument; turnover is price times quantity, summed."""

    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    buy_volume: float
    trades: int
    klines: bool = False
    gap: bool = False
    forming: bool = False


Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bars:
    """Bars of one instrument by columns, in time order; a period without trades has no bar.

    `time` is the start of each bar. `klines` marks bars that came from the exchange's candles instead of its trades,
    `gap` bars that overlap an open or abandoned gap, `forming` the one that may still change.
    `buy_volume` is NaN where the side of the taker is not known.
    """

    instrument: Instrument
    timeframe: Timeframe
    time: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    turnover: Floats
    buy_volume: Floats
    trades: Integers
    klines: Flags
    gap: Flags
    forming: Flags

    def __len__(self) -> int:
        return len(self.time)

    def __iter__(self) -> Iterator[Bar]:
        return map(Bar._make, zip(*(column.tolist() for column in self.columns().values()), strict=True))

    def __getitem__(self, rows: slice | Flags | Integers) -> "Bars":
        return Bars(self.instrument, self.timeframe, *(column[rows] for column in self.columns().values()))

    def copy(self) -> "Bars":
        """Return the same bars in arrays of their own."""
        return Bars(self.instrument, self.timeframe, *(column.copy() for column in self.columns().values()))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, `time` first."""
        return {name: getattr(self, name) for name in BAR_COLUMNS}

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The same bars as a DataFrame, indexed by the start of each bar in UTC."""
        import pandas as pd  # here, because the first page does without it

        columns = self.columns()
        index = pd.DatetimeIndex(columns.pop("time").astype("datetime64[ms]"), tz="UTC", name="time")
        return pd.DataFrame(columns, index=index)

    def between(self, start_ms: int, end_ms: int) -> "Bars":
        """Return the bars that start in ``[start_ms, end_ms)``, without copying."""
        low, high = self.time.searchsorted((start_ms, end_ms))
        return self[low:high]


BAR_COLUMNS = tuple(field.name for field in fields(Bars) if field.name not in ("instrument", "timeframe"))
_DTYPES = {"time": np.int64, "trades": np.int64, "klines": np.bool_, "gap": np.bool_, "forming": np.bool_}


def bars_from_rows(instrument: Instrument, timeframe: Timeframe, rows: Sequence[Sequence[object]]) -> Bars:
    """Make Bars from rows in the order of the columns; columns that the rows lack are False."""
    given = list(zip(*rows, strict=True)) if rows else [() for _ in BAR_COLUMNS]
    columns: list[NDArray[Any]] = []
    for position, name in enumerate(BAR_COLUMNS):
        values = given[position] if position < len(given) else (False,) * len(rows)
        columns.append(np.array(values, dtype=_DTYPES.get(name, np.float64)))
    return Bars(instrument, timeframe, *columns)


def join_bars(head: Bars, tail: Bars) -> Bars:
    """Return `head` followed by `tail`; the tail starts after the head ends."""
    if not len(head):
        return tail
    if not len(tail):
        return head
    pairs = zip(head.columns().values(), tail.columns().values(), strict=True)
    return Bars(tail.instrument, tail.timeframe, *(np.concatenate(pair) for pair in pairs))


def coarsen(bars: Bars, timeframe: Timeframe) -> Bars:
    """Return `bars` put together into bars of a longer timeframe.

    Raises:
        WrongUse: when the longer timeframe is not a multiple of theirs.
    """
    if timeframe.ms % bars.timeframe.ms:
        raise WrongUse(f"{bars.timeframe} bars do not add up to {timeframe} bars")
    start = bars.time - bars.time % timeframe.ms
    first = np.flatnonzero(np.diff(start, prepend=start[:1] - 1)) if len(bars) else np.empty(0, np.int64)
    if len(first) == len(bars):
        return Bars(bars.instrument, timeframe, start, *list(bars.columns().values())[1:])
    last = np.append(first[1:], len(bars)) - 1
    return Bars(
        bars.instrument,
        timeframe,
        start[first],
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        np.add.reduceat(bars.volume, first),
        np.add.reduceat(bars.turnover, first),
        np.add.reduceat(bars.buy_volume, first),
        np.add.reduceat(bars.trades, first),
        np.logical_or.reduceat(bars.klines, first),
        np.logical_or.reduceat(bars.gap, first),
        np.logical_or.reduceat(bars.forming, first),
    )


def iso(time_ms: int) -> str:
    """Write a time as ISO-8601 in UTC with milliseconds and a Z."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{np.datetime64(seconds, 's')}.{ms:03d}Z"
