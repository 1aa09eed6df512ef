"""One feed's recording: what was missed is fetched, silence is questioned, and health tells the truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ingest import FeedStatus
from market import Hole, Instrument, Tick, Timeframe, WrongUse
from pairscope.recording.channel import Channel
from store import SqliteStore
from tests.contracts.store import BTC, T0, trade
from tests.recording.scripted import Hand, LiveScript, recording, wait

ETH = Instrument("binance-spot", "ETHUSDT")


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in [
        ("channel.WATCH", 0.005),
        ("channel.UNDER_WAY", 0.01),
        ("channel.REORDER", 0.01),
        ("channel.SPEAKS", 0.01),
    ]:
        monkeypatch.setattr(f"pairscope.recording.{name}_SECONDS", seconds)
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "channel.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


def trades(first: int, last: int, symbol: str = "BTCUSDT") -> list[Tick]:
    return [trade(n, T0 + n * 250, 100.0 + n % 5, symbol=symbol) for n in range(first, last + 1)]


def stored(store: SqliteStore, instrument: Instrument = BTC) -> list[int]:
    if instrument not in store.instruments():
        return []
    return [tick.trade_id for batch in store.ticks(instrument) for tick in batch]


def test_what_a_lost_connection_missed_is_fetched_before_the_next_trade_comes(store: SqliteStore) -> None:
    feed = LiveScript(trades(1, 5))
    with recording(feed, store=store):
        feed.send(*trades(1, 5), connected=True)
        wait(lambda: len(stored(store)) == 5)
        feed.made += trades(6, 9)
        feed.send(connected=True)
        wait(lambda: len(stored(store)) == 9)
    [gap] = store.gaps()
    assert (gap.cause, gap.state) == ("connection lost", "filled")


def test_a_hole_that_could_not_be_handed_over_is_found_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed, true, broken = LiveScript(trades(1, 5)), Channel._hand_over, iter([RuntimeError("planted")])

    def hand_over(channel: Channel, ticks: Sequence[Tick], holes: Sequence[Hole], **options: Any) -> None:
        if holes and not ticks:
            for error in broken:
                raise error
        true(channel, ticks, holes, **options)

    monkeypatch.setattr(Channel, "_hand_over", hand_over)
    with recording(feed, store=store):
        feed.send(*trades(1, 5), connected=True)
        wait(lambda: len(stored(store)) == 5)
        feed.made += trades(6, 9)
        feed.send(connected=True)
        wait(lambda: len(stored(store)) == 9)
    assert "planted" in caplog.text


def test_trades_in_the_wrong_order_cost_no_request(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store):
        feed.send(*trades(1, 5), *trades(8, 9))
        feed.send(*trades(6, 7), *trades(10, 12))
        wait(lambda: len(stored(store)) == 12)
        wait(lambda: store.gaps() and not store.gaps(state="open"))
    assert feed.asked == []


def test_a_damaged_trade_never_reaches_the_chart_and_is_fetched_sound(store: SqliteStore) -> None:
    feed = LiveScript(trades(1, 9))
    spike = trade(6, T0 + 6 * 250, 100_000.0)
    with recording(feed, store=store) as ingestor:
        feed.send(*trades(1, 5), spike, *trades(7, 9))
        wait(lambda: len(stored(store)) == 9)
        assert sum(ingestor.health().rejected.values()) == 1
    assert max(store.bars(BTC, "1s").high) < 200


def test_a_stream_that_is_silent_while_the_venue_trades_is_connected_anew(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 100)), Hand()
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(*trades(1, 100), connected=True)
        wait(lambda: ingestor.health().stored == 100)
        hand.now += 3.6
        feed.made += trades(101, 130)
        wait(lambda: feed.reopened)
        wait(lambda: len(stored(store)) == 130)
        assert feed.reopened == ["binance-spot:BTCUSDT was silent for 4 s while the venue traded"]


def test_connecting_anew_for_the_same_silence_becomes_rarer(store: SqliteStore) -> None:
    feed, hand = LiveScript(), Hand()
    with recording(feed, store=store, hand=hand) as ingestor:
        moments = []
        for _ in range(2_000):
            hand.now += 1.0
            before = len(feed.reopened)
            ingestor._channels[0]._reopen("it is silent")
            if len(feed.reopened) > before:
                moments.append(int(hand.now) - 1_000)
    assert moments == [1, 6, 16, 36, 76, 156, 316, 616, 916, 1216, 1516, 1816]


def test_a_silence_that_the_venue_confirms_is_quiet_and_no_alarm(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 100)), Hand()
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(*trades(1, 100), connected=True)
        wait(lambda: ingestor.health().symbols[0].state == "live")
        hand.now += 60.0
        wait(lambda: ingestor.health().symbols[0].state == "quiet")
        assert ingestor.health().symbols[0].age_seconds == 60.0
    assert feed.reopened == []


def test_what_the_venue_confirms_is_told_with_the_time_at_which_it_was_asked(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 100)), Hand()
    feed.at_the_venue = lambda: T0 + 60_000
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(*trades(1, 100))
        wait(lambda: ingestor.health().received == 100)
        assert ingestor.health().symbols[0].confirmed_ms is None
        hand.now += 31
        wait(lambda: ingestor.health().symbols[0].confirmed_ms is not None)
        confirmed = ingestor.health().symbols[0].confirmed_ms
        assert confirmed is not None
        assert T0 + 50_000 < confirmed < T0 + 60_000


def test_what_the_venue_has_and_was_not_streamed_is_no_confirmation(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 101)), Hand()
    feed.holds_back = True
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(*trades(1, 100))
        wait(lambda: ingestor.health().received == 100)
        hand.now += 31
        wait(lambda: store.gaps(state="open"))
        assert ingestor.health().symbols[0].confirmed_ms is None


def test_a_source_that_answers_at_once_confirms_without_any_silence(store: SqliteStore) -> None:
    feed = LiveScript(trades(1, 100))
    feed.answers_at_once = True
    with recording(feed, store=store, hand=Hand()) as ingestor:
        feed.send(*trades(1, 100))
        wait(lambda: ingestor.health().symbols[0].confirmed_ms is not None)


def test_a_silence_about_which_the_venue_says_nothing_is_stale_and_ends_the_connection(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 100)), Hand()
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(*trades(1, 100), connected=True)
        wait(lambda: ingestor.health().stored == 100)
        feed.answers = False
        hand.now += 15.0
        wait(lambda: feed.reopened)
        assert "the venue does not answer" in feed.reopened[0]
        assert ingestor.health().symbols[0].state == "stale"


def test_a_connection_that_never_brings_a_first_trade_is_found_out(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 5)), Hand()
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(connected=True)
        wait(lambda: ingestor._channels[0].lines[BTC].mark)
        feed.made += trades(6, 8)
        hand.now += 10.1
        wait(lambda: stored(store) == [6, 7, 8])
        assert ingestor.health().symbols[0].state == "waiting"
    assert len(feed.reopened) == 1


def test_a_quiet_symbol_without_a_first_trade_is_left_alone(store: SqliteStore) -> None:
    feed, hand = LiveScript(trades(1, 5)), Hand()
    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(connected=True)
        wait(lambda: ingestor._channels[0].lines[BTC].mark)
        hand.now += 10.1
        wait(lambda: ingestor._channels[0].lines[BTC].silence.quiet)
    assert (feed.reopened, stored(store)) == ([], [])


def test_an_answer_about_another_symbol_does_not_lead_the_ids_astray(store: SqliteStore) -> None:
    feed = LiveScript(trades(1, 5))
    feed.answers_astray = 2
    with recording(feed, store=store):
        feed.send(*trades(1, 5), connected=True)
        wait(lambda: len(stored(store)) == 5)
        feed.made += trades(6, 9)
        feed.send(connected=True)
        wait(lambda: len(stored(store)) == 9)
    assert [(gap.first_id, gap.last_id) for gap in store.gaps()] in ([(6, 9)], [(9, 9)])


def test_a_page_with_prices_of_another_symbol_is_asked_for_once_more(store: SqliteStore) -> None:
    feed = LiveScript([*trades(1, 5), trade(6, T0 + 1_500, 3.0), *trades(7, 9)])
    true = trades(6, 6)[0]
    with recording(feed, store=store):
        feed.send(*trades(1, 5), *trades(7, 9))
        wait(lambda: len(feed.asked) == 2)
        feed.made[5] = true
        wait(lambda: len(stored(store)) == 9)
    assert [tick for batch in store.ticks(BTC) for tick in batch][5] == true


def test_a_price_that_the_venue_repeats_is_believed_however_far_it_is(store: SqliteStore) -> None:
    crash = trade(6, T0 + 1_500, 3.0)
    feed = LiveScript([*trades(1, 5), crash, *trades(7, 9)])
    with recording(feed, store=store):
        feed.send(*trades(1, 5), crash, *trades(7, 9))
        wait(lambda: len(stored(store)) == 9)
    assert len(feed.asked) == 3


def test_a_symbol_is_added_and_removed_while_the_other_goes_on(store: SqliteStore) -> None:
    store.append(trades(1, 3, "ETHUSDT")).result()
    feed = LiveScript([*trades(1, 9), *trades(1, 9, "ETHUSDT")])
    with recording(feed, store=store) as ingestor:
        feed.send(*trades(1, 2))
        ingestor.add(ETH)
        feed.send(*trades(3, 4), *trades(7, 8, "ETHUSDT"))
        wait(lambda: stored(store, ETH) == list(range(1, 9)))
        ingestor.remove(ETH)
        feed.send(*trades(9, 9, "ETHUSDT"), *trades(5, 6))
        wait(lambda: stored(store) == list(range(1, 7)))
        assert [line.instrument for line in ingestor.health().symbols] == [BTC]
        assert ingestor.health().rejected == {}
        with pytest.raises(WrongUse, match="not being recorded"):
            ingestor.remove(ETH)
    assert stored(store, ETH)[-1] == 8


def test_two_venues_are_recorded_at_once_and_a_third_can_be_added(store: SqliteStore) -> None:
    names = [Instrument(venue, "BTCUSDT") for venue in ("binance-spot", "binance-futures", "coinbase")]
    feeds = [LiveScript((), name) for name in names]
    with recording(*feeds[:2], store=store) as ingestor:
        ingestor.add_feed(feeds[2])
        for feed, name in zip(feeds, names, strict=True):
            feed.send(Tick(*name, 1, T0, 100.0, 1.0, "buy"))
        wait(lambda: set(store.instruments()) == set(names))
        assert ingestor.venues == ("binance-spot", "binance-futures", "coinbase")
        assert [venue.state for venue in ingestor.health().venues] == ["streaming"] * 3
        with pytest.raises(WrongUse, match="kraken is not being recorded"):
            ingestor.add(Instrument("kraken", "BTC/USD"))


def test_the_time_is_that_of_the_venue(store: SqliteStore) -> None:
    feed = LiveScript()
    feed.at_the_venue = lambda: T0 - 5_000
    with recording(feed, store=store) as ingestor:
        assert ingestor.now_ms(BTC.venue) == T0 - 5_000
        assert ingestor.now_ms("kraken") == T0 + 3_600_000


def test_nothing_looks_live_when_the_connection_is_gone(store: SqliteStore) -> None:
    feed = LiveScript()
    with recording(feed, store=store) as ingestor:
        feed.send(*trades(1, 3))
        wait(lambda: ingestor.health().symbols[0].state == "live")
        feed.link = FeedStatus("disconnected", "connection lost: 1006", refused={ETH: "ETHUSDT is not listed"})
        health = ingestor.health()
        assert (health.state, health.message) == ("disconnected", "connection lost: 1006")
        states = {line.instrument: (line.state, line.message) for line in health.symbols}
        assert states == {
            BTC: ("disconnected", "connection lost: 1006"),
            ETH: ("refused", "ETHUSDT is not listed"),
        }


def test_the_first_chart_is_full_at_once_and_an_abandoned_gap_is_covered(store: SqliteStore) -> None:
    feed = LiveScript(trades(1, 4))
    feed.candle_lengths = (Timeframe.parse("1s"), Timeframe.parse("1m"))
    feed.refills = False
    with recording(feed, store=store):
        feed.send(*trades(1, 2), *trades(41, 44), connected=True)
        wait(lambda: len(feed.candles_asked) >= 4)
        wait(lambda: len(store.bars(BTC, "1m")) >= 1_000)
        wait(lambda: len(store.bars(BTC, "1s")) >= 1_000)
        wait(lambda: len(store.bars(BTC, "1s", T0 + 2_000, T0 + 9_000)))
    assert feed.candles_asked[0][0] == "1m"
    [gap] = store.gaps()
    assert (gap.state, gap.reason) == ("abandoned", "older than the 48 h that the venue serves")
    inside = store.bars(BTC, "1s", gap.start_ms + 1_000, gap.end_ms - 1_000)
    assert len(inside)
    assert all(inside.klines)


def test_of_a_hole_that_is_too_large_the_newest_part_is_fetched_and_the_rest_is_explained(store: SqliteStore) -> None:
    feed = LiveScript(trades(1, 50))
    with recording(feed, store=store, refill_trades=10):
        feed.send(*trades(1, 2), *trades(40, 42))
        wait(lambda: store.gaps() and not store.gaps(state="open"))
    assert feed.asked == [(30, 39)]
    assert stored(store) == [1, 2, *range(30, 43)]
    [gap] = store.gaps(state="abandoned")
    assert (gap.first_id, gap.last_id) == (3, 29)
    assert gap.reason == "37 trades are missing, more than refill_trades = 10"


def test_a_watch_that_breaks_goes_on_looking(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, hand = LiveScript(trades(1, 100)), Hand()
    errors = [RuntimeError("planted")]

    def status() -> FeedStatus:
        if errors:
            raise errors.pop()
        return FeedStatus()

    with recording(feed, store=store, hand=hand) as ingestor:
        feed.send(*trades(1, 100), connected=True)
        wait(lambda: ingestor.health().stored == 100)
        monkeypatch.setattr(feed, "status", status)
        wait(lambda: not errors)
        feed.made += trades(101, 120)
        hand.now += 4.0
        wait(lambda: feed.reopened)
