"""Tables that are no text between delimiters: JSON objects or arrays, Parquet, rows of a database."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from pairscope.uploads.containers import Member
from pairscope.uploads.lines import named_twice, read_lines, undecoded
from pairscope.uploads.tables import Block
from pairscope.uploads.upload import Database, FileError, Limits, Rejected, Rejects

BATCH = 50_000
_BRACKETS = ("[", "]", "[]", "")
_ARROW_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, RuntimeError)
_LONGEST_CELL = 65_536

Record = dict[str, Any] | Sequence[Any]


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Rows of values that some parser made; numbers are written with a point."""

    names: tuple[str, ...]
    records: Callable[[Rejects], Iterator[tuple[int, Record]]]
    exact: bool = True
    label: str = ""

    def blocks(self, wanted: Sequence[int], rejects: Rejects) -> Iterator[Block]:
        rows = self.records(rejects)
        while batch := list(islice(rows, BATCH)):
            numbers = np.array([number for number, _ in batch], np.int64)
            yield Block(numbers, {place: self._column(batch, place) for place in wanted})

    def _column(self, batch: list[tuple[int, Record]], place: int) -> Any:
        name = self.names[place]
        values = (row.get(name) if isinstance(row, dict) else row[place] for _, row in batch)
        return pa.array([cell_of(value) for value in values], pa.large_string())


def cell_of(value: object) -> str:
    """Write a value as the cell of a table."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Never the repr of a list or object: nested deeply enough, it would exhaust the stack.
    return repr(value) if isinstance(value, int | float) else f"({type(value).__name__})"


# ---- JSON


def json_table(member: Member, encoding: str, limits: Limits) -> RecordTable:
    """Return the objects of a file: one a line, or an array of objects or of rows.

    Raises:
        FileError: it holds neither.
    """
    if not _one_a_line(member, encoding, limits):
        return _document_table(member, limits)
    names: dict[str, None] = {}

    def records(rejects: Rejects) -> Iterator[tuple[int, Record]]:
        return _line_records(member, encoding, limits, rejects)

    for _, record in records(Rejects(0)):
        names.update(dict.fromkeys(record))
        if len(names) > limits.columns:
            raise FileError(f"{member.name} has objects of more than {limits.columns:,} names")
    return RecordTable(tuple(names), records)


def _one_a_line(member: Member, encoding: str, limits: Limits) -> bool:
    small = Limits(line=limits.document_bytes)  # a document may be one long line
    texts = (text for lines in read_lines(member, encoding, small, Rejects(0)) for text in lines.texts)
    told = (text.strip() for text in texts)
    try:
        first = next((text for text in told if text not in ("", "[")), "[]")
    except FileError:
        return False
    return first in _BRACKETS or _object_of(first) is not None


def _line_records(
    member: Member, encoding: str, limits: Limits, rejects: Rejects
) -> Iterator[tuple[int, dict[str, Any]]]:
    for lines in read_lines(member, encoding, limits, rejects):
        for number, text in enumerate(lines.texts, lines.first):
            if (record := _object_of(text.strip())) is not None:
                if _TWICE in record:
                    rejects.add(Rejected(member.name, number, "", "", _NAMED_TWICE))
                else:
                    yield number, record
            elif text.strip() not in _BRACKETS:
                shown = text[:40].encode(errors="replace").decode()
                rejects.add(Rejected(member.name, number, "", shown, "not one JSON object"))


def _object_of(text: str) -> dict[str, Any] | None:
    if undecoded(text):
        return None
    try:
        record = orjson.loads(text.removesuffix(","))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict):
        return None
    return {_TWICE: None} if named_twice(text.removesuffix(","), len(record)) else record


_TWICE = "\0twice"
_NAMED_TWICE = "a name comes twice in it"


def _document(member: Member, limits: Limits) -> bytes:
    with member.open() as stream:
        content, more = stream.read(limits.document_bytes), stream.read(1)
    if more:
        raise FileError(
            f"{member.name} is one JSON document of more than {limits.document_bytes:,} bytes: "
            "write one object a line, and no size is too large"
        )
    return content.removeprefix(b"\xef\xbb\xbf")


def _document_table(member: Member, limits: Limits) -> RecordTable:
    content = _document(member, limits)
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise FileError(f"{member.name} begins like JSON and is none: {error}") from error
    if not isinstance(document, list) or not document:
        raise FileError(f"{member.name} is JSON, but no array of rows and no object a line")
    kind = type(document[0])
    if kind not in (dict, list):
        raise FileError(f"{member.name} is a JSON array of {kind.__name__}, not of rows")
    width = len(document[0])
    names = dict.fromkeys(name for row in document if type(row) is dict for name in row)
    named = sum(len(row) for row in document if type(row) is dict)
    twice = frozenset(named_twice(content.decode(errors="replace"), named))
    if max(width, len(names)) > limits.columns:
        raise FileError(f"{member.name} has rows of more than {limits.columns:,} columns")

    def records(rejects: Rejects) -> Iterator[tuple[int, Record]]:
        for number, row in enumerate(document, 1):
            if type(row) is not kind or (kind is list and len(row) != width):
                rejects.add(Rejected(member.name, number, "", "", "not a row like the first one"))
            elif number - 1 in twice:
                rejects.add(Rejected(member.name, number, "", "", _NAMED_TWICE))
            else:
                yield number, row

    return RecordTable(tuple(names) if kind is dict else tuple(map(str, range(1, width + 1))), records)


# ---- databases


def database_table(found: Database) -> RecordTable:
    """Return the rows of a database's table."""

    def records(rejects: Rejects) -> Iterator[tuple[int, Record]]:
        yield from enumerate(found.rows(), 1)

    return RecordTable(found.columns, records)


# ---- Parquet


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """The columns of a Parquet file, as cells."""

    source: Any
    name: str
    names: tuple[str, ...]
    label: str
    exact: bool = True

    def blocks(self, wanted: Sequence[int], rejects: Rejects) -> Iterator[Block]:
        try:
            file = self.source()
            columns = [self.names[place] for place in wanted]
            first = 1
            for batch in file.iter_batches(BATCH, columns=columns, use_threads=False):
                cells = {place: _cells(batch.column(self.names[place])) for place in wanted}
                yield Block(np.arange(first, first + len(batch), dtype=np.int64), cells)
                first += len(batch)
        except _ARROW_ERRORS as error:
            raise FileError(f"{self.name} is a damaged Parquet file: {error}") from error


def parquet_table(path: Any, name: str, limits: Limits) -> ParquetTable:
    """Return the table of a Parquet file.

    Raises:
        FileError: it is damaged, or larger than allowed by what it says of itself.
    """
    try:
        file = parquet.ParquetFile(path)
        metadata, schema = file.metadata, file.schema_arrow
        groups = range(metadata.num_row_groups)
        size = sum(metadata.row_group(group).total_byte_size for group in groups)
    except _ARROW_ERRORS as error:
        raise FileError(f"{name} is a damaged Parquet file: {error}") from error
    for what, count, most in (
        ("rows", metadata.num_rows, limits.rows),
        ("columns", metadata.num_columns, limits.columns),
        ("bytes", size, limits.uncompressed_bytes),
    ):
        if count > most:
            raise FileError(f"{name} holds {count:,} {what}, more than {most:,}: split it")
    if len(set(schema.names)) < len(schema.names):
        raise FileError(f"{name} has two columns of one name: rename one")
    # Texts stay coded: a long one that is repeated in every row is kept once.
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    label = (schema.metadata or {}).get(b"label", b"").decode(errors="replace")
    return ParquetTable(lambda: parquet.ParquetFile(path, read_dictionary=texts), name, tuple(schema.names), label)


def _cells(column: Any) -> Any:
    kind = column.type
    if pa.types.is_dictionary(kind):
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() if pa.types.is_string(kind.value_type) else 0
        if (longest or 0) > _LONGEST_CELL:
            raise FileError(f"a cell of a Parquet file is longer than {_LONGEST_CELL:,} bytes")
        column = column.dictionary_decode()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # Cut to the whole millisecond; as text without a zone it would be taken for local time.
        column = pc.binary_join_element_wise(pc.cast(column.cast(pa.timestamp(kind.unit)), pa.string()), "Z", "")
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([f"({kind})"[:40]] * len(column), pa.large_string())
    return pc.utf8_trim_whitespace(pc.fill_null(pc.cast(column, pa.large_string()), ""))
