"""What the store is compared with: a table as public dashboards keep it, and a bare table without bars."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import peak_mb
from market import HOUR, SECOND, Tick

SEED_TABLE = "CREATE TABLE ticks (id INTEGER PRIMARY KEY, timestamp TEXT, symbol TEXT, price REAL, size REAL)"
SEED_INSERT = "INSERT INTO ticks (timestamp, symbol, price, size) VALUES (?, ?, ?, ?)"
BARE_TABLE = """
    CREATE TABLE ticks (
        symbol INTEGER NOT NULL, trade_id INTEGER NOT NULL, time INTEGER NOT NULL,
        price REAL NOT NULL, qty REAL NOT NULL, buy INTEGER,
        PRIMARY KEY (symbol, trade_id)) WITHOUT ROWID"""
BARE_INSERT = "INSERT OR IGNORE INTO ticks VALUES (?, ?, ?, ?, ?, ?)"

SeedRow = tuple[str, str, float, float]
BareRow = tuple[int, int, int, float, float, int]


def seed_rows(ticks: Sequence[Tick]) -> list[SeedRow]:
    """Return trades as dashboards store them: the time as text."""
    times = np.array([tick.time_ms for tick in ticks], "datetime64[ms]")
    texts = np.datetime_as_string(times, timezone="UTC").tolist()
    return [(text, tick.symbol, tick.price, tick.qty) for text, tick in zip(texts, ticks, strict=True)]


def bare_rows(ticks: Sequence[Tick]) -> list[BareRow]:
    """Return trades ready to be bound to BARE_INSERT."""
    keys = {symbol: key for key, symbol in enumerate(sorted({tick.symbol for tick in ticks}))}
    return [(keys[tick.symbol], *tick[2:6], int(tick.side == "buy")) for tick in ticks]


def insert_row_by_row(path: Path, rows: Sequence[SeedRow]) -> float:
    """Commit each row by itself, the connection as it comes (journal DELETE, synchronous FULL); return rows/s."""
    db = sqlite3.connect(path)
    db.execute(SEED_TABLE)
    begun = time.perf_counter()
    for row in rows:
        db.execute(SEED_INSERT, row)
        db.commit()
    seconds = time.perf_counter() - begun
    db.close()
    return len(rows) / seconds


def insert_bare(path: Path, batches: Sequence[Sequence[BareRow]]) -> float:
    """Commit each batch (WAL, synchronous FULL) into a clustered table without bars; return rows/s."""
    db = sqlite3.connect(path, isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", BARE_TABLE):
        db.execute(statement)
    begun = time.perf_counter()
    for batch in batches:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(BARE_INSERT, batch)
        db.execute("COMMIT")
    seconds = time.perf_counter() - begun
    db.close()
    return sum(map(len, batches)) / seconds


def write_seed(path: Path, batches: Iterable[Sequence[Tick]]) -> int:
    """Fill a dashboard's table, as fast as it goes: this is not measured; return the start of its last second."""
    last = 0
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous=OFF")
    db.execute(SEED_TABLE)
    for batch in batches:
        db.executemany(SEED_INSERT, seed_rows(batch))
        last = batch[-1].time_ms
    db.commit()
    db.close()
    return last - last % SECOND


@dataclass(frozen=True, slots=True)
class Resampled:
    """What reading a whole table with pandas cost, and the closes of an hour to compare."""

    seconds: float
    peak_mb: float
    closes: dict[str, list[float]]


def read_and_resample(path: Path, end_ms: int) -> Resampled:
    """Read the table, and make 1-second bars of it with pandas; to be called in a process of its own.

    Args:
        path: the database.
        end_ms: the end of the hour whose closes are returned.
    """
    import pandas as pd

    db = sqlite3.connect(path)
    begun = time.perf_counter()
    table = pd.read_sql("SELECT * FROM ticks", db)
    table["timestamp"] = pd.to_datetime(table["timestamp"])
    by_symbol = table.set_index("timestamp").groupby("symbol")
    bars = {str(symbol): rows["price"].resample("1s").ohlc() for symbol, rows in by_symbol}
    seconds = time.perf_counter() - begun
    db.close()
    start, end = (pd.Timestamp(time_ms, unit="ms", tz="UTC") for time_ms in (end_ms - HOUR, end_ms))
    hour = {symbol: each[(each.index >= start) & (each.index < end)] for symbol, each in bars.items()}
    closes = {symbol: each["close"].dropna().tolist() for symbol, each in hour.items()}
    return Resampled(seconds, peak_mb(), closes)
