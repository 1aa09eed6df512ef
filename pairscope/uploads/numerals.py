"""Numbers as people write them: which mark is the decimal one is told by all cells of a column, or asked for."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from market import Flags, Floats
from pairscope.uploads.tables import Checks
from pairscope.uploads.upload import AmbiguousFile, Decimal

# Full-width digits, "nan", "1_000" and hexadecimals, which float() would take, are no numbers here.
_PLAIN = r"[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]{1,40}"
_GROUPS = "|".join(f"(?:{mark}[0-9]{{3}})+" for mark in (",", "'", "’", " ", "\u00a0", "\u202f"))
_POINT = rf"^[+-]?(?:{_PLAIN}|[1-9][0-9]{{0,2}}(?:{_GROUPS})(?:\.[0-9]{{0,40}})?)$"
_EXACT = rf"^[+-]?(?:{_PLAIN})$"
_COMMA = _POINT.replace(r"\.", "§").replace("(?:,[", r"(?:\.[").replace("§", ",")
_BOTH = r"^[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}$"
_UNGROUPED = r"^[+-]?[0-9]{4,}(?:[.,]|$)"
_GROUPING = "[,'’ \u00a0\u202f]"
_NAN = r"(?i)^[+-]?nan$|^n/?a$|^null$|^none$|^<na>$"
_INFINITE = r"(?i)^[+-]?inf(?:inity)?$"


@dataclass(slots=True)
class NumberFacts:
    """What the cells of one column say about the decimal mark."""

    point: int = 0
    comma: int = 0
    either_point: int = 0
    either_comma: int = 0
    example: str = ""
    ungrouped: bool = False

    def look(self, cells: Any) -> None:
        """Take in some cells."""
        marked = cells.filter(pc.match_substring_regex(cells, r"[0-9.,][.,']|[.,][0-9]| "))
        if not self.ungrouped:
            self.ungrouped = _any(cells, _UNGROUPED)
        if not len(marked):
            return
        both = pc.match_substring_regex(marked, _BOTH)
        clear = marked.filter(pc.invert(both))
        as_point, as_comma = pc.match_substring_regex(clear, _POINT), pc.match_substring_regex(clear, _COMMA)
        self.point += _count(pc.and_not(as_point, as_comma))
        self.comma += _count(pc.and_not(as_comma, as_point))
        either = marked.filter(both)
        if len(either):
            self.example = self.example or either[0].as_py()
            self.either_point += _count(pc.match_substring(either, "."))
            self.either_comma += _count(pc.match_substring(either, ","))


@dataclass(slots=True)
class DecimalFacts:
    """What all columns of numbers say about the decimal mark of a file."""

    columns: dict[int, NumberFacts] = field(default_factory=dict)

    def settle(self, file: str) -> Decimal:
        """Return the decimal mark.

        Raises:
            AmbiguousFile: nothing tells ``1.234`` from ``1234``, or columns contradict each other.
        """
        point, comma, either = 0, 0, ""
        for facts in self.columns.values():
            # A column that writes 5000 does not write 1.234 for a thousand more.
            point += facts.point + facts.ungrouped * facts.either_point
            comma += facts.comma + facts.ungrouped * facts.either_comma
            either = either or facts.example
        if point and comma:
            raise AmbiguousFile(
                file, "has numbers with a decimal point and with a decimal comma", "decimal", (".", ",")
            )
        if not point and not comma and either:
            why = f"has numbers like {either!r}, and nothing tells whether the mark is decimal or of thousands"
            raise AmbiguousFile(file, why, "decimal", (".", ","))
        return "," if comma else "."


def read_numbers(cells: Any, decimal: Decimal, *, exact: bool = False) -> tuple[Floats, Flags]:
    """Return the numbers, NaN where a cell is none, and which cells are; a value is the nearest double to the text.

    Args:
        cells: texts.
        decimal: the decimal mark.
        exact: a machine wrote them, with a point and without marks of thousands.
    """
    pattern = _EXACT if exact else _POINT if decimal == "." else _COMMA
    good = pc.match_substring_regex(cells, pattern)
    plain = pc.if_else(good, cells, pa.scalar(None, pa.large_string()))
    if decimal == ",":
        plain = pc.replace_substring(pc.replace_substring(plain, ".", ""), ",", ".")
    if _any(plain, _GROUPING):
        plain = pc.replace_substring_regex(plain, _GROUPING, "")
    values = pc.cast(plain, pa.float64()).to_numpy(zero_copy_only=False)
    return values, good.to_numpy(zero_copy_only=False)


def refuse_no_numbers(checks: Checks, place: int, values: Floats, good: Flags, *, blank: bool = False) -> None:
    """Refuse the rows whose cell is no finite number; `blank` cells may be allowed."""
    if not good.all():
        cells = checks.block.cells[place]
        empty = pc.equal(cells, "").to_numpy(zero_copy_only=False)
        if not blank:
            checks.refuse(empty, place, "blank")
        bad = ~good & ~empty
        if bad.any():
            checks.refuse(bad & _matching(cells, _NAN), place, "not a number (nan)")
            checks.refuse(bad & _matching(cells, _INFINITE), place, "infinite")
            checks.refuse(bad, place, "not a number")
    checks.refuse(np.isinf(values), place, "infinite")


def _matching(cells: Any, pattern: str) -> Flags:
    flags: Flags = pc.match_substring_regex(cells, pattern).to_numpy(zero_copy_only=False)
    return flags


def _any(cells: Any, pattern: str) -> bool:
    return pc.any(pc.match_substring_regex(cells, pattern)).as_py() is True


def _count(flags: Any) -> int:
    return int(pc.sum(flags).as_py() or 0)
