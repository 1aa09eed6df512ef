"""From good rows to trades and bars: sorted, without repetitions, with ids and a timeframe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import BAR_COLUMNS, DAY, IMPORTED, SECOND, Bars, Flags, Instrument, Integers, Timeframe, WrongUse
from pairscope.uploads.ids import made_ids
from pairscope.uploads.rows import Gathered, refuse_rows
from pairscope.uploads.upload import (
    AmbiguousFile,
    FileError,
    MadeId,
    Rejects,
    TickColumns,
    held_twice,
    off_grid,
)

_OTHER_TRADE = "the id of another trade"
_OTHER_BAR = "another bar of a time that there is a bar of"
_CRAMMED = "more trades of one millisecond than can be told apart"


@dataclass(frozen=True, slots=True)
class _Stack:
    """Rows of several files, one file after the other."""

    files: Sequence[Gathered]
    columns: dict[str, NDArray[Any]]

    def only(self, rows: Any) -> "_Stack":
        return _Stack(self.files, {name: column[rows] for name, column in self.columns.items()})

    def refuse(self, rows: Flags, rule: str, rejects: Rejects) -> None:
        for number, file in enumerate(self.files):
            own = rows & (self.columns["file"] == number)
            if own.any():
                refuse_rows(rejects, file.file, np.sort(self.columns["line"][own]), rule)


def _stacked(files: Sequence[Gathered], defaults: Mapping[str, float]) -> _Stack:
    """Put files one below the other; a column that one of them lacks is filled with its default."""
    parts: list[dict[str, NDArray[Any]]] = []
    for number, file in enumerate(files):
        count = len(file.columns["line"])
        part = {name: np.full(count, default) for name, default in defaults.items()}
        parts.append(part | file.columns | {"file": np.full(count, number, np.int32)})
    return _Stack(files, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


# ---- trades


def ticks_of(
    files: Sequence[Gathered], instruments: Sequence[Instrument], rejects: Rejects
) -> tuple[TickColumns | None, list[str], list[MadeId]]:
    """Return the trades of all files in time order, what is to be said of them, and where ids had to be made."""
    files = [file for file in files if "price" in file.columns]
    if not files:
        return None, [], []
    for file in files:
        file.columns = _told_side(file)
    stack = _stacked(files, {"trade_id": -1})
    order = np.argsort(stack.columns["time"], kind="stable")
    stack = stack.only(order)
    stack = _without_repeated_ids(stack, rejects)
    notes = _drop_strange_ids(stack)
    stack = _without_overlap(stack, rejects)
    made = _made_elsewhere(stack, instruments)
    stack = _with_ids(stack, instruments, rejects)
    columns = stack.columns
    used, code = np.unique(columns["code"], return_inverse=True)
    named = tuple(instruments[number] for number in used.tolist())
    trade_id, side = columns["trade_id"].astype(np.int64), columns["side"].astype(np.int8)
    return TickColumns(named, code, columns["time"], columns["price"], columns["qty"], trade_id, side), notes, made


def _told_side(file: Gathered) -> dict[str, NDArray[Any]]:
    columns = dict(file.columns)
    none = np.zeros(len(columns["line"]), np.int8)
    side, maker = columns.pop("side", none), columns.pop("buyer_is_maker", none)
    columns.pop("exec_type", None)
    return columns | {"side": np.where(side != 0, side, maker).astype(np.int8)}


def _without_repeated_ids(stack: _Stack, rejects: Rejects) -> _Stack:
    columns = stack.columns
    given = np.flatnonzero(columns["trade_id"] >= 0)
    order = given[np.lexsort((columns["trade_id"][given], columns["code"][given]))]
    key = [columns[name][order] for name in ("code", "trade_id")]
    again = np.zeros(len(order), np.bool_)
    again[1:] = (key[0][1:] == key[0][:-1]) & (key[1][1:] == key[1][:-1])
    if not again.any():
        return stack
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    same = np.ones(len(order), np.bool_)
    for name in ("time", "price", "qty", "side"):
        same &= columns[name][order] == columns[name][order[first]]
    rejects.duplicates += int(np.count_nonzero(again & same))
    flags = np.zeros(len(columns["line"]), np.bool_)
    flags[order[again & ~same]] = True
    stack.refuse(flags, _OTHER_TRADE, rejects)
    keep = np.ones(len(columns["line"]), np.bool_)
    keep[order[again]] = False
    return stack.only(keep)


def _drop_strange_ids(stack: _Stack) -> list[str]:
    """Forget the ids of which nobody said whose they are: those of two sources would be taken for one another's."""
    named = np.array([file.own_ids for file in stack.files], np.bool_)[stack.columns["file"]]
    strange = ~named & (stack.columns["trade_id"] >= 0)
    if not strange.any():
        return []
    stack.columns["trade_id"] = np.where(strange, -1, stack.columns["trade_id"])
    return ["The file names no venue: its trades are of venue import, with ids of ours (say venue=... to keep theirs)."]


def _without_overlap(stack: _Stack, rejects: Rejects) -> _Stack:
    """Keep of equal trades without ids as many as the file has that has most: files may overlap."""
    columns = stack.columns
    rows = _of_shared_moments(columns, np.flatnonzero(columns["trade_id"] < 0))
    if not len(rows):
        return stack
    key = [columns[name][rows] for name in ("code", "time", "price", "qty")]
    order = np.lexsort((columns["file"][rows], *key[::-1]))
    fresh = np.ones(len(rows), np.bool_)
    for column in (*key, columns["file"][rows]):
        fresh[1:] &= column[order[1:]] == column[order[:-1]]
    fresh[1:] = ~fresh[1:]
    place = np.arange(len(rows))
    rank = np.empty(len(rows), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(fresh, place, 0))
    order = np.lexsort((columns["file"][rows], rank, *key[::-1]))
    again = np.ones(len(rows), np.bool_)
    again[:1] = False
    for column in (*key, rank):
        again[1:] &= column[order[1:]] == column[order[:-1]]
    if not again.any():
        return stack
    rejects.duplicates += int(np.count_nonzero(again))
    keep = np.ones(len(columns["line"]), np.bool_)
    keep[rows[order[again]]] = False
    return stack.only(keep)


def _of_shared_moments(columns: Mapping[str, NDArray[Any]], rows: Integers) -> Integers:
    """Return those rows, which are in time order, whose moment is in more than one file."""
    if not len(rows):
        return rows
    time, file = columns["time"][rows], columns["file"][rows]
    starts = np.flatnonzero(np.diff(time, prepend=time[0] - 1))
    shared = np.minimum.reduceat(file, starts) != np.maximum.reduceat(file, starts)
    found: Integers = rows[np.repeat(shared, np.diff(starts, append=len(rows)))]
    return found


def _made_elsewhere(stack: _Stack, instruments: Sequence[Instrument]) -> list[MadeId]:
    """Return the first trade without an id of each instrument that is of a venue."""
    columns = stack.columns
    rows = np.flatnonzero(columns["trade_id"] < 0)
    codes, first = np.unique(columns["code"][rows], return_index=True)
    return [
        MadeId(stack.files[columns["file"][row]].file, int(columns["line"][row]), instruments[code])
        for code, row in zip(codes.tolist(), rows[first].tolist(), strict=True)
        if instruments[code].venue != IMPORTED
    ]


def _with_ids(stack: _Stack, instruments: Sequence[Instrument], rejects: Rejects) -> _Stack:
    columns = stack.columns
    rows = np.flatnonzero(columns["trade_id"] < 0)
    parts = (columns[name][rows] for name in ("code", "time", "price", "qty"))
    made = made_ids([instrument.symbol for instrument in instruments], *parts)
    columns["trade_id"] = columns["trade_id"].astype(np.int64)
    columns["trade_id"][rows] = made
    without = columns["trade_id"] < 0
    if not without.any():
        return stack
    stack.refuse(without, _CRAMMED, rejects)
    return stack.only(~without)


# ---- bars

_BAR_DEFAULTS = {
    "open": np.nan, "high": np.nan, "low": np.nan, "volume": np.nan, "turnover": np.nan, "buy_volume": np.nan,
    "trades": 0, "source": 1, "gap": 0, "forming": 0,
}  # fmt: skip
_BAR_TYPES = {"trades": np.int64, "klines": np.bool_, "gap": np.bool_, "forming": np.bool_}


def bars_of(
    files: Sequence[Gathered],
    instruments: Sequence[Instrument],
    rejects: Rejects,
    traded: Sequence[Instrument] = (),
) -> tuple[dict[str, Bars], list[str]]:
    """Return the bars of all files by symbol, and what is to be said of them; `traded` are those with trades.

    Raises:
        AmbiguousFile: one bar alone, which does not tell how long it is.
        WrongUse: bars of two lengths of one symbol, or bars and trades of it.
        FileError: bars that are not a whole number of seconds apart, or more than a year.
    """
    files = [file for file in files if "close" in file.columns and len(file.columns["line"])]
    if not files:
        return {}, []
    stack = _stacked(files, _BAR_DEFAULTS)
    order = np.lexsort((stack.columns["time"], stack.columns["code"]))
    stack = stack.only(order)
    lengths = _lengths(stack, instruments)
    stack = _without_repeated_bars(stack, rejects)
    code = stack.columns["code"]
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    ends = np.append(starts[1:], len(code))
    if twice := [instruments[code[start]] for start in starts if instruments[code[start]] in traded]:
        named = ", ".join(file.file for file in files)
        raise WrongUse(f"there are bars of {twice[0]} in {named}, and trades of it too: give one of them at a time")
    bars: dict[str, Bars] = {}
    several = held_twice([*(instruments[code[start]] for start in starts), *traded])
    notes: list[str] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        instrument = instruments[int(code[start])]
        timeframe = _timeframe(lengths[int(code[start])], files[0].file, instrument)
        name = str(instrument) if instrument.symbol in several else instrument.symbol
        bars[name] = _bars(instrument, timeframe, {key: column[start:end] for key, column in stack.columns.items()})
        notes.append(_said(name, bars[name]))
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"And {len(notes) - _MOST_NOTES:,} symbols more."]
    return bars, notes


_MOST_NOTES = 8


def _without_repeated_bars(stack: _Stack, rejects: Rejects) -> _Stack:
    columns = stack.columns
    again = np.zeros(len(columns["line"]), np.bool_)
    again[1:] = (columns["time"][1:] == columns["time"][:-1]) & (columns["code"][1:] == columns["code"][:-1])
    if not again.any():
        return stack
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))
    same = np.ones(len(again), np.bool_)
    for name in ("open", "high", "low", "close", "volume"):
        column = columns[name]
        same &= (column == column[first]) | (np.isnan(column) & np.isnan(column[first]))
    rejects.duplicates += int(np.count_nonzero(again & same))
    stack.refuse(again & ~same, _OTHER_BAR, rejects)
    return stack.only(~again)


class _Step(NamedTuple):
    """How far apart the bars of one instrument in one file are, and how often; 0 where one bar alone does not tell."""

    ms: int
    often: float
    file: str

    @property
    def is_said(self) -> bool:
        return self.often == math.inf


def _lengths(stack: _Stack, instruments: Sequence[Instrument]) -> dict[int, int]:
    """Return how long the bars of each instrument are, by code; one bar alone is as long as most others.

    Raises:
        WrongUse: two files have bars of different lengths of one instrument.
        AmbiguousFile: nothing tells how long a bar is.
    """
    columns = stack.columns
    order = np.lexsort((columns["time"], columns["file"], columns["code"]))
    code, file, time = (columns[name][order] for name in ("code", "file", "time"))
    starts = np.flatnonzero((np.diff(code, prepend=-1) != 0) | (np.diff(file, prepend=-1) != 0))
    found: dict[int, list[_Step]] = {}
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(code)], strict=True):
        step = _step(stack.files[file[start]], time[start:end])
        found.setdefault(int(code[start]), []).append(step)
    lengths = {key: _one_length(steps, instruments[key]) for key, steps in found.items()}
    told = [lengths[key] for key, steps in found.items() if lengths[key] and not any(step.is_said for step in steps)]
    for key, steps in found.items():
        if not lengths[key] and not told:
            raise AmbiguousFile(steps[0].file, "has one bar only, which does not tell how long it is", "timeframe")
        lengths[key] = lengths[key] or max(told, key=told.count)
    return lengths


def _step(file: Gathered, time: Integers) -> _Step:
    """Return what was said of a file, else the most common difference of its times."""
    if file.timeframe is not None:
        return _Step(Timeframe.parse(file.timeframe).ms, math.inf, file.file)
    apart = np.diff(time)
    steps, counts = np.unique(apart[apart > 0], return_counts=True)
    return _Step(int(steps[np.argmax(counts)]) if len(steps) else 0, int(counts.max(initial=0)), file.file)


def _one_length(steps: Sequence[_Step], instrument: Instrument) -> int:
    """Return the one length of the bars of several files; a few bars apart may only have holes between them."""
    length, _, named = max(steps, key=lambda each: each.often)
    for step, often, name in steps:
        if step and step != length and (often > 1 or step % length):
            raise WrongUse(
                f"{named} has bars of {instrument.symbol} that are {length // SECOND:,} s long, and {name} some of "
                f"{step // SECOND:,} s: give one of them at a time"
            )
    return length


def _timeframe(ms: int, file: str, instrument: Instrument) -> Timeframe:
    if ms % SECOND or ms > 366 * DAY:
        raise FileError(
            f"{file}: the rows of {instrument.symbol} are {ms:,} ms apart, and a bar is a whole number of seconds, "
            "of a year at most: say timeframe=... if they are bars, or upload the trades"
        )
    return Timeframe(ms)


def _bars(instrument: Instrument, timeframe: Timeframe, columns: dict[str, NDArray[Any]]) -> Bars:
    columns["klines"] = columns["source"]
    columns["trades"] = np.maximum(columns["trades"], 0)
    for name in ("open", "high", "low"):
        columns[name] = np.where(np.isnan(columns[name]), columns["close"], columns[name])
    made = [columns[name].astype(_BAR_TYPES.get(name, columns[name].dtype)) for name in BAR_COLUMNS]
    return Bars(instrument, timeframe, *made)


def _said(name: str, bars: Bars) -> str:
    steps = np.diff(bars.time)
    odd = int(np.count_nonzero(steps % bars.timeframe.ms))
    said = f"{name}: {len(bars):,} bars of {bars.timeframe}"
    if shifted := off_grid(bars):
        said += f", of which {shifted:,} do not begin at a whole {bars.timeframe} (left where they are)"
    if odd:
        return f"{said}, irregular: {odd:,} of {len(steps):,} steps are no multiple of it."
    missing = int(steps.sum() // bars.timeframe.ms) - len(steps)
    return f"{said}, {missing:,} missing between them." if missing else f"{said}, none missing between them."
