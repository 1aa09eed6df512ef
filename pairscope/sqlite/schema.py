"""The tables of a store, how they came to be, and how a file becomes an open database.

Migrations are named, forward only and applied in one transaction; before an older store is changed, a copy is kept
beside it. A damaged file is set aside whole, never repaired in place, and a new one begun.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pairscope.sqlite.errors import (
    SqliteFailure,
    StoreDamaged,
    StoreError,
    StoreTooNew,
    StoreUnusable,
    is_damage,
    passing_trouble,
)

SMALL_FILE = 64 * 2**20
"""Files up to this size are checked whole when opened; of larger ones the ends of each table are read."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; its place in the list is the version that it leads to."""

    name: str
    sql: str


# Times are epoch milliseconds. Bars hold the id range of their trades, so that a range of time can be read from the
# ticks' one B-tree, which is clustered by id: no second index, 37 bytes a tick.
TICKS_AND_BARS = """
CREATE TABLE symbols (
    key INTEGER PRIMARY KEY AUTOINCREMENT,      -- never used again, also when the symbol is deleted
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    kept_from INTEGER NOT NULL DEFAULT 0,       -- trades before this time are not taken any more
    pruned_to INTEGER NOT NULL DEFAULT 0,       -- trades before this time are all gone
    UNIQUE (venue, symbol)
) STRICT;
CREATE TABLE ticks (
    symbol INTEGER NOT NULL,
    trade_id INTEGER NOT NULL,
    time INTEGER NOT NULL,
    price REAL NOT NULL,
    qty REAL NOT NULL,
    buy INTEGER,                                -- 1: the taker bought, 0: sold, NULL: not known
    PRIMARY KEY (symbol, trade_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE bars_1s (
    symbol INTEGER NOT NULL,
    time INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, turnover REAL NOT NULL, buy_volume REAL,
    trades INTEGER NOT NULL,
    first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    PRIMARY KEY (symbol, time)
) STRICT, WITHOUT ROWID;
CREATE TABLE bars_1m (                          -- of minutes that a later trade has closed
    symbol INTEGER NOT NULL,
    time INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, turnover REAL NOT NULL, buy_volume REAL,
    trades INTEGER NOT NULL,
    first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    PRIMARY KEY (symbol, time)
) STRICT, WITHOUT ROWID;
"""

LEDGERS = """
CREATE TABLE gaps (
    key INTEGER PRIMARY KEY,
    symbol INTEGER NOT NULL,
    first_id INTEGER NOT NULL, last_id INTEGER NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL,
    opened INTEGER NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'filled', 'empty', 'abandoned')),
    filled INTEGER NOT NULL DEFAULT 0,
    closed INTEGER,
    reason TEXT
) STRICT;
CREATE INDEX gaps_by_symbol ON gaps (symbol, state);
CREATE TABLE rejects (
    key INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    venue TEXT NOT NULL, symbol TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TABLE reject_counts (
    venue TEXT NOT NULL, symbol TEXT NOT NULL, reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (venue, symbol, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    started INTEGER NOT NULL,
    stopped INTEGER,
    version TEXT NOT NULL,
    label TEXT NOT NULL,
    settings TEXT NOT NULL                      -- JSON
) STRICT;
CREATE TABLE migrations (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
"""

KLINES = """
CREATE TABLE klines (                           -- the exchange's own candles, where its trades are not to be had
    symbol INTEGER NOT NULL,
    length INTEGER NOT NULL,                    -- milliseconds
    time INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, turnover REAL NOT NULL, buy_volume REAL,
    trades INTEGER NOT NULL,
    PRIMARY KEY (symbol, length, time)
) STRICT, WITHOUT ROWID;
"""

TURNOVER_UNKNOWN = """
CREATE TABLE candles (                          -- the exchange's own candles, where its trades are not to be had
    symbol INTEGER NOT NULL,
    length INTEGER NOT NULL,                    -- milliseconds
    time INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, turnover REAL, buy_volume REAL, -- NULL where the exchange does not tell
    trades INTEGER NOT NULL,                    -- 0 where it does not tell
    PRIMARY KEY (symbol, length, time)
) STRICT, WITHOUT ROWID;
INSERT INTO candles SELECT * FROM klines;
DROP TABLE klines;
ALTER TABLE candles RENAME TO klines;
"""

GAPS_BY_ID = """
CREATE INDEX gaps_by_id ON gaps (symbol, first_id);
"""

RECORDS = """
CREATE TABLE records (                          -- the desk's own, such as presets
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    json TEXT NOT NULL,
    time INTEGER NOT NULL,                      -- when it was put
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
"""

ALERTS = """
CREATE TABLE alert_rules (
    id INTEGER PRIMARY KEY AUTOINCREMENT,       -- never used again, also when the rule is removed
    json TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;
CREATE TABLE alert_states (                     -- where each rule stands with each of its targets
    rule INTEGER NOT NULL,
    target TEXT NOT NULL,                       -- VENUE:Y/VENUE:X, or VENUE:Y alone
    through INTEGER NOT NULL,                   -- end of the last row judged
    json TEXT NOT NULL,
    PRIMARY KEY (rule, target)
) STRICT, WITHOUT ROWID;
CREATE TABLE alert_texts (                      -- the rules as they were, each text once
    key INTEGER PRIMARY KEY,
    json TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE alerts (                           -- what was decided, also to keep still
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule INTEGER NOT NULL,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'suppressed', 'held')),
    reason TEXT NOT NULL,
    bar INTEGER NOT NULL,                       -- start of the bar, or time of the trade
    trade INTEGER NOT NULL,                     -- 0 for a bar
    "end" INTEGER NOT NULL,
    decided INTEGER NOT NULL,
    late INTEGER NOT NULL,
    metric TEXT NOT NULL,
    direction TEXT NOT NULL,
    value REAL,
    threshold REAL,
    inputs TEXT NOT NULL,                       -- JSON
    text INTEGER NOT NULL,                      -- key of the rule as it was
    label TEXT NOT NULL,
    notify TEXT NOT NULL,                       -- JSON
    over INTEGER,                               -- when the rule was armed again, or what was held was judged
    acknowledged INTEGER,
    note TEXT NOT NULL DEFAULT '',
    UNIQUE (rule, target, bar, trade, outcome, reason)
) STRICT;
CREATE INDEX alerts_by_outcome ON alerts (outcome);
CREATE INDEX alerts_by_rule ON alerts (rule);
CREATE INDEX alerts_by_target ON alerts (target);
CREATE INDEX alerts_by_end ON alerts ("end");
CREATE INDEX alerts_not_over ON alerts (outcome, rule, target) WHERE over IS NULL;
CREATE TABLE deliveries (                       -- of what fired, one for each channel that carries it
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    alert INTEGER NOT NULL,
    channel TEXT NOT NULL,
    dedupe TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), -- no two are alike, nor those of a copy of the store
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'digested')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 0,            -- not before, by the clock of the machine that delivers
    first INTEGER,                              -- when the first attempt began, by that clock
    UNIQUE (alert, channel)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (next, key) WHERE state IN ('waiting', 'sending');
CREATE INDEX deliveries_by_state ON deliveries (state);
CREATE TABLE receipts (                         -- what came of each attempt
    key INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL,
    alert INTEGER NOT NULL,
    channel TEXT NOT NULL,
    time INTEGER NOT NULL,
    state TEXT NOT NULL,
    status INTEGER,
    address TEXT NOT NULL,
    seconds REAL NOT NULL,
    words TEXT NOT NULL,
    repeated INTEGER NOT NULL
) STRICT;
CREATE INDEX receipts_by_alert ON receipts (alert);
"""

MIGRATIONS = (
    Migration("ticks and bars", TICKS_AND_BARS),
    Migration("ledgers of gaps, rejects and runs", LEDGERS),
    Migration("klines", KLINES),
    Migration("klines of which the turnover is not known", TURNOVER_UNKNOWN),
    Migration("gaps by id", GAPS_BY_ID),
    Migration("records of the desk", RECORDS),
    Migration("alerts", ALERTS),
)
OURS = {"symbols", "ticks", "bars_1s", "bars_1m"}
"""A database with all of these tables is a store; one that lacks some is another program's."""
TABLES = (
    *("symbols", "ticks", "bars_1s", "bars_1m", "klines", "gaps", "rejects", "reject_counts", "runs", "records"),
    *("alert_rules", "alert_states", "alert_texts", "alerts", "deliveries", "receipts"),
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A database that is ready to be written, and where its damaged forerunner was put, if there was one."""

    db: sqlite3.Connection
    set_aside: Path | None


def open_database(path: Path, *, stamp: str, migrations: Sequence[Migration] = MIGRATIONS) -> Opened:
    """Open or create the database at `path`, at the newest schema.

    Args:
        path: the file.
        stamp: a text for the names of files set aside or kept, such as the time.
        migrations: the schema, step by step.

    Raises:
        StoreUnusable: when there can be no database at `path`.
        StoreTooNew: when a newer version wrote it.
    """
    refuse_unusable(path)
    try:
        return Opened(_open_sound(path, stamp, migrations), None)
    except StoreDamaged:
        aside = set_aside(path, stamp)
        return Opened(_open_sound(path, stamp, migrations), aside)


def _open_sound(path: Path, stamp: str, migrations: Sequence[Migration]) -> sqlite3.Connection:
    db = None
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.25)
        with _sound(path):
            _configure(db)
        _migrate(db, path, stamp, migrations)
        with _sound(path):
            _look_over(db, path)
        _try_writing(db, path)
    except SqliteFailure as error:
        if db is not None:
            db.close()
        raise _opening_error(error, path) from error
    except BaseException:
        if db is not None:
            db.close()
        raise
    return db


def _opening_error(error: Exception, path: Path) -> StoreError:
    if is_damage(error):
        return StoreDamaged(f"{path} is damaged: {error}")
    return StoreUnusable(f"{path} cannot be opened for writing ({error}): choose another file, or free this one")


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Take what SQLite cannot read, and what no waiting mends, for damage."""
    try:
        yield
    except SqliteFailure as error:
        if passing_trouble(error):
            raise
        raise StoreDamaged(f"{path} is damaged: {error}") from error


def _configure(db: sqlite3.Connection) -> None:
    # FULL, because NORMAL loses every commit since the last checkpoint in a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=2000", "cache_size=-8000"):
        db.execute(f"PRAGMA {pragma}")
    db.execute(f"PRAGMA journal_size_limit={32 * 2**20}")
    db.execute("SELECT count(*) FROM sqlite_master")


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema's version."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def refuse_newer(db: sqlite3.Connection, path: Path, newest: int = len(MIGRATIONS)) -> int:
    """Return the schema's version.

    Raises:
        StoreTooNew: when this program does not know it yet.
    """
    version = version_of(db)
    if version > newest:
        raise StoreTooNew(
            f"{path} has schema {version}, written by a newer Pairscope; this one knows schema {newest}: "
            "update Pairscope, or choose another store"
        )
    return version


def _migrate(db: sqlite3.Connection, path: Path, stamp: str, migrations: Sequence[Migration]) -> None:
    version = refuse_newer(db, path, len(migrations))
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not tables >= OURS:
        raise StoreUnusable(f"{path} is a database of another program: choose another file for the store")
    if version != _applied(db, tables):
        raise StoreDamaged(f"{path} is damaged: its version says {version}, its tables say otherwise")
    if version == len(migrations):
        return
    if version:
        back_up(db, path.with_name(f"{path.name}.backup-v{version}-{stamp}"))
    script = "".join(step.sql for step in migrations[version:])
    names = [(step.name, number) for number, step in enumerate(migrations, 1)]
    db.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(script):
            db.execute(statement)
        db.executemany("INSERT OR IGNORE INTO migrations VALUES (?, ?)", names)
        db.execute(f"PRAGMA user_version={len(migrations)}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _applied(db: sqlite3.Connection, tables: set[str]) -> int:
    """Return how many migrations the tables have seen; their ledger came with the second."""
    if "migrations" in tables:
        return int(db.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0])
    return 1 if tables else 0


def _statements(script: str) -> list[str]:
    """Split a script at its semicolons; executescript() would commit before it starts."""
    statements, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return statements


def back_up(db: sqlite3.Connection, target: Path) -> None:
    """Copy the database as it is at this moment to `target`, whole or not at all."""
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    copy = sqlite3.connect(part)
    try:
        db.backup(copy)
        copy.close()
        part.replace(target)
    finally:
        copy.close()
        part.unlink(missing_ok=True)


def _look_over(db: sqlite3.Connection, path: Path) -> None:
    """Raise what SQLite finds wrong, within a second whatever the size."""
    pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * size <= SMALL_FILE:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreDamaged(f"{path} is damaged: {found}")
    for table in TABLES:
        for order in ("ASC", "DESC"):
            key = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk = 1", (table,)).fetchone()
            if key is None:
                raise StoreDamaged(f"{path} lacks the table {table!r}")
            db.execute(f"SELECT * FROM {table} ORDER BY {key[0]} {order} LIMIT 1").fetchall()  # noqa: S608  # our names


def _try_writing(db: sqlite3.Connection, path: Path) -> None:
    """Find out now whether the file takes writes; a lock of another program passes by itself."""
    try:
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(f"PRAGMA user_version={version_of(db)}")
        finally:
            db.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK):
            raise StoreDamaged(f"{path} is damaged: its header forbids writing") from error
        raise


def set_aside(path: Path, stamp: str) -> Path:
    """Rename a damaged database and its journal, so that a new one can begin; return the new name."""
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    for number in range(1, 1000):
        if not aside.exists():
            break
        aside = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    try:
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StoreUnusable(f"{path} is damaged and cannot be set aside: {error.strerror or error}") from error
    return aside


def refuse_unusable(path: Path) -> None:
    """Raise StoreUnusable when there can be no database at `path`."""
    if sqlite3.sqlite_version_info < (3, 37):
        raise StoreUnusable(f"SQLite {sqlite3.sqlite_version} is too old: Python must come with 3.37 or newer")
    if path.is_dir():
        raise StoreUnusable(f"{path} is a folder: the store needs the name of a file, such as {path / 'ticks.db'}")
    if not path.parent.is_dir():
        raise StoreUnusable(f"{path.parent} does not exist: make the folder, or choose another place for the store")
