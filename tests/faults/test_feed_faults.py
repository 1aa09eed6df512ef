"""What a venue and its line can do, one fault at a time, against the whole live path: rows A1 to A18.

Durations are scaled (see feeds.py); what is measured is printed in seconds of the real thing, next to its target. The
judge ends each test: what the exchange made is what the store holds.
"""

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from pairscope.advice import CONFLICT
from pairscope.feeds.websocket import Timing
from tests.chaos import running_proxy
from tests.exchange.faults import MUTATIONS, Fault, RestFault
from tests.exchange.meters import share_of_weight
from tests.exchange.running import wrong_certificate
from tests.faults.feeds import (
    QUICK,
    SCALE,
    TEN_MINUTES,
    VENUES,
    WATCHFUL,
    Recording,
    often,
    pass_by,
    recording,
    report,
    scale,
    trading,
    wait,
    watching,
    words_of,
)

ENDS = (1000, 1001, 1006, 1008, 1011, 1012)
SOME_VENUES = ("binance-spot", "kraken")
"""One whose pages begin at an id, and one that is paged through by time."""

OTHERS_AT_NIGHT = (
    *SOME_VENUES,
    *(pytest.param(each, marks=pytest.mark.nightly) for each in ("binance-futures", "coinbase")),
)


@pytest.fixture(autouse=True)
def _scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    scale(monkeypatch)


def through(port: int) -> dict[str, Any]:
    """Reach an exchange through a proxy."""
    return {"sockets": [f"ws://127.0.0.1:{port}"], "rests": [f"http://127.0.0.1:{port}"]}


# ---- A1 to A3: connections that end


@pytest.mark.parametrize("venue", VENUES)
@often(12, 250)
def test_a1_a_connection_that_is_closed_costs_no_trade(venue: str, times: int, tmp_path: Path) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        slowest = 0.0
        for code, _ in zip(itertools.cycle(ENDS), range(times), strict=False):
            desk.make(3)
            exchange.drop(code)
            desk.make(5)
            slowest = max(slowest, wait(desk.is_whole, what=desk.store.gaps))
        desk.assert_whole()
        report("A1", venue=venue, closes=times, slowest_s=slowest, target_s=2)
        assert slowest < 2
        assert (desk.dials, desk.link.reconnects) == (times + 1, times)


def test_a2_an_exchange_that_hangs_up_at_once_is_dialled_at_most_60_times_in_5_minutes(tmp_path: Path) -> None:
    hang_up = itertools.repeat((Fault("close", code=1008),))
    hasty = replace(QUICK, first_pause=0.002, longest_pause=0.03, dial_every=0.05)
    with trading("binance-spot", scripts=hang_up, limits={"dial_window_s": 1.5}) as exchange:
        with recording(exchange, folder=tmp_path, connect=False, timing=hasty) as desk, watching(desk) as seen:
            wait(lambda: desk.dials >= 70)
            exchange.script(*[()] * 100)
            desk.wait_for_connection()
            desk.assert_whole()
        report("A2", dials_in_5_minutes=exchange.stats.dials_peak, ours=60, limit=300)
        assert exchange.stats.dials_peak <= 60
        assert "disconnected" in seen.states
        assert any("the exchange closed it with 1008" in message for message in seen.messages)


@pytest.mark.parametrize("venue", VENUES)
@often(4, 125)
def test_a3_what_is_cut_within_a_frame_is_discarded_and_fetched(venue: str, times: int, tmp_path: Path) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        for number in range(times):
            exchange.inject(Fault("rst" if number % 2 else "fin", after=2))
            desk.make(6)
            wait(desk.is_whole)
        desk.assert_whole()
        assert desk.link.ignored["cut frame"] == exchange.stats.faults["fin"] == (times + 1) // 2
        assert desk.link.reconnects == times


# ---- A4 to A8: connections that say nothing


def pull_and_plug(desk: Recording, line: Callable[[str], None]) -> tuple[float, float]:
    """Pull the cable until that is noticed; return how long that took, and how long until all is there again."""
    desk.pace(60)
    wait(lambda: desk.health.received > 10)
    line("hold")
    noticed = wait(lambda: desk.health.state == "disconnected")
    assert {each.state for each in desk.health.symbols} == {"disconnected"}
    desk.pace(0)
    desk.make(5)
    line("release")
    return noticed, wait(desk.is_whole)


@pytest.mark.parametrize("venue", OTHERS_AT_NIGHT)
@often(1, 100)
def test_a4_a_pulled_cable_is_noticed_and_costs_no_trade(venue: str, times: int, tmp_path: Path) -> None:
    with trading(venue) as exchange, running_proxy(exchange.port) as line:
        port = line.proxy.port  # type: ignore[attr-defined]
        with recording(exchange, folder=tmp_path, timing=WATCHFUL, **through(port)) as desk:
            measured = [pull_and_plug(desk, line) for _ in range(times)]
            desk.assert_whole()
    noticed, back = map(max, zip(*measured, strict=True))
    report("A4, scaled", venue=venue, noticed_s=noticed * SCALE, target_s=5, back_s=back, back_target_s=3)
    assert noticed < 5
    assert back < 3


def test_a4_a_pulled_cable_is_noticed_within_5_seconds_and_all_is_there_3_seconds_after(tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, running_proxy(exchange.port) as line:
        port = line.proxy.port  # type: ignore[attr-defined]
        with recording(exchange, folder=tmp_path, timing=Timing(), **through(port)) as desk:
            noticed, back = pull_and_plug(desk, line)
            desk.assert_whole()
    report("A4", noticed_s=noticed, target_s=5, back_s=back, back_target_s=3)
    assert noticed < 5.5
    assert back < 3.5


@pytest.mark.parametrize("venue", OTHERS_AT_NIGHT)
def test_a5_a_stream_that_answers_pings_but_brings_nothing_is_replaced(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(monkeypatch, waits=SCALE)
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.pace(200)
        wait(lambda: desk.health.received > 150)
        exchange.inject(Fault("silent"))
        noticed = wait(lambda: desk.dials == 2)
        desk.assert_whole()
        report("A5", venue=venue, noticed_s=noticed * SCALE, target_s=5)
        assert noticed < 2
        assert desk.link.reconnects == 0


@pytest.mark.parametrize("venue", OTHERS_AT_NIGHT)
def test_a6_one_silent_symbol_among_others_is_noticed(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scale(monkeypatch, waits=SCALE)
    with trading(venue, symbols=2) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.pace(200)
        wait(lambda: desk.health.received > 250)
        mute = next(iter(exchange.ledger.books))
        exchange.inject(Fault("mute", symbol=mute))
        noticed = wait(lambda: desk.dials == 2)
        desk.assert_whole()
        report("A6", venue=venue, noticed_s=noticed * SCALE, target_s=5)
        assert noticed < 2
        assert f"{mute} was silent for" in caplog.text


@pytest.mark.parametrize("venue", SOME_VENUES)
def test_a6_a_quiet_symbol_is_no_alarm(venue: str, tmp_path: Path) -> None:
    with trading(venue, symbols=2) as exchange, recording(exchange, folder=tmp_path) as desk:
        busy, quiet = exchange.ledger.books
        exchange.make(quiet, 20)
        exchange.pace(40, busy)
        asked = exchange.stats.requests
        wait(lambda: {each.instrument.symbol: each.state for each in desk.health.symbols}[quiet] == "quiet")
        wait(lambda: exchange.stats.requests >= asked + 2)
        assert (desk.dials, desk.link.rotations) == (1, 0)
        desk.assert_whole()


@pytest.mark.parametrize("venue", OTHERS_AT_NIGHT)
def test_a7_a_connection_that_never_brings_a_first_trade_is_found_out(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale(monkeypatch, waits=SCALE)
    with trading(venue, scripts=[(Fault("silent"),)]) as exchange:
        exchange.make(next(iter(exchange.ledger.books)), 5)
        with recording(exchange, folder=tmp_path) as desk:
            desk.pace(20)
            noticed = wait(lambda: desk.dials == 2)
            desk.first_ids.clear()  # recording begins where the venue's record was when it was first asked
            desk.assert_whole()
        report("A7", venue=venue, noticed_s=noticed * SCALE, target_s=10)
        assert noticed < 1.5


def test_a7_a_route_that_takes_the_subscription_and_stays_silent_is_found_out_and_said(tmp_path: Path) -> None:
    edition = words_of("binance-futures")._edition._replace(stream_path="/stream")  # type: ignore[attr-defined]
    unrouted = words_of("binance-futures", _edition=edition)
    with (
        trading("binance-futures") as exchange,
        recording(exchange, folder=tmp_path, words=unrouted, connect=False) as desk,
    ):
        desk.pace(20)
        wait(lambda: desk.dials == 2, what=lambda: desk.health)
        assert (exchange.stats.trades_sent, desk.health.state) == (0, "starting")
        assert "BTCUSDT was silent for" in desk.health.message
        desk.assert_whole()


@often(1, 50)
def test_a8_an_exchange_that_stands_still_is_noticed(times: int, tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path, timing=WATCHFUL) as desk:
        for _ in range(times):
            desk.pace(60)
            received = desk.health.received
            wait(lambda: desk.health.received > received + 20)  # noqa: B023  # it is waited for here
            exchange.inject(Fault("freeze"))
            noticed = wait(lambda: desk.health.state == "disconnected" or desk.link.reconnects)
            report("A8, scaled", noticed_s=noticed * SCALE, target_s=5)
            assert noticed < 3
            wait(lambda: desk.health.state == "streaming")
        desk.assert_whole()


# ---- A9: connections that are replaced before they end


@pytest.mark.parametrize("venue", OTHERS_AT_NIGHT)
@often(2, 100)
def test_a9_the_cut_after_24_hours_is_never_seen(venue: str, times: int, tmp_path: Path) -> None:
    words = words_of(venue, lifetime_s=0.6)
    with (
        trading(venue, limits={"lifetime_s": 1.2}) as exchange,
        recording(exchange, folder=tmp_path, words=words) as desk,
        watching(desk) as seen,
    ):
        desk.pace(100)
        wait(lambda: desk.link.rotations >= times, within=5 + 2.0 * times)
        longest, reconnects = seen.oldest, desk.link.reconnects
        desk.assert_whole()
        assert reconnects == 0
        assert {gap.state for gap in desk.gaps()} <= {"filled"}
    report("A9", venue=venue, rotations=times, longest_without_data_s=longest, target_s=1)
    assert longest < 1


@pytest.mark.parametrize("venue", ["binance-spot", "binance-futures"])
def test_a9_a_shutdown_that_is_announced_is_never_seen(venue: str, tmp_path: Path) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk, watching(desk) as seen:
        desk.pace(100)
        for number in (1, 2, 3):
            received = desk.health.received
            wait(lambda: desk.health.received > received + 20)  # noqa: B023  # it is waited for here
            exchange.inject(Fault("shutdown", seconds=0.5))
            wait(lambda: desk.link.rotations == number)  # noqa: B023  # it is waited for here
        longest = seen.oldest
        desk.assert_whole()
        assert (desk.link.reconnects, desk.link.ignored["serverShutdown"]) == (0, 3)
    report("A9, serverShutdown", venue=venue, longest_without_data_s=longest, target_s=1)
    assert longest < 1


# ---- A10: an exchange that does not open

REFUSALS = {
    "403": (Fault("refuse", status=403, retry_after=1),),
    "418": (Fault("refuse", status=418, retry_after=1),),
    "429": (Fault("refuse", status=429, retry_after=1),),
    "451": (Fault("refuse", status=451, retry_after=1),),
    "503": (Fault("refuse", status=503, retry_after=1),),
    "500": (Fault("refuse", status=500),),
    "200": (Fault("refuse", status=200, retry_after=1),),
    "did not open": (Fault("no_answer"),),
}


def test_a10_a_refused_dial_is_repeated_when_it_may_be_and_never_before(tmp_path: Path) -> None:
    with ExitStack() as open_things:
        desks = {}
        for name, script in REFUSALS.items():
            exchange = open_things.enter_context(trading("binance-spot", scripts=[script]))
            (tmp_path / name).mkdir()
            desk = open_things.enter_context(recording(exchange, folder=tmp_path / name, connect=False))
            desks[name] = desk, open_things.enter_context(watching(desk))
        for name, (desk, seen) in desks.items():
            desk.wait_for_connection(after=0)
            desk.assert_whole()
            assert desk.dials == 2, name
            assert any(name in message for message in seen.messages), (name, seen.messages)
            assert ("refused" in seen.states) == name.startswith("4"), name


def test_a10_an_exchange_that_opens_slowly_is_waited_for(tmp_path: Path) -> None:
    slow = [(Fault("slow_handshake", seconds=0.5),)]
    with trading("binance-spot", scripts=slow) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.assert_whole()
        assert desk.dials == 1


def test_a10_where_one_address_does_not_serve_us_another_does(tmp_path: Path) -> None:
    refuse = itertools.repeat((Fault("refuse", status=451),))
    with trading("binance-spot", scripts=refuse) as wall, trading("binance-spot") as exchange:
        addresses = ["ws://nowhere.invalid", wall.ws, exchange.ws]
        with recording(exchange, folder=tmp_path, sockets=addresses) as desk:
            for _ in range(3):
                desk.make(5)
                wait(desk.is_whole)
                exchange.drop(1001)
                desk.wait_for_connection(after=desk.dials - 1)
            desk.assert_whole()
        assert wall.stats.dials == 1


@pytest.mark.skipif(which("openssl") is None, reason="openssl is missing: it makes the certificate")
def test_a10_a_wrong_certificate_is_said_and_not_tried_again_at_once(tmp_path: Path) -> None:
    tls = wrong_certificate(tmp_path)
    with trading("binance-spot", tls=tls) as exchange, recording(exchange, folder=tmp_path, connect=False) as desk:
        wait(lambda: desk.health.state == "refused")
        assert "the certificate of 127.0.0.1" in desk.health.message
        assert "trying again in" in desk.health.message
        assert exchange.stats.dials == 0
        assert {each.state for each in desk.health.symbols} <= {"disconnected"}


# ---- A11 and A12: filling holes


@pytest.mark.parametrize(
    ("venue", "missing"),
    [
        ("binance-spot", 10_000),
        ("binance-futures", 10_000),
        ("coinbase", 10_000),
        ("kraken", 5_000),
        pytest.param("binance-spot", 1_000_000, marks=pytest.mark.nightly),
    ],
)
def test_a11_a_large_hole_is_filled_behind_the_live_stream(venue: str, missing: int, tmp_path: Path) -> None:
    with trading(venue, skew_ms=-TEN_MINUTES) as exchange:
        with recording(exchange, folder=tmp_path) as desk:
            desk.make(5)
            desk.assert_whole()
        pass_by(exchange, missing)
        exchange.pace(50)
        with recording(exchange, folder=tmp_path) as desk, watching(desk) as seen:
            seconds = wait(lambda: desk.gaps() and not desk.gaps("open"), within=120, every=0.05)
            worst_lag_ms, states = seen.worst_lag_ms, set(seen.symbol_states)
            desk.assert_whole()
        share = share_of_weight(exchange.stats.as_dict())
        report("A11", venue=venue, missing=missing, seconds=seconds, share_of_weight=share, live_lag_ms=worst_lag_ms)
        assert "repairing" in states
        assert worst_lag_ms < 2_000


REFUSED = (
    RestFault("status", status=429, retry_after=1),
    RestFault("status", status=418, retry_after=1),
)
ANSWERS = (
    RestFault("status", status=500, count=2),
    RestFault("html", count=2),
    RestFault("reset", count=2),
    RestFault("cut", count=2),
    RestFault("slow", seconds=0.2),
    RestFault("short", count=3),
    RestFault("empty", count=2),
    RestFault("duplicate", count=3),
)


@pytest.mark.parametrize(
    ("venue", "answers"), [*((venue, ANSWERS) for venue in VENUES), *((venue, REFUSED) for venue in SOME_VENUES)]
)
def test_a12_whatever_the_archive_answers_the_hole_is_filled(
    venue: str, answers: tuple[RestFault, ...], tmp_path: Path
) -> None:
    path = {"coinbase": "/trades", "kraken": "/Trades"}.get(venue, "/aggTrades")
    with trading(venue, symbols=2) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(5)
        for fault in answers:
            asked, played = exchange.stats.requests, sum(exchange.stats.faults.values()) + 1
            exchange.fault_rest(replace(fault, path=path))
            exchange.drop(1001)
            desk.make(10)
            wait(lambda: sum(exchange.stats.faults.values()) > played)  # noqa: B023  # it is waited for here
            desk.wait_for_connection(after=desk.dials - 2)
            desk.make(1)
            wait(desk.is_whole, what=lambda: (fault, desk.gaps("open"), desk.link))  # noqa: B023  # while it waits
            assert exchange.stats.requests - asked < 40
        desk.assert_whole()
        assert {gap.state for gap in desk.gaps()} == {"filled"}


@pytest.mark.parametrize("venue", VENUES)
def test_a12_an_answer_about_another_symbol_moves_nothing(venue: str, tmp_path: Path) -> None:
    with trading(venue, symbols=2) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(5)
        wait(desk.is_whole)
        first = next(iter(exchange.ledger.books))
        exchange.fault_rest(RestFault("foreign", path="rades"))  # the question for the newest trade, that comes first
        exchange.drop(1001)
        desk.wait_for_connection(after=0)
        wait(lambda: exchange.stats.faults["rest_foreign"])
        desk.pace(100)
        wait(lambda: desk.health.received > 80)
        desk.pace(0)
        exchange.inject(Fault("skip", symbol=first, count=2))
        desk.make(5)
        desk.assert_whole(within=5)
        assert max(gap.last_id - gap.first_id for gap in desk.gaps()) < 10


@pytest.mark.parametrize("venue", VENUES)
def test_a12_pages_of_another_symbol_are_never_taken_for_an_empty_record(venue: str, tmp_path: Path) -> None:
    with trading(venue, symbols=2) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(5)
        wait(desk.is_whole)
        first = next(iter(exchange.ledger.books))
        paged = {"coinbase": "after", "kraken": "since"}.get(venue, "fromId")  # the question for the newest has none
        exchange.fault_rest(RestFault("foreign", path="rades", having=paged, count=3))
        exchange.inject(Fault("skip", symbol=first))
        exchange.make(first, 2)
        wait(lambda: desk.gaps() and not desk.gaps("open"), what=lambda: (desk.gaps(), desk.link, exchange.stats))
        [verdict] = desk.settle(within=5)
        assert verdict.clean, verdict.line()
        assert {gap.state for gap in desk.gaps()} <= {"filled", "abandoned"}
        assert exchange.stats.requests < 40


@pytest.mark.parametrize("venue", VENUES)
def test_a12_ids_that_stand_for_no_trade_are_confirmed_empty(venue: str, tmp_path: Path) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        symbol = next(iter(exchange.ledger.books))
        for use_up in (exchange.skip_ids, exchange.blank):
            desk.make(3)
            use_up(symbol, 4)
        desk.assert_whole()
        assert [gap.state for gap in desk.gaps()] == ["empty", "empty"]


def test_of_a_hole_larger_than_refill_trades_the_newest_part_is_fetched(tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path, refill_trades=1_000) as desk:
        desk.make(5)
        wait(desk.is_whole)
        exchange.drop(1001)
        missing = exchange.make("BTCUSDT", 3_000, publish=False)
        [verdict] = desk.settle()
        assert verdict.clean, verdict.line()
        [gap] = desk.gaps("abandoned")
        assert gap.first_id == missing[0]
        assert 1_990 <= gap.last_id - gap.first_id + 1 <= 2_010
        assert "more than refill_trades = 1,000" in str(gap.reason)


# ---- A13 to A15: trades that are not what they should be


@pytest.mark.parametrize("venue", VENUES)
def test_a13_trades_that_come_twice_or_in_disorder_on_two_connections_are_stored_once(
    venue: str, tmp_path: Path
) -> None:
    timing = replace(QUICK, settled_after=10.0)  # both stay until all was sent, however slowly
    with trading(venue) as exchange, recording(exchange, folder=tmp_path, timing=timing) as desk:
        wait(lambda: desk.link.state == "connected")
        desk.on_loop(desk.feeds[0].reopen, "two connections are wanted")
        wait(lambda: [len(each.session.symbols) for each in exchange.connections] == [1, 1])
        exchange.inject(Fault("duplicate", count=200))
        exchange.inject(Fault("reorder", after=200, count=500))
        desk.make(2_000)
        desk.assert_whole()
        wait(lambda: desk.health.duplicates >= 2_000)  # one connection may be behind the other
        assert desk.store.reject_counts() == {}


@pytest.mark.parametrize("venue", VENUES)
def test_a14_an_id_that_comes_again_with_another_price_is_a_recorded_conflict(venue: str, tmp_path: Path) -> None:
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(10)
        exchange.inject(Fault("reuse", count=25))
        desk.make(50)
        desk.assert_whole()
        assert desk.store.reject_counts() == {CONFLICT: 25}


@pytest.mark.parametrize("venue", VENUES)
def test_a15_a_trade_that_cannot_be_is_rejected_with_the_reason_and_fetched_sound(venue: str, tmp_path: Path) -> None:
    wrong = [Fault(kind, also=also) for kind in MUTATIONS if kind != "price_off" for also in (False, True)]
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.make(5)
        for fault in wrong:
            exchange.inject(fault)
            desk.make(3)
        desk.assert_whole()
        rejected = desk.store.reject_counts()
        report("A15", venue=venue, rejected=rejected)
        assert sum(rejected.values()) == sum(desk.health.rejected.values()) == len(wrong)


# ---- A16: more than usual


@pytest.mark.parametrize("trades", [4_000, pytest.param(180_000, marks=pytest.mark.nightly)])
def test_a16_a_burst_is_read_as_it_comes_and_is_over_in_2_seconds(trades: int, tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path) as desk:
        desk.pace(60)
        wait(lambda: desk.health.received > 30)
        with watching(desk) as seen:
            desk.pace(3_000)
            wait(lambda: len(exchange.ledger["BTCUSDT"]) > trades, within=90)
            desk.pace(0)
            over = wait(desk.is_whole)
        desk.assert_whole()
        report("A16", over_s=over, target_s=2, queue=seen.longest_queue, lag_ms=seen.worst_lag_ms)
        assert over < 2
        assert (desk.dials, desk.health.dropped) == (1, 0)


def test_a16_trades_for_which_the_queue_has_no_room_become_a_hole_that_is_fetched(tmp_path: Path) -> None:
    timing = replace(QUICK, queue_ticks=100)
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path, timing=timing) as desk:
        with watching(desk) as seen:
            desk.make(8_000)
            desk.assert_whole()
        assert desk.health.dropped > 100
        assert seen.longest_queue <= 100
        assert desk.link.reconnects == 0


def test_a16_trades_for_which_the_store_has_no_room_become_a_hole_that_is_fetched(tmp_path: Path) -> None:
    with trading("binance-spot") as exchange, recording(exchange, folder=tmp_path, queue_rows=50) as desk:
        desk.make(5_000)
        desk.assert_whole()
        assert desk.health.dropped > 50
        assert "memory was full" in {gap.cause for gap in desk.gaps()}


# ---- A17 and A18: words that are not known, and a bad line


@pytest.mark.parametrize("venue", VENUES)
def test_a17_what_is_not_about_trades_is_counted_by_type(venue: str, tmp_path: Path) -> None:
    errors = {
        "coinbase": '{"type":"error","message":"Failed to subscribe","reason":"FOO is not a valid product"}',
        "kraken": '{"error":"Currency pair not supported FOO/USD","method":"subscribe","success":false}',
    }
    with trading(venue) as exchange, recording(exchange, folder=tmp_path) as desk:
        exchange.inject(Fault("unknown_event", count=7))
        exchange.inject(Fault("error", after=7, count=2, text=errors.get(venue, "")))
        desk.make(20)
        desk.assert_whole()
        assert desk.link.ignored["other"] == exchange.stats.faults["unknown_event"] == 7
        assert desk.link.ignored["error"] == exchange.stats.faults["error"] == 2
        assert "the exchange reports an error: " in desk.health.message
        assert (desk.dials, desk.health.rejected) == (1, {})


@pytest.mark.parametrize("venue", ["binance-spot", pytest.param("kraken", marks=pytest.mark.nightly)])
def test_a18_on_a_bad_line_all_is_slower_and_right(venue: str, tmp_path: Path) -> None:
    with trading(venue) as exchange, running_proxy(exchange.port) as line:
        proxy = line.proxy  # type: ignore[attr-defined]
        proxy.to_client.latency_s = proxy.to_server.latency_s = 0.15
        with recording(exchange, folder=tmp_path, **through(proxy.port)) as desk:
            proxy.to_client.slice_bytes = 1
            desk.make(30)
            line("hold")
            desk.make(30)
            line("release")
            wait(desk.is_whole)
            proxy.to_client.slice_bytes = 7
            desk.assert_whole()
            assert desk.dials == 1
