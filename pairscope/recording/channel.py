"""Recording one feed: its stream is audited and stored, what it missed is fetched, its silence is questioned."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from market import Gap, Hole, Instrument, Reject, Tick
from pairscope.recording.feed import Batch, Feed, Offline, VenueError
from pairscope.recording.health import LIVE_SECONDS, FeedState, Resting, SymbolHealth, SymbolState, VenueHealth
from pairscope.recording.history import History
from pairscope.recording.intake import CLOCKS_MAY_DIFFER_MS, Intake, pauses
from pairscope.recording.line import (
    CONFIRMED_BY,
    CONNECTION_LOST,
    LONGEST_JUMP,
    MISSED,
    PAUSED,
    STOPPED,
    Line,
    Mark,
    Taken,
)
from pairscope.recording.repairs import REORDER_SECONDS, Repairs
from pairscope.recording.watch import SHORTEST_SILENCE, Silence, patience
from store import Appended, Store, StoreBusy

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
UNDER_WAY_SECONDS = 1.5
"""A trade that the venue's record has may take so long to come through the stream, and to get into the record."""

SPEAKS_SECONDS = 0.5
"""A lively symbol has traded so long after a connection was opened."""

QUESTIONS_AT_ONCE = 4
FIRST_REOPENING, LONGEST_REOPENING = 5.0, 300.0
"""Seconds between two new connections for the same silence, at first and when they do not help."""


class Channel:
    """Records one feed; belongs to one event loop, but for `health` and `symbols_health`."""

    def __init__(
        self,
        feed: Feed,
        store: Store,
        intake: Intake,
        *,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        refill_trades: int,
    ) -> None:
        self.feed = feed
        self._store = store
        self._intake = intake
        self._at_hand = isinstance(feed, Offline) and feed.answers_at_once
        self._clock = clock
        self._monotonic = monotonic
        self.lines: dict[Instrument, Line] = {}
        for instrument in feed.instruments:
            self._begin_line(instrument)
        self._left: set[Instrument] = set()
        self.repairs = Repairs(
            feed,
            store,
            intake,
            now_ms=self.now_ms,
            last_price=self._last_price,
            refill_trades=refill_trades,
            on_abandoned=self._cover,
        )
        self._history = History(feed, store, now_ms=self.now_ms)
        self._questions = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self._catching: set[Line] = set()
        self._asking = 0
        self.dropped = self.restarts = 0
        self._reopened = 0.0
        self._reopening = 0.0
        self._state: FeedState = "starting"
        self._message = ""
        self._ending = False
        self._rest: Resting | None = None
        self._going_on = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._put_off: list[Gap | Hole] = []
        """What is to be filled when recording goes on."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._follows: set[asyncio.Task[None]] = set()

    def now_ms(self) -> int:
        """Return the venue's time, or this machine's where the venue has none."""
        now = self.feed.now_ms()
        return self._clock() if now is None else now

    def _last_price(self, instrument: Instrument) -> float | None:
        line = self.lines.get(instrument)
        return line.price if line else None

    # ------------------------------------------------------------------------------------- life

    async def run(self) -> None:
        """Record until the source ends, or until cancelled; what is under way then is `unfinished`."""
        watch = self._watching = self._spawn(self._watch())
        try:
            await self._stream_to_the_end()
            while waiting := [*self.unfinished, *self.repairs.tasks, *(self._tasks - {watch})]:
                await asyncio.wait(waiting)
            self._state = "ended"
        except asyncio.CancelledError:
            self._state, self._ending = "stopped", True
            raise
        finally:
            watch.cancel()
            for task in [*self._tasks, *self.repairs.tasks]:
                task.cancel()
            await self.feed.close()

    @property
    def unfinished(self) -> list[asyncio.Future[Any]]:
        """What the store still writes."""
        return [*self._intake.pending, *self._follows]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _cover(self, gap: Gap) -> None:
        if self.feed.candle_lengths and not self._rest:  # after it, `complete` finds the gap
            self._spawn(self._history.cover(gap))

    def _reap(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a task of %s broke", self.feed.venue, exc_info=error)
            self._message = f"{type(error).__name__}: {error}"

    async def _stream_to_the_end(self) -> None:
        """Stream until the source ends, but not while recording rests."""
        while True:
            if self._rest:
                await self._going_on.wait()
            stream = self._stream = asyncio.get_running_loop().create_task(self._stream_for_ever())
            try:
                await asyncio.wait([stream])
            except asyncio.CancelledError:
                stream.cancel()
                await asyncio.wait([stream])
                raise
            if not stream.cancelled():
                return stream.result()

    async def rest(self, why: Resting) -> None:
        """Let go of the venue until `go_on`; what is stored can still be repaired."""
        self._going_on.clear()
        connected = self.feed.status().state == "connected"
        self._rest = self._state = why
        self._message = ""
        self._put_off += self.repairs.tasks.values()
        broken_off = [self._stream, *(self._tasks - {self._watching}), *self.repairs.tasks]
        running = [task for task in broken_off if task and not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        for line in self.lines.values():
            asked = line.silence.asked is not None and not line.silence.quiet
            line.rest(PAUSED if why == "paused" else STOPPED, heard=connected and not asked)
            line.has_history = False
        await self.feed.pause()

    def go_on(self) -> None:
        """Record again, and begin with what was put off."""
        if not self._rest:
            return
        self._rest, self._state = None, "starting"
        for line in self.lines.values():
            line.go_on(self.now_ms())
        waiting, self._put_off = self._put_off, []
        for gap in waiting:
            self.repairs.begin(gap)
        self._going_on.set()

    def _begin_repair(self, gap: Gap | Hole, *, after: float = 0.0) -> None:
        if gap.cause == STOPPED:
            task = asyncio.get_running_loop().create_task(self.repairs.leave_out(gap))
            self._follows.add(task)  # it asks nobody, and so goes on when recording rests
            task.add_done_callback(self._follows.discard)
        elif self._rest:
            self._put_off.append(gap)
        else:
            self.repairs.begin(gap, after=after)

    async def _stream_for_ever(self) -> None:
        """Prepare and stream until the source ends; what breaks is begun again, after a pause that grows."""
        waits = pauses()
        while True:
            try:
                await self._prepare()
                async for batch in self.feed.stream():
                    if batch.ticks:
                        self._state, self._message, waits = "streaming", "", pauses()
                    self._take(batch)
            except Exception as error:
                pause = next(waits)
                log.exception("recording %s broke; it is begun again in %.0f s", self.feed.venue, pause)
                self._state, self._message = "failing", f"{error}; trying again in {pause:.0f} s"
                self.restarts += 1
                for line in self.lines.values():
                    line.interrupt("stream broke")
                await asyncio.sleep(pause)
            else:
                return

    # ------------------------------------------------------------------------------- instruments

    def _begin_line(self, instrument: Instrument) -> None:
        self.lines[instrument] = Line(instrument, contiguous=self.feed.contiguous, begun=self._monotonic())

    async def add(self, instrument: Instrument) -> None:
        """Record one more.

        Raises:
            WrongUse: when the feed cannot have it.
        """
        if instrument in self.lines:
            return
        self._begin_line(instrument)
        try:
            await self._find_marks([self.lines[instrument]])
            self.feed.add(instrument)
        except BaseException:
            del self.lines[instrument]
            raise
        self._left.discard(instrument)

    def remove(self, instrument: Instrument) -> None:
        """Record one less; what is stored of it stays."""
        self.feed.remove(instrument)
        self._left.add(instrument)
        self.lines.pop(instrument, None)
        self.repairs.give_up(instrument)
        self._put_off = [gap for gap in self._put_off if gap.instrument != instrument]

    async def repair(self, gap: Gap) -> None:
        """Fill a gap of the ledger now, also one that was given up."""
        if gap.instrument in self.lines:
            await self.repairs.retry(gap)

    async def _prepare(self) -> None:
        """Find where each instrument's ids go on; what is done is not done again."""
        fresh = [line for line in self.lines.values() if not line.prepared]
        if fresh:
            await self._find_marks(fresh)

    async def _find_marks(self, fresh: Sequence[Line]) -> None:
        """Find where ids go on, and take up the gaps that were left open."""
        names = {line.instrument for line in fresh}
        known = await asyncio.to_thread(self._store.last_ids)
        latest = await asyncio.to_thread(self._store.latest)
        for gap in await asyncio.to_thread(self._store.gaps, state="open"):
            if gap.instrument in names:
                self._begin_repair(gap)
                # A gap can end above all that is stored: the process was killed before its first piece came.
                known[gap.instrument] = max(known.get(gap.instrument, (-1, 0)), (gap.last_id, gap.end_ms))
        for line in fresh:
            if line.instrument in latest:
                line.price = latest[line.instrument].price
            if line.instrument in known:
                line.mark = Mark(*known[line.instrument], "restart")
            elif (earliest := await self.feed.earliest(line.instrument)) is not None:
                line.mark = Mark(earliest[0] - 1, earliest[1], "history")
            line.prepared = True

    # --------------------------------------------------------------------------------- the stream

    def _take(self, batch: Batch) -> None:
        """Look every trade over, audit the ids, and hand what is sound to the store."""
        if batch.unsure:
            self._connected(batch.unsure)
        self._intake.received += len(batch.ticks)
        self._intake.refuse(batch.rejects)
        if not batch.ticks:
            return
        sound: list[Tick] = []
        holes: list[Hole] = []
        before: dict[Line, Mark | None] = {}
        try:
            for line, ticks in self._by_line(batch.ticks):
                before[line] = line.mark
                taken = self._audit(line, ticks)
                if taken.sound and before[line] is None:
                    first = taken.sound[0]  # a batch that is lost is missed also when it is the first one
                    before[line] = Mark(first.trade_id - 1, first.time_ms, MISSED)
                sound += taken.sound
                holes += taken.holes
            self._hand_over(sound, holes, lost=self._passed(before))
        except Exception as error:
            # As if they had not come: the next trade that is taken finds the hole.
            cause = "memory was full" if isinstance(error, StoreBusy) else "not stored"
            for line, mark in before.items():
                line.mark = mark and mark._replace(cause=cause)
            self.dropped += len(sound)
            self._message = str(error)
            if not isinstance(error, StoreBusy):
                raise

    def _by_line(self, ticks: Sequence[Tick]) -> list[tuple[Line, list[Tick]]]:
        groups: dict[tuple[str, str], list[Tick]] = {}
        for tick in ticks:
            key = tick[:2]
            group = groups.get(key)
            if group is None:
                groups[key] = [tick]
            else:
                group.append(tick)
        found = []
        for name, group in groups.items():
            line = self.lines.get(Instrument(*name))
            if line is not None:
                found.append((line, group))
            elif name not in self._left:
                self._intake.refuse([Reject(*name, "symbol was not asked for", repr(tick)) for tick in group])
        return found

    def _audit(self, line: Line, ticks: Sequence[Tick]) -> Taken:
        now, now_ms = self._monotonic(), self.now_ms()
        taken = line.take(ticks, now=now, now_ms=now_ms, latest_ms=now_ms + CLOCKS_MAY_DIFFER_MS)
        self._intake.refuse(taken.rejects)
        if taken.fresh:
            line.silence = Silence(now)
        return taken

    def _passed(self, before: dict[Line, Mark | None]) -> list[Hole]:
        """Return what would be missing of each instrument, if the batch since `before` cannot be stored."""
        return [
            Hole(line.instrument, old.last_id + 1, line.mark.last_id, old.last_ms, line.mark.last_ms, "not stored")
            for line, old in before.items()
            if line.contiguous and line.mark and old and line.mark.last_id > old.last_id
        ]

    def _hand_over(self, ticks: Sequence[Tick], holes: Sequence[Hole], *, lost: Sequence[Hole]) -> None:
        """Give trades and holes to the store; `lost` is what is missing in case it fails to write them."""
        commit = asyncio.shield(self._intake.append(ticks, holes))
        task = asyncio.get_running_loop().create_task(self._follow(commit, len(ticks), holes, lost))
        self._follows.add(task)
        task.add_done_callback(self._follows.discard)

    async def _follow(
        self, commit: Awaitable[Appended], count: int, holes: Sequence[Hole], lost: Sequence[Hole]
    ) -> None:
        """Begin to fill holes when they are in the ledger; where a batch failed enter `lost`, as often as it takes."""
        for pause in pauses():
            try:
                await commit
            except Exception as error:
                self._message = f"trades were not stored: {error}"
                self.dropped += count
                await asyncio.sleep(pause)
                count, holes, commit = 0, lost, self._intake.append_when_there_is_room([], lost)
            else:
                break
        for hole in () if self._ending else holes:  # then they are taken up at the next start
            self._begin_repair(hole, after=REORDER_SECONDS if hole.cause == MISSED else 0.0)

    # ------------------------------------------------------------------------- what was missed

    def _connected(self, instruments: Sequence[Instrument]) -> None:
        """Expect first trades on a new connection, and ask for those that were missed before it."""
        lines = [self.lines[each] for each in instruments if each in self.lines]
        for line in lines:
            line.silence = Silence(self._monotonic())
            line.interrupt(CONNECTION_LOST)
        self._spawn(self._catch_up([(line, line.silence) for line in lines]))
        new = [line for line in lines if not line.has_history]
        if self.feed.candle_lengths and new:
            for line in new:
                line.has_history = True
            for fetch in (self._history.begin, self._history.complete):
                self._spawn(fetch([line.instrument for line in new]))

    async def _catch_up(self, silences: Sequence[tuple[Line, Silence]]) -> None:
        """Open the holes up to the present now: a quiet symbol's next trade may be minutes away.

        What speaks at once tells by its ids what it missed, and need not be asked about.
        """
        if not all(line.mark and line.mark.cause == "history" for line, _ in silences):
            await asyncio.sleep(SPEAKS_SECONDS)
        await asyncio.gather(*(self._catch_up_line(line) for line, silence in silences if line.silence is silence))

    async def _catch_up_line(self, line: Line) -> None:
        if line in self._catching:
            return
        self._catching.add(line)
        try:
            for pause in pauses():
                if self.lines.get(line.instrument) is not line or await self._caught_up(line):
                    return
                await asyncio.sleep(pause)
        finally:
            self._catching.discard(line)

    async def _caught_up(self, line: Line) -> bool:
        """Ask what was missed; return whether that is known now."""
        try:
            async with self._questions:
                asked_ms = self.now_ms()
                newest = await self._newest(line, urgent=False)
            if newest is not None and not await self._reach(line, newest):
                line.confirmed_ms = asked_ms - round(UNDER_WAY_SECONDS * 1000)
        except (VenueError, StoreBusy) as error:
            log.info("what %s missed is not known yet: %s", line.instrument, error)
            return False
        except Exception:
            log.exception("asking what %s missed broke; it is asked again", line.instrument)
            return False
        return True

    async def _newest(self, line: Line, *, urgent: bool = True) -> tuple[int, int] | None:
        """Ask for the newest trade; an answer that is far ahead of the last trade must be confirmed by more like it.

        A page about another symbol looks just like it, and a billion trades would be taken for missing.

        Raises:
            VenueError: when the venue does not answer, or contradicts itself or its stream.
        """
        known = line.mark.last_id if line.mark else None
        newest = await self.feed.newest(line.instrument, urgent=urgent)
        for _ in range(CONFIRMED_BY - 1):
            if newest is None or known is None or newest[0] <= known + LONGEST_JUMP:
                break
            again = await self.feed.newest(line.instrument, urgent=urgent)
            if again is None or not 0 <= again[0] - newest[0] <= LONGEST_JUMP:
                raise VenueError(f"{self.feed.venue} contradicts itself about the newest trade of {line.instrument}")
            newest = again
        if newest is not None and known is not None and newest[0] < known:
            raise VenueError(f"{self.feed.venue} knows less of {line.instrument} than it has streamed")
        return newest

    async def _reach(self, line: Line, newest: tuple[int, int]) -> bool:
        """Enter what is missing up to a trade that the venue has; return whether anything was.

        What is very new may still be under way in the stream.
        """
        if line.mark is None:
            line.begin_at(*newest)
            return False
        if newest[0] <= line.mark.last_id:
            line.mark = line.mark._replace(cause=MISSED)  # whatever is missing from now on is so for another reason
            return False
        if line.pulse.seen is not None and self.now_ms() - newest[1] < UNDER_WAY_SECONDS * 1000:
            await asyncio.sleep(UNDER_WAY_SECONDS)
        before = line.mark
        if line.instrument not in self.lines or (hole := line.advance(*newest, MISSED)) is None:
            return False
        try:
            self._hand_over([], [hole], lost=[hole])
        except Exception:  # whatever it is: a hole that is not in the ledger must be found again
            line.mark = before
            raise
        return True

    # ---------------------------------------------------------------------------------- silence

    async def _watch(self) -> None:
        """Question every stream that is silent for longer than its pace explains."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                self._look()
            except Exception:
                log.exception("looking after %s broke; it goes on", self.feed.venue)

    async def _confirm(self) -> None:
        """Note of which symbols nothing is missing, where the source answers at once: nobody need wait for silence."""
        for line in list(self.lines.values()):
            asked_ms, newest = self.now_ms(), await self.feed.newest(line.instrument, urgent=False)
            if newest and line.mark and newest[0] <= line.mark.last_id:
                line.confirmed_ms = asked_ms

    def _look(self) -> None:
        if self._at_hand and not self._rest:
            self._spawn(self._confirm())
        if self._rest or not self.feed.contiguous or self.feed.status().state != "connected":
            return
        now = self._monotonic()
        due = [
            (limit, line)
            for line in self.lines.values()
            if line.prepared and line.silence.is_due(now, limit := patience(line.pulse))
        ]
        for limit, line in due:
            # The answer may be held up by the venue's limits; to connect anew beside the old connection costs little.
            silence, seconds = line.silence, now - line.silence.since
            if limit == SHORTEST_SILENCE and silence.asked is not None and seconds > 3 * limit and not silence.quiet:
                self._reopen(f"{line.instrument} has been silent for {seconds:.0f} s")
        # The liveliest first: when the whole connection is dead, one answer is enough. The others wait for their turn.
        for limit, line in sorted(due, key=lambda each: each[0])[: QUESTIONS_AT_ONCE - self._asking]:
            line.silence.ask(now, limit)
            self._asking += 1
            self._spawn(self._question(line, line.silence, limit)).add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking -= 1

    async def _question(self, line: Line, silence: Silence, limit: float) -> None:
        """Ask the venue whether a silent stream has missed anything; if so, connect anew."""
        asked_ms = self.now_ms()
        try:
            newest = await self._newest(line)
        except VenueError as error:
            if self._monotonic() - silence.since > 3 * limit:
                self._reopen(f"{line.instrument} is silent, and the venue does not answer: {error}")
            return
        if newest is None or line.silence is not silence:
            return
        try:
            missed = await self._reach(line, newest)
        except StoreBusy:
            return  # it is asked again
        if not missed:
            line.confirmed_ms = asked_ms - round(UNDER_WAY_SECONDS * 1000)
        if line.silence is not silence:
            return  # it has spoken, or the connection is new
        silence.quiet = not missed
        if missed:
            seconds = self._monotonic() - silence.since
            self._reopen(f"{line.instrument} was silent for {seconds:.0f} s while the venue traded")

    def _reopen(self, why: str) -> None:
        """Connect anew, but ever more rarely while that does not help."""
        now = self._monotonic()
        since = now - self._reopened
        if since < self._reopening:
            return
        calm = since > 2 * LONGEST_REOPENING or not self._reopening
        self._reopening = FIRST_REOPENING if calm else min(2 * self._reopening, LONGEST_REOPENING)
        self._reopened = now
        self._message = why
        log.warning("connecting anew: %s", why)
        self.feed.reopen(why)

    # ----------------------------------------------------------------------------------- health

    def health(self) -> VenueHealth:
        """Tell how the feed does; from any thread."""
        status, state, message = self.feed.status(), self._state, self._message
        if state in ("starting", "streaming") and status.state in ("disconnected", "refused"):
            state = status.state
        status = replace(status, reconnects=status.reconnects + self.restarts)
        message = "" if self._rest else status.message or message
        return VenueHealth(self.feed.venue, self.feed.label, state, message, status)

    def symbols_health(self) -> list[SymbolHealth]:
        """Tell how each symbol does; from any thread."""
        venue, now = self.health(), self._monotonic()
        judge = partial(self._line_health, venue=venue, now=now)
        known = [judge(line) for line in list(self.lines.values())]
        recorded = {each.instrument for each in known}
        refused = venue.status.refused
        return known + [SymbolHealth.refused(each, why) for each, why in refused.items() if each not in recorded]

    def _line_health(self, line: Line, *, venue: VenueHealth, now: float) -> SymbolHealth:
        repairing, age = self.repairs.running(line.instrument), line.pulse.age(now)
        state = _state(line, venue, now, repairing)
        messages = {"refused": venue.status.refused.get(line.instrument, ""), "disconnected": venue.message}
        return SymbolHealth(
            instrument=line.instrument,
            state=state,
            last_price=line.price,
            last_time_ms=line.time_ms,
            age_seconds=age,
            lag_ms=line.lag_ms if age is not None and age <= LIVE_SECONDS else None,
            trades_per_second=line.pulse.rate(now),
            received=line.received,
            repairing=repairing,
            message=messages.get(state, ""),
            confirmed_ms=line.confirmed_ms,
        )


def _state(line: Line, venue: VenueHealth, now: float, repairing: int) -> SymbolState:
    age = line.pulse.age(now)
    if line.instrument in venue.status.refused:
        return "refused"
    if venue.state in ("paused", "stopped"):
        return venue.state
    if venue.state in ("disconnected", "refused"):
        return "disconnected"
    if age is None:
        return "waiting"
    if age <= LIVE_SECONDS:
        return "repairing" if repairing else "live"
    return "stale" if line.pulse.is_unusual(now) and not line.silence.quiet else "quiet"
