"""The port of a store, and the store that is used by default: one SQLite file.

Writing returns a future that is done when the trades are on the disk; reading sees only what is. Times are UTC epoch
milliseconds, ranges half-open, symbols written ``BTCUSDT`` or ``binance-spot:BTCUSDT``.

The errors of a store are drawn in pairscope/sqlite/errors.py and are to be had from here.
"""

import math
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from operator import add
from pathlib import Path
from typing import Protocol, TypeVar

from market import (
    IMPORTED,
    MINUTE,
    SECOND,
    Bar,
    Bars,
    Coverage,
    Gap,
    GapState,
    Hole,
    Instrument,
    Label,
    Reject,
    Tick,
    Timeframe,
    WrongUse,
)
from pairscope.sqlite.answers import Check, Deletion, Size, StoreStatus, SymbolCheck
from pairscope.sqlite.cache import FOREVER, BarCache, Read
from pairscope.sqlite.database import Database
from pairscope.sqlite.deleting import delete, prune, unfinished_deletions
from pairscope.sqlite.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreHeld,
    StoreSlow,
    StoreTooNew,
    StoreUnusable,
)
from pairscope.sqlite.holdings import Expired, Held, count_expired, read_held
from pairscope.sqlite.ledgers import count_rejects, end_run, insert_rejects, insert_run, read_labels, read_rejects
from pairscope.sqlite.listeners import Callback, Change, Listeners
from pairscope.sqlite.lock import Owner, StoreLock, find_owner
from pairscope.sqlite.readers import Readers, connect_readonly
from pairscope.sqlite.reading import (
    NEWEST_SECOND,
    bar_extent,
    extent,
    mark_forming,
    next_traded,
    read_bars,
    read_gap,
    read_gaps,
    read_ticks,
)
from pairscope.sqlite.schema import MIGRATIONS, back_up, refuse_newer, refuse_unusable
from pairscope.sqlite.survey import (
    count_gaps,
    find_symbol,
    highest_ids,
    known_symbols,
    measure_coverage,
    newest_ticks,
    survey,
    tick_totals,
)
from pairscope.sqlite.upkeep import Appended
from pairscope.sqlite.writer import Writer, WriterStatus

__all__ = [
    "Appended", "Check", "Deletion", "Expired", "Held", "Owner", "Size", "SqliteReader", "SqliteStore", "Store",
    "StoreBusy", "StoreDamaged", "StoreError", "StoreHeld", "StoreSlow", "StoreStatus", "StoreTooNew",
    "StoreUnusable", "SymbolCheck", "WriterStatus", "find_owner", "store_path",
]  # fmt: skip

T = TypeVar("T")

TICKS_AT_ONCE = 20_000
"""About so many trades are read at once, so that neither memory nor the time of one read grows with the range."""

SHORTEST_PIECE_MS, LONGEST_PIECE_MS = SECOND, 10 * MINUTE


class Store(Protocol):
    """Where trades, bars and ledgers are kept. Any implementation passes tests/contracts/store.py."""

    def append(self, ticks: Sequence[Tick], *, holes: Sequence[Hole] = ()) -> Future[Appended]:
        """Store trades, and open a gap for each hole before them: all together or not at all.

        Trades already stored are counted as duplicates. StoreBusy: too many wait already, nothing was taken.
        """

    def append_whole(
        self, batches: Callable[[], Iterable[Sequence[Tick]]], candles: Sequence[Bars] = ()
    ) -> Future[Appended]:
        """Store what an import holds in one transaction: all of it or nothing; return the counts of all rows.

        `batches` gives the trades from the beginning each time it is called: a busy disk makes us try again.
        """

    def reject(self, rejects: Sequence[Reject]) -> Future[None]:
        """Remember trades that could not be taken."""

    def close_gap(self, key: int, state: GapState, reason: str) -> Future[None]:
        """End an open gap that nothing more will fill."""

    def reopen_gap(self, key: int) -> Future[None]:
        """Take a gap that was given up for open again; its cause says that somebody asked for it."""

    def add_klines(self, instrument: Instrument, timeframe: Timeframe, bars: Sequence[Bar]) -> Future[int]:
        """Store candles, the exchange's own or those of a file, for where its trades are not to be had."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Return all that the store knows."""

    def resolve(self, symbol: str | Instrument) -> Instrument:
        """Return what a symbol means: a bare one the only venue that has it, else the default venue."""

    def bars(
        self,
        symbol: str | Instrument,
        timeframe: str | Timeframe,
        start: int | None = None,
        end: int | None = None,
        *,
        now: int | None = None,
    ) -> Bars:
        """Return the bars that start in ``[start, end)``; the last one is forming unless `now` is 1 s past its end."""

    def ticks(
        self, symbol: str | Instrument, start: int | None = None, end: int | None = None
    ) -> Iterator[Sequence[Tick]]:
        """Yield the trades of ``[start, end)`` in the order of time, in batches."""

    def latest(self) -> dict[Instrument, Tick]:
        """Return the newest trade of each instrument."""

    def last_ids(self) -> dict[Instrument, tuple[int, int]]:
        """Return id and time of the trade with the highest id of each instrument that has trades."""

    def bar_span(self, symbol: str | Instrument) -> tuple[int, int] | None:
        """Return the start of the first bar and the end of the last, candles included; None without bars."""

    def coverage(self, symbol: str | Instrument, start: int | None = None, end: int | None = None) -> Coverage:
        """Tell how much of a range (default: from the first to the last trade) was recorded."""

    def gaps(
        self,
        symbol: str | Instrument | None = None,
        *,
        state: GapState | None = None,
        ids: tuple[int, int] | None = None,
    ) -> tuple[Gap, ...]:
        """Return the ledger of gaps, oldest first; with `ids` only those that lie between two trade ids of a symbol."""

    def gap_counts(self) -> Mapping[GapState, int]:
        """Return how many gaps there are in each state."""

    def rejects(self, limit: int = 100) -> tuple[Reject, ...]:
        """Return the rejected trades, newest first."""

    def prune(self, *, ticks_before: int, seconds_before: int) -> int:
        """Delete trades and 1-second bars older than these times; return how many rows went."""

    def deletion(self, symbol: str | Instrument | None) -> Deletion:
        """Tell what deleting one instrument, or everything (None), would remove."""

    def delete(self, symbol: str | Instrument | None, *, confirm: str) -> int:
        """Delete it, if `confirm` is the phrase of its `deletion`; return how many trades went."""

    def backup(self, target: Path) -> None:
        """Copy the store as it is at this moment, while recording goes on."""

    def check(self) -> Check:
        """Read everything there is, and tell what was found."""

    def status(self) -> StoreStatus:
        """Tell how writing goes."""

    def begin_run(self, *, version: str, label: Label, settings: Mapping[str, object]) -> Future[int]:
        """Note that recording begins, and with which settings; returns the run's key."""

    def end_run(self, key: int) -> Future[None]:
        """Note that a run ended in order."""

    def label(self, instrument: Instrument) -> Label:
        """Tell where the trades of an instrument come from, for views and exports to say."""

    def close(self) -> None:
        """Write what waits and let go of the store."""


def store_path(url: str) -> Path:
    """Return the file of a store's address.

    Raises:
        StoreUnusable: for anything but ``sqlite:///FILE``.
    """
    scheme, found, name = url.partition("sqlite:///")
    if scheme or not found or not name or name == ":memory:":
        raise StoreUnusable(f"the store's address {url!r} must be sqlite:///FILE, such as sqlite:///ticks.db")
    return Path(name)


class SqliteReader:
    """The reading half of `Store` on one SQLite file, beside the process that may be writing it."""

    def __init__(self, path: Path, *, default_venue: str = "binance-spot") -> None:
        """Open an existing store.

        Args:
            path: the file.
            default_venue: the venue of a bare symbol that several venues have.

        Raises:
            StoreUnusable: when there is none, or it is not a store of this version.
        """
        if not path.is_file():
            raise StoreUnusable(f"there is no store at {path}: record something first, or name another one")
        self._prepare(path, default_venue)
        with self._readers.snapshot() as db:
            if refuse_newer(db, path) < len(MIGRATIONS):
                raise StoreUnusable(f"{path} is of an older version: start Pairscope on it once to update it")

    def _prepare(self, path: Path, default_venue: str) -> None:
        self.path = path.resolve()  # one name for one file: its lock lies beside it
        self._default_venue = default_venue
        self._readers = Readers(self.path)
        self.snapshot = self._readers.snapshot  # also for what else the file keeps (pairscope/stores)

    @property
    def owner(self) -> Owner | None:
        """The process that records into the store now."""
        return find_owner(self.path)

    def instruments(self) -> tuple[Instrument, ...]:
        with self._readers.snapshot() as db:
            return tuple(known_symbols(db))

    def resolve(self, symbol: str | Instrument) -> Instrument:
        """Return what a symbol means: a bare one the only venue that has it, else the default venue.

        Raises:
            UnknownName: when the store has no such symbol.
        """
        with self._readers.snapshot() as db:
            return self._find(db, symbol)[1]

    def _find(self, db: sqlite3.Connection, symbol: str | Instrument) -> tuple[int, Instrument]:
        return find_symbol(db, symbol, self._default_venue)

    def bars(
        self,
        symbol: str | Instrument,
        timeframe: str | Timeframe,
        start: int | None = None,
        end: int | None = None,
        *,
        now: int | None = None,
    ) -> Bars:
        # Read before the bars: a trade that is committed in between must not make a half-read bar look closed.
        with self._readers.snapshot() as db:
            key, instrument = self._find(db, symbol)
            newest = db.execute(NEWEST_SECOND, (key,)).fetchone()[0]
        bars = self._window(instrument, Timeframe.parse(timeframe), start or 0, FOREVER if end is None else end)
        return mark_forming(bars, newest, now)

    def _window(self, instrument: Instrument, timeframe: Timeframe, start: int, end: int) -> Bars:
        return self._read_bars(instrument, timeframe, start, end).bars

    def _read_bars(self, instrument: Instrument, timeframe: Timeframe, start: int, end: int) -> Read:
        with self._readers.snapshot() as db:
            return read_bars(db, self._find(db, instrument)[0], instrument, timeframe, start, end)

    def ticks(
        self, symbol: str | Instrument, start: int | None = None, end: int | None = None
    ) -> Iterator[Sequence[Tick]]:
        """Yield the trades of ``[start, end)`` in the order of time, in batches of ten minutes at most."""
        with self._readers.snapshot() as db:
            key, instrument = self._find(db, symbol)
            span = extent(db, key)
        if span is None:
            return
        begin, stop = max(start or 0, span[0]), span[1] if end is None else min(end, span[1])
        length = 10 * SECOND
        while begin < stop:
            until = min(begin + length, stop)
            with self._readers.snapshot() as db:
                key, _ = self._find(db, instrument)
                batch = read_ticks(db, key, instrument, begin, until)
                begin = until if batch else next_traded(db, key, until)
            fitting = length * TICKS_AT_ONCE // max(len(batch), 1)
            length = max(SHORTEST_PIECE_MS, min(fitting, 2 * length, LONGEST_PIECE_MS))
            if batch:
                yield batch

    def latest(self) -> dict[Instrument, Tick]:
        with self._readers.snapshot() as db:
            return newest_ticks(db)

    def bar_span(self, symbol: str | Instrument) -> tuple[int, int] | None:
        with self._readers.snapshot() as db:
            return bar_extent(db, self._find(db, symbol)[0])

    def coverage(self, symbol: str | Instrument, start: int | None = None, end: int | None = None) -> Coverage:
        with self._readers.snapshot() as db:
            return measure_coverage(db, self._find(db, symbol)[0], start, end)

    def gaps(
        self,
        symbol: str | Instrument | None = None,
        *,
        state: GapState | None = None,
        ids: tuple[int, int] | None = None,
    ) -> tuple[Gap, ...]:
        with self._readers.snapshot() as db:
            return read_gaps(db, None if symbol is None else self._find(db, symbol)[0], state, ids)

    def gap_counts(self) -> dict[GapState, int]:
        with self._readers.snapshot() as db:
            return count_gaps(db)

    def last_ids(self) -> dict[Instrument, tuple[int, int]]:
        with self._readers.snapshot() as db:
            return highest_ids(db)

    def rejects(self, limit: int = 100) -> tuple[Reject, ...]:
        with self._readers.snapshot() as db:
            return read_rejects(db, limit)

    def reject_counts(self) -> dict[str, int]:
        """Return how many trades were rejected for each reason."""
        with self._readers.snapshot() as db:
            return count_rejects(db)

    def label(self, instrument: Instrument) -> Label:
        if instrument.venue == "simulated":
            return "SIMULATED"
        if instrument.venue == IMPORTED:
            return "FILE"
        return "REPLAY" if self.labels()[:1] == ["REPLAY"] else "LIVE"

    def labels(self) -> list[Label]:
        """Return the kinds of trades that were recorded into the store, the newest first."""
        with self._readers.snapshot() as db:
            return read_labels(db)

    def deletion(self, symbol: str | Instrument | None) -> Deletion:
        with self._readers.snapshot(deadline=math.inf) as db:
            known = known_symbols(db)
            instruments = tuple(known) if symbol is None else (self._find(db, symbol)[1],)
            ticks = sum(tick_totals(db, known[each])[0] for each in instruments)
        phrase = "delete everything" if symbol is None else f"delete {instruments[0]}"
        return Deletion(instruments, ticks, phrase)

    def backup(self, target: Path) -> None:
        """Copy the store as it is at this moment, while recording goes on.

        Raises:
            StoreUnusable: when `target` exists or cannot be written.
        """
        if target.exists():
            raise StoreUnusable(f"{target} exists: name a new file for the copy")
        db = connect_readonly(self.path)
        try:
            back_up(db, target)
        except sqlite3.Error as error:
            raise StoreUnusable(f"the copy {target} could not be made: {error}") from error
        finally:
            db.close()

    def check(self) -> Check:
        try:  # a damaged file is an answer, not an error
            with self._readers.snapshot(deadline=math.inf) as db:
                faults = [row[0] for row in db.execute("PRAGMA integrity_check(20)") if row[0] != "ok"]
                symbols = tuple(survey(db, self.label))
            return Check(symbols, tuple(faults), self.reject_counts())
        except StoreDamaged as error:
            return Check((), (str(error),), {})

    def held(self, symbol: str | Instrument, start: int | None = None, end: int | None = None) -> Held:
        """Tell how many trades are held between two times, by the minute."""
        with self._readers.snapshot() as db:
            return read_held(db, self._find(db, symbol)[0], start, end)

    def expired(self, *, ticks_before: int, seconds_before: int) -> Expired:
        """Tell what `prune` would delete."""
        with self._readers.snapshot() as db:
            return count_expired(db, known_symbols(db).values(), ticks_before, seconds_before)

    def size(self) -> Size:
        disk = shutil.disk_usage(self.path.absolute().parent)
        files = [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal")]
        database, journal = (file.stat().st_size if file.exists() else 0 for file in files)
        return Size(database, journal, disk.free, disk.total)

    def close(self) -> None:
        self._readers.renew()


class SqliteStore(SqliteReader):
    """`Store` in one SQLite file: one thread writes, any number read, nobody else opens the file."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], int],
        address: str | None = None,
        default_venue: str = "binance-spot",
        commit_ms: int = 100,
        commit_rows: int = 2_000,
        queue_rows: int = 200_000,
    ) -> None:
        """Open a store for writing, begin it when there is none, and own it until it is closed.

        Args:
            path: the file.
            clock: gives the time in epoch milliseconds, for the ledgers' stamps.
            address: where this process takes commands from others, for the lock file.
            default_venue: the venue of a bare symbol that several venues have.
            commit_ms, commit_rows: a commit is made when a trade has waited this long, or this many wait.
            queue_rows: so many trades may wait in memory.

        Raises:
            StoreHeld: when another process records into it.
            StoreUnusable, StoreTooNew: when the file cannot be a store of this version.
        """
        refuse_unusable(path)
        self._prepare(path, default_venue)
        self._clock = clock
        self._cache = BarCache(self._read_bars)
        self._listeners = Listeners()
        self._run: tuple[int, Callable[[sqlite3.Connection], int]] | None = None
        self._lock = StoreLock(self.path, address=address)
        try:
            self._database = Database(
                self.path,
                clock=clock,
                on_change=self._changed,
                on_replacing=self._readers.renew,
                on_replaced=self._begin_anew,
            )
        except BaseException:
            self._lock.release()
            raise
        self._writer = Writer(self._database, delay_ms=commit_ms, max_rows=commit_rows, queue_rows=queue_rows)
        self.write = self._writer.submit
        for instrument in unfinished_deletions(self._database.connection()):
            delete(self._writer, self._database.upkeep, instrument)

    @property
    def owner(self) -> Owner:
        return self._lock.owner

    def _window(self, instrument: Instrument, timeframe: Timeframe, start: int, end: int) -> Bars:
        return self._cache.bars(instrument, timeframe, start, end)

    def write_now(self, work: Callable[[sqlite3.Connection], T], *, rows: int = 1) -> Future[T]:
        """Like `write`, but commit at once, together with all that waits already."""
        return self._writer.submit(work, rows=rows, urgent=True)

    def listen(self, callback: Callback) -> Callable[[], None]:
        """Tell `callback` after each commit which instruments changed, and from which time on; return what ends that.

        It runs in the thread that writes, so it must be quick; what is read from then on is what was committed.
        """
        return self._listeners.add(callback)

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._cache.changed(change.instrument, change.start_ms)
        self._listeners.tell(changes)

    def _begin_anew(self) -> None:
        """Forget what was read of the damaged file, and enter the present run into the new one."""
        self._readers.renew()
        self._cache.clear()
        if self._run:
            self._writer.submit(self._run[1])

    def append(self, ticks: Sequence[Tick], *, holes: Sequence[Hole] = ()) -> "Future[Appended]":

        def work(db: sqlite3.Connection) -> Appended:
            upkeep, now = self._database.upkeep, self._clock()
            opened = tuple(upkeep.open_gap(db, hole, now) for hole in holes)
            appended, conflicts = upkeep.append(db, ticks, now)
            if conflicts:
                insert_rejects(db, [each.reject() for each in conflicts], now)
            return appended._replace(gaps=opened)

        return self._writer.submit(work, rows=len(ticks) + len(holes))

    def append_whole(
        self, batches: Callable[[], Iterable[Sequence[Tick]]], candles: Sequence[Bars] = ()
    ) -> "Future[Appended]":

        def work(db: sqlite3.Connection) -> Appended:
            upkeep, now, sums = self._database.upkeep, self._clock(), [0, 0, 0, 0]
            for batch in batches():
                appended, conflicts = upkeep.append(db, batch, now)
                insert_rejects(db, [each.reject() for each in conflicts], now)
                sums = list(map(add, sums, appended[:4]))
            stored, duplicates, conflicting, expired = sums
            for bars in candles:
                fresh, other = upkeep.add_candles(db, bars.instrument, bars.timeframe, list(bars))
                stored, conflicting = stored + fresh, conflicting + other
                duplicates += len(bars) - fresh - other
            return Appended(stored, duplicates, conflicting, expired)

        return self._writer.submit(work, name="an import")

    def reject(self, rejects: Sequence[Reject]) -> "Future[None]":
        return self._writer.submit(lambda db: insert_rejects(db, rejects, self._clock()), rows=len(rejects))

    def close_gap(self, key: int, state: GapState, reason: str) -> "Future[None]":

        def work(db: sqlite3.Connection) -> None:
            gap = read_gap(db, key)
            if gap is not None and gap.state == "open":
                self._database.upkeep.close_gap(db, gap, state, reason, self._clock())

        return self._writer.submit(work)

    def reopen_gap(self, key: int) -> "Future[None]":
        return self._writer.submit(lambda db: self._database.upkeep.reopen_gap(db, key))

    def add_klines(self, instrument: Instrument, timeframe: Timeframe, bars: Sequence[Bar]) -> "Future[int]":
        def work(db: sqlite3.Connection) -> int:
            return self._database.upkeep.put_klines(db, instrument, timeframe, bars)

        return self._writer.submit(work, rows=len(bars))

    def begin_run(self, *, version: str, label: Label, settings: Mapping[str, object]) -> "Future[int]":
        started = self._clock()

        def work(db: sqlite3.Connection) -> int:
            key = self._run[0] if self._run else None
            key = insert_run(db, key=key, started=started, version=version, label=label, settings=settings)
            self._run = (key, work)
            return key

        return self._writer.submit(work)

    def end_run(self, key: int) -> "Future[None]":
        return self._writer.submit(lambda db: end_run(db, key, self._clock()))

    def prune(self, *, ticks_before: int, seconds_before: int) -> int:
        ticks_before -= ticks_before % MINUTE
        seconds_before = min(ticks_before, seconds_before - seconds_before % MINUTE)
        upkeep = self._database.upkeep
        gone = sum(prune(self._writer, upkeep, each, ticks_before, seconds_before) for each in self.instruments())
        self._cache.clear()
        return gone

    def delete(self, symbol: str | Instrument | None, *, confirm: str) -> int:
        """Delete it, if `confirm` is the phrase of its `deletion`; return how many trades went.

        Raises:
            WrongUse: when the words do not confirm it; nothing is deleted.
        """
        deletion = self.deletion(symbol)
        if confirm != deletion.phrase:
            raise WrongUse(f"nothing was deleted: to confirm, give the words {deletion.phrase!r}, not {confirm!r}")
        upkeep = self._database.upkeep
        gone = sum(delete(self._writer, upkeep, each) for each in deletion.instruments)
        self._cache.clear()
        self._listeners.tell([Change(each, 0, -1) for each in deletion.instruments])
        return gone

    @property
    def set_aside(self) -> tuple[str, ...]:
        """The names that damaged files were given since this store was opened."""
        return tuple(path.name for path in self._database.set_aside)

    @property
    def waits_seconds(self) -> float:
        """For how long the oldest work waits that is not on the disk yet."""
        return self._writer.status.waits_seconds

    def status(self) -> StoreStatus:
        return StoreStatus(self._writer.status, self.size(), self.set_aside)

    def close(self) -> None:
        super().close()  # first, so that the writer closes last and leaves no journal behind
        self._writer.close()
        self._lock.release()
