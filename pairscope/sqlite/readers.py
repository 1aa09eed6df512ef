"""Read-only connections: many may read while one writes, none may read for long.

A read that pins the journal for minutes would let it grow without bound, so each has a deadline.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairscope.sqlite.errors import SqliteFailure, is_damage, translate

DEADLINE_SECONDS = 2.0
_STEPS = 4_000
"""How many virtual machine steps pass between two looks at the clock: a few microseconds' worth of each millisecond."""


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open `path` for reading; nothing done with the connection can change it."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA query_only=1")
    return db


class Readers:
    """A pool of read-only connections to one file."""

    def __init__(self, path: Path, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._path = path
        self._deadline = deadline
        self._idle: list[sqlite3.Connection] = []
        self._generation = 0
        self._inode = 0
        self._lock = threading.Lock()

    @contextmanager
    def snapshot(self, *, deadline: float | None = None) -> Iterator[sqlite3.Connection]:
        """Give a connection whose reads all see the same moment.

        Args:
            deadline: seconds until a read in it is cut off; math.inf for none.

        Raises:
            StoreSlow: when it was.
            StoreDamaged, StoreError: when SQLite cannot read the file.
        """
        try:
            db, generation = self._take()
            end = time.monotonic() + (self._deadline if deadline is None else deadline)
            db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
            try:
                db.execute("BEGIN")
                yield db
            finally:
                self._give_back(db, generation)
        except SqliteFailure as error:
            if is_damage(error):
                self.renew()  # the owner may have put a sound file in place
            raise translate(error, str(self._path)) from error

    def _take(self) -> tuple[sqlite3.Connection, int]:
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            inode = 0
        if inode != self._inode:
            self.renew()  # another process has set the file aside
            self._inode = inode
        with self._lock:
            if self._idle:
                return self._idle.pop(), self._generation
            generation = self._generation
        return connect_readonly(self._path), generation

    def _give_back(self, db: sqlite3.Connection, generation: int) -> None:
        if db.in_transaction:
            db.execute("ROLLBACK")
        with self._lock:
            if generation == self._generation:
                self._idle.append(db)
                return
        db.close()

    def renew(self) -> None:
        """Let go of the present connections: the file was replaced, or is to be closed."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
        for db in idle:
            db.close()
