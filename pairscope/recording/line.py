"""The audit of one instrument's stream: every trade is next in line, late, after a hole, or not to be believed."""

from collections.abc import Sequence
from typing import NamedTuple

from market import MINUTE, Hole, Instrument, Reject, Tick, flaw
from pairscope.recording.health import Pulse
from pairscope.recording.watch import Silence

LONGEST_JUMP = 100_000
"""An id so much higher than the last may be damaged; the next trades must confirm it."""

STEEPEST = 2.0
"""A price that many times the last one, or that part of it, may be damaged."""

CONFIRMED_BY = 3
"""So many trades in a row that agree with one another are believed; the first of them are fetched once more by id."""

MISSED = "missed in the stream"

UNLIKELY_PRICE = "price is far from the last one; it is asked for once more"
UNLIKELY_ID = "trade id is far from the last one; it is asked for once more"
UNLIKELY_TIME = "time is long before the last one; it is asked for once more"


class Mark(NamedTuple):
    """Where an instrument's ids go on, and what a hole before the next trade would come from."""

    last_id: int
    last_ms: int
    cause: str


class Taken(NamedTuple):
    """What a batch was made of: trades to store, holes before them, and what is none."""

    sound: list[Tick]
    holes: list[Hole]
    rejects: list[Reject]


class Line:
    """What is known of one instrument's stream."""

    def __init__(self, instrument: Instrument, *, contiguous: bool, begun: float) -> None:
        self.instrument = instrument
        self.contiguous = contiguous
        self.prepared = False
        """Whether the store was asked where the ids go on."""
        self.mark: Mark | None = None
        """None: nothing is known, the ids begin with the first trade."""
        self.price: float | None = None
        self.time_ms: int | None = None
        self.lag_ms = 0
        self.received = 0
        self.pulse = Pulse(begun)
        self.silence = Silence(begun)
        self._doubted: Tick | None = None
        self._doubts = 0

    def take(self, ticks: Sequence[Tick], *, now: float, now_ms: int, latest_ms: int) -> Taken:
        """Audit trades in the order in which they came.

        Args:
            ticks: trades of this instrument.
            now: seconds of the monotonic clock.
            now_ms: the venue's time.
            latest_ms: no honest trade is later.
        """
        taken = Taken([], [], [])
        for tick in ticks:
            wrong = flaw(tick, latest_ms=latest_ms) or self._doubt(tick)
            if wrong:
                taken.rejects.append(Reject(tick.venue, tick.symbol, wrong, repr(tick)))
                continue
            taken.sound.append(tick)
            if hole := self._step(tick):
                taken.holes.append(hole)
        if taken.sound:
            self.lag_ms = now_ms - taken.sound[-1].time_ms
            self.received += len(taken.sound)
            self.pulse.beat(now, len(taken.sound))
        return taken

    def interrupt(self, cause: str) -> None:
        """Note why a hole before the next trade would be there, unless that is known."""
        if self.mark and self.mark.cause == MISSED:
            self.mark = self.mark._replace(cause=cause)

    def advance(self, last_id: int, last_ms: int, cause: str) -> Hole | None:
        """Move on to a trade that the venue says exists; return the hole up to it, if it is beyond the last."""
        mark = self.mark
        if mark is None or last_id <= mark.last_id:
            return None
        self.mark = Mark(last_id, last_ms, cause)
        return Hole(self.instrument, mark.last_id + 1, last_id, mark.last_ms, last_ms, mark.cause)

    def _step(self, tick: Tick) -> Hole | None:
        """Move on to a trade; return the hole before it, if there is one."""
        mark = self.mark
        if mark is not None and tick.trade_id <= mark.last_id:
            return None
        self.mark = Mark(tick.trade_id, tick.time_ms, MISSED)
        self.price, self.time_ms = tick.price, tick.time_ms
        if mark is None or tick.trade_id == mark.last_id + 1 or not self.contiguous:
            return None
        return Hole(self.instrument, mark.last_id + 1, tick.trade_id - 1, mark.last_ms, tick.time_ms, mark.cause)

    def _doubt(self, tick: Tick) -> str | None:
        """Return why a trade is not believed yet.

        It leaves a hole in the ids, and so the venue is asked for it once more: its record is believed, whatever the
        price. When the stream itself goes on like that, it is believed, too.
        """
        if self.mark is None or self.price is None or not self.contiguous:
            return None
        why = _unlike(tick, self.price, self.mark.last_id, self.mark.last_ms)
        if why is None:
            self._doubts = 0
            return None
        before = self._doubted
        agrees = self._doubts and before and _unlike(tick, before.price, before.trade_id, before.time_ms) is None
        self._doubted, self._doubts = tick, self._doubts + 1 if agrees else 1
        if self._doubts < CONFIRMED_BY:
            return why
        self._doubts = 0
        return None


def is_steep(price: float, last: float) -> bool:
    """Tell whether a price is so far from the last one that it may be damaged, or of another symbol."""
    return not last / STEEPEST < price < last * STEEPEST


def _unlike(tick: Tick, price: float, last_id: int, last_ms: int) -> str | None:
    """Return in what a trade differs from what came before it, if it does so much that it may be damaged."""
    if not price / STEEPEST < tick.price < price * STEEPEST:
        return UNLIKELY_PRICE
    if tick.trade_id > last_id + LONGEST_JUMP:
        return UNLIKELY_ID
    if tick.trade_id > last_id and tick.time_ms < last_ms - MINUTE:
        return UNLIKELY_TIME
    return None
