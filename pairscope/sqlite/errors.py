"""What can be wrong with a store, and the translation of SQLite's own errors.

StoreError (market.PairscopeError)
├── StoreUnusable              the address names no file that can be a store (exit code 2: also WrongUse)
├── StoreTooNew                a newer Pairscope wrote it (also WrongUse)
├── StoreHeld                  another process records into it (also WrongUse)
├── StoreDamaged               the file is not, or no longer, a sound database
├── StoreBusy                  more waits to be written than may wait
└── StoreSlow                  a read took longer than its deadline
"""

import sqlite3

from market import PairscopeError, WrongUse


class StoreError(PairscopeError):
    """The store cannot do what it was asked to."""


class StoreUnusable(StoreError, WrongUse):
    """The address does not name a file that can be a store."""


class StoreTooNew(StoreError, WrongUse):
    """The store was written by a newer version."""


class StoreHeld(StoreError, WrongUse):
    """Another process owns the store.

    Args:
        path: the store's file.
        pid: the process that owns it, None when it did not say.
    """

    def __init__(self, path: str, pid: int | None) -> None:
        self.pid = pid
        owner = f"process {pid}" if pid else "another process"
        super().__init__(f"{path} is held by {owner}, which records into it: stop that one first, or use another store")


class StoreDamaged(StoreError):
    """The file is not a sound database."""


class StoreBusy(StoreError):
    """More waits to be written than memory is set aside for."""


class StoreSlow(StoreError):
    """A read was cut off at its deadline."""


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING = {
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked by another program",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not take the writes (full or failing)",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened",
    sqlite3.SQLITE_READONLY: "the database is read-only",
    sqlite3.SQLITE_NOMEM: "memory is full",
}


SqliteFailure = (sqlite3.Error, UnicodeDecodeError)
"""What a call of SQLite may raise: its message on a damaged file may hold bytes of the damage, which are no text."""


def _code(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_damage(error: Exception) -> bool:
    """Tell whether SQLite found the file damaged."""
    return isinstance(error, UnicodeDecodeError) or _code(error) in _DAMAGED


def passing_trouble(error: Exception) -> str | None:
    """Return what keeps a write from succeeding now but not for ever, or None for any other error."""
    return _PASSING.get(_code(error))


def translate(error: Exception, path: str) -> StoreError:
    """Turn SQLite's error into ours, naming the file."""
    if isinstance(error, StoreError):
        return error
    if is_damage(error):
        return StoreDamaged(f"{path} is damaged ({error}); `python -m pairscope check` tells more")
    if _code(error) == sqlite3.SQLITE_INTERRUPT:
        return StoreSlow(f"reading {path} took longer than allowed: ask for a shorter range or a longer timeframe")
    return StoreError(f"{path}: {passing_trouble(error) or error}")
