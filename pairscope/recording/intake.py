"""Handing trades to a store, and counting what becomes of them."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress

from market import MINUTE, Gap, Hole, Reject, Tick, flaw
from store import Appended, Store, StoreBusy

log = logging.getLogger(__name__)

CLOCKS_MAY_DIFFER_MS = MINUTE
"""A trade may be this far ahead of the venue's clock, as we know it, before it is taken for wrong."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two tries of what fails: at first, and when it fails again and again."""

ROOM_PAUSE = 1.0

NOT_ASKED = "the venue sent what was not asked for"


def pauses() -> Iterator[float]:
    """Yield the seconds to wait after one failure in a row, two, three, and so on."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


class Intake:
    """Hands trades to a store and counts what becomes of them; belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.received = self.stored = self.duplicates = 0
        self.rejected: Counter[str] = Counter()
        self.pending: set[asyncio.Future[Appended]] = set()
        """Commits that are still to come, also those of repairs that were cancelled."""

    def screen_refill(self, piece: Sequence[Tick], gap: Gap, *, now_ms: int) -> list[Tick]:
        """Return the sound trades of a refilled gap, and reject the others."""
        latest = now_ms + CLOCKS_MAY_DIFFER_MS
        sound: list[Tick] = []
        rejects: list[Reject] = []
        for tick in piece:
            wrong = _fault(tick, gap, latest)
            if wrong is None:
                sound.append(tick)
            else:
                rejects.append(Reject(tick.venue, tick.symbol, wrong, repr(tick)))
        self.received += len(piece)
        self.refuse(rejects)
        return sound

    def refuse(self, rejects: Sequence[Reject]) -> None:
        """Count rejected trades and enter them into the ledger."""
        if not rejects:
            return
        self.rejected.update(reject.reason for reject in rejects)
        log.warning("%d trades were rejected, the first: %s", len(rejects), rejects[0])
        with suppress(StoreBusy):  # they stay counted here
            self._store.reject(rejects)

    def append(self, ticks: Sequence[Tick], holes: Sequence[Hole] = ()) -> "asyncio.Future[Appended]":
        """Hand trades and holes to the store; the future is done on the loop, after the commit was counted.

        Raises:
            StoreBusy: when there is no room; nothing was taken.
        """
        commit = asyncio.wrap_future(self._store.append(ticks, holes=holes))
        self.pending.add(commit)
        commit.add_done_callback(self._count)
        return commit

    async def append_when_there_is_room(self, ticks: Sequence[Tick], holes: Sequence[Hole] = ()) -> Appended:
        """Wait for room, then for the commit."""
        while True:
            try:
                commit = self.append(ticks, holes)
            except StoreBusy:
                await asyncio.sleep(ROOM_PAUSE)
            else:
                return await asyncio.shield(commit)  # it is counted also when nobody waits for it any more

    def _count(self, commit: "asyncio.Future[Appended]") -> None:
        self.pending.discard(commit)
        if commit.cancelled():
            return
        if error := commit.exception():
            log.error("a batch was not stored: %r", error)
            return
        self.stored += commit.result().stored
        self.duplicates += commit.result().duplicates


def _fault(tick: Tick, gap: Gap, latest_ms: int) -> str | None:
    if tick[:2] != gap.instrument or not gap.first_id <= tick.trade_id <= gap.last_id:
        return NOT_ASKED
    return flaw(tick, latest_ms=latest_ms)
