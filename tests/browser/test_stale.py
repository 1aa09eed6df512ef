"""A feed that dies, a feed that returns, and no network at all: what a person sees."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looking import FIRST_START_MS, MAIN, visit
from tests.chaos import running_proxy
from tests.exchange.running import running_exchange
from tests.exchange.server import Exchange

SYMBOLS = ("ETHUSDT", "BTCUSDT")
NOTICED_MS = 6_000
BACK_MS = 15_000
HISTORY_MS = 3_600_000
ALL_LIVE = """() => {
    const values = [...document.querySelectorAll("[data-testid=stMetricValue]")].map((each) => each.innerText);
    return values.length === 8 && !values.some((value) => value.startsWith("("));
}"""
ALL_OLD = """() => {
    const values = [...document.querySelectorAll("[data-testid=stMetricValue]")].map((each) => each.innerText);
    return values.length === 8 && values.every((value) => value === "–" || value.startsWith("("));
}"""


def settings(folder: Path, port: int) -> dict[str, str]:
    """Return the settings of a desk that streams from a port of this machine."""
    return {
        "PAIRSCOPE_VENUE": "binance-spot",
        "PAIRSCOPE_SYMBOLS": ",".join(SYMBOLS),
        "PAIRSCOPE_BINANCE_SPOT_WS": f"ws://127.0.0.1:{port}",
        "PAIRSCOPE_BINANCE_SPOT_REST": f"http://127.0.0.1:{port}",
        "PAIRSCOPE_STORE": f"sqlite:///{folder}/desk.db",
        "PAIRSCOPE_LOG_FILE": f"{folder}/desk.log",
    }


def trade_for_an_hour(exchange: Exchange) -> None:
    """Make the trades of the last hour, for a desk to begin with."""
    for symbol in SYMBOLS:
        exchange.make(symbol, 3_600, since_ms=exchange.now_ms() - HISTORY_MS)


def test_a_dead_feed_is_seen_within_6_seconds_and_all_is_live_when_it_returns(page: Page, tmp_path: Path) -> None:
    with running_exchange("binance-spot", SYMBOLS, rate=20.0) as exchange, running_proxy(exchange.port) as line:
        trade_for_an_hour(exchange)
        port = line.proxy.port  # type: ignore[attr-defined]
        with visit(page, tmp_path, "?bars=1m&window=20&history=60", **settings(tmp_path, port)):
            main = page.locator(MAIN)
            live = main.get_by_text(" LIVE ")
            main.get_by_text("Verdict: ").wait_for(timeout=FIRST_START_MS)
            live.first.wait_for()
            page.wait_for_function(ALL_LIVE)
            line("hold")
            expect(live).to_have_count(0, timeout=NOTICED_MS)
            main.get_by_text("no signal: stale").first.wait_for(timeout=NOTICED_MS)
            page.wait_for_function(ALL_OLD, timeout=NOTICED_MS)
            expect(main.get_by_text("Verdict: ")).to_have_count(1)
            line("release")
            live.first.wait_for(timeout=BACK_MS)
            expect(main.get_by_text("no signal: stale")).to_have_count(0, timeout=BACK_MS)
            page.wait_for_function(ALL_LIVE, timeout=BACK_MS)


@pytest.mark.nightly
def test_without_any_network_one_card_says_so_and_offers_the_simulated_market_and_an_upload(
    page: Page, tmp_path: Path
) -> None:
    nobody = 9
    with visit(page, tmp_path, **settings(tmp_path, nobody)):
        card = page.get_by_test_id("stVerticalBlock").filter(has_text="No venue is reached").last
        card.get_by_text("The simulated market").wait_for()
        card.get_by_role("link", name="Upload a file").click()
        page.wait_for_url("**/data**")
        page.locator("input[type=file]").wait_for(state="attached")
