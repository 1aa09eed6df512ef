"""Recorded trades, replayed as if they happened now."""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice

from ingest import Batch, Offline, Unfillable
from market import MINUTE, Gap, Instrument, Label, Tick, WrongUse

BATCH = 1_000
_STEP_S = 0.01  # at high speeds, one batch every 10 ms instead of one wake-up a trade
_LONGEST_PAUSE_S = 3_600.0
_STRAY_MS = MINUTE  # trades of one recording come in order but for fractions of a second


class Replay(Offline):
    """A feed of recorded trades, in recorded order and paced by their recorded times (UTC milliseconds).

    A second `stream()` goes on where the first stopped: a recording is replayed once.

    Args:
        sources: one or more recordings, each in time order; several are merged by time. They may block: a thread
            reads them.
        instruments: what the recordings hold, as `instruments_of` finds it; it must be known before they are replayed.
        speed: how many times as fast as recorded; ``math.inf`` is as fast as possible.
        contiguous: whether the ids of *all* recordings rise by one, so that a jump is a hole and its bars are marked.
            False suits what is not known: ids made up at import jump, and raw futures trades lose ids to prints that
            are not market trades.
        max_pause_s: the longest silence, in seconds as the replay runs. A broken time stamp would end it otherwise.
    """

    def __init__(
        self,
        *sources: Iterable[Tick],
        instruments: Iterable[Instrument],
        speed: float = 1.0,
        contiguous: bool = False,
        max_pause_s: float = _LONGEST_PAUSE_S,
    ) -> None:
        if not speed > 0:
            raise WrongUse(f"the speed of a replay is a number above 0 (1 is as recorded), not {speed}")
        if not max_pause_s >= 0:
            raise WrongUse(f"the longest pause of a replay is 0 seconds or more, not {max_pause_s}")
        self._recording = heapq.merge(*sources, key=_time_ms)
        self._speed, self._max_pause_s = speed, max_pause_s
        self._instruments, self._contiguous = tuple(instruments), contiguous
        self._ahead: deque[Tick] = deque()

    @property
    def label(self) -> Label:
        return "REPLAY"

    @property
    def venue(self) -> str:
        return self._instruments[0].venue

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        return self._instruments

    @property
    def contiguous(self) -> bool:
        return self._contiguous

    async def stream(self) -> AsyncIterator[Batch]:
        """Yield the trades when they are due, never early; a reader that fell behind gets them at once."""
        clock = asyncio.get_running_loop().time
        due_s, mark_ms = clock(), None
        while await self._read_ahead():
            batch, now_s = list[Tick](), clock()
            while self._ahead and len(batch) < BATCH:
                next_s = due_s + self._pause_s(mark_ms, self._ahead[0].time_ms)
                if next_s > now_s:
                    break
                batch.append(self._ahead.popleft())
                due_s, mark_ms = next_s, _mark(mark_ms, batch[-1].time_ms)
            if batch:
                yield Batch(batch)
            early_s = next_s - clock()
            await asyncio.sleep(max(early_s, _STEP_S) if early_s > 0 else 0)

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return None: a recording begins where it begins."""
        return None

    async def newest(self, instrument: Instrument, *, urgent: bool = True) -> tuple[int, int] | None:
        """Return None: nothing has happened that is not going to be replayed."""
        return None

    def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        raise Unfillable("a recording cannot be refilled")

    async def _read_ahead(self) -> bool:
        """Return whether there is a trade to come."""
        if not self._ahead:
            self._ahead.extend(await asyncio.to_thread(lambda: list(islice(self._recording, BATCH))))
        return bool(self._ahead)

    def _pause_s(self, mark_ms: int | None, time_ms: int) -> float:
        if mark_ms is None or time_ms <= mark_ms:
            return 0.0
        return min((time_ms - mark_ms) / 1000 / self._speed, self._max_pause_s)


def instruments_of(*sources: Iterable[Tick]) -> tuple[Instrument, ...]:
    """Read recordings to their end, and return what they hold in order of appearance."""
    return tuple(dict.fromkeys(tick.instrument for source in sources for tick in source))


def _mark(mark_ms: int | None, time_ms: int) -> int:
    """Return the time that the next pause counts from: the latest, unless that was a stray far in the future."""
    if mark_ms is None or time_ms > mark_ms or mark_ms - time_ms > _STRAY_MS:
        return time_ms
    return mark_ms


def _time_ms(tick: Tick) -> int:
    return tick.time_ms
