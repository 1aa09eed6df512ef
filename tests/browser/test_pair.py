"""The Pair page as its user sees it: the simulated market in a real browser."""

import csv
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, WebSocketRoute
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.looking import wait_until_settled

CHART = ".pairscope-chart"
FIRST_START_MS = 150_000
"""Kernels that were never compiled on this machine take 20 s, and more on a busy one."""

CARD = "[data-testid=stMetric]"
VALUES = "() => [...document.querySelectorAll('[data-testid=stMetricValue]')].map((each) => each.innerText)"
WATCH = """() => {
    window.chart = document.querySelector(".pairscope-chart");
    window.draws = 0;
    window.chart.on("plotly_afterplot", () => (window.draws += 1));
}"""
AXIS = "() => window.chart._fullLayout.xaxis.range.map(String)"
SEEN = """() => {
    const axis = window.chart._fullLayout.xaxis, [start, end] = axis.range.map(axis.r2l);
    const line = window.chart.data.find((trace) => trace.name === "z-score");
    const points = line.x.map((time) => axis.d2l(time)).filter((time) => time >= start && time <= end).length;
    return { points, seconds: (end - start) / 1000 };
}"""

CLOCKS = """() => {
    const now = document.querySelector("[data-testid=stMain]").innerText.match(/\\d+ \\w+ \\d{4} [\\d:]+(?= UTC)/)[0];
    return [now, document.querySelector(".hoverlayer .legendtitletext").textContent];
}"""
"""What the heading and the hover of the chart say at one moment."""


@pytest.fixture
def url(desk: str) -> str:
    return desk


def look(page: Page, url: str) -> None:
    """Open the page, wait until the numbers are ready, and count what is drawn from then on."""
    page.goto(url)
    page.get_by_text("Verdict: ").wait_for(timeout=FIRST_START_MS)
    page.wait_for_selector(f"{CHART} .scatterlayer path.js-line")
    page.evaluate(WATCH)


def await_draws(page: Page, count: int) -> None:
    target = page.evaluate("window.draws") + count
    page.wait_for_function("target => window.draws >= target", arg=target)


def values(page: Page) -> list[str]:
    found: list[str] = page.evaluate(VALUES)
    return found


def zoom(page: Page, start: float, end: float) -> None:
    """Drag over a part of the time axis, given as shares of the chart's width."""
    box = page.locator(CHART).bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * start, box["y"] + box["height"] * 0.15)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + box["height"] * 0.15, steps=5)
    page.mouse.up()
    page.wait_for_function("() => window.chart._fullLayout.xaxis.autorange === false")


def test_zoom_and_controls_survive_refreshes_and_a_lost_connection(page: Page, url: str, problems: list[str]) -> None:
    lines: list[WebSocketRoute] = []

    def connect(line: WebSocketRoute) -> None:
        lines.append(line)
        line.connect_to_server()

    page.route_web_socket("**/_stcore/stream", connect)
    look(page, f"{url}/?bars=1s&history=600&window=30&hedge=Huber")
    zoom(page, 0.3, 0.6)
    zoomed = page.evaluate(AXIS)
    await_draws(page, 4)
    assert problems == []
    lines[-1].close()
    await_draws(page, 4)
    assert len(lines) == 2
    problems.clear()  # Streamlit says in the console that it connects again
    assert page.evaluate(AXIS) == zoomed
    assert page.evaluate("window.chart === document.querySelector('.pairscope-chart')")
    for chosen in ("1s", "Huber"):
        assert page.get_by_role("radio", name=chosen, exact=True).get_attribute("aria-checked") == "true"


@pytest.mark.nightly
def test_a_refresh_sends_less_than_20_kb_when_only_new_points_came(page: Page, url: str) -> None:
    weights: list[int] = [0]

    def weigh(frame: bytes | str) -> None:
        weights[-1] += len(frame)
        message = ForwardMsg.FromString(frame if isinstance(frame, bytes) else frame.encode())
        if message.WhichOneof("type") == "script_finished":
            weights.append(0)

    page.on("websocket", lambda line: line.on("framereceived", weigh))
    look(page, f"{url}/?bars=1s&history=3600")
    await_draws(page, 4)
    begun = len(weights)
    await_draws(page, 8)
    assert sorted(weights[begun:-1])[len(weights[begun:-1]) // 2] < 20_000
    assert max(weights) < 200_000


def test_zooming_in_brings_every_bar_and_a_double_click_the_whole_line(page: Page, url: str) -> None:
    look(page, f"{url}/?bars=1s&history=14400")
    before = page.evaluate(SEEN)
    assert before["points"] < before["seconds"] / 5
    zoom(page, 0.4, 0.45)
    page.wait_for_function(f"() => {{ const now = ({SEEN})(); return now.points > 0.8 * now.seconds; }}")
    shown = page.evaluate(AXIS)
    await_draws(page, 3)
    assert page.evaluate(AXIS) == shown
    box = page.locator(CHART).bounding_box()
    assert box
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.15)
    page.wait_for_function(f"() => {{ const now = ({SEEN})(); return now.points > {before['points']} * 0.7; }}")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_chart_tells_the_time_that_the_heading_tells(page: Page, url: str, zone: str) -> None:
    look(page, f"{url}/?bars=1s&history=300&zone={zone}")
    box = page.locator(f"{CHART} .nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 4, box["y"] + 30)
    page.wait_for_selector(f"{CHART} .hoverlayer .legendtitletext")
    now, title = page.evaluate(CLOCKS)
    there = datetime.strptime(now, "%d %b %Y %H:%M:%S").replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    hovered = datetime.strptime(title.removesuffix(f" {zone}"), "%d %b %Y %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
    assert timedelta(0) <= there - hovered < timedelta(seconds=30)


@pytest.mark.nightly
def test_two_tabs_refresh_each_for_itself(page: Page, url: str) -> None:
    look(page, f"{url}/?bars=1s&history=600")
    other = page.context.new_page()
    look(other, f"{url}/?bars=15s&window=90")
    await_draws(other, 2)
    await_draws(page, 2)
    assert page.get_by_role("slider", name="Window, bars").input_value() == "60"
    assert other.get_by_role("slider", name="Window, bars").input_value() == "90"


def test_controls_change_the_numbers_and_the_address(page: Page, url: str) -> None:
    look(page, url)
    before = values(page)
    page.get_by_role("radio", name="Huber", exact=True).click()
    page.wait_for_function("() => location.search.includes('hedge=Huber')")
    page.wait_for_function(f"before => ({VALUES})()[2] !== before", arg=before[2])
    page.get_by_role("button", name="Swap").click()
    page.get_by_role("heading", name="BTCUSDT / ETHUSDT").wait_for()
    page.wait_for_function("() => location.search.includes('y=simulated%3ABTCUSDT')")
    page.wait_for_function(f"() => Number(({VALUES})()[2]) > 1")


@pytest.mark.nightly
def test_a_link_opens_the_same_view(page: Page, url: str) -> None:
    look(page, f"{url}/?y=simulated:BTCUSDT&x=simulated:ETHUSDT&bars=15s&window=90&hedge=TLS&entry=2.5&costs=kraken")
    page.get_by_role("heading", name="BTCUSDT / ETHUSDT").wait_for()
    assert page.get_by_role("radio", name="TLS", exact=True).get_attribute("aria-checked") == "true"
    assert page.get_by_role("slider", name="Window, bars").input_value() == "90"
    assert float(values(page)[6].removesuffix(" bp")) < -50  # what Kraken takes of a round trip


@pytest.mark.nightly
def test_options_that_contradict_each_other_are_answered_with_a_sentence(page: Page, url: str) -> None:
    look(page, url)
    page.goto(f"{url}/?entry=1&exit=1.5")
    page.get_by_text("Exit is 1.5 and entry is 1").wait_for()
    assert page.locator(CARD).count() == 0
    page.get_by_text("no signal: wrong options").first.wait_for()
    page.goto(f"{url}/?y=ETHUSDT&x=ETHUSDT")
    page.get_by_text("Both legs are simulated:ETHUSDT").wait_for()


@pytest.mark.nightly
def test_too_few_bars_say_when_there_will_be_enough(page: Page, url: str) -> None:
    page.goto(f"{url}/?bars=1h")
    page.get_by_text(re.compile(r"of 6\d bars; ready in")).wait_for(timeout=FIRST_START_MS)
    page.wait_for_selector(CARD)
    assert values(page)[0] == "–"


@pytest.mark.nightly
def test_the_numbers_can_be_taken_home(page: Page, url: str, tmp_path: Path) -> None:
    look(page, f"{url}/?history=300")
    with page.expect_download() as download:
        page.get_by_role("link", name="Analytics CSV").click()
    assert download.value.suggested_filename == "ETHUSDT-BTCUSDT-5s.csv"
    download.value.save_as(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(seconds=5)}
    assert len(rows) in (299, 300)  # a bar that has just begun may have a trade in one leg only
    assert {row["label"] for row in rows} == {"SIMULATED"}


def test_paused_stops_the_refresh_and_shows_no_signal(page: Page, url: str) -> None:
    look(page, url)
    wait_until_settled(page)  # until then the sidebar may move what is to be clicked
    page.get_by_role("button", name="Pause page").click()
    page.get_by_role("button", name="Resume page").wait_for()
    page.get_by_text("no signal: paused").first.wait_for()
    before = page.get_by_text(" UTC").first.inner_text()
    assert page.evaluate("() => new Promise((done) => setTimeout(() => done(window.draws), 2500))") >= 0
    assert page.get_by_text(" UTC").first.inner_text() == before


@pytest.mark.nightly
def test_the_view_outlives_a_visit_to_another_page(page: Page, url: str) -> None:
    look(page, f"{url}/?window=90&hedge=Huber&x=DASHUSDT")
    page.get_by_role("link", name="Market").click()
    page.wait_for_selector(f"{CHART} .boxlayer path.box")
    page.get_by_role("link", name="Pair").click()
    page.get_by_role("heading", name="ETHUSDT / DASHUSDT").wait_for()
    page.wait_for_selector(f"{CHART} .scatterlayer path.js-line", timeout=5_000)
    assert page.get_by_role("slider", name="Window, bars").input_value() == "90"
    assert page.get_by_role("radio", name="Huber", exact=True).get_attribute("aria-checked") == "true"
