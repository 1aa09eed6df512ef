"""Bars of a stretch of time with all that their metrics know: as many rows before it as make each value exact.

Of a pair that does not trade in every bar that is more time than rows, so it is looked for.
"""

from collections.abc import Collection, Iterator
from typing import Protocol

from market import Bars, Instrument, Integers, Timeframe, join_bars
from pairscope.alerts.metrics import Rows, bars_before, rows_of
from pairscope.alerts.rules import Rule

PIECE_BARS = 50_000
"""So many bars of a leg are read at once: a read must not be long."""


class Reader(Protocol):
    """What is needed of a store."""

    def bars(
        self, symbol: Instrument, timeframe: Timeframe, start: int | None, end: int | None, *, now: int | None
    ) -> Bars: ...

    def bar_span(self, symbol: Instrument) -> tuple[int, int] | None: ...


def first_whole(timeframe: Timeframe, first_ms: int) -> int:
    """Return the start of the first bar that is not cut off by the beginning of what is stored."""
    return timeframe.floor(first_ms + timeframe.ms - 1)


class Stretch:
    """The bars of one target, for the metrics of one rule.

    Args:
        store: where they are.
        names: of metrics.
        rule: how the pair is analysed.
        legs: y and x, or the one symbol.
        now: in epoch milliseconds; the bar that it is in is forming.
    """

    def __init__(self, store: Reader, names: Collection[str], rule: Rule, legs: tuple[Instrument, ...], *, now: int):
        self._store, self._names, self._rule, self._legs, self._now = store, names, rule, legs, now
        self._timeframe = Timeframe.parse(rule.timeframe)
        self._needed = bars_before(names, rule)

    def rows(self, start: int, end: int) -> Iterator[Rows]:
        """Yield the closed rows that start in ``[start, end)``, in pieces that follow each other."""
        step = self._timeframe.ms
        spans = [span for leg in self._legs if (span := self._store.bar_span(leg)) is not None]
        if len(spans) < len(self._legs):
            return
        start = max(start, first_whole(self._timeframe, max(span[0] for span in spans)))
        end = min(end, min(span[1] for span in spans) + self._rule.fill * step)
        bars = self._context(start, max(span[0] for span in spans))
        for low in range(start, end, PIECE_BARS * step):
            fresh = self._read(low, min(low + PIECE_BARS * step, end))
            bars = tuple(map(join_bars, bars, fresh))
            yield rows_of(self._names, self._rule, bars[0], bars[1] if len(bars) > 1 else None, since_ms=low)
            bars = self._tail(bars)

    def _context(self, start: int, earliest: int) -> tuple[Bars, ...]:
        """Read backwards until there are rows enough, or no more."""
        many, low = self._needed, start
        bars = self._read(start, start)
        while low > earliest and len(self._times(bars)) < self._needed:
            high, low = low, self._timeframe.floor(max(low - many * self._timeframe.ms, earliest))
            bars = tuple(map(join_bars, self._read(low, high), bars))
            many = min(2 * many, PIECE_BARS)
        return self._tail(bars)

    def _tail(self, bars: tuple[Bars, ...]) -> tuple[Bars, ...]:
        """Leave out bars before the context of what comes after them."""
        times = self._times(bars)
        if len(times) <= self._needed:
            return bars
        low = int(times[-self._needed]) if self._needed else int(times[-1]) + 1
        return tuple(leg.between(low, 2**62) for leg in bars)

    def _times(self, bars: tuple[Bars, ...]) -> Integers:
        from pairscope.alerts.columns import match

        return match(self._rule, bars[0], bars[1] if len(bars) > 1 else None).time

    def _read(self, start: int, end: int) -> tuple[Bars, ...]:
        return tuple(self._store.bars(leg, self._timeframe, start, end, now=self._now) for leg in self._legs)
