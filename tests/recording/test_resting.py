"""Recording that somebody pauses or stops: nothing is received, and what was missed is fetched, or left out."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest import FeedStatus, Ingestor
from market import DAY, HOUR, MINUTE, SECOND, Hole, Instrument, Timeframe
from pairscope.feeds.simulated import Simulated
from pairscope.recording.line import STOPPED
from store import SqliteStore
from tests.contracts.store import BTC, T0, trade
from tests.recording.scripted import LiveScript, recording, wait
from tests.recording.test_channel import stored, trades

ETH = Instrument("binance-spot", "ETHUSDT")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("channel.WATCH", "channel.UNDER_WAY", "channel.REORDER", "channel.SPEAKS"):
        monkeypatch.setattr(f"pairscope.recording.{name}_SECONDS", 0.01)
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("pairscope.recording.history.FIRST_PAUSE", 0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "resting.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


def begun(feed: LiveScript, store: SqliteStore) -> None:
    """Record five trades."""
    feed.made += trades(1, 5)
    feed.send(*trades(1, 5), connected=True)
    wait(lambda: len(stored(store)) == 5)


def states(ingestor: Ingestor) -> tuple[str, str]:
    health = ingestor.health()
    return health.state, health.symbols[0].state


def test_while_recording_is_paused_nothing_is_received_and_health_says_so(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("paused")
        assert feed.rests == 1
        assert states(ingestor) == ("paused", "paused")
        feed.send(*trades(6, 9))
        threading.Event().wait(0.05)  # never set: a feed that streams looks every 2 ms
        assert not feed.streaming
        assert ingestor.health().received == 5


def test_what_a_pause_missed_is_fetched_when_it_ends(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("paused")
        feed.made += trades(6, 20)
        ingestor.go_on()
        feed.send(*trades(15, 20), connected=True)
        wait(lambda: len(stored(store)) == 20)
        wait(lambda: states(ingestor) == ("streaming", "live"))
    [gap] = store.gaps()
    assert (gap.first_id, gap.last_id, gap.cause, gap.state) == (6, 14, "recording was paused", "filled")


def test_what_a_stop_missed_stays_a_gap_that_says_why(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("stopped")
        assert states(ingestor) == ("stopped", "stopped")
        feed.made += trades(6, 20)
        ingestor.go_on()
        feed.send(*trades(15, 20), connected=True)
        wait(lambda: store.gaps(state="abandoned"))
        wait(lambda: len(stored(store)) == 11)
        wait(lambda: ingestor.health().gaps_left_out == 1)
        assert feed.asked == []
    [gap] = store.gaps()
    assert (gap.first_id, gap.last_id, gap.reason) == (6, 14, "recording was stopped")


def test_a_quiet_symbol_has_its_gap_before_its_next_trade(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("stopped")
        feed.made += trades(6, 9)
        ingestor.go_on()
        feed.send(connected=True)
        wait(lambda: store.gaps(state="abandoned"))


def test_a_stop_that_missed_nothing_does_not_explain_a_later_hole(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("stopped")
        ingestor.go_on()
        asked = feed.newest_asked
        feed.send(connected=True)
        wait(lambda: feed.newest_asked > asked)
        feed.made += trades(6, 9)
        feed.send(*trades(8, 9))
        wait(lambda: len(stored(store)) == 9)
    assert [(gap.cause, gap.state) for gap in store.gaps()] == [("missed in the stream", "filled")]


def test_a_pause_that_becomes_a_stop_leaves_all_of_it_out(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("paused")
        ingestor.rest("stopped")
        feed.made += trades(6, 9)
        ingestor.go_on()
        feed.send(trades(9, 9)[0], connected=True)
        wait(lambda: store.gaps(state="abandoned"))


def ledger(store: SqliteStore) -> list[tuple[int, int, str, str]]:
    return [(gap.first_id, gap.last_id, gap.cause, gap.state) for gap in store.gaps()]


def test_an_outage_before_a_stop_is_fetched_with_what_the_stop_missed(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        feed.link = FeedStatus("disconnected")
        feed.made += trades(6, 20)
        ingestor.rest("stopped")
        feed.link = FeedStatus()
        feed.made += trades(21, 32)
        ingestor.go_on()
        feed.send(*trades(31, 32), connected=True)
        wait(lambda: len(stored(store)) == 32)
        wait(lambda: ledger(store) == [(6, 30, "connection lost", "filled")])


def test_what_a_restart_owes_is_fetched_although_recording_was_stopped_before_it_answered(store: SqliteStore) -> None:
    first = LiveScript()
    with recording(first, store=store):
        begun(first, store)
    feed = LiveScript(trades(1, 20))
    feed.answers = False
    with recording(feed, store=store) as ingestor:
        feed.send(connected=True)
        wait(lambda: ingestor._channels[0]._catching)
        ingestor.rest("stopped")
        feed.answers = True
        feed.made += trades(21, 22)
        ingestor.go_on()
        feed.send(*trades(22, 22), connected=True)
        wait(lambda: len(stored(store)) == 22)


def test_what_was_made_after_start_while_the_venue_was_away_is_fetched(store: SqliteStore) -> None:
    feed = LiveScript()
    late = [trade(n, T0 + 2 * HOUR + n * 250, 100.0) for n in range(9, 13)]
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("stopped")
        ingestor.go_on()
        feed.made += [*trades(6, 8), *late]
        feed.at_the_venue = lambda: T0 + 3 * HOUR
        feed.send(late[-1], connected=True)
        wait(lambda: len(stored(store)) == 12)
    [gap] = store.gaps()
    assert (gap.state, gap.cause) == ("filled", "recording was stopped, and not heard at once when it went on")


def test_a_stop_ends_with_the_process_and_what_it_missed_is_fetched_at_the_next_start(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("stopped")
        assert ingestor.resting == "stopped"
    again = LiveScript(trades(1, 20))
    with recording(again, store=store) as ingestor:
        assert ingestor.resting is None
        again.send(*trades(20, 20), connected=True)
        wait(lambda: len(stored(store)) == 20)


def test_after_a_very_long_stop_no_trade_that_came_is_left_out(store: SqliteStore) -> None:
    feed = LiveScript()
    news = [trade(n, T0 + 60_000 + n % 100 * 250, 100.0) for n in range(200_006, 200_016)]
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("stopped")
        ingestor.go_on()
        feed.made += news
        feed.send(*news, connected=True)
        wait(lambda: stored(store)[5:] == [tick.trade_id for tick in news])
        wait(lambda: ledger(store)[0] == (6, 200_005, "recording was stopped", "abandoned"))


def test_a_symbol_that_was_removed_in_a_pause_is_not_asked_for_after_it(store: SqliteStore) -> None:
    feed = LiveScript([], BTC, ETH)
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        feed.holds_back = True
        feed.made += trades(6, 9)
        feed.send(trades(9, 9)[0])
        wait(lambda: feed.asked)
        ingestor.rest("paused")
        ingestor.remove(BTC)
        feed.asked.clear()
        ingestor.go_on()
        assert [gap.instrument for gap in ingestor._channels[0].repairs.tasks.values()] == []
        feed.send(*trades(1, 3, "ETHUSDT"), connected=True)
        wait(lambda: len(stored(store, ETH)) == 3)
        assert feed.asked == []


def test_a_repair_that_a_pause_broke_off_goes_on_after_it(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        feed.holds_back = True
        feed.made += trades(6, 9)
        feed.send(trades(9, 9)[0])
        wait(lambda: feed.asked)
        ingestor.rest("paused")
        assert ingestor.health().symbols[0].repairing == 0
        feed.holds_back = False
        ingestor.go_on()
        wait(lambda: len(stored(store)) == 9)


def test_symbols_can_be_added_and_removed_while_recording_rests(store: SqliteStore) -> None:
    feed = LiveScript([], BTC)
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("paused")
        ingestor.add(ETH)
        assert [each.state for each in ingestor.health().symbols] == ["paused", "paused"]
        ingestor.remove(BTC)
        ingestor.go_on()
        feed.send(*trades(1, 3, "ETHUSDT"), connected=True)
        wait(lambda: len(stored(store, ETH)) == 3)


def test_a_venue_that_is_added_in_a_pause_waits_for_its_end(store: SqliteStore) -> None:
    feed, other = LiveScript(), LiveScript([], Instrument("kraken", "BTC/USD"))
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("paused")
        ingestor.add_feed(other)
        assert [each.state for each in ingestor.health().venues] == ["paused", "paused"]
        assert not other.streaming
        ingestor.go_on()
        wait(lambda: other.streaming)


def test_resting_again_and_again_leaves_no_thread_and_loses_no_trade(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        threads = threading.active_count()
        for number in range(20):
            ingestor.rest("paused")
            feed.made += trades(6 + number, 6 + number)
            ingestor.go_on()
        feed.send(connected=True)
        wait(lambda: len(stored(store)) == 25)
        assert threading.active_count() <= threads + 2  # asyncio keeps a few for what would block it
    assert {gap.state for gap in store.gaps()} == {"filled"}


def test_going_on_without_a_rest_and_ending_in_one_do_nothing(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.go_on()
        feed.send(*trades(6, 7))
        wait(lambda: len(stored(store)) == 7)
        ingestor.rest("stopped")


def lost_week(store: SqliteStore) -> LiveScript:
    """Return a venue that has a week's candles but not its trades, and does not answer yet."""
    if not stored(store):
        store.append([trade(1, T0 - 7 * DAY)]).result()
    feed = LiveScript()
    feed.candle_lengths = (Timeframe(MINUTE),)
    feed.refills = feed.answers = False
    feed.send(trade(100, T0), connected=True)
    return feed


def has_week(store: SqliteStore) -> bool:
    return len(store.bars(BTC, "1m", T0 - 7 * DAY, T0)) == 7 * DAY // MINUTE


def test_candles_that_a_pause_kept_from_an_abandoned_gap_are_fetched_after_it(store: SqliteStore) -> None:
    feed = lost_week(store)
    with recording(feed, store=store) as ingestor:
        wait(lambda: store.gaps(state="abandoned"))
        wait(lambda: any(end == T0 + MINUTE for _, _, end in feed.candles_asked))
        ingestor.rest("paused")
        feed.answers = True
        ingestor.go_on()
        feed.send(connected=True)
        wait(lambda: has_week(store))


def test_candles_over_an_abandoned_gap_that_one_process_did_not_get_are_fetched_by_the_next(
    store: SqliteStore,
) -> None:
    with recording(lost_week(store), store=store):
        wait(lambda: store.gaps(state="abandoned"))
    again = lost_week(store)
    again.answers = True
    with recording(again, store=store):
        wait(lambda: has_week(store))


def test_a_gap_that_is_left_out_while_recording_rests_gets_its_candles_after_it(store: SqliteStore) -> None:
    store.append([], holes=[Hole(ETH, 6, 9, T0 - 7 * DAY, T0, STOPPED)]).result()
    feed = LiveScript([], BTC)
    feed.candle_lengths = (Timeframe(MINUTE),)
    with recording(feed, store=store) as ingestor:
        begun(feed, store)
        ingestor.rest("paused")
        feed.candles_asked.clear()
        ingestor.add(ETH)
        wait(lambda: ingestor.health().gaps_left_out == 1)
        assert feed.candles_asked == []
        ingestor.go_on()
        feed.send(connected=True)
        wait(lambda: len(store.bars(ETH, "1m", T0 - 7 * DAY, T0)) == 7 * DAY // MINUTE)


def test_the_simulated_market_goes_on_where_it_was_paused(store: SqliteStore) -> None:
    time = [T0 + 6 * HOUR]
    feed = Simulated(clock=lambda: time[0], symbols=["DASHUSDT"], pace_ms=1)
    [dash] = feed.instruments
    ingestor = Ingestor([feed], store, clock=lambda: time[0])
    ingestor.start()
    wait(lambda: ingestor.health().gaps_filled == 1)  # its history
    time[0] += 30 * SECOND
    ingestor.rest("paused")
    time[0] += 600 * SECOND
    ingestor.go_on()
    wait(lambda: store.gaps() and not store.gaps(state="open"))
    time[0] += 30 * SECOND
    newest = feed.market.id_at("DASHUSDT", time[0]) - 1
    wait(lambda: stored(store, dash)[-1:] == [newest])
    wait(lambda: not store.gaps(state="open"))
    ingestor.stop()
    ids = stored(store, dash)
    assert ids == list(range(ids[0], newest + 1))
