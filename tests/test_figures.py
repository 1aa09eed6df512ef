"""What the page says in words and figures: what they count, how old they are, and how the links do."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from ingest import FeedHealth, FeedState, FeedStatus, SymbolHealth, SymbolState, VenueHealth
from market import DAY, MINUTE, Coverage, Instrument, Tick, Timeframe, UnknownName, WrongUse, bars_from_rows
from pairscope.runtime import Health
from pairscope.views.choices import find_asked, first_timeframe, label_of
from pairscope.views.figures import Units, figures_of, pace_text, units_of
from pairscope.views.heading import AT_REST, Pulse, coverage_text, pulse_of
from pairscope.views.market_leg import is_refused
from pairscope.views.notices import inert
from pairscope.views.recording import gaps_text, state_text
from pairscope.views.states import (
    SYMBOL_STATES,
    VENUE_STATES,
    age_text,
    counted,
    look_of,
    meanings,
    percent_text,
    steady,
)
from pairscope.views.symbols import price_text
from pairscope.views.venues import MEANINGS, skew_text, venue_lines
from store import Size, StoreStatus, WriterStatus

SPOT, FUTURES = Instrument("binance-spot", "BTCUSDT"), Instrument("binance-futures", "BTCUSDT")
KRAKEN = Instrument("kraken", "BTC/USD")
NOW = 1_760_000_000_000
BARS = bars_from_rows(SPOT, Timeframe.parse("1m"), [(NOW, 100.0, 103.0, 99.0, 102.5, 2.0, 204.0, 1.0, 3)])


@pytest.mark.parametrize(
    ("symbol", "units"),
    [
        ("BTCUSDT", Units("BTC", "USDT")),
        ("1000SHIBUSDT", Units("1000SHIB", "USDT")),
        ("BTC-USD", Units("BTC", "USD")),
        ("ETH/BTC", Units("ETH", "BTC")),
        ("1INCH-EUR", Units("1INCH", "EUR")),
        ("BTCUSDT_260327", Units("BTC", "USDT")),
        ("BTC-", Units()),
        ("/USD", Units()),
        ("USDT", Units()),
        ("币安人生", Units()),
    ],
)
def test_a_symbol_tells_its_two_currencies(symbol: str, units: Units) -> None:
    assert units_of(symbol) == units


def test_a_pace_below_one_a_second_is_told_by_the_minute() -> None:
    assert pace_text(8_849, 1_500.0) == "5.9 per second"
    assert pace_text(369, 22_140.0) == "1.0 per minute"


def test_without_bars_every_figure_says_that_it_waits() -> None:
    figures = figures_of(None, units_of("BTCUSDT"))
    assert [each.value for each in figures] == ["–"] * 6
    assert all("first trade" in each.meaning for each in figures)


@pytest.mark.parametrize("symbol", ["A-![x](http://example.com/1.png)", "![x](http://example.com/1.png)-USD"])
def test_a_symbol_of_a_file_is_inert_in_the_names_of_figures(symbol: str) -> None:
    for bars in (None, BARS):
        figures = figures_of(bars, units_of(symbol))
        assert not any("![x]" in each.name + each.beside + each.meaning for each in figures)
        assert any(inert("![x](http://example.com/1.png)") in each.name for each in figures)


def test_a_symbol_without_bars_that_nobody_records_waits_for_nothing() -> None:
    figures = figures_of(BARS[:0], Units("BTC", "USDT"), ended="14 Nov 2023 22:13:21 UTC")
    assert {each.beside for each in figures} == {"no such bars"}
    assert all(each.meaning.startswith("Its trades end on 14 Nov 2023 ") for each in figures)


# ------------------------------------------------------------------------------------------------- how old


def test_a_fresh_price_tells_its_change_and_an_old_one_its_age() -> None:
    fresh, old, none = (figures_of(BARS, Units("BTC", "USDT"), age_seconds=age)[0] for age in (4.9, 312.0, None))
    assert (fresh.value, fresh.beside, fresh.aged) == ("102.5", "+2.50% in bar", False)
    assert (old.value, old.beside, old.aged) == ("(102.5)", "5 min ago", True)
    assert (none.value, none.beside, none.aged) == ("(102.5)", "of a candle", True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (7.44, "7.4 s"), (12.0, "12 s"), (300, "5 min"), (7_300, "2 h"), (200_000, "2 days")],
)
def test_an_age_is_told_in_the_unit_that_says_most(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_a_price_in_the_table_stands_in_brackets_when_it_is_not_fresh() -> None:
    closes = np.array([100.25, 100.5])
    assert price_text(1_234.5, closes, fresh=True) == "1,234.50"
    assert price_text(1_234.5, closes, fresh=False) == "(1,234.50)"
    assert price_text(1_234.5, np.empty(0), fresh=True) == "1,234.50000000"


def health(role: str, *, waits_seconds: float = 0.0) -> Health:
    writer = WriterStatus(3, None, 0.0, 10, 2.5, waits_seconds)
    store = StoreStatus(writer, Size(0, 0, 60, 100), ()) if role == "owner" else None
    return Health("1", role, None, store, 0, (), (), 1)


def line(state: SymbolState, age: float | None, message: str = "") -> SymbolHealth:
    return SymbolHealth(SPOT, state, 100.0, NOW, age, 3, 1.0, 5, 0, message)


def test_how_fresh_a_symbol_is_comes_from_the_recording_else_from_the_store() -> None:
    tick = Tick(*SPOT, 1, NOW - 60_000, 100.0, 1.0, None)
    owner, viewer = health("owner"), health("viewer")
    assert pulse_of(owner, line("live", 0.5), tick, NOW) == Pulse("live", 0.5)
    assert pulse_of(owner, line("waiting", None), tick, NOW) == Pulse("waiting", 60.0)
    assert pulse_of(owner, line("refused", None, "BREAK"), None, NOW) == Pulse("refused", None, "BREAK")
    assert pulse_of(owner, None, tick, NOW) == Pulse("stored", 60.0)
    assert pulse_of(viewer, None, tick, NOW) == Pulse("silent", 60.0)
    assert pulse_of(viewer, None, tick, NOW - 59_000) == Pulse("live", 1.0)


def test_a_symbol_whose_trades_wait_for_the_store_is_as_old_as_they_wait() -> None:
    waiting = health("owner", waits_seconds=8.0)
    assert pulse_of(waiting, line("live", 0.5), None, NOW) == Pulse("writing", 8.0)
    assert pulse_of(waiting, line("repairing", 0.5), None, NOW) == Pulse("writing", 8.0)
    assert pulse_of(waiting, line("disconnected", 3.0, "BREAK"), None, NOW) == Pulse("disconnected", 8.0, "BREAK")
    assert pulse_of(waiting, line("quiet", 12.0), None, NOW) == Pulse("quiet", 12.0)  # none came meanwhile
    assert pulse_of(health("owner", waits_seconds=0.3), line("live", 0.1), None, NOW) == Pulse("live", 0.1)
    assert not pulse_of(waiting, line("live", 0.5), None, NOW).is_fresh


@pytest.mark.parametrize(("age", "fresh"), [(None, False), (0.0, True), (5.0, True), (5.1, False)])
def test_nothing_older_than_five_seconds_is_fresh_whatever_its_state(age: float | None, fresh: bool) -> None:
    assert all(Pulse(state, age).is_fresh is fresh for state in SYMBOL_STATES if state not in AT_REST)
    assert not any(Pulse(state, age).is_fresh for state in AT_REST)


# ------------------------------------------------------------------------------------- states and links


def test_every_state_has_a_colour_and_a_meaning() -> None:
    assert set(get_args(SymbolState)) <= set(SYMBOL_STATES)
    assert set(get_args(FeedState)) == set(VENUE_STATES)
    assert look_of("refused").colour == look_of("disconnected", VENUE_STATES).colour == "red"
    assert look_of("new in a later version").colour == "gray"
    assert meanings(VENUE_STATES).count("\n- **") == len(VENUE_STATES) - 1


def test_a_link_tells_its_figures() -> None:
    refused = {SPOT: "binance-spot has no symbol 'BTCUSTD'"}
    status = FeedStatus(reconnects=1_234, rotations=2, queue=3, queue_limit=100_000, skew_ms=-12, refused=refused)
    assert venue_lines(status) == {
        "Link": "1,234 reconnects · 2 rotations",
        "Requests": "weight 0 of 0",
        "Clock": "12 ms behind",
        "Ignored": "none",
        "Queue": "3 of 100,000",
        "Refused": "binance-spot has no symbol 'BTCUSTD'",
    }
    assert set(venue_lines(status)) == set(MEANINGS)


def test_a_link_tells_what_it_ignored_and_dropped() -> None:
    lines = venue_lines(FeedStatus(ignored={"heartbeat": 1_000, "ack": 2}, dropped=5))
    assert lines["Ignored"] == "2 ack, 1,000 heartbeat"
    assert lines["Queue"].endswith(" · 5 dropped")
    assert "Refused" not in lines


@pytest.mark.parametrize(
    ("skew", "text"), [(None, "not measured yet"), (0, "the same"), (3_200, "3,200 ms ahead"), (-5, "5 ms behind")]
)
def test_a_clock_that_differs_is_told_by_how_much_and_which_way(skew: int | None, text: str) -> None:
    assert skew_text(skew) == text


def test_a_link_tells_the_window_in_which_requests_are_counted() -> None:
    assert venue_lines(FeedStatus(weight_allowed=5), 10.0)["Requests"] == "weight 0 of 5 in 10 s"
    assert venue_lines(FeedStatus(reconnects=1))["Link"] == "1 reconnect · 0 rotations"


# --------------------------------------------------------------------------------------- what an address asks for


def test_a_bare_symbol_in_an_address_is_that_of_the_only_venue_or_of_the_default_one() -> None:
    names = [KRAKEN, SPOT, FUTURES]
    for text, venue, wanted in (
        ("BTC/USD", "coinbase", KRAKEN),
        ("BTCUSDT", "binance-spot", SPOT),
        ("BTCUSDT", "binance-futures", FUTURES),
        ("binance-futures:BTCUSDT", "binance-spot", FUTURES),
    ):
        assert find_asked(text, names, default_venue=venue) == wanted


def test_a_symbol_in_an_address_that_is_not_here_or_not_clear_is_told_so() -> None:
    with pytest.raises(UnknownName, match=r"unknown symbol 'BTCUSTD' \(did you mean BTCUSDT\?\)"):
        find_asked("BTCUSTD", [SPOT, KRAKEN], default_venue="kraken")
    with pytest.raises(UnknownName, match=r"did you mean binance-spot:BTCUSDT\?"):
        find_asked("binance-sopt:BTCUSDT", [SPOT, KRAKEN], default_venue="kraken")
    with pytest.raises(WrongUse, match="several venues have BTCUSDT"):
        find_asked("BTCUSDT", [SPOT, FUTURES], default_venue="kraken")


def test_a_label_tells_symbol_and_venue() -> None:
    assert label_of(str(KRAKEN)) == "BTC/USD · kraken"


@pytest.mark.parametrize(
    ("venue", "bars"),
    [
        ("binance-spot", "5s"),
        ("simulated", "5s"),
        ("import", "5s"),
        ("binance-futures", "1m"),
        ("coinbase", "1m"),
        ("kraken", "1m"),
    ],
)
def test_the_first_chart_has_bars_as_long_as_the_candles_of_its_venue(venue: str, bars: str) -> None:
    assert first_timeframe(venue) == bars


def test_a_refused_symbol_has_nothing_to_show_unless_trades_of_it_are_stored() -> None:
    refused, waiting = Pulse("refused", None), Pulse("waiting", None)
    assert is_refused(None, refused)
    assert is_refused(BARS[:0], refused)
    assert not is_refused(BARS, refused)
    assert not is_refused(None, waiting)


# ------------------------------------------------------------------------------------------------- small words


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0123, "+1.23%"),
        (-0.5, "-50.00%"),
        (-0.00004, "-0.004%"),
        (0.000_05, "+0.01%"),
        (-0.000_004, "0.00%"),
        (-0.0, "0.00%"),
        (0.0, "0.00%"),
    ],
)
def test_a_change_that_is_nothing_has_no_sign_and_a_small_one_a_third_digit(share: float, text: str) -> None:
    assert percent_text(share) == text


def test_a_price_that_came_back_has_moved_by_zero_without_a_sign() -> None:
    rows = [(NOW, 0.3, 0.3, 0.1, 0.1 + 0.2, 2.0, 2.0, 1.0, 3)]
    change = figures_of(bars_from_rows(SPOT, Timeframe.parse("1m"), rows), Units("BTC", "USDT"))[1]
    assert (change.value, change.beside) == ("0.00%", "0.0 USDT")


@pytest.mark.parametrize(
    ("length", "recorded", "text"),
    [
        (DAY - 3_000, DAY - 3_000, "24 h coverage 100%"),
        (DAY, DAY // 2, "24 h coverage 50%"),
        (10 * MINUTE, 10 * MINUTE, "10 min recorded, whole"),
        (10 * MINUTE, 5 * MINUTE, "coverage 50% of 10 min"),
    ],
)
def test_a_recording_younger_than_a_day_is_measured_by_its_own_length(length: int, recorded: int, text: str) -> None:
    assert coverage_text(Coverage(NOW - length, NOW, recorded)) == text


def test_a_next_try_that_is_less_than_a_second_away_is_now() -> None:
    assert steady("no route; trying again in 0.9 s") == "no route; trying again now"
    assert steady("kraken: no route; trying again in 0.0 s.") == "kraken: no route; trying again now."
    for message in ("no route; trying again in 10.5 s", "trying again in 1.0 s", ""):
        assert steady(message) == message


def test_one_of_a_thing_is_not_many() -> None:
    assert [counted(number, "reconnect") for number in (0, 1, 1_234)] == [
        "0 reconnects",
        "1 reconnect",
        "1,234 reconnects",
    ]


def test_gaps_that_are_open_or_given_up_are_told() -> None:
    feed = replace(feed_of("streaming"), gaps_filled=3, gaps_open=2)
    assert gaps_text(feed) == "3 filled · 0 being filled · 2 open"
    assert gaps_text(replace(feed, gaps_abandoned=1)).endswith(" · 2 open · 1 abandoned, see the ledger")


def feed_of(*states: FeedState, label: str = "LIVE", message: str = "") -> FeedHealth:
    venues = tuple(VenueHealth("v", "LIVE", state, "", FeedStatus()) for state in states)
    names = (
        "received",
        "stored",
        "duplicates",
        "dropped",
        "gaps_filled",
        "gaps_open",
        "gaps_abandoned",
        "gaps_left_out",
    )
    counts = dict.fromkeys((*names, "reconnects", "queue"), 0)
    return FeedHealth(
        label=label,  # type: ignore[arg-type]  # the tests write only labels
        state=states[0],
        message=message,
        symbols=(),
        venues=venues,
        rejected={},
        loop_lag_ms=0.0,
        **counts,
    )


def test_the_state_of_several_venues_is_how_many_stream() -> None:
    assert state_text(feed_of("streaming")) == "LIVE · streaming"
    assert state_text(feed_of("disconnected", "streaming", "streaming")) == "LIVE · 2 of 3 venues streaming"
    assert state_text(feed_of("failing", label="SIMULATED", message="no")) == "SIMULATED · failing · no"
