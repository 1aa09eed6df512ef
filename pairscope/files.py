"""Files of the user's: recorded trades in, exports out.

PairscopeError (market.py)
├── WrongUse                   no such file, or a venue, symbol or frame parser that must be named
└── FileError                  the file itself: empty, binary, none of the formats below; or the disk failed

A format is told by content, never by the file's name, and gzip by its first bytes. Readable are

- a table: CSV with a header, ours (``time,venue,symbol,trade_id,price,qty,side``) or with the names in `_ALIASES`;
- objects: one JSON object a line, with the same names; also our own JSON export, which has one row a line;
- frames: ``<receive time> <json>`` a line, or cryptofeed's ``<receive time>: <json>``, read by the venue's parser.

Times are ISO-8601 (UTC where they name no zone) or a number since 1970 whose size tells s, ms, us or ns.
"""

import csv
import gzip
import math
import os
import re
import secrets
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import numpy as np
import orjson

from market import Bars, Label, PairscopeError, Side, Tick, UnknownName, WrongUse, flaw

MAX_LINE = 1_000_000
"""Bytes of the longest line that is read; the largest real frame, a depth snapshot, has 64,000."""

IMPORTED = "import"
"""The venue of trades whose source gave them no ids."""


class FileError(PairscopeError):
    """The file holds nothing that can be read, or cannot be written."""


class BadLine(NamedTuple):
    """One line that is no trade, and why; lines count from 1."""

    file: str
    line: int
    why: str


class ParsedFrame(Protocol):
    """What a venue's parser makes of one frame: trades, and reasons why others are none."""

    @property
    def ticks(self) -> Sequence[Tick]: ...
    @property
    def rejected(self) -> Sequence[str]: ...


FrameParser = Callable[[bytes], ParsedFrame]

# ------------------------------------------------------------------------------------------------ reading

_Row = Mapping[str, object]
_Rows = Iterator[tuple[int, _Row]]

_ALIASES = {
    "time": "time ts timestamp trade_time trade_time_ms",
    "price": "price",
    "qty": "qty size quantity amount",
    "trade_id": "trade_id id",
    "venue": "venue exchange",
    "symbol": "symbol",
    "side": "side",
    "buyer_is_maker": "is_buyer_maker isbuyermaker",
    "exec_type": "exec_type",
}
_FIELD_OF = {alias: name for name, aliases in _ALIASES.items() for alias in aliases.split()}

_FRAME = re.compile(rb"[0-9]{9,19}(?:\.[0-9]{1,9})?:? (?=[\[{])")
_CONNECTION = re.compile(rb"wss?://\S+ <->? ")
_BRACKETS = (b"[", b"]", b"[]")  # lines of our JSON export that hold no row
_SNIFFED_LINES = 100
_FOREIGN = {b"PK\x03\x04": "a zip archive", b"PAR1": "a Parquet file", b"SQLite format 3\0": "an SQLite database"}
_FORMATS = (
    "readable are CSV with a header (time, price, qty, and symbol, venue, trade_id, side where known), "
    "one JSON object a line, and recorded WebSocket frames, plain or gzipped"
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the caller said about a file."""

    path: Path
    venue: str | None
    symbol: str | None
    on_reject: Callable[[BadLine], object]

    def refuse(self, line: int, why: str) -> None:
        self.on_reject(BadLine(str(self.path), line, why))

    def clash(self, venue: str | None, symbol: str) -> str | None:
        """Return why a row cannot be what the caller said the file is, or None: nothing is ever relabelled."""
        if venue and self.venue not in (None, venue):
            return f"the file says venue {venue}, the call says {self.venue}"
        if self.symbol not in (None, symbol):
            return f"the file says symbol {symbol}, the call says {self.symbol}"
        return None


class _BadRow(ValueError):
    """A row that is no trade; the message is the reason."""


def read_ticks(
    path: str | Path,
    *,
    on_reject: Callable[[BadLine], object],
    venue: str | None = None,
    symbol: str | None = None,
    parse: FrameParser | None = None,
) -> Iterator[Tick]:
    """Read the trades of a file in its order, in bounded memory; what is wrong with the whole file is raised at once.

    Trades without ids get one that depends on what they are, so that reading twice gives the same ids; ids made so
    rise with time, to the millisecond.

    Args:
        path: the file.
        on_reject: called with each line that is no trade.
        venue: where the file does not say and is not of frames; trades without ids are at ``import`` otherwise.
        symbol: where the file does not say.
        parse: the venue's frame parser, for recorded frames.

    Raises:
        WrongUse: the file does not exist, or a venue, a symbol or a parser is missing; the message says how to give it.
        FileError: it is empty, binary, or of no readable format.
    """
    reading = _Reading(Path(path), venue, symbol, on_reject)
    first = _first_line(reading)
    if _FRAME.match(first) or _CONNECTION.match(first):
        if parse is None:
            raise WrongUse(f"{path} holds recorded WebSocket frames: name their venue (--venue), for its parser")
        return _framed_ticks(reading, parse)
    if first.startswith((b"{", b"[")):
        if (row := _object_of(first)) is not None:
            _demand(reading, row, first)
        return _ticks_of(reading, _object_rows(reading))
    columns = _columns_of(first)
    _demand(reading, dict.fromkeys(filter(None, columns), "somewhere"), first)
    return _ticks_of(reading, _table_rows(reading, columns))


def _first_line(reading: _Reading) -> bytes:
    """Return the line that tells the format."""
    _refuse_foreign(reading.path)
    silent = replace(reading, on_reject=lambda reject: None)
    lines = [line for _, line in islice(_lines(silent), _SNIFFED_LINES)]
    if not lines:
        raise FileError(f"{reading.path} holds no line of text; {_FORMATS}")
    telling = (line for line in lines if line != b"[" and not _CONNECTION.match(line))
    return next(telling, lines[0])


def _refuse_foreign(path: Path) -> None:
    if not path.is_file():
        raise WrongUse(f"{path} is not a file" if path.exists() else f"there is no file {path}")
    try:
        with _open(path) as stream:
            head = stream.peek(65_536)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    if not head:
        raise FileError(f"{path} is empty")
    kind = next((kind for magic, kind in _FOREIGN.items() if head.startswith(magic)), "binary" if b"\0" in head else "")
    if kind:
        raise FileError(f"{path} is {kind}, not text; {_FORMATS}")


def _open(path: Path) -> Any:
    stream = path.open("rb")
    if stream.peek(2)[:2] != b"\x1f\x8b":
        return stream
    stream.close()
    return gzip.open(path)


def _lines(reading: _Reading) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, stripped and with their number; refuse the ones that are too long."""
    with _open(reading.path) as stream:
        number = 0
        try:
            while line := stream.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(MAX_LINE)
                    reading.refuse(number, f"longer than {MAX_LINE:,} bytes")
                elif line := (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip():
                    yield number, line
        except (OSError, EOFError, zlib.error) as damage:
            reading.refuse(number + 1, f"the file is damaged from here on: {damage}")


def _framed_ticks(reading: _Reading, parse: FrameParser) -> Iterator[Tick]:
    number, trades = 0, 0
    for number, line in _lines(reading):
        start = _FRAME.match(line)
        if start is None:
            if not _CONNECTION.match(line):
                reading.refuse(number, "not a receive time and a frame")
            continue
        parsed = parse(line[start.end() :])
        trades += len(parsed.ticks) + len(parsed.rejected)
        for why in parsed.rejected:
            reading.refuse(number, why)
        for tick in parsed.ticks:
            # Which venue it is, the parser knows better: raw and aggregate trades are two, and one may say either.
            if clash := reading.clash(None, tick.symbol):
                reading.refuse(number, clash)
            else:
                yield tick
    if not trades:
        reading.refuse(number, "no frame of the file is a trade that this venue's parser knows")


def _ticks_of(reading: _Reading, rows: _Rows) -> Iterator[Tick]:
    ids = _Ids()
    for number, row in rows:
        try:
            yield _tick_of(reading, row, ids)
        except _BadRow as bad:
            reading.refuse(number, str(bad))


def _columns_of(header: bytes) -> list[str | None]:
    """Return which field each column of a table holds, None for the ones that say nothing to us."""
    columns: list[str | None] = []
    for name in header.decode(errors="replace").replace('"', "").split(","):
        known = _FIELD_OF.get(name.strip().lower())
        columns.append(None if known in columns else known)
    return columns


def _demand(reading: _Reading, row: _Row, line: bytes) -> None:
    """Raise when every row like this one would be refused for what it lacks."""
    if lacking := [name for name in ("time", "price", "qty") if name not in row]:
        begin = _short(line.decode(errors="replace"))
        raise FileError(f"{reading.path} has no {' and no '.join(lacking)} in its first line {begin}; {_FORMATS}")
    venue = row.get("venue") or reading.venue or "trade_id" not in row  # without ids it is `import`
    symbol = row.get("symbol") or reading.symbol
    if lacking := [name for name, known in (("venue", venue), ("symbol", symbol)) if not known]:
        ways = " ".join(f"--{name} NAME" for name in lacking)
        raise WrongUse(f"{reading.path} does not say its {' and '.join(lacking)}: give it ({ways})")


def _table_rows(reading: _Reading, columns: list[str | None]) -> _Rows:
    wanted = [(place, name) for place, name in enumerate(columns) if name]
    lines = _lines(reading)
    next(lines, None)  # the header
    for number, line in lines:
        try:
            cells = _cells_of(line.decode())
        except (UnicodeDecodeError, csv.Error):
            reading.refuse(number, "not UTF-8 text in cells with commas between")
            continue
        if len(cells) == len(columns):
            yield number, {name: cells[place] for place, name in wanted}
        else:
            reading.refuse(number, f"{len(cells)} cells where the header has {len(columns)}")


def _cells_of(line: str) -> list[str]:
    plain = '"' not in line and ", " not in line
    cells = line.split(",") if plain else next(csv.reader([line], skipinitialspace=True))
    return [cell[1:] if _ESCAPED.match(cell) else cell for cell in cells] if "'" in line else cells


def _object_rows(reading: _Reading) -> _Rows:
    for number, line in _lines(reading):
        row = _object_of(line)
        if row is not None:
            yield number, row
        elif line not in _BRACKETS:
            reading.refuse(number, "not one JSON object")


def _object_of(line: bytes) -> _Row | None:
    try:
        record = orjson.loads(line.removesuffix(b","))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict):
        return None
    named = ((_FIELD_OF.get(key.lower()), value) for key, value in reversed(record.items()))  # the first one stays
    return {name: value for name, value in named if name and value is not None}


def _tick_of(reading: _Reading, row: _Row, ids: "_Ids") -> Tick:
    exec_type = row.get("exec_type") or "MARKET"
    if exec_type != "MARKET":
        raise _BadRow(f"not a market trade: {_short(exec_type)}")
    time_ms, price, qty = _time_ms(row.get("time")), _number(row, "price"), _number(row, "qty")
    symbol = _name(row, "symbol") or reading.symbol
    venue = _name(row, "venue") or reading.venue
    given = row.get("trade_id", "")
    if symbol is None:
        raise _BadRow("no symbol")
    if venue is None and given != "":
        raise _BadRow("a trade id but no venue")
    venue = venue or IMPORTED
    trade_id = ids.make((venue, symbol, time_ms), price, qty) if given == "" else _integer(given)
    tick = Tick(venue, symbol, trade_id, time_ms, price, qty, _side(row))
    if why := reading.clash(venue, symbol) or flaw(tick, latest_ms=_LATEST_MS):
        raise _BadRow(why)
    return tick


_NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[0-9]{1,19}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 2**42 - 1  # the year 2109: later times would not leave room for the rest of an id
_EPOCH_UNITS_PER_S = ((10**8, 10**11, 1), (10**11, 10**14, 10**3), (10**14, 10**17, 10**6), (10**17, 10**20, 10**9))
_SIDES: dict[object, Side | None] = {"": None, "buy": "buy", "BUY": "buy", "sell": "sell", "SELL": "sell"}
_MAKERS: dict[object, Side | None] = {"": None, "true": "sell", "True": "sell", "false": "buy", "False": "buy"}
_MAKERS |= {True: "sell", False: "buy"}


def _name(row: _Row, key: str) -> str | None:
    """Return a venue or a symbol, None where there is none."""
    value = row.get(key, "")
    if isinstance(value, str) and len(value) <= 64 and value.isprintable():
        return value or None
    raise _BadRow(f"{key} {_short(value)} is not a name")


def _number(row: _Row, key: str) -> float:
    value = row.get(key)
    # float() alone would take "nan", "1_0" and " 1 ".
    if type(value) in (float, int) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return float(value)  # type: ignore[arg-type]  # it is one of the three
    raise _BadRow(f"{key} {_short(value)} is not a positive number")


def _integer(value: object) -> int:
    if type(value) is int or (isinstance(value, str) and _INTEGER.fullmatch(value)):
        return int(value)
    raise _BadRow(f"trade id {_short(value)} is not an integer")


def _side(row: _Row) -> Side | None:
    side, maker = row.get("side", ""), row.get("buyer_is_maker", "")
    try:
        return _SIDES[side] or _MAKERS[maker]
    except (KeyError, TypeError) as unknown:
        raise _BadRow(f"side {_short(side or maker)} is not known") from unknown


def _time_ms(value: object) -> int:
    """Return a time as UTC epoch milliseconds, cut to the whole one."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        time_ms = _iso_ms(value)
    elif isinstance(value, str):
        time_ms = _epoch_ms(int(value) if value.isdigit() else float(value))
    elif type(value) is int or type(value) is float:
        time_ms = _epoch_ms(value)
    else:
        raise _BadRow(f"time {_short(value)} is not a time")
    if not 0 < time_ms <= _LATEST_MS:
        raise _BadRow(f"time {_short(value)} is not between 1970 and 2109")
    return time_ms


def _epoch_ms(value: float) -> int:
    for low, high, per_s in _EPOCH_UNITS_PER_S:
        if low <= value < high:
            if isinstance(value, int):
                return value * 1000 // per_s
            return round(value / per_s * 1e6) // 1000  # to the microsecond first: 0.799 s is 799 ms, not 798
    raise _BadRow(f"time {_short(value)} is not a time in s, ms, us or ns since 1970")


def _iso_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _BadRow(f"time {_short(text)} is not a time") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


class _Ids:
    """Makes ids from (venue, symbol, time, price, qty, k-th such row): 42 bits of time, 21 of a hash of the rest.

    Two trades that fall on one hash share a millisecond, so the second takes the next free number. Identical rows are
    told apart as long as fewer than `KEPT` other milliseconds lie between them, which bounds the memory.
    """

    KEPT = 4_096
    SLOTS = 2**21

    def __init__(self) -> None:
        # By moment: how often each (price, qty) came, and each number that is taken.
        self._moments: dict[tuple[str, str, int], Counter[tuple[float, float] | int]] = {}

    def make(self, moment: tuple[str, str, int], price: float, qty: float) -> int:
        _, symbol, time_ms = moment
        seen = self._moments.setdefault(moment, Counter())
        if len(seen) >= self.SLOTS // 2:
            raise _BadRow("half a million trades in its millisecond before it")
        slot = zlib.crc32(symbol.encode() + struct.pack("<ddq", price, qty, seen[price, qty])) % self.SLOTS
        while slot in seen:
            slot = (slot + 1) % self.SLOTS
        seen[price, qty] += 1
        seen[slot] = 1
        if len(self._moments) > self.KEPT:
            del self._moments[next(iter(self._moments))]
        return time_ms * self.SLOTS + slot


def _short(value: object) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    # Never the repr of a list or object: nested deeply enough, it would exhaust the stack.
    return repr(value) if isinstance(value, int | float) else type(value).__name__


# ------------------------------------------------------------------------------------------------ writing

FileFormat = Literal["csv", "json", "parquet"]
Target = str | Path | BinaryIO
"""A path, replaced only once the new file is whole, or an open binary stream."""

CHUNK = 50_000
"""Rows that are held at a time; also the row group of a Parquet file."""

TICK_HEADER = "time,venue,symbol,trade_id,price,qty,side"
BAR_HEADER = "time,venue,symbol,open,high,low,close,volume,trades,turnover,buy_volume,source,gap,forming,label"

_Kind = Literal["time", "text", "integer", "number", "flag"]
_KINDS: dict[str, _Kind] = dict.fromkeys((TICK_HEADER + "," + BAR_HEADER).split(","), "number")
_KINDS |= {"time": "time", "trade_id": "integer", "trades": "integer", "gap": "flag", "forming": "flag"}
_KINDS |= dict.fromkeys(("venue", "symbol", "side", "source", "label"), "text")

_Columns = dict[str, Sequence[Any]]


def write_ticks(target: Target, ticks: Iterable[Tick], file_format: FileFormat, *, label: Label | None = None) -> int:
    """Write trades and return how many: the columns of `TICK_HEADER`, time in ISO-8601 and UTC.

    Args:
        target: where to.
        ticks: written in their order.
        file_format: CSV, JSON (an array, one row a line), or Parquet.
        label: where the trades come from; kept in the metadata of a Parquet file.

    Raises:
        WrongUse: the place cannot be written to.
        FileError: the disk failed; what was there before is untouched.
    """
    return _write(target, TICK_HEADER, _tick_chunks(ticks), file_format, label)


def write_bars(target: Target, bars: Iterable[Bars], file_format: FileFormat, *, label: Label) -> int:
    """Write bars and return how many: the columns of `BAR_HEADER`, time being the start of each, in UTC.

    NaN is an empty cell, and null in JSON and Parquet. Args and raises: as `write_ticks`.
    """
    return _write(target, BAR_HEADER, _bar_chunks(bars, label), file_format, label)


def _tick_chunks(ticks: Iterable[Tick]) -> Iterator[_Columns]:
    rest = iter(ticks)
    while held := list(islice(rest, CHUNK)):
        columns = dict(zip(Tick._fields, zip(*held, strict=True), strict=True))
        yield {"time": columns.pop("time_ms"), **columns}


def _bar_chunks(bars: Iterable[Bars], label: Label) -> Iterator[_Columns]:
    for some in bars:
        for start in range(0, len(some), CHUNK):
            part = some[start : start + CHUNK]
            columns: _Columns = {name: values.tolist() for name, values in part.columns().items()}
            columns["source"] = ["klines" if klines else "trades" for klines in columns["klines"]]
            same = {"venue": part.instrument.venue, "symbol": part.instrument.symbol, "label": label}
            yield columns | {name: [text] * len(part) for name, text in same.items()}


def _write(
    target: Target, header: str, chunks: Iterator[_Columns], file_format: FileFormat, label: Label | None
) -> int:
    if file_format not in _WRITERS:
        raise UnknownName("format", file_format, _WRITERS)
    write = _WRITERS[file_format]
    names = header.split(",")
    ordered = ({name: columns[name] for name in names} for columns in chunks)
    with _replacing(Path(target)) if isinstance(target, str | Path) else nullcontext(target) as stream:
        return write(stream, names, ordered, label)


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a file beside `target` that takes its name once it is whole, and is gone if it never is."""
    place = target.resolve()  # a link stays a link
    special = place.exists() and not place.is_file()  # /dev/stdout is written to, not replaced
    beside = place if special else place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        stream = beside.open("wb" if special else "xb")
    except OSError as error:
        raise WrongUse(f"cannot write {target}: {error.strerror}") from error
    try:
        with stream:
            yield stream
            stream.flush()
            if not special:
                os.fsync(stream.fileno())  # or a power cut leaves the new name on an empty file
        if not special:
            beside.replace(place)
    except OSError as error:
        raise FileError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if not special:
            beside.unlink(missing_ok=True)


def _write_csv(stream: BinaryIO, names: list[str], chunks: Iterator[_Columns], label: Label | None) -> int:
    stream.write((",".join(names) + "\n").encode())
    count = 0
    for columns in chunks:
        cells = [_CELLS[_KINDS[name]](values) for name, values in columns.items()]
        rows = [",".join(row) + "\n" for row in zip(*cells, strict=True)]
        stream.write("".join(rows).encode())
        count += len(rows)
    return count


def _write_json(stream: BinaryIO, names: list[str], chunks: Iterator[_Columns], label: Label | None) -> int:
    count = 0
    for columns in chunks:
        columns["time"] = _iso_cells(columns["time"])
        for row in zip(*columns.values(), strict=True):
            # One by one: orjson's answer occupies 4 kB, however short it is.
            stream.write((b",\n" if count else b"[\n") + orjson.dumps(dict(zip(names, row, strict=True))))
            count += 1
    stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _write_parquet(stream: BinaryIO, names: list[str], chunks: Iterator[_Columns], label: Label | None) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    types = {"time": pa.timestamp("ms", tz="UTC"), "text": pa.string(), "integer": pa.int64()}
    types |= {"number": pa.float64(), "flag": pa.bool_()}
    schema = pa.schema([(name, types[_KINDS[name]]) for name in names], {"label": label} if label else None)
    count = 0
    with parquet.ParquetWriter(stream, schema) as writer:
        for columns in chunks:
            arrays = [pa.array(columns[part.name], part.type, from_pandas=True) for part in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(arrays[0])
    return count


_WRITERS = {"csv": _write_csv, "json": _write_json, "parquet": _write_parquet}

# A spreadsheet takes a cell that begins so for a formula, and "'" for "this is text". A cell that already has
# apostrophes before such a character gets one more, so that reading can take exactly one away.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\0]")
_ESCAPED = re.compile("'" + _FORMULA.pattern)
_TO_QUOTE = re.compile(r'[",\r\n]|^ ')


@lru_cache(maxsize=1024)
def _text_cell(text: str | None) -> str:
    cell = f"'{text}" if text and _FORMULA.match(text) else text or ""
    return '"' + cell.replace('"', '""') + '"' if _TO_QUOTE.search(cell) else cell


def _iso_cells(times_ms: Sequence[int]) -> list[str]:
    cells: list[str] = np.datetime_as_string(np.array(times_ms, "datetime64[ms]"), timezone="UTC").tolist()
    return cells


_CELLS: dict[_Kind, Callable[[Sequence[Any]], Iterable[str]]] = {
    "time": _iso_cells,
    "text": lambda values: map(_text_cell, values),
    "integer": lambda values: map(str, values),
    "number": lambda values: ("" if math.isnan(value) else float.__repr__(value) for value in values),
    "flag": lambda values: ("true" if value else "false" for value in values),
}
