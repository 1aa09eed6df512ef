"""The desk's own records, such as presets: texts under a name, kept in the store beside the trades."""

import json
import sqlite3
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Literal

from store import SqliteReader, SqliteStore

Kind = Literal["preset"]

ALL = "SELECT name, json, time FROM records WHERE kind = ? ORDER BY name COLLATE NOCASE, name"
PUT = """
    INSERT INTO records (kind, name, json, time) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET json = excluded.json, time = excluded.time"""
REMOVE = "DELETE FROM records WHERE kind = ? AND name = ?"


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `time_ms` is when it was put, in epoch milliseconds."""

    name: str
    values: Mapping[str, object]
    time_ms: int


def read_records(reader: SqliteReader, kind: Kind) -> dict[str, Record]:
    """Return all records of a kind by name, in alphabetical order."""
    with reader.snapshot() as db:
        rows = db.execute(ALL, (kind,)).fetchall()
    return {name: Record(name, _values(text), time) for name, text, time in rows}


def _values(text: str) -> Mapping[str, object]:
    """Return what was written; what is no record any more is told by a key that nobody knows."""
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {text[:20]: None}


def put_record(store: SqliteStore, kind: Kind, name: str, values: Mapping[str, object], *, now: int) -> Future[None]:
    """Keep a record under its name, in place of the one that has it."""

    def work(db: sqlite3.Connection) -> None:
        db.execute(PUT, (kind, name, json.dumps(values), now))

    return store.write(work)


def remove_record(store: SqliteStore, kind: Kind, name: str) -> Future[bool]:
    """Remove a record; the future tells whether there was one."""
    return store.write(partial(_remove, kind, name))


def _remove(kind: Kind, name: str, db: sqlite3.Connection) -> bool:
    return db.execute(REMOVE, (kind, name)).rowcount > 0
