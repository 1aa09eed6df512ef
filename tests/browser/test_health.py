"""The Health page as its user sees it: a desk that is well, and one whose exchange is not."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.looking import visit
from tests.exchange.faults import Fault
from tests.exchange.running import running_exchange

VALUES = "() => [...document.querySelectorAll('[data-testid=stMetricValue]')].map((each) => each.innerText)"


def test_a_desk_that_is_well_says_so_and_moves(page: Page, desk: str) -> None:
    page.goto(f"{desk}/health")
    page.get_by_text("No trade is missing").wait_for()
    page.get_by_text("0 holes open").wait_for()
    page.wait_for_function(f"() => ({VALUES})().length === 6")
    before = page.evaluate(VALUES)
    page.wait_for_function(f"before => ({VALUES})().join() !== before.join()", arg=before)
    main = page.get_by_test_id("stMain")
    for word in ("Python", "SQLite", "Streamlit", "streaming", "There is exactly one recorder", "1 recording"):
        assert word in main.inner_text()


@pytest.mark.nightly
def test_the_log_is_shown_by_level(page: Page, desk: str) -> None:
    page.goto(f"{desk}/health")
    page.get_by_text("recording SIMULATED into").first.wait_for()
    page.get_by_role("radio", name="errors").click()
    page.get_by_text("No error among the last messages").wait_for()
    assert "log+level=errors" in page.url.replace("%20", "+")


def test_trouble_of_an_exchange_is_told_in_words(page: Page, tmp_path: Path) -> None:
    faults = [(Fault("price_zero", after=10), Fault("reuse", after=30))]
    with running_exchange("binance-spot", ["BTCUSDT"], rate=50.0, scripts=faults) as exchange:
        settings = {
            "VENUE": "binance-spot", "SYMBOLS": "BTCUSDT,NONEUSDT", "BINANCE_SPOT_WS": exchange.ws,
            "BINANCE_SPOT_REST": exchange.rest,
        }  # fmt: skip
        env = {f"PAIRSCOPE_{name}": value for name, value in settings.items()}
        with visit(page, tmp_path, "health", **env):
            page.get_by_text("Not recorded: binance-spot has no symbol").wait_for()
            page.get_by_text("NONEUSDT: the table of symbols says why").wait_for()
            page.get_by_text("1 contradiction").wait_for()
            page.get_by_text("promises not kept").first.wait_for()
            page.locator("td:has-text('price is not a positive number')").first.wait_for(state="attached")
