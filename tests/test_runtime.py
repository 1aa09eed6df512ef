"""The composition root: what it builds, what it says of it, and that its parts outlive a saved source."""

import importlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from market import PairscopeError, WrongUse
from pairscope import runtime
from pairscope.feeds.simulated import Simulated
from pairscope.runtime import Health, Kept, Runtime, build, current, hold, let_go, make_feed
from pairscope.settings import Settings
from store import SqliteReader, SqliteStore, StoreHeld, StoreUnusable
from tests.faults.desk import WORKERS, wait_for


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
    assert (health.role, health.warnings, list(health.workers)) == ("owner", (), WORKERS)
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


def test_without_a_feed_it_shows_what_is_stored_and_a_command_is_refused(settings: Settings) -> None:
    other = replace(settings, venue="kraken", symbols=())
    idle = build(other)
    idle.start()
    assert idle.health().feed is None
    assert idle.health().warnings[0].startswith("Nothing is being recorded: this version has no feed for kraken yet")
    idle.close()
    with pytest.raises(WrongUse, match=r"python start\.py --demo"):
        build(other, or_view=False)


def test_simulated_trades_never_go_into_a_store_of_others(settings: Settings, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db", clock=lambda: 0)
    store.begin_run(version="0", label="LIVE", settings={}).result()
    store.close()
    with pytest.raises(WrongUse, match="holds LIVE trades, and SIMULATED ones never go into the same store"):
        build(settings)
    build(replace(settings, venue="kraken", symbols=())).close()  # the store was let go


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
    feed = runtime.make_feed(replace(settings, breaks=(moment,)))
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
    feed = make_feed(replace(settings, symbols=("simulated:ETHUSDT", "BTCUSDT")))
    assert [str(each) for each in feed.instruments] == ["simulated:ETHUSDT", "simulated:BTCUSDT"]
    for wrong in ("ETHUSD", "kraken:ETHUSDT"):
        with pytest.raises(WrongUse):
            build(replace(settings, symbols=(wrong,), store=f"sqlite:///{tmp_path}/none.db"))
    assert not (tmp_path / "none.db").exists()
