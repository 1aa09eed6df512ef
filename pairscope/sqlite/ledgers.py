"""The ledgers of rejected trades and of runs."""

import json
import sqlite3
from collections.abc import Mapping, Sequence

from market import Label, Reject

KEPT_REJECTS = 10_000
"""So many rejected trades are kept word for word; the counts by reason go on for ever."""

DETAIL_LENGTH = 500


def insert_rejects(db: sqlite3.Connection, rejects: Sequence[Reject], now: int) -> None:
    """Remember trades that could not be taken."""
    db.executemany(
        "INSERT INTO rejects (time, venue, symbol, reason, detail) VALUES (?, ?, ?, ?, ?)",
        [(now, each.venue, each.symbol, each.reason, each.detail[:DETAIL_LENGTH]) for each in rejects],
    )
    db.executemany(
        "INSERT INTO reject_counts VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
        [each[:3] for each in rejects],
    )
    db.execute("DELETE FROM rejects WHERE key <= (SELECT max(key) FROM rejects) - ?", (KEPT_REJECTS,))


def read_rejects(db: sqlite3.Connection, limit: int) -> tuple[Reject, ...]:
    """Return the rejected trades, newest first."""
    rows = db.execute("SELECT venue, symbol, reason, detail, time FROM rejects ORDER BY key DESC LIMIT ?", (limit,))
    return tuple(map(Reject._make, rows))


def count_rejects(db: sqlite3.Connection) -> dict[str, int]:
    """Return how many trades were rejected for each reason, the commonest first."""
    return dict(db.execute("SELECT reason, sum(count) FROM reject_counts GROUP BY reason ORDER BY 2 DESC").fetchall())


def insert_run(
    db: sqlite3.Connection, *, key: int | None, started: int, version: str, label: Label, settings: Mapping[str, object]
) -> int:
    """Note that recording begins; return the run's key, a new one unless it is given."""
    row = (key, started, version, label, json.dumps(settings, default=str))
    insert = "INSERT INTO runs (key, started, version, label, settings) VALUES (?, ?, ?, ?, ?)"
    return int(db.execute(insert, row).lastrowid or 0)


def end_run(db: sqlite3.Connection, key: int, stopped: int) -> None:
    """Note that a run ended in order."""
    db.execute("UPDATE runs SET stopped = ? WHERE key = ?", (stopped, key))


def read_labels(db: sqlite3.Connection) -> list[Label]:
    """Return the kinds of trades that were recorded, the newest first."""
    return [row[0] for row in db.execute("SELECT label FROM runs GROUP BY label ORDER BY max(key) DESC")]
