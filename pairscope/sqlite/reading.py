"""Reading bars, trades and gaps of one instrument, within one snapshot of the database."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from market import (
    MAX_ID,
    MINUTE,
    SECOND,
    Bars,
    Flags,
    Gap,
    Instrument,
    Side,
    Tick,
    Timeframe,
    bars_from_rows,
    coarsen,
    join_bars,
)
from pairscope.sqlite.cache import FOREVER, Read

_BAR = "time, open, high, low, close, volume, turnover, buy_volume, trades"
SECONDS = f"SELECT {_BAR} FROM bars_1s WHERE symbol = ? AND time >= ? AND time < ? ORDER BY time"  # noqa: S608
MINUTES = f"SELECT {_BAR} FROM bars_1m WHERE symbol = ? AND time >= ? AND time < ? ORDER BY time"  # noqa: S608
KLINES = f"SELECT {_BAR} FROM klines WHERE symbol = ? AND length = ? AND time >= ? AND time < ? ORDER BY time"  # noqa: S608
NEWEST_SECOND = "SELECT max(time) FROM bars_1s WHERE symbol = ?"
EARLIEST = """
    SELECT (SELECT min(time) FROM bars_1s WHERE symbol = :key), (SELECT min(time) FROM bars_1m WHERE symbol = :key)"""
NEXT_LENGTH = "SELECT min(length) FROM klines WHERE symbol = ? AND length > ?"
LATER_KLINE = "SELECT EXISTS (SELECT 1 FROM klines WHERE symbol = ? AND length = ? AND time > ?)"
KLINE_SPAN = "SELECT min(time), max(time + length) FROM klines WHERE symbol = ?"
NEXT_BAR = """
    SELECT min(time) FROM (
        SELECT min(time) AS time FROM bars_1s WHERE symbol = :key AND time >= :time - :time % 1000
        UNION ALL SELECT min(time) FROM bars_1m WHERE symbol = :key AND time >= :time - :time % 60000)"""
UNRECORDED = """
    SELECT start, "end" FROM gaps
    WHERE symbol = ? AND state IN ('open', 'abandoned') AND "end" >= ? AND start < ? ORDER BY start"""
ID_RANGE = """
    SELECT min(first_id), max(last_id) FROM (
        SELECT first_id, last_id FROM bars_1m WHERE symbol = :key AND time >= :start - :start % 60000 AND time < :end
        UNION ALL
        SELECT first_id, last_id FROM bars_1s WHERE symbol = :key AND time >= :tail AND time < :end)"""
TICKS = """
    SELECT trade_id, time, price, qty, buy FROM ticks
    WHERE symbol = ? AND trade_id BETWEEN ? AND ? AND time >= ? AND time < ? ORDER BY time, trade_id"""
_GAP = """
    SELECT gaps.key, venue, symbols.symbol, first_id, last_id, start, "end", opened, state, cause,
        filled, closed, reason
    FROM gaps JOIN symbols ON symbols.key = gaps.symbol"""
ANY_GAPS = f"{_GAP} WHERE (:state IS NULL OR state = :state) ORDER BY start, gaps.key"
SYMBOL_GAPS = f"""{_GAP} WHERE gaps.symbol = :symbol AND first_id BETWEEN :first AND :last AND last_id <= :last
    AND (:state IS NULL OR state = :state) ORDER BY start, gaps.key"""
ONE_GAP = f"{_GAP} WHERE gaps.key = ?"

SIDES: dict[int | None, Side | None] = {1: "buy", 0: "sell", None: None}


def extent(db: sqlite3.Connection, key: int) -> tuple[int, int] | None:
    """Return the start of the first second with a trade and the end of the last, or None without trades.

    Where 1-second bars were pruned, the first minute stands for the first second.
    """
    newest = db.execute(NEWEST_SECOND, (key,)).fetchone()[0]
    if newest is None:
        return None
    second, minute = db.execute(EARLIEST, {"key": key}).fetchone()
    pruned = minute is not None and minute + MINUTE <= second
    return minute if pruned else second, newest + SECOND


def bar_extent(db: sqlite3.Connection, key: int) -> tuple[int, int] | None:
    """Return the start of the first bar and the end of the last, candles included, or None without any."""
    traded, candles = extent(db, key), db.execute(KLINE_SPAN, (key,)).fetchone()
    if traded is None or candles[0] is None:
        return traded or (None if candles[0] is None else candles)
    return min(traded[0], candles[0]), max(traded[1], candles[1])


def unrecorded(db: sqlite3.Connection, key: int, start: int, end: int) -> list[tuple[int, int]]:
    """Return the times of the gaps that touch ``[start, end)``: both their ends belong to them."""
    return db.execute(UNRECORDED, (key, start, end)).fetchall()


def read_bars(
    db: sqlite3.Connection, key: int, instrument: Instrument, timeframe: Timeframe, start: int, end: int
) -> Read:
    """Read the bars that start in ``[start, end)``, from 1-second bars or, where those suffice, 1-minute bars."""
    span = extent(db, key)
    start += -start % timeframe.ms
    base = Timeframe(MINUTE if timeframe.ms % MINUTE == 0 else SECOND)
    stop = min(end + -end % timeframe.ms, FOREVER)
    bars = _recorded(db, key, instrument, base, start, stop, span)
    gaps = unrecorded(db, key, start, stop)
    klines = db.execute(KLINES, (key, base.ms, start, stop)).fetchall()
    if klines:
        bars = _with_klines(bars, bars_from_rows(instrument, base, klines), gaps, span)
    bars = bars if timeframe == base else coarsen(bars, timeframe)
    for length in _longer_klines(db, key, base, timeframe):
        rows = db.execute(KLINES, (key, length.ms, start, stop)).fetchall()
        longer = coarsen(bars_from_rows(instrument, length, rows), timeframe)
        bars = _with_klines(bars, longer[~np.isin(longer.time, bars.time[bars.klines])], gaps, span)
    if gaps:
        bars = _marked(bars, gap=overlapping(bars.time, timeframe.ms, gaps))
    return Read(bars, not _ends_after(db, key, end, span))


def _ends_after(db: sqlite3.Connection, key: int, end: int, span: tuple[int, int] | None) -> bool:
    """Tell whether trades, which have this span, or candles go on after a time."""
    if end >= FOREVER:
        return False
    if span is not None and span[1] > end:
        return True
    return any(db.execute(LATER_KLINE, (key, length, end - length)).fetchone()[0] for length in _lengths(db, key))


def _lengths(db: sqlite3.Connection, key: int, above: int = 0) -> Iterator[int]:
    """Yield the lengths that the candles of an instrument have."""
    while (above := db.execute(NEXT_LENGTH, (key, above)).fetchone()[0]) is not None:
        yield above


def _longer_klines(db: sqlite3.Connection, key: int, base: Timeframe, timeframe: Timeframe) -> Iterator[Timeframe]:
    """Yield the lengths of longer candles than `base` (those of imported files) that add up to `timeframe`."""
    return (Timeframe(length) for length in _lengths(db, key, base.ms) if timeframe.ms % length == 0)


def _recorded(
    db: sqlite3.Connection,
    key: int,
    instrument: Instrument,
    base: Timeframe,
    start: int,
    end: int,
    span: tuple[int, int] | None,
) -> Bars:
    if span is None or base.ms == SECOND:
        return bars_from_rows(instrument, base, db.execute(SECONDS, (key, start, end)).fetchall())
    # The newest minute has no bar of its own yet: it is made of its seconds.
    tail = max(start, base.floor(span[1] - 1))
    minutes = db.execute(MINUTES, (key, start, min(end, tail))).fetchall()
    seconds = db.execute(SECONDS, (key, tail, end)).fetchall()
    recent = coarsen(bars_from_rows(instrument, Timeframe(SECOND), seconds), base)
    return join_bars(bars_from_rows(instrument, base, minutes), recent)


def overlapping(time: NDArray[np.int64], length: int, gaps: Sequence[tuple[int, int]]) -> Flags:
    """Tell which bars of `length` milliseconds overlap any of the gaps."""
    marks = np.zeros(len(time), np.bool_)
    for start, end in gaps:
        low, high = np.searchsorted(time, (start - length + 1, end + 1))
        marks[low:high] = True
    return marks


def _with_klines(bars: Bars, klines: Bars, gaps: Sequence[tuple[int, int]], span: tuple[int, int] | None) -> Bars:
    """Put candles where trades do not cover the bar whole."""
    length = bars.timeframe.ms
    first, last = span or (FOREVER, 0)
    # The first second was recorded from somewhere within it; a candle has it whole.
    whole_from = first + SECOND if length == SECOND else first
    covered = (klines.time >= whole_from) & (klines.time + length <= last) & ~overlapping(klines.time, length, gaps)
    taken = klines[~covered]
    kept = bars[~np.isin(bars.time, taken.time)]
    both = join_bars(kept, _marked(taken, klines=np.ones(len(taken), np.bool_)))
    return both[np.argsort(both.time, kind="stable")]


def _marked(bars: Bars, *, klines: Flags | None = None, gap: Flags | None = None) -> Bars:
    columns = bars.columns()
    columns |= {} if klines is None else {"klines": klines}
    columns |= {} if gap is None else {"gap": gap}
    return Bars(bars.instrument, bars.timeframe, *columns.values())


def mark_forming(bars: Bars, newest: int | None, now: int | None) -> Bars:
    """Mark the last bar unless it is closed: by a later trade, or by `now` being 1 s past its end."""
    if not len(bars) or newest is None:
        return bars
    end = int(bars.time[-1]) + bars.timeframe.ms
    if newest >= end or (now is not None and now >= end + SECOND):
        return bars
    columns = bars.columns()
    columns["forming"] = columns["forming"].copy()
    columns["forming"][-1] = True
    return Bars(bars.instrument, bars.timeframe, *columns.values())


def read_ticks(db: sqlite3.Connection, key: int, instrument: Instrument, start: int, end: int) -> list[Tick]:
    """Read the trades of ``[start, end)`` in the order of time."""
    newest = db.execute(NEWEST_SECOND, (key,)).fetchone()[0]
    if newest is None:
        return []
    whole = {"key": key, "start": start, "end": end, "tail": max(start - start % SECOND, newest - newest % MINUTE)}
    first, last = db.execute(ID_RANGE, whole).fetchone()
    if first is None:
        return []
    rows = db.execute(TICKS, (key, first, last, start, end))
    return [Tick(*instrument, trade_id, time, price, qty, SIDES[buy]) for trade_id, time, price, qty, buy in rows]


def next_traded(db: sqlite3.Connection, key: int, time: int) -> int:
    """Return the start of the first bar from `time` on, so that an empty year costs one look."""
    found = db.execute(NEXT_BAR, {"key": key, "time": time}).fetchone()[0]
    return FOREVER if found is None else max(time, int(found))


def read_gaps(
    db: sqlite3.Connection, key: int | None, state: str | None, ids: tuple[int, int] | None = None
) -> tuple[Gap, ...]:
    """Read the ledger of gaps; of one symbol also those alone that lie between two ids."""
    first, last = ids or (0, MAX_ID)
    asked = {"symbol": key, "state": state, "first": first, "last": last}
    return tuple(map(_gap, db.execute(ANY_GAPS if key is None else SYMBOL_GAPS, asked)))


def read_gap(db: sqlite3.Connection, key: int) -> Gap | None:
    """Read one gap."""
    row = db.execute(ONE_GAP, (key,)).fetchone()
    return None if row is None else _gap(row)


def _gap(row: Sequence[Any]) -> Gap:
    return Gap(
        key=row[0],
        instrument=Instrument(row[1], row[2]),
        first_id=row[3],
        last_id=row[4],
        start_ms=row[5],
        end_ms=row[6],
        opened_ms=row[7],
        state=row[8],
        cause=row[9],
        filled=row[10],
        closed_ms=row[11],
        reason=row[12],
    )
