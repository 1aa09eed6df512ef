"""Recording: every trade is stored once, every hole is found, filled or explained, and health tells the truth."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import pytest

from ingest import Batch, Ingestor, Intake, Offline, Repairs, Unfillable, VenueError
from market import HOUR, MINUTE, Gap, GapState, Hole, Instrument, Label, Tick
from pairscope.feeds.simulated import Simulated
from store import Appended, SqliteStore, StoreBusy, StoreSlow
from tests.contracts.store import BTC, T0, assert_bars, trade

OPEN_END = object()
"""In a script: the stream stays open and silent."""


class ScriptedFeed(Offline):
    """A feed that plays a script: batches are yielded, exceptions raised, functions waited for, the open end too."""

    label: Label = "LIVE"
    venue = BTC.venue
    contiguous = True
    instruments = (BTC,)

    def __init__(self, *script: object, history: Sequence[Tick] = (), first: tuple[int, int] | None = None) -> None:
        self.script = list(script)
        self.history = list(history)
        self.first = first
        self.known: tuple[int, int] | None = None
        self.unfillable_before = 0
        self.failures = 0
        self.rest_failures = 0
        self.pieces: list[object] | None = None
        """What a refill does instead of looking into the history: pieces are yielded, functions waited for."""
        self.asked: list[tuple[int, int]] = []

    async def stream(self) -> AsyncIterator[Batch]:
        yield Batch(unsure=self.instruments)
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            if step is OPEN_END:
                await asyncio.Event().wait()
            if callable(step):
                await asyncio.to_thread(step)
                continue
            assert isinstance(step, list)
            yield Batch(step)
            await asyncio.sleep(0)

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        return self.first

    async def newest(self, instrument: Instrument, *, urgent: bool = True) -> tuple[int, int] | None:
        if self.rest_failures:
            self.rest_failures -= 1
            raise VenueError("the venue does not answer")
        return self.known

    async def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        self.asked.append((gap.first_id, gap.last_id))
        if self.failures:
            self.failures -= 1
            raise VenueError("the venue does not answer")
        while self.pieces:
            piece = self.pieces.pop(0)
            if callable(piece):
                await asyncio.to_thread(piece)
                continue
            assert isinstance(piece, list)
            yield piece
        if self.pieces is not None:
            return
        wanted = [tick for tick in self.history if gap.first_id <= tick.trade_id <= gap.last_id]
        for start in range(len(wanted), 0, -3):
            yield wanted[max(0, start - 3) : start]
        if gap.first_id < self.unfillable_before:
            raise Unfillable("older than 48 hours")


class FaultyStore(SqliteStore):
    """A store that fails as often as it is told to, by the name of the method."""

    def __init__(self, path: Path) -> None:
        self.faults: Counter[str] = Counter()
        self.poison: int | None = None
        super().__init__(path, clock=lambda: T0, commit_ms=1)

    def fail(self, name: str, times: int) -> None:
        self.faults[name] = times

    def _fault(self, name: str) -> bool:
        self.faults[name] -= 1
        return self.faults[name] >= 0

    def last_ids(self) -> dict[Instrument, tuple[int, int]]:
        if self._fault("last_ids"):
            raise StoreSlow("reading took longer than allowed")
        return super().last_ids()

    def gaps(
        self,
        symbol: str | Instrument | None = None,
        *,
        state: GapState | None = None,
        ids: tuple[int, int] | None = None,
    ) -> tuple[Gap, ...]:
        if self._fault("gaps"):
            raise StoreSlow("reading took longer than allowed")
        return super().gaps(symbol, state=state, ids=ids)

    def append(self, ticks: Sequence[Tick], *, holes: Sequence[Hole] = ()) -> "Future[Appended]":
        if self._fault("room"):
            raise StoreBusy("no more rows may wait")
        if self._fault("append") or self.poison in [tick.trade_id for tick in ticks]:
            failed: Future[Appended] = Future()
            failed.set_exception(KeyError("a side that is none"))
            return failed
        return super().append(ticks, holes=holes)


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStore]:
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("pairscope.recording.intake.ROOM_PAUSE", 0.01)
    store = FaultyStore(tmp_path / "faulty.db")
    yield store
    store.close()


def ledger(store: SqliteStore) -> dict[tuple[int, int], tuple[str, str | None]]:
    return {(gap.first_id, gap.last_id): (gap.state, gap.reason) for gap in store.gaps()}


def trades(first: int, last: int) -> list[Tick]:
    return [trade(n, T0 + n * 250, 100.0 + n % 5) for n in range(first, last + 1)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ingest.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


def record(feed: ScriptedFeed, store: SqliteStore, *, until: Callable[[Ingestor], bool] | None = None) -> Ingestor:
    """Record until the feed ends, or until something has happened."""
    ingestor = Ingestor([feed], store, clock=lambda: T0 + HOUR)
    ingestor.start()
    end = time.monotonic() + 10
    while not (until(ingestor) if until else ingestor.ended.is_set()):
        assert time.monotonic() < end, ingestor.health()
        threading.Event().wait(0.005)
    ingestor.stop()
    store.append([]).result()  # what was handed over before is committed now
    return ingestor


def stored_ids(store: SqliteStore) -> list[int]:
    return [tick.trade_id for batch in store.ticks(BTC) for tick in batch]


def test_what_a_feed_sends_is_stored_once(store: SqliteStore) -> None:
    ingestor = record(ScriptedFeed(trades(1, 50), trades(40, 60)), store)
    assert stored_ids(store) == list(range(1, 61))
    health = ingestor.health()
    assert (health.received, health.stored, health.duplicates, health.state) == (71, 60, 11, "ended")
    assert store.gaps() == ()


def test_a_hole_in_the_stream_is_found_and_filled(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 10), trades(25, 30), history=trades(1, 40))
    ingestor = record(feed, store)
    assert feed.asked == [(11, 24)]
    assert stored_ids(store) == list(range(1, 31))
    [gap] = store.gaps()
    assert (gap.state, gap.filled, gap.cause) == ("filled", 14, "missed in the stream")
    assert ingestor.health().gaps_filled == 1
    assert_bars(store, trades(1, 30), "1s")


def test_late_trades_are_no_holes(store: SqliteStore) -> None:
    feed = ScriptedFeed([*trades(1, 5), *trades(8, 9)], trades(6, 7), trades(10, 12))
    record(feed, store)
    assert stored_ids(store) == list(range(1, 13))
    assert {gap.state for gap in store.gaps()} == {"filled"}


def test_what_the_venue_does_not_have_is_confirmed_empty(store: SqliteStore) -> None:
    record(ScriptedFeed(trades(1, 5), trades(12, 13), history=trades(8, 9)), store)
    states = {(gap.first_id, gap.last_id): (gap.state, gap.reason) for gap in store.gaps()}
    nothing = ("empty", "the venue has no such trades")
    assert states[6, 7] == nothing
    assert states[10, 11] == nothing


def test_what_the_venue_no_longer_serves_is_abandoned_with_the_reason(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 5), trades(20, 21), history=trades(15, 19))
    feed.unfillable_before = 15
    record(feed, store)
    [gap] = [gap for gap in store.gaps() if gap.state == "abandoned"]
    assert (gap.first_id, gap.last_id, gap.reason) == (6, 14, "older than 48 hours")
    assert store.bars(BTC, "1s").gap.any()


def test_a_repair_that_fails_is_tried_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)
    feed = ScriptedFeed(trades(1, 5), trades(9, 10), history=trades(1, 10))
    feed.failures = 2
    record(feed, store)
    assert feed.asked == [(6, 8)] * 3
    assert stored_ids(store) == list(range(1, 11))


def test_a_stream_that_breaks_is_begun_again_and_its_hole_filled(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)
    feed = ScriptedFeed(trades(1, 5), ConnectionError("cut"), trades(9, 12), history=trades(1, 12))
    ingestor = record(feed, store)
    assert stored_ids(store) == list(range(1, 13))
    assert [gap.cause for gap in store.gaps()] == ["stream broke"]
    assert ingestor.health().reconnects == 1


def test_a_restart_fills_the_hole_since_the_last_stored_trade(store: SqliteStore) -> None:
    record(ScriptedFeed(trades(1, 5)), store)
    record(ScriptedFeed(trades(30, 31), history=trades(1, 40)), store)
    assert stored_ids(store) == list(range(1, 32))
    assert [gap.cause for gap in store.gaps()] == ["restart"]


def test_a_restart_takes_up_the_gaps_that_were_left_open(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 5), trades(9, 10), OPEN_END)
    feed.failures = 1_000
    record(feed, store, until=lambda ingestor: len(feed.asked) > 0 and ingestor.health().received == 7)
    assert [gap.state for gap in store.gaps()] == ["open"]
    record(ScriptedFeed(trades(11, 12), history=trades(1, 12)), store)
    assert stored_ids(store) == list(range(1, 13))
    assert store.gaps(state="open") == ()


def test_the_past_that_a_feed_offers_is_fetched_before_the_first_trade_comes(store: SqliteStore) -> None:
    feed = ScriptedFeed(OPEN_END, history=trades(1, 40), first=(3, T0 + 750))
    feed.known = (40, T0 + 40 * 250)
    record(feed, store, until=lambda ingestor: ingestor.health().gaps_filled == 1)
    assert stored_ids(store) == list(range(3, 41))
    assert [gap.cause for gap in store.gaps()] == ["history"]


def test_flawed_and_foreign_trades_are_rejected_with_the_reason_and_counted(store: SqliteStore) -> None:
    bad = [
        trade(2, T0, float("nan")),
        trade(3, T0, -1.0),
        trade(4, T0 + HOUR + 2 * MINUTE),
        trade(5, T0, symbol="DOGEUSDT"),
    ]
    ingestor = record(ScriptedFeed([trade(1, T0), *bad, trade(2, T0 + 1)]), store)
    assert stored_ids(store) == [1, 2]
    reasons = {
        "price is not a positive number": 2,
        "time is in the future": 1,
        "symbol was not asked for": 1,
    }
    assert ingestor.health().rejected == reasons
    assert store.reject_counts() == reasons


def test_trades_that_memory_has_no_room_for_become_a_gap_that_is_filled_later(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "busy.db", clock=lambda: T0, commit_ms=100, commit_rows=10**6, queue_rows=1_000)
    drained = partial(wait, lambda: store.status().writer.queued_rows == 0)
    script = (trades(1, 990), trades(991, 1_100), drained, trades(1_101, 1_102))
    ingestor = record(ScriptedFeed(*script, history=trades(1_090, 1_100)), store)
    assert ingestor.health().dropped == 110
    assert stored_ids(store) == [*range(1, 991), *range(1_090, 1_103)]
    [gap] = store.gaps()
    assert (gap.first_id, gap.last_id, gap.filled, gap.cause) == (991, 1_089, 11, "memory was full")
    store.close()


REJECTED = ("abandoned", "the venue's trades were rejected")


def test_a_store_that_is_slow_at_the_start_delays_recording_only(faulty: FaultyStore) -> None:
    faulty.fail("last_ids", 2)
    failing = ("failing", "reading took longer than allowed; trying again in 0 s")
    seen: set[tuple[str, str]] = set()

    def ended(ingestor: Ingestor) -> bool:
        seen.add((ingestor.health().state, ingestor.health().message))
        return ingestor.ended.is_set()

    feed = ScriptedFeed()
    feed.script = [lambda: wait(lambda: failing in seen), trades(1, 5)]
    ingestor = record(feed, faulty, until=ended)
    assert stored_ids(faulty) == [1, 2, 3, 4, 5]
    assert (ingestor.health().state, ingestor.health().reconnects) == ("ended", 2)
    assert failing in seen


@pytest.mark.parametrize("fault", ["rest", "room"])
def test_what_was_missed_is_asked_for_until_it_is_known_and_entered_once(faulty: FaultyStore, fault: str) -> None:
    record(ScriptedFeed(trades(1, 5)), faulty)
    feed = ScriptedFeed(history=trades(1, 22))
    feed.script = [lambda: wait(lambda: feed.asked), trades(21, 22)]
    feed.known = (20, T0 + 20 * 250)
    feed.rest_failures = int(fault == "rest")
    faulty.fail("room", int(fault == "room"))
    ingestor = record(feed, faulty)
    assert feed.asked == [(6, 20)]
    assert stored_ids(faulty) == list(range(1, 23))
    assert [gap.cause for gap in faulty.gaps()] == ["restart"]
    assert ingestor.health().reconnects == 0


def test_a_gap_that_was_left_open_is_repaired_by_one_only_while_the_venue_does_not_answer(faulty: FaultyStore) -> None:
    faulty.append([*trades(1, 5), *trades(9, 10)], holes=[Hole(BTC, 6, 8, T0, T0 + 2_250, "missed")]).result()
    feed = ScriptedFeed(trades(11, 12))
    begun, prepared = threading.Event(), threading.Event()
    feed.pieces = [begun.set, partial(prepared.wait, 10), trades(6, 8)]
    feed.rest_failures = 3
    feed.script.insert(0, prepared.set)
    ingestor = record(feed, faulty)
    assert begun.is_set()
    assert feed.asked == [(6, 8)]
    assert (ingestor.health().gaps_filled, ingestor.health().reconnects) == (1, 0)


def test_a_batch_that_the_store_fails_to_write_is_fetched_again_with_the_hole_before_it(faulty: FaultyStore) -> None:
    script = (trades(1, 5), partial(faulty.fail, "append", 1), trades(9, 12), trades(13, 14))
    ingestor = record(ScriptedFeed(*script, history=trades(1, 14)), faulty)
    assert stored_ids(faulty) == list(range(1, 15))
    [gap] = faulty.gaps()
    assert (gap.cause, gap.state, gap.filled) == ("not stored", "filled", 7)
    assert ingestor.health().dropped == 4


def test_a_trade_that_can_never_be_stored_costs_itself_only(faulty: FaultyStore) -> None:
    faulty.poison = 4
    ingestor = record(ScriptedFeed(trades(1, 9), trades(10, 12), history=trades(1, 12)), faulty)
    assert stored_ids(faulty) == [1, 2, 3, *range(5, 13)]
    assert ledger(faulty)[4, 4] == REJECTED
    assert ingestor.health().rejected == {"the store cannot write it": 1}
    assert ingestor.health().gaps_filled == 0


def test_a_batch_of_a_feed_whose_ids_jump_leaves_no_hole_when_it_is_lost(faulty: FaultyStore) -> None:
    faulty.fail("append", 1)
    feed = ScriptedFeed(trades(1, 3), trades(90, 92))
    feed.contiguous = False
    assert record(feed, faulty).health().dropped == 3
    assert faulty.gaps() == ()


def test_a_repair_outlives_a_slow_store(faulty: FaultyStore) -> None:
    feed = ScriptedFeed(trades(1, 5), partial(faulty.fail, "gaps", 3), trades(9, 10), history=trades(1, 10))
    record(feed, faulty)
    assert faulty.faults["gaps"] < 0
    assert feed.asked == [(6, 8)]
    assert stored_ids(faulty) == list(range(1, 11))


given_up: list[Gap] = []


def repair(feed: ScriptedFeed, store: SqliteStore, holes: Sequence[Hole], *, until: int) -> Repairs:
    """Open holes and fill them, without a thread, until so many are filled or all repairs have ended."""
    store.append([], holes=holes).result()

    async def run() -> Repairs:
        repairs = Repairs(
            feed,
            store,
            Intake(store),
            now_ms=lambda: T0 + HOUR,
            last_price=lambda _: None,
            refill_trades=1_000_000,
            on_abandoned=given_up.append,
        )
        for hole in holes:
            repairs.begin(hole)
        async with asyncio.timeout(8):
            while repairs.tasks and repairs.filled < until:
                await asyncio.sleep(0.001)
        return repairs

    return asyncio.run(run())


def hole(first: int, last: int) -> Hole:
    return Hole(BTC, first, last, T0 + first * 250 - 250, T0 + last * 250 + 250, "missed")


def test_gaps_that_fail_do_not_keep_others_from_being_filled(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 60.0)
    feed = ScriptedFeed(history=trades(1, 100))
    feed.failures = 8
    assert repair(feed, store, [hole(n, n + 1) for n in range(1, 28, 3)], until=1).filled == 1
    assert len(store.gaps(state="open")) == 8


def test_a_refill_that_splits_the_gap_and_fails_goes_on_with_all_parts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)
    feed = ScriptedFeed()

    async def in_parts(gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        feed.asked.append((gap.first_id, gap.last_id))
        if len(feed.asked) == 1:
            yield trades(5, 6)
            raise ConnectionError("cut")
        yield trades(gap.first_id, gap.last_id)

    monkeypatch.setattr(feed, "refill", in_parts)
    assert repair(feed, store, [hole(1, 9)], until=9).filled == 1
    assert feed.asked == [(1, 9), (7, 9), (1, 4)]
    assert stored_ids(store) == list(range(1, 10))


def test_all_that_is_left_of_a_gap_is_closed_in_one_commit_or_two(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "parts.db", clock=lambda: T0, commit_ms=50)
    feed = ScriptedFeed(history=trades(1, 200)[::2])
    feed.pieces = [feed.history]
    repair(feed, store, [hole(1, 200)], until=9)
    assert Counter(gap.state for gap in store.gaps())["empty"] == 100
    assert store.status().writer.commits <= 4
    store.close()


def test_a_symbol_that_is_deleted_while_it_is_refilled_does_not_come_back(store: SqliteStore) -> None:
    feed = ScriptedFeed()
    feed.pieces = [trades(7, 9), lambda: store.delete(BTC, confirm=f"delete {BTC}"), trades(4, 6), trades(1, 3)]
    assert repair(feed, store, [hole(1, 9)], until=9).filled == 0
    assert store.instruments() == ()


def test_refilled_trades_are_looked_over_like_streamed_ones(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 5), trades(12, 13))
    bad = [
        trade(7, T0, -1.0),
        trade(8, T0, float("inf")),
        trade(9, T0, symbol="DOGEUSDT"),
        trade(3, T0 + 750, 99.0),
    ]
    feed.pieces = [[*trades(10, 11), *bad, trade(6, T0 + 1_500)]]
    ingestor = record(feed, store)
    assert stored_ids(store) == [*range(1, 7), *range(10, 14)]
    assert ledger(store) == {(7, 9): REJECTED}
    reasons = {"price is not a positive number": 2, "the venue sent what was not asked for": 2}
    assert ingestor.health().rejected == reasons
    assert store.reject_counts() == reasons
    assert ingestor.health().gaps_filled == 0
    assert feed.asked == [(6, 11)]


def test_a_gap_for_which_the_venue_has_flawed_trades_only_is_given_up(store: SqliteStore) -> None:
    nan = trade(6, T0, 100.0, float("nan"))
    feed = ScriptedFeed([*trades(1, 5), nan, *trades(7, 8)], history=[nan])
    record(feed, store)
    assert ledger(store) == {(6, 6): REJECTED}
    assert feed.asked == [(6, 6)]


def test_what_is_older_than_the_store_keeps_is_given_up(store: SqliteStore) -> None:
    store.append([trade(1_000, T0 + HOUR)]).result()
    store.prune(ticks_before=T0 + 30 * MINUTE, seconds_before=T0)
    kept = [trade(n, T0 + 40 * MINUTE + n) for n in (8, 9)]
    feed = ScriptedFeed(history=[*trades(1, 7), *kept])
    assert repair(feed, store, [hole(1, 9)], until=9).filled == 0
    assert ledger(store) == {(1, 7): ("abandoned", "older than what the store keeps")}
    assert stored_ids(store) == [8, 9, 1_000]


def test_gaps_that_are_empty_or_given_up_do_not_count_as_filled(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 5), trades(10, 11), trades(15, 16), trades(20, 21), history=trades(17, 19))
    feed.unfillable_before = 10
    assert record(feed, store).health().gaps_filled == 1
    assert Counter(gap.state for gap in store.gaps()) == {"abandoned": 1, "empty": 1, "filled": 1}


def test_what_is_on_its_way_to_the_disk_is_counted_when_recording_is_stopped(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "slow.db", clock=lambda: T0, commit_ms=200)
    feed = ScriptedFeed(trades(1, 50), trades(40, 60), OPEN_END)
    health = record(feed, store, until=lambda ingestor: ingestor.health().received == 71).health()
    assert (health.state, health.stored, health.duplicates) == ("stopped", 60, 11)
    store.close()


def test_a_restart_goes_on_after_a_gap_of_which_nothing_is_stored_yet(store: SqliteStore) -> None:
    store.append(trades(1, 5), holes=[hole(6, 20)]).result()
    feed = ScriptedFeed(trades(23, 24), history=trades(1, 24))
    record(feed, store)
    assert sorted(feed.asked) == [(6, 20), (21, 22)]
    assert stored_ids(store) == list(range(1, 25))
    assert {gap.state for gap in store.gaps()} == {"filled"}


def test_the_very_first_trades_are_not_lost_when_memory_is_full(faulty: FaultyStore) -> None:
    faulty.fail("room", 1)
    ingestor = record(ScriptedFeed(trades(1, 5), trades(6, 7), history=trades(1, 7)), faulty)
    assert stored_ids(faulty) == list(range(1, 8))
    health = ingestor.health()
    assert (health.received, health.stored, health.duplicates, health.dropped) == (12, 7, 0, 5)


def test_a_feed_whose_ids_jump_has_no_holes(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 3), trades(90, 92))
    feed.contiguous = False
    record(feed, store)
    assert store.gaps() == ()


def test_silence_is_judged_by_the_symbols_own_pace(store: SqliteStore) -> None:
    now = [1_000.0]
    ingestor = Ingestor([ScriptedFeed()], store, clock=lambda: T0 + HOUR, monotonic=lambda: now[0])
    states = [ingestor.health().symbols[0].state]

    async def take() -> None:
        for number in range(60):
            now[0] += 1.0
            ingestor._channels[0]._take(Batch([trade(number, T0 + number)]))

    asyncio.run(take())
    for silence in (0, 5.1, 16):
        now[0] += silence
        states.append(ingestor.health().symbols[0].state)
    assert states == ["waiting", "live", "quiet", "stale"]
    [line] = ingestor.health().symbols
    assert line.age_seconds == pytest.approx(21.1)
    assert line.last_price == 100.0


def test_a_few_trades_at_the_start_do_not_make_a_slow_symbol_stale(store: SqliteStore) -> None:
    now = [1_000.0]
    ingestor = Ingestor([ScriptedFeed()], store, clock=lambda: T0 + HOUR, monotonic=lambda: now[0])

    async def take() -> None:
        now[0] += 1.0
        ingestor._channels[0]._take(Batch([trade(number, T0 + number) for number in range(3)]))

    asyncio.run(take())
    now[0] += 100.0
    assert ingestor.health().symbols[0].state == "quiet"


def test_stopping_before_starting_is_allowed(store: SqliteStore) -> None:
    Ingestor([ScriptedFeed()], store, clock=lambda: T0).stop()


def test_the_simulated_market_goes_on_after_a_restart_as_if_there_had_been_none(tmp_path: Path) -> None:
    clock = [1_750_000_000_000]
    symbols = ("BTCUSDT", "ZECUSDT")

    def run(hours: float) -> None:
        clock[0] += int(hours * HOUR)
        store = SqliteStore(tmp_path / "sim.db", clock=lambda: clock[0], commit_ms=1)
        feed = Simulated(clock=lambda: clock[0], seed=3, symbols=symbols)
        ingestor = Ingestor([feed], store, clock=lambda: clock[0])
        ingestor.start()
        wait(lambda: ingestor.health().gaps_filled == 2)
        ingestor.stop()
        store.close()

    run(0)
    run(1.5)
    store = SqliteStore(tmp_path / "sim.db", clock=lambda: clock[0])
    feed = Simulated(clock=lambda: clock[0], seed=3)
    for symbol in symbols:
        stored = [tick for batch in store.ticks(symbol) for tick in batch]
        assert stored == feed.trades(symbol, stored[0].time_ms, stored[-1].time_ms + 1)
        assert stored[-1].time_ms - stored[0].time_ms > 7.4 * HOUR
    assert store.gaps(state="open") == ()
    store.close()


def wait(true: Callable[[], object]) -> None:
    end = time.monotonic() + 15
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)
