"""What a rule would have done: the same rows and the same judge as in the present, over what is stored."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from market import MINUTE, SECOND, Flags, Floats, Gap, Instrument, Integers, Tick, WrongUse, iso
from pairscope.alerts.expression import Found
from pairscope.alerts.metrics import METRICS, Rows, tick_rows
from pairscope.alerts.rules import TICK, Judge, Rule, RuleState, Verdict
from pairscope.alerts.stretches import Reader, Stretch
from pairscope.alerts.wording import legs_of
from pairscope.jobs import Progress

WORTHWHILE = 8
"""Runs of fewer rows, in the mean, are judged row by row."""


class History(Reader, Protocol):
    """What a preview needs of a store."""

    def ticks(self, symbol: Instrument, start: int | None, end: int | None) -> Iterator[Sequence[Tick]]: ...

    def gaps(self, symbol: Instrument) -> tuple[Gap, ...]: ...


@dataclass(frozen=True, slots=True)
class Mark:
    """One alert that would have been: the start of its bar (or the time of the trade) and when it was known."""

    time_ms: int
    end_ms: int
    direction: str
    value: float
    late: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What a rule would have done with one target.

    `suppressed` counts, by reason, the times that it would have kept still. Of `rows`, `unfit` were not judged, because
    something is missing in what they are made of. `times` and `series` are those of `metric`, the first one that the
    condition names, and `thresholds` its levels.
    """

    target: str
    start_ms: int
    end_ms: int
    rows: int
    unfit: int
    fired: tuple[Mark, ...]
    suppressed: Mapping[str, int]
    metric: str
    times: Integers
    series: Floats
    thresholds: tuple[float, ...]


def preview(
    rule: Rule, store: History, target: str, *, start: int, end: int, now: int, progress: Progress | None = None
) -> Preview:
    """Judge every row of a target that starts in ``[start, end)``, as if the rule had been there from the start.

    Args:
        rule: a checked one; of a rule about every pair, `target` says which is looked at.
        store: what is looked at.
        target: `VENUE:Y/VENUE:X`, or `VENUE:Y`.
        start, end, now: in epoch milliseconds; nothing later than `now` is looked at.
        progress: told how far it is.

    Raises:
        WrongUse: for a time without length, and a rule about staleness, which is not recorded.
    """
    end = min(end, now)
    if start >= end:
        raise WrongUse(f"the preview would run from {iso(start)} to {iso(end)}; expected a start before the end")
    judge = Judge(rule)
    legs = tuple(Instrument.parse(leg, venue="") for leg in legs_of(target) if leg)
    walker = Walker(judge)
    shown = judge.when.thresholds()[0][0]
    times, series = list[Integers](), list[Floats]()
    for rows in _pieces(rule, judge, store, legs, start, end, now):
        walker.walk(rows)
        times.append(rows.time)
        series.append(rows.values[shown])
        if progress is not None and len(rows):
            progress.say((int(rows.time[-1]) - start) / (end - start), f"{walker.rows:,} rows judged")
    levels = tuple(level for metric, level in judge.when.thresholds() if metric == shown)
    return Preview(
        target, start, end, walker.rows, walker.unfit, tuple(walker.fired), dict(walker.suppressed), shown,
        np.concatenate([np.empty(0, np.int64), *times]), np.concatenate([np.empty(0), *series]), levels,
    )  # fmt: skip


class Walker:
    """Steps a rule over rows and keeps what comes of it."""

    def __init__(self, judge: Judge) -> None:
        self._judge, self._state = judge, RuleState()
        self._names = sorted(judge.metrics)
        self.rows = self.unfit = 0
        self.fired: list[Mark] = []
        self.suppressed: Counter[str] = Counter()

    def walk(self, rows: Rows) -> None:
        """Judge the next rows; where a rule is about one number that seldom moves past a level, most are skipped."""
        self.rows += len(rows)
        self.unfit += len(rows) - int(np.count_nonzero(rows.whole))
        name = self._names[0]
        if METRICS[name].source == "feed" or self._judge.rule.timeframe == TICK:
            found = list(runs(rows, rows.values[name], self._levels()))
            if len(found) * WORTHWHILE <= len(rows):
                for run in found:
                    self._walk_run(rows, run)
                return
        self._step(rows, slice(0, len(rows)))

    def _levels(self) -> Floats:
        conditions = [each for each in (self._judge.when, self._judge.rearm) if each is not None]
        return np.unique([level for each in conditions for _, level in each.thresholds()])

    def _walk_run(self, rows: Rows, run: slice) -> None:
        """Judge rows of which neither a comparison nor the minute changes.

        The first may begin something and the second end it. After them only time does: the end of a duration, of a
        cooldown, of the rule itself, of quiet hours (a whole minute); where it did nothing by the last row, it did
        nothing before.
        """
        head = min(run.start + 2, run.stop) if rows.whole[run.start] else run.stop
        self._step(rows, slice(run.start, head))
        if head == run.stop:
            return
        state, verdict = self._judged(rows, run.stop - 1)
        if verdict is None and _standing(state) == _standing(self._state):
            self._state = state
        else:
            self._step(rows, slice(head, run.stop))

    def _judged(self, rows: Rows, row: int) -> tuple[RuleState, Verdict | None]:
        now = {name: float(rows.values[name][row]) for name in self._names}
        return self._judge.step(self._state, int(rows.end[row]), now)

    def _step(self, rows: Rows, some: slice) -> None:
        """Judge rows one by one."""
        step, names, state = self._judge.step, self._names, self._state
        columns = [rows.values[name][some].tolist() for name in names]
        plain = zip(rows.time[some].tolist(), rows.end[some].tolist(), rows.whole[some].tolist(), *columns, strict=True)
        for time_ms, end_ms, whole, *values in plain:
            if not whole:
                state = state if state.since_ms is None and state.before is None else state.broken()
                continue
            state, verdict = step(state, end_ms, dict(zip(names, values, strict=True)))
            if verdict is not None:
                self._note(verdict, time_ms, end_ms)
        self._state = state

    def _note(self, verdict: Verdict, time_ms: int, end_ms: int) -> None:
        if verdict.outcome == "fired":
            found: Found = verdict.found
            self.fired.append(Mark(time_ms, end_ms, found.direction, found.value))
        else:
            self.suppressed[re.split(" (?:until|at) ", verdict.reason)[0]] += 1


def _standing(state: RuleState) -> tuple[object, ...]:
    return state.armed, state.since_ms, state.fired_ms, state.told


def runs(rows: Rows, values: Floats, levels: Floats) -> Iterator[slice]:
    """Yield the longest runs of rows within a minute whose values lie on one level, or between the same two.

    Rows that are not whole are runs of their own.
    """
    if not len(rows):
        return
    cells: NDArray[np.intp] = np.searchsorted(levels, values) + np.searchsorted(levels, values, side="right")
    minutes = rows.end // MINUTE
    breaks: Flags = (cells[1:] != cells[:-1]) | (minutes[1:] != minutes[:-1]) | (rows.whole[1:] != rows.whole[:-1])
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(rows)]
    yield from map(slice, edges[:-1], edges[1:])


def _pieces(
    rule: Rule, judge: Judge, store: History, legs: tuple[Instrument, ...], start: int, end: int, now: int
) -> Iterable[Rows]:
    """Return the rows that the rule would have seen."""
    if "stale" in judge.metrics:
        raise WrongUse("a rule about staleness has no preview: how long a feed was silent is not recorded")
    if any(METRICS[name].source == "feed" for name in judge.metrics):
        return [gap_rows([gap for leg in legs for gap in store.gaps(leg)], start, end)]
    if rule.timeframe == TICK:
        return _trades(store, legs[0], start, end)
    return Stretch(store, sorted(judge.metrics), rule, legs, now=now).rows(start, end)


def _trades(store: History, instrument: Instrument, start: int, end: int) -> Iterator[Rows]:
    """Yield trades, with a row of no price where some are missing: no duration and no crossing spans that."""
    lost = [gap for gap in store.gaps(instrument) if gap.state in ("open", "abandoned") and gap.end_ms >= start]
    ends, newest = np.sort([gap.last_id for gap in lost]), -1
    for ticks in store.ticks(instrument, start, end):
        rows, ids = tick_rows(ticks), np.maximum.accumulate([newest, *(tick.trade_id for tick in ticks)])
        behind = np.flatnonzero(np.diff(np.searchsorted(ends, ids)))
        newest = int(ids[-1])
        yield _with_holes(rows, behind) if len(behind) else rows


def _with_holes(rows: Rows, places: NDArray[np.intp]) -> Rows:
    """Put a row that is not whole before each of some rows."""
    time, price = rows.time, rows.values["price"]
    return Rows(
        np.insert(time, places, time[places]), np.insert(rows.end, places, time[places]),
        np.insert(rows.whole, places, np.False_), {"price": np.insert(price, places, math.nan)},
    )  # fmt: skip


def openings(gaps: Iterable[Gap]) -> dict[tuple[Instrument, int], int | None]:
    """Return when gaps were opened, and when they were closed, None while they are open.

    What is left of a gap in several parts was opened at once, and counts as one.
    """
    found: dict[tuple[Instrument, int], int | None] = {}
    for gap in gaps:
        key, closed = (gap.instrument, gap.opened_ms), gap.closed_ms
        before = found.get(key, closed)
        found[key] = None if before is None or closed is None else max(before, closed)
    return found


def gap_rows(gaps: Sequence[Gap], start: int, end: int) -> Rows:
    """Return at each second how many gaps were open, by the ledger: from when they were found until closed."""
    time = np.arange(start + -start % SECOND, end, SECOND)
    spans = openings(gaps)
    opened = np.sort([time_ms for _, time_ms in spans])
    closed = np.sort([time_ms for time_ms in spans.values() if time_ms is not None])
    many = np.searchsorted(opened, time, side="right") - np.searchsorted(closed, time, side="right")
    return Rows(time, time, np.ones(len(time), np.bool_), {"gap": many.astype(np.float64)})
