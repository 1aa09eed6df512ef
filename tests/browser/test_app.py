"""The Market page as its user sees it: the demo in a real browser, on a desk's screen, a laptop's and a phone's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

APP = Path(__file__).resolve().parents[2] / "app.py"
CHART = ".pairscope-chart"
WATCH = """() => {
    window.chart = document.querySelector(".pairscope-chart");
    window.draws = 0;
    window.chart.on("plotly_afterplot", () => (window.draws += 1));
}"""
SHOWN = """() => {
    const drawn = window.chart._fullData.filter((trace) => trace.type === "candlestick" && trace.visible);
    const bars = drawn.filter((trace) => trace.hovertemplate); // one without only keeps the candles apart
    return { name: bars[0].name, count: bars.reduce((sum, trace) => sum + trace.x.length, 0) };
}"""
AXIS = "() => window.chart._fullLayout.xaxis.range.map(String)"
PRICE = "() => document.querySelector('[data-testid=stMetricValue]').innerText"
CUT = """() => {
    const cut = [];
    for (const each of document.querySelectorAll("[data-testid=stMain] *")) {
        if (each.closest("svg, [data-testid=stDataFrame], [data-testid=stCode]") || !each.innerText?.trim()) continue;
        const hides = getComputedStyle(each).overflowX !== "visible";
        if (hides && each.clientWidth > 1 && each.scrollWidth > each.clientWidth + 1) cut.push(each.innerText);
    }
    return cut;
}"""


@pytest.fixture(scope="module")
def url(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("desk")
    desk = serve(
        APP,
        PAIRSCOPE_VENUE="simulated",
        PAIRSCOPE_SYMBOLS="ETHUSDT,BTCUSDT,DASHUSDT",
        PAIRSCOPE_STORE=f"sqlite:///{folder}/desk.db",
        PAIRSCOPE_LOG_FILE=f"{folder}/desk.log",
    )
    return f"{desk}/market"


def look(page: Page, url: str) -> None:
    """Open the desk and count what is drawn from then on."""
    page.goto(url)
    page.wait_for_selector(f"{CHART} .boxlayer path.box")
    page.evaluate(WATCH)


def await_draws(page: Page, count: int) -> None:
    target = page.evaluate("window.draws") + count
    page.wait_for_function("target => window.draws >= target", arg=target)


def shown(page: Page) -> dict[str, Any]:
    """Return which candles the chart holds, and how many."""
    found: dict[str, Any] = page.evaluate(SHOWN)
    return found


def test_a_price_moves_within_10_seconds_of_opening(page: Page, url: str) -> None:
    hosts: set[str | None] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.set_default_timeout(10_000)
    look(page, url)
    before = page.evaluate(PRICE)
    page.wait_for_function(f"before => ({PRICE})() !== before", arg=before)
    assert shown(page)["count"] > 200
    assert page.get_by_text("SIMULATED", exact=True).count() >= 1
    assert hosts - {None, ""} == {"127.0.0.1"}


def test_zoom_and_controls_survive_refreshes(page: Page, url: str) -> None:
    look(page, f"{url}?bars=1s&shown=120")
    box = page.locator(CHART).bounding_box()
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
    assert shown(page)["name"] == "ETHUSDT 1s"
    assert page.get_by_role("radio", name="1s", exact=True).get_attribute("aria-checked") == "true"


def test_another_symbol_and_timeframe_change_the_chart_and_the_address(page: Page, url: str) -> None:
    look(page, url)
    assert shown(page)["name"] == "ETHUSDT 5s"
    page.get_by_role("combobox").click()
    page.get_by_role("option", name="BTCUSDT").click()
    page.wait_for_function(f"() => ({SHOWN})().name === 'BTCUSDT 5s'")
    page.get_by_role("radio", name="15s", exact=True).click()
    page.wait_for_function(f"() => ({SHOWN})().name === 'BTCUSDT 15s'")
    page.wait_for_function("() => location.search.includes('BTCUSDT') && location.search.includes('bars=15s')")
    await_draws(page, 2)
    assert shown(page)["name"] == "BTCUSDT 15s"


def test_paused_stops_the_refresh_and_says_so(page: Page, url: str) -> None:
    look(page, url)
    slider = page.get_by_role("slider", name="Refresh every")
    for reached in ("2 s", "5 s", "paused"):
        slider.press("ArrowRight")
        page.wait_for_selector(f"input[type=range][aria-valuetext='{reached}']")
    page.get_by_test_id("stMain").get_by_text("PAUSED").first.wait_for()
    page.evaluate(WATCH)
    before = page.get_by_text(" UTC").first.inner_text()
    assert page.evaluate("() => new Promise((done) => setTimeout(() => done(window.draws), 2500))") == 0
    assert page.get_by_text(" UTC").first.inner_text() == before
    slider.press("ArrowLeft")
    page.get_by_text("LIVE").first.wait_for()


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1500, 1000, "dark"), (1280, 720, "light"), (390, 844, "dark")]
)
def test_nothing_is_cut_off(browser: Browser, url: str, width: int, height: int, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    look(page, url)
    await_draws(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT) == []
    assert "None" not in page.locator("[data-testid=stMain]").inner_text()
    boxes = [each.bounding_box() for each in page.locator("[data-testid=stMetric]").all()]
    assert len({round(box["width"]) for box in boxes if box}) <= 2  # a pixel's rounding
    assert len({round(box["height"]) for box in boxes if box}) == 1
    context.close()
