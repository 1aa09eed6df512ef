"""Recording: from a feed's trades to the store, audited by id.

FeedError (market.PairscopeError)
└── Unfillable                 the venue does not serve the missing trades, and says why
"""

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from market import MINUTE, Gap, Hole, Instrument, Label, PairscopeError, Reject, Tick, flaw
from store import Appended, Store, StoreBusy

log = logging.getLogger(__name__)

CLOCKS_MAY_DIFFER_MS = MINUTE
"""A trade may be this far ahead of our clock before it is taken for wrong."""

LIVE_SECONDS = 5.0
"""No price older than this is shown as live."""

RATE_SECONDS = 60
REPAIRS_AT_ONCE = 8
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two tries of a feed that fails: at first, and when it fails again and again."""


class FeedError(PairscopeError):
    """A feed cannot do what it was asked to."""


class Unfillable(FeedError):
    """The trades of a gap cannot be had; the message is the reason that the ledger keeps."""


class Feed(Protocol):
    """One source of trades. Its methods run on the ingestor's event loop and never block it."""

    @property
    def label(self) -> Label:
        """What the views call this source."""

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """What the feed streams."""

    @property
    def contiguous(self) -> bool:
        """Whether ids rise by one from trade to trade, so that a jump is a hole."""

    def stream(self) -> AsyncIterator[Sequence[Tick]]:
        """Yield trades as they happen, in small batches; ends only when the source ends."""

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return id and time of the trade to begin with when nothing is stored yet, or None for "from now on"."""

    async def newest(self, instrument: Instrument) -> tuple[int, int] | None:
        """Return id and time of the newest trade, so that what came before it is fetched at once; None: not known."""

    def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        """Yield the trades of `gap`, newest piece first; what it does not yield does not exist.

        Raises:
            Unfillable: when the venue no longer serves them.
        """


SymbolState = Literal["waiting", "live", "quiet", "stale"]
"""`quiet`: no trade for a while, but not unusually long for this symbol; `stale`: unusually long."""

FeedState = Literal["starting", "streaming", "failing", "ended", "stopped"]


@dataclass(frozen=True, slots=True)
class SymbolHealth:
    """How one symbol's recording does; the age is by a monotonic clock, None before the first trade."""

    instrument: Instrument
    state: SymbolState
    last_price: float | None
    last_time_ms: int | None
    age_seconds: float | None
    lag_ms: int | None
    """From the trade's time at the exchange to its arrival here, by two clocks."""
    trades_per_second: float
    received: int
    repairing: int
    """Gaps that are being filled now."""


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """How recording does, at one moment."""

    label: Label
    state: FeedState
    message: str
    symbols: tuple[SymbolHealth, ...]
    received: int
    stored: int
    duplicates: int
    rejected: dict[str, int]
    dropped: int
    """Trades that memory had no room for while the disk did not take them; they became gaps."""
    gaps_filled: int
    reconnects: int


@dataclass(slots=True)
class _Line:
    """What is known of one instrument's stream: the audit by id, and the pulse."""

    last_id: int | None = None
    last_ms: int = 0
    cause: str = "restart"
    """What a hole before the next trade would come from."""
    price: float | None = None
    seen: float = 0.0
    lag_ms: int = 0
    received: int = 0
    repairing: int = 0
    pulse: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=RATE_SECONDS))
    """Trades by second of the monotonic clock."""


class Ingestor:
    """Streams one feed into a store, on a thread with an event loop of its own."""

    def __init__(
        self, feed: Feed, store: Store, *, clock: Callable[[], int], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare to record.

        Args:
            feed: where trades come from.
            store: where they go.
            clock: gives the time in epoch milliseconds.
            monotonic: gives seconds that never jump, for ages.
        """
        self._feed = feed
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._begun = monotonic()
        self._lines = {instrument: _Line() for instrument in feed.instruments}
        self._rejected: Counter[str] = Counter()
        self._received = self._stored = self._duplicates = self._dropped = self._filled = self._reconnects = 0
        self._state: FeedState = "starting"
        self._message = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._stop_asked = False
        self._repairs = asyncio.Semaphore(REPAIRS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.ended = threading.Event()
        """Set when the feed has no more trades, or recording was stopped."""

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

    def stop(self) -> None:
        """End recording; what was received is left to the store to write."""
        self._stop_asked = True
        if self._loop:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._cancel)
        if self._thread.is_alive():
            self._thread.join()

    def _cancel(self) -> None:
        if self._main:
            self._main.cancel()

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                runner.run(self._record())
        finally:
            self.ended.set()

    async def _record(self) -> None:
        self._main = asyncio.current_task()
        if self._stop_asked:
            return
        try:
            await self._prepare()
            await self._stream_for_ever()
            await self._append_when_there_is_room([])  # all before it is committed, and its holes are known
            while self._tasks:
                await asyncio.wait(self._tasks)
            self._state = "ended"
        except asyncio.CancelledError:
            self._state = "stopped"
        finally:
            for task in self._tasks:
                task.cancel()

    async def _prepare(self) -> None:
        """Find where each instrument's ids go on, and take up the gaps that were left open."""
        stored = await asyncio.to_thread(self._store.last_ids)
        for gap in await asyncio.to_thread(self._store.gaps, state="open"):
            if gap.instrument in self._lines:
                self._repair_soon(gap.key)
        for instrument, line in self._lines.items():
            if instrument in stored:
                line.last_id, line.last_ms = stored[instrument]
            elif (earliest := await self._feed.earliest(instrument)) is not None:
                line.last_id, line.last_ms, line.cause = earliest[0] - 1, earliest[1], "history"
            await self._catch_up(instrument, line)

    async def _catch_up(self, instrument: Instrument, line: _Line) -> None:
        """Open the hole up to the present now: a quiet symbol's next trade may be minutes away."""
        if line.last_id is None or (newest := await self._feed.newest(instrument)) is None or newest[0] <= line.last_id:
            return
        hole = Hole(instrument, line.last_id + 1, newest[0], line.last_ms, newest[1], line.cause)
        self._store.append([], holes=[hole]).add_done_callback(self._count)
        (line.last_id, line.last_ms), line.cause = newest, "missed at the start"

    async def _stream_for_ever(self) -> None:
        """Stream until the source ends; a stream that breaks is begun again, after a pause that grows."""
        pause = FIRST_PAUSE
        while True:
            try:
                async for batch in self._feed.stream():
                    self._state, self._message, pause = "streaming", "", FIRST_PAUSE
                    self._take(batch)
            except Exception as error:
                log.exception("the stream broke; it is begun again in %.0f s", pause)
                self._state, self._message = "failing", f"{error}; trying again in {pause:.0f} s"
                self._reconnects += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                for line in self._lines.values():
                    line.cause = "stream broke"
            else:
                return

    def _take(self, batch: Sequence[Tick]) -> None:
        """Look every trade over, audit the ids, and hand what is sound to the store."""
        latest = self._clock() + CLOCKS_MAY_DIFFER_MS
        sound: list[Tick] = []
        rejects: list[Reject] = []
        for tick in batch:
            wrong = flaw(tick, latest_ms=latest) if tick[:2] in self._lines else "symbol was not asked for"
            if wrong is None:
                sound.append(tick)
            else:
                rejects.append(Reject(tick.venue, tick.symbol, wrong, repr(tick)))
        self._received += len(batch)
        self._pass_on(sound)
        if rejects:
            self._refuse(rejects)

    def _pass_on(self, ticks: list[Tick]) -> None:
        before = {instrument: (line.last_id, line.last_ms, line.cause) for instrument, line in self._lines.items()}
        holes = [hole for tick in ticks if (hole := self._audit(tick))]
        try:
            future = self._store.append(ticks, holes=holes)
        except StoreBusy as error:
            # As if they had not come: the next trade that is taken finds the hole.
            for instrument, (last_id, last_ms, _) in before.items():
                line = self._lines[instrument]
                line.last_id, line.last_ms, line.cause = last_id, last_ms, "memory was full"
            self._dropped += len(ticks)
            self._message = str(error)
            return
        future.add_done_callback(self._count)

    def _audit(self, tick: Tick) -> Hole | None:
        """Note a trade; return the hole before it, if there is one."""
        line = self._lines[tick.instrument]
        self._feel_pulse(line, tick)
        last_id, last_ms, cause = line.last_id, line.last_ms, line.cause
        if last_id is not None and tick.trade_id <= last_id:
            return None
        line.last_id, line.last_ms, line.cause = tick.trade_id, tick.time_ms, "missed in the stream"
        if last_id is None or tick.trade_id == last_id + 1 or not self._feed.contiguous:
            return None
        return Hole(tick.instrument, last_id + 1, tick.trade_id - 1, last_ms, tick.time_ms, cause)

    def _feel_pulse(self, line: _Line, tick: Tick) -> None:
        line.seen = self._monotonic()
        line.price, line.received = tick.price, line.received + 1
        line.lag_ms = self._clock() - tick.time_ms
        second = int(line.seen)
        count = line.pulse.pop()[1] if line.pulse and line.pulse[-1][0] == second else 0
        line.pulse.append((second, count + 1))

    def _refuse(self, rejects: list[Reject]) -> None:
        self._rejected.update(reject.reason for reject in rejects)
        log.warning("%d trades were rejected, the first: %s", len(rejects), rejects[0])
        with suppress(StoreBusy):  # they stay counted here
            self._store.reject(rejects)

    def _count(self, future: "Future[Appended]") -> None:
        """Take note of a commit; called on the store's writer thread."""
        if future.exception() is not None:
            log.error("a batch was not stored: %s", future.exception())
            return
        appended = future.result()
        self._stored += appended.stored
        self._duplicates += appended.duplicates
        for key in appended.gaps:
            with suppress(RuntimeError):  # the loop has ended: the gap is taken up at the next start
                self._running_loop().call_soon_threadsafe(self._repair_soon, key)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("recording has not begun")
        return self._loop

    def _repair_soon(self, key: int) -> None:
        task = self._running_loop().create_task(self._repair(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repair(self, key: int) -> None:
        """Fill one gap, as often as it takes; what the venue does not have is closed with the reason."""
        pause = FIRST_PAUSE
        async with self._repairs:
            while gap := await self._open_gap(key):
                line = self._lines[gap.instrument]
                line.repairing += 1
                try:
                    await self._refill(gap)
                except Exception as error:
                    log.warning("gap %d of %s is not filled yet: %s", key, gap.instrument, error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    self._filled += 1
                    return
                finally:
                    line.repairing -= 1

    async def _open_gap(self, key: int) -> Gap | None:
        gaps = await asyncio.to_thread(self._store.gaps, state="open")
        return next((gap for gap in gaps if gap.key == key), None)

    async def _refill(self, gap: Gap) -> None:
        try:
            async for piece in self._feed.refill(gap):
                self._received += len(piece)
                await self._append_when_there_is_room(piece)
        except Unfillable as error:
            await self._close_rest(gap, "abandoned", str(error))
        else:
            await self._close_rest(gap, "empty", "the venue has no such trades")

    async def _append_when_there_is_room(self, ticks: Sequence[Tick]) -> None:
        while True:
            try:
                future = self._store.append(ticks)
            except StoreBusy:
                await asyncio.sleep(1.0)
            else:
                future.add_done_callback(self._count)  # counts also when recording is stopped before it is written
                await asyncio.wrap_future(future)
                return

    async def _close_rest(self, gap: Gap, state: Literal["abandoned", "empty"], reason: str) -> None:
        for left in await asyncio.to_thread(self._store.gaps, gap.instrument, state="open"):
            if gap.first_id <= left.first_id and left.last_id <= gap.last_id:
                log.warning("ids %d to %d of %s: %s", left.first_id, left.last_id, left.instrument, reason)
                await asyncio.wrap_future(self._store.close_gap(left.key, state, reason))

    def health(self) -> FeedHealth:
        """Return how recording does now."""
        return FeedHealth(
            label=self._feed.label,
            state=self._state,
            message=self._message,
            symbols=tuple(self._symbol_health(*item) for item in self._lines.items()),
            received=self._received,
            stored=self._stored,
            duplicates=self._duplicates,
            rejected=dict(self._rejected),
            dropped=self._dropped,
            gaps_filled=self._filled,
            reconnects=self._reconnects,
        )

    def _symbol_health(self, instrument: Instrument, line: _Line) -> SymbolHealth:
        now = self._monotonic()
        age = now - line.seen if line.received else None
        return SymbolHealth(
            instrument=instrument,
            state=_state(age, self._rate(line, line.seen)),
            last_price=line.price,
            last_time_ms=line.last_ms if line.received else None,
            age_seconds=age,
            lag_ms=line.lag_ms if line.received else None,
            trades_per_second=self._rate(line, now),
            received=line.received,
            repairing=line.repairing,
        )

    def _rate(self, line: _Line, until: float) -> float:
        """Return trades per second over the minute before a moment, or since the beginning."""
        watched = min(until - self._begun, float(RATE_SECONDS))
        return sum(count for second, count in list(line.pulse) if second > until - RATE_SECONDS) / max(watched, 1.0)


def _state(age: float | None, pace: float) -> SymbolState:
    """Judge silence by the symbol's own pace: twenty times the mean pause is unusual (e^-20 if trades are Poisson)."""
    if age is None:
        return "waiting"
    if age <= LIVE_SECONDS:
        return "live"
    return "quiet" if age * pace <= 20 else "stale"
