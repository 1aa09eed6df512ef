"""The metrics of rows, computed with the loops of the pair analysis on as few rows as they need, and without pandas.

How a moving window rounds depends on where its loop begins. Here it begins at whole multiples of the window since 1970,
so that a row has the same bits in the present, in a preview and in an explanation. A Kalman filter, which remembers
everything, is begun anew for each stretch of `bars` bars and has followed the stretch before it.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import Bars, Flags, Floats, Integers
from pairscope.alerts.depths import LINE, RETURNS, TESTED, Analysis, bars_before, rows_known, sample_pace
from pairscope.alerts.samples import examined
from pairscope.kernels import rolling as kernels
from pairscope.kernels.joining import closed_rows
from pairscope.kernels.kalman import START, walk
from pairscope.numbers.hedge import LOOPS, Moments, about_zero, nearest
from pairscope.numbers.joining import join, leg_of
from pairscope.numbers.kalman import noise_of
from pairscope.numbers.rolling import LEAST_RETURN
from pairscope.numbers.spread import levels

Columns = dict[str, Floats]
Places = NDArray[np.intp]

FEED = ("stale", "gap")
"""Metrics that no bar tells of."""


class Computed(NamedTuple):
    """The starts and ends of rows, which of them are whole, the metrics of each, and since when they know."""

    time: Integers
    end: Integers
    whole: Flags
    values: Columns
    since: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Legs:
    """Closed rows that all legs have, in arrays of our own, which kernels may take."""

    time: Integers
    y: Floats
    x: Floats | None
    step: int

    def __len__(self) -> int:
        return len(self.time)


def match(rule: Analysis, y: Bars, x: Bars | None) -> Legs:
    """Return the closed rows of one symbol, or those that both legs have; as `analyze_pair` joins them."""
    step = y.timeframe.ms
    if x is None:
        kept = np.isfinite(y.close) & ~y.forming
        return Legs(y.time[kept], y.close[kept], None, step)
    if rule.fill or rule.minimum_volume:
        joined = join(leg_of(y, "y"), leg_of(x, "x"), fill=rule.fill, minimum_volume=rule.minimum_volume)
        kept = joined.closed & np.isfinite(joined.y) & np.isfinite(joined.x)
        return Legs(joined.time[kept], joined.y[kept], joined.x[kept], step)
    columns = (y.time, y.close, y.forming, x.time, x.close, x.forming)
    return Legs(*closed_rows(*map(_read_only, columns)), step)


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column as the kernel takes it: it is compiled for arrays that may not be written to."""
    if not column.flags.writeable:
        return column
    view = column.view()
    view.flags.writeable = False
    return view


def compute(names: Collection[str], rule: Analysis, y: Bars, x: Bars | None, *, since_ms: int) -> Computed:
    """Compute what `rows_of` of metrics.py promises."""
    legs = _recent(match(rule, y, x), since_ms, bars_before(names, rule))
    first, values = int(legs.time.searchsorted(since_ms)), Columns()
    time = legs.time[first:]
    known = rows_known(names, rule)
    lowest: Places = np.arange(first - known + 1, len(legs) - known + 1)
    if len(time):
        lines, begun = _lines(names, rule, legs, first)
        tests, tested = _tests(names, rule, legs, first)
        values = _moving(names, rule, legs, first) | lines | tests
        if len(values) < len(names):
            values |= _prices(names, legs, y, x, first)
        for each in (begun, tested):
            lowest = lowest if each is None else np.minimum(lowest, each)
    since = legs.time[np.maximum(lowest, 0)] - rule.fill * legs.step
    whole = _whole(since, time, (y,) if x is None else (y, x))
    for name in names:
        if name not in values and name not in FEED:
            values[name] = np.full(len(time), math.nan)
    return Computed(time, time + legs.step, whole, values, since)


def _recent(legs: Legs, since_ms: int, context: int) -> Legs:
    """Leave out the rows before the context."""
    low = int(legs.time.searchsorted(since_ms)) - context
    if low <= 0:
        return legs
    return Legs(legs.time[low:], legs.y[low:], None if legs.x is None else legs.x[low:], legs.step)


def _whole(since: Integers, ends: Integers, bars: tuple[Bars, ...]) -> Flags:
    """Tell of which rows no bar at a gap lies between the first row that they know and their own.

    A gap has a bar at each of its edges, also where the other leg has none and the join leaves it out.
    """
    if not np.count_nonzero(bars[0].gap) and not np.count_nonzero(bars[-1].gap):
        return np.ones(len(ends), np.bool_)
    flagged = np.sort(np.concatenate([leg.time[leg.gap] for leg in bars]))
    whole: Flags = np.searchsorted(flagged, since) == np.searchsorted(flagged, ends, side="right")
    return whole


def _prices(names: Collection[str], legs: Legs, y: Bars, x: Bars | None, first: int) -> Columns:
    """Return what bars say by themselves."""
    values = Columns()
    if "price" in names:
        values["price"] = legs.y[first:]
    if "volume" in names:
        values["volume"] = _volumes(y, legs.time[first:])
    if x is None or legs.x is None:
        return values
    if "price_x" in names:
        values["price_x"] = legs.x[first:]
    if "volume_x" in names:
        values["volume_x"] = _volumes(x, legs.time[first:])
    if "ratio" in names:
        with np.errstate(all="ignore"):
            values["ratio"] = np.where(legs.x[first:] == 0, math.nan, legs.y[first:] / legs.x[first:])
    return values


def _volumes(bars: Bars, time: Integers) -> Floats:
    """Return the volumes of bars; in one that was filled nothing was traded."""
    at = np.minimum(np.searchsorted(bars.time, time), len(bars) - 1)
    return np.where(bars.time[at] == time, bars.volume[at], 0.0)


def _moving(names: Collection[str], rule: Analysis, legs: Legs, first: int) -> Columns:
    """Return what windows of returns say."""
    wanted, window = [name for name in RETURNS if name in names], rule.window
    if not wanted:
        return {}
    start = max(0, first - 2 * window)
    returns_y, returns_x = _returns(legs, start)
    time, values = legs.time[start:], Columns()
    blocks = pieces(time, window * legs.step, window, first - start)

    def correlations(left: Floats, right: Floats) -> Floats:
        return kernels.correlations(left, right, window, LEAST_RETURN)[None]

    def deviations(left: Floats, _: Floats) -> Floats:
        return 100 * kernels.moments(left, window)[1:2]

    for name in wanted:
        left = returns_x if name == "volatility_x" else returns_y
        loop = correlations if name == "correlation" else deviations
        values[name] = by_blocks(loop, left, returns_x, blocks, window, first - start)[0]
    return values


def _returns(legs: Legs, start: int) -> tuple[Floats, Floats]:
    """Return the log returns of both legs from a row on, the first of them unknown."""
    returns = kernels.log_returns(legs.y[start:])
    return returns, returns if legs.x is None else kernels.log_returns(legs.x[start:])


def _lines(names: Collection[str], rule: Analysis, legs: Legs, first: int) -> tuple[Columns, Places | None]:
    """Return what the line of each window says, or a Kalman filter; and of a filter the rows where it was begun."""
    if legs.x is None or not any(name in names for name in LINE):
        return {}, None
    y, x = levels(legs.y, legs.x, log=rule.log)
    drifting = "beta_drift" in names
    low = max(0, first - rule.window) if drifting else first
    begun = None
    if rule.method == "kalman":
        found, begun = _followed(rule, legs, y, x, low)
        begun = np.minimum(begun[first - low :], begun[: len(legs) - first]) if drifting else begun
    else:
        blocks = pieces(legs.time, rule.window * legs.step, rule.window, low)
        found = by_blocks(_fit(rule), y, x, blocks, rule.window, low)
    columns = dict(zip(("beta", "spread", "z"), found[:, first - low :], strict=True))
    if drifting:
        columns["beta_drift"] = _drift(found[0], first - low, rule.window)
    return {name: columns[name] for name in LINE if name in names}, begun


def _drift(beta: Floats, skipped: int, window: int) -> Floats:
    """Return by how much each beta but the first `skipped` ones differs from that of a window ago, as a share of it."""
    earlier = np.concatenate((np.full(window - skipped, math.nan), beta))[: len(beta) - skipped]
    with np.errstate(all="ignore"):
        return np.where(earlier == 0, math.nan, beta[skipped:] / earlier - 1)


def _fit(rule: Analysis) -> Callable[[Floats, Floats], Floats]:
    """Return what gives beta, spread and z-score of each window, by the rule's method."""
    window, intercept = rule.window, rule.intercept

    def squares(y: Floats, x: Floats) -> Floats:
        kind = kernels.FITTED if intercept else kernels.PROPORTIONAL
        found = kernels.lines(y, x, window, kind, y[:0], y[:0])
        return found[[1, 2, 5]]

    def other(y: Floats, x: Floats) -> Floats:
        sums = kernels.pair_moments(y, x, window)
        sums[:, ~((sums[2] > 0.0) & (sums[4] > 0.0) & np.isfinite(sums).all(axis=0))] = math.nan
        if rule.method in LOOPS:
            alpha, beta = LOOPS[rule.method](y, x, sums, window, intercept)
        else:
            moments = about_zero(Moments(*sums), window, intercept=intercept)
            beta = nearest(moments)
            alpha = moments.mean_y - beta * moments.mean_x
        return kernels.lines(y, x, window, kernels.GIVEN, alpha, beta)[[1, 2, 5]]

    return squares if rule.method == "ols" else other


def by_blocks(
    loop: Callable[[Floats, Floats], Floats],
    left: Floats,
    right: Floats,
    blocks: Sequence[tuple[int, int]],
    window: int,
    first: int,
) -> Floats:
    """Run a loop over the windows that end at row `first` or later, so that its blocks begin where ours do.

    A block of the loop holds as many rows as a window; one of the grid at most as many, and fewer where bars are
    missing. All the windows that end in a block hold its first row.

    Args:
        loop: takes two series and gives rows of results, a column for each row of theirs.
        left, right: two series of one length.
        blocks: as `pieces` gives them.
        window: how many rows a window has.
        first: the first row whose results are wanted.
    """
    parts = []
    for start, stop in blocks:
        low = start - window + 1
        series = (left[max(low, 0) : stop], right[max(low, 0) : stop])
        if low < 0:
            missing = np.full(-low, math.nan)
            series = (np.concatenate((missing, series[0])), np.concatenate((missing, series[1])))
        parts.append(loop(*series)[:, max(start, first) - low :])
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def pieces(time: Integers, span: int, window: int, first: int) -> list[tuple[int, int]]:
    """Return where blocks of the grid begin and end, from that of row `first` on; full neighbours in one piece.

    Args:
        time: the start of each row.
        span: a window in milliseconds, the distance of the grid.
        window: how many rows a full block has.
        first: a row.
    """
    starts = block_starts(time, span, first)
    if len(starts) == 1:
        return [(int(starts[0]), len(time))]
    cuts = np.flatnonzero(np.diff(starts) != window) + 1
    return list(pairwise([int(starts[0]), *starts[cuts].tolist(), len(time)]))


def block_starts(time: Integers, span: int, first: int) -> Places:
    """Return the first row of each block of the grid, from the block of row `first` on."""
    earliest = int(time[first])
    earliest -= earliest % span
    begin = time.searchsorted(earliest)
    if time[-1] < earliest + span:
        return np.array([begin])
    number = time[first:] // span
    return np.concatenate(([begin], np.flatnonzero(number[1:] != number[:-1]) + first + 1))


def _followed(rule: Analysis, legs: Legs, y: Floats, x: Floats, low: int) -> tuple[Floats, Places]:
    """Follow beta, spread and z-score from row `low` on with a filter; and say in which row that of each was begun."""
    span, noise = rule.bars * legs.step, noise_of(intercept=rule.intercept)
    starts = block_starts(legs.time, span, low)
    parts, begun = [], []
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(legs)], strict=True):
        time = int(legs.time[start])
        begin = int(np.searchsorted(legs.time, time - time % span - span))
        found, _ = walk(y[begin:stop], x[begin:stop], noise, START)
        score = kernels.moments(found[4], rule.window)[2]
        from_row = max(start, low) - begin
        parts.append(np.stack((found[1, from_row:], found[4, from_row:], score[from_row:])))
        begun.append(np.full(stop - max(start, low), begin))
    return np.concatenate(parts, axis=1), np.concatenate(begun)


def _tests(names: Collection[str], rule: Analysis, legs: Legs, first: int) -> tuple[Columns, Places | None]:
    """Return what the newest tests of each row say, and the first row that they know."""
    wanted = tuple(name for name in TESTED if name in names)
    if not wanted or legs.x is None:
        return {}, None
    y, x = levels(legs.y, legs.x, log=rule.log)
    starts = block_starts(legs.time, sample_pace(rule) * legs.step, first)
    found = np.full((len(wanted), len(starts)), math.nan)
    for place, row in enumerate(starts.tolist()):
        sample = slice(row + 1 - rule.bars, row + 1)
        if sample.start >= 0:
            found[:, place] = examined(wanted, rule, y[sample], x[sample])
    until = np.append(starts[1:], len(legs))
    times: NDArray[Any] = until - np.maximum(starts, first)
    return dict(zip(wanted, np.repeat(found, times, axis=1), strict=True)), np.repeat(starts + 1 - rule.bars, times)
