"""Candles fill what trades cannot: the time before recording began, and what was given up."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from market import DAY, MINUTE, SECOND, Gap, Timeframe
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
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.001)
    feed = LiveScript()
    feed.candle_lengths = (Timeframe(SECOND), Timeframe(MINUTE))
    return feed


def gap(start_ms: int, end_ms: int) -> Gap:
    return Gap(1, BTC, 1, 2, start_ms, end_ms, T0, "x", "abandoned", 0, T0, "too old")


def test_the_last_thousand_bars_come_at_once_and_those_that_were_forming_when_they_are_closed(
    store: SqliteStore, feed: LiveScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "CANDLES_ARE_THERE_MS", 0)
    now = T0 - T0 % MINUTE + MINUTE - 40  # 40 ms before the minute ends
    asyncio.run(History(feed, store).begin([BTC], now))
    minute, second = now - now % MINUTE, now - now % SECOND
    assert feed.candles_asked == [
        ("1m", minute - 1_000 * MINUTE, minute),
        ("1s", second - 1_000 * SECOND, second),
        ("1m", minute, minute + MINUTE),
        ("1s", second, minute + MINUTE),
    ]
    assert len(store.bars(BTC, "1m")) == 1_001


def test_a_long_gap_is_covered_from_its_end_backwards_and_seconds_only_so_far(
    store: SqliteStore, feed: LiveScript
) -> None:
    asyncio.run(History(feed, store).cover(gap(T0 - 40 * DAY, T0)))
    asked = [each for each in feed.candles_asked if each[0] == "1s"]
    assert feed.candles_asked[0][2] > T0 >= feed.candles_asked[0][1]
    assert len(feed.candles_asked) - len(asked) == 44  # 30 days of minutes, a thousand at once
    assert sum(end - start for _, start, end in asked) == 2 * 60 * MINUTE


def test_a_venue_that_does_not_answer_is_asked_some_times_and_then_left_alone(
    store: SqliteStore, feed: LiveScript
) -> None:
    feed.answers = False
    feed.candle_lengths = (Timeframe(MINUTE),)
    asyncio.run(History(feed, store).cover(gap(T0, T0 + MINUTE)))
    assert len(feed.candles_asked) == history.TRIES
