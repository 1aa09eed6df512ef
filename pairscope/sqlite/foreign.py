"""Other people's databases: a table of trades in a file that an upload brought, read and never changed."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from market import WrongUse
from pairscope.sqlite.errors import SqliteFailure, StoreUnusable

TABLES = ("ticks", "trades", "tick")
"""Names, in any letter case, of the table that is read; the first one that is there."""

_OURS = {"symbols", "ticks", "bars_1s", "migrations"}
_PROGRESS_STEPS = 1_000_000
_MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """The table of trades: its columns, and its rows as often as they are asked for."""

    table: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterable[Sequence[object]]]


def read_foreign_database(path: Path) -> ForeignTable:
    """Find the table of trades in a database file.

    The file is opened as one that nobody changes: nothing is written, not even the files of a lock beside it.

    Args:
        path: a copy of the file, or the file itself.

    Raises:
        StoreUnusable: it is damaged, or has no such table.
        WrongUse: it is a store of Pairscope's, for which there are better ways.
    """
    try:
        db = _opened(path)
        try:
            damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            found = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            tables = {str(name).lower(): str(name) for (name,) in found}
            table = _table_of(tables, damage)
            columns = tuple(row[0] for row in db.execute(f"SELECT * FROM {_quoted(table)} LIMIT 0").description)  # noqa: S608
        finally:
            db.close()
    except SqliteFailure as error:
        raise StoreUnusable(f"the database cannot be read: {error}") from error
    return ForeignTable(table, columns, lambda: _rows(path, table))


def _table_of(tables: dict[str, str], damage: str) -> str:
    if damage != "ok":
        raise StoreUnusable(f"the database is damaged: {damage}")
    if set(tables) >= _OURS:
        raise WrongUse("this is a store of Pairscope's: name it with --store, or replay it (replay sqlite:///FILE)")
    for name in TABLES:
        if name in tables:
            return tables[name]
    known = ", ".join(sorted(tables.values())[:8]) or "none"
    raise StoreUnusable(f"the database has no table of trades ({', '.join(TABLES)}); its tables: {known}")


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    # A stranger's schema may hold functions and text that is none; a crafted one may never end.
    db.text_factory = lambda text: text.decode(errors="replace")
    for pragma in ("query_only=1", "trusted_schema=0", "cell_size_check=1", "mmap_size=0"):
        db.execute(f"PRAGMA {pragma}")
    left = iter(range(_MOST_STEPS))
    db.set_progress_handler(lambda: next(left, None) is None, _PROGRESS_STEPS)
    return db


def _rows(path: Path, table: str) -> Iterator[Sequence[object]]:
    try:
        db = _opened(path)
        try:
            yield from db.execute(f"SELECT * FROM {_quoted(table)}")  # noqa: S608
        finally:
            db.close()
    except SqliteFailure as error:
        raise StoreUnusable(f"the database cannot be read: {error}") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
