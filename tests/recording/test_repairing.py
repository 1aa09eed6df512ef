"""Gaps that somebody asks for again: those given up are filled when the venue has them, those waiting at once."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ingest import Effort
from market import Gap, Hole, Instrument, Tick, WrongUse
from pairscope.recording.line import STOPPED
from store import SqliteStore
from tests.contracts.store import BTC, T0, trade
from tests.exchange.faults import RestFault
from tests.faults.feeds import Recording, scale, trading
from tests.faults.feeds import recording as recording_of
from tests.faults.feeds import wait as wait_for
from tests.recording.scripted import LiveScript, recording, wait

ETH = Instrument("binance-spot", "ETHUSDT")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "repairing.db", clock=lambda: T0, commit_ms=1)
    yield store
    store.close()


def trades(first: int, last: int) -> list[Tick]:
    return [trade(n, T0 + n * 250, 100.0 + n % 5) for n in range(first, last + 1)]


def states(store: SqliteStore) -> list[str]:
    return [gap.state for gap in store.gaps()]


def open_hole(store: SqliteStore) -> None:
    """Store five trades, a hole of four, and one more."""
    hole = Hole(BTC, 6, 9, T0 + 5 * 250, T0 + 10 * 250, "connection lost")
    store.append([*trades(1, 5), *trades(10, 10)], holes=[hole]).result()


def test_a_gap_that_was_given_up_is_open_again_and_one_that_was_filled_stays_so(store: SqliteStore) -> None:
    open_hole(store)
    [gap] = store.gaps()
    store.close_gap(gap.key, "abandoned", "too old").result()
    store.reopen_gap(gap.key).result()
    [again] = store.gaps()
    assert again == replace(gap, cause="connection lost; asked for again")
    assert store.bars(BTC, "1s").gap.any()
    store.close_gap(gap.key, "abandoned", "too old").result()
    store.reopen_gap(gap.key).result()
    assert store.gaps() == (again,)
    store.append(trades(6, 9)).result()
    store.reopen_gap(gap.key).result()
    assert states(store) == ["filled"]


def test_a_gap_that_was_given_up_is_filled_once_the_venue_has_its_trades(store: SqliteStore) -> None:
    open_hole(store)
    feed = LiveScript(trades(1, 10))
    feed.refills = False
    with recording(feed, store=store) as ingestor:
        feed.send(connected=True)
        wait(lambda: states(store) == ["abandoned"])
        feed.refills = True
        ingestor.repair(store.gaps())
        wait(lambda: states(store) == ["filled"])
    assert [tick.trade_id for batch in store.ticks(BTC) for tick in batch] == list(range(1, 11))


def test_a_repair_of_what_a_stop_missed_is_not_forgotten_at_a_restart(store: SqliteStore) -> None:
    hole = Hole(BTC, 6, 9, T0 + 5 * 250, T0 + 10 * 250, STOPPED)
    store.append([*trades(1, 5), *trades(10, 10)], holes=[hole]).result()
    feed = LiveScript(trades(1, 10))
    with recording(feed, store=store) as ingestor:
        feed.send(connected=True)
        wait(lambda: states(store) == ["abandoned"])
        feed.holds_back = True
        ingestor.repair(store.gaps())
        wait(lambda: feed.asked)
    assert states(store) == ["open"]
    again = LiveScript(trades(1, 10))
    with recording(again, store=store):
        again.send(connected=True)
        wait(lambda: states(store) == ["filled"])


def test_a_gap_that_was_filled_meanwhile_is_not_counted_once_more(store: SqliteStore) -> None:
    open_hole(store)
    feed = LiveScript(trades(1, 10))
    with recording(feed, store=store) as ingestor:
        before = store.gaps()
        feed.send(connected=True)
        wait(lambda: ingestor.health().gaps_filled == 1)
        wait(lambda: not ingestor._channels[0].repairs.tasks)
        for outdated in (before, tuple(replace(gap, state="abandoned") for gap in before)):
            ingestor.repair(outdated)
            assert not ingestor._channels[0].repairs.tasks
        assert ingestor.health().gaps_filled == 1


def test_only_what_was_wanted_and_given_up_is_counted_until_somebody_asks_again(store: SqliteStore) -> None:
    open_hole(store)
    feed = LiveScript(trades(1, 10))
    feed.refills = False
    with recording(feed, store=store) as ingestor:
        feed.send(*trades(11, 11), connected=True)
        wait(lambda: ingestor.health().gaps_given_up == 1)
        ingestor.rest("stopped")
        ingestor.go_on()
        feed.made += trades(12, 14)
        feed.send(*trades(14, 14), connected=True)
        wait(lambda: ingestor.health().gaps_left_out == 1)
        assert ingestor.health().gaps_given_up == 1
        feed.refills = True
        ingestor.repair(store.gaps())
        wait(lambda: states(store) == ["filled", "filled"])
        assert ingestor.health().gaps_given_up == 0
        feed.refills = False
        feed.send(trade(20, T0 + 20 * 250))
        wait(lambda: ingestor.health().gaps_given_up == 1)


def test_a_gap_that_cannot_be_had_is_given_up_anew_with_the_reason(store: SqliteStore) -> None:
    open_hole(store)
    feed = LiveScript()
    feed.refills = False
    with recording(feed, store=store) as ingestor:
        feed.send(connected=True)
        wait(lambda: states(store) == ["abandoned"])
        ingestor.repair(store.gaps())
        wait(lambda: len(feed.asked) == 2 and states(store) == ["abandoned"])
    assert store.gaps()[0].reason == "older than the 48 h that the venue serves"


def test_a_gap_that_is_asked_for_in_the_moment_it_is_given_up_is_tried_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt has read that nothing is open any more, and has not ended yet."""
    held, let_go = Event(), Event()
    gaps = store.gaps

    def slowly(*args: Any, **options: Any) -> Sequence[Gap]:
        found = gaps(*args, **options)
        if options.get("state") == "open" and not found and not held.is_set():
            held.set()
            let_go.wait(8)
        return found

    open_hole(store)
    feed = LiveScript(trades(1, 10))
    feed.refills = False
    monkeypatch.setattr(store, "gaps", slowly)
    with recording(feed, store=store) as ingestor:
        feed.send(connected=True)
        assert held.wait(8)
        feed.refills = True
        ingestor.repair(gaps())
        assert states(store) == ["open"]
        let_go.set()
        wait(lambda: states(store) == ["filled"])


def test_of_a_symbol_that_left_nothing_is_asked_and_a_venue_that_is_not_recorded_is_named(store: SqliteStore) -> None:
    open_hole(store)
    feed = LiveScript(trades(1, 10))
    feed.refills = False
    with recording(feed, store=store) as ingestor:
        feed.send(connected=True)
        wait(lambda: states(store) == ["abandoned"])
        ingestor.remove(BTC)
        ingestor.repair(store.gaps())
        assert states(store) == ["abandoned"]
        store.append([], holes=[Hole(Instrument("kraken", "BTC/USD"), 1, 2, T0, T0, "x")]).result()
        with pytest.raises(WrongUse, match="kraken is not being recorded"):
            ingestor.repair(store.gaps())


# ---- against the test exchange


def test_a_gap_that_waits_for_its_turn_is_filled_at_once_and_tells_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(monkeypatch)
    monkeypatch.setattr("pairscope.recording.intake.FIRST_PAUSE", 600.0)
    with trading("binance-spot") as exchange, recording_of(exchange, folder=tmp_path) as desk:
        desk.make(5)
        wait_for(desk.is_whole)
        exchange.fault_rest(RestFault("status", count=3))
        exchange.make("BTCUSDT", 50, publish=False)
        desk.make(5)
        wait_for(lambda: desk.gaps("open") and desk.ingestor.effort(desk.gaps("open")[0]))
        effort = desk.ingestor.effort(desk.gaps("open")[0])
        assert isinstance(effort, Effort)
        assert effort.attempts == 1
        assert "503" in effort.trouble
        wait_for(lambda: asked_again(desk))
        desk.assert_whole()


def asked_again(desk: Recording) -> bool:
    """Ask as a person does, who presses the button until it helps; return whether nothing is missing any more."""
    if gaps := desk.gaps("open"):
        desk.ingestor.repair(gaps)
    return not gaps


def test_what_was_too_much_for_one_refill_is_fetched_by_asking_again(tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, recording_of(exchange, folder=tmp_path, refill_trades=1_000) as desk:
        desk.make(5)
        wait_for(desk.is_whole)
        exchange.drop(1001)
        exchange.make("BTCUSDT", 1_500, publish=False)
        desk.settle()
        wait_for(lambda: desk.gaps("abandoned"))
        desk.ingestor.repair(desk.gaps("abandoned"))
        desk.assert_whole()
        assert not desk.gaps("abandoned")
