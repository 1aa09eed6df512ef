"""Candles fill what trades cannot: the time before recording began, and what was given up."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market import DAY, HOUR, MINUTE, SECOND, Gap, Timeframe
from pairscope.recording import history
from pairscope.recording.history import History
from store import SqliteStore
from tests.contracts.store import BTC, T0
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
