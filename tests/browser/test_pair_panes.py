"""The chart of a pair in a real browser, on a page that refreshes five times a second."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

APP = """
import streamlit as st
from pairscope.live_chart import chart_routes

app = st.App("page.py", routes=chart_routes())
"""

PAGE = """
import numpy as np
import streamlit as st
from pairscope.charts import PairColumns, pair_panes
from pairscope.live_chart import live_chart

START, BARS = 1_763_600_000_000, 400
st.set_page_config(layout="wide")


def some_panes(first):
    rng, k = np.random.default_rng(3), np.arange(BARS + 5_000)
    x = np.round(60_000.12 + np.cumsum(rng.normal(size=len(k))), 2)
    zscore = 2.4 * np.sin(k / 15) + rng.normal(size=len(k)) / 8
    columns = {
        "price_y": np.round(x / 20 + zscore * 3, 2), "price_x": x,
        "spread": zscore * 3, "mean": 0 * x, "std": 3 + 0 * x,
        "zscore": zscore, "beta": 0.05 + zscore / 1_000, "correlation": np.tanh(zscore),
        "state": ((zscore <= -2) * 1 - (zscore >= 2)).astype(np.int8),
    }
    rows = slice(first, first + BARS)
    shown = {name: column[rows].copy() for name, column in columns.items()}
    for name in ("spread", "mean", "std", "zscore", "beta", "correlation"):
        shown[name][:59] = np.nan
    flags = np.where(k[rows] == first + BARS - 1, 1, (k[rows] % 300 == 170) * 2).astype(np.uint8)
    return PairColumns.of(START + k[rows] * 1_000, shown, flags)


@st.fragment(run_every=0.2)
def pair():
    st.session_state.refresh = refresh = st.session_state.get("refresh", 0) + 1
    evil = '<a href="https://example.com">%{y}</a>'
    names = (evil, evil) if st.query_params.get("evil") else ("ETHUSDT", "BTCUSDT")
    figure = pair_panes(
        some_panes(refresh), theme=st.context.theme.type or "dark", names=names, entry=2, exit=0.5, window=60,
        price_units=("USDT", "USDT"), spread_unit="USDT", beta_unit="BTC/ETH",
        rebased=bool(st.query_params.get("rebased")),
    )
    live_chart(figure, key="pair", height=760)


pair()
"""

CHART = ".pairscope-chart"
WATCH = """() => {
    window.chart = document.querySelector(".pairscope-chart");
    window.draws = 0;
    window.chart.on("plotly_afterplot", () => (window.draws += 1));
}"""
AXIS = """() => {
    const axis = window.chart._fullLayout.xaxis;
    return { start: axis.r2l(axis.range[0]), end: axis.r2l(axis.range[1]), follows: axis.autorange };
}"""
HOVERED = """() => [...document.querySelectorAll(".hoverlayer .legendtitletext, .hoverlayer .legendtext")]
    .map((each) => each.textContent)"""
OVERLAPS = """() => {
    const tags = ".annotation-text-g, .xtick text, [class*=y][class$=tick] text";
    const seen = [...window.chart.querySelectorAll(tags)].filter((each) => each.textContent !== "SIMULATED");
    const boxes = seen.map((each) => [each.textContent, each.getBoundingClientRect()]);
    const found = [], frame = window.chart.getBoundingClientRect();
    for (const [i, [words, a]] of boxes.entries()) {
        if (a.left < frame.left - 1 || a.right > frame.right + 1) found.push(`${words} is cut off`);
        for (const [others, b] of boxes.slice(i + 1)) {
            const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (across > 1 && down > 3) found.push(`${words} / ${others}`);
        }
    }
    return [boxes.length, found];
}"""


@pytest.fixture(scope="module")
def url(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pair_panes")
    (folder / "page.py").write_text(PAGE, encoding="utf-8")
    (folder / "app.py").write_text(APP, encoding="utf-8")
    return serve(folder / "app.py")


def watch(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector(f"{CHART} .main-svg")
    page.evaluate(WATCH)


def await_draws(page: Page, count: int) -> None:
    target = page.evaluate("window.draws") + count
    page.wait_for_function("target => window.draws >= target", arg=target)


def spot(page: Page, across: float, down: float) -> tuple[float, float]:
    box = page.locator(CHART).bounding_box()
    assert box
    return box["x"] + box["width"] * across, box["y"] + box["height"] * down


def axis(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(AXIS)
    return found


def test_zoom_in_one_pane_is_zoom_in_all_and_survives_until_a_double_click(page: Page, url: str) -> None:
    watch(page, url)
    page.mouse.move(*spot(page, 0.3, 0.6))
    page.mouse.down()
    page.mouse.move(*spot(page, 0.6, 0.6), steps=5)
    page.mouse.up()
    page.wait_for_function("() => window.chart._fullLayout.xaxis.autorange === false")
    zoomed = axis(page)
    await_draws(page, 10)
    assert axis(page) == zoomed
    page.mouse.dblclick(*spot(page, 0.5, 0.6))
    page.wait_for_function("() => window.chart._fullLayout.xaxis.autorange === true")
    reset = axis(page)
    await_draws(page, 3)
    assert axis(page)["end"] > reset["end"]
    assert axis(page)["follows"] is True


@pytest.mark.nightly
def test_the_time_axis_holds_the_data_and_nothing_else(page: Page, url: str) -> None:
    watch(page, url)
    shown = axis(page)
    assert 399_000 <= shown["end"] - shown["start"] <= 405_000


@pytest.mark.parametrize(
    "down", [pytest.param(0.2, marks=pytest.mark.nightly), 0.6, pytest.param(0.9, marks=pytest.mark.nightly)]
)
def test_the_crosshair_and_the_hover_span_all_panes(page: Page, url: str, down: float) -> None:
    watch(page, url)
    page.mouse.move(*spot(page, 0.5, down))
    page.mouse.move(*spot(page, 0.51, down))
    page.wait_for_function(f"() => ({HOVERED})().length >= 7")
    said = page.evaluate(HOVERED)
    assert [each.split()[0] for each in said[1:]] == ["ETHUSDT", "BTCUSDT", "spread", "z-score", "β", "correlation"]
    assert said[0].endswith("UTC")
    [height] = page.evaluate(
        "() => [...new Set([...document.querySelectorAll('.spikeline')].map((line) => line.getBBox())"
        ".filter((box) => box.width < 2).map((box) => Math.round(box.height)))]"
    )
    assert height > 600


SIZES = ((1500, 1000, ""), (360, 740, "?rebased=1"))


@pytest.mark.parametrize(
    ("width", "height", "query"),
    [
        pytest.param(*size, query, marks=() if (*size, query) in SIZES else pytest.mark.nightly)
        for size in ((1500, 1000), (1280, 720), (390, 844), (360, 740))
        for query in ("", "?rebased=1")
    ],
)
def test_no_words_overlap_and_none_are_cut_off(page: Page, url: str, width: int, height: int, query: str) -> None:
    page.set_viewport_size({"width": width, "height": height})
    watch(page, url + query)
    count, found = page.evaluate(OVERLAPS)
    assert count > 30
    assert found == []


def test_symbols_are_inert_in_titles_and_hover(page: Page, url: str) -> None:
    watch(page, f"{url}?evil=1")
    page.mouse.move(*spot(page, 0.5, 0.2))
    page.mouse.move(*spot(page, 0.51, 0.2))
    page.wait_for_function(f"() => ({HOVERED})().length >= 7")
    said = page.evaluate(HOVERED)
    assert said[1].startswith('<a href="https://example.com">%{y}</a> ')
    assert page.locator(f"{CHART} a[*|href*='example.com']").count() == 0
    assert page.locator(f"{CHART} svg a").count() == 0
