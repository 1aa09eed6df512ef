"""Bars that were read before, so that a page pays for what is new and not for its whole window again.

Only windows that reach the present are kept. The writer says, after each commit, from which time on an instrument's
bars changed; exactly those are read again at the next request, so no bar is ever stale or half written.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from market import Bars, Instrument, Timeframe, join_bars

FOREVER = 2**62
SLACK_BARS = 5_000
LOOKED_AT_S = 60.0
"""A kept window is cut back when it has this many bars more than anybody asked for in so many seconds."""

UNASKED_S = 600.0
"""One that nobody has asked for in so many seconds is forgotten."""


class Read(NamedTuple):
    """Bars as stored, and whether they reach the newest one."""

    bars: Bars
    to_present: bool


Reader = Callable[[Instrument, Timeframe, int, int], Read]
"""Reads the bars that start in [start, end) from the store."""


@dataclass(slots=True)
class _Window:
    """Bars from `start` to the present, sound before `changed_from`."""

    bars: Bars | None = None
    start: int = FOREVER
    changed_from: int = FOREVER
    longest: int = 0
    """So many of the newest bars were asked for since `looked`."""
    looked: float = 0.0
    """When it was seen last whether all of it is still asked for, by the monotonic clock."""
    asked: float = 0.0
    """When it was asked for last."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class BarCache:
    """The windows asked for last, one for each instrument and timeframe."""

    def __init__(self, read: Reader, *, windows: int = 64, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._limit = windows
        self._clock = clock
        self._windows: OrderedDict[tuple[Instrument, Timeframe], _Window] = OrderedDict()
        self._lock = threading.Lock()

    def bars(self, instrument: Instrument, timeframe: Timeframe, start: int, end: int) -> Bars:
        """Return the bars that start in ``[start, end)``, reading only what is not known."""
        window = self._window(instrument, timeframe)
        with window.lock:
            if window.bars is None:
                return self._begin(window, instrument, timeframe, start, end)
            self._bring_up_to_date(window, instrument, timeframe, window.bars)
            if start < window.start:
                head = self._read(instrument, timeframe, start, min(end, window.start)).bars
                if end < window.start:
                    return head
                window.bars, window.start = _frozen(join_bars(head, window.bars)), start
            self._cut_back(window, window.bars, start)
            return window.bars.between(start, end)

    def changed(self, instrument: Instrument, start: int) -> None:
        """Note that bars of an instrument from `start` on may have changed."""
        with self._lock:
            for (name, _), window in self._windows.items():
                if name == instrument:
                    window.changed_from = min(window.changed_from, start)

    def clear(self) -> None:
        """Forget all bars."""
        with self._lock:
            self._windows.clear()

    def _cut_back(self, window: _Window, bars: Bars, start: int) -> None:
        """Let go of what nobody asks for any more, as the beginning of a window that moves with the time.

        One reader wants a day and another, just as often, the last bar: the longest counts.
        """
        window.longest = max(window.longest, len(bars) - int(bars.time.searchsorted(start)))
        now = self._clock()
        if now - window.looked < LOOKED_AT_S:
            return
        if len(bars) > window.longest + SLACK_BARS:
            kept = bars[len(bars) - window.longest - 1 :]  # and one more: there is a first bar to begin with
            window.bars, window.start = _frozen(kept.copy()), int(kept.time[0])
        window.longest, window.looked = 0, now

    def _window(self, instrument: Instrument, timeframe: Timeframe) -> _Window:
        with self._lock:
            window = self._windows.setdefault((instrument, timeframe), _Window())
            window.asked = self._clock()
            self._windows.move_to_end((instrument, timeframe))
            since = window.asked - UNASKED_S
            while len(self._windows) > self._limit or next(iter(self._windows.values())).asked < since:
                self._windows.popitem(last=False)
            return window

    def _begin(self, window: _Window, instrument: Instrument, timeframe: Timeframe, start: int, end: int) -> Bars:
        with self._lock:
            window.changed_from = FOREVER
        bars, to_present = self._read(instrument, timeframe, start, end)
        if to_present:
            window.bars, window.start, window.looked = _frozen(bars), start, self._clock()
            window.longest = len(bars)
        return bars

    def _bring_up_to_date(self, window: _Window, instrument: Instrument, timeframe: Timeframe, bars: Bars) -> None:
        # Taken before the read: a commit that comes during it asks for another one.
        with self._lock:
            changed, window.changed_from = window.changed_from, FOREVER
        if changed == FOREVER:
            return
        cut = max(timeframe.floor(changed), window.start)
        try:
            tail = self._read(instrument, timeframe, cut, FOREVER).bars
        except BaseException:
            with self._lock:
                window.changed_from = min(window.changed_from, changed)
            raise
        window.bars = _frozen(join_bars(bars.between(window.start, cut), tail))


def _frozen(bars: Bars) -> Bars:
    """Bar writing to the arrays, which many pages share."""
    for column in bars.columns().values():
        column.flags.writeable = False
    return bars
