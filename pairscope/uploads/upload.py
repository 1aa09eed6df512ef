"""What reading an upload takes and gives: options, limits, rejected rows, columns of trades, and the result."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from market import (
    MINUTE,
    Bars,
    Floats,
    Instrument,
    Integers,
    Label,
    PairscopeError,
    Side,
    Tick,
    Timeframe,
    UnknownName,
    WrongUse,
    bars_from_rows,
    coarsen,
    did_you_mean,
)
from pairscope.uploads.ids import Ids

MAX_LINE = 1_000_000
"""Bytes of the longest line that is read; the largest real frame, a depth snapshot, has 64,000."""

LATEST_MS = 2**42 - 1
"""The year 2109: later times would not leave room for the rest of an id."""

Source = str | Path | bytes | BinaryIO
"""Where an upload comes from: a path, or what a page was handed."""

Kind = Literal["ticks", "trades", "agg_trades", "klines", "ohlc_long", "ohlc_single", "wide_closes", "frames"]
Dates = Literal["month first", "day first"]
Unit = Literal["s", "ms", "us", "ns"]
Decimal = Literal[".", ","]
DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-16", "latin-1")


class FileError(PairscopeError):
    """The file holds nothing that can be read, or cannot be written."""


class NoTable(FileError):
    """Text of which nothing tells that it is a table."""


class AmbiguousFile(WrongUse):
    """A file that can be read in two ways.

    Args:
        file: its name.
        why: what is seen in it.
        option: the field of UploadOptions that settles it.
        choices: what that option may be; empty where it is any name.
    """

    def __init__(self, file: str, why: str, option: str, choices: Sequence[str] = ()) -> None:
        self.file, self.why, self.option, self.choices = file, why, option, tuple(choices)
        self.source = file
        """The name of what was handed in, such as the archive that the file is in."""
        ways = " or ".join(f"{option}={choice!r}" for choice in choices) or f"{option}=..."
        super().__init__(f"{file} {why}: say which it is ({ways})")


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """What the person says about a file; None is detected, or asked for.

    `venue` is where the file names none (default ``import``), `zone` an IANA name for times that name no zone
    (default UTC), `timeframe` for bars whose steps do not tell it.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: Decimal | None = None
    dates: Dates | None = None
    unit: Unit | None = None
    zone: str | None = None
    symbol: str | None = None
    venue: str | None = None
    kind: Kind | None = None
    timeframe: str | Timeframe | None = None

    def __post_init__(self) -> None:
        allowed: dict[str, Sequence[str]] = {"delimiter": DELIMITERS, "encoding": ENCODINGS}
        allowed |= {"decimal": get_args(Decimal), "dates": get_args(Dates), "unit": get_args(Unit)}
        allowed |= {"kind": get_args(Kind)}
        for name, known in allowed.items():
            given = getattr(self, name)
            if given is not None and given not in known:
                near = did_you_mean(str(given), known)
                raise WrongUse(f"unknown {name} {given!r}{near}; known: {', '.join(map(repr, known))}")
        if self.timeframe is not None:
            Timeframe.parse(self.timeframe)
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise UnknownName("zone", self.zone, ("UTC", "Europe/Berlin", "America/New_York")) from error


@dataclass(frozen=True, slots=True)
class Limits:
    """How large an upload may be; more is refused before memory is taken."""

    uncompressed_bytes: int = 4 * 2**30
    document_bytes: int = 64 * 2**20
    """Of a JSON array on one line, which cannot be read piece by piece."""
    rows: int = 20_000_000
    columns: int = 5_000
    cells: int = 20_000_000
    """Of a table of closes, rows times columns."""
    symbols: int = 10_000
    members: int = 1_000
    line: int = MAX_LINE
    kept_rejects: int = 1_000
    """How many rejected rows are kept one by one; all are counted."""


@dataclass(frozen=True, slots=True)
class Settled:
    """All that a reading goes by."""

    options: UploadOptions
    latest_ms: int
    limits: Limits
    parse: Callable[[bytes], Any] | None = None
    """Reads recorded frames of what is said in `options`."""
    database: "Callable[[Path], Database] | None" = None
    own: Mapping[str, UploadOptions] = field(default_factory=dict)
    """What is said of single files, by name, in place of `options`."""
    parse_own: Callable[[str | None], Callable[[bytes], Any]] | None = None
    """Returns, by the venue that is said of a single file, what reads its recorded frames."""

    def of(self, member: str, source: str) -> "Settled":
        """Return what a file is read by.

        Args:
            member: its name.
            source: the name of what was handed in: the file itself, compressed or not, or an archive with it.
        """
        name = nearest_name(self.own, member if member.startswith(f"{source}/") else source)
        if name is None:
            return self
        options = self.own[name]
        parse = self.parse_own(options.venue) if self.parse_own and options.venue else self.parse
        return replace(self, options=options, parse=parse)


def nearest_name(names: Collection[str], file: str) -> str | None:
    """Return which name of what was handed in a reader means: that file, what is compressed in it, or its archive."""
    if file in names:
        return file
    packed = [name for name in names if name.removesuffix(".gz") == file]
    return max(packed or [name for name in names if file.startswith(f"{name}/")], key=len, default=None)


class Database(Protocol):
    """A table of somebody else's database: its columns, and its rows as often as they are asked for."""

    @property
    def table(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> Callable[[], Iterable[Sequence[object]]]: ...


class Rejected(NamedTuple):
    """One row or cell that was left out. Lines count from 1; rows do where a file has no lines."""

    file: str
    line: int
    column: str
    value: str
    rule: str

    def __str__(self) -> str:
        where = f"{self.file} line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{where}: {self.rule}" + (f" ({self.value!r})" if self.value else "")


class Rejects:
    """Collects what was rejected: the first ones one by one, all of them counted by rule."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.first: list[Rejected] = []
        self.counts: Counter[str] = Counter()
        self.duplicates = 0
        """Rows that repeat another one: left out too, but nothing is wrong with them."""

    @property
    def room(self) -> int:
        """How many more would be kept one by one."""
        return self._keep - len(self.first)

    def add(self, reject: Rejected) -> None:
        self.count(reject.rule, 1)
        if self.room > 0:
            self.first.append(reject)

    def count(self, rule: str, count: int) -> None:
        """Count rows that broke a rule; rules beyond a hundred are one, whoever thought of them."""
        known = rule in self.counts or len(self.counts) < _MOST_RULES
        self.counts[rule if known else "for other reasons"] += count


_MOST_RULES = 100


@dataclass(frozen=True, slots=True)
class FileReading:
    """What was understood of one file, or of one member of an archive."""

    file: str
    kind: Kind
    rows: int
    container: str
    """What it came as, such as ``gzip``, ``zip``, ``Parquet``; empty for plain text."""
    encoding: str
    delimiter: str
    decimal: str
    header_line: int
    """0 where the columns are known by their number only."""
    columns: Mapping[str, str]
    """From our field, or the symbol in a table of closes, to the column's name in the file."""
    unused: tuple[str, ...]
    times: str
    zone: str
    notes: tuple[str, ...] = ()
    symbol: str = ""
    """The symbol, if the file's name told it."""

    def sentences(self) -> list[str]:
        """Say it to the person who uploaded it."""
        how = [self.container, self.encoding]
        how += [f"cells between {_DELIMITER_NAMES[self.delimiter]}"] if self.delimiter else []
        how += [f"decimal {'comma' if self.decimal == ',' else 'point'}"]
        how += [f"header in line {self.header_line}" if self.header_line else "no header"] if self.delimiter else []
        told = [f"{self.file}: {self.rows:,} rows of {_KIND_NAMES[self.kind]} ({', '.join(filter(None, how))})."]
        if self.kind == "frames":
            return [told[0].split(" (")[0] + ".", *self.notes]
        named = [f"{name} from {column!r}" if name != column else name for name, column in self.columns.items()]
        told += [f"Columns: {_listed(named)}." + (f" Not used: {_listed(self.unused)}." if self.unused else "")]
        return [*told, f"Times: {self.times}; {self.zone}.", *self.notes]


_DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_KIND_NAMES: dict[Kind, str] = {
    "ticks": "trades",
    "trades": "Binance trades",
    "agg_trades": "Binance aggregate trades",
    "klines": "Binance klines",
    "ohlc_long": "bars with a symbol column",
    "ohlc_single": "bars of one symbol",
    "wide_closes": "closes, a column per symbol",
    "frames": "recorded WebSocket frames",
}


def _listed(names: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(name[:40] for name in names[:most]) + rest


SIDES: tuple[Side | None, ...] = (None, "buy", "sell")
"""By the code in TickColumns.side."""


@dataclass(frozen=True, eq=False)
class TickColumns:
    """Trades by columns, in time order: 41 bytes a trade. `code` says which of the instruments each is of."""

    instruments: tuple[Instrument, ...]
    code: Integers
    time: Integers
    price: Floats
    qty: Floats
    trade_id: Integers
    side: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.time)

    @cached_property
    def held(self) -> list[Instrument]:
        """The instruments that there are trades of."""
        return [self.instruments[code] for code in np.unique(self.code).tolist()]

    def __getitem__(self, rows: Any) -> "TickColumns":
        return TickColumns(self.instruments, *(column[rows] for column in self.columns().values()))

    def __iter__(self) -> Iterator[Tick]:
        for batch in self.batches():
            yield from batch

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ("code", "time", "price", "qty", "trade_id", "side")}

    def batches(self, size: int = 20_000) -> Iterator[list[Tick]]:
        """Yield the trades in lists of `size`, as a store appends them."""
        named = self.instruments
        for start in range(0, len(self), size):
            rows = zip(*(column[start : start + size].tolist() for column in self.columns().values()), strict=True)
            yield [
                Tick(named[code].venue, named[code].symbol, trade_id, time, price, qty, SIDES[side])
                for code, time, price, qty, trade_id, side in rows
            ]

    def unordered(self) -> int:
        """Count the trades with ids of ours that share their time with one of another price.

        Stored trades of one time are in the order of their ids, which ours know nothing of.
        """
        rows = np.flatnonzero(self.trade_id // Ids.SLOTS == self.time)
        rows = rows[np.argsort(self.code[rows], kind="stable")]
        if not len(rows):
            return 0
        begins = np.ones(len(rows), np.bool_)
        begins[1:] = (np.diff(self.code[rows]) != 0) | (np.diff(self.time[rows]) != 0)
        moments, price = np.flatnonzero(begins), self.price[rows]
        differ = np.minimum.reduceat(price, moments) != np.maximum.reduceat(price, moments)
        return int(np.diff(moments, append=len(rows))[differ].sum())

    def of(self, instrument: Instrument) -> "TickColumns":
        """Return the trades of one instrument."""
        return self[self.code == self.instruments.index(instrument)]

    def bars(self, instrument: Instrument, timeframe: Timeframe) -> Bars:
        """Put the trades of one instrument together into bars; a period without trades has none."""
        own = self.of(instrument)
        if not len(own):
            return bars_from_rows(instrument, timeframe, [])
        start = own.time - own.time % timeframe.ms
        first = np.flatnonzero(np.diff(start, prepend=start[0] - 1))
        last = np.append(first[1:], len(own)) - 1
        turnover = own.price * own.qty
        bought = np.where(own.side == 0, np.nan, np.where(own.side == 1, own.qty, 0.0))
        false = np.zeros(len(first), np.bool_)
        return Bars(
            instrument,
            timeframe,
            start[first],
            own.price[first],
            np.maximum.reduceat(own.price, first),
            np.minimum.reduceat(own.price, first),
            own.price[last],
            np.add.reduceat(own.qty, first),
            np.add.reduceat(turnover, first),
            np.add.reduceat(bought, first),
            (last - first + 1).astype(np.int64),
            false,
            false.copy(),
            false.copy(),
        )


class MadeId(NamedTuple):
    """A trade whose file gives it no id, though it names a venue whose trades have some."""

    file: str
    line: int
    instrument: Instrument


@dataclass(frozen=True, eq=False)
class Upload:
    """All that was read.

    `bars` is by symbol, or by ``venue:symbol`` where two venues hold one symbol. `rows` counts the rows that were
    looked at, `out_of_order` those that were sorted, `duplicates` those that repeat an earlier one to the digit.
    `mostly_rejected` says that more than half of a file was: it is hardly what it was taken for. `labels` has what
    files say of themselves that is not LIVE; `made_ids` the first trade without an id of each venue that has ids.
    """

    files: tuple[FileReading, ...]
    bars: dict[str, Bars]
    ticks: TickColumns | None
    rejected: tuple[Rejected, ...]
    rejected_counts: Mapping[str, int]
    rows: int
    out_of_order: int
    duplicates: int
    mostly_rejected: bool
    notes: tuple[str, ...] = field(default=())
    labels: Mapping[Instrument, Label] = field(default_factory=dict)
    made_ids: tuple[MadeId, ...] = ()

    @property
    def kind(self) -> str:
        """What the files are, ``several`` where they differ."""
        kinds = {reading.kind for reading in self.files}
        return kinds.pop() if len(kinds) == 1 else "several"

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that were found, as in `bars`, and those of the trades."""
        traded = self.instruments[len(self.bars) :]
        several = held_twice(self.instruments)
        return (*self.bars, *(str(each) if each.symbol in several else each.symbol for each in traded))

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What there are bars of, then what there are trades of."""
        traded = self.ticks.held if self.ticks is not None else []
        return (*(bars.instrument for bars in self.bars.values()), *traded)

    @property
    def nothing(self) -> str:
        """Why there is neither a bar nor a trade in it, empty where there is one."""
        if self.instruments:
            return ""
        refused = sum(self.rejected_counts.values())
        if not refused:
            return f"{', '.join(reading.file for reading in self.files)} holds no row"
        often = max(self.rejected_counts, key=lambda rule: self.rejected_counts[rule])
        return f"{refused:,} of {max(self.rows, refused):,} rows rejected: {often}"

    def find(self, symbol: str) -> str:
        """Return a symbol as it is spelled in here, whatever the letter case asked for, also as ``venue:symbol``.

        Raises:
            UnknownName: it is not in the files.
            WrongUse: several venues have it.
        """
        return self._named(symbol)[0]

    def _named(self, symbol: str) -> tuple[str, Instrument]:
        named = list(zip(self.symbols, self.instruments, strict=True))
        exact = [(name, each) for name, each in named if symbol in (name, each.symbol, str(each))]
        asked = symbol.upper()
        found = exact or [(name, each) for name, each in named if asked in (each.symbol.upper(), str(each).upper())]
        if not found:
            raise UnknownName("symbol", symbol, self.symbols)
        if len(found) > 1:
            held = ", ".join(str(each) for _, each in found)
            raise WrongUse(f"{symbol} is in the files more than once: {held}; name it as {found[0][1]}")
        return found[0]

    def leg(self, symbol: str, timeframe: Timeframe | None = None) -> Bars:
        """Return the bars of a symbol, put together into longer ones or made of its trades (1m by default).

        Raises:
            UnknownName: it is not in the files.
            WrongUse: several venues have it, or its bars do not add up to that timeframe.
        """
        name, instrument = self._named(symbol)
        if name not in self.bars:
            assert self.ticks is not None
            return self.ticks.bars(instrument, timeframe or Timeframe(MINUTE))
        bars = self.bars[name]
        if timeframe in (None, bars.timeframe):
            return bars
        assert timeframe is not None
        if odd := off_grid(bars):
            raise WrongUse(
                f"{odd:,} of {len(bars):,} bars of {name} do not begin at a whole {bars.timeframe}: they can be used "
                f"as {bars.timeframe} bars, and not be put together into {timeframe} bars"
            )
        return coarsen(bars, timeframe)

    def label(self, *instruments: Instrument) -> Label:
        """Return where bars and trades come from, as far as their files say: FILE, unless SIMULATED or REPLAY."""
        found = {self.labels.get(each, "SIMULATED" if each.venue == "simulated" else "FILE") for each in instruments}
        return "SIMULATED" if "SIMULATED" in found else "REPLAY" if "REPLAY" in found else "FILE"

    @property
    def report(self) -> list[str]:
        """What was understood and what was not, in sentences for a person."""
        told = [_MOSTLY_REJECTED] if self.mostly_rejected else []
        told += [sentence for reading in self.files for sentence in reading.sentences()]
        told += self.notes
        if self.out_of_order:
            told.append(f"{self.out_of_order:,} rows were out of time order and were sorted.")
        if self.duplicates:
            told.append(f"{self.duplicates:,} rows repeat another row and were left out.")
        for rule, count in sorted(self.rejected_counts.items(), key=lambda item: -item[1]):
            told.append(f"Rejected: {count:,} × {rule}.")
        told += [f"{reject}." for reject in self.rejected[:10]]
        return told


def held_twice(instruments: Sequence[Instrument]) -> set[str]:
    """Return the symbols that more than one of the instruments has."""
    counts = Counter(instrument.symbol for instrument in instruments)
    return {symbol for symbol, count in counts.items() if count > 1}


def off_grid(bars: Bars) -> int:
    """Return how many bars do not begin at a multiple of their timeframe since 1970."""
    return int(np.count_nonzero(bars.time % bars.timeframe.ms))


_MOSTLY_REJECTED = "MORE THAN HALF OF THE ROWS WERE REJECTED: this is hardly the kind of file it was taken for."
