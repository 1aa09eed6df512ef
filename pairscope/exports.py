"""Exports: what of a store is to be written to a file, about how much that is, and the writing."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from market import Bars, Instrument, Label, Tick, Timeframe, WrongUse, bars_from_rows, join_bars
from pairscope.alerts.records import AT_ONCE, Asked, all_alerts
from pairscope.files import FileError, FileFormat, Target, write_alerts, write_analysis, write_bars, write_ticks
from pairscope.settings import moment_ms
from store import SqliteReader

if TYPE_CHECKING:
    from analytics import PairAnalysis

What = Literal["ticks", "bars", "analytics"]
Piece = TypeVar("Piece", Bars, Sequence[Tick])

KEPT_FILES = 6

BARS_AT_ONCE = 50_000
MINUTE_BARS = Timeframe.parse("1m")

ROW_BYTES: Mapping[What, Mapping[FileFormat, int]] = {
    "ticks": {"csv": 80, "json": 145, "parquet": 17},
    "bars": {"csv": 145, "json": 290, "parquet": 48},
    "analytics": {"csv": 245, "json": 410, "parquet": 90},
}
"""About so many bytes a row takes, measured on the simulated market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is to be written; times are epoch milliseconds, the range half-open, by default all that is stored."""

    what: What
    instruments: tuple[Instrument, ...]
    """Of analytics two: y, then x."""
    start: int | None = None
    end: int | None = None
    timeframe: Timeframe = MINUTE_BARS
    file_format: FileFormat = "csv"
    options: Mapping[str, Any] = field(default_factory=dict)
    """What `analyze_pair` is to know beside the legs and the time."""


@dataclass(frozen=True, slots=True)
class Expected:
    """About how large an export will be."""

    rows: int
    size: int
    """In bytes."""


def expect(reader: SqliteReader, asked: Export) -> Expected:
    """Tell about how large an export will be, without reading what it holds."""
    if asked.what == "ticks":
        rows = sum(reader.held(name, asked.start, asked.end).ticks for name in asked.instruments)
    else:
        counts = [_bar_count(reader, name, asked) for name in asked.instruments]
        rows = min(counts, default=0) if asked.what == "analytics" else sum(counts)
    return Expected(rows, rows * ROW_BYTES[asked.what][asked.file_format])


def _bar_count(reader: SqliteReader, name: Instrument, asked: Export) -> int:
    """Return how many bars there are at most: a second without a trade has none."""
    first, last = reader.bar_span(name) or (0, 0)
    begin, end = max(asked.start or 0, first), last if asked.end is None else min(asked.end, last)
    most = max(0, -(-(end - begin) // asked.timeframe.ms))
    held = reader.held(name, asked.start, asked.end)
    pruned = held.first_ms is not None and held.trades_from_ms != held.first_ms
    candles = held.first_ms is None or begin < held.first_ms
    return most if pruned or candles else min(most, held.ticks)


def write_export(
    target: Target, reader: SqliteReader, asked: Export, *, now: int, told: Callable[[int], None] = lambda rows: None
) -> int:
    """Write what is asked for and return how many rows that were; `told` hears now and then how many are read.

    Raises:
        WrongUse: when analytics are asked of another number of symbols than two, or the options contradict each other.
        FileError: when the disk failed.
    """
    label = label_of(reader, asked.instruments)
    if asked.what == "ticks":
        batches = (batch for name in asked.instruments for batch in reader.ticks(name, asked.start, asked.end))
        ticks = chain.from_iterable(_counted(batches, told))
        return write_ticks(target, ticks, asked.file_format, label=label)
    if asked.what == "bars":
        bars = (some for name in asked.instruments for some in all_bars(reader, name, asked, now=now))
        return write_bars(target, _counted(bars, told), asked.file_format, label=label)
    return write_analysis(target, _analysis(reader, asked, told, now=now), asked.file_format, label=label)


def export_alerts(
    target: Target,
    reader: SqliteReader,
    asked: Asked,
    file_format: FileFormat,
    *,
    base: str = "",
    most: int | None = None,
) -> int:
    """Write the alerts that are wanted, the oldest first, and return how many.

    Args:
        target: where to.
        reader: of the store.
        asked: which; its limit does not count.
        file_format: as `write_alerts` has it.
        base: where people reach the pages.
        most: about so many are written at most; None: all.

    Raises:
        FileError: when the disk failed.
    """
    pieces = islice(all_alerts(reader, asked, base=base), None if most is None else -(-most // AT_ONCE))
    timed = ([{**each, "time": moment_ms(each["time"])} for each in piece] for piece in pieces)
    return write_alerts(target, timed, file_format)


def _counted(pieces: Iterable[Piece], told: Callable[[int], None]) -> Iterator[Piece]:
    rows = 0
    for piece in pieces:
        rows += len(piece)
        told(rows)
        yield piece


def _analysis(reader: SqliteReader, asked: Export, told: Callable[[int], None], *, now: int) -> "PairAnalysis":
    from analytics import analyze_pair  # a second of imports, which no other export needs

    if len(asked.instruments) != 2:
        raise WrongUse(f"a pair has two legs, first y, then x, not {len(asked.instruments)}")
    y, x = (_whole(name, asked, _counted(all_bars(reader, name, asked, now=now), told)) for name in asked.instruments)
    found = analyze_pair(y, x, now_ms=now, **asked.options)
    told(0)
    return found


def whole_bars(reader: SqliteReader, name: Instrument, asked: Export, *, now: int) -> Bars:
    """Read the bars of an instrument between the times asked for as one."""
    return _whole(name, asked, all_bars(reader, name, asked, now=now))


def _whole(name: Instrument, asked: Export, pieces: Iterable[Bars]) -> Bars:
    return reduce(join_bars, pieces, bars_from_rows(name, asked.timeframe, []))


def all_bars(reader: SqliteReader, name: Instrument, asked: Export, *, now: int) -> Iterator[Bars]:
    """Read the bars in pieces, so that memory and the time of one read stay bounded."""
    first, last = reader.bar_span(name) or (0, 0)
    begin = max(asked.start or 0, asked.timeframe.floor(first))
    stop = last if asked.end is None else min(asked.end, last)
    step = BARS_AT_ONCE * asked.timeframe.ms
    for piece in range(begin, stop, step):
        yield reader.bars(name, asked.timeframe, piece, min(piece + step, stop), now=now)


FROM_LIVE: tuple[Label, ...] = ("LIVE", "REPLAY", "FILE", "SIMULATED")


def label_of(reader: SqliteReader, names: Iterable[Instrument]) -> Label:
    """Return where the trades of instruments come from: of several, that which is furthest from a live market."""
    return max((reader.label(name) for name in names), key=FROM_LIVE.index)


# ---- as jobs, for a browser to fetch the file


class Progress(Protocol):
    """What a job says of itself while it runs."""

    can_end: bool
    """Whether it can be cancelled now."""

    def say(self, share: float, text: str = "") -> None:
        """Say how much is done, from 0 to 1, and what is being done; raises when the job was cancelled."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that waits to be fetched."""

    path: Path
    """Alone in its folder."""
    rows: int | None
    """None where it is no table."""
    size: int
    """In bytes."""
    label: Label | None
    """Where the trades come from; None for a whole store."""


def write_file(
    reader: SqliteReader, asked: Export, path: Path, progress: Progress, *, expected: Expected, now: int
) -> Written:
    """Write an export to a new file, and say how far it is.

    Raises:
        FileError: when the disk failed.
    """

    def told(rows: int) -> None:
        if asked.what == "analytics":  # how far an analysis is cannot be told
            progress.say(0.0)
            return
        share = min(0.99, rows / expected.rows) if expected.rows else 0.99
        progress.say(share, f"{rows:,} of about {expected.rows:,} rows")

    progress.say(0.0, "being analysed" if asked.what == "analytics" else "being read")
    rows = write_export(path, reader, asked, now=now, told=told)
    return Written(path, rows, path.stat().st_size, label_of(reader, asked.instruments))


def write_backup(reader: SqliteReader, path: Path, progress: Progress) -> Written:
    """Copy the whole store as it is at this moment, while recording goes on.

    Raises:
        StoreUnusable: when it cannot be copied.
    """
    progress.can_end = False
    progress.say(0.0, "being copied; that cannot be interrupted")
    reader.backup(path)
    return Written(path, None, path.stat().st_size, None)


class Shelf:
    """The files that wait to be fetched, the newest first, however many jobs come after theirs.

    Args:
        most: so many are kept; the oldest one goes from the disk when another comes.
    """

    def __init__(self, most: int = KEPT_FILES) -> None:
        self._most = most
        self._files: list[Written] = []
        self._change = threading.Lock()

    def fill(self, write: Callable[[Progress], Written], progress: Progress) -> Written:
        """Do the work of a job that writes a file, and keep the file."""
        file = write(progress)
        with self._change:
            self._files.insert(0, file)
        self.make_room(0)
        return file

    def make_room(self, more: int = 1) -> None:
        """Remove the oldest files, so that so many more can be kept."""
        with self._change:
            kept, gone = self._files[: self._most - more], self._files[self._most - more :]
            self._files = kept
        for file in gone:
            with suppress(OSError):
                file.path.unlink(missing_ok=True)
                file.path.parent.rmdir()

    def listed(self) -> list[Written]:
        """Return the files that are there, the newest first."""
        with self._change:
            return [file for file in self._files if file.path.exists()]

    def find(self, folder: str, name: str) -> Written | None:
        """Return the file of this name in the folder of this name, which nobody can guess; None when there is none."""
        return next((file for file in self.listed() if (file.path.parent.name, file.path.name) == (folder, name)), None)


def demand_room(folder: Path, size: int) -> None:
    """Refuse a file that would leave the disk nearly full.

    Raises:
        FileError: saying how much is needed, and how much there is.
    """
    free = shutil.disk_usage(folder).free
    if size > free / 2:
        needed, left = (f"{each / 2**20:,.0f} MB" for each in (size, free))
        raise FileError(
            f"about {needed} are needed, and the disk of {folder} has {left} left: ask for less, or let the command "
            "write it elsewhere with --out"
        )
