"""The one connection that writes, and what goes along with its transactions."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pairscope.sqlite.listeners import Change
from pairscope.sqlite.schema import open_database, set_aside
from pairscope.sqlite.upkeep import Upkeep

log = logging.getLogger(__name__)

JOURNAL_LIMIT = 32 * 2**20
"""Bytes of journal (the -wal file) above which it is emptied as soon as no reader needs it."""


class Database:
    """The file, opened for writing; the writer thread's target."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], int],
        on_change: Callable[[Sequence[Change]], None],
        on_replacing: Callable[[], None],
        on_replaced: Callable[[], None],
    ) -> None:
        """Open or create the database.

        Args:
            path: the file.
            clock: gives the time, in epoch milliseconds.
            on_change: told, after each commit, which instruments' bars changed, and from which time on.
            on_replacing: told before a damaged file is looked at anew, so that its readers let go of it.
            on_replaced: told when a damaged file was set aside and a new one begun.
        """
        self.path = str(path)
        self.upkeep = Upkeep()
        self.set_aside: tuple[Path, ...] = ()
        self._file = path
        self._clock = clock
        self._on_change = on_change
        self._on_replacing = on_replacing
        self._on_replaced = on_replaced
        self._db: sqlite3.Connection | None = self._open()

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self._clock() / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")

    def _open(self) -> sqlite3.Connection:
        opened = open_database(self._file, stamp=self._stamp())
        if opened.set_aside:
            self._put_aside(opened.set_aside)
        return opened.db

    def _put_aside(self, name: Path) -> None:
        self.set_aside += (name,)
        log.error("%s was damaged: set aside as %s, a new one is begun", self._file, name.name)

    def connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = self._open()
        return self._db

    def before_commit(self) -> None:
        self.upkeep.save(self.connection())

    def after_commit(self) -> None:
        if touched := tuple(self.upkeep.take_touched()):
            self._on_change(touched)

    def after_rollback(self) -> None:
        self.upkeep.forget()

    def replace_damaged(self, *, certain: bool) -> None:
        """Open the file anew, which sets it aside if it is seen to be damaged, or in any case if that is certain."""
        before = self.set_aside
        self._on_replacing()
        self.upkeep.forget()
        if self._db is not None:
            self._db.close()
            self._db = None
        if certain:
            self._put_aside(set_aside(self._file, self._stamp()))
        self._db = self._open()
        if self.set_aside != before:
            self._on_replaced()

    def journal_bytes(self) -> int:
        """Return the size of the journal."""
        try:
            return self._file.with_name(self._file.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def tidy(self) -> None:
        """Empty the journal when it has grown, without waiting for readers that still need it."""
        if self.journal_bytes() < JOURNAL_LIMIT:
            return
        db = self.connection()
        db.execute("PRAGMA busy_timeout=20")
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            log.info("%s: the journal cannot be emptied yet: %s", self._file, error)
        finally:
            db.execute("PRAGMA busy_timeout=250")

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
