"""Deleting what is old or unwanted, in steps small enough for recording to go on in between."""

import sqlite3
from collections.abc import Callable

from market import MINUTE, Instrument
from pairscope.sqlite.cache import FOREVER
from pairscope.sqlite.upkeep import Upkeep
from pairscope.sqlite.writer import Writer

ROWS_AT_ONCE = 5_000
"""Rows deleted in one transaction."""

LAST_ID_BETWEEN = "SELECT max(last_id) FROM bars_1s WHERE symbol = ? AND time >= ? AND time < ?"
DELETE_TICKS = """
    DELETE FROM ticks WHERE symbol = ?1 AND trade_id IN (
        SELECT trade_id FROM ticks WHERE symbol = ?1 AND trade_id <= ?2 AND time < ?3 ORDER BY trade_id LIMIT ?4)"""
DELETE_SECONDS = """
    DELETE FROM bars_1s WHERE symbol = ?1 AND time IN (
        SELECT time FROM bars_1s WHERE symbol = ?1 AND time < ?2 ORDER BY time LIMIT ?3)"""


def prune(writer: Writer, upkeep: Upkeep, instrument: Instrument, ticks_before: int, seconds_before: int) -> int:
    """Delete an instrument's older trades and 1-second bars; return how many rows went.

    Both times are whole minutes, so that no kept bar has lost a part of its trades. The newest minute stays, however
    old: its bar is made of its seconds, and its last trade tells where the ids go on.
    """

    def refuse_older(db: sqlite3.Connection) -> tuple[int, int, int | None]:
        book = upkeep.book(db, instrument)
        minute = max(0, book.newest - book.newest % MINUTE)
        before = min(ticks_before, minute)
        book.kept_from = max(book.kept_from, before)
        db.execute("UPDATE symbols SET kept_from = ? WHERE key = ?", (book.kept_from, book.key))
        pruned_to = db.execute("SELECT pruned_to FROM symbols WHERE key = ?", (book.key,)).fetchone()[0]
        return book.key, minute, db.execute(LAST_ID_BETWEEN, (book.key, pruned_to, before)).fetchone()[0]

    key, minute, last = writer.submit(refuse_older).result()
    before = min(ticks_before, minute)
    ticks = 0 if last is None else _delete_in_steps(writer, DELETE_TICKS, (key, last, before))
    writer.submit(lambda db: db.execute("UPDATE symbols SET pruned_to = ? WHERE key = ?", (before, key))).result()
    return ticks + _delete_in_steps(writer, DELETE_SECONDS, (key, min(seconds_before, minute)))


def delete(writer: Writer, upkeep: Upkeep, instrument: Instrument) -> int:
    """Delete all of an instrument; return how many trades went.

    From the first step on no trade of it is taken; when the process ends in between, the next one goes on with it.
    """

    def begin(db: sqlite3.Connection) -> int:
        book = upkeep.book(db, instrument)
        book.kept_from = FOREVER
        book.gaps.clear()
        db.execute("UPDATE symbols SET kept_from = ? WHERE key = ?", (FOREVER, book.key))
        db.execute("DELETE FROM gaps WHERE symbol = ?", (book.key,))
        return book.key

    key = writer.submit(begin).result()
    gone = _delete_in_steps(writer, DELETE_TICKS, (key, 2**63 - 1, FOREVER))
    _delete_in_steps(writer, DELETE_SECONDS, (key, FOREVER))
    return gone + writer.submit(_forget(upkeep, instrument, key)).result()


def unfinished_deletions(db: sqlite3.Connection) -> list[Instrument]:
    """Return what a process began to delete and did not end."""
    return [
        Instrument(*name) for name in db.execute("SELECT venue, symbol FROM symbols WHERE kept_from = ?", (FOREVER,))
    ]


def _delete_in_steps(writer: Writer, statement: str, values: tuple[object, ...]) -> int:
    gone = 0
    while True:
        step = writer.submit(lambda db: db.execute(statement, (*values, ROWS_AT_ONCE)).rowcount).result()
        gone += step
        if step < ROWS_AT_ONCE:
            return gone


def _forget(upkeep: Upkeep, instrument: Instrument, key: int) -> Callable[[sqlite3.Connection], int]:
    def work(db: sqlite3.Connection) -> int:
        late = db.execute("DELETE FROM ticks WHERE symbol = ?", (key,)).rowcount
        for table in ("bars_1s", "bars_1m", "klines", "gaps"):
            db.execute(f"DELETE FROM {table} WHERE symbol = ?", (key,))  # noqa: S608  # our own names
        for table in ("rejects", "reject_counts"):
            db.execute(f"DELETE FROM {table} WHERE venue = ? AND symbol = ?", instrument)  # noqa: S608
        db.execute("DELETE FROM symbols WHERE key = ?", (key,))
        upkeep.drop(instrument)
        return late

    return work
