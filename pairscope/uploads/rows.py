"""From columns of text to columns of values: each row is checked, and left out by the first rule that it breaks."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from market import DAY, EARLIEST_MS, IMPORTED, MAX_ID, Instrument, Integers, Label, Timeframe
from pairscope.uploads.headers import Layout, symbol_spelled
from pairscope.uploads.numerals import read_numbers, refuse_no_numbers
from pairscope.uploads.tables import Block, Checks, Table
from pairscope.uploads.times import MIDNIGHT_RELATIVE, RULES, TimeReader
from pairscope.uploads.upload import Decimal, FileError, Rejected, Rejects, Settled

_OPTIONAL_NUMBERS = ("turnover", "buy_volume")
_ESCAPED = re.compile(r"''*[=+\-@\t\0]")
_NESTED = re.compile(r"\((?:dict|list|bytes|(?:large_)?binary|(?:fixed_size|large_)?(?:list|struct|map).*)\)")
"""What stands in the cell of a value that is no text and no number."""
_LABELS: tuple[Label, ...] = ("LIVE", "FILE", "REPLAY", "SIMULATED")
_SPACE = pa.scalar(" ", pa.large_string())
_SIDE_CODES = {"": 0, "buy": 1, "b": 1, "sell": 2, "s": 2}
_MAKER_CODES = {"": 0, "true": 2, "false": 1, "1": 2, "0": 1}
_TRUTH_CODES = {"": 0, "true": 1, "false": 0, "1": 1, "0": 0}


@dataclass(slots=True)
class Instruments:
    """Numbers the instruments of an upload in the order in which they come."""

    most: int
    codes: dict[Instrument, int] = field(default_factory=dict)

    def code(self, venue: str, symbol: str) -> int:
        """Return the number of an instrument, a new one for a new one.

        Raises:
            FileError: there are too many for what should be symbols.
        """
        code = self.codes.setdefault(Instrument(venue, symbol), len(self.codes))
        if code >= self.most:
            raise FileError(f"more than {self.most:,} symbols: this is hardly the column of the symbols")
        return code


@dataclass(slots=True)
class Gathered:
    """The good rows of one file by columns, with the line of each."""

    file: str
    columns: dict[str, NDArray[Any]]
    own_ids: bool
    """Whether the ids of the file are kept, because it is known whose they are."""
    rows: int = 0
    blank_cells: int = 0
    out_of_order: int = 0
    mostly_rejected: bool = False
    forming: int = 0
    """Bars that were left out, because they were not over when they were written."""
    timeframe: str | Timeframe | None = None
    """How long its bars are said to be."""
    labels: dict[int, Label] = field(default_factory=dict)
    """By instrument, what its rows say that they are, where that is not LIVE."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads the rows of one table.

    Args:
        symbol: of the rows that name none; None where all do.
    """

    file: str
    table: Table
    layout: Layout
    settled: Settled
    decimal: Decimal
    times: TimeReader
    instruments: Instruments
    symbol: str | None
    rejects: Rejects

    def gather(self) -> Gathered:
        """Read all rows.

        Raises:
            FileError: there are more than allowed.
        """
        limits, before = self.settled.limits, self.rejects.counts.total()
        parts: list[dict[str, NDArray[Any]]] = []
        seen, blank = 0, 0
        for block in self.table.blocks(self.layout.wanted, self.rejects):
            seen += len(block)
            if seen > limits.rows or seen * len(self.layout.symbols) > limits.cells:
                raise FileError(f"{self.file} holds more than {seen:,} rows of this kind: split it into smaller files")
            if self.layout.symbols:
                part, missing = self._closes(block)
                blank += missing
            else:
                part = self._rows(block)
            parts.append(part)
        merged = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
        own_ids = "venue" in self.layout.fields or self.settled.options.venue is not None
        good, refused = len(merged.get("time", ())), self.rejects.counts.total() - before
        rows = seen if self.layout.symbols else good + refused
        found = Gathered(self.file, merged, own_ids, rows, blank, mostly_rejected=refused > good)
        return _put_in_order(_without_forming(_labelled(found, self.table)))

    def _rows(self, block: Block) -> dict[str, NDArray[Any]]:
        checks = Checks(block, self.layout.names, self.file)
        columns: dict[str, NDArray[Any]] = {"line": block.lines, "time": self._time(checks)}
        columns["code"] = self._codes(checks)
        for name, place in self.layout.fields.items():
            if (read := _READERS.get(name)) is not None:
                columns[name] = read(self, checks, name, place)
        if "open" in columns:
            top = np.maximum(columns["open"], columns["close"])
            bottom = np.minimum(columns["open"], columns["close"])
            checks.refuse(columns["high"] < columns["low"], self.layout.fields["high"], "high below low")
            checks.refuse(columns["high"] < top, self.layout.fields["high"], "high below open or close")
            checks.refuse(columns["low"] > bottom, self.layout.fields["low"], "low above open or close")
        checks.tell(self.rejects)
        fine = checks.fine
        return columns if fine.all() else {name: column[fine] for name, column in columns.items()}

    def _closes(self, block: Block) -> tuple[dict[str, NDArray[Any]], int]:
        """Return the cells of a table of closes one below the other, and how many of them are blank."""
        checks = Checks(block, self.layout.names, self.file)
        time = self._time(checks)
        checks.tell(self.rejects)
        fine, blank, parts = checks.fine, 0, []
        if not fine.all():
            block, time = block.only(fine), time[fine]
        for place, symbol in self.layout.symbols.items():
            cells = Checks(block, self.layout.names, self.file)
            values, good = read_numbers(block.cells[place], self.decimal, exact=self.table.exact)
            refuse_no_numbers(cells, place, values, good, blank=True)
            cells.refuse(good & ~(values > 0), place, "not positive")
            kept = good & cells.fine
            blank += int(np.count_nonzero(~good & cells.fine))
            cells.tell(self.rejects)
            code = self.instruments.code(self.settled.options.venue or IMPORTED, symbol)
            parts.append((block.lines[kept], time[kept], np.full(int(kept.sum()), code, np.int64), values[kept]))
        names = ("line", "time", "code", "close")
        return dict(zip(names, map(np.concatenate, zip(*parts, strict=True)), strict=True)), blank

    def _time(self, checks: Checks) -> Integers:
        place = self.layout.fields["time"]
        cells = checks.block.cells[place]
        if self.layout.midnight is not None:
            return self._since_midnight(checks, cells, place)
        if self.layout.clock is not None:
            cells = pc.binary_join_element_wise(cells, checks.block.cells[self.layout.clock], _SPACE)
        times = self.times.read(cells)
        if times.rule.any():
            checks.refuse(pc.equal(cells, "").to_numpy(zero_copy_only=False), place, "blank")
            for number, rule in enumerate(RULES[1:], 1):
                checks.refuse(times.rule == number, place, rule)
        fine = times.rule == 0
        earliest = EARLIEST_MS if "price" in self.layout.fields else 0
        checks.refuse(fine & (times.ms < earliest), place, "a time before 1990" if earliest else "a time before 1970")
        checks.refuse(fine & (times.ms > self.settled.latest_ms), place, "in the future")
        return times.ms

    def _since_midnight(self, checks: Checks, cells: Any, place: int) -> Integers:
        good = pc.match_substring_regex(cells, MIDNIGHT_RELATIVE)
        since = pc.cast(pc.if_else(good, cells, "0"), pa.int64()).to_numpy(zero_copy_only=False)
        checks.refuse(~good.to_numpy(zero_copy_only=False) | (since >= DAY), place, "not a time of the day in ms")
        self.times.forms["ms since the midnight of the file's date"] = 1
        assert self.layout.midnight is not None
        ms, wrong = self.times.local(since + self.layout.midnight)
        for number, rule in enumerate(RULES[1:], 1):
            checks.refuse(wrong == number, place, rule)
        return ms

    def _codes(self, checks: Checks) -> Integers:
        """Return the numbers of the instruments, 0 where a row is refused for its symbol or venue."""
        options, fields = self.settled.options, self.layout.fields
        symbols = _coded(checks, fields.get("symbol"), self.symbol or "")
        venues = _coded(checks, fields.get("venue"), options.venue or IMPORTED)
        pairs, place = np.unique(venues.of_row * len(symbols.texts) + symbols.of_row, return_inverse=True)
        codes = np.zeros(len(pairs), np.int64)
        wrong: dict[tuple[str, str], NDArray[np.bool_]] = {}
        for number, pair in enumerate(pairs.tolist()):
            venue, symbol = venues.texts[pair // len(symbols.texts)], symbols.texts[pair % len(symbols.texts)]
            if not self.table.exact:
                venue, symbol = _unescaped(venue), _unescaped(symbol)
            venue, symbol = venue or options.venue or IMPORTED, symbol or self.symbol or ""
            # What names a venue spells its symbols as the venue does.
            symbol = symbol if "venue" in fields else symbol_spelled(symbol)
            if options.venue == IMPORTED and venue != "simulated":
                venue = IMPORTED  # said to be of no venue
            if broken := self._wrong_name(venue, symbol):
                wrong.setdefault(broken, np.zeros(len(pairs), np.bool_))[number] = True
            else:
                codes[number] = self.instruments.code(venue, symbol)
        for (name, rule), which in wrong.items():
            checks.refuse(which[place], fields.get(name, -1), rule)
        return codes[place]

    def _wrong_name(self, venue: str, symbol: str) -> tuple[str, str] | None:
        options = self.settled.options
        for field_name, name in (("symbol", symbol), ("venue", venue)):
            if not name:
                return field_name, "blank"
            nested = self.table.exact and _NESTED.fullmatch(name.lower())
            if nested or len(name) > 64 or not name.isprintable() or name.isspace():
                return field_name, "not a name"
        if options.symbol and symbol.upper() != options.symbol.upper():
            return "symbol", "another symbol than was said"
        if options.venue and venue != options.venue:
            return "venue", "another venue than was said"
        return None

    def _measure(self, checks: Checks, name: str, place: int) -> NDArray[np.float64]:
        values, good = read_numbers(checks.block.cells[place], self.decimal, exact=self.table.exact)
        refuse_no_numbers(checks, place, values, good, blank=name in _OPTIONAL_NUMBERS)
        if name in ("volume", *_OPTIONAL_NUMBERS):
            checks.refuse(good & ~(values >= 0), place, "negative")
        else:
            checks.refuse(good & ~(values > 0), place, "not positive")
        return values

    def _count(self, checks: Checks, name: str, place: int) -> Integers:
        """Read whole numbers, -1 where the cell is blank."""
        cells = checks.block.cells[place]
        good = pc.match_substring_regex(cells, r"^[0-9]{1,19}$").to_numpy(zero_copy_only=False)
        blank = pc.equal(cells, "").to_numpy(zero_copy_only=False)
        numbers = pc.cast(pc.if_else(pa.array(good), cells, "0"), pa.uint64()).to_numpy(zero_copy_only=False)
        wrong = ~(good | blank) | (numbers > np.uint64(MAX_ID))
        checks.refuse(wrong, place, "not a whole number from 0 to 2**63 - 1")
        counts: Integers = np.where(good & ~wrong, numbers, 0).astype(np.int64) - ~good
        return counts

    def _word(self, checks: Checks, name: str, place: int) -> NDArray[np.int8]:
        codes, rule = _WORDS[name]
        coded = _coded(checks, place, "")
        known = np.array([codes.get(text.lower(), -1) for text in coded.texts], np.int8)
        checks.refuse(known[coded.of_row] < 0, place, rule)
        values: NDArray[np.int8] = known[coded.of_row]
        return values


_Reader = Callable[[RowReader, Checks, str, int], NDArray[Any]]
_READERS: Mapping[str, _Reader] = {
    **dict.fromkeys(("open", "high", "low", "close", "price", "qty", "volume", *_OPTIONAL_NUMBERS), RowReader._measure),
    **dict.fromkeys(("trade_id", "trades"), RowReader._count),
    **dict.fromkeys(("side", "buyer_is_maker", "exec_type", "source", "gap", "forming", "label"), RowReader._word),
}
_WORDS: Mapping[str, tuple[Mapping[str, int], str]] = {
    "side": (_SIDE_CODES, "neither buy nor sell"),
    "buyer_is_maker": (_MAKER_CODES, "neither true nor false"),
    "exec_type": ({"": 0, "market": 0}, "not a market trade"),
    "source": ({"klines": 1, "trades": 0}, "neither klines nor trades"),
    "gap": (_TRUTH_CODES, "neither true nor false"),
    "forming": (_TRUTH_CODES, "neither true nor false"),
    "label": ({"": 0, **{label.lower(): code for code, label in enumerate(_LABELS)}}, "not a label"),
}


@dataclass(frozen=True, slots=True)
class _Coded:
    """Texts that are few, and which of them each row has."""

    texts: list[str]
    of_row: Integers


def _coded(checks: Checks, place: int | None, default: str) -> _Coded:
    if place is None:
        return _Coded([default], np.zeros(len(checks.block), np.int64))
    coded = pc.dictionary_encode(checks.block.cells[place])
    return _Coded(coded.dictionary.to_pylist() or [default], coded.indices.to_numpy().astype(np.int64))


def _unescaped(text: str) -> str:
    """Take away the apostrophe that our exports put before what a spreadsheet would take for a formula."""
    return text[1:] if _ESCAPED.match(text) else text


def _labelled(gathered: Gathered, table: Table) -> Gathered:
    """Take what rows or file say of where they come from; the strongest word counts for an instrument."""
    told = gathered.columns.pop("label", None)
    codes = gathered.columns.get("code", np.empty(0, np.int64))
    whole = _LABELS.index(table.label) if table.label in _LABELS else 0
    for number in range(2, len(_LABELS)):
        some = codes if whole == number else codes[told == number] if told is not None else codes[:0]
        gathered.labels |= dict.fromkeys(np.unique(some).tolist(), _LABELS[number])
    return gathered


def _without_forming(gathered: Gathered) -> Gathered:
    forming = gathered.columns.get("forming")
    if forming is not None and forming.any():
        gathered.forming = int(np.count_nonzero(forming))
        gathered.columns = {name: column[forming == 0] for name, column in gathered.columns.items()}
    return gathered


def _put_in_order(gathered: Gathered) -> Gathered:
    """Count the rows that come after a later one of their instrument, and turn a file around that runs backwards."""
    columns = gathered.columns
    if len(columns.get("time", ())) < 2:
        return gathered
    time, code = columns["time"], columns["code"]
    order = np.argsort(code, kind="stable")
    keyed = time[order] + code[order] * np.int64(2**43)
    gathered.out_of_order = int(np.count_nonzero(keyed < np.maximum.accumulate(keyed)))
    steps = np.diff(time)
    if gathered.out_of_order and not (steps > 0).any():
        gathered.columns = {name: column[::-1] for name, column in columns.items()}
    return gathered


def refuse_rows(rejects: Rejects, file: str, lines: Integers, rule: str, column: str = "") -> None:
    """Reject good rows after all, for what they are beside others."""
    shown = lines[: max(rejects.room, 0)]
    for line in shown.tolist():
        rejects.add(Rejected(file, line, column, "", rule))
    if len(lines) > len(shown):
        rejects.count(rule, len(lines) - len(shown))
