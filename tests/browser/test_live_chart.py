"""The chart component in a real browser, on a page that refreshes five times a second."""

import gzip
import importlib.metadata
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, Route

from tests.browser.looking import FAR_ZONE

APP = """
import streamlit as st
from pairscope.live_chart import chart_routes

app = st.App("page.py", routes=chart_routes())
"""

PAGE = """
import streamlit as st
from market import SECOND, Instrument, Timeframe, bars_from_rows
from pairscope.charts import candles
from pairscope.live_chart import live_chart

START = int(st.query_params.get("start", 1_763_600_000_000))
st.set_page_config(layout="wide")


def some_bars(first, count=120):
    rows = [
        (START + n * SECOND, 103 + n % 7, 109 + n % 7, 99, 101 + n % 9, 1 + n % 5, 100, 0.5, 3, n < 130, n in (60, 160))
        for n in range(first, first + count)
    ]
    return bars_from_rows(Instrument("simulated", "AAAUSD"), Timeframe(SECOND), rows)


@st.fragment(run_every=0.2)
def market():
    st.session_state.refresh = refresh = st.session_state.get("refresh", 0) + 1
    with st.container(key="moving"):
        empty = st.query_params.get("empty") == "first" and refresh < 3
        live_chart(candles(some_bars(refresh, 0 if empty else 120), label="SIMULATED"), key="moving_chart", height=400)
    with st.container(key="still"):
        live_chart(candles(some_bars(0)), key="still_chart", height=200)
    st.text(f"refresh {refresh}")


shown = st.toggle("shown", value=True)
if shown:
    market()
"""

START = 1_763_600_000_000
SKIPPED = 1_772_937_000_000
"""2:30 of 8 March 2026, which clocks in New York do not show: they go from 2:00 to 3:00."""

WAIT_MS = 30_000
ASSET = f"assets/plotly-{importlib.metadata.version('plotly')}.min.js"
CHART = ".st-key-moving .pairscope-chart"
WATCH = """() => {
    window.chart = document.querySelector(".st-key-moving .pairscope-chart");
    window.draws = 0;
    window.chart.on("plotly_afterplot", () => (window.draws += 1));
}"""
AXIS = """() => {
    const axis = window.chart._fullLayout.xaxis;
    return { start: axis.r2l(axis.range[0]), end: axis.r2l(axis.range[1]), follows: axis.autorange };
}"""


@pytest.fixture(scope="module")
def url(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("live_chart")
    (folder / "page.py").write_text(PAGE, encoding="utf-8")
    (folder / "app.py").write_text(APP, encoding="utf-8")
    return serve(folder / "app.py")


def watch(page: Page, url: str) -> None:
    """Open the page and count what is drawn from then on."""
    page.goto(url)
    page.wait_for_selector(f"{CHART} .main-svg")
    page.evaluate(WATCH)


def await_draws(page: Page, count: int) -> None:
    """Wait until the moving chart has been drawn `count` times more."""
    target = page.evaluate("window.draws") + count
    page.wait_for_function("target => window.draws >= target", arg=target, timeout=2 * WAIT_MS)


def await_refreshes(page: Page, count: int) -> None:
    """Wait until Streamlit has refreshed `count` times more, whatever the chart makes of it."""
    number = "() => Number(document.body.innerText.match(/refresh (\\d+)/)[1])"
    target = page.evaluate(number) + count
    page.wait_for_function(f"target => ({number})() >= target", arg=target)


def spot(page: Page, across: float, down: float) -> tuple[float, float]:
    """Return the point at these shares of the chart's width and height."""
    box = page.locator(CHART).bounding_box()
    assert box
    return box["x"] + box["width"] * across, box["y"] + box["height"] * down


def drag(page: Page, start: float, end: float) -> None:
    """Zoom into a part of the time axis."""
    page.mouse.move(*spot(page, start, 0.4))
    page.mouse.down()
    page.mouse.move(*spot(page, end, 0.4), steps=5)
    page.mouse.up()
    page.wait_for_function("() => window.chart._fullLayout.xaxis.autorange === false")


def axis(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(AXIS)
    return found


@pytest.mark.parametrize("start", [START, SKIPPED])
def test_times_stand_as_they_are_sent_wherever_the_browser_is(page: Page, url: str, start: int) -> None:
    watch(page, f"{url}/?start={start}")
    page.evaluate("window.chart = document.querySelector('.st-key-still .pairscope-chart')")
    assert page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone") == FAR_ZONE
    assert start - 2_000 <= axis(page)["start"] <= start
    assert start + 119_000 <= axis(page)["end"] <= start + 121_000
    gap = page.locator(".st-key-still .shapelayer path").first.bounding_box()
    plot = page.locator(".st-key-still .nsewdrag").first.bounding_box()
    assert gap
    assert plot
    assert abs(gap["x"] + gap["width"] / 2 - plot["x"] - plot["width"] / 2) < 8
    page.locator(".st-key-still .nsewdrag").first.hover()
    page.wait_for_selector(".st-key-still .hoverlayer .legendtitletext")
    said = page.locator(".st-key-still .hoverlayer .legendtitletext").text_content()
    times = (datetime.fromtimestamp(start / 1000 + second, UTC) for second in range(58, 63))
    assert said in [f"{time.day} {time:%b %Y %H:%M:%S} UTC" for time in times]


def test_zoom_and_node_survive_50_refreshes(page: Page, url: str) -> None:
    watch(page, url)
    drag(page, 0.3, 0.6)
    zoomed = axis(page)
    await_draws(page, 50)
    assert axis(page) == zoomed
    assert page.evaluate(f"window.chart === document.querySelector('{CHART}')")
    assert page.locator(".js-plotly-plot").count() == 2


def test_the_time_axis_follows_the_data_until_zoomed_and_again_after_a_double_click(page: Page, url: str) -> None:
    watch(page, url)
    before = axis(page)
    await_draws(page, 3)
    assert axis(page)["end"] > before["end"]
    drag(page, 0.3, 0.6)
    page.mouse.dblclick(*spot(page, 0.5, 0.4))
    page.wait_for_function("() => window.chart._fullLayout.xaxis.autorange === true")
    reset = axis(page)
    await_draws(page, 3)
    assert axis(page)["end"] > reset["end"]


@pytest.mark.nightly
def test_a_refresh_waits_while_the_user_drags(page: Page, url: str) -> None:
    watch(page, url)
    await_draws(page, 1)
    page.mouse.move(*spot(page, 0.3, 0.4))
    page.mouse.down()
    page.mouse.move(*spot(page, 0.5, 0.4), steps=5)
    held = page.evaluate("window.draws")
    await_refreshes(page, 5)
    assert page.evaluate("window.draws") == held
    page.mouse.up()
    await_draws(page, 2)


def test_the_hover_of_a_resting_pointer_stays(page: Page, url: str) -> None:
    watch(page, url)
    page.mouse.move(*spot(page, 0.5, 0.4))
    page.wait_for_selector(f"{CHART} .hoverlayer .legend")
    await_draws(page, 5)
    page.wait_for_selector(f"{CHART} .hoverlayer .legend")
    assert "close" in (page.locator(f"{CHART} .hoverlayer").text_content() or "")


@pytest.mark.nightly
def test_the_same_figure_is_not_drawn_again(page: Page, url: str) -> None:
    watch(page, url)
    page.evaluate("""() => {
        window.stillDraws = 0;
        document.querySelector(".st-key-still .pairscope-chart").on("plotly_afterplot", () => (window.stillDraws += 1));
    }""")
    await_draws(page, 5)
    assert page.evaluate("window.stillDraws") == 0


@pytest.mark.nightly
def test_the_chart_is_as_wide_as_its_place(page: Page, url: str) -> None:
    watch(page, url)
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function("() => window.chart.clientWidth < 800")
    page.wait_for_function("() => window.chart._fullLayout.width === window.chart.clientWidth")
    assert page.evaluate("window.chart._fullLayout.height") == 400


@pytest.mark.nightly
def test_plotly_is_loaded_once_for_all_charts_and_purged_when_they_leave(page: Page, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "plotly" in request.url else None)
    watch(page, url)
    page.get_by_text("shown").click()
    page.wait_for_function("() => !document.querySelector('.pairscope-chart')")
    page.wait_for_function("() => window.chart._fullLayout === undefined")
    page.get_by_text("shown").click()
    page.wait_for_selector(f"{CHART} .main-svg")
    assert asked == [f"{url}/{ASSET}"]


@pytest.mark.nightly
def test_the_newest_figure_is_drawn_when_plotly_comes_late(page: Page, url: str) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(f"**/{ASSET}", hold)
    page.goto(url)
    page.get_by_text("refresh").wait_for()
    await_refreshes(page, 10)
    assert page.locator(".main-svg").count() == 0
    held[0].continue_()
    page.wait_for_selector(f"{CHART} .main-svg")
    page.evaluate(WATCH)
    assert axis(page)["start"] > START + 9_000
    assert len(held) == 1


def test_a_chart_without_plotly_says_so_and_recovers(page: Page, url: str, problems: list[str]) -> None:
    page.route(f"**/{ASSET}", lambda route: route.abort())
    page.goto(url)
    message = page.get_by_text(f"The chart cannot be drawn: plotly.js could not be loaded from /{ASSET}").first
    message.wait_for()
    page.unroute(f"**/{ASSET}")
    page.wait_for_selector(f"{CHART} .main-svg")
    message.wait_for(state="hidden")
    assert all("ERR_FAILED" in problem for problem in problems)
    problems.clear()


def test_an_empty_chart_becomes_a_full_one(page: Page, url: str) -> None:
    page.goto(f"{url}/?empty=first")
    page.wait_for_function(f"() => document.querySelector('{CHART}')?.querySelector('.boxlayer path.box')")
    page.evaluate(WATCH)
    before = axis(page)
    await_draws(page, 2)
    while axis(page)["end"] <= before["end"]:  # a new last bar may be drawn without the room that the old one had
        await_draws(page, 1)


@pytest.mark.parametrize("base", ["", "desk/", "deep/er/"])
def test_plotly_is_served_at_any_base_path_compressed_and_for_ever(url: str, base: str) -> None:
    request = urllib.request.Request(f"{url}/{base}{ASSET}", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as response:
        packed = response.read()
        assert response.headers["Content-Encoding"] == "gzip"
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Content-Type"].startswith("text/javascript")
    assert len(packed) < 1_600_000
    with urllib.request.urlopen(f"{url}/{base}{ASSET}") as response:
        assert response.read() == gzip.decompress(packed)
