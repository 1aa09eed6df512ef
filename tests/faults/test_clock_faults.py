"""Clocks, standstill, kills, broken tasks and broken frames: rows B1, B3, P4, P5, and J1 to J3, of the whole live path.

And what is about time in another way: symbols that come and go, holes since the last run, trades too old to be served.
"""

import inspect
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import DAY, HOUR, Instrument
from pairscope.advice import feed_warnings
from pairscope.recording.line import Line
from pairscope.runtime import now_ms
from tests.exchange.dialect import Session
from tests.exchange.faults import Fault
from tests.exchange.ledger import Trade
from tests.exchange.meters import share_of_weight
from tests.exchange.running import dialect_of
from tests.exchange.server import Exchange
from tests.faults.feeds import (
    SYMBOLS,
    TEN_MINUTES,
    VENUES,
    WATCHFUL,
    DeskProcess,
    Recording,
    desk_process,
    is_whole,
    often,
    pass_by,
    recording,
    report,
    scale,
    trading,
    wait,
    words_of,
)


@pytest.fixture(autouse=True)
def _scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    scale(monkeypatch)


# ---- B1: the wall clock


class Wall:
    """This machine's clock, which somebody sets."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def __call__(self) -> int:
        return now_ms() + self.ahead_ms


def assert_bars_are_where_trades_were(desk: Recording) -> None:
    """There is a bar of a second where there were trades, and nowhere else."""
    for exchange in desk.exchanges:
        for book in exchange.ledger:
            made = book.columns(desk.first_ids[exchange.dialect.name][book.symbol], book.last_id)
            bars = desk.store.bars(Instrument(exchange.dialect.name, book.symbol), "1s")
            ours = bars.time[~bars.klines]
            assert set(ours.tolist()) <= set((made.time_ms // 1000 * 1000).tolist())
            assert int(bars.trades[~bars.klines].sum()) <= len(np.unique(made.trade_id))


@pytest.mark.parametrize("venue", ["binance-futures", "kraken"])
def test_b1_a_clock_that_jumps_moves_no_bar_and_raises_no_alarm(venue: str, tmp_path: Path) -> None:
    wall = Wall()
    with trading(venue) as exchange, recording(exchange, folder=tmp_path, clock=wall) as desk:
        desk.pace(60)
        for ahead_ms in (HOUR, -HOUR, DAY, -DAY, 0):
            wall.ahead_ms = ahead_ms
            received = desk.health.received
            wait(lambda: desk.health.received > received + 20)  # noqa: B023  # it is waited for here
            wait(lambda: abs((desk.link.skew_ms or 0) - ahead_ms) < 1_500, what=lambda: desk.link)  # noqa: B023
            told = any("clock is" in warning for warning in feed_warnings(desk.health))
            assert told == (ahead_ms != 0)
        desk.assert_whole()
        assert (desk.dials, desk.link.rotations, desk.health.rejected) == (1, 0, {})
        assert_bars_are_where_trades_were(desk)


@pytest.mark.parametrize("ahead_ms", [-30 * DAY, 30 * DAY])
def test_b1_a_clock_that_is_wrong_from_the_start_is_said_and_does_no_harm(ahead_ms: int, tmp_path: Path) -> None:
    with trading("binance-futures") as exchange, recording(exchange, folder=tmp_path, clock=Wall(ahead_ms)) as desk:
        desk.make(20)
        exchange.drop(1006)
        desk.make(20)
        desk.assert_whole()
        assert desk.health.rejected == {}
        assert abs(desk.health.symbols[0].lag_ms or 0) < 5_000
        assert round((desk.link.skew_ms or 0) / DAY) == ahead_ms // DAY
        assert any("clock is" in warning for warning in feed_warnings(desk.health))


# ---- B3, and kills: our own process stands still, or ends


def wait_until_whole(desk: DeskProcess, *, within: float = 30.0) -> float:
    """Wait until its store has all that the exchange made."""
    return wait(lambda: desk.look(lambda reader: is_whole(reader, desk.exchange)), within=within, every=0.05)


def test_b3_a_suspended_process_goes_on_with_one_gap(tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, desk_process(exchange, tmp_path) as desk:
        exchange.make("BTCUSDT", 100)
        wait_until_whole(desk)
        desk.process.send_signal(signal.SIGSTOP)
        exchange.drop(1006)
        exchange.make("BTCUSDT", 5_000)
        desk.process.send_signal(signal.SIGCONT)
        back = wait_until_whole(desk)
        [gap] = desk.look(lambda reader: reader.gaps())
        report("B3", back_s=back, target_s=3)
        assert (gap.state, gap.filled) == ("filled", 5_000)
        assert desk.judged().whole
        assert back < 4


@pytest.mark.nightly
def test_b3_a_connection_that_outlives_the_standstill_is_kept(tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, desk_process(exchange, tmp_path) as desk:
        exchange.make("BTCUSDT", 100)
        wait_until_whole(desk)
        desk.process.send_signal(signal.SIGSTOP)
        exchange.make("BTCUSDT", 5_000)
        time.sleep(4.5)  # longer than a connection lives without a sign of life
        desk.process.send_signal(signal.SIGCONT)
        wait_until_whole(desk)
        assert desk.judged().whole
        assert (exchange.stats.dials, desk.look(lambda reader: reader.gaps())) == (1, ())


@pytest.mark.parametrize("missing", [50_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_a11_a_refill_goes_on_after_kill_9_in_the_middle_of_it(missing: int, tmp_path: Path) -> None:
    with trading("binance-spot", skew_ms=-TEN_MINUTES) as exchange, desk_process(exchange, tmp_path) as desk:
        exchange.make("BTCUSDT", 100)
        wait_until_whole(desk)
        desk.kill()
        pass_by(exchange, missing)
        exchange.latency_s = 0.03
        desk.restart()
        third = partial(desk.look, lambda reader: any(gap.filled > missing // 3 for gap in reader.gaps()))
        wait(third, within=15 + missing / 10_000, every=0.02)  # the venue's weights allow 15,000 trades a second
        desk.kill()
        left = sum(gap.last_id - gap.first_id + 1 for gap in desk.look(lambda reader: reader.gaps(state="open")))
        desk.restart()
        seconds = wait_until_whole(desk, within=120)
        assert desk.judged().whole
        report("A11, kill -9", missing=missing, left=left, seconds=seconds)
        assert 0 < left < missing
        assert share_of_weight(exchange.stats.as_dict()) <= 0.5


# ---- P4 and P5: broken tasks, and a loop that is held up

PLANTS = (
    "pairscope.feeds.binance:Binance.parse",
    "pairscope.feeds.websocket:Wire._dial",
    "pairscope.feeds.live:Live.newest",
    "pairscope.feeds.live:Live.refill",
    "pairscope.feeds.rest:Rest.get",
    "pairscope.recording.channel:Channel._take",
    "pairscope.recording.channel:Channel._audit",
    "pairscope.recording.channel:Channel._hand_over",
    "pairscope.recording.channel:Channel._look",
    "pairscope.recording.channel:Channel._reach",
    "pairscope.recording.line:Line.take",
    "pairscope.recording.repairs:Repairs._refill",
    "pairscope.recording.intake:Intake.screen_refill",
    "store:SqliteStore.append",
    "store:SqliteStore.gaps",
)
"""Where it is planted: once in each task, and in each of the hands that a trade goes through."""


class Plant:
    """Makes a function raise once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        self.raised = False
        module, _, path = where.partition(":")
        kind, _, name = path.partition(".")
        owner = getattr(import_module(module), kind)
        self._true: Callable[..., Any] = getattr(owner, name)
        monkeypatch.setattr(owner, name, self._made())

    def _made(self) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(self._true):

            async def wait_or_raise(*arguments: Any, **options: Any) -> Any:
                self._raise()
                return await self._true(*arguments, **options)

            return wait_or_raise

        def work_or_raise(*arguments: Any, **options: Any) -> Any:
            self._raise()
            return self._true(*arguments, **options)

        return work_or_raise

    def _raise(self) -> None:
        if not self.raised:
            self.raised = True
            raise RuntimeError("planted")


def make_until(desk: Recording, plant: Plant) -> None:
    """Have a trade made now and then, until one of them, or the silence between them, has met the fault."""
    for _ in range(50):
        desk.make()
        with suppress(AssertionError):
            wait(lambda: plant.raised, within=0.2)
            return
    raise AssertionError("nothing came that way within 10 s")


@pytest.mark.parametrize("where", PLANTS)
@often(1, 100)
def test_p4_an_exception_anywhere_costs_no_trade_and_is_in_the_log(
    where: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(10)
        wait(desk.is_whole)
        for _ in range(times):
            with monkeypatch.context() as patch:
                plant = Plant(patch, where)
                desk.make(10)
                exchange.drop(1001)
                make_until(desk, plant)
                desk.make(10)
                back = wait(desk.is_whole, within=5, what=lambda: (desk.gaps("open"), desk.health))
            assert back < 2
        desk.assert_whole(within=5)
        assert "planted" in caplog.text


def test_p4_what_breaks_on_one_symbol_loses_none_of_another_in_the_same_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trading("binance-spot", symbols=2) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(10)
        wait(desk.is_whole)
        true, broken = Line.take, iter([RuntimeError("planted")])

        def take(line: Line, *arguments: Any, **options: Any) -> Any:
            if line.instrument.symbol == "ETHUSDT":
                for error in broken:
                    raise error
            return true(line, *arguments, **options)

        monkeypatch.setattr(Line, "take", take)
        desk.on_loop(time.sleep, 0.2)  # so that both come in one batch
        desk.make(10)
        wait(lambda: desk.link.reconnects)
        desk.assert_whole(within=5)


def test_p4_the_meter_of_the_loop_outlives_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path) as desk:
        plant = Plant(monkeypatch, "pairscope.recording.lag:LagMeter.note")
        wait(lambda: plant.raised)
        desk.on_loop(time.sleep, 0.3)
        wait(lambda: desk.health.loop_lag_ms > 200, within=3)
        desk.assert_whole()


def test_p5_a_loop_that_is_held_up_keeps_its_connection_and_names_the_culprit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pairscope.recording.lag.HELD_UP_SECONDS", 0.2)

    def culprit() -> None:
        time.sleep(1.2)

    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path, timing=WATCHFUL) as desk:
        desk.pace(60)
        wait(lambda: desk.health.received > 20)
        desk.on_loop(culprit)
        wait(lambda: desk.health.loop_lag_ms > 1_000)
        desk.assert_whole()
        assert (desk.dials, desk.link.reconnects) == (1, 0)
        assert any("held up for" in warning for warning in feed_warnings(desk.health))
    assert "in culprit" in caplog.text


# ---- several venues, and symbols that come and go


def test_a_fault_of_one_venue_is_none_of_the_other(tmp_path: Path) -> None:
    with (
        trading("binance-spot") as spot,
        trading("binance-futures") as futures,
        recording(spot, futures, folder=tmp_path) as desk,
    ):
        desk.pace(60)
        wait(lambda: desk.health.received > 60)
        spot.inject(Fault("silent"))
        futures.drop(1006)
        wait(lambda: spot.stats.dials == 2)
        wait(lambda: futures.stats.dials == 2)
        desk.assert_whole()
        assert {each.venue: each.status.reconnects for each in desk.health.venues} == {
            "binance-spot": 0,
            "binance-futures": 1,
        }


@pytest.mark.nightly
@pytest.mark.parametrize("venue", VENUES)
def test_a_symbol_is_added_and_removed_under_load(venue: str, tmp_path: Path) -> None:
    with trading(venue, symbols=2) as exchange:
        first, second = (Instrument(venue, symbol) for symbol in exchange.ledger.books)
        with recording(exchange, folder=tmp_path, symbols=[first.symbol], connect=False) as desk:
            wait(lambda: exchange.connections and exchange.connections[0].session.symbols)
            desk.pace(60)
            for _ in range(2):
                desk.ingestor.add(second)
                wait(lambda: second in desk.store.latest())
                wait(lambda: len(exchange.connections[0].session.symbols) == 2)
                desk.ingestor.remove(second)
                wait(lambda: len(exchange.connections[0].session.symbols) == 1)
            desk.ingestor.add(second)
            wait(lambda: len(exchange.connections[0].session.symbols) == 2)
            desk.assert_whole()
            assert (desk.dials, desk.health.rejected) == (1, {})


def test_a_hole_since_the_last_run_is_fetched_at_the_next_start(tmp_path: Path) -> None:
    with trading("binance-spot", symbols=2) as exchange:
        with recording(exchange, folder=tmp_path) as desk:
            desk.make(50)
            desk.assert_whole()
            first_ids = desk.first_ids
        for symbol in exchange.ledger.books:
            exchange.make(symbol, 2_500)
        with recording(exchange, folder=tmp_path) as desk:
            desk.first_ids = first_ids
            desk.assert_whole()
            assert {(gap.cause, gap.state) for gap in desk.gaps()} == {("restart", "filled")}


def test_what_a_venue_no_longer_serves_is_said_so_and_covered_by_its_candles(tmp_path: Path) -> None:
    with trading("binance-futures", skew_ms=-50 * HOUR) as exchange:
        with recording(exchange, folder=tmp_path) as desk:
            desk.make(20)
            wait(desk.is_whole)
        exchange.set_clock(-49 * HOUR)
        old = exchange.make("BTCUSDT", 1_500, since_ms=exchange.now_ms() - HOUR // 2)
        exchange.set_clock(0)
        exchange.make("BTCUSDT", 1_500)
        instrument = Instrument("binance-futures", "BTCUSDT")
        with recording(exchange, folder=tmp_path) as desk:
            [verdict] = desk.settle()
            assert verdict.clean, verdict.line()
            [gap] = desk.gaps("abandoned")
            wait(lambda: any(desk.store.bars(instrument, "1m", gap.start_ms, gap.end_ms).klines))
            assert (gap.first_id, gap.last_id) == (old[0], old[-1])
            assert gap.reason == "older than the 48 h that the venue serves"


# ---- J1 to J3: frames that are none


def resident_mb() -> float:
    """Return how much memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def hostile(frame: str, number: str) -> list[str]:
    """Return frames that look like a trade, but for its number, and some that look like nothing."""
    values = ("true", "null", '"x"', "-1", "1.5", "1e999", "9" * 5_000, '"\\ud800"', "[]", "{}", "NaN")
    bent = [frame.replace(number, value, 1) for value in values]
    deep = ["[" * 100_000, '{"a":' * 20_000, "[" * 500 + "]" * 500]
    return [*bent, *deep, "", "0", "null", '"', "[]", "{}", "NaN", "\ufeff{}", frame[:-1], frame + frame, "a" * 200_000]


@pytest.mark.parametrize("venue", VENUES)
def test_j1_whatever_a_frame_says_it_is_counted_and_the_stream_goes_on(venue: str, tmp_path: Path) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        [book] = exchange.ledger
        desk.make(5)
        true = exchange.dialect.frame(exchange.connections[0].session, book.symbol, book.page_down(2**62, 1), exchange)
        texts = hostile(true.decode(), str(book.last_id))
        for text in filter(None, texts):
            exchange.inject(Fault("unknown_event", text=text))
            desk.make(1)
        desk.assert_whole()
        others = sum(desk.link.ignored.get(kind, 0) for kind in ("other", "snapshot", "empty", "ack"))
        assert (desk.dials, desk.health.received) == (1, len(book))
        report("J1", venue=venue, frames=len(texts), ignored=desk.link.ignored, rejected=desk.health.rejected, o=others)


TRADES = st.builds(
    Trade,
    st.integers(0, 2**63 - 1),
    st.decimals("0.01", "9999999", places=2).map(str),
    st.decimals("0.00000001", "99999", places=8).map(lambda qty: f"{qty:f}"),
    st.integers(1_300_000_000_000, 4_000_000_000_000),
    st.booleans(),
)


@pytest.mark.parametrize("venue", VENUES)
@often(150, 25_000)
def test_j2_what_an_exchange_writes_is_what_is_read(venue: str, times: int) -> None:
    exchange, symbol = Exchange(dialect_of(venue), SYMBOLS[venue]), SYMBOLS[venue][0]
    words, session = words_of(venue), Session("market", combined=True)

    @settings(max_examples=times, database=None)
    @given(TRADES)
    def written_and_read(trade: Trade) -> None:
        parsed = words.parse(exchange.dialect.frame(session, symbol, (trade,), exchange))
        side = "sell" if trade.buyer_is_maker else "buy"
        values = (trade.trade_id, trade.time_ms, float(trade.price), float(trade.qty), side)
        assert [tuple(tick) for tick in parsed.ticks] == [(venue, symbol, *values)]

    written_and_read()


@pytest.mark.parametrize("venue", VENUES)
@often(1, 50)
def test_j3_a_frame_that_breaks_the_rules_ends_the_connection_and_no_more(
    venue: str, times: int, tmp_path: Path
) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(5)
        wait(desk.is_whole)
        slowest, before = 0.0, resident_mb()
        for number, kind in enumerate(["binary", "oversized", "compressed", "invalid_utf8"] * times, start=1):
            exchange.inject(Fault(kind))
            desk.make(3)
            slowest = max(slowest, wait(lambda: desk.link.reconnects == number and desk.is_whole()))  # noqa: B023
        desk.assert_whole()
        report("J3", venue=venue, slowest_s=slowest, target_s=2, grown_mb=resident_mb() - before)
        assert slowest < 2
        assert resident_mb() - before < 64
