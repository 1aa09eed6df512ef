"""Files of the user's: recorded trades in, any upload in, exports out.

PairscopeError (market.py)
├── WrongUse                   no such file, or a venue, symbol or frame parser that must be named
│   └── AmbiguousFile          it can be read in two ways: which option settles it
└── FileError                  the file itself: empty, binary, none of the formats; or the disk failed

Reading is pairscope/uploads/: `read_ticks` one trade at a time for replays (streaming.py), `read_upload` any file whole
with a report of what was understood (reading.py). Writing is here.
"""

import math
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

import numpy as np
import orjson

from market import IMPORTED, Bars, Instrument, Label, Tick, UnknownName, WrongUse
from pairscope.uploads.streaming import BadLine, FrameParser, ParsedFrame, read_ticks
from pairscope.uploads.upload import (
    LATEST_MS,
    MAX_LINE,
    AmbiguousFile,
    FileError,
    Limits,
    Rejected,
    Settled,
    Source,
    TickColumns,
    Upload,
    UploadOptions,
    nearest_name,
    off_grid,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ALERT_HEADER", "ANALYSIS_HEADER", "BAR_HEADER", "CHUNK", "IMPORTED", "LATEST_MS", "MAX_LINE", "TICK_HEADER",
    "AmbiguousFile", "BadLine", "FileError", "FileFormat", "FrameParser", "Limits", "ParsedFrame", "Rejected", "Source",
    "Target", "TickColumns", "Upload", "UploadOptions", "nearest_name", "off_grid", "read_ticks", "read_upload",
    "write_alerts", "write_analysis", "write_bars", "write_rejected", "write_ticks",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------ reading


def read_upload(
    *sources: Source,
    name: str | None = None,
    options: UploadOptions | None = None,
    latest_ms: int = LATEST_MS,
    limits: Limits | None = None,
    parse: FrameParser | None = None,
    own: Mapping[str, UploadOptions] | None = None,
    parse_own: Callable[[str | None], FrameParser] | None = None,
) -> Upload:
    """Read any file of trades, bars or closes whole, and say what was understood and what was not.

    Args:
        sources: paths, bytes or open binary streams; several are read as one.
        name: the file's name where the source has none of its own; it may tell a symbol.
        options: what settles an ambiguity; what they say is not detected.
        latest_ms: rows later than this are rejected as "future".
        limits: how large a file may be.
        parse: the venue's frame parser, for recorded frames.
        own: what is said of single files, by the names of their sources, in place of `options`.
        parse_own: gives the frame parser of the venue that is said of a single file.

    Raises:
        AmbiguousFile: the file can be read in two ways; its `option` says what settles it.
        WrongUse: there is no such file.
        FileError: it is empty, damaged, too large, or of no readable format.
    """
    from pairscope.sqlite.errors import StoreUnusable
    from pairscope.sqlite.foreign import read_foreign_database
    from pairscope.uploads.reading import read_sources  # here, because pyarrow comes with it

    settled = Settled(
        options or UploadOptions(), latest_ms, limits or Limits(), parse, read_foreign_database, own or {}, parse_own
    )
    try:
        return read_sources(sources, name, settled)
    except StoreUnusable as error:
        raise FileError(f"{name or 'the upload'}: {error}") from error


# ------------------------------------------------------------------------------------------------ writing

FileFormat = Literal["csv", "json", "parquet"]
Target = str | Path | BinaryIO
"""A path, replaced only once the new file is whole, or an open binary stream."""

CHUNK = 50_000
"""Rows that are held at a time; also the row group of a Parquet file."""

TICK_HEADER = "time,venue,symbol,trade_id,price,qty,side"
ANALYSIS_HEADER = (
    "time,y,x,price_y,price_x,alpha,beta,beta_std,spread,mean,std,zscore,r2,correlation,state,why,flags,label"
)
BAR_HEADER = "time,venue,symbol,open,high,low,close,volume,trades,turnover,buy_volume,source,gap,forming,label"
ALERT_HEADER = (
    "time,id,rule_id,state,outcome,y,x,timeframe,metric,direction,value,threshold,severity,late,late_seconds,reason,"
    "note,sentence,bar,over,acknowledged,link,label"
)

_Kind = Literal["time", "text", "integer", "number", "flag"]
_KINDS: dict[str, _Kind] = dict.fromkeys(f"{TICK_HEADER},{BAR_HEADER},{ANALYSIS_HEADER}".split(","), "number")
_KINDS |= {"time": "time", "trade_id": "integer", "trades": "integer", "gap": "flag", "forming": "flag"}
_KINDS |= dict.fromkeys(("venue", "symbol", "side", "source", "label", "y", "x", "why", "flags"), "text")
_KINDS |= {"state": "integer"}
_ALERT_KINDS: dict[str, _Kind] = dict.fromkeys(ALERT_HEADER.split(","), "text")
_ALERT_KINDS |= {"time": "time", "id": "integer", "rule_id": "integer", "late": "flag"}
_ALERT_KINDS |= dict.fromkeys(("value", "threshold", "late_seconds"), "number")

_Kinds = Mapping[str, _Kind]
"""The columns of a table, in their order."""

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
    return _write(target, _kinds(TICK_HEADER), _tick_chunks(ticks), file_format, label)


def write_bars(target: Target, bars: Iterable[Bars], file_format: FileFormat, *, label: Label) -> int:
    """Write bars and return how many: the columns of `BAR_HEADER`, time being the start of each, in UTC.

    NaN is an empty cell, and null in JSON and Parquet. Args and raises: as `write_ticks`.
    """
    return _write(target, _kinds(BAR_HEADER), _bar_chunks(bars, label), file_format, label)


def write_alerts(target: Target, alerts: Iterable[Sequence[Mapping[str, Any]]], file_format: FileFormat) -> int:
    """Write alerts and return how many: the columns of `ALERT_HEADER`, time being the end of each bar, in UTC.

    Args:
        target: where to.
        alerts: their records, some at a time; "time" in epoch milliseconds.
        file_format: as `write_ticks`.

    Raises:
        WrongUse: the place cannot be written to.
        FileError: the disk failed; what was there before is untouched.
    """
    return _write(target, _ALERT_KINDS, map(_alert_chunk, alerts), file_format, None)


def _alert_chunk(alerts: Sequence[Mapping[str, Any]]) -> _Columns:
    columns: _Columns = {name: [each[name] for each in alerts] for name in _ALERT_KINDS}
    for name in (name for name, kind in _ALERT_KINDS.items() if kind == "number"):
        columns[name] = [math.nan if value is None else float(value) for value in columns[name]]
    return columns


def write_rejected(stream: BinaryIO, rejected: Iterable[Rejected]) -> int:
    """Write the rows of uploads that were left out as CSV, and return how many: file, line, column, value and rule."""
    rows = [",".join(map(_text_cell, map(str, tuple(each)))) + "\n" for each in rejected]
    stream.write((",".join(Rejected._fields) + "\n" + "".join(rows)).encode(errors="replace"))
    return len(rows)


class Analysis(Protocol):
    """What is known of a pair, as `analyze_pair` gives it."""

    @property
    def y(self) -> Instrument: ...
    @property
    def x(self) -> Instrument: ...
    @property
    def frame(self) -> "pd.DataFrame": ...


def write_analysis(target: Target, analysis: Analysis, file_format: FileFormat, *, label: str) -> int:
    """Write what varies in time of a pair and return how many rows: the columns of `ANALYSIS_HEADER`.

    `label` says where the trades come from, "FILE" for files. Args and raises: as `write_ticks`.
    """
    return _write(target, _kinds(ANALYSIS_HEADER), _analysis_chunks(analysis, label), file_format, label)


def _analysis_chunks(analysis: Analysis, label: str) -> Iterator[_Columns]:
    same = {"y": str(analysis.y), "x": str(analysis.x), "label": label}
    names = [name for name in ANALYSIS_HEADER.split(",") if name not in same]
    for start in range(0, len(analysis.frame), CHUNK):
        part = analysis.frame.iloc[start : start + CHUNK]
        times = part.index.to_numpy("datetime64[ms]").astype(np.int64)
        # A method without a column of another, such as the error of beta, does not know it.
        columns: _Columns = {n: part[n].tolist() if n in part else [math.nan] * len(part) for n in names}
        yield columns | {"time": times.tolist()} | {name: [text] * len(part) for name, text in same.items()}


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


def _kinds(header: str) -> dict[str, _Kind]:
    return {name: _KINDS[name] for name in header.split(",")}


def _write(
    target: Target, kinds: _Kinds, chunks: Iterator[_Columns], file_format: FileFormat, label: str | None
) -> int:
    if file_format not in _WRITERS:
        raise UnknownName("format", file_format, _WRITERS)
    write = _WRITERS[file_format]
    ordered = ({name: columns[name] for name in kinds} for columns in chunks)
    with _replacing(Path(target)) if isinstance(target, str | Path) else nullcontext(target) as stream:
        return write(stream, kinds, ordered, label)


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


def _write_csv(stream: BinaryIO, kinds: _Kinds, chunks: Iterator[_Columns], label: str | None) -> int:
    stream.write((",".join(kinds) + "\n").encode())
    count = 0
    for columns in chunks:
        cells = [_CELLS[kinds[name]](values) for name, values in columns.items()]
        rows = [",".join(row) + "\n" for row in zip(*cells, strict=True)]
        stream.write("".join(rows).encode())
        count += len(rows)
    return count


def _write_json(stream: BinaryIO, kinds: _Kinds, chunks: Iterator[_Columns], label: str | None) -> int:
    count = 0
    for columns in chunks:
        columns["time"] = _iso_cells(columns["time"])
        for row in zip(*columns.values(), strict=True):
            # One by one: orjson's answer occupies 4 kB, however short it is.
            stream.write((b",\n" if count else b"[\n") + orjson.dumps(dict(zip(kinds, row, strict=True))))
            count += 1
    stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _write_parquet(stream: BinaryIO, kinds: _Kinds, chunks: Iterator[_Columns], label: str | None) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    types = {"time": pa.timestamp("ms", tz="UTC"), "text": pa.string(), "integer": pa.int64()}
    types |= {"number": pa.float64(), "flag": pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in kinds.items()], {"label": label} if label else None)
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
