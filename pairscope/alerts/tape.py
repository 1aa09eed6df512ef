"""The closed bars of each leg in memory, so that a bar that closes costs one short read, however many rules see it.

The store says, after each commit, from which time on an instrument changed; only that is read again, and only when the
newest bar may be over, or an older one was touched.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from market import Bars, Gap, Instrument, Integers, Timeframe, UnknownName, iso, join_bars
from pairscope.alerts.rules import Rule
from pairscope.alerts.stretches import first_whole
from pairscope.recording.health import SymbolHealth
from pairscope.sqlite.cache import FOREVER
from pairscope.sqlite.listeners import Change
from store import SqliteStore

SPARE_BARS = 1_000
"""So many more bars than are needed may stand in memory before the oldest are dropped, and for the time of so many they
stay after they were asked for."""

UNASKED_SECONDS = 1.5
"""A tape that has changed is read again after this, also when no bar is over."""


class Tape:
    """The bars of one instrument and timeframe, from `start` to the newest trade.

    `traded_ms` is the start of the bar that holds the newest trade: every bar before it is over. `rewritten` rises when
    a bar changes that was said to be over.
    """

    def __init__(self, store: SqliteStore, instrument: Instrument, timeframe: Timeframe) -> None:
        self.instrument, self.timeframe = instrument, timeframe
        self.bars: Bars | None = None
        self.start = FOREVER
        self.rewritten = 0
        self.traded_ms: int | None = None
        self.gapped = False
        """Whether any bar is marked by a gap."""
        self._store = store
        self.earliest = FOREVER
        """From when on there are bars in the store."""
        self.whole_from = FOREVER
        """The start of the first bar that was recorded from its beginning."""
        self._changed, self._newest = 0, 0
        """From when on bars may have changed since they were read, and the second of the newest trade then."""
        self._said = 0
        """Until when bars were said to be over."""
        self._version = 0
        """Of what stands in memory."""
        self._asked = self._asked_before = FOREVER
        """From when on bars were asked for since `_turned`, and in the time before it."""
        self._turned = 0
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._piece: tuple[tuple[int, int, int], Bars] | None = None
        self._times: tuple[tuple[int, int, int], Integers] | None = None

    def changed(self, start_ms: int, newest_ms: int) -> bool:
        """Note that bars from a time on may have changed, and where the newest trade is; from any thread.

        Returns:
            Whether it is to be read again at once.
        """
        with self._lock:
            self._changed, self._newest = min(self._changed, start_ms), newest_ms
        return self._is_over()

    def _is_over(self) -> bool:
        """Tell whether the newest bar is over, or an older one was touched."""
        traded = self.traded_ms
        return traded is None or self._newest >= traded + self.timeframe.ms or self._changed < traded

    @property
    def changed_ms(self) -> int:
        """From when on bars may have changed since they were read; far in the future when none has."""
        return self._changed

    def is_due(self, monotonic: float) -> bool:
        """Tell whether it is worth reading again."""
        return self._changed < FOREVER and (self._is_over() or monotonic - self._read_at > UNASKED_SECONDS)

    def read(self, keep: int, monotonic: float) -> None:
        """Read what has changed; `keep` bars at least stay in memory."""
        with self._lock:
            changed, self._changed = self._changed, FOREVER
        try:
            begun = self.bars is not None
            if not begun or changed < self.start:
                self._measure(keep)
            if begun and self.bars is not None:
                cut = self.timeframe.floor(min(changed, FOREVER - 1))
                self.rewritten += cut < max(self.traded_ms or 0, self._said)
                self._go_on(self.bars, max(cut, self.start), keep)
        except BaseException:
            self.changed(changed, self._newest)
            raise
        self._read_at = monotonic

    def reach(self, start: int) -> None:
        """Bring earlier bars into memory, as far as there are any, and have them stay there for a while."""
        self._asked = min(self._asked, start)
        if start >= self.start or self.bars is None:
            return
        start = max(self.timeframe.floor(start), self.earliest)
        if start >= self.start:
            return
        head = self._store.bars(self.instrument, self.timeframe, start, self.start)
        traded_ms = self.traded_ms  # that the newest bar was not over is not written in what stands in memory
        self._take(join_bars(head, self.bars), start)
        self.traded_ms = traded_ms

    def between(self, start_ms: int, end_ms: int) -> Bars | None:
        """Return the bars that start in ``[start_ms, end_ms)``; the same ones for all rules that ask for them."""
        if self.bars is None:
            return None
        key = (start_ms, end_ms, self._version)
        if self._piece is None or self._piece[0] != key:
            self._piece = (key, self.bars.between(start_ms, end_ms))
        return self._piece[1]

    def times(self, start_ms: int, end_ms: int) -> Integers:
        """Return the starts of the bars that start in ``[start_ms, end_ms)``."""
        if self.bars is None:
            return np.empty(0, np.int64)
        key = (start_ms, end_ms, self._version)
        if self._times is None or self._times[0] != key:
            low, high = np.searchsorted(self.bars.time, (start_ms, end_ms))
            self._times = (key, self.bars.time[low:high])
        return self._times[1]

    @property
    def is_whole(self) -> bool:
        """Whether no earlier bars are stored than those in memory."""
        return self.start <= self.earliest

    def settled_ms(self, health: SymbolHealth | None, *, late_ms: float) -> int | None:
        """Return until when every bar is over for certain; None without any.

        Args:
            health: how its recording does; the venue may have confirmed that nothing newer was traded.
            late_ms: the venue's time at which the oldest work that is not committed yet was handed to the store.
        """
        if self.traded_ms is None:
            return None
        self._said = max(self._said, self.traded_ms)
        confirmed = health.confirmed_ms if health is not None else None
        if confirmed is None or confirmed >= late_ms or self._changed < FOREVER:  # what was not read may be before it
            return self.traded_ms
        self._said = max(self._said, self.timeframe.floor(confirmed))
        return max(self.traded_ms, self.timeframe.floor(confirmed))

    def _measure(self, keep: int) -> None:
        """See from when on there are bars, and begin with the newest; where there are none, begin anew later."""
        try:
            span = self._store.bar_span(self.instrument)
        except UnknownName:
            span = None
        if span is None:
            self.bars, self.start, self.earliest, self.traded_ms, self.gapped = None, FOREVER, FOREVER, None, False
            self.whole_from = FOREVER
            self._version += 1
            self.rewritten += 1
            return
        self.earliest = self.timeframe.floor(span[0])
        self.whole_from = first_whole(self.timeframe, span[0])
        self.rewritten += 1
        if self.bars is None:
            start = max(self.earliest, self.timeframe.floor(span[1]) - (keep + 2) * self.timeframe.ms)
            self._take(self._store.bars(self.instrument, self.timeframe, start), start)

    def _go_on(self, bars: Bars, cut: int, keep: int) -> None:
        tail = self._store.bars(self.instrument, self.timeframe, cut)
        kept = bars.between(self.start, cut)
        if dropped := self._droppable(kept, len(tail), keep):
            kept = kept[dropped:]
            self.start = int(kept.time[0]) if len(kept) else cut
        self._take(join_bars(kept, tail), self.start)

    def _droppable(self, bars: Bars, more: int, keep: int) -> int:
        """Return how many of the oldest bars nobody needs, of these and `more`; none while there are few of them.

        `keep` bars are enough where each makes a row. Where the other leg of a pair seldom trades, as far back is
        needed as was asked for.
        """
        newest = self.traded_ms or 0
        if newest >= self._turned + SPARE_BARS * self.timeframe.ms:
            self._asked, self._asked_before, self._turned = FOREVER, self._asked, newest
        spare = len(bars) + more - keep - SPARE_BARS // 2
        unasked = int(bars.time.searchsorted(min(self._asked, self._asked_before)))
        return min(spare, unasked) if spare > keep + SPARE_BARS // 2 else 0

    def _take(self, bars: Bars, start: int) -> None:
        columns = bars.columns()
        newest = int(bars.time[-1]) if len(bars) else None
        if newest is not None and not bars.forming[-1]:
            newest += self.timeframe.ms
        columns["forming"] = np.zeros(len(bars), np.bool_)
        for column in columns.values():  # kernels are compiled for one kind, that of the bars that a store gives
            column.flags.writeable = False
        self.bars = Bars(bars.instrument, bars.timeframe, *columns.values())
        self.start, self.traded_ms = start, newest
        self.gapped = bool(bars.gap.any())
        self._version += 1


class Tapes:
    """All tapes that rules look at, and who changed."""

    def __init__(self, store: SqliteStore, wake: Callable[[], None]) -> None:
        self._store, self._wake = store, wake
        self._tapes: dict[tuple[Instrument, Timeframe], Tape] = {}
        self._of: dict[Instrument, list[Tape]] = {}
        self._trades: dict[Instrument, int] = {}
        self._keep: Mapping[tuple[Instrument, Timeframe], int] = {}

    def changed(self, change: Change) -> None:
        """Note what a commit touched; called by the thread that writes."""
        tapes = self._of.get(change.instrument, ())
        due = [tape.changed(change.start_ms, change.newest_ms) for tape in tapes]
        if change.instrument in self._trades:
            self._trades[change.instrument] += 1
            self._wake()
        elif any(due):
            self._wake()

    def of(self, instrument: Instrument, timeframe: Timeframe) -> Tape:
        """Return the tape of a leg."""
        key = (instrument, timeframe)
        if key not in self._tapes:
            self._tapes[key] = tape = Tape(self._store, instrument, timeframe)
            self._of = {**self._of, instrument: [*self._of.get(instrument, ()), tape]}
        return self._tapes[key]

    def watch_trades(self, instrument: Instrument) -> None:
        """Count the commits that touch an instrument."""
        self._trades.setdefault(instrument, 0)

    def commits(self, instrument: Instrument) -> int:
        """Return how many commits touched an instrument that is watched."""
        return self._trades.get(instrument, 0)

    def keep_only(self, bars: Mapping[tuple[Instrument, Timeframe], int], trades: Iterable[Instrument]) -> None:
        """Have each tape hold so many bars at least, and forget those that no rule looks at any more."""
        self._keep = bars
        self._tapes = {key: tape for key, tape in self._tapes.items() if key in bars}
        of: dict[Instrument, list[Tape]] = {}
        for (instrument, _), tape in self._tapes.items():
            of.setdefault(instrument, []).append(tape)
        self._of = of
        self._trades = {each: self._trades.get(each, 0) for each in trades}

    def is_gapped(self) -> bool:
        """Tell whether a gap marks any bar in memory."""
        return any(tape.gapped for tape in self._tapes.values())

    def read(self, monotonic: float) -> dict[Tape, Exception]:
        """Read again what is due; return what could not be read."""
        failed: dict[Tape, Exception] = {}
        for key, tape in self._tapes.items():
            if tape.is_due(monotonic):
                try:
                    tape.read(self._keep.get(key, 0), monotonic)
                except Exception as error:  # the outer loop of rules: one leg must not keep the others from being seen
                    failed[tape] = error
        return failed

    def is_due(self, monotonic: float) -> bool:
        """Tell whether any tape is worth reading again."""
        return any(tape.is_due(monotonic) for tape in self._tapes.values())

    def limits(
        self, health: Mapping[Instrument, SymbolHealth], now_at: Mapping[str, int], waits_ms: float
    ) -> dict[Tape, int | None]:
        """Return until when the bars of each tape are over for certain.

        Args:
            health: how each symbol's recording does.
            now_at: the time at each venue.
            waits_ms: for how long the oldest work waits that is not committed.
        """
        return {
            tape: tape.settled_ms(health.get(leg), late_ms=now_at[leg.venue] - waits_ms)
            for (leg, _), tape in self._tapes.items()
        }


def context_start(tapes: Sequence[Tape], rule: Rule, since_ms: int, need: int) -> int:
    """Return from when on bars are wanted so that `need` rows that all legs have stand before a time.

    Args:
        tapes: one or two; earlier bars are read into them where that is necessary.
        rule: how they are joined.
        since_ms: the start of the first row that is wanted.
        need: so many rows before it, or as many as there are.
    """
    step = tapes[0].timeframe.ms
    plain = not rule.fill and not rule.minimum_volume
    span = need
    while True:
        start = since_ms - span * step
        for tape in tapes:
            tape.reach(start)
        if plain and all(len(tape.times(start, since_ms)) == need for tape in tapes):
            return start  # not a bar is missing
        rows = _rows_between(tapes, rule, start, since_ms)
        if len(rows) >= need:
            return int(rows[-need]) if need else since_ms
        if all(tape.start >= start and tape.is_whole for tape in tapes):
            return start
        span = 2 * span + 1


def _rows_between(tapes: Sequence[Tape], rule: Rule, start: int, end: int) -> Integers:
    from pairscope.alerts.columns import match  # here, because pages must not wait for the numbers

    legs = [piece for tape in tapes if (piece := tape.between(start, end)) is not None]
    if len(legs) < len(tapes):
        return np.empty(0, np.int64)
    return match(rule, legs[0], legs[1] if len(legs) > 1 else None).time


def missing_words(gap: Gap) -> str:
    """Say what is missing between which times."""
    return f"trades of {gap.instrument.symbol} are missing from {iso(gap.start_ms)} to {iso(gap.end_ms)}"
