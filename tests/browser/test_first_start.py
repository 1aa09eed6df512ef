"""The first minute of a new desk: a chart at once, and the rest when it said that it would be there."""

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.looking import FIRST_START_MS, MAIN, visit
from tests.browser.test_stale import SYMBOLS, settings, trade_for_an_hour
from tests.exchange.running import running_exchange

DRAWN = ".pairscope-chart .scatterlayer path.js-line"
CHART_SECONDS = 10.0
SLACK_SECONDS = 3.0
AWAITED = re.compile(r"(\d+) of (\d+) bars; ready in (?:(\d+) m ?)?(?:(\d+)(?:\.\d)? s)?")


def seconds_to_the_first_chart(page: Page, folder: Path, venue: str) -> float:
    """Start a desk that has no store yet and open it; return the seconds until a line is drawn."""
    folder.mkdir()
    with running_exchange("binance-spot", SYMBOLS, rate=20.0) as exchange:
        trade_for_an_hour(exchange)
        begun = time.monotonic()
        with visit(page, folder, "?bars=1m", **settings(folder, exchange.port) | {"PAIRSCOPE_VENUE": venue}):
            page.wait_for_selector(DRAWN, state="attached", timeout=FIRST_START_MS)
            return time.monotonic() - begun


@pytest.mark.nightly
@pytest.mark.parametrize("venue", ["binance-spot", "simulated"])
def test_the_first_chart_stands_10_seconds_after_the_first_start(page: Page, tmp_path: Path, venue: str) -> None:
    """The best of two counts: others may use the machine, too."""
    page.goto("about:blank")
    took = [seconds_to_the_first_chart(page, tmp_path / "first", venue)]
    if took[0] > CHART_SECONDS:
        took.append(seconds_to_the_first_chart(page, tmp_path / "second", venue))
    assert min(took) < CHART_SECONDS


@pytest.mark.nightly
def test_too_few_bars_are_counted_up_and_the_promised_time_stays(page: Page, tmp_path: Path) -> None:
    with (
        running_exchange("binance-spot", SYMBOLS, rate=20.0) as exchange,
        visit(page, tmp_path, "?bars=5s&window=20", **settings(tmp_path, exchange.port)),
    ):
        notice = page.locator(MAIN).get_by_text("bars; ready in")
        notice.wait_for(timeout=FIRST_START_MS)
        have, needed, first = awaited(notice.inner_text())
        assert have < needed
        page.wait_for_function("had => !document.body.innerText.includes(`${had} of `)", arg=str(have))
        more, needed, second = awaited(notice.inner_text())
        assert more > have
        assert abs(second - first) <= SLACK_SECONDS
        assert page.get_by_test_id("stMetricValue").first.inner_text() == "–"


def awaited(words: str) -> tuple[int, int, float]:
    """Return how many bars there are, how many are needed, and when the rest is promised, on a clock of ours."""
    found = AWAITED.search(words)
    assert found, words
    have, needed, minutes, seconds = (int(each or 0) for each in found.groups())
    return have, needed, time.monotonic() + minutes * 60 + seconds
