"""Recording: from feeds to the store, audited by id, on a thread with an event loop of its own.

The pieces stand in pairscope/recording/ and are to be had from here; the errors are drawn in its feed.py.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from market import Gap, GapState, Instrument, WrongUse
from pairscope.recording.channel import Channel
from pairscope.recording.feed import Batch, Feed, FeedError, FeedStatus, Offline, Unfillable, VenueError
from pairscope.recording.health import (
    LIVE_SECONDS,
    FeedHealth,
    FeedState,
    Resting,
    SymbolHealth,
    SymbolState,
    VenueHealth,
)
from pairscope.recording.intake import Intake
from pairscope.recording.lag import LagMeter
from pairscope.recording.repairs import Effort, Repairs
from store import Store, StoreError

__all__ = [
    "LIVE_SECONDS",
    "Batch",
    "Effort",
    "Feed",
    "FeedError",
    "FeedHealth",
    "FeedState",
    "FeedStatus",
    "Ingestor",
    "Intake",
    "Offline",
    "Repairs",
    "Resting",
    "SymbolHealth",
    "SymbolState",
    "Unfillable",
    "VenueError",
    "VenueHealth",
]

log = logging.getLogger(__name__)

REFILL_TRADES = 2_000_000
LAST_COMMITS_SECONDS = 2.0
"""How long recording that is told to stop waits to count what the store still writes."""

AGAIN_SECONDS = 1.0
"""After this long a task that broke is begun again."""

COUNT_SECONDS = 2.0
"""So often the gaps of the ledger are counted."""

CHANGE_SECONDS = 10.0
"""How long a change of what is recorded may take."""

WORST_FIRST: tuple[FeedState, ...] = (
    "failing",
    "refused",
    "disconnected",
    "starting",
    "stopped",
    "paused",
    "streaming",
    "ended",
)


class Ingestor:
    """Streams feeds into a store, on a thread with an event loop of its own."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        store: Store,
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        refill_trades: int = REFILL_TRADES,
    ) -> None:
        """Prepare to record.

        Args:
            feeds: where trades come from, one for each venue.
            store: where they go.
            clock: gives the time in epoch milliseconds.
            monotonic: gives seconds that never jump, for ages.
            refill_trades: a larger gap is filled from its newest trades only.
        """
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._refill_trades = refill_trades
        self._intake = Intake(store)
        self._channels = [self._channel(feed) for feed in feeds]
        self._runs: set[asyncio.Task[None]] = set()
        self._rest: Resting | None = None
        self._lag = LagMeter(time.monotonic)
        self._gaps: Mapping[GapState, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._stop_asked = False
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.ended = threading.Event()
        """Set when the feeds have no more trades, or recording was stopped."""

    def _channel(self, feed: Feed) -> Channel:
        return Channel(
            feed,
            self._store,
            self._intake,
            clock=self._clock,
            monotonic=self._monotonic,
            refill_trades=self._refill_trades,
        )

    def start(self) -> None:
        """Begin to record; what is recorded can be changed from now on."""
        self._thread.start()
        self._begun.wait()

    def stop(self) -> None:
        """End recording; what was received is left to the store to write."""
        self._stop_asked = True
        if self._loop and self._main:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._main.cancel)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._begun.set()
                runner.run(self._record())
        finally:
            self._begun.set()
            self.ended.set()

    async def _record(self) -> None:
        self._main = asyncio.current_task()
        if self._stop_asked:
            return
        beside = [asyncio.create_task(_for_ever(work)) for work in (self._lag.run, self._count_gaps)]
        try:
            for channel in self._channels:
                self._begin(channel)
            while self._runs:
                await asyncio.wait(self._runs, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for run in self._runs:
                run.cancel()
            await asyncio.wait([*self._runs, asyncio.create_task(self._wait_for_commits())])
        finally:
            for task in beside:
                task.cancel()

    async def _count_gaps(self) -> None:
        """Look into the ledger of gaps from time to time."""
        while True:
            with suppress(StoreError):  # it is slow or being replaced: the next look may do
                self._gaps = await asyncio.to_thread(self._store.gap_counts)
            await asyncio.sleep(COUNT_SECONDS)

    def _begin(self, channel: Channel) -> None:
        run = asyncio.get_running_loop().create_task(channel.run())
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)

    async def _wait_for_commits(self) -> None:
        """Count what the store still writes, and enter holes where it failed, but do not wait for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMITS_SECONDS):
                while unfinished := [each for channel in self._channels for each in channel.unfinished]:
                    await asyncio.wait(unfinished)
        for commit in list(self._intake.pending):
            commit.cancel()  # the store writes it all the same, but must not call a loop that is closed

    # ---------------------------------------------------------------------- changes while running

    @property
    def venues(self) -> tuple[str, ...]:
        """The venues that are recorded."""
        return tuple(channel.feed.venue for channel in self._channels)

    def add(self, instrument: Instrument) -> None:
        """Record one more; the others go on undisturbed.

        Raises:
            WrongUse: when its venue is not recorded or does not have it.
        """
        self._change(self._find(instrument).add(instrument))

    def remove(self, instrument: Instrument) -> None:
        """Record one less; what is stored of it stays.

        Raises:
            WrongUse: when it is not recorded.
        """
        channel = self._find(instrument)
        if instrument not in channel.lines:
            raise WrongUse(f"{instrument} is not being recorded")

        async def leave() -> None:
            channel.remove(instrument)

        self._change(leave())

    def add_feed(self, feed: Feed) -> None:
        """Record one more venue."""

        async def begin() -> None:
            channel = self._channel(feed)
            if self._rest:
                await channel.rest(self._rest)
            self._channels.append(channel)
            self._begin(channel)

        self._change(begin())

    @property
    def resting(self) -> Resting | None:
        """Why nothing is recorded now; None while recording goes on."""
        return self._rest

    def rest(self, why: Resting) -> None:
        """Let go of all venues until `go_on`: what is missed then is fetched after a pause, and left out after a stop.

        When in doubt it is fetched: what was owed before a stop lies in one hole with what the stop missed, and so does
        what was made while the venue was not reached after it.

        Raises:
            WrongUse: when nothing is being recorded.
        """

        async def let_go() -> None:
            self._rest = why
            await asyncio.gather(*(channel.rest(why) for channel in self._channels))

        self._change(let_go())

    def go_on(self) -> None:
        """Record again."""

        async def begin() -> None:
            self._rest = None
            for channel in self._channels:
                channel.go_on()

        self._change(begin())

    def repair(self, gaps: Sequence[Gap]) -> None:
        """Ask the venues for these gaps now, also for those that were given up.

        Raises:
            WrongUse: when the venue of one is not recorded.
        """
        asked = [(self._find(gap.instrument), gap) for gap in gaps]

        async def ask() -> None:
            await asyncio.gather(*(channel.repair(gap) for channel, gap in asked))

        self._change(ask())

    def effort(self, gap: Gap) -> Effort | None:
        """Tell what was tried for a gap that is being filled; None when nothing failed, or nobody fills it."""
        found = (channel.repairs.effort(gap) for channel in list(self._channels))
        return next(filter(None, found), None)

    def now_ms(self, venue: str) -> int:
        """Return the time at a venue, as well as it is known; this machine's for one that is not recorded."""
        known = (channel.now_ms() for channel in self._channels if channel.feed.venue == venue)
        return next(known, self._clock())

    def listing(self, venue: str) -> Mapping[str, str]:
        """Return the venue's symbols with their status (empty: it trades), as far as they are known."""
        return next((each.feed.symbols() for each in self._channels if each.feed.venue == venue), {})

    def _find(self, instrument: Instrument) -> Channel:
        for channel in self._channels:
            if channel.feed.venue == instrument.venue:
                return channel
        raise WrongUse(f"{instrument.venue} is not being recorded; recorded are: {', '.join(self.venues)}")

    def _change(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None or not self._thread.is_alive():
            work.close()
            raise WrongUse("nothing is being recorded")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CHANGE_SECONDS)

    # -------------------------------------------------------------------------------------- health

    def health(self) -> FeedHealth:
        """Return how recording does now; from any thread."""
        channels = list(self._channels)
        venues = tuple(channel.health() for channel in channels)
        worst = min(venues, key=lambda each: WORST_FIRST.index(each.state))
        return FeedHealth(
            label=worst.label,
            state=worst.state,
            message=worst.message or next((each.message for each in venues if each.message), ""),
            symbols=tuple(symbol for channel in channels for symbol in channel.symbols_health()),
            venues=venues,
            received=self._intake.received,
            stored=self._intake.stored,
            duplicates=self._intake.duplicates,
            rejected=dict(self._intake.rejected),
            dropped=sum(channel.dropped for channel in channels) + sum(each.status.dropped for each in venues),
            gaps_filled=sum(channel.repairs.filled for channel in channels),
            gaps_open=self._gaps.get("open", 0),
            gaps_abandoned=self._gaps.get("abandoned", 0),
            gaps_left_out=sum(channel.repairs.left_out for channel in channels),
            reconnects=sum(each.status.reconnects for each in venues),
            queue=sum(each.status.queue for each in venues),
            loop_lag_ms=self._lag.worst_ms,
            gaps_given_up=sum(channel.repairs.given_up for channel in channels),
        )


async def _for_ever(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something that never ends, and begin it anew when it breaks."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("a task beside recording broke; it is begun again")
        await asyncio.sleep(AGAIN_SECONDS)
