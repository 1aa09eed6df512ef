"""How much a store holds, and how much of it is beyond its time: counted by the bars, without reading the trades."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from market import MINUTE
from pairscope.sqlite.cache import FOREVER
from pairscope.sqlite.reading import NEWEST_SECOND, extent

PRUNED_TO = "SELECT pruned_to FROM symbols WHERE key = ?"
# The newest minute has no bar of its own yet: it is made of its seconds.
TRADES_BETWEEN = """
    SELECT coalesce(sum(trades), 0) FROM (
        SELECT trades FROM bars_1m WHERE symbol = :key AND time >= :start AND time < :end
        UNION ALL
        SELECT trades FROM bars_1s WHERE symbol = :key AND time >= :tail AND time < :end)"""
SECONDS_BEFORE = "SELECT count(*) FROM bars_1s WHERE symbol = ? AND time < ?"


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one instrument between two times; the times are those of what was recorded, None without any."""

    ticks: int
    """Trades, those of a minute that is cut by an end counted whole."""
    first_ms: int | None
    """The first bar."""
    trades_from_ms: int | None
    """The first bar whose trades are there; those before it were pruned."""
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class Expired:
    """What is older than it is to be kept."""

    ticks: int
    seconds: int
    """1-second bars."""


def read_held(db: sqlite3.Connection, key: int, start: int | None, end: int | None) -> Held:
    """Count what is held of an instrument in ``[start, end)``; by default all."""
    span = extent(db, key)
    if span is None:
        return Held(0, None, None, None)
    first, last = max(span[0], start or 0), min(span[1], FOREVER if end is None else end)
    kept_from = max(first, db.execute(PRUNED_TO, (key,)).fetchone()[0])
    if first >= last:
        return Held(0, None, None, None)
    ticks = _count_trades(db, key, kept_from, last) if kept_from < last else 0
    return Held(ticks, first, kept_from if ticks else None, last)


def count_expired(db: sqlite3.Connection, keys: Iterable[int], ticks_before: int, seconds_before: int) -> Expired:
    """Count what a prune would delete; of each instrument the newest minute stays, however old."""
    ticks = seconds = 0
    ticks_before -= ticks_before % MINUTE  # as it is pruned: by whole minutes, and no bar before its trades
    seconds_before = min(ticks_before, seconds_before - seconds_before % MINUTE)
    for key in keys:
        newest = db.execute(NEWEST_SECOND, (key,)).fetchone()[0] or 0
        minute = newest - newest % MINUTE
        pruned_to = db.execute(PRUNED_TO, (key,)).fetchone()[0]
        before = min(ticks_before, minute)
        if pruned_to < before:
            ticks += _count_trades(db, key, pruned_to, before)
        seconds += db.execute(SECONDS_BEFORE, (key, min(seconds_before, minute))).fetchone()[0]
    return Expired(ticks, seconds)


def _count_trades(db: sqlite3.Connection, key: int, start: int, end: int) -> int:
    newest = db.execute(NEWEST_SECOND, (key,)).fetchone()[0]
    start -= start % MINUTE
    bounds = {"key": key, "start": start, "end": end, "tail": max(start, newest - newest % MINUTE)}
    return int(db.execute(TRADES_BETWEEN, bounds).fetchone()[0])
