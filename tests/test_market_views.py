"""What the Market page says of symbols: which are drawn, their last trades, their statistics, what there is of them."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from analytics import liquidity, price_statistics
from market import DAY, MINUTE, SECOND, Bars, Coverage, Instrument, Tick, Timeframe, bars_from_rows
from pairscope.methodology import tooltip
from pairscope.runtime import Runtime, now_ms
from pairscope.settings import Settings
from pairscope.views.clock import Clock
from pairscope.views.figures import Units
from pairscope.views.heading import Pulse
from pairscope.views.market_leg import Leg
from pairscope.views.market_numbers import LIQUIDITY_NUMBERS, PRICE_NUMBERS, RETURNS, liquidity_row, price_row
from pairscope.views.market_stock import NONE_YET, Stock, bar_sources, stock_row
from pairscope.views.market_table import names_of
from pairscope.views.market_tape import TAPE_TRADES, last_trades, since_trades, tape_rows
from store import SqliteStore

NOW = 1_760_000_040_000
BTC, ETH = Instrument("simulated", "BTCUSDT"), Instrument("simulated", "ETHUSDT")
UNITS = Units("BTC", "USDT")


def some_bars(count: int, *, klines: int = 0, trades: int = 3) -> Bars:
    """Return bars of a second that go up and down, the first ones from candles."""
    rows = [
        (NOW + n * SECOND, 100.0, 101.0, 99.0, 100.0 + n % 5, 2.0, 200.0, 1.5, trades, n < klines) for n in range(count)
    ]
    return bars_from_rows(BTC, Timeframe(SECOND), rows)


def leg(bars: Bars | None, newest: Tick | None = None) -> Leg:
    return Leg(BTC, "LIVE", Pulse("live", 0.1), bars, newest)


def tick(number: int, time_ms: int = NOW, **other: Any) -> Tick:
    given: dict[str, Any] = {"price": 100.5, "qty": 0.25, "side": "buy"} | other
    return Tick(*BTC, number, time_ms, **given)


# ------------------------------------------------------------------------------------------------- the last trades


def test_the_tape_begins_where_there_are_enough_trades() -> None:
    bars = some_bars(100)
    assert since_trades(bars, 6) == bars.time[-2]
    assert since_trades(bars, 7) == bars.time[-3]
    assert since_trades(bars, 301) is None


def test_bars_of_candles_have_no_trades_for_the_tape() -> None:
    assert since_trades(some_bars(10, klines=9), 4) is None


@pytest.mark.parametrize("apart_ms", [200, 2 * SECOND, 20 * MINUTE])
def test_the_tape_holds_the_last_trades_newest_first_however_rare_they_are(tmp_path: Path, apart_ms: int) -> None:
    store = SqliteStore(tmp_path / "t.db", clock=lambda: NOW)
    ticks = [tick(number, NOW + number * apart_ms) for number in range(70)]
    store.append(ticks).result(10)
    assert last_trades(store, ticks[-1]) == tuple(ticks[: -TAPE_TRADES - 1 : -1])
    store.close()


def test_a_symbol_that_has_hardly_traded_shows_what_there_is(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.db", clock=lambda: NOW)
    store.append([tick(1), tick(2)]).result(10)
    assert [each.trade_id for each in last_trades(store, tick(2))] == [2, 1]
    store.close()


def test_trades_are_written_with_their_milliseconds_by_the_clock_and_in_equal_digits() -> None:
    rows = tape_rows([tick(8, NOW + 7, price=100.0, qty=0.125, side=None), tick(7)], Clock("Europe/Berlin"), NOW)
    assert rows[0] == {"time": "10:54:00.007", "price": "100.0", "size": "0.125", "side": [], "id": "8"}
    assert rows[1] == {"time": "10:54:00.000", "price": "100.5", "size": "0.250", "side": ["buy"], "id": "7"}
    later = tape_rows([tick(7)], Clock("Europe/Berlin"), NOW + DAY)
    assert str(later[0]["time"]).endswith(" 10:54:00.000")


# ---------------------------------------------------------------------------------------------------- statistics


def test_statistics_are_written_in_their_units() -> None:
    bars = some_bars(200)
    found, row = price_statistics(bars), price_row(price_statistics(bars))
    assert row["returns"] == "199"
    assert row["σ, bp"] == f"{found.volatility * 10_000:,.2f}"
    assert row["σ a year"] == f"{found.annualised_volatility:.1%}"
    assert row["drawdown"] == "3.85%"
    traded = liquidity_row(liquidity(bars), UNITS, digits=1)
    assert traded["volume"] == "400 BTC"
    assert traded["VWAP"] == "100.0 USDT"
    assert traded["bought"] == "75.0%"
    assert traded["Amihud"].endswith(" bp / M USDT")


def test_what_too_few_bars_cannot_tell_is_a_dash() -> None:
    row = price_row(price_statistics(some_bars(1)))
    assert {row[name] for name in row if name not in ("returns", "drawdown")} == {"–"}
    assert set(liquidity_row(liquidity(some_bars(0)), UNITS, digits=2).values()) == {"–"}


def test_returns_over_holes_are_told() -> None:
    bars = some_bars(20)
    assert price_row(price_statistics(bars[np.arange(20) != 7]))["returns"] == "17 · 1 out"


def test_every_column_has_its_explanation() -> None:
    assert set(price_row(price_statistics(some_bars(5)))) == {"returns", *PRICE_NUMBERS}
    assert set(liquidity_row(liquidity(some_bars(5)), UNITS, digits=1)) == set(LIQUIDITY_NUMBERS)
    assert all(tooltip(name) for name in (*PRICE_NUMBERS.values(), *LIQUIDITY_NUMBERS.values()))
    assert RETURNS


# -------------------------------------------------------------------------------------------------- availability


def test_the_source_of_bars_is_counted() -> None:
    assert bar_sources(some_bars(10, klines=4)) == (6, 4, 0)
    assert bar_sources(None) == (0, 0, 0)


def test_what_there_is_of_a_symbol_is_told_by_the_clock() -> None:
    newest = tick(9, NOW + DAY)
    stock = Stock(Coverage(NOW, NOW + DAY, DAY), Coverage(NOW, NOW + DAY, DAY // 2), 2, 1)
    row = stock_row(stock, leg(some_bars(3), newest), Clock("Asia/Tokyo"))
    assert row["of 24 h"] == "50.00%"
    assert (row["holes open"], row["given up"]) == ("2", "1")
    assert row["first trade, Asia/Tokyo"] == "9 Oct 2025 17:54:00"
    assert row["last trade, Asia/Tokyo"] == "10 Oct 2025 17:54:00"
    assert (row["bars of trades"], row["bars of candles"]) == ("3", "0")


def test_nothing_stored_yet_is_told_and_not_counted_as_zero() -> None:
    row = stock_row(None, leg(None), Clock())
    assert (row["of 24 h"], row["holes open"], row["first trade, UTC"]) == ("–", "–", NONE_YET)
    assert "nan" not in str(stock_row(Stock(Coverage(0, 0, 0), Coverage(0, 0, 0), 0, 0), leg(None), Clock()))
    assert math.isnan(Coverage(0, 0, 0).share)


def test_rows_name_the_venue_only_where_there_are_several() -> None:
    assert names_of([BTC, ETH]) == ["BTCUSDT", "ETHUSDT"]
    assert names_of([BTC, Instrument("kraken", "BTC/USD")]) == ["BTCUSDT · simulated", "BTC/USD · kraken"]


# --------------------------------------------------------------------------------------------------- the sidebar


def sidebar() -> None:
    import streamlit as st

    from market import Instrument
    from pairscope.settings import Settings
    from pairscope.views.market_choices import show_market_sidebar

    names = [Instrument("simulated", each) for each in ("BTCUSDT", "ETHUSDT", "DASHUSDT")]
    st.session_state["asked"] = show_market_sidebar(names, Settings(venue="simulated"))


def table() -> None:
    from functools import partial

    import streamlit as st

    from market import Instrument
    from pairscope.settings import Settings
    from pairscope.views.market_choices import pick, show_market_sidebar

    names = [Instrument("simulated", each) for each in ("BTCUSDT", "ETHUSDT", "DASHUSDT")]
    st.session_state["table"] = {"selection": {"cells": [(2, "symbol")]}}
    st.button("click", on_click=partial(pick, names, "table"))
    st.session_state["asked"] = show_market_sidebar(names, Settings(venue="simulated"))


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_function(sidebar).run()


def drawn(page: AppTest) -> list[str]:
    assert not page.exception
    return [each.symbol for each in page.session_state["asked"].drawn]


def test_the_legs_of_the_pair_are_drawn_first(page: AppTest) -> None:
    assert drawn(page) == ["ETHUSDT", "BTCUSDT"]
    page.session_state["y"], page.session_state["x"] = "simulated:DASHUSDT", "simulated:BTCUSDT"
    assert drawn(page.run()) == ["DASHUSDT", "BTCUSDT"]


def test_symbols_that_are_chosen_stay_until_the_pair_is_asked_for(page: AppTest) -> None:
    page.multiselect[0].set_value(["simulated:DASHUSDT"]).run()
    page.session_state["y"], page.session_state["x"] = "simulated:ETHUSDT", "simulated:BTCUSDT"
    assert drawn(page.run()) == ["DASHUSDT"]
    assert page.query_params["symbols"] == "simulated:DASHUSDT"
    page.button(key="to pair").click().run()
    assert drawn(page) == ["ETHUSDT", "BTCUSDT"]
    assert "to pair" not in [each.key for each in page.button]


def test_no_symbol_may_be_drawn(page: AppTest) -> None:
    assert drawn(page.multiselect[0].set_value([]).run()) == []


def test_an_address_draws_what_it_names_and_tells_what_is_not_here() -> None:
    page = AppTest.from_function(sidebar)
    page.query_params["symbols"] = ["DASHUSDT", "simulated:BTCUSTD", "<script>"]
    assert drawn(page.run()) == ["DASHUSDT"]
    assert "<script>" in page.session_state["unknown symbol"]


def test_a_click_in_the_table_draws_that_symbol_alone() -> None:
    page = AppTest.from_function(table).run()
    page.button[0].click().run()
    assert drawn(page) == ["DASHUSDT"]


@pytest.mark.parametrize(
    ("kind", "key", "value", "field", "wanted"),
    [
        ("button_group", "bars", "1m", "timeframe", Timeframe(MINUTE)),
        ("slider", "shown", 120, "shown", 120),
    ],
)
def test_each_control_asks_for_something_else(
    page: AppTest, kind: str, key: str, value: Any, field: str, wanted: Any
) -> None:
    getattr(page, kind)(key=key).set_value(value).run()
    assert getattr(page.session_state["asked"], field) == wanted


# ------------------------------------------------------------------------------------------------- the whole page


class Ready:
    """Numbers that are ready, or are not."""

    def __init__(self, *, yes: bool) -> None:
        self.yes = yes

    def ready(self, method: str) -> bool:
        return self.yes

    def begin(self) -> None:
        """Nothing is to be made ready."""

    def end(self) -> None:
        """Nothing was begun."""


def whole_page(runtime: "Any") -> None:
    from pairscope.views import market

    market.render(runtime)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Runtime]:
    """A process that does not record, on a store with two symbols."""
    store = SqliteStore(tmp_path / "t.db", clock=now_ms)
    begun, names = now_ms() - 100 * SECOND, (BTC, ETH, Instrument("simulated", "Z<b>"))
    for name in names[:2]:
        ticks = [Tick(*name, n, begun + n * SECOND, 100.0 + n % 7, 0.5, "sell") for n in range(100)]
        store.append(ticks).result(10)
    store.append([Tick(*names[2], 1, begun, 5.0, 1.0, None)]).result(10)
    settings = Settings(venue="simulated", symbols=("ETHUSDT", "BTCUSDT"), store=f"sqlite:///{tmp_path}/t.db")
    runtime = Runtime(settings, store=store, reader=store, ingestor=None)
    yield runtime
    store.close()


def open_page(runtime: Runtime, *, ready: bool = True) -> AppTest:
    runtime.warming = Ready(yes=ready)  # type: ignore[assignment]  # all that a page asks of it
    page = AppTest.from_function(whole_page, kwargs={"runtime": runtime}).run(timeout=30)
    assert not page.exception
    return page


def tables(page: AppTest) -> list[list[str]]:
    return [list(each.value.columns) for each in page.dataframe]


def test_each_symbol_has_its_figures_its_trades_and_its_numbers(desk: Runtime) -> None:
    page = open_page(desk)
    assert len(page.metric) == 12
    tape, _, prices, traded, stock, symbols = (each.value for each in page.dataframe)
    assert len(tape) == TAPE_TRADES
    assert list(tape["id"][:2]) == ["99", "98"]
    assert list(prices["symbol"]) == list(traded["symbol"]) == list(stock["symbol"]) == ["BTCUSDT", "ETHUSDT"]
    assert list(stock["holes open"]) == ["0", "0"]
    assert "Z<b>" in list(symbols["symbol"])


def test_until_the_numbers_are_ready_the_page_says_so_and_shows_the_rest(desk: Runtime) -> None:
    page = open_page(desk, ready=False)
    assert any("being made ready" in each.value for each in page.caption)
    assert len(page.metric) == 12
    assert not any("skew" in columns for columns in tables(page))


def test_a_symbol_with_markup_in_its_name_is_shown_as_it_is(desk: Runtime) -> None:
    page = open_page(desk)
    page.multiselect[0].set_value(["simulated:Z<b>"]).run(timeout=30)
    assert not page.exception
    assert page.main.subheader[0].value == r"Z\<b\>"


def test_a_page_that_is_paused_says_so_beside_each_symbol(desk: Runtime) -> None:
    page = open_page(desk).button(key="pause page").click().run(timeout=30)
    assert sum("PAUSED" in each.value for each in page.main.markdown) == 2
