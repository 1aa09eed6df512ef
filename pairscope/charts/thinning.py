"""Draw a long line with few points: keep of each stretch what the eye would see of it."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from market import Integers

Rows = NDArray[np.intp]
"""Numbers of rows, ascending."""


def thin(
    time: Integers, columns: Sequence[NDArray[np.floating]], points: int = 1_500, *, step: int | None = None
) -> Rows:
    """Return the rows that lines over `time` need to look the same when drawn with at most `points` points.

    The rows are cut into stretches, and of each stretch the lowest and the highest value of every line stay, and a NaN
    where there is one: spikes stay as high as they are, and gaps stay gaps. The first row and the last one stay too.
    All rows stay if there are no more than `points` of them.

    Args:
        time: the start of each row, ascending; stretches keep to it, so that they do not shift when rows are appended
            at the end and fall off at the beginning.
        columns: the lines, which share the rows to be chosen.
        points: how many rows may stay, at least ten for each line; holes come on top, at most half as many.
        step: what `step_of` says of `time`, where it is known.
    """
    n = len(time)
    if n <= points:
        return np.arange(n)
    length = _nice(n / max(1, points // (2 * len(columns)) - 3))  # both ends are cut off, and stay themselves
    first = min(-int(time[0] // (step or step_of(time))) % length, n)
    last = n - (n - first) % length
    keep = np.zeros(n, np.bool_)
    keep[[0, -1]] = True
    for start, end, long in ((0, first, first), (first, last, length), (last, n, n - last)):
        if start == end:
            continue
        starts = np.arange(start, end, long)
        for column in columns:
            for offsets in _extremes(column[start:end].reshape(-1, long)):
                keep[starts + offsets] = True
    return np.flatnonzero(keep)


def thin_around(
    time: Integers,
    columns: Sequence[NDArray[np.floating]],
    points: int,
    *,
    seen: slice,
    beside: int,
    step: int | None = None,
) -> Rows:
    """Thin as `thin` does, but for a chart that shows the rows `seen` alone: of these so many as of a whole line.

    Args:
        time, columns, points, step: as of `thin`.
        seen: the rows that are in sight.
        beside: how many of the rows before them may stay, and how many after them.
    """
    parts = (slice(0, seen.start), seen, slice(seen.stop, len(time)))
    kept = [
        thin(time[part], [column[part] for column in columns], points if part is seen else beside, step=step)
        + part.start
        for part in parts
    ]
    return np.concatenate(kept)


def _extremes(stretches: NDArray[np.floating]) -> list[Rows]:
    """Return where in each stretch its lowest and highest value stand, and its first NaN where it has one."""
    low, high = stretches.argmin(axis=1), stretches.argmax(axis=1)
    every = np.arange(len(stretches))
    holed = np.flatnonzero(np.isnan(stretches[every, low]))  # NaN is the lowest and the highest for NumPy
    if not len(holed):
        return [low, high]
    hole, part = low.copy(), stretches[holed]
    missing = np.isnan(part)
    low[holed] = np.where(missing, np.inf, part).argmin(axis=1)
    high[holed] = np.where(missing, -np.inf, part).argmax(axis=1)
    return [low, high, hole]


def _nice(least: float) -> int:
    """Return the first of 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ... from `least` on: a length that hardly ever changes."""
    scale = max(1, 1 << int(np.log2(least)) - 2) if least >= 4 else 1
    return math.ceil(least / scale) * scale


def step_of(time: Integers) -> int:
    """Return how far two neighbouring rows are apart when no row is missing between them; 1 s for a lone one."""
    if len(time) < 2:
        return 1_000
    least = int((time[1:] - time[:-1]).min())
    if least > 0:
        return least
    steps = np.diff(time)  # a wall clock was put back
    return int(steps[steps > 0].min(initial=1_000_000))
