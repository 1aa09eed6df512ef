"""Recording: from a feed's trades to the store, audited by id.

FeedError (market.PairscopeError)
└── Unfillable                 the venue does not serve the missing trades, and says why
"""

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from market import MINUTE, Gap, GapState, Hole, Instrument, Label, PairscopeError, Reject, Tick, flaw
from store import Appended, Store, StoreBusy, StoreError

log = logging.getLogger(__name__)

CLOCKS_MAY_DIFFER_MS = MINUTE
"""A trade may be this far ahead of our clock before it is taken for wrong."""

LIVE_SECONDS = 5.0
"""No price older than this is shown as live."""

RATE_SECONDS = 60
REPAIRS_AT_ONCE = 8
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two tries of what fails: at first, and when it fails again and again."""

ROOM_PAUSE = 1.0
LAST_COMMITS_SECONDS = 2.0
"""How long recording that is told to stop waits to count what the store still writes."""

TRIES_OF_A_TRADE = 3
"""The store may fail to write a lone trade so often before the trade is taken for the fault."""

NOT_ASKED = "the venue sent what was not asked for"
REFUSED = "the venue's trades were rejected"
EXPIRED = "older than what the store keeps"


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
    """Streamed trades that the store had no room for or could not write; they became gaps."""
    gaps_filled: int
    """Gaps whose trades are all stored now; not those that were closed with a reason."""
    reconnects: int


def _inside(part: Gap | Hole, whole: Gap | Hole) -> bool:
    return part.instrument == whole.instrument and whole.first_id <= part.first_id and part.last_id <= whole.last_id


def _pauses() -> Iterator[float]:
    """Yield the seconds to wait after one failure in a row, two, three, and so on."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


class Intake:
    """Looks trades over, hands them to a store and counts what becomes of them; belongs to one event loop."""

    def __init__(self, instruments: Sequence[Instrument], store: Store, *, clock: Callable[[], int]) -> None:
        self._instruments = frozenset(instruments)
        self._store = store
        self._clock = clock
        self.received = self.stored = self.duplicates = 0
        self.rejected: Counter[str] = Counter()
        self.pending: set[asyncio.Future[Appended]] = set()
        """Commits that are still to come, also those of repairs that were cancelled."""

    def screen(self, batch: Sequence[Tick], *, asked: Gap | None = None) -> list[Tick]:
        """Return the sound trades and reject the others; `asked` is the gap that they are to fill, if any."""
        latest = self._clock() + CLOCKS_MAY_DIFFER_MS
        sound: list[Tick] = []
        rejects: list[Reject] = []
        for tick in batch:
            wrong = self._fault(tick, asked, latest)
            if wrong is None:
                sound.append(tick)
            else:
                rejects.append(Reject(tick.venue, tick.symbol, wrong, repr(tick)))
        self.received += len(batch)
        if rejects:
            self.refuse(rejects)
        return sound

    def _fault(self, tick: Tick, asked: Gap | None, latest_ms: int) -> str | None:
        if asked is None:
            return flaw(tick, latest_ms=latest_ms) if tick[:2] in self._instruments else "symbol was not asked for"
        if tick[:2] != asked.instrument:
            return NOT_ASKED
        wrong = flaw(tick, latest_ms=latest_ms)
        return wrong or (None if asked.first_id <= tick.trade_id <= asked.last_id else NOT_ASKED)

    def refuse(self, rejects: Sequence[Reject]) -> None:
        """Count rejected trades and enter them into the ledger."""
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


class Repairs:
    """Fills a store's open gaps from a feed, some at a time; belongs to one event loop."""

    def __init__(self, feed: Feed, store: Store, intake: Intake) -> None:
        self._feed = feed
        self._store = store
        self._intake = intake
        self._slots = asyncio.Semaphore(REPAIRS_AT_ONCE)
        self._failures: Counter[tuple[str, str, int]] = Counter()
        self.tasks: dict[asyncio.Task[None], Gap | Hole] = {}
        self.filled = 0

    def begin(self, gap: Gap | Hole) -> None:
        """Fill a gap that the ledger has, unless that is being done already."""
        if not any(_inside(gap, other) for other in self.tasks.values()):
            task = asyncio.get_running_loop().create_task(self._repair(gap))
            self.tasks[task] = gap
            task.add_done_callback(self.tasks.pop)

    def running(self, instrument: Instrument) -> int:
        """Return how many gaps of an instrument are being filled, or wait for their turn."""
        return sum(gap.instrument == instrument for gap in list(self.tasks.values()))

    async def _repair(self, gap: Gap | Hole) -> None:
        """Fill one gap, as often as it takes; what the venue does not have is closed with the reason."""
        for pause in _pauses():
            try:
                async with self._slots:
                    await self._fill(gap)
            except Exception as error:
                log.warning(
                    "ids %d to %d of %s are not filled yet: %s", gap.first_id, gap.last_id, gap.instrument, error
                )
                await asyncio.sleep(pause)  # without a slot: others can use it
            else:
                return

    async def _fill(self, gap: Gap | Hole) -> None:
        while parts := await self._parts(gap, "open"):
            await self._refill(parts[-1])
        # Read in the ledger, because trades that came late, or a deletion, end a gap too.
        if {part.state for part in await self._parts(gap)} == {"filled"}:
            self.filled += 1

    async def _parts(self, gap: Gap | Hole, state: GapState | None = None) -> list[Gap]:
        """Return what the ledger has inside a range: a refill can split a gap."""
        return [part for part in await asyncio.to_thread(self._store.gaps, state=state) if _inside(part, gap)]

    async def _refill(self, gap: Gap) -> None:
        """Fetch and store what the venue has of one open gap, and close the rest."""
        lost = None
        try:
            async for piece in self._feed.refill(gap):
                if not await self._parts(gap, "open"):
                    return  # the symbol was deleted: its trades must not come back
                sound = self._intake.screen(piece, asked=gap)
                lost = await self._store_piece(sound) or (REFUSED if len(sound) < len(piece) else lost)
        except Unfillable as error:
            lost = str(error)
        await self._close_rest(gap, "abandoned" if lost else "empty", lost or "the venue has no such trades")

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

    async def _close_rest(self, gap: Gap, state: GapState, reason: str) -> None:
        parts = await self._parts(gap, "open")
        for part in parts:
            log.warning("ids %d to %d of %s: %s", part.first_id, part.last_id, part.instrument, reason)
        closed = [asyncio.wrap_future(self._store.close_gap(part.key, state, reason)) for part in parts]
        await asyncio.gather(*closed)  # one commit has room for all


class _Mark(NamedTuple):
    """Where an instrument's ids go on, and what a hole before the next trade would come from."""

    last_id: int
    last_ms: int
    cause: str


@dataclass(slots=True)
class _Line:
    """What is known of one instrument's stream: the audit by id, and the pulse."""

    prepared: bool = False
    mark: _Mark | None = None
    """None: nothing is known, the ids begin with the first trade."""
    price: float | None = None
    seen: float = 0.0
    lag_ms: int = 0
    received: int = 0
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
        self._intake = Intake(feed.instruments, store, clock=clock)
        self._repairs = Repairs(feed, store, self._intake)
        self._dropped = self._reconnects = 0
        self._state: FeedState = "starting"
        self._message = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._stop_asked = False
        self._followed: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self.ended = threading.Event()
        """Set when the feed has no more trades, or recording was stopped."""

    def start(self) -> None:
        """Begin to record."""
        self._thread.start()

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
                runner.run(self._record())
        finally:
            self.ended.set()

    async def _record(self) -> None:
        self._main = asyncio.current_task()
        if self._stop_asked:
            return
        try:
            await self._stream_for_ever()
            while unfinished := [*self._unwritten(), *self._repairs.tasks]:
                await asyncio.wait(unfinished)
            self._state = "ended"
        except asyncio.CancelledError:
            self._state = "stopped"
            for task in self._repairs.tasks:
                task.cancel()
            await self._wait_for_commits()

    async def _wait_for_commits(self) -> None:
        """Count what the store still writes, and enter holes where it failed, but do not wait for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMITS_SECONDS):
                while unfinished := self._unwritten():
                    await asyncio.wait(unfinished)
        for commit in list(self._intake.pending):
            commit.cancel()  # the store writes it all the same, but must not call a loop that is closed

    def _unwritten(self) -> list[asyncio.Future[Any]]:
        return [*self._intake.pending, *self._followed]

    async def _stream_for_ever(self) -> None:
        """Prepare and stream until the source ends; what breaks is begun again, after a pause that grows."""
        pauses = _pauses()
        while True:
            try:
                await self._prepare()
                async for batch in self._feed.stream():
                    self._state, self._message, pauses = "streaming", "", _pauses()
                    self._take(batch)
            except Exception as error:
                pause = next(pauses)
                log.exception("recording broke; it is begun again in %.0f s", pause)
                self._state, self._message = "failing", f"{error}; trying again in {pause:.0f} s"
                self._reconnects += 1
                for line in self._lines.values():
                    line.mark = line.mark and line.mark._replace(cause="stream broke")  # set anew when not prepared yet
                await asyncio.sleep(pause)
            else:
                return

    async def _prepare(self) -> None:
        """Find where each instrument's ids go on and take up the gaps left open; what is done is not done again."""
        fresh = {instrument: line for instrument, line in self._lines.items() if not line.prepared}
        if not fresh:
            return
        known = await asyncio.to_thread(self._store.last_ids)
        for gap in await asyncio.to_thread(self._store.gaps, state="open"):
            if gap.instrument in fresh:
                self._repairs.begin(gap)
                # A gap can end above all that is stored: the process was killed before its first piece came.
                known[gap.instrument] = max(known.get(gap.instrument, (-1, 0)), (gap.last_id, gap.end_ms))
        for instrument, line in fresh.items():
            if instrument in known:
                line.mark = _Mark(*known[instrument], "restart")
            elif (earliest := await self._feed.earliest(instrument)) is not None:
                line.mark = _Mark(earliest[0] - 1, earliest[1], "history")
            await self._catch_up(instrument, line)
            line.prepared = True

    async def _catch_up(self, instrument: Instrument, line: _Line) -> None:
        """Open the hole up to the present now: a quiet symbol's next trade may be minutes away."""
        mark = line.mark
        if mark is None or (newest := await self._feed.newest(instrument)) is None or newest[0] <= mark.last_id:
            return
        hole = Hole(instrument, mark.last_id + 1, newest[0], mark.last_ms, newest[1], mark.cause)
        self._hand_over([], [hole], lost=[hole])
        line.mark = _Mark(*newest, "missed at the start")

    def _take(self, batch: Sequence[Tick]) -> None:
        """Look every trade over, audit the ids, and hand what is sound to the store."""
        sound = self._intake.screen(batch)
        self._begin_lines(sound)  # so that a first batch that is lost is missed
        before = {instrument: line.mark for instrument, line in self._lines.items()}
        holes = [hole for tick in sound if (hole := self._audit(tick))]
        try:
            self._hand_over(sound, holes, lost=self._passed(before))
        except StoreError as error:
            # As if they had not come: the next trade that is taken finds the hole.
            cause = "memory was full" if isinstance(error, StoreBusy) else "not stored"
            for instrument, mark in before.items():
                self._lines[instrument].mark = mark and mark._replace(cause=cause)
            self._dropped += len(sound)
            self._message = str(error)
            if not isinstance(error, StoreBusy):
                raise

    def _begin_lines(self, ticks: Sequence[Tick]) -> None:
        """Let the ids of an instrument of which nothing is known begin with its first trade."""
        for tick in ticks:
            line = self._lines[tick.instrument]
            if line.mark is None:
                line.mark = _Mark(tick.trade_id - 1, tick.time_ms, "missed in the stream")

    def _audit(self, tick: Tick) -> Hole | None:
        """Note a trade; return the hole before it, if there is one."""
        line = self._lines[tick.instrument]
        self._feel_pulse(line, tick)
        mark = line.mark
        if mark is None or tick.trade_id <= mark.last_id:
            return None
        line.mark = _Mark(tick.trade_id, tick.time_ms, "missed in the stream")
        if tick.trade_id == mark.last_id + 1 or not self._feed.contiguous:
            return None
        return Hole(tick.instrument, mark.last_id + 1, tick.trade_id - 1, mark.last_ms, tick.time_ms, mark.cause)

    def _passed(self, before: dict[Instrument, _Mark | None]) -> list[Hole]:
        """Return what would be missing of each instrument, if the batch since `before` cannot be stored."""
        return [
            Hole(instrument, old.last_id + 1, line.mark.last_id, old.last_ms, line.mark.last_ms, "not stored")
            for instrument, line in self._lines.items()
            if (old := before[instrument]) and line.mark and line.mark is not old and self._feed.contiguous
        ]

    def _feel_pulse(self, line: _Line, tick: Tick) -> None:
        line.seen = self._monotonic()
        line.price, line.received = tick.price, line.received + 1
        line.lag_ms = self._clock() - tick.time_ms
        second = int(line.seen)
        count = line.pulse.pop()[1] if line.pulse and line.pulse[-1][0] == second else 0
        line.pulse.append((second, count + 1))

    def _hand_over(self, ticks: Sequence[Tick], holes: Sequence[Hole], *, lost: Sequence[Hole]) -> None:
        """Give trades and holes to the store; `lost` is what is missing in case it fails to write them."""
        commit = asyncio.shield(self._intake.append(ticks, holes))
        task = asyncio.get_running_loop().create_task(self._follow(commit, len(ticks), holes, lost))
        self._followed.add(task)
        task.add_done_callback(self._followed.discard)

    async def _follow(
        self, commit: Awaitable[Appended], count: int, holes: Sequence[Hole], lost: Sequence[Hole]
    ) -> None:
        """Begin to fill holes when they are in the ledger; where a batch failed enter `lost`, as often as it takes."""
        for pause in _pauses():
            try:
                await commit
            except Exception as error:
                self._message = f"trades were not stored: {error}"
                self._dropped += count
                await asyncio.sleep(pause)
                count, holes, commit = 0, lost, self._intake.append_when_there_is_room([], lost)
            else:
                break
        for hole in holes if self._state != "stopped" else ():  # then they are taken up at the next start
            self._repairs.begin(hole)

    def health(self) -> FeedHealth:
        """Return how recording does now."""
        return FeedHealth(
            label=self._feed.label,
            state=self._state,
            message=self._message,
            symbols=tuple(self._symbol_health(*item) for item in self._lines.items()),
            received=self._intake.received,
            stored=self._intake.stored,
            duplicates=self._intake.duplicates,
            rejected=dict(self._intake.rejected),
            dropped=self._dropped,
            gaps_filled=self._repairs.filled,
            reconnects=self._reconnects,
        )

    def _symbol_health(self, instrument: Instrument, line: _Line) -> SymbolHealth:
        now = self._monotonic()
        age = now - line.seen if line.received else None
        return SymbolHealth(
            instrument=instrument,
            # Over a whole minute also at the start, when a burst would make a slow symbol look like a fast one.
            state=_state(age, _recent(line, line.seen) / RATE_SECONDS),
            last_price=line.price,
            last_time_ms=line.mark.last_ms if line.mark and line.received else None,
            age_seconds=age,
            lag_ms=line.lag_ms if line.received else None,
            trades_per_second=_recent(line, now) / max(min(now - self._begun, RATE_SECONDS), 1.0),
            received=line.received,
            repairing=self._repairs.running(instrument),
        )


def _recent(line: _Line, until: float) -> int:
    """Count the trades of the minute before a moment."""
    return sum(count for second, count in list(line.pulse) if second > until - RATE_SECONDS)


def _state(age: float | None, pace: float) -> SymbolState:
    """Judge silence by the symbol's own pace: twenty times the mean pause is unusual (e^-20 if trades are Poisson)."""
    if age is None:
        return "waiting"
    if age <= LIVE_SECONDS:
        return "live"
    return "quiet" if age * pace <= 20 else "stale"
