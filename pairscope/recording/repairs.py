"""Filling gaps: what is missing is asked of the venue, as often as it takes, and what cannot be had is said so."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from market import MAX_ID, Gap, GapState, Hole, Instrument, Reject, Tick, UnknownName, flaw
from pairscope.recording.feed import Feed, Unfillable, VenueError
from pairscope.recording.intake import Intake, pauses
from pairscope.recording.line import STOPPED, is_steep
from store import Store, StoreError

log = logging.getLogger(__name__)

REPAIRS_AT_ONCE = 8

REORDER_SECONDS = 0.5
"""Trades that came in the wrong order close their hole by themselves; so long nothing is asked of the venue."""

TRIES_OF_A_TRADE = 3
"""The store may fail to write a lone trade so often before the trade is taken for the fault."""

REFUSED = "the venue's trades were rejected"
EXPIRED = "older than what the store keeps"
NO_SUCH_TRADES = "the venue has no such trades"


Range = tuple[Instrument, int, int]


def range_of(gap: Gap | Hole) -> Range:
    """Return what ids of which instrument a gap is of."""
    return gap.instrument, gap.first_id, gap.last_id


def _holds(whole: Range, gap: Gap) -> bool:
    """Tell whether a gap is of a range that is being filled: a refill can split it."""
    instrument, first, last = whole
    return gap.instrument == instrument and first <= gap.first_id and gap.last_id <= last


@dataclass(frozen=True, slots=True)
class Effort:
    """What was tried for a gap so far, since this process began."""

    attempts: int
    trouble: str
    """Why the last attempt failed."""


class Repairs:
    """Fills a store's open gaps from a feed, some at a time; belongs to one event loop."""

    def __init__(
        self,
        feed: Feed,
        store: Store,
        intake: Intake,
        *,
        now_ms: Callable[[], int],
        last_price: Callable[[Instrument], float | None],
        refill_trades: int,
        on_abandoned: Callable[[Gap], None],
    ) -> None:
        """Prepare to repair.

        Args:
            feed: what serves the missing trades.
            store: has the ledger of gaps.
            intake: takes the trades.
            now_ms: the venue's time.
            last_price: the last price of an instrument, if there is one yet.
            refill_trades: a larger gap is filled from its newest trades only.
            on_abandoned: is told of each gap that is given up.
        """
        self._feed = feed
        self._store = store
        self._intake = intake
        self._now_ms = now_ms
        self._last_price = last_price
        self._refill_trades = refill_trades
        self._on_abandoned = on_abandoned
        self._slots = asyncio.Semaphore(REPAIRS_AT_ONCE)
        self._failures: Counter[tuple[str, str, int]] = Counter()
        self._doubts: Counter[Range] = Counter()
        self._ranges: set[Range] = set()
        self._efforts: dict[Range, Effort] = {}
        self._bells: dict[Range, asyncio.Event] = {}
        self.tasks: dict[asyncio.Task[None], Gap | Hole] = {}
        self.filled = 0
        self.left_out = 0
        """Gaps that were given up because nobody wanted their trades."""
        self._given_up: set[int] = set()

    def begin(self, gap: Gap | Hole, *, after: float = 0.0) -> None:
        """Fill a gap that the ledger has, unless that is being done already; `after` some seconds."""
        if range_of(gap) not in self._ranges:
            task = asyncio.get_running_loop().create_task(self._repair(gap, after))
            self.tasks[task] = gap
            self._ranges.add(range_of(gap))
            self._bells[range_of(gap)] = asyncio.Event()
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        gap = self.tasks.pop(task)
        self._ranges.discard(range_of(gap))
        self._doubts.pop(range_of(gap), None)
        self._bells.pop(range_of(gap), None)
        self._efforts.pop(range_of(gap), None)

    async def retry(self, gap: Gap) -> None:
        """Fill a gap of the ledger now: one that waits for its next turn waits no longer, one given up is reopened."""
        if gap.state == "abandoned":
            await asyncio.wrap_future(self._store.reopen_gap(gap.key))
            self._given_up.discard(gap.key)
        under_way = [bell for whole, bell in self._bells.items() if _holds(whole, gap)]
        for bell in under_way:
            bell.set()
        if (gap.state == "abandoned" or not under_way) and await self._parts(gap, "open"):
            ending = [task for task, whole in self.tasks.items() if range_of(whole) == range_of(gap)]
            for task in ending:  # it has just given the gap up, and would be taken for the one that fills it
                task.add_done_callback(partial(self._begin_after, gap))
            self.begin(gap)

    def _begin_after(self, gap: Gap, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            self.begin(gap)

    @property
    def given_up(self) -> int:
        """How many gaps this process has given up although their trades were wanted; from any thread."""
        return len(self._given_up)

    def effort(self, gap: Gap) -> Effort | None:
        """Return what was tried for a gap that is being filled; None when nothing failed. From any thread."""
        return next((effort for whole, effort in list(self._efforts.items()) if _holds(whole, gap)), None)

    async def leave_out(self, gap: Gap | Hole) -> None:
        """Leave a gap that the ledger has as it is: nobody wanted its trades. The venue's candles cover it."""
        for pause in pauses():
            try:
                for part in await self._parts(gap, "open"):
                    await self._close(part, gap.cause)
                    self.left_out += 1
            except StoreError as error:
                log.warning("the gap that was wanted is not closed yet: %s", error)
                await asyncio.sleep(pause)
            else:
                return

    def running(self, instrument: Instrument) -> int:
        """Return how many gaps of an instrument are being filled, or wait for their turn."""
        return sum(gap.instrument == instrument for gap in list(self.tasks.values()))

    def give_up(self, instrument: Instrument) -> None:
        """Leave an instrument's gaps as they are: it is not recorded any more."""
        for task, gap in list(self.tasks.items()):
            if gap.instrument == instrument:
                task.cancel()

    async def _repair(self, gap: Gap | Hole, after: float) -> None:
        """Fill one gap, as often as it takes; what the venue does not have is closed with the reason."""
        await asyncio.sleep(after)
        waits, left = pauses(), gap.last_id - gap.first_id + 1
        while True:
            try:
                async with self._slots:
                    return await self._fill(gap)
            except Exception as error:
                self._note(gap, error)
                log.warning(
                    "ids %d to %d of %s are not filled yet: %s", gap.first_id, gap.last_id, gap.instrument, error
                )
            with suppress(Exception):  # the store is as much in trouble as before
                before, left = left, sum(part.last_id - part.first_id + 1 for part in await self._parts(gap, "open"))
                waits = pauses() if left < before else waits
            await self._rest(gap, next(waits))  # without a slot: others can use it

    def _note(self, gap: Gap | Hole, error: Exception) -> None:
        before = self._efforts.get(range_of(gap), Effort(0, ""))
        self._efforts[range_of(gap)] = Effort(before.attempts + 1, str(error))

    async def _rest(self, gap: Gap | Hole, seconds: float) -> None:
        """Wait before the next attempt, unless somebody asks for it now."""
        bell = self._bells[range_of(gap)]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bell.wait()
        bell.clear()

    async def _fill(self, gap: Gap | Hole) -> None:
        while parts := await self._parts(gap, "open"):
            await self._refill(parts[-1], range_of(gap))
        # Read in the ledger, because trades that came late, or a deletion, end a gap too.
        if {part.state for part in await self._parts(gap)} == {"filled"}:
            self.filled += 1

    async def _parts(self, gap: Gap | Hole, state: GapState | None = None) -> list[Gap]:
        """Return what the ledger has inside a range: a refill can split a gap."""
        try:
            ids = (gap.first_id, gap.last_id)
            return list(await asyncio.to_thread(self._store.gaps, gap.instrument, state=state, ids=ids))
        except UnknownName:  # the symbol was deleted
            return []

    async def _refill(self, gap: Gap, whole: Range) -> None:
        """Fetch and store what the venue has of one open gap, and close the rest."""
        lost = None
        newest, too_large = self._allowed(gap)
        try:
            async for piece in self._feed.refill(newest):
                if not await self._parts(gap, "open"):
                    return  # the symbol was deleted: its trades must not come back
                self._doubt(piece, newest, whole)
                sound = self._intake.screen_refill(piece, newest, now_ms=self._now_ms())
                lost = await self._store_piece(sound) or (REFUSED if len(sound) < len(piece) else lost)
        except Unfillable as error:
            lost = str(error)
        parts = await self._parts(gap, "open")
        reasons = [lost or (too_large if part.first_id < newest.first_id else "") for part in parts]
        # One commit has room for all.
        await asyncio.gather(*map(self._close, parts, reasons))

    def _doubt(self, piece: Sequence[Tick], gap: Gap, whole: Range) -> None:
        """Believe prices far from the last one only when the venue repeats them: the page may be another symbol's.

        Raises:
            VenueError: when they are to be asked for once more.
        """
        last = self._last_price(gap.instrument)
        prices = [tick.price for tick in piece if flaw(tick, latest_ms=MAX_ID) is None]
        if last is None or not any(is_steep(price, last) for price in prices):
            return
        self._doubts[whole] += 1
        if self._doubts[whole] < TRIES_OF_A_TRADE:
            raise VenueError("the venue's prices are far from the last one; they are asked for once more")

    def _allowed(self, gap: Gap) -> tuple[Gap, str]:
        """Return what of a gap is fetched, and why the rest of it is not."""
        size = gap.last_id - gap.first_id + 1
        if size <= self._refill_trades:
            return gap, ""
        reason = f"{size:,} trades are missing, more than refill_trades = {self._refill_trades:,}"
        return replace(gap, first_id=gap.last_id - self._refill_trades + 1), reason

    async def _store_piece(self, ticks: Sequence[Tick]) -> str | None:
        """Store trades; return why some are not, if so.

        Raises:
            Unfillable: when all are older than what the store keeps, and so are those before them.
        """
        if not ticks:
            return None
        try:
            expired = (await self._intake.append_when_there_is_room(ticks)).expired
        except Exception as error:
            if len(ticks) == 1:
                return self._give_up(ticks[0], error)
            middle = len(ticks) // 2  # one trade must not keep the others out
            newer = await self._store_piece(ticks[middle:])
            return await self._store_piece(ticks[:middle]) or newer
        if expired == len(ticks):
            raise Unfillable(EXPIRED)
        return EXPIRED if expired else None

    def _give_up(self, tick: Tick, error: Exception) -> str:
        """Reject a trade that the store failed to write several times; until then raise the error."""
        self._failures[tick[:3]] += 1
        if self._failures[tick[:3]] < TRIES_OF_A_TRADE:
            raise error
        del self._failures[tick[:3]]
        self._intake.refuse([Reject(tick.venue, tick.symbol, "the store cannot write it", f"{tick!r}: {error}")])
        return REFUSED

    async def _close(self, part: Gap, lost: str) -> None:
        """End what is left of a gap; `lost` says why the trades cannot be had, if there are any."""
        reason = lost or NO_SUCH_TRADES
        log.warning("ids %d to %d of %s: %s", part.first_id, part.last_id, part.instrument, reason)
        await asyncio.wrap_future(self._store.close_gap(part.key, "abandoned" if lost else "empty", reason))
        if lost:
            if part.cause != STOPPED:
                self._given_up.add(part.key)
            self._on_abandoned(part)
