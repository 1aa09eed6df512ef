"""What the page says in words and figures: what they count, how old they are, and how the links do."""

from typing import get_args

import numpy as np
import pytest

from ingest import FeedHealth, FeedState, FeedStatus, SymbolHealth, SymbolState, VenueHealth
from market import Instrument, Tick, Timeframe, bars_from_rows
from pairscope.views.figures import Units, figures_of, pace_text, units_of
from pairscope.views.heading import Pulse, pulse_of
from pairscope.views.recording import state_text
from pairscope.views.states import SYMBOL_STATES, VENUE_STATES, age_text, look_of, meanings
from pairscope.views.symbols import price_text, short_names
from pairscope.views.venues import MEANINGS, skew_text, venue_lines

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


# ------------------------------------------------------------------------------------------------- how old


def test_a_fresh_price_tells_its_change_and_an_old_one_its_age() -> None:
    fresh, old, none = (figures_of(BARS, Units("BTC", "USDT"), age_seconds=age)[0] for age in (4.9, 312.0, None))
    assert (fresh.value, fresh.beside, fresh.aged) == ("102.5", "+2.50% in this bar", False)
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


def line(state: SymbolState, age: float | None, message: str = "") -> SymbolHealth:
    return SymbolHealth(SPOT, state, 100.0, NOW, age, 3, 1.0, 5, 0, message)


def test_how_fresh_a_symbol_is_comes_from_the_recording_else_from_the_store() -> None:
    tick = Tick(*SPOT, 1, NOW - 60_000, 100.0, 1.0, None)
    assert pulse_of("owner", line("live", 0.5), tick, NOW) == Pulse("live", 0.5)
    assert pulse_of("owner", line("waiting", None), tick, NOW) == Pulse("waiting", 60.0)
    assert pulse_of("owner", line("refused", None, "BREAK"), None, NOW) == Pulse("refused", None, "BREAK")
    assert pulse_of("owner", None, tick, NOW) == Pulse("stored", 60.0)
    assert pulse_of("viewer", None, tick, NOW) == Pulse("silent", 60.0)
    assert pulse_of("viewer", None, tick, NOW - 59_000) == Pulse("live", 1.0)


@pytest.mark.parametrize(("age", "fresh"), [(None, False), (0.0, True), (5.0, True), (5.1, False)])
def test_nothing_older_than_five_seconds_is_fresh_whatever_its_state(age: float | None, fresh: bool) -> None:
    assert all(Pulse(state, age).is_fresh is fresh for state in SYMBOL_STATES)


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


def test_a_symbol_that_several_venues_have_is_told_with_its_venue() -> None:
    assert short_names([SPOT, KRAKEN, FUTURES, SPOT]) == {
        SPOT: "binance-spot:BTCUSDT",
        KRAKEN: "BTC/USD",
        FUTURES: "binance-futures:BTCUSDT",
    }
    assert short_names([SPOT, KRAKEN])[SPOT] == "BTCUSDT"


def feed_of(*states: FeedState, label: str = "LIVE", message: str = "") -> FeedHealth:
    venues = tuple(VenueHealth("v", "LIVE", state, "", FeedStatus()) for state in states)
    counts = {"received": 0, "stored": 0, "duplicates": 0, "dropped": 0, "gaps_filled": 0, "reconnects": 0, "queue": 0}
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
