"""The audit of one instrument's stream: every trade is next in line, late, after a hole, or not to be believed."""

from collections.abc import Sequence
from typing import NamedTuple

from market import MINUTE, Hole, Instrument, Reject, Tick, flaw
from pairscope.recording.health import Pulse
from pairscope.recording.watch import Silence

LONGEST_JUMP = 100_000
"""An id so far from the last may be damaged; the next trades must confirm it."""

STEEPEST = 2.0
"""A price that many times the last one, or that part of it, may be damaged."""

CONFIRMED_BY = 3
"""So many trades in a row that agree with one another are believed; the first of them are fetched once more by id."""

MISSED = "missed in the stream"
CONNECTION_LOST = "connection lost"
PAUSED, STOPPED = "recording was paused", "recording was stopped"
"""Why a hole is there that somebody wanted; the trades of the second are not fetched by themselves."""

STOPPED_AND_MORE = "recording was stopped, and not heard at once when it went on"
"""Ids do not tell which trades were made after the stop: all are fetched."""

SOON_MS = 5_000
"""Recording that goes on is expected to hear its first trade so soon."""

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
    fresh: int
    """Trades that are newer than all before; the others are late, or came once more, and are no sign of life."""


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
        self.confirmed_ms: int | None = None
        """The venue's time at which it was asked last and had no trade that was not streamed or known to be missing."""
        self.has_history = False
        """Whether candles of before were asked for."""
        self._from_the_archive = False
        """Whether the mark is what the venue's archive said; the stream knows better."""
        self._doubted: list[Tick] = []
        """Trades in a row that are not believed, but agree with one another."""
        self._resting = False
        self._went_on_ms = 0
        """When recording went on after its last rest, by the venue's time."""

    def take(self, ticks: Sequence[Tick], *, now: float, now_ms: int, latest_ms: int) -> Taken:
        """Audit trades in the order in which they came.

        Args:
            ticks: trades of this instrument.
            now: seconds of the monotonic clock.
            now_ms: the venue's time.
            latest_ms: no honest trade is later.
        """
        sound: list[Tick] = []
        holes: list[Hole] = []
        rejects: list[Reject] = []
        fresh = 0
        for tick in ticks:
            doubted = self._doubted
            wrong = flaw(tick, latest_ms=latest_ms) or self._doubt(tick)
            if wrong:
                rejects.append(Reject(tick.venue, tick.symbol, wrong, repr(tick)))
                continue
            sound.append(tick)
            before = self.mark
            if hole := self._step(tick):
                holes += _without(hole, doubted)
            fresh += self.mark is not before or not self.contiguous
        self.received += len(sound)
        if fresh:
            self.lag_ms = now_ms - sound[-1].time_ms
            self.pulse.beat(now, fresh)
        return Taken(sound, _left(holes, sound), rejects, fresh)

    def interrupt(self, cause: str) -> None:
        """Note why a hole before the next trade would be there, unless that is known."""
        if self.mark and self.mark.cause == MISSED:
            self.mark = self.mark._replace(cause=cause)

    def rest(self, cause: str, *, heard: bool) -> None:
        """Note that nobody listens from now on; `heard` tells whether all that was made until now has come.

        A hole that holds also what was missed before, or since recording went on last, is not one of a stop: its ids do
        not tell when they were made, and to fetch too much is better than to lose what was owed.
        """
        if self.mark:
            self.mark = self.mark._replace(cause=self._cause_of_rest(self.mark.cause, cause, heard=heard))
        self._resting = True

    def _cause_of_rest(self, before: str, cause: str, *, heard: bool) -> str:
        if before == MISSED:
            return cause if heard else CONNECTION_LOST
        if before in (PAUSED, STOPPED) and self._resting:
            return cause
        return STOPPED_AND_MORE if before == STOPPED else before

    def go_on(self, now_ms: int) -> None:
        """Note that recording goes on, by the venue's time."""
        self._resting, self._went_on_ms = False, now_ms

    def advance(self, last_id: int, last_ms: int, cause: str) -> Hole | None:
        """Move on to a trade that the venue says exists; return the hole up to it, if it is beyond the last."""
        mark = self.mark
        if mark is None or last_id <= mark.last_id:
            return None
        self.mark, self._from_the_archive = Mark(last_id, last_ms, cause), True
        return self._hole(mark, last_id, last_ms)

    def begin_at(self, last_id: int, last_ms: int) -> None:
        """Begin after a trade that the venue says exists: what comes later and is not streamed was missed."""
        self.mark, self._from_the_archive = Mark(last_id, last_ms, MISSED), True

    def _step(self, tick: Tick) -> Hole | None:
        """Move on to a trade; return the hole before it, if there is one."""
        mark = self.mark
        if mark is not None and self._from_the_archive and abs(tick.trade_id - mark.last_id) > LONGEST_JUMP:
            mark = None  # the archive's answer was about something else
        if mark is not None and tick.trade_id <= mark.last_id:
            return None
        self.mark, self._from_the_archive = Mark(tick.trade_id, tick.time_ms, MISSED), False
        self.price, self.time_ms = tick.price, tick.time_ms
        if mark is None or tick.trade_id == mark.last_id + 1 or not self.contiguous:
            return None
        return self._hole(mark, tick.trade_id - 1, tick.time_ms)

    def _hole(self, mark: Mark, last_id: int, end_ms: int) -> Hole:
        late = mark.cause == STOPPED and end_ms > self._went_on_ms + SOON_MS
        cause = STOPPED_AND_MORE if late else mark.cause
        return Hole(self.instrument, mark.last_id + 1, last_id, mark.last_ms, end_ms, cause)

    def _doubt(self, tick: Tick) -> str | None:
        """Return why a trade is not believed yet.

        It leaves a hole in the ids, and so the venue is asked for it once more: its record is believed, whatever the
        price. When the stream itself goes on like that, it is believed, too.
        """
        if self.mark is None or self.price is None or not self.contiguous:
            return None
        why = _unlike(tick, self.price, self.mark.last_id, self.mark.last_ms)
        if why is None or (why is UNLIKELY_ID and self._from_the_archive):
            self._doubted = []
            return None
        if self._doubted:
            before = self._doubted[-1]
            if _unlike(tick, before.price, before.trade_id, before.time_ms):
                self._doubted = []
        self._doubted.append(tick)
        if len(self._doubted) < CONFIRMED_BY:
            return why
        first = self._doubted[0]
        if first.trade_id <= self.mark.last_id:
            # The ids began anew, or the first one of all was damaged: go on from here.
            self.mark = Mark(first.trade_id - 1, first.time_ms, MISSED)
        self._doubted = []
        return None


def _without(hole: Hole, doubted: Sequence[Tick]) -> list[Hole]:
    """End the hole of a stop before the trades that came and were not believed: those are asked for once more."""
    inside = [tick for tick in doubted if hole.first_id <= tick.trade_id <= hole.last_id]
    if hole.cause != STOPPED or not inside:
        return [hole]
    first = min(inside, key=lambda tick: tick.trade_id)
    missed = hole._replace(first_id=first.trade_id, start_ms=first.time_ms, cause=MISSED)
    stopped = hole._replace(last_id=first.trade_id - 1, end_ms=first.time_ms)
    return [stopped, missed] if stopped.first_id <= stopped.last_id else [missed]


def _left(holes: list[Hole], sound: Sequence[Tick]) -> list[Hole]:
    """Return the holes that the trades of the same batch do not close themselves: they came in the wrong order."""
    if not holes:
        return holes
    ids = {tick.trade_id for tick in sound}
    return [hole for hole in holes if not all(map(ids.__contains__, range(hole.first_id, hole.last_id + 1)))]


def is_steep(price: float, last: float) -> bool:
    """Tell whether a price is so far from the last one that it may be damaged, or of another symbol."""
    return not last / STEEPEST < price < last * STEEPEST


def _unlike(tick: Tick, price: float, last_id: int, last_ms: int) -> str | None:
    """Return in what a trade differs from what came before it, if it does so much that it may be damaged."""
    if not price / STEEPEST < tick.price < price * STEEPEST:
        return UNLIKELY_PRICE
    if abs(tick.trade_id - last_id) > LONGEST_JUMP:
        return UNLIKELY_ID
    if tick.trade_id > last_id and tick.time_ms < last_ms - MINUTE:
        return UNLIKELY_TIME
    return None
