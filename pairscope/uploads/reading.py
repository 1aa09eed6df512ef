"""Reading any upload: what it is, what its marks mean, then its rows. Ambiguous is asked for, never guessed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from market import Tick, WrongUse
from pairscope.uploads.assembling import bars_of, ticks_of
from pairscope.uploads.containers import Member, members_of, name_of
from pairscope.uploads.headers import (
    Layout,
    demand_kind,
    layout_of,
    markets_of,
    shape_of,
    symbol_of,
    symbol_spelled,
)
from pairscope.uploads.lines import encoding_of, read_lines
from pairscope.uploads.numerals import DecimalFacts, NumberFacts
from pairscope.uploads.records import RecordTable, database_table, json_table, parquet_table
from pairscope.uploads.rows import Gathered, Instruments, RowReader
from pairscope.uploads.streaming import CONNECTION, FRAME
from pairscope.uploads.tables import Table, TextTable, split_quoted
from pairscope.uploads.times import TimeFacts, TimeReader
from pairscope.uploads.upload import (
    DELIMITERS,
    SIDES,
    AmbiguousFile,
    Decimal,
    FileError,
    FileReading,
    NoTable,
    Rejected,
    Rejects,
    Settled,
    Source,
    Upload,
)

_HEAD_LINES = 8
_FORMATS = (
    "readable are tables with a header (trades: time, price, qty; bars: time, open, high, low, close, volume; "
    "closes: time and a column per symbol), JSON, Parquet, SQLite, Binance's dumps and recorded frames, also gzipped "
    "or zipped"
)


def read_sources(sources: Sequence[Source], name: str | None, settled: Settled) -> Upload:
    """Read files as one upload; see `pairscope.files.read_upload`."""
    if not sources:
        raise WrongUse("name at least one file to read")
    rejects, instruments = Rejects(settled.limits.kept_rejects), Instruments(settled.limits.symbols)
    readings: list[FileReading] = []
    gathered: list[Gathered] = []
    sources, notes = _once(sources)
    with ExitStack() as stack:
        for source in sources:
            called = name or name_of(source)
            members, skipped = stack.enter_context(members_of(source, name, settled.limits))
            notes += [f"{other} was skipped: its name says that it is no data." for other in skipped]
            for member in members:
                try:
                    own = settled.of(member.name, called)
                    reading, rows = _MemberReader(member, own, rejects, instruments).read()
                except AmbiguousFile as question:
                    question.source = called
                    raise
                except NoTable:
                    if len(members) < 2 or not member.name.lower().endswith(".txt"):
                        raise
                    notes.append(f"{member.name} was skipped: it is no table.")
                    continue
                rows.timeframe = own.options.timeframe
                readings.append(reading)
                gathered.append(rows)
    if not readings:
        raise FileError(f"there is no data in it: {' '.join(notes)}")
    _demand_one_market(readings, settled)
    known = list(instruments.codes)
    ticks, told, made = ticks_of(gathered, known, rejects)
    traded = ticks.held if ticks is not None else []
    bars, told_of_bars = bars_of(gathered, known, rejects, traded)
    order = {reading.file: place for place, reading in enumerate(readings)}
    return Upload(
        files=tuple(readings),
        bars=bars,
        ticks=ticks,
        rejected=tuple(sorted(rejects.first, key=lambda reject: (order.get(reject.file, 0), reject.line))),
        rejected_counts=dict(rejects.counts),
        rows=sum(reading.rows for reading in readings),
        out_of_order=sum(rows.out_of_order for rows in gathered),
        duplicates=rejects.duplicates,
        mostly_rejected=any(rows.mostly_rejected for rows in gathered),
        notes=(*notes, *told, *told_of_bars),
        labels={known[code]: label for rows in gathered for code, label in sorted(rows.labels.items())},
        made_ids=tuple(made),
    )


def _once(sources: Iterable[Source]) -> tuple[list[Source], list[str]]:
    """Leave out the files that were named before, by whatever path."""
    left: list[Source] = []
    seen: set[Path] = set()
    notes: list[str] = []
    for source in sources:
        path = Path(source).resolve() if isinstance(source, str | Path) else None
        if path in seen:
            notes.append(f"{path} was given twice and is read once.")
            continue
        left.append(source)
        seen |= {path} if path else set()
    return left, notes


def _demand_one_market(readings: Sequence[FileReading], settled: Settled) -> None:
    """Refuse files whose names tell one symbol and two markets or venues, as of spot and of a perpetual."""
    if settled.options.symbol:
        return
    first: dict[str, FileReading] = {}
    for reading in readings:
        before = first.setdefault(reading.symbol, reading) if reading.symbol else reading
        for here, there in zip(markets_of(reading.file), markets_of(before.file), strict=True):
            if here and there and not here & there:
                why = f"and {before.file} tell the symbol {reading.symbol} by their names, and two markets"
                raise AmbiguousFile(reading.file, why, "symbol")


class _MemberReader:
    """Reads one file."""

    def __init__(self, member: Member, settled: Settled, rejects: Rejects, instruments: Instruments) -> None:
        self._member, self._settled = member, settled
        self._options, self._file = settled.options, member.name
        self._rejects, self._instruments = rejects, instruments

    def read(self) -> tuple[FileReading, Gathered]:
        head = self._member.head()
        if head.startswith(b"PAR1"):
            with self._member.on_disk() as path:
                table = parquet_table(path, self._file, self._settled.limits)
                return self._read_table(table, self._layout_of_names(table), "Parquet")
        if head.startswith(b"SQLite format 3\0"):
            return self._read_database()
        encoding = self._encoding(head)
        if head.decode(encoding, "replace").lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            records = json_table(self._member, encoding, self._settled.limits)
            return self._read_table(records, self._layout_of_names(records), "JSON")
        lines = self._head_lines(encoding)
        if FRAME.match(lines[0].encode(errors="replace")) or CONNECTION.match(lines[0].encode(errors="replace")):
            return self._read_frames(encoding)
        return self._read_text(encoding if self._options.encoding else self._settled_encoding(encoding))

    def _encoding(self, head: bytes) -> str:
        said = self._options.encoding
        return encoding_of(head, self._file) if said is None or (said == "utf-8" and b"\0" not in head) else said

    # ---- text

    def _head_lines(self, encoding: str) -> list[str]:
        """Return the first lines that are not blank."""
        found: list[str] = []
        for lines in read_lines(self._member, encoding, self._settled.limits, Rejects(0)):
            found += [text.strip("\ufeff \r") for text in lines.texts if text.strip()]
            if len(found) >= _HEAD_LINES:
                break
        if not found:
            raise NoTable(f"{self._file} holds no line of text; {_FORMATS}")
        return found

    def _settled_encoding(self, encoding: str) -> str:
        """Look at all lines for what is no UTF-8: all of it is Latin-1, some of it is damage."""
        if not encoding.startswith("utf-8"):
            return encoding
        broken = False
        for lines in read_lines(self._member, encoding, self._settled.limits, Rejects(0)):
            odd = [] if lines.ascii else [text for text in lines.texts if not text.isascii()]
            if any(re.search("[^\0-\x7f\udc80-\udcff]", text) for text in odd):
                return encoding
            broken = broken or bool(odd)
        return "latin-1" if broken else encoding

    def _read_text(self, encoding: str) -> tuple[FileReading, Gathered]:
        delimiter, layout, after, notes = self._dialect(encoding)
        table = TextTable(self._member, layout.names, encoding, delimiter, after, self._settled.limits)
        layout = replace(layout, notes=(*layout.notes, *notes))
        return self._read_table(table, layout, "")

    def _dialect(self, encoding: str) -> tuple[str, Layout, int, list[str]]:
        """Return the delimiter, the columns, the line of the header, and what was passed over before it."""
        numbered = self._numbered_head(encoding)
        for place, (number, text) in enumerate(numbered):
            below = numbered[place + 1][1] if place + 1 < len(numbered) else ""
            found = {
                mark: known for mark in self._delimiters() if (known := self._known(mark, text, below, first=not place))
            }
            if len(found) > 1:
                found = {mark: known for mark, known in found.items() if self._fits(mark, known, numbered[place + 1 :])}
            if len(found) > 1:
                raise AmbiguousFile(
                    self._file, "has cells that more than one mark could part", "delimiter", list(found)
                )
            if found:
                ((mark, layout),) = found.items()
                passed = [f"Line {number} was passed over: it is no header." for number, _ in numbered[:place]]
                return mark, layout, number if layout.headed else number - 1, passed
        begin = (numbered[0][1] if numbered else "blanks")[:60].encode(errors="replace").decode()
        raise NoTable(f"{self._file} begins with {begin!r}, which names no columns that are known; {_FORMATS}")

    def _numbered_head(self, encoding: str) -> list[tuple[int, str]]:
        for lines in read_lines(self._member, encoding, self._settled.limits, Rejects(0)):
            told = [(lines.first + place, text) for place, text in enumerate(lines.texts) if text.strip()]
            if told:
                return told[:_HEAD_LINES]
        return []

    def _delimiters(self) -> Sequence[str]:
        return (self._options.delimiter,) if self._options.delimiter else DELIMITERS

    def _known(self, mark: str, text: str, below: str, *, first: bool) -> Layout | None:
        names, row = split_quoted([text], mark)[0], split_quoted([below], mark)[0] or []
        if names is None or len(names) < 2:
            return None
        if len(names) > self._settled.limits.columns:
            raise FileError(f"{self._file} has {len(names):,} columns, more than {self._settled.limits.columns:,}")
        names = [name.strip() for name in names]
        if first and (shape := shape_of(names, self._file, self._options)):
            return shape
        return layout_of(names, row, self._file, self._options)

    def _fits(self, mark: str, layout: Layout, below: Sequence[tuple[int, str]]) -> bool:
        rows = split_quoted([text for _, text in below], mark)
        return any(row is not None and len(row) == len(layout.names) for row in rows)

    # ---- what has names

    def _layout_of_names(self, table: Table) -> Layout:
        first = next((block for block in table.blocks(range(len(table.names)), Rejects(0))), None)
        row = [cells[0].as_py() for cells in first.cells.values()] if first is not None and len(first) else []
        layout = layout_of(table.names, row, self._file, self._options)
        if layout is None and isinstance(table, RecordTable) and table.names[:1] == ("1",):
            layout = shape_of(row, self._file, self._options)
        if layout is None:
            known = ", ".join(name[:40] for name in table.names[:12])
            raise FileError(f"{self._file} has the columns {known}, which are neither trades nor bars; {_FORMATS}")
        return layout

    def _read_database(self) -> tuple[FileReading, Gathered]:
        if self._settled.database is None:
            raise FileError(f"{self._file} is an SQLite database, which cannot be read here")
        with self._member.on_disk() as path:
            found = self._settled.database(path)
            table = database_table(found)
            notes = [f"From the table {found.table!r}; lines are its rows."]
            beside = path.with_name(f"{path.name}-wal")
            if beside.is_file() and beside.stat().st_size:
                notes.append("Beside it is a journal (-wal): what is only in there was not read; close its program.")
            layout = self._layout_of_names(table)
            return self._read_table(table, replace(layout, notes=(*layout.notes, *notes)), "SQLite")

    def _read_table(self, table: Table, layout: Layout, container: str) -> tuple[FileReading, Gathered]:
        demand_kind(layout.kind, self._options)
        symbol = self._symbol(layout)
        decimal, times = self._survey(table, layout)
        settled, notes = self._of_its_venue(layout)
        reader = RowReader(self._file, table, layout, settled, decimal, times, self._instruments, symbol, self._rejects)
        rows = reader.gather()
        named = {name: layout.names[place] for name, place in layout.fields.items()}
        named |= {symbol: layout.names[place] for place, symbol in layout.symbols.items()}
        unused = [name for place, name in enumerate(layout.names) if place not in layout.wanted and name]
        notes[:0] = layout.notes
        if rows.forming:
            notes.append(f"{rows.forming:,} bars that were not over yet (forming) were left out.")
        of_name = symbol is not None and not self._options.symbol
        if of_name:
            notes.append(f"The symbol {symbol} is of the file's name.")
        if rows.blank_cells:
            notes.append(f"{rows.blank_cells:,} cells are blank: no bar of that symbol then.")
        text = table if isinstance(table, TextTable) else None
        reading = FileReading(
            file=self._file,
            kind=layout.kind,
            rows=rows.rows,
            container=" ".join(filter(None, (self._member.container, container))),
            encoding=text.encoding.replace("-sig", " with a byte order mark") if text else "",
            delimiter=text.delimiter if text else "",
            decimal=decimal,
            header_line=text.after if text and layout.headed else 0,
            columns=named,
            unused=tuple(unused),
            times=times.sentence(),
            zone=times.zone_sentence(),
            notes=tuple(notes),
            symbol=symbol if of_name and symbol else "",
        )
        return reading, rows

    def _of_its_venue(self, layout: Layout) -> tuple[Settled, list[str]]:
        """Return what to go by, for Binance's dumps of single trades: their ids are not those of its stream."""
        venue = self._options.venue
        if layout.kind != "trades" or venue not in ("binance-spot", "binance-futures"):
            return self._settled, []
        note = f"Its ids are of single trades and not of {venue}, whose trades are aggregates: it is of {venue}-raw."
        return replace(self._settled, options=replace(self._options, venue=f"{venue}-raw")), [note]

    def _symbol(self, layout: Layout) -> str | None:
        """Return the symbol of rows that name none."""
        if "symbol" in layout.fields or layout.symbols:
            return None
        symbol = self._options.symbol or symbol_of(self._file)
        if symbol is None:
            raise AmbiguousFile(self._file, "names no symbol, and its name tells none", "symbol")
        return symbol_spelled(symbol)

    def _survey(self, table: Table, layout: Layout) -> tuple[Decimal, TimeReader]:
        """Look at all rows for the decimal mark and the order of day and month."""
        options = self._options
        columns = () if options.decimal or table.exact else layout.numbers
        place = layout.fields["time"]
        decimals, times = DecimalFacts({column: NumberFacts() for column in columns}), TimeFacts()
        wanted = sorted({*columns, *(() if options.dates else (place,))})
        for block in table.blocks(wanted, Rejects(0)) if wanted else ():
            for column in columns:
                decimals.columns[column].look(block.cells[column])
            if not options.dates:
                times.look(block.cells[place])
        decimal: Decimal = "." if table.exact else options.decimal or decimals.settle(self._file)
        return decimal, TimeReader(options, options.dates or times.settle(self._file), exact=table.exact)

    # ---- frames

    def _read_frames(self, encoding: str) -> tuple[FileReading, Gathered]:
        if self._settled.parse is None:
            raise AmbiguousFile(self._file, "holds recorded WebSocket frames, whose venue must be named", "venue")
        parts: list[dict[str, Any]] = []
        count, before = 0, self._rejects.counts.total()
        for ticks, lines, seen in self._parsed(encoding):
            count += seen
            parts.append(self._columns(ticks, lines))
        columns = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
        reading = FileReading(
            self._file, "frames", count, self._member.container, "utf-8", "", ".", 0, {}, (), "the venue's", "UTC"
        )
        if not sum(len(part["line"]) for part in parts) and self._rejects.counts.total() == before:
            self._rejects.add(
                Rejected(self._file, count, "", "", "no frame of the file is a trade that its parser knows")
            )
        return reading, Gathered(self._file, columns, True, count)

    def _parsed(self, encoding: str) -> Iterator[tuple[list[Tick], list[int], int]]:
        """Yield trades, their lines, and how many lines were seen, for some lines at a time."""
        assert self._settled.parse is not None
        for lines in read_lines(self._member, encoding, self._settled.limits, self._rejects):
            ticks: list[Tick] = []
            places: list[int] = []
            for number, text in enumerate(lines.texts, lines.first):
                frame = text.strip().encode(errors="replace")
                start = FRAME.match(frame)
                if start is None:
                    if frame and not CONNECTION.match(frame):
                        self._rejects.add(Rejected(self._file, number, "", "", "not a receive time and a frame"))
                    continue
                parsed = self._settled.parse(frame[start.end() :])
                for why in parsed.rejected:
                    self._rejects.add(Rejected(self._file, number, "", "", why))
                ticks += parsed.ticks
                places += [number] * len(parsed.ticks)
            yield ticks, places, len(lines.texts)

    def _columns(self, ticks: Sequence[Tick], lines: Sequence[int]) -> dict[str, Any]:
        codes = [self._instruments.code(tick.venue, tick.symbol) for tick in ticks]
        return {
            "line": np.array(lines, np.int64),
            "time": np.array([tick.time_ms for tick in ticks], np.int64),
            "code": np.array(codes, np.int64),
            "price": np.array([tick.price for tick in ticks], np.float64),
            "qty": np.array([tick.qty for tick in ticks], np.float64),
            "trade_id": np.array([tick.trade_id for tick in ticks], np.int64),
            "side": np.array([SIDES.index(tick.side) for tick in ticks], np.int8),
        }
