"""Candles fill what trades cannot: the time before recording began, and what was given up."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from market import DAY, HOUR, MINUTE, SECOND, Bar, Gap, Hole, Instrument, Timeframe
from pairscope.recording import history
from pairscope.recording.history import History
from store import SqliteStore
from tests.contracts.store import BTC, ETH, T0
from tests.recording.scripted import LiveScript


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "history.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> LiveScript:
    monkeypatch.setattr(history, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(history, "LONGEST_PAUSE", 0.001)
    feed = LiveScript()
    feed.candle_lengths = (Timeframe(SECOND), Timeframe(MINUTE))
    return feed


def gap(start_ms: int, end_ms: int) -> Gap:
    return Gap(1, BTC, 1, 2, start_ms, end_ms, T0, "x", "abandoned", 0, T0, "too old")


def history_at(feed: LiveScript, store: SqliteStore, now_ms: Callable[[], int] = lambda: T0) -> History:
    return History(feed, store, now_ms=now_ms)


def test_the_last_thousand_bars_come_at_once_and_those_that_were_forming_when_they_are_closed(
    store: SqliteStore, feed: LiveScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CANDLES_ARE_THERE_MS", 0)
    minute = T0 - T0 % MINUTE
    moments = iter([minute - 40] * 3)  # 40 ms before the minute ends, and then it has ended
    asyncio.run(history_at(feed, store, lambda: next(moments, minute)).begin([BTC]))
    second = minute - SECOND
    assert feed.candles_asked == [
        ("1m", minute - 1_001 * MINUTE, minute - MINUTE),
        ("1s", second - 1_000 * SECOND, second),
        ("1m", minute - 2 * MINUTE, minute),
        ("1s", minute - 61 * SECOND, minute),
    ]
    assert len(store.bars(BTC, "1m")) == 1_001


def test_a_machine_that_starts_before_its_network_still_gets_its_last_bars(
    store: SqliteStore, feed: LiveScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CANDLES_ARE_THERE_MS", 0)
    feed.candle_lengths, feed.answers = (Timeframe(MINUTE),), False
    minute, looks = T0 - T0 % MINUTE, 0

    def now_ms() -> int:
        nonlocal looks
        looks += 1
        feed.answers = looks > 7
        return minute + HOUR - 1 if feed.answers else minute

    asyncio.run(history_at(feed, store, now_ms).begin([BTC]))
    assert len(feed.candles_asked) >= 8
    assert store.bar_span(BTC) == (minute - 941 * MINUTE, minute + 59 * MINUTE)


def test_a_symbol_that_is_not_recorded_any_more_is_not_asked_about(store: SqliteStore, feed: LiveScript) -> None:
    feed.instruments = ()
    asyncio.run(history_at(feed, store).cover(gap(T0, T0 + MINUTE)))
    assert feed.candles_asked == []


def test_a_long_gap_is_covered_from_its_end_backwards_and_seconds_only_so_far(
    store: SqliteStore, feed: LiveScript
) -> None:
    asyncio.run(history_at(feed, store).cover(gap(T0 - 40 * DAY, T0)))
    asked = [each for each in feed.candles_asked if each[0] == "1s"]
    assert feed.candles_asked[0][2] > T0 >= feed.candles_asked[0][1]
    assert len(feed.candles_asked) - len(asked) == 44  # 30 days of minutes, a thousand at once
    assert sum(end - start for _, start, end in asked) == 2 * 60 * MINUTE


# ---- abandoned gaps that no process has covered whole


class Sparse(LiveScript):
    """A venue that has no candle where nothing was traded."""

    def __init__(self, *traded_ms: int) -> None:
        super().__init__()
        self.traded_ms = traded_ms
        self.candle_lengths = (Timeframe(MINUTE),)

    async def candles(self, instrument: Instrument, length: Timeframe, start_ms: int, end_ms: int) -> Sequence[Bar]:
        bars = await super().candles(instrument, length, start_ms, end_ms)
        return [bar for bar in bars if bar.time_ms in self.traded_ms]


def lose(store: SqliteStore, *spans: tuple[int, int], instrument: Instrument = BTC) -> None:
    """Enter gaps between two times that were given up."""
    for number, (start_ms, end_ms) in enumerate(spans):
        store.append([], holes=[Hole(instrument, 10 * number, 10 * number + 5, start_ms, end_ms, "x")]).result()
    for each in store.gaps(instrument, state="open"):
        store.close_gap(each.key, "abandoned", "too old").result()


def completed(feed: LiveScript, store: SqliteStore) -> list[tuple[str, int, int]]:
    """Begin to record, and return what candles were asked for."""
    feed.candles_asked.clear()
    asyncio.run(history_at(feed, store).complete([BTC]))
    return feed.candles_asked


def test_what_is_missing_of_an_abandoned_gap_is_asked_for_once_and_not_what_is_there(
    store: SqliteStore, feed: LiveScript
) -> None:
    lose(store, (T0 - 2_500 * MINUTE, T0 - MINUTE))
    feed.candle_lengths = (Timeframe(MINUTE),)
    recent = asyncio.run(feed.candles(BTC, Timeframe(MINUTE), T0 - 700 * MINUTE, T0))
    store.add_klines(BTC, Timeframe(MINUTE), recent).result()
    assert completed(feed, store) == [
        ("1m", T0 - 1_700 * MINUTE, T0 - 700 * MINUTE),
        ("1m", T0 - 2_500 * MINUTE, T0 - 1_700 * MINUTE),
    ]
    assert store.bars(BTC, "1m").klines.sum() == 2_500
    assert completed(feed, store) == []


def test_a_gap_that_is_too_long_for_all_of_its_candles_is_not_asked_for_again(store: SqliteStore) -> None:
    feed = Sparse(*range(T0 - 30 * DAY + 5 * MINUTE, T0 + MINUTE, 3 * MINUTE))
    lose(store, (T0 - 40 * DAY, T0))
    assert len(completed(feed, store)) == 44
    assert completed(feed, store) == []


def test_where_little_is_traded_a_gap_is_covered_although_few_bars_have_candles(store: SqliteStore) -> None:
    first, last = T0 - 900 * MINUTE, T0
    feed = Sparse(first, first + 400 * MINUTE, last)
    lose(store, (first + 7, last + 5))
    assert len(completed(feed, store)) == 1
    assert store.bars(BTC, "1m").time.tolist() == [first, first + 400 * MINUTE, last]
    assert completed(feed, store) == []


def test_a_gap_within_one_bar_is_covered_by_one_candle(store: SqliteStore, feed: LiveScript) -> None:
    lose(store, (T0 + 1, T0 + 2))
    assert completed(feed, store) == [("1m", T0, T0 + MINUTE), ("1s", T0, T0 + SECOND)]
    assert completed(feed, store) == []


def test_the_candle_of_a_gap_that_ended_in_the_same_minute_does_not_stand_for_the_next_gap(store: SqliteStore) -> None:
    minutes = range(T0 - HOUR, T0 + MINUTE, MINUTE)
    feed = Sparse(*minutes)
    lose(store, (T0 - HOUR + 30 * SECOND, T0))
    first = asyncio.run(feed.candles(BTC, Timeframe(MINUTE), T0 - HOUR, T0 - HOUR + MINUTE))
    store.add_klines(BTC, Timeframe(MINUTE), first).result()
    assert completed(feed, store) == [("1m", T0 - HOUR, T0 + MINUTE)]
    assert completed(feed, store) == []


def test_of_many_gaps_whose_candles_the_venue_does_not_have_the_newest_few_are_asked_for(store: SqliteStore) -> None:
    lose(store, *((T0 - day * DAY, T0 - day * DAY + HOUR) for day in range(20)))
    asked = completed(Sparse(), store)
    assert [start for _, start, _ in asked] == [T0 - day * DAY for day in range(history.VAIN_ANSWERS)]


def test_a_venue_that_has_only_the_newest_candles_is_asked_once_for_older_ones(store: SqliteStore) -> None:
    feed = Sparse(*range(T0 - 700 * MINUTE, T0, MINUTE))
    lose(store, (T0 - 5_000 * MINUTE, T0 - MINUTE))
    assert [end for _, _, end in completed(feed, store)] == [T0, T0 - 1_000 * MINUTE]
    assert [end for _, _, end in completed(feed, store)] == [T0 - 700 * MINUTE]


def test_only_gaps_of_what_is_recorded_are_completed(store: SqliteStore, feed: LiveScript) -> None:
    lose(store, (T0, T0 + HOUR), instrument=ETH)
    lose(store, (T0, T0 + HOUR))
    feed.instruments = ()
    assert completed(feed, store) == []
    feed.instruments = (BTC,)
    assert completed(feed, store)
    assert not store.bars(ETH, "1m").klines.any()


def test_while_a_gap_is_being_covered_it_is_not_completed_too(store: SqliteStore, feed: LiveScript) -> None:
    lose(store, (T0, T0 + SECOND))
    feed.answers = False

    async def both() -> None:
        ours = history_at(feed, store)
        covering = asyncio.create_task(ours.cover(store.gaps()[0]))
        while not feed.candles_asked:
            await asyncio.sleep(0)
        async with asyncio.timeout(8):
            await ours.complete([BTC])
        feed.answers = True
        await covering
        assert not ours._covering

    asyncio.run(both())
    assert len(store.bars(BTC, "1m")) == 1


def test_a_symbol_that_is_deleted_meanwhile_does_not_come_back(
    store: SqliteStore, feed: LiveScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose(store, (T0, T0 + HOUR))
    before = store.gaps()
    store.delete(BTC, confirm=f"delete {BTC}")
    monkeypatch.setattr(store, "gaps", lambda **options: before)
    assert completed(feed, store) == []
    assert store.instruments() == ()
