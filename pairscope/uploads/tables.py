"""Tables of text as columns of text: what CSV, JSON lines, Parquet and databases have in common.

Cells are Arrow strings, so that a million of them are looked at without a Python object each; lines keep their numbers.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market import Flags, Integers
from pairscope.uploads.containers import Member
from pairscope.uploads.lines import Lines, read_lines, undecoded
from pairscope.uploads.upload import Limits, Rejected, Rejects


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows: the number of each one's line, and the wanted columns by place."""

    lines: Integers
    cells: dict[int, Any]

    def __len__(self) -> int:
        return len(self.lines)

    def only(self, rows: Flags) -> "Block":
        """Return some of the rows."""
        kept = pa.array(rows)
        return Block(self.lines[rows], {place: cells.filter(kept) for place, cells in self.cells.items()})


class Table(Protocol):
    """Rows that can be read as often as needed.

    `exact` says that a machine wrote its numbers, with a point; `label` is what it says of where all come from.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def exact(self) -> bool: ...
    @property
    def label(self) -> str: ...
    def blocks(self, wanted: Sequence[int], rejects: Rejects) -> Iterator[Block]: ...


@dataclass(frozen=True, slots=True)
class TextTable:
    """Cells between delimiters. `after` is the line of the header, 0 where there is none."""

    member: Member
    names: tuple[str, ...]
    encoding: str
    delimiter: str
    after: int
    limits: Limits
    exact: bool = False
    label: str = ""

    def blocks(self, wanted: Sequence[int], rejects: Rejects) -> Iterator[Block]:
        for lines in read_lines(self.member, self.encoding, self.limits, rejects):
            numbers, texts = self._told(lines, rejects)
            if not texts:
                continue
            if lines.quoted:
                yield self._quoted(numbers, texts, wanted, rejects)
            else:
                yield self._plain(numbers, texts, wanted, rejects)

    def _told(self, lines: Lines, rejects: Rejects) -> tuple[Integers, list[str]]:
        """Return the lines below the header that are not blank and are text, with their numbers."""
        texts = lines.texts[max(0, self.after + 1 - lines.first) :]
        first = max(lines.first, self.after + 1)
        numbers = np.arange(first, first + len(texts), dtype=np.int64)
        blank = [not text or text.isspace() for text in texts]
        odd = [False] * len(texts) if lines.ascii else [undecoded(text) for text in texts]
        for place in np.flatnonzero(odd).tolist():
            shown = texts[place][:40].encode(errors="replace").decode()
            rejects.add(Rejected(self.member.name, first + place, "", shown, f"not {self.encoding} text"))
        if not (any(blank) or any(odd)):
            return numbers, texts
        kept = [not (no_cells or no_text) for no_cells, no_text in zip(blank, odd, strict=True)]
        return numbers[np.array(kept, np.bool_)], [text for text, keep in zip(texts, kept, strict=True) if keep]

    def _plain(self, numbers: Integers, texts: list[str], wanted: Sequence[int], rejects: Rejects) -> Block:
        rows = pc.split_pattern(pa.array(texts, pa.large_string()), self.delimiter)
        lengths = pc.list_value_length(rows).to_numpy(zero_copy_only=False)
        whole = lengths == len(self.names)
        if not whole.all():
            self._refuse_ragged(numbers[~whole], lengths[~whole], rejects)
            rows, numbers = rows.filter(pa.array(whole)), numbers[whole]
        flat = rows.flatten()
        places = np.arange(len(numbers), dtype=np.int64) * len(self.names)
        return Block(numbers, {place: pc.utf8_trim_whitespace(flat.take(places + place)) for place in wanted})

    def _quoted(self, numbers: Integers, texts: list[str], wanted: Sequence[int], rejects: Rejects) -> Block:
        rows = split_quoted(texts, self.delimiter)
        lengths = np.array([-1 if row is None else len(row) for row in rows])
        whole = lengths == len(self.names)
        if not whole.all():
            self._refuse_ragged(numbers[~whole], lengths[~whole], rejects)
        kept = [row for row in rows if row is not None and len(row) == len(self.names)]
        columns = {place: pa.array([row[place].strip() for row in kept], pa.large_string()) for place in wanted}
        return Block(numbers[whole], columns)

    def _refuse_ragged(self, numbers: Integers, lengths: Integers, rejects: Rejects) -> None:
        shown = max(rejects.room, 0)
        for number, length in zip(numbers[:shown].tolist(), lengths[:shown].tolist(), strict=True):
            rejects.add(Rejected(self.member.name, number, "", "", self._raggedness(length)))
        for length, count in zip(*np.unique(lengths[shown:], return_counts=True), strict=True):
            rejects.count(self._raggedness(int(length)), int(count))

    def _raggedness(self, length: int) -> str:
        if length < 0:
            return "an unclosed quote"
        return f"{length:,} cells where the {'header' if self.after else 'first row'} has {len(self.names):,}"


def split_quoted(texts: Sequence[str], delimiter: str) -> list[list[str] | None]:
    """Split lines that may hold quoted cells; None for a line whose quotes do not close in it.

    A quote that is never closed would otherwise swallow the lines after it.
    """
    try:
        rows = list(csv.reader(texts, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        rows = []
    if len(rows) == len(texts) and not any(text.count('"') % 2 for text in texts):
        return list(rows)
    return [_split_line(text, delimiter) for text in texts]


def _split_line(text: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return None


@dataclass(slots=True)
class Checks:
    """Which rows of a block are refused, each for the first thing that is wrong with it."""

    block: Block
    names: Sequence[str]
    file: str

    def __post_init__(self) -> None:
        self._why = np.zeros(len(self.block), np.int16)
        self._place = np.full(len(self.block), -1, np.int16)
        self._rules = [""]

    _why: Any = None
    _place: Any = None
    _rules: Any = None

    def refuse(self, wrong: Flags, place: int, rule: str) -> None:
        """Refuse rows for what column `place` holds; -1 where it is no single column."""
        if not wrong.any():
            return
        if rule not in self._rules:
            self._rules.append(rule)
        fresh = wrong & (self._why == 0)
        self._why[fresh] = self._rules.index(rule)
        self._place[fresh] = place

    @property
    def fine(self) -> Flags:
        """Which rows nothing is wrong with."""
        flags: Flags = self._why == 0
        return flags

    def tell(self, rejects: Rejects) -> None:
        """Hand the refused rows over, in the order of their lines."""
        bad = np.flatnonzero(self._why)
        shown = bad[: max(rejects.room, 0)]
        for row in shown.tolist():
            rejects.add(self._rejected(row))
        rest, counts = np.unique(self._why[bad[len(shown) :]], return_counts=True)
        for why, count in zip(rest.tolist(), counts.tolist(), strict=True):
            rejects.count(self._rules[why], count)

    def _rejected(self, row: int) -> Rejected:
        place = int(self._place[row])
        cells = self.block.cells.get(place)
        value = cells[row].as_py()[:40] if cells is not None else ""
        name = self.names[place] if place >= 0 else ""
        return Rejected(self.file, int(self.block.lines[row]), name, value, self._rules[self._why[row]])
