"""Recording: every trade is stored once, every hole is found, filled or explained, and health tells the truth."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from ingest import Ingestor, Unfillable
from market import HOUR, MINUTE, Gap, Instrument, Label, Tick
from pairscope.feeds.simulated import Simulated
from store import SqliteStore
from tests.contracts.store import BTC, T0, assert_bars, trade

OPEN_END = object()
"""In a script: the stream stays open and silent."""


class ScriptedFeed:
    """A feed that plays a script: batches are yielded, exceptions raised, functions waited for, the open end too."""

    label: Label = "LIVE"
    contiguous = True
    instruments = (BTC,)

    def __init__(self, *script: object, history: Sequence[Tick] = (), first: tuple[int, int] | None = None) -> None:
        self.script = list(script)
        self.history = list(history)
        self.first = first
        self.known: tuple[int, int] | None = None
        self.unfillable_before = 0
        self.failures = 0
        self.asked: list[tuple[int, int]] = []

    async def stream(self) -> AsyncIterator[Sequence[Tick]]:
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
            yield step
            await asyncio.sleep(0)

    async def earliest(self, instrument: Instrument) -> tuple[int, int] | None:
        return self.first

    async def newest(self, instrument: Instrument) -> tuple[int, int] | None:
        return self.known

    async def refill(self, gap: Gap) -> AsyncIterator[Sequence[Tick]]:
        self.asked.append((gap.first_id, gap.last_id))
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the venue does not answer")
        wanted = [tick for tick in self.history if gap.first_id <= tick.trade_id <= gap.last_id]
        for start in range(len(wanted), 0, -3):
            yield wanted[max(0, start - 3) : start]
        if gap.first_id < self.unfillable_before:
            raise Unfillable("older than 48 hours")


def trades(first: int, last: int) -> list[Tick]:
    return [trade(n, T0 + n * 250, 100.0 + n % 5) for n in range(first, last + 1)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "ingest.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


def record(feed: ScriptedFeed, store: SqliteStore, *, until: Callable[[Ingestor], bool] | None = None) -> Ingestor:
    """Record until the feed ends, or until something has happened."""
    ingestor = Ingestor(feed, store, clock=lambda: T0 + HOUR)
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
    monkeypatch.setattr("ingest.FIRST_PAUSE", 0.01)
    feed = ScriptedFeed(trades(1, 5), trades(9, 10), history=trades(1, 10))
    feed.failures = 2
    record(feed, store)
    assert feed.asked == [(6, 8)] * 3
    assert stored_ids(store) == list(range(1, 11))


def test_a_stream_that_breaks_is_begun_again_and_its_hole_filled(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.FIRST_PAUSE", 0.01)
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


def test_a_feed_whose_ids_jump_has_no_holes(store: SqliteStore) -> None:
    feed = ScriptedFeed(trades(1, 3), trades(90, 92))
    feed.contiguous = False
    record(feed, store)
    assert store.gaps() == ()


def test_silence_is_judged_by_the_symbols_own_pace(store: SqliteStore) -> None:
    now = [1_000.0]
    ingestor = Ingestor(ScriptedFeed(), store, clock=lambda: T0 + HOUR, monotonic=lambda: now[0])
    states = [ingestor.health().symbols[0].state]
    for number in range(60):
        now[0] += 1.0
        ingestor._take([trade(number, T0 + number)])
    for silence in (0, 5.1, 16):
        now[0] += silence
        states.append(ingestor.health().symbols[0].state)
    assert states == ["waiting", "live", "quiet", "stale"]
    [line] = ingestor.health().symbols
    assert line.age_seconds == pytest.approx(21.1)
    assert line.last_price == 100.0


def test_stopping_before_starting_is_allowed(store: SqliteStore) -> None:
    Ingestor(ScriptedFeed(), store, clock=lambda: T0).stop()


def test_the_simulated_market_goes_on_after_a_restart_as_if_there_had_been_none(tmp_path: Path) -> None:
    clock = [1_750_000_000_000]
    symbols = ("BTCUSDT", "ZECUSDT")

    def run(hours: float) -> None:
        clock[0] += int(hours * HOUR)
        store = SqliteStore(tmp_path / "sim.db", clock=lambda: clock[0], commit_ms=1)
        feed = Simulated(clock=lambda: clock[0], seed=3, symbols=symbols)
        ingestor = Ingestor(feed, store, clock=lambda: clock[0])
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
