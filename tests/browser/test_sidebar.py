"""What every page shares in its sidebar, as its user sees it: recording, symbols, saved views, addresses, and keys."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.looking import FAR_ZONE
from tests.test_addresses import GOOD
from tests.test_desk_views import addresses

FIRST_START_MS = 150_000
"""Kernels that were never compiled on this machine take 20 s, and more on a busy one."""

CALM = "?refresh=5+s"
"""A page that draws itself seldom: what is done by hand here takes less time."""

expect.set_options(timeout=30_000)


def look(page: Page, url: str) -> Locator:
    """Open a page, and return its sidebar once it is whole."""
    page.goto(url)
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_text("Time zone").wait_for(timeout=FIRST_START_MS)
    return sidebar


def query(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def test_recording_pauses_and_goes_on_and_the_page_says_so(page: Page, desk: str) -> None:
    sidebar = look(page, desk)
    page.get_by_text("Verdict: ").wait_for(timeout=FIRST_START_MS)
    sidebar.get_by_role("button", name="Pause", exact=True).click()
    try:
        page.get_by_text("Recording is paused: nothing is received.").first.wait_for()
        page.get_by_text("no signal: stale").first.wait_for()
    finally:
        sidebar.get_by_role("button", name="Resume", exact=True).click()
    sidebar.get_by_text("STREAMING").first.wait_for()
    expect(page.get_by_text("Recording is paused")).to_have_count(0)


def test_a_copied_link_opens_the_same_view_in_a_fresh_browser(page: Page, browser: Browser, desk: str) -> None:
    asked = {**GOOD, "x": "simulated:BTCUSDT", "refresh": "5 s", "zone": "Asia/Kolkata"}
    look(page, f"{desk}/?{urlencode(asked)}")
    page.get_by_text("Asia/Kolkata").first.wait_for()
    context = browser.new_context(timezone_id=FAR_ZONE)
    other = context.new_page()
    sidebar = look(other, page.url)
    expect(sidebar.get_by_role("slider", name="Window, bars")).to_have_value("90")
    expect(sidebar.get_by_role("slider", name="Entry, |z|")).to_have_value("2.5")
    expect(sidebar.get_by_role("slider", name="Refresh every")).to_have_attribute("aria-valuetext", "5 s")
    for name in ("15s", "Huber", "whole window"):
        expect(sidebar.get_by_role("radio", name=name, exact=True)).to_have_attribute("aria-checked", "true")
    for expander in ("Stops", "Data and costs"):
        sidebar.get_by_text(expander, exact=True).click()
    for label, value in (
        ("Stop, |z|", "4.00"), ("Time stop, bars", "120"), ("Fill missing bars", "3"), ("Own costs, bp", "7.50"),
        ("Minimum volume of a bar", "0.50"),
    ):  # fmt: skip
        expect(sidebar.get_by_role("spinbutton", name=label)).to_have_value(value)
    assert query(other) == query(page)
    context.close()


@pytest.mark.nightly
def test_the_zone_of_the_browser_outlives_its_own_link(page: Page, desk: str) -> None:
    sidebar = look(page, f"{desk}/{CALM}")
    sidebar.get_by_role("combobox", name="Time zone").click()
    page.keyboard.type("local")
    page.get_by_role("option", name="local").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.search.includes('zone=local')")
    page.get_by_text(FAR_ZONE).first.wait_for()
    look(page, page.url)
    page.get_by_test_id("stMain").get_by_text(FAR_ZONE).first.wait_for()
    assert query(page)["zone"] == "local"
    expect(page.get_by_test_id("stAlert")).to_have_count(0)


@pytest.mark.nightly
@pytest.mark.parametrize("address", list(addresses())[:2])
def test_a_hostile_address_is_told_and_does_no_harm(page: Page, desk: str, address: dict[str, str]) -> None:
    sidebar = look(page, f"{desk}/?{urlencode(address)}")
    notice = page.get_by_test_id("stAlert").first
    for key in address:
        expect(notice).to_contain_text(f"The address says {key}=")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(sidebar.get_by_role("slider", name="Window, bars")).to_have_value("60")


def test_a_view_is_saved_opened_and_deleted(page: Page, desk: str) -> None:
    name = "<b>mine</b> :red[1]"
    sidebar = look(page, f"{desk}/{CALM}&window=120&hedge=TLS")
    sidebar.get_by_text("Saved views").click()
    sidebar.get_by_role("textbox", name="Save as").fill(name)
    sidebar.get_by_role("textbox", name="Save as").press("Tab")
    sidebar.get_by_role("button", name="Save view").click()
    sidebar.get_by_role("button", name="Delete view").wait_for()
    sidebar = look(page, f"{desk}/{CALM}")
    sidebar.get_by_text("Saved views").click()
    sidebar.get_by_role("button", name="Open view").click()
    expect(sidebar.get_by_role("slider", name="Window, bars")).to_have_value("120")
    expect(sidebar.get_by_role("radio", name="TLS", exact=True)).to_have_attribute("aria-checked", "true")
    expect(sidebar.get_by_role("combobox", name="View")).to_have_value(name)
    sidebar.get_by_role("button", name="Delete view").click()
    sidebar.get_by_text("No view is saved yet.").wait_for()


def test_keys_pause_the_page_swap_the_legs_and_change_the_bars(page: Page, desk: str) -> None:
    sidebar = look(page, f"{desk}/{CALM}")
    page.get_by_role("heading", name="ETHUSDT / BTCUSDT").wait_for()
    page.keyboard.press("s")
    page.get_by_role("heading", name="BTCUSDT / ETHUSDT").wait_for()
    page.keyboard.press("b")
    expect(sidebar.get_by_role("radio", name="15s", exact=True)).to_have_attribute("aria-checked", "true")
    page.keyboard.press("Shift+B")
    expect(sidebar.get_by_role("radio", name="5s", exact=True)).to_have_attribute("aria-checked", "true")
    page.keyboard.press("p")
    paused = page.get_by_test_id("stMain").get_by_text("PAUSED")
    paused.first.wait_for()
    assert query(page)["paused"] == "true"
    page.keyboard.press("p")
    expect(paused).to_have_count(0)


@pytest.mark.nightly
def test_a_symbol_is_found_in_the_list_of_the_venue_added_and_removed(page: Page, desk: str) -> None:
    sidebar = look(page, f"{desk}/{CALM}")
    sidebar.get_by_text("Symbols", exact=True).click()
    sidebar.get_by_role("textbox", name="Search").fill("ada")
    sidebar.get_by_role("textbox", name="Search").press("Enter")
    sidebar.get_by_role("button", name="Add").click()
    sidebar.get_by_role("button", name="Remove").click()
    sidebar.get_by_role("button", name="Add").wait_for()
