"""Trades of a recording, one by one in bounded memory: what replays read.

A format is told by content, never by the file's name, and gzip by its first bytes. Readable are

- a table: CSV with a header, ours (``time,venue,symbol,trade_id,price,qty,side``) or with the names in `_ALIASES`;
- objects: one JSON object a line, with the same names; also our own JSON export, which has one row a line;
- frames: ``<receive time> <json>`` a line, or cryptofeed's ``<receive time>: <json>``, read by the venue's parser.

Times are ISO-8601 (UTC where they name no zone) or a number since 1970 whose size tells s, ms, us or ns.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from market import IMPORTED, Side, Tick, WrongUse, flaw
from pairscope.uploads.ids import BadRow, Ids, shown
from pairscope.uploads.lines import named_twice
from pairscope.uploads.upload import LATEST_MS, MAX_LINE, FileError


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

FRAME = re.compile(rb"[0-9]{9,19}(?:\.[0-9]{1,9})?:? (?=[\[{])")
CONNECTION = re.compile(rb"wss?://\S+ <->? ")
_ESCAPED = re.compile(r"''*[=+\-@\t\r\n\0]")
"""A text cell to which our exports put an apostrophe, so that no spreadsheet takes it for a formula."""
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
    if FRAME.match(first) or CONNECTION.match(first):
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
    telling = (line for line in lines if line != b"[" and not CONNECTION.match(line))
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
        start = FRAME.match(line)
        if start is None:
            if not CONNECTION.match(line):
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
    ids = Ids()
    for number, row in rows:
        try:
            yield _tick_of(reading, row, ids)
        except BadRow as bad:
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
        begin = shown(line.decode(errors="replace"))
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
    if not isinstance(record, dict) or named_twice(line.removesuffix(b",").decode(), len(record)):
        return None
    named = ((_FIELD_OF.get(key.lower()), value) for key, value in reversed(record.items()))  # the first one stays
    return {name: value for name, value in named if name and value is not None}


def _tick_of(reading: _Reading, row: _Row, ids: Ids) -> Tick:
    exec_type = row.get("exec_type") or "MARKET"
    if exec_type != "MARKET":
        raise BadRow(f"not a market trade: {shown(exec_type)}")
    time_ms, price, qty = _time_ms(row.get("time")), _number(row, "price"), _number(row, "qty")
    symbol = _name(row, "symbol") or reading.symbol
    venue = _name(row, "venue") or reading.venue
    given = row.get("trade_id", "")
    if symbol is None:
        raise BadRow("no symbol")
    if venue is None and given != "":
        raise BadRow("a trade id but no venue")
    venue = venue or IMPORTED
    trade_id = ids.make((venue, symbol, time_ms), price, qty) if given == "" else _integer(given)
    tick = Tick(venue, symbol, trade_id, time_ms, price, qty, _side(row))
    if why := reading.clash(venue, symbol) or flaw(tick, latest_ms=LATEST_MS):
        raise BadRow(why)
    return tick


_NUMBER = re.compile(r"[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[0-9]{1,19}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS_PER_S = ((10**8, 10**11, 1), (10**11, 10**14, 10**3), (10**14, 10**17, 10**6), (10**17, 10**20, 10**9))
_SIDES: dict[object, Side | None] = {"": None, "buy": "buy", "BUY": "buy", "sell": "sell", "SELL": "sell"}
_MAKERS: dict[object, Side | None] = {"": None, "true": "sell", "True": "sell", "false": "buy", "False": "buy"}
_MAKERS |= {True: "sell", False: "buy"}


def _name(row: _Row, key: str) -> str | None:
    """Return a venue or a symbol, None where there is none."""
    value = row.get(key, "")
    if isinstance(value, str) and len(value) <= 64 and value.isprintable():
        return value or None
    raise BadRow(f"{key} {shown(value)} is not a name")


def _number(row: _Row, key: str) -> float:
    value = row.get(key)
    # float() alone would take "nan", "1_0" and " 1 ".
    if type(value) in (float, int) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return float(value)  # type: ignore[arg-type]  # it is one of the three
    raise BadRow(f"{key} {shown(value)} is not a positive number")


def _integer(value: object) -> int:
    if type(value) is int or (isinstance(value, str) and _INTEGER.fullmatch(value)):
        return int(value)
    raise BadRow(f"trade id {shown(value)} is not an integer")


def _side(row: _Row) -> Side | None:
    side, maker = row.get("side", ""), row.get("buyer_is_maker", "")
    try:
        return _SIDES[side] or _MAKERS[maker]
    except (KeyError, TypeError) as unknown:
        raise BadRow(f"side {shown(side or maker)} is not known") from unknown


def _time_ms(value: object) -> int:
    """Return a time as UTC epoch milliseconds, cut to the whole one."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        time_ms = _iso_ms(value)
    elif isinstance(value, str):
        time_ms = _epoch_ms(int(value) if value.isdigit() else float(value))
    elif type(value) is int or type(value) is float:
        time_ms = _epoch_ms(value)
    else:
        raise BadRow(f"time {shown(value)} is not a time")
    if not 0 < time_ms <= LATEST_MS:
        raise BadRow(f"time {shown(value)} is not between 1970 and 2109")
    return time_ms


def _epoch_ms(value: float) -> int:
    for low, high, per_s in _EPOCH_UNITS_PER_S:
        if low <= value < high:
            if isinstance(value, int):
                return value * 1000 // per_s
            return round(value / per_s * 1e6) // 1000  # to the microsecond first: 0.799 s is 799 ms, not 798
    raise BadRow(f"time {shown(value)} is not a time in s, ms, us or ns since 1970")


def _iso_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRow(f"time {shown(text)} is not a time") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
