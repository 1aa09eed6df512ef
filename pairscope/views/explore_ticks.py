"""The trades of two legs, kept from refresh to refresh, and their correlation beside that of bars."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from market import DAY, MINUTE, SECOND, Bars, Instrument, UnknownName
from pairscope.views.explore_panels import Scene
from store import SqliteReader

if TYPE_CHECKING:
    from analytics import Correlation, HayashiYoshida, LagCurve, Trades

MOST_TICKS = 200_000
"""Of a leg; with more of them the time looked at is shorter."""

AGAIN_MS, LATE_MS = 5 * MINUTE, 10 * SECOND
"""All trades are read again so often, for those that a repair has brought; the last seconds at each refresh."""

SIZES = tuple(seconds * SECOND for seconds in (1, 2, 5, 15, 30, 60, 120, 300, 900, 1_800, 3_600))
PACES = (1, 10, 100, 300, *SIZES)
LATER = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 7_000, 10_000)
LAGS = (*(-lag for lag in reversed(LATER)), 0, *LATER)
LEAST_BARS = 8
"""Lengths of which fewer bars fit into the time looked at are left out."""


class Tape:
    """The trades of one instrument, read on from where they were read to before."""

    def __init__(self, reader: SqliteReader, instrument: Instrument) -> None:
        self._reader, self._instrument = reader, instrument
        self._lock = threading.Lock()
        self._trades: Trades | None = None
        self._start = self._begun = 0

    def read(self, start: int, end: int, *, now: int) -> "Trades":
        """Return the trades of ``[start, end)``.

        Args:
            start: epoch milliseconds.
            end: epoch milliseconds.
            now: how late it is.
        """
        with self._lock:
            kept = self._trades
            if kept is None or start < self._start or now - self._begun >= AGAIN_MS or not len(kept.time):
                kept, self._begun = _joined(self._pieces(start, end)), now
            else:
                newest = max(start, int(kept.time[-1]) - LATE_MS)
                kept = _joined((_cut(kept, start, newest), *self._pieces(newest, end)))
            self._trades, self._start = kept, start
            return _cut(kept, start, end)

    def _pieces(self, start: int, end: int) -> "Iterator[Trades]":
        from analytics import Trades

        try:
            for batch in self._reader.ticks(self._instrument, start, end):
                yield Trades(np.array([each.time_ms for each in batch]), np.array([each.price for each in batch]))
        except UnknownName:  # it is streamed, but has not traded yet
            return


def _joined(pieces: "Iterable[Trades]") -> "Trades":
    from analytics import Trades

    none = (np.empty(0, np.int64), np.empty(0))
    return Trades(*(np.concatenate(parts) for parts in zip(none, *pieces, strict=True)))


def _cut(trades: "Trades", start: int, end: int) -> "Trades":
    first, last = np.searchsorted(trades.time, (start, end))
    return type(trades)(trades.time[first:last], trades.price[first:last])


@st.cache_resource(max_entries=8, show_spinner=False)
def _tape(store: str, instrument: str, _reader: SqliteReader, _instrument: Instrument) -> Tape:
    return Tape(_reader, _instrument)


@dataclass(frozen=True, slots=True, eq=False)
class TickFindings:
    """What the trades say: by the length of bars, by how many trades are used, and by lag."""

    start_ms: int
    by_size: "dict[int, Correlation]"
    by_pace: "dict[int, HayashiYoshida]"
    curve: "LagCurve"
    shortened: bool
    """Whether the time looked at is shorter than the bars shown, because there are too many trades."""


def tick_findings(scene: Scene) -> TickFindings:
    """Correlate the trades of the time that the bars span, in bars of growing length and each at its own moment."""
    from analytics import bar_correlations, hayashi_yoshida, hayashi_yoshida_curve
    from pairscope.numbers.bar_size import last_of_each

    runtime, request = scene.runtime, scene.request
    end = runtime.now_at(request.y.venue) if scene.ends_ms is None else scene.ends_ms
    start, shortened = span_of(scene.bars, end)
    store = runtime.settings.store
    legs = [_tape(store, str(leg), runtime.reader, leg).read(start, end, now=end) for leg in (request.y, request.x)]
    traded = [int(leg.time[0]) for leg in legs if len(leg.time)]
    begin = max(traded, default=start)  # before it there are candles only
    few = [last_of_each(leg, SIZES[0]) for leg in legs]
    paces = [pace for pace in PACES if pace * LEAST_BARS <= end - begin] or [1]
    return TickFindings(
        begin,
        by_size=bar_correlations(*few, sizes_ms=[size for size in SIZES if size in paces]),
        by_pace={pace: hayashi_yoshida(*(few if pace in SIZES else legs), every_ms=pace) for pace in paces},
        curve=hayashi_yoshida_curve(*legs, lags_ms=LAGS),
        shortened=shortened,
    )


def span_of(bars: tuple[Bars, Bars], end: int) -> tuple[int, bool]:
    """Return from when on the legs have at most so many trades, within a day, and whether that is later than the bars.

    Args:
        bars: of y and x, as they are shown.
        end: the time looked at ends there.
    """
    shown = max((int(leg.time[0]) for leg in bars if len(leg)), default=end)
    start = max(shown, end - DAY)
    for leg in bars:
        since = leg.trades[::-1].cumsum()
        fitting = int(np.searchsorted(since, MOST_TICKS, side="right"))
        if fitting < len(leg):
            start = max(start, int(leg.time[len(leg) - fitting - 1]) + leg.timeframe.ms)
    return start, start > shown
