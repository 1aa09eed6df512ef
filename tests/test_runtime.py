"""The composition root: what it builds, what it says of it, and that its parts outlive a saved source."""

import importlib
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest import FeedHealth, FeedState, FeedStatus, VenueHealth
from market import Gap, Instrument, PairscopeError, Tick, WrongUse
from pairscope.advice import feed_warnings
from pairscope.feeds.simulated import Simulated
from pairscope.keeping import Kept
from pairscope.runtime import (
    FEEDS,
    NETWORK,
    Health,
    Runtime,
    build,
    current,
    fetch_listing,
    find_symbols,
    hold,
    let_go,
    make_feeds,
)
from pairscope.settings import NETWORK_VENUES, VENUES, Settings
from store import SqliteReader, SqliteStore, StoreHeld, StoreUnusable
from tests.exchange.judge import judge
from tests.exchange.running import running_exchange
from tests.exchange.server import Exchange
from tests.faults.desk import WORKERS, of_the_desk, wait_for


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        venue="simulated",
        symbols=("DASHUSDT",),
        store=f"sqlite:///{tmp_path}/a.db",
        log_file=str(tmp_path / "a.log"),
    )


@pytest.fixture
def held() -> Iterator[None]:
    """Whatever a test lets the process hold is gone afterwards, and so is the keeper of modules."""
    finders = list(sys.meta_path)
    yield
    let_go()
    sys.meta_path[:] = finders


def ended(path: Path) -> list[bool]:
    reader = SqliteReader(path)
    with reader._readers.snapshot() as db:
        rows = db.execute("SELECT stopped FROM runs ORDER BY key").fetchall()
    reader.close()
    return [stopped is not None for (stopped,) in rows]


def recorded(started: Runtime) -> Health:
    started.start()

    def stored() -> Health | None:
        health = started.health()
        return health if health.feed and health.feed.stored else None

    return wait_for(stored)


def test_an_owner_records_says_so_and_notes_that_it_ended(settings: Settings, tmp_path: Path) -> None:
    owner = build(settings)
    health = recorded(owner)
    assert (health.role, list(health.workers)) == ("owner", WORKERS)
    assert of_the_desk(health.warnings) == []
    assert health.threads >= len(WORKERS)
    owner.close()
    assert ended(tmp_path / "a.db") == [True]
    assert "recording ended" in (tmp_path / "a.log").read_text(encoding="utf-8")


def test_closing_leaves_no_thread_and_no_log_behind(settings: Settings, tmp_path: Path) -> None:
    threads, handlers = threading.active_count(), logging.getLogger().handlers[:]
    for number in range(3):
        owner = build(replace(settings, store=f"sqlite:///{tmp_path}/{number}.db"))
        recorded(owner)
        owner.close()
        assert threading.active_count() == threads
        assert logging.getLogger().handlers == handlers


def test_a_second_one_views_or_is_refused(settings: Settings) -> None:
    owner = build(settings)
    viewer = build(settings)
    health = viewer.health()
    assert (health.role, health.feed, health.store) == ("viewer", None, None)
    assert health.warnings == (f"Viewing only: process {os.getpid()} records into {settings.store}.",)
    viewer.start()
    with pytest.raises(StoreHeld):
        build(settings, or_view=False)
    owner.close()
    assert "Restart this app" in viewer.health().warnings[0]
    viewer.close()


def test_simulated_trades_never_go_into_a_store_of_others(settings: Settings, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db", clock=lambda: 0)
    store.begin_run(version="0", label="LIVE", settings={}).result()
    store.close()
    with pytest.raises(WrongUse, match="holds LIVE trades, and SIMULATED ones never go into the same store"):
        build(settings)
    SqliteStore(tmp_path / "a.db", clock=lambda: 0).close()  # it was let go


@pytest.mark.parametrize("store", ["sqlite:///none/a.db", "postgres://a"])
def test_what_cannot_be_built_leaves_no_log_open(settings: Settings, store: str) -> None:
    handlers = logging.getLogger().handlers[:]
    with pytest.raises(StoreUnusable):
        build(replace(settings, store=store))
    assert logging.getLogger().handlers == handlers


def test_a_run_that_never_reached_the_disk_does_not_hold_up_the_end(settings: Settings) -> None:
    owner = build(settings)
    owner._run = Future()
    owner.close()


def test_the_simulated_pair_breaks_when_the_settings_say(settings: Settings) -> None:
    moment = 1_760_000_000_000
    [feed] = make_feeds(replace(settings, breaks=(moment,)))
    assert isinstance(feed, Simulated)
    assert feed.market.breaks_ms == (moment,)


@pytest.mark.usefixtures("held")
def test_one_runtime_is_held_and_the_next_one_closes_it(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"streamlit run app\.py"):
        current()
    first = build(settings)
    recorded(first)
    hold(first)
    assert current() is first
    second = build(replace(settings, store=f"sqlite:///{tmp_path}/b.db"))
    hold(second)
    assert current() is second
    assert ended(tmp_path / "a.db") == [True]
    let_go()
    let_go()
    with pytest.raises(PairscopeError):
        current()


@pytest.mark.usefixtures("held")
def test_modules_that_streamlit_drops_come_back_as_they_were(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(build(settings))
    hold(build(settings))
    assert sum(isinstance(finder, Kept) for finder in sys.meta_path) == 1
    for name in ("market", "pairscope", "pairscope.runtime", "store"):
        before = sys.modules[name]
        monkeypatch.delitem(sys.modules, name)
        assert importlib.import_module(name) is before
        monkeypatch.undo()
    assert importlib.import_module("pairscope.runtime").current is current


def test_a_symbol_may_carry_its_venue_and_a_wrong_one_leaves_no_file_behind(settings: Settings, tmp_path: Path) -> None:
    [feed] = make_feeds(replace(settings, symbols=("simulated:ETHUSDT", "BTCUSDT")))
    assert [str(each) for each in feed.instruments] == ["simulated:ETHUSDT", "simulated:BTCUSDT"]
    for wrong in (("ETHUSD",), ("BTCUSDT", "kraken:BTC/USD")):
        with pytest.raises(WrongUse):
            build(replace(settings, symbols=wrong, store=f"sqlite:///{tmp_path}/none.db"))
    assert not (tmp_path / "none.db").exists()


# ------------------------------------------------------------------------------------------------- several venues


def test_every_venue_of_the_settings_has_a_feed_and_its_defaults() -> None:
    assert set(FEEDS) == set(VENUES)
    assert set(NETWORK) == set(NETWORK_VENUES)
    for venue in VENUES:
        [feed] = make_feeds(Settings(venue=venue))
        assert (feed.venue, {each.venue for each in feed.instruments}) == (venue, {venue})
        assert feed.label == ("SIMULATED" if venue == "simulated" else "LIVE")


def test_each_venue_that_is_named_has_one_feed_and_the_default_one_only_if_it_is() -> None:
    names = ("kraken:BTC/USD", "binance-futures:BTCUSDT", "kraken:ETH/USD")
    assert [feed.venue for feed in make_feeds(Settings(symbols=names))] == ["kraken", "binance-futures"]
    feeds = make_feeds(Settings(symbols=(*names, "BTCUSDT")))
    assert [len(feed.instruments) for feed in feeds] == [2, 1, 1]
    assert feeds[2].instruments == (Instrument("binance-spot", "BTCUSDT"),)


def test_simulated_and_real_trades_are_refused_together_in_one_sentence(settings: Settings) -> None:
    with pytest.raises(WrongUse) as caught:
        make_feeds(replace(settings, symbols=("BTCUSDT", "kraken:BTC/USD")))
    assert str(caught.value).startswith("SIMULATED trades of simulated and LIVE trades of kraken are never recorded")


# ------------------------------------------------------------------------------- symbols that come and go


@pytest.fixture
def owner(settings: Settings) -> Iterator[Runtime]:
    built = build(settings)
    recorded(built)
    yield built
    built.close()


def names_of(desk: Runtime) -> list[str]:
    return [str(each.instrument) for each in desk.recorded()]


def test_a_symbol_is_recorded_from_the_moment_it_is_added_until_it_is_removed(owner: Runtime) -> None:
    assert owner.add_symbol("BTCUSDT") == Instrument("simulated", "BTCUSDT")
    assert names_of(owner) == ["simulated:DASHUSDT", "simulated:BTCUSDT"]
    wait_for(lambda: Instrument("simulated", "BTCUSDT") in owner.reader.latest())
    assert owner.remove_symbol("BTCUSDT") == Instrument("simulated", "BTCUSDT")
    assert names_of(owner) == ["simulated:DASHUSDT"]
    assert Instrument("simulated", "BTCUSDT") in owner.reader.latest()


def test_what_cannot_be_added_is_told_with_the_nearest_and_changes_nothing(owner: Runtime) -> None:
    for text, venue, why in (
        ("BTCUSTD", None, "did you mean BTCUSDT?"),
        ("BTC/USD", "krakn", "unknown venue 'krakn' (did you mean kraken?)"),
        ("BTC/USD", "kraken", "LIVE trades of kraken are never recorded together with SIMULATED ones"),
    ):
        with pytest.raises(WrongUse) as caught:
            owner.add_symbol(text, venue)
        assert why in str(caught.value)
    with pytest.raises(WrongUse, match=r"unknown recorded symbol 'DASHUSD' \(did you mean DASHUSDT\?\)"):
        owner.remove_symbol("DASHUSD")
    assert names_of(owner) == ["simulated:DASHUSDT"]


def test_a_search_finds_what_begins_with_the_text_first(owner: Runtime) -> None:
    assert next(iter(owner.search("usd"))).venue == "simulated"
    found = find_symbols({"WBTCUSDT": "", "BTCUSDT": "", "ETHUSDT": "", "BTCEUR": "BREAK"}, "btc", venue="v")
    assert [name.symbol for name in found] == ["BTCEUR", "BTCUSDT", "WBTCUSDT"]
    assert found[Instrument("v", "BTCEUR")] == "BREAK"
    with pytest.raises(WrongUse, match="unknown venue"):
        owner.search("BTC", "krakn")


def test_where_nothing_is_recorded_nothing_can_be_added(owner: Runtime, settings: Settings) -> None:
    viewer = build(settings)
    for change in (viewer.add_symbol, viewer.remove_symbol):
        with pytest.raises(WrongUse, match=r"nothing is being recorded into sqlite:"):
            change("BTCUSDT")
    assert (viewer.recorded(), viewer.desk) == ((), None)
    assert len(viewer.search("BTCUSDT")) == 1
    viewer.close()


# ---------------------------------------------------------------------------------------------- warnings


def health_of(*venues: VenueHealth, loop_lag_ms: float = 1.0) -> FeedHealth:
    return FeedHealth(
        label="LIVE",
        state="streaming",
        message="",
        symbols=(),
        venues=venues,
        received=0,
        stored=0,
        duplicates=0,
        rejected={},
        dropped=0,
        gaps_filled=0,
        gaps_open=0,
        gaps_abandoned=0,
        gaps_left_out=0,
        reconnects=0,
        queue=0,
        loop_lag_ms=loop_lag_ms,
    )


def venue(state: FeedState = "streaming", message: str = "", **status: Any) -> VenueHealth:
    return VenueHealth("kraken", "LIVE", state, message, FeedStatus(**status))


def test_when_all_is_well_nothing_is_warned_of() -> None:
    assert feed_warnings(health_of(venue(skew_ms=999), venue("starting"), loop_lag_ms=999.0)) == []


@pytest.mark.parametrize(
    ("health", "wanted"),
    [
        (health_of(venue("disconnected", "no route")), "kraken is not being recorded: no route."),
        (health_of(venue("refused", "banned for 60 s")), "kraken is not being recorded: banned for 60 s."),
        (health_of(venue("failing")), "kraken is not being recorded: failing."),
        (health_of(venue(skew_ms=3_210)), "This machine's clock is 3.2 s ahead of that of kraken: "),
        (health_of(venue(skew_ms=-1_500)), "This machine's clock is 1.5 s behind that of kraken: "),
        (
            health_of(venue(refused={Instrument("kraken", "A"): "kraken has no symbol 'A'"})),
            "Not recorded: kraken has no",
        ),
        (health_of(venue(), loop_lag_ms=1_230.4), "Recording was held up for 1,230 ms within the last minute; "),
    ],
)
def test_what_a_person_should_know_is_said_in_one_sentence(health: FeedHealth, wanted: str) -> None:
    [warning] = feed_warnings(health)
    assert warning.startswith(wanted)


def test_an_id_that_comes_with_another_price_is_said_so_until_the_process_ends(settings: Settings) -> None:
    first = Tick("simulated", "BTCUSDT", 1, 1_760_000_000_000, 100.0, 1.0, "buy")
    desk = build(settings)
    assert desk.store
    desk.store.append([first]).result()
    desk.store.append([first._replace(price=101.0)]).result()
    health = desk.health()
    assert health.conflicts == 1
    assert health.warnings[-1].startswith("simulated:BTCUSDT: trades came whose id had come before with other values;")
    desk.close()
    again = build(settings)
    assert again.health().conflicts == 0
    again.close()


def test_how_many_ids_came_again_is_said_in_steps_so_that_the_text_stands_still(settings: Settings) -> None:
    first = Tick("simulated", "BTCUSDT", 1, 1_760_000_000_000, 100.0, 1.0, "buy")
    desk = build(settings)
    assert desk.store
    desk.store.append([first]).result()
    for count in range(11):
        desk.store.append([first._replace(price=101.0 + count)]).result()
    said = desk.health().warnings[-1]
    assert said.startswith("simulated:BTCUSDT: trades came (more than 10) whose id")
    desk.store.append([first._replace(price=200.0)]).result()
    assert desk.health().warnings[-1] == said
    desk.close()


def test_trades_that_cannot_be_had_any_more_are_warned_of_in_the_run_that_gave_them_up(settings: Settings) -> None:
    desk = build(replace(settings, refill_trades=2))  # of its history, it can have no more
    desk.start()
    wait_for(lambda: any(each.startswith("Trades that were missed") for each in desk.health().warnings))
    desk.close()
    again = build(settings)
    again.start()
    wait_for(lambda: (feed := again.health().feed) and feed.gaps_abandoned)
    assert of_the_desk(again.health().warnings) == []
    again.close()


def test_what_is_stopped_cannot_be_paused(settings: Settings) -> None:
    desk = build(settings)
    desk.start()
    desk.rest("stopped")
    outcome = desk.perform("recording pause", {})
    assert (outcome.exit, outcome.text) == (2, "recording is stopped: start it first")
    assert {each.state for each in desk.recorded()} == {"stopped"}
    desk.go_on()
    desk.rest("paused")
    assert {each.state for each in desk.recorded()} == {"paused"}
    desk.close()


# ------------------------------------------------------------------------------------------ a real exchange


def live(exchange: Exchange, tmp_path: Path, *symbols: str, **more: Any) -> Settings:
    return Settings(
        symbols=symbols,
        store=f"sqlite:///{tmp_path}/live.db",
        log_file=str(tmp_path / "live.log"),
        binance_spot_ws=(exchange.ws,),
        binance_spot_rest=(exchange.rest,),
        **more,
    )


def test_a_listing_comes_from_where_the_settings_say(tmp_path: Path) -> None:
    with running_exchange("binance-spot", ("BTCUSDT",), listing={"OLDUSDT": "BREAK"}) as exchange:
        listing = fetch_listing(live(exchange, tmp_path), "binance-spot")
    assert dict(listing) == {"BTCUSDT": "", "OLDUSDT": "BREAK"}


def test_an_unknown_symbol_is_refused_before_there_is_a_store(tmp_path: Path) -> None:
    with running_exchange("binance-spot", ("BTCUSDT",)) as exchange:
        settings = live(exchange, tmp_path, "BTCUSTD")
        with pytest.raises(WrongUse, match=r"binance-spot has no symbol 'BTCUSTD' \(did you mean BTCUSDT\?\)"):
            build(settings, look_up=True)
    assert not (tmp_path / "live.db").exists()
    build(settings, look_up=True).close()  # the exchange has gone: recording finds out


def test_a_venue_that_is_not_recorded_yet_is_when_a_symbol_of_it_is_added(tmp_path: Path) -> None:
    with running_exchange("binance-spot", ("BTCUSDT",), rate=50) as spot, running_exchange("kraken", rate=50) as kraken:
        more = {"kraken_ws": (kraken.ws,), "kraken_rest": (kraken.rest,)}
        desk = build(live(spot, tmp_path, "BTCUSDT", **more))
        desk.start()
        with pytest.raises(WrongUse, match=r"kraken has no symbol 'BTC/USDX' \(did you mean BTC/USD\?\)"):
            desk.add_symbol("kraken:BTC/USDX")
        desk.add_symbol("kraken:BTC/USD")
        wait_for(lambda: len(desk.reader.latest()) == 2)
        feed = desk.health().feed
        assert feed
        assert [(each.venue, each.state) for each in feed.venues] == [
            ("binance-spot", "streaming"),
            ("kraken", "streaming"),
        ]
        desk.close()
    assert (spot.violations, kraken.violations) == ([], [])


def test_a_disk_that_is_nearly_full_is_told_after_what_is_wrong(settings: Settings) -> None:
    desk = build(replace(settings, disk_warn=1e-9))
    recorded(desk)
    desk.rest("paused")
    wait_for(lambda: of_the_desk(desk.health().warnings))
    first, *_, last = desk.health().warnings
    desk.close()
    assert first.startswith("Recording is paused")
    assert re.fullmatch(r"The disk is \d+% full, \d+\.\d GB are left\.", last)


def test_a_closed_runtime_does_not_begin_to_make_numbers_ready(settings: Settings) -> None:
    owner = build(settings)
    owner.close()
    owner.warming.begin()
    assert not any(each.name == "warming" for each in threading.enumerate())


# ------------------------------------------------------------------------------------- pause, stop, and go on


def test_a_pause_lets_go_of_the_venue_and_what_it_missed_is_fetched(tmp_path: Path) -> None:
    with running_exchange("binance-spot", ("BTCUSDT",), rate=100) as exchange:
        desk = build(live(exchange, tmp_path, "BTCUSDT"))
        recorded(desk)
        threads = threading.active_count()
        desk.rest("paused")
        wait_for(lambda: not exchange.connections)
        assert desk.health().warnings[0].startswith("Recording is paused: nothing is received.")
        assert [each.state for each in desk.recorded()] == ["paused"]
        received, made = received_of(desk), exchange.ledger["BTCUSDT"].last_id
        wait_for(lambda: exchange.ledger["BTCUSDT"].last_id > made + 50)
        assert received_of(desk) == received
        assert desk.perform("preset save", {"preset": "mine", "values": {}}).exit == 0
        desk.go_on()
        wait_for(lambda: desk.reader.gap_counts().get("filled"))
        wait_for(lambda: [each.state for each in desk.recorded()] == ["live"])
        assert of_the_desk(desk.health().warnings) == []
        assert threading.active_count() <= threads + 2  # asyncio keeps a few for what would block it
        desk.close()
        reader = SqliteReader(tmp_path / "live.db")
        last = reader.last_ids()[Instrument("binance-spot", "BTCUSDT")][0]
        verdict = judge(
            exchange.ledger, reader, venue="binance-spot", last_ids={"BTCUSDT": last}, violations=exchange.violations
        )
        reader.close()
        assert verdict.clean, verdict.line()
    assert "recording was paused" in {gap.cause for gap in gaps_in(tmp_path / "live.db")}


def test_a_stop_leaves_a_gap_with_its_reason_and_warns_of_nothing_lost(tmp_path: Path) -> None:
    with running_exchange("binance-spot", ("BTCUSDT",), rate=100) as exchange:
        desk = build(live(exchange, tmp_path, "BTCUSDT"))
        recorded(desk)
        desk.rest("stopped")
        wait_for(lambda: not exchange.connections)
        made = exchange.ledger["BTCUSDT"].last_id
        wait_for(lambda: exchange.ledger["BTCUSDT"].last_id > made + 50)
        desk.go_on()
        wait_for(lambda: desk.reader.gap_counts().get("abandoned"))
        wait_for(lambda: (feed := desk.health().feed) and feed.gaps_abandoned)
        assert of_the_desk(desk.health().warnings) == []
        desk.close()
    [gap] = [gap for gap in gaps_in(tmp_path / "live.db") if gap.state == "abandoned"]
    assert (gap.cause, gap.reason) == ("recording was stopped", "recording was stopped")
    assert gap.last_id - gap.first_id > 40


def received_of(desk: Runtime) -> int:
    feed = desk.health().feed
    assert feed
    return feed.received


def gaps_in(path: Path) -> tuple[Gap, ...]:
    reader = SqliteReader(path)
    found = reader.gaps()
    reader.close()
    return found


def test_where_nothing_is_recorded_nothing_is_paused_here_but_the_owner_is_told(settings: Settings) -> None:
    owner = build(settings)
    recorded(owner)
    viewer = build(settings)
    with pytest.raises(WrongUse, match="nothing is being recorded"):
        viewer.rest("paused")
    outcome = viewer.perform("recording pause", {})
    assert outcome.exit == 1
    assert "takes no commands" in outcome.text
    owner.close()
    assert "Restart this app" in viewer.perform("recording pause", {}).text
    viewer.close()
