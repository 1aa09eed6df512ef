"""Writing trades, and keeping bars and gaps true to them in the same transaction.

A second that only grows at its end is folded trade by trade as they come. Any other second that is touched (late,
out of order, refilled, or begun before this process) is folded anew from its stored trades. Both ways add up in the
order (time, trade id), so a bar is bit for bit what a recomputation gives, whatever the order of arrival.
"""

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from operator import itemgetter, lt
from typing import Any, NamedTuple

from market import (
    MINUTE,
    SECOND,
    Bar,
    Gap,
    GapState,
    Hole,
    Instrument,
    Reject,
    Tick,
    Timeframe,
    bars_from_rows,
    coarsen,
)
from pairscope.sqlite.listeners import Change

Row = tuple[int, int, int, float, float, int | None]
"""A trade as stored: symbol key, trade id, time, price, quantity, buy."""

_SIDES = {"buy": 1, "sell": 0, None: None}
_ID, _TIME = itemgetter(1), itemgetter(2)
_TRADED = itemgetter(2, 1)
"""The order of trades in time: trades of one millisecond follow their ids."""

INSERT_TICKS = "INSERT INTO ticks VALUES (?, ?, ?, ?, ?, ?)"
TICKS_AT_ONCE = 50
"""Trades in one statement: SQLite then goes on from where it stands in the tree, in 0.6 of the time."""
INSERT_MANY_TICKS = INSERT_TICKS + ", (?, ?, ?, ?, ?, ?)" * (TICKS_AT_ONCE - 1)
INSERT_SECONDS = "INSERT OR REPLACE INTO bars_1s VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_MINUTES = "INSERT OR REPLACE INTO bars_1m VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
KLINE_COUNT = "SELECT count(*) FROM klines WHERE symbol = ? AND length = ?"
STORED_KLINES = """
    SELECT time, open, high, low, close, volume FROM klines WHERE symbol = ? AND length = ? AND time BETWEEN ? AND ?"""
INSERT_GAP = """
    INSERT INTO gaps (symbol, first_id, last_id, start, "end", opened, cause, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, 'open')"""
ASKED = "; asked for again"
"""Ends the cause of a gap that was given up and opened again."""

REOPEN_GAP = """
    UPDATE gaps SET state = 'open', closed = NULL, reason = NULL,
        cause = CASE WHEN cause LIKE '%' || :asked THEN cause ELSE cause || :asked END
    WHERE key = :key AND state = 'abandoned'"""
STORED_TICKS = """
    SELECT trade_id, time, price, qty, buy FROM ticks
    WHERE symbol = ? AND trade_id IN (SELECT value FROM json_each(?))"""
TICKS_OF_SECONDS = """
    SELECT * FROM ticks WHERE symbol = ? AND trade_id BETWEEN ? AND ? AND time >= ? AND time < ?
    ORDER BY time, trade_id"""
STORED_SECONDS = """
    SELECT time, first_id, last_id FROM bars_1s
    WHERE symbol = ? AND time IN (SELECT value FROM json_each(?))"""
SECONDS_OF_MINUTES = """
    SELECT time, open, high, low, close, volume, turnover, buy_volume, trades, first_id, last_id FROM bars_1s
    WHERE symbol = ? AND time >= ? AND time < ? ORDER BY time"""


class Appended(NamedTuple):
    """What became of a batch of trades."""

    stored: int
    duplicates: int
    conflicts: int = 0
    expired: int = 0
    """Older than what the store still keeps."""
    gaps: tuple[int, ...] = ()
    """The keys of the gaps that were opened."""


class Conflict(NamedTuple):
    """A trade whose id is stored with other values; the stored one is kept."""

    instrument: Instrument
    came: tuple[object, ...]
    stored: tuple[object, ...]

    def reject(self) -> Reject:
        """Return what the ledger of rejects says of it."""
        detail = f"came {self.came}, stored {self.stored}"
        return Reject(*self.instrument, "the id is stored with other values", detail)


@dataclass(slots=True)
class Second:
    """The running bar of one second."""

    time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    bought: float | None
    trades: int
    first_id: int
    last_id: int
    newest: tuple[int, int]
    """Time and id of its last trade."""

    def row(self, key: int) -> tuple[object, ...]:
        return (
            key,
            self.time,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.turnover,
            self.bought,
            self.trades,
            self.first_id,
            self.last_id,
        )


def fold(rows: Iterable[Row], second: Second | None = None) -> list[Second]:
    """Add trades, in the order of time, to bars of one second each; `second` is the bar to go on with."""
    seconds = [second] if second else []
    end = second.time + SECOND if second else -1
    for _, trade_id, time, price, qty, buy in rows:
        if second is None or time >= end:
            start = time - time % SECOND
            end = start + SECOND
            bought = None if buy is None else qty * buy
            second = Second(
                start, price, price, price, price, qty, price * qty, bought, 1, trade_id, trade_id, (time, trade_id)
            )
            seconds.append(second)
            continue
        if price > second.high:
            second.high = price
        elif price < second.low:
            second.low = price
        second.close = price
        second.volume += qty
        second.turnover += price * qty
        if buy is None:
            second.bought = None
        elif buy and second.bought is not None:
            second.bought += qty
        second.trades += 1
        if trade_id > second.last_id:
            second.last_id = trade_id
        elif trade_id < second.first_id:
            second.first_id = trade_id
        second.newest = (time, trade_id)
    return seconds


@dataclass(slots=True)
class Missing:
    """A run of missing ids, between the stored trades at `start` and `end`."""

    first_id: int
    last_id: int
    start: int
    end: int


def shrink(gap: Missing, filled: Sequence[tuple[int, int]]) -> list[Missing]:
    """Return what of `gap` is still missing once trades (id, time), ascending, have been filled in."""
    left, first, start = [], gap.first_id, gap.start
    for trade_id, time in filled:
        if trade_id > first:
            left.append(Missing(first, trade_id - 1, min(start, time), max(start, time)))
        first, start = trade_id + 1, time
    if first <= gap.last_id:
        left.append(Missing(first, gap.last_id, min(start, gap.end), max(start, gap.end)))
    return left


UNTOUCHED = 2**62


@dataclass(slots=True)
class Book:
    """What the writer remembers of one instrument between transactions."""

    key: int
    instrument: Instrument
    last_id: int
    newest: int
    """Start of the newest second with a trade, -1 when there is none."""
    kept_from: int
    second: Second | None = None
    """The newest second's running bar; None: fold it anew from the store."""
    unsaved: bool = False
    minutes: set[int] = field(default_factory=set)
    """Finished minutes whose bars must be made anew before the commit."""
    gaps: dict[int, Missing] = field(default_factory=dict)
    """What is missing by the key of its gap: the open gaps, and the abandoned ones, which an import may still fill."""
    touched: int = UNTOUCHED
    """Start of the earliest second changed since the last publication."""


class Upkeep:
    """The books of all instruments, and the writing of trades into them."""

    def __init__(self) -> None:
        self._books: dict[tuple[str, str], Book] = {}

    def forget(self) -> None:
        """Drop what is remembered; it is read again from the store."""
        self._books.clear()

    def drop(self, instrument: Instrument) -> None:
        """Forget one instrument, which is being deleted."""
        self._books.pop(instrument, None)

    def book(self, db: sqlite3.Connection, instrument: Instrument) -> Book:
        """Return the book of an instrument, beginning it when it is new."""
        book = self._books.get(instrument)
        if book is None:
            book = self._books[instrument] = _read_book(db, instrument)
        return book

    def append(self, db: sqlite3.Connection, ticks: Sequence[Tick], now: int) -> tuple[Appended, list[Conflict]]:
        """Store the trades that are new, and bring bars and gaps up to date; `now` stamps what is closed by them."""
        stored = duplicates = expired = 0
        conflicts: list[Conflict] = []
        for book, rows in self._by_book(db, ticks):
            kept = rows if book.kept_from == 0 else [row for row in rows if row[2] >= book.kept_from]
            fresh, clashes = _new_rows(db, book, kept)
            stored += len(fresh)
            expired += len(rows) - len(kept)
            duplicates += len(kept) - len(fresh) - len(clashes)
            conflicts += clashes
            if book.gaps:  # also by trades that are stored already: the gap was opened over them by mistake
                _fill_gaps(db, book, sorted(kept, key=_ID), now)
            if fresh:
                _add(db, book, fresh)
        return Appended(stored, duplicates, len(conflicts), expired), conflicts

    def open_gap(self, db: sqlite3.Connection, hole: Hole, now: int) -> int:
        """Enter a hole into the ledger; return the gap's key."""
        book = self.book(db, hole.instrument)
        start, end = sorted((hole.start_ms, hole.end_ms))
        row = (book.key, hole.first_id, hole.last_id, start, end, now, hole.cause)
        key = int(db.execute(INSERT_GAP, row).lastrowid or 0)
        book.gaps[key] = Missing(hole.first_id, hole.last_id, start, end)
        book.touched = min(book.touched, start - start % SECOND)
        return key

    def close_gap(self, db: sqlite3.Connection, gap: Gap, state: GapState, reason: str, now: int) -> None:
        """End an open gap that nothing more will fill."""
        book = self.book(db, gap.instrument)
        if state != "abandoned":
            book.gaps.pop(gap.key, None)
        book.touched = min(book.touched, gap.start_ms - gap.start_ms % SECOND)
        changes = "UPDATE gaps SET state = ?, reason = ?, closed = ? WHERE key = ?"
        db.execute(changes, (state, reason, now, gap.key))

    def reopen_gap(self, db: sqlite3.Connection, key: int) -> None:
        """Take a gap that was given up for open again; trades could fill it before, and it marks the same bars.

        Its cause says so, once: at the next start, what somebody asked for is told from what nobody wanted.
        """
        db.execute(REOPEN_GAP, {"key": key, "asked": ASKED})

    def put_klines(
        self, db: sqlite3.Connection, instrument: Instrument, timeframe: Timeframe, bars: Sequence[Bar]
    ) -> int:
        """Keep candles, in place of those of the same times; return how many are new."""
        book = self.book(db, instrument)
        before = db.execute(KLINE_COUNT, (book.key, timeframe.ms)).fetchone()[0]
        rows = [(book.key, timeframe.ms, *bar[:9]) for bar in bars if bar.volume > 0]
        db.executemany("INSERT OR REPLACE INTO klines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        book.touched = min([book.touched, *(bar.time_ms for bar in bars)])
        return int(db.execute(KLINE_COUNT, (book.key, timeframe.ms)).fetchone()[0]) - int(before)

    def add_candles(
        self, db: sqlite3.Connection, instrument: Instrument, timeframe: Timeframe, bars: Sequence[Bar]
    ) -> tuple[int, int]:
        """Keep the candles of a file where none are stored; return how many are new, and how many contradict."""
        span = (self.book(db, instrument).key, timeframe.ms, bars[0].time_ms, bars[-1].time_ms) if bars else (0,) * 4
        stored = {time: tuple(rest) for time, *rest in db.execute(STORED_KLINES, span)}
        other = sum(stored.get(bar.time_ms, bar[1:6]) != bar[1:6] for bar in bars)
        return self.put_klines(db, instrument, timeframe, [bar for bar in bars if bar.time_ms not in stored]), other

    def _by_book(self, db: sqlite3.Connection, ticks: Sequence[Tick]) -> Iterable[tuple[Book, list[Row]]]:
        groups: dict[tuple[str, str], tuple[int, list[Row]]] = {}
        for venue, symbol, trade_id, time, price, qty, side in ticks:
            group = groups.get((venue, symbol))
            if group is None:
                group = groups[venue, symbol] = (self.book(db, Instrument(venue, symbol)).key, [])
            key, rows = group
            rows.append((key, trade_id, time, price, qty, _SIDES[side]))
        return [(self.book(db, Instrument(*name)), rows) for name, (_, rows) in groups.items()]

    def save(self, db: sqlite3.Connection) -> None:
        """Write the running bars and the bars of finished minutes; to be called before each commit."""
        for book in self._books.values():
            if book.unsaved and book.second:
                db.execute(INSERT_SECONDS, book.second.row(book.key))
                book.unsaved = False
            if book.minutes:
                _save_minutes(db, book.key, book.minutes)
                book.minutes.clear()

    def take_touched(self) -> Iterator[Change]:
        """Yield each instrument whose bars changed since the last call."""
        for book in self._books.values():
            if book.touched != UNTOUCHED:
                yield Change(book.instrument, book.touched, book.newest)
                book.touched = UNTOUCHED


def _read_book(db: sqlite3.Connection, instrument: Instrument) -> Book:
    db.execute("INSERT OR IGNORE INTO symbols (venue, symbol) VALUES (?, ?)", instrument)
    key, kept_from = db.execute(
        "SELECT key, kept_from FROM symbols WHERE venue = ? AND symbol = ?", instrument
    ).fetchone()
    last_id = db.execute("SELECT max(trade_id) FROM ticks WHERE symbol = ?", (key,)).fetchone()[0]
    newest = db.execute("SELECT max(time) FROM bars_1s WHERE symbol = ?", (key,)).fetchone()[0]
    book = Book(key, instrument, -1 if last_id is None else last_id, -1 if newest is None else newest, kept_from)
    gaps = db.execute(
        "SELECT key, first_id, last_id, start, \"end\" FROM gaps WHERE symbol = ? AND state IN ('open', 'abandoned')",
        (key,),
    )
    book.gaps = {gap: Missing(*rest) for gap, *rest in gaps}
    return book


def _new_rows(db: sqlite3.Connection, book: Book, rows: list[Row]) -> tuple[list[Row], list[Conflict]]:
    """Return the rows that are not stored yet, by ascending id, and those that contradict the stored ones."""
    ids = list(map(_ID, rows))
    if ids and ids[0] > book.last_id and all(map(lt, ids, islice(ids, 1, None))):
        return rows, []
    unique: dict[int, Row] = {}
    conflicts = []
    for row in rows:
        if unique.setdefault(row[1], row) != row:
            conflicts.append(Conflict(book.instrument, row[1:], unique[row[1]][1:]))  # noqa: PERF401  # the dict grows meanwhile
    asked = json.dumps([trade_id for trade_id in unique if trade_id <= book.last_id])
    for stored in db.execute(STORED_TICKS, (book.key, asked)):
        row = unique.pop(stored[0])
        if row[1:] != stored:
            conflicts.append(Conflict(book.instrument, row[1:], stored))
    return sorted(unique.values(), key=_ID), conflicts


def _add(db: sqlite3.Connection, book: Book, rows: list[Row]) -> None:
    _insert_ticks(db, rows)
    book.last_id = max(book.last_id, rows[-1][1])
    rows = sorted(rows, key=_TIME)  # stable: trades of one millisecond stay in the order of their ids
    first = rows[0][2] - rows[0][2] % SECOND
    if book.newest >= 0:  # whether a candle of the exchange gives way depends on how far trades reach
        first = min(first, book.newest)
    book.touched = min(book.touched, first)
    late = _append_at_end(db, book, rows)
    if late:
        _fold_anew(db, book, late)


def _insert_ticks(db: sqlite3.Connection, rows: list[Row]) -> None:
    whole = len(rows) - len(rows) % TICKS_AT_ONCE
    runs = (rows[start : start + TICKS_AT_ONCE] for start in range(0, whole, TICKS_AT_ONCE))
    db.executemany(INSERT_MANY_TICKS, (tuple(chain.from_iterable(run)) for run in runs))
    db.executemany(INSERT_TICKS, rows[whole:])


def _append_at_end(db: sqlite3.Connection, book: Book, rows: list[Row]) -> list[Row]:
    """Fold the rows that come after all that is stored; return the others."""
    newest = book.second.newest if book.second else (book.newest + SECOND - 1, 2**63)
    split = bisect_right(rows, newest, key=_TRADED)
    if split < len(rows):
        seconds = fold(rows[split:] if split else rows, book.second)
        db.executemany(INSERT_SECONDS, [each.row(book.key) for each in seconds[:-1]])
        _note_seconds(book, seconds)
        book.unsaved = True
    return rows[:split]


def _note_seconds(book: Book, seconds: list[Second]) -> None:
    """Remember which finished minutes these seconds changed, and the last of them if it is the newest of all."""
    minutes = {each.time - each.time % MINUTE for each in seconds}
    if book.newest >= 0:
        minutes.add(book.newest - book.newest % MINUTE)
    if seconds[-1].time >= book.newest:
        book.newest, book.second, book.unsaved = seconds[-1].time, seconds[-1], False
    book.minutes |= minutes
    book.minutes.discard(book.newest - book.newest % MINUTE)


def _fold_anew(db: sqlite3.Connection, book: Book, rows: list[Row]) -> None:
    """Make the bars of late trades: from them alone where their second was empty, else from all that is stored."""
    groups = {second * SECOND: list(group) for second, group in groupby(rows, lambda row: row[2] // SECOND)}
    known = db.execute(STORED_SECONDS, (book.key, json.dumps(list(groups))))
    stored = {time: (first, last) for time, first, last in known}
    if book.second and book.second.time in groups:
        stored[book.second.time] = (book.second.first_id, book.second.last_id)
    ranges = [(min(*map(_ID, groups[time]), *ids), max(*map(_ID, groups[time]), *ids)) for time, ids in stored.items()]
    whole = {time: list[Row]() for time in stored}
    for low, high in _merged(ranges):
        for row in db.execute(TICKS_OF_SECONDS, (book.key, low, high, min(stored), max(stored) + SECOND)):
            if (time := row[2] - row[2] % SECOND) in whole:
                whole[time].append(row)
    seconds = [second for time in groups for second in fold(whole.get(time) or groups[time])]
    db.executemany(INSERT_SECONDS, [each.row(book.key) for each in seconds])
    _note_seconds(book, seconds)


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges of ids that overlap, so that no trade is read twice."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _save_minutes(db: sqlite3.Connection, key: int, minutes: set[int]) -> None:
    for start, end in _runs(sorted(minutes)):
        rows = db.execute(SECONDS_OF_MINUTES, (key, start, end)).fetchall()
        db.executemany(INSERT_MINUTES, minute_rows(key, rows))


def _runs(minutes: list[int]) -> Iterator[tuple[int, int]]:
    """Join neighbouring minutes into ranges."""
    start = minutes[0]
    for minute, after in zip(minutes, [*minutes[1:], -1], strict=True):
        if after != minute + MINUTE:
            yield start, minute + MINUTE
            start = after


_NOBODY = Instrument("", "")


def minute_rows(key: int, seconds: Sequence[Sequence[Any]]) -> list[tuple[object, ...]]:
    """Return the rows of bars_1m that the given rows of bars_1s (without their key) make up."""
    bars = coarsen(bars_from_rows(_NOBODY, Timeframe(SECOND), [row[:9] for row in seconds]), Timeframe(MINUTE))
    ids: dict[int, tuple[int, int]] = {}
    for row in seconds:
        minute, first, last = row[0] - row[0] % MINUTE, row[9], row[10]
        low, high = ids.get(minute, (first, last))
        ids[minute] = (min(low, first), max(high, last))
    return [(key, *bar[:9], *ids[bar.time_ms]) for bar in bars]  # SQLite stores NaN as NULL


def _fill_gaps(db: sqlite3.Connection, book: Book, rows: list[Row], now: int) -> None:
    """Take stored trades, by ascending id, out of the gaps that they lie in."""
    last_id = max(gap.last_id for gap in book.gaps.values())
    ids = list(dict.fromkeys((row[1], row[2]) for row in rows if row[1] <= last_id))
    for key, gap in list(book.gaps.items()):
        filled = [pair for pair in ids if gap.first_id <= pair[0] <= gap.last_id]
        if filled:
            _shrink_gap(db, book, key, filled, now)


def _shrink_gap(db: sqlite3.Connection, book: Book, key: int, filled: list[tuple[int, int]], now: int) -> None:
    gap = book.gaps.pop(key)
    book.touched = min(book.touched, gap.start - gap.start % SECOND)  # the bars before it are marked no more
    left = shrink(gap, filled)
    db.execute("UPDATE gaps SET filled = filled + ? WHERE key = ?", (len(filled), key))
    if not left:
        db.execute("UPDATE gaps SET state = 'filled', closed = ? WHERE key = ?", (now, key))
        return
    first, *others = left
    db.execute(
        'UPDATE gaps SET first_id = ?, last_id = ?, start = ?, "end" = ? WHERE key = ?',
        (first.first_id, first.last_id, first.start, first.end, key),
    )
    book.gaps[key] = first
    for part in others:
        cursor = db.execute(
            'INSERT INTO gaps (symbol, first_id, last_id, start, "end", opened, cause, state, closed, reason)'
            " SELECT symbol, ?, ?, ?, ?, opened, cause, state, closed, reason FROM gaps WHERE key = ?",
            (part.first_id, part.last_id, part.start, part.end, key),
        )
        book.gaps[int(cursor.lastrowid or 0)] = part
