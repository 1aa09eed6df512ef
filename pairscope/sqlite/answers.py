"""What a store tells of itself."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from market import Coverage, Instrument, Label
from pairscope.sqlite.writer import WriterStatus

SQLITE_VERSION = sqlite3.sqlite_version


@dataclass(frozen=True, slots=True)
class SymbolCheck:
    """What a store holds of one instrument; times and ids are None when it holds no trade."""

    instrument: Instrument
    label: Label
    ticks: int
    bar_trades: int
    """Trades counted by the 1-second bars; equal to `ticks` unless trades were pruned."""
    first_ms: int | None
    last_ms: int | None
    first_id: int | None
    last_id: int | None
    open_gaps: int
    abandoned_gaps: int
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class Check:
    """The state of a whole store; `faults` are what SQLite found wrong with the file."""

    symbols: tuple[SymbolCheck, ...]
    faults: tuple[str, ...]
    rejected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes on the disk."""

    database: int
    journal: int
    disk_free: int
    disk_total: int

    @property
    def disk_used(self) -> float:
        """The share of the disk that is in use, by anyone."""
        return 1 - self.disk_free / self.disk_total


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a deletion would remove, and the words that confirm it."""

    instruments: tuple[Instrument, ...]
    ticks: int
    phrase: str


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store does now; `set_aside` names damaged files that were replaced."""

    writer: WriterStatus
    size: Size
    set_aside: tuple[str, ...]
