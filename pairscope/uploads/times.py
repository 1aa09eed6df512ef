"""Times as people write them, to UTC epoch milliseconds: form, unit, order and zone are told by the whole column."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from market import EARLIEST_MS, MINUTE, Flags, Integers
from pairscope.uploads.upload import LATEST_MS, AmbiguousFile, Dates, UploadOptions

_CLOCK = (
    r"(?:[T ,]+(?P<h>[0-9]{1,2}):(?P<mi>[0-9]{2})(?::(?P<s>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"(?: ?(?P<ap>[AaPp][Mm]))?)?"
    r"(?: ?(?P<z>[Zz]|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2}))?$"
)
_YEAR_FIRST = r"^(?P<a>[0-9]{4})[-/.](?P<b>[0-9]{1,2})[-/.](?P<c>[0-9]{1,2})" + _CLOCK
_YEAR_LAST = r"^(?P<a>[0-9]{1,2})[-/.](?P<b>[0-9]{1,2})[-/.](?P<c>[0-9]{4})" + _CLOCK
_COMPACT = (
    r"^(?P<a>[12][0-9]{3})(?P<b>[01][0-9])(?P<c>[0-3][0-9])"
    r"(?:[T ]?(?P<h>[0-9]{2}):?(?P<mi>[0-9]{2})(?::?(?P<s>[0-9]{2})(?:\.(?P<f>[0-9]{1,9}))?)?)?(?P<ap>)(?P<z>[Zz])?$"
)
_WHOLE = r"^[0-9]{9,19}$"
_BROKEN = r"^(?:[0-9]{9,19}[.,][0-9]{0,12}|[0-9](?:\.[0-9]{1,18})?[eE]\+?[0-9]{1,2})$"
_UNITS_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
MIDNIGHT_RELATIVE = r"^[0-9]{1,8}$"


@dataclass(slots=True)
class TimeFacts:
    """What all cells of the column of times say about the order of day and month, with an example of each."""

    day_first: str = ""
    month_first: str = ""
    either: str = ""

    def look(self, cells: Any) -> None:
        """Take in some cells."""
        dates = cells.filter(pc.match_substring_regex(cells, _YEAR_LAST))
        if not len(dates):
            return
        a, b, *_ = _numbers_of(pc.extract_regex(dates, _YEAR_LAST), "ab")
        for name, told in (
            ("day_first", (a > 12) & (b <= 12)),
            ("month_first", (b > 12) & (a <= 12)),
            ("either", (a != b) & (a <= 12) & (b <= 12)),
        ):
            if not getattr(self, name) and told.any():
                setattr(self, name, dates[int(np.argmax(told))].as_py())

    def settle(self, file: str) -> Dates:
        """Return the order of day and month.

        Raises:
            AmbiguousFile: no date tells, or two contradict each other.
        """
        if self.day_first and self.month_first:
            why = f"has dates with the day first ({self.day_first!r}) and with the month first ({self.month_first!r})"
            raise AmbiguousFile(file, why, "dates", ("month first", "day first"))
        if self.either and not (self.day_first or self.month_first):
            why = f"has dates like {self.either!r}, and no date tells which of the two numbers is the month"
            raise AmbiguousFile(file, why, "dates", ("month first", "day first"))
        return "day first" if self.day_first else "month first"


@dataclass(slots=True)
class Times:
    """The times of some cells, and which rule each of them breaks (0: none)."""

    ms: Integers
    rule: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ms)


RULES = (
    "",
    "not a time",
    "a date that does not exist, or is before 1970",
    "a local time that comes twice (the clock was set back)",
    "a local time that does not exist (the clock was set forward)",
    "a time before 1990",
    "not in the unit that was said",
    "a time in scientific notation that has lost its last digits",
)
_NO_TIME, _NO_DATE, _TWICE, _SKIPPED, _EARLY, _OTHER_UNIT, _SHORTENED = range(1, 8)
_FINER_THAN_MS = {"us": 3, "ns": 6}


@dataclass(slots=True)
class TimeReader:
    """Reads the times of one file, and counts how they were written.

    Args:
        options: unit and zone, where the person said them.
        dates: the order of day and month.
    """

    options: UploadOptions
    dates: Dates
    exact: bool = False
    """A machine wrote the times: what digits a number has are all it has."""

    def __post_init__(self) -> None:
        self.forms: dict[str, int] = {}
        self._slashed = False

    forms: Any = None
    naive: int = 0
    _slashed: bool = False

    def read(self, cells: Any) -> Times:
        """Return the times of `cells`."""
        times = Times(np.zeros(len(cells), np.int64), np.full(len(cells), _NO_TIME, np.int8))
        if not len(cells):
            return times
        left = np.ones(len(cells), np.bool_)
        readers = ((_YEAR_FIRST, self._calendar), (_WHOLE, self._epoch), (_YEAR_LAST, self._calendar))
        for pattern, read in (*readers, (_COMPACT, self._calendar), (_BROKEN, self._broken)):
            matching = left & pc.match_substring_regex(cells, pattern).to_numpy(zero_copy_only=False)
            if not matching.any():
                continue
            some = cells if matching.all() else cells.filter(pa.array(matching))
            read(some, pattern, times, np.flatnonzero(matching))
            left &= times.rule == _NO_TIME
            if not left.any():
                break
        return times

    def _count(self, form: str, count: int) -> None:
        if count:
            self.forms[form] = self.forms.get(form, 0) + count

    def _epoch(self, cells: Any, pattern: str, times: Times, rows: Integers) -> None:
        values = pc.cast(cells, pa.uint64()).to_numpy(zero_copy_only=False)
        for unit, per_s in _UNITS_PER_S.items():
            low, high = EARLIEST_MS * per_s // 1000, (LATEST_MS + 1) * per_s // 1000
            inside = (values >= np.uint64(low)) & (values < np.uint64(min(high, 2**63)))
            whole = values[inside].astype(np.int64)
            ms = whole // (per_s // 1000) if per_s >= 1000 else whole * 1000
            self._put(times, rows[inside], ms, unit)
        self._refuse_early(times, rows, values < np.uint64(EARLIEST_MS // 1000))

    def _broken(self, cells: Any, pattern: str, times: Times, rows: Integers) -> None:
        values = pc.cast(pc.replace_substring(cells, ",", "."), pa.float64()).to_numpy(zero_copy_only=False)
        reach = None if self.exact else _reach(cells)
        for unit, per_s in _UNITS_PER_S.items():
            inside = (values >= EARLIEST_MS * per_s / 1000) & (values < LATEST_MS * per_s / 1000)
            # To the microsecond first: 0.799 s is 799 ms, not 798.
            self._put(times, rows[inside], np.rint(values[inside] / per_s * 1e6).astype(np.int64) // 1000, unit)
            if reach is not None:  # as a spreadsheet writes 1.70407E+12 in every row
                times.rule[rows[inside & (reach > _FINER_THAN_MS.get(unit, 0))]] = _SHORTENED
        self._refuse_early(times, rows, values < EARLIEST_MS / 1000)

    def _put(self, times: Times, rows: Integers, ms: Integers, unit: str) -> None:
        times.ms[rows] = ms
        times.rule[rows] = 0 if self.options.unit in (None, unit) else _OTHER_UNIT
        self._count(f"{unit} since 1970", len(rows))

    def _refuse_early(self, times: Times, rows: Integers, early: Flags) -> None:
        times.rule[rows[early]] = _EARLY

    def _calendar(self, cells: Any, pattern: str, times: Times, rows: Integers) -> None:
        parts = pc.extract_regex(cells, pattern)
        a, b, c, hour, minute, second = _numbers_of(parts, ("a", "b", "c", "h", "mi", "s"))
        if pattern == _YEAR_LAST:
            year, month, day = (c, b, a) if self.dates == "day first" else (c, a, b)
            self._count(f"dates, {self.dates}", len(rows))
        else:
            year, month, day = a, b, c
            self._count("dates, year first", len(rows))
        hour, exists = _of_24(hour, pc.utf8_lower(parts.field("ap")), minute, second)
        days, is_date = _days(year, month, day)
        clock = ((hour * 60 + minute) * 60 + second) * 1000 + _fraction_ms(parts.field("f"))
        offset, named = _offsets(parts.field("z"))
        ms = days * 86_400_000 + clock - offset
        rule = np.where(is_date & exists, 0, _NO_DATE).astype(np.int8)
        if not named.all():
            ms[~named], wrong = self.local(ms[~named])
            rule[~named] = np.where(rule[~named] == 0, wrong, rule[~named])
        times.ms[rows], times.rule[rows] = ms, rule

    def local(self, ms: Integers) -> tuple[Integers, NDArray[np.int8]]:
        """Return times that name no zone as UTC, and the rules that they break."""
        self.naive += len(ms)
        return from_local(ms, self.options.zone) if self.options.zone else (ms, np.zeros(len(ms), np.int8))

    def sentence(self) -> str:
        """Say how the times were written."""
        total = sum(self.forms.values())
        return (
            " and ".join(form if count == total else f"{form} ({count:,} rows)" for form, count in self.forms.items())
            or "none"
        )

    def zone_sentence(self) -> str:
        """Say which zone they were taken to be of."""
        if not self.naive:
            return "each says its zone, or counts from 1970 in UTC"
        if self.options.zone:
            return f"{self.naive:,} name no zone: taken as {self.options.zone}, as was said"
        return f"{self.naive:,} name no zone: assumed UTC (say zone=... if they are local)"


def from_local(ms: Integers, zone: str) -> tuple[Integers, NDArray[np.int8]]:
    """Turn local times into UTC; also the rule that those break which come twice or never.

    Args:
        ms: local times, as if they were UTC.
        zone: its IANA name.
    """
    info = ZoneInfo(zone)
    minutes, place = np.unique(ms // MINUTE, return_inverse=True)
    first, second = np.zeros(len(minutes), np.int64), np.zeros(len(minutes), np.int64)
    epoch = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    for row, minute in enumerate(minutes.tolist()):
        try:
            local = (epoch + timedelta(minutes=minute)).replace(tzinfo=info)
        except OverflowError:
            continue  # such a time is refused for its size
        first[row] = _offset_ms(local)
        second[row] = _offset_ms(local.replace(fold=1))
    wrong = np.where(first > second, _TWICE, np.where(first < second, _SKIPPED, 0)).astype(np.int8)
    return ms - first[place], wrong[place]


def _offset_ms(local: datetime) -> int:
    offset = local.utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def _reach(cells: Any) -> Integers:
    """Return the power of ten that the last digit stands for, 0 for numbers that are written out."""
    parts = pc.extract_regex(cells, r"^[0-9](?:\.(?P<d>[0-9]+))?[eE]\+?(?P<e>[0-9]{1,2})$")
    parts = pc.if_else(pc.is_valid(parts), parts, pa.scalar({"d": "", "e": "0"}, parts.type))
    exponents = pc.cast(parts.field("e"), pa.int64()).to_numpy(zero_copy_only=False)
    digits = pc.binary_length(parts.field("d")).to_numpy(zero_copy_only=False)
    reach: Integers = exponents - digits
    return reach


def _numbers_of(parts: Any, names: Any) -> list[Integers]:
    """Return the numbers of groups of a pattern, 0 where a group is not in the text."""
    return [
        pc.cast(pc.if_else(pc.equal(column, ""), "0", column), pa.int64()).to_numpy(zero_copy_only=False)
        for column in (parts.field(name) for name in names)
    ]


def _fraction_ms(fractions: Any) -> Integers:
    if not len(fractions) or pc.max(pc.binary_length(fractions)).as_py() == 0:
        return np.zeros(len(fractions), np.int64)
    padded = pc.utf8_rpad(pc.utf8_slice_codeunits(fractions, 0, 3), 3, "0")
    ms: Integers = pc.cast(padded, pa.int64()).to_numpy(zero_copy_only=False)
    return ms


def _of_24(hour: Integers, half: Any, minute: Integers, second: Integers) -> tuple[Integers, Flags]:
    """Return the hours from 0 to 23, and which clock times exist."""
    exists = (hour < 24) & (minute < 60) & (second < 60)
    if pc.max(pc.binary_length(half)).as_py() == 0:
        return hour, exists
    afternoon = pc.equal(half, "pm").to_numpy(zero_copy_only=False)
    halved = pc.not_equal(half, "").to_numpy(zero_copy_only=False)
    exists &= ~halved | ((hour >= 1) & (hour <= 12))
    return np.where(halved, hour % 12 + 12 * afternoon, hour), exists


def _days(year: Integers, month: Integers, day: Integers) -> tuple[Integers, Flags]:
    """Return the days since 1970, and which dates exist from 1970 on."""
    exists = (year >= 1970) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(exists, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    start = months.astype("datetime64[D]").astype(np.int64)
    exists &= day <= (months + 1).astype("datetime64[D]").astype(np.int64) - start
    return start + day - 1, exists


def _offsets(zones: Any) -> tuple[Integers, Flags]:
    """Return the offsets from UTC in milliseconds, and which rows name a zone."""
    coded = pc.dictionary_encode(zones)
    names = coded.dictionary.to_pylist()
    place = coded.indices.to_numpy(zero_copy_only=False)
    offsets = np.array([_offset_of(name) for name in names], np.int64)
    named = np.array([name != "" for name in names], np.bool_)
    return offsets[place], named[place]


def _offset_of(zone: str) -> int:
    if not zone or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return (-minutes if zone[0] == "-" else minutes) * MINUTE
