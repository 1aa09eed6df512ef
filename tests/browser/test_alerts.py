"""The Alerts page as its user sees it: a rule made by hand, its preview, the toast, the alert, the history."""

import re
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ROOT, Server
from tests.browser.looking import CUT, barriers, wait_until_settled

MARKS = "() => document.querySelector('.pairscope-chart')?.data?.slice(1).flatMap((each) => [...(each.x ?? [])]).length"
WAIT_MS = 60_000
"""The first preview compiles what it computes with."""


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the Alerts page of a desk of its own, whose rules may come and go."""
    folder = tmp_path_factory.mktemp("alerts")
    settings = {
        "PAIRSCOPE_VENUE": "simulated",
        "PAIRSCOPE_SYMBOLS": "ETHUSDT,BTCUSDT",
        "PAIRSCOPE_STORE": f"sqlite:///{folder}/desk.db",
        "PAIRSCOPE_LOG_FILE": f"{folder}/desk.log",
        "PAIRSCOPE_SECRET_HOOK": "never-on-a-page-7d1f",
    }
    server = Server(ROOT / "app.py", (), folder, settings)
    server.wait()
    yield f"{server.url}/alerts"
    server.stop()


def write(page: Page, label: str, text: str) -> None:
    """Fill a field of the form and leave it."""
    field = page.get_by_role("textbox", name=label)
    field.fill(text)
    field.press("Tab")


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list."""
    page.get_by_role("combobox", name=label, exact=True).click()
    page.keyboard.type(option)
    page.get_by_role("option", name=option, exact=True).click()


def begin_rule(page: Page, alerts: str, condition: str, *, rearm: str, note: str) -> Locator:
    """Open the form, write a rule of 1-second bars into it, and return its place."""
    page.goto(alerts)
    page.get_by_role("button", name="New rule").click()
    page.get_by_text("In plain words").wait_for()
    choose(page, "Bars", "1s")
    write(page, "Condition", condition)
    write(page, "Armed again at", rearm)
    write(page, "Note", note)
    return page.get_by_test_id("stMain")


def row_of(page: Page, note: str) -> Locator:
    """Return the row of the rule with a note."""
    return page.locator("[class*='st-key-rule-row']", has_text=note)


def test_a_rule_made_by_hand_is_previewed_fires_is_told_seen_and_remembered(page: Page, alerts: str) -> None:
    page.goto(alerts)
    page.get_by_text("There is no rule yet").first.wait_for()
    main = begin_rule(page, alerts, "abs(z) > 0.2", rearm="0.001", note="made by hand")
    main.get_by_text("ETHUSDT / BTCUSDT, 1s bars: the absolute z-score is above 0.2").wait_for()
    page.get_by_role("button", name="Preview", exact=True).click()
    main.get_by_text(re.compile(r"^Would have fired [\d,]+ times in 24 h$")).wait_for(timeout=WAIT_MS)
    page.wait_for_function(f"() => ({MARKS})() > 0")

    page.get_by_role("button", name="Save rule").click()
    toast = page.get_by_test_id("stToast").filter(has_text="z-score")
    toast.first.wait_for(timeout=WAIT_MS)
    expect(toast.first).to_contain_text("ETHUSDT / BTCUSDT")
    active = page.locator("[class*='st-key-active-']", has_text="made by hand")
    expect(active).to_contain_text("SIMULATED")
    active.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("textbox", name="Note").fill("it is the market")
    page.get_by_role("textbox", name="Note").press("Tab")
    page.get_by_role("button", name="Acknowledge it").click()
    page.get_by_text("noted: it is the market").wait_for()
    page.keyboard.press("Escape")

    page.get_by_role("radio", name="History").click()
    page.locator("td:has-text('z-score')").first.wait_for(state="attached")
    page.locator("td:has-text('it is the market')").first.wait_for(state="attached")
    table = page.get_by_test_id("stDataFrame").first
    box = table.bounding_box()
    assert box
    page.mouse.click(box["x"] + 60, box["y"] + 48)
    page.get_by_text("The rule as it was").wait_for()
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("computed again from what is stored now").wait_for(timeout=WAIT_MS)


@pytest.mark.nightly
def test_a_rule_is_switched_off_edited_and_deleted(page: Page, alerts: str) -> None:
    begin_rule(page, alerts, "z > 90", rearm="", note="soon gone")
    page.get_by_role("button", name="Save rule").click()
    row = row_of(page, "soon gone")
    row.get_by_test_id("stCheckbox").locator("label").first.click()
    row.get_by_text("off", exact=True).first.wait_for()
    row.get_by_role("button", name="Edit").click()
    expect(page.get_by_role("textbox", name="Condition")).to_have_value("z > 90")
    write(page, "Condition", "z crosses below -80")
    page.get_by_role("button", name="Save rule").click()
    row.get_by_text("the z-score crosses below -80").wait_for()
    row.get_by_text("off", exact=True).first.wait_for()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(row).to_have_count(0)


COUNT_TONES = """
    window.tones = 0;
    const begin = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function () { window.tones += 1; return begin.call(this); };
"""


def test_a_tone_is_heard_each_time_the_sound_is_switched_on(page: Page, alerts: str) -> None:
    page.add_init_script(COUNT_TONES)
    page.goto(alerts)
    switch = page.get_by_test_id("stCheckbox").filter(has_text="Sound").locator("label").first
    for tones in (2, 4):
        switch.click()
        page.wait_for_function(f"() => window.tones === {tones}")
        assert page.evaluate("() => window.pairscopeSound.state") == "running"
        switch.click()
        page.locator("[class*='st-key-bell-sound']").wait_for(state="detached")


@pytest.mark.nightly
def test_choices_and_words_of_a_condition_agree_and_a_mistake_is_told_beside_it(page: Page, alerts: str) -> None:
    main = begin_rule(page, alerts, "correlation leaves -0.5 to 0.9", rearm="", note="only looked at")
    expect(page.get_by_role("combobox", name="When", exact=True)).to_have_value("correlation")
    expect(page.get_by_role("spinbutton", name="to", exact=True)).to_have_value("0.9")
    choose(page, "compares", "is above")
    expect(page.get_by_role("textbox", name="Condition")).to_have_value("correlation > -0.5")
    write(page, "Condition", "corelation > 0.5")
    main.get_by_text("did you mean correlation?").wait_for()
    expect(page.get_by_role("button", name="Save rule")).to_be_disabled()
    main.get_by_text("Known here: {HOOK}").wait_for()
    assert "never-on-a-page" not in page.content()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="New rule").wait_for()


def test_the_form_is_whole_and_readable_on_every_screen(page: Page, alerts: str) -> None:
    begin_rule(page, alerts, "corelation > 0.5", rearm="", note="only looked at")
    for expander in ("Window and analysis", "Quiet hours and expiry"):
        page.get_by_text(expander).click()
    screens: tuple[tuple[int, Literal["dark", "light"]], ...] = ((1280, "light"), (390, "dark"))
    for width, scheme in screens:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        wait_until_settled(page)
        page.wait_for_function(f"() => ({CUT})().length === 0")  # once the expanders are open
        assert barriers(page) == []
