"""The Explore page as its user sees it: the simulated market in a real browser."""

import re

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.looking import FAR_ZONE

FIRST_START_MS = 150_000
"""Kernels that were never compiled on this machine take 20 s, and more on a busy one."""

CHART = ".pairscope-chart"
DRAWN = """count => {
    const charts = [...document.querySelectorAll(".pairscope-chart")];
    return charts.length === count && charts.every((each) => each.data?.length);
}"""
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"


def look(page: Page, url: str, *, charts: int = 4) -> None:
    """Open the page, and wait until its section is drawn."""
    page.goto(url)
    page.get_by_text(re.compile(r"^As of \d")).wait_for(timeout=FIRST_START_MS)
    page.wait_for_function(DRAWN, arg=charts)


def choose(page: Page, section: str) -> None:
    page.get_by_role("radio", name=section, exact=True).click()


def test_it_says_who_leads_and_shows_four_charts(page: Page, desk: str) -> None:
    look(page, f"{desk}/explore")
    page.get_by_text(re.compile(r"^(Neither leg leads|\w+ follows \w+ by)")).wait_for()
    page.get_by_text(re.compile(r"^All trades say 0\.\d\d")).wait_for()
    names = ("Cross-correlation of returns", "The same, window by window", "Correlation by bar size", "Tick by tick")
    for title in names:
        assert page.get_by_text(title, exact=True).count() == 1
    kinds = page.evaluate(f"() => [...document.querySelectorAll('{CHART}')].map((each) => each.data.at(-1).type)")
    assert sorted(kinds) == ["bar", "heatmap", "scatter", "scatter"]


def test_a_section_stands_in_the_address_and_only_it_is_shown(page: Page, desk: str) -> None:
    look(page, f"{desk}/explore?explore=Residuals&bars=15s&history=600")
    page.get_by_text("Quantiles beside a normal's", exact=True).wait_for()
    choose(page, "Its changes from bar to bar")
    page.wait_for_function("() => location.search.includes('residual=Its+changes')")
    choose(page, "Hedge over time")
    page.wait_for_function("() => location.search.includes('explore=Hedge')")
    page.wait_for_function(DRAWN, arg=2)
    assert page.get_by_text(re.compile("^(No change of the hedge|The hedge changed|Whether it changed)")).count() == 1
    assert page.get_by_role("radio", name="15s", exact=True).get_attribute("aria-checked") == "true"


def test_all_tests_stand_in_one_table_that_explains_the_row_chosen(page: Page, desk: str) -> None:
    look(page, f"{desk}/explore?explore=Tests", charts=0)
    cells = page.locator("[data-testid=stDataFrame] td")
    page.wait_for_function("() => document.querySelectorAll('[data-testid=stDataFrame] td').length > 100")
    words = " ".join(cells.all_inner_texts())
    for test in ("ADF, ETHUSDT", "KPSS, BTCUSDT", "Engle-Granger", "Johansen, trace", "Half-life", "Power"):
        assert test in words
    assert not {"nan", "None"} & set(words.split())
    box = page.locator("[data-testid=stDataFrame]").bounding_box()
    assert box
    page.mouse.click(box["x"] + 15, box["y"] + 45)
    page.get_by_text("Does the series come back?").wait_for()
    page.get_by_text("Formula", exact=True).wait_for()


@pytest.mark.nightly
def test_the_pair_and_its_options_are_kept_from_page_to_page(page: Page, desk: str) -> None:
    look(page, f"{desk}/explore?explore=Tests&x=DASHUSDT&bars=15s&window=90", charts=0)
    page.get_by_role("link", name="Pair").click()
    page.get_by_role("heading", name="ETHUSDT / DASHUSDT").wait_for()
    page.get_by_text("Verdict: ").wait_for()
    page.get_by_role("link", name="Explore").click()
    page.get_by_role("heading", name="ETHUSDT / DASHUSDT").wait_for()
    page.get_by_text(re.compile(r"^As of \d")).wait_for()
    assert page.get_by_role("slider", name="Window, bars").input_value() == "90"


@pytest.mark.nightly
def test_nothing_is_wider_than_the_window(browser: Browser, desk: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light", timezone_id=FAR_ZONE)
    page = context.new_page()
    look(page, f"{desk}/explore?explore=Residuals")
    for section, charts in (("Lead and lag", 4), ("Hedge over time", 2)):
        choose(page, section)
        page.wait_for_function(DRAWN, arg=charts)
        for width, height in ((390, 844), (1280, 720)):
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function(FITS)
    context.close()
