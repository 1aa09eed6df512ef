"""The Market page as its user sees it: the simulated market in a real browser."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.looking import FIRST_START_MS

CHART = ".pairscope-chart"
WATCH = """() => {
    window.chart = document.querySelector(".pairscope-chart");
    window.draws = 0;
    window.chart.on("plotly_afterplot", () => (window.draws += 1));
}"""
NAMES = """() => [...document.querySelectorAll(".pairscope-chart")].map((chart) => {
    const drawn = (chart._fullData ?? []).filter((trace) => trace.type === "candlestick" && trace.visible);
    return drawn.find((trace) => trace.hovertemplate)?.name; // one without only keeps the candles apart
})"""
AXIS = "() => window.chart._fullLayout.xaxis.range.map(String)"
PRICE = "() => document.querySelector('[data-testid=stMetricValue]').innerText"


def look(page: Page, desk: str, query: str = "") -> None:
    """Open the page and count what its first chart draws from then on."""
    page.goto(f"{desk}/market{query}")
    page.wait_for_function(f"() => ({NAMES})()[0]", timeout=FIRST_START_MS)
    page.evaluate(WATCH)


def await_draws(page: Page, count: int) -> None:
    target = page.evaluate("window.draws") + count
    page.wait_for_function("target => window.draws >= target", arg=target)


def await_charts(page: Page, *names: str) -> None:
    page.wait_for_function(f"names => ({NAMES})().join() === names.join()", arg=names)


def table(page: Page, column: str) -> Locator:
    """Return the table that has such a column; its cells are painted, and listed for screen readers."""
    return page.get_by_test_id("stDataFrame").filter(has=page.locator(f"th:has-text('{column}')"))


def test_the_pair_is_drawn_and_its_prices_and_trades_move(page: Page, desk: str) -> None:
    look(page, desk)
    await_charts(page, "ETHUSDT 5s", "BTCUSDT 5s")
    before = page.evaluate(PRICE)
    newest = table(page, "size, ETH").locator("td").first.text_content()
    page.wait_for_function(f"before => ({PRICE})() !== before", arg=before)
    page.wait_for_function(
        "newest => document.querySelector('[data-testid=stDataFrame] td').textContent !== newest", arg=newest
    )
    assert page.get_by_text("SIMULATED", exact=True).count() >= 2


@pytest.mark.nightly
def test_the_statistics_and_what_there_is_follow(page: Page, desk: str) -> None:
    look(page, desk)
    prices = table(page, "VaR 95, bp")
    prices.wait_for(timeout=FIRST_START_MS)
    cells = [each.text_content() or "" for each in prices.locator("tr:has-text('BTCUSDT') td").all()]
    assert cells[1] in ("298", "299")  # of 300 bars, the newest of which may be forming
    assert all(text and text != "–" for text in cells)
    for column in ("trades/min", "first trade, UTC", "last hour"):
        assert table(page, column).count() == 1


@pytest.mark.nightly
def test_zoom_and_controls_survive_refreshes(page: Page, desk: str) -> None:
    look(page, desk, "?bars=1s&shown=120")
    box = page.locator(CHART).first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4, steps=5)
    page.mouse.up()
    page.wait_for_function("() => window.chart._fullLayout.xaxis.autorange === false")
    zoomed = page.evaluate(AXIS)
    await_draws(page, 4)
    assert page.evaluate(AXIS) == zoomed
    assert page.evaluate("window.chart === document.querySelector('.pairscope-chart')")
    await_charts(page, "ETHUSDT 1s", "BTCUSDT 1s")
    assert page.get_by_role("radio", name="1s", exact=True).get_attribute("aria-checked") == "true"


def test_a_click_in_the_table_draws_that_symbol_and_a_link_opens_it_again(page: Page, desk: str) -> None:
    look(page, desk, "?bars=1m")
    table(page, "VaR 95, bp").wait_for(timeout=FIRST_START_MS)  # it would push the other table down
    symbols = table(page, "last hour")
    symbols.scroll_into_view_if_needed()
    place: Any = symbols.locator("canvas").first.bounding_box()
    page.mouse.click(place["x"] + place["width"] * 0.2, place["y"] + place["height"] * 0.88)
    await_charts(page, "DASHUSDT 1m")
    page.wait_for_function("() => location.search.includes('symbols=simulated%3ADASHUSDT')")
    page.goto(page.url)
    await_charts(page, "DASHUSDT 1m")
    page.get_by_role("button", name="Pair").click()
    await_charts(page, "ETHUSDT 1m", "BTCUSDT 1m")


@pytest.mark.nightly
def test_the_legs_that_the_pair_page_has_are_drawn(page: Page, desk: str) -> None:
    page.goto(f"{desk}/?y=simulated:DASHUSDT&x=simulated:ETHUSDT")
    page.get_by_role("heading", name="DASHUSDT / ETHUSDT").wait_for()
    page.get_by_role("link", name="Market").click()
    await_charts(page, "DASHUSDT 5s", "ETHUSDT 5s")
