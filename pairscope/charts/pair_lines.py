"""The lines of a pair over time: which bars of them are drawn, how finely, and how an axis reaches over them.

Times are epoch milliseconds as float64; prices are float64 too, all else is float32. Long lines are thinned.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import Flags, Floats, Integers
from pairscope.charts.panes import Tag
from pairscope.charts.theme import Spec, Theme
from pairscope.charts.thinning import Rows, step_of, thin, thin_around

POINTS = 1_300
"""How many points a line may have."""

BESIDE = 0.15
"""Where the user has zoomed in, so many of them on each side of what is in sight."""

FORMING, GAP = 1, 2
"""Bits of `PairColumns.flags`: the bar may still change; it overlaps a gap."""

HIDDEN: Spec = {"type": "scatter", "visible": False, "showlegend": False}
"""Keeps the place of a trace that has nothing to show."""


LINE: Spec = {"type": "scatter", "mode": "lines", "showlegend": False}


class PairColumns(NamedTuple):
    """What is known of a pair, one value a bar; NaN is "not known".

    `time` is the start of each bar in epoch milliseconds, or what a wall clock showed then; `state` is 1 for long the
    spread, -1 for short, 0 for flat.
    """

    time: Integers
    price_y: Floats
    price_x: Floats
    spread: Floats
    mean: Floats
    std: Floats
    zscore: Floats
    beta: Floats
    correlation: Floats
    state: NDArray[np.int8]
    flags: NDArray[np.uint8]

    @classmethod
    def of(cls, time: Integers, columns: Mapping[str, NDArray[Any]], flags: NDArray[np.uint8]) -> "PairColumns":
        """Take the columns of an analysis; those that it lacks are not known, and without `state` all is flat."""
        unknown, flat = np.full(len(time), np.nan), np.zeros(len(time), np.int8)
        given = {name: columns.get(name, unknown) for name in cls._fields if name not in ("time", "state", "flags")}
        return cls(time=time, flags=flags, state=columns.get("state", flat), **given)


class Drawing:
    """The columns, and what is the same for all lines of them."""

    def __init__(
        self,
        panes: PairColumns,
        look: Theme,
        *,
        fresh: bool,
        window: int | None,
        seen: tuple[float, float] | None,
    ) -> None:
        self.panes, self.look, self.fresh, self.window = panes, look, fresh, window
        closed = np.flatnonzero((panes.flags & FORMING) == 0)
        self.closed = int(closed[-1]) + 1 if len(closed) else 0
        self.seen, self.step = seen, step_of(panes.time)
        part = self.in_sight(panes.time[: self.closed])
        self.thinned = part.stop - part.start > POINTS

    def rows(self, *columns: Floats, points: int = POINTS) -> Rows:
        """Return which closed bars the lines of these columns need."""
        time, lines = self.panes.time[: self.closed], [column[: self.closed] for column in columns]
        return self.choose(time, lines, points, step=self.step)

    def choose(self, time: Integers, columns: list[Floats], points: int, *, step: int | None = None) -> Rows:
        """Return which of these rows to draw with so many points."""
        if self.seen is None or len(time) <= points:
            return thin(time, columns, points, step=step)
        beside = int(points * BESIDE)
        return thin_around(time, columns, points, seen=self.in_sight(time), beside=beside, step=step)

    def in_sight(self, time: Integers) -> slice:
        """Return the rows that are in sight, with some on both sides, to which a hand may drag the chart."""
        if self.seen is None:
            return slice(0, len(time))
        start, end = self.seen
        room = (end - start) / 10
        first, after = time.searchsorted([start - room, end + room])
        return slice(max(0, int(first) - 1), int(after) + 1 if after < len(time) else len(time))

    def lines(self, values: Floats, rows: Rows, style: Spec, *, exact: bool = False) -> list[Spec]:
        """Return the line over the closed bars, and the faint one from the last of them over the forming ones."""
        dtype = np.float64 if exact else np.float32
        main = {**LINE, **self.points(values, rows, dtype), **style}
        if self.thinned and not exact:
            main["line"] = style["line"] | {"width": 0.8}  # a day of seconds is a solid block otherwise
        if self.closed == len(self.panes.time):
            return [main, HIDDEN]
        last = np.arange(max(0, self.closed - 1), len(self.panes.time))
        tail = self.points(values, last, dtype) | {"opacity": 0.5, "hoverinfo": "skip"}
        return [main, main | tail | {"hovertemplate": None, "line": style["line"] | {"dash": "dot"}}]

    def fitted(self, *columns: Floats, include: float | None = None) -> Spec:
        """Let an axis of these lines reach from the lowest to the highest value in sight, and to ± `include`."""
        options: Spec = {} if include is None else {"include": [-include, include]}
        if self.seen is not None:
            part = self.in_sight(self.panes.time)
            values = np.concatenate([column[part] for column in columns])
            known = np.append(values[np.isfinite(values)], options.get("include", []))
            if len(known):
                low, high = float(known.min()), float(known.max())
                room = (high - low) / 16 or abs(high) / 1_000 or 1.0
                options |= {"clipmin": low - room, "clipmax": high + room}
        return {"autorangeoptions": options} if options else {}

    def points(self, values: Floats, rows: Rows, dtype: type[np.floating] = np.float32) -> Spec:
        """Return the coordinates of some bars."""
        return {"x": self.panes.time[rows].astype(np.float64), "y": values[rows].astype(dtype)}

    def tags(self, values: Floats, numbers: str, axis: str, colour: str) -> list[Tag]:
        """Return the value of the last closed bar for the edge, if it is known."""
        value = float(values[self.closed - 1]) if self.closed else math.nan
        if math.isnan(value):
            return []
        return [Tag(format(value, numbers), value, axis, colour if self.fresh else self.look.muted)]

    def awaited(self, known: Flags, *, returns: bool = False) -> str:
        """Say what is missing while nothing is known; a window of returns takes one more bar."""
        if known.any():
            return ""
        needed = self.window + returns if self.window else 0
        return f"{min(self.closed, needed):,} of {needed:,} bars" if needed else "not known yet"
