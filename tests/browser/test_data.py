"""The second half of the Data page as its user sees it: export, coverage, gaps, backup, deletion."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, expect

from market import Hole, Instrument, Tick
from pairscope.files import TICK_HEADER
from pairscope.runtime import now_ms
from store import SqliteReader, SqliteStore

ROOT = Path(__file__).resolve().parents[2]
ETH = Instrument("simulated", "ETHUSDT")
CHART = ".pairscope-chart"
HOURS = "() => document.querySelector('.pairscope-chart')?.data?.[0]?.customdata?.flat()"


def look(page: Page, desk: str, section: str, more: str = "") -> None:
    page.goto(f"{desk}/data?section={section}{more}")
    page.get_by_role("radio", name=section, exact=True).wait_for()


def fetched(page: Page, ending: str, folder: Path) -> Path:
    """Fetch the newest file with this ending as its link says, and return where it was saved."""
    row = page.locator("[data-testid=stHorizontalBlock], [data-testid=stLayoutWrapper]", has_text=ending).last
    address = row.get_by_role("link", name="Download").first.get_attribute("href") or ""
    reply = page.request.get(urljoin(page.url, address))
    assert reply.status == 200
    assert reply.headers["content-disposition"].startswith("attachment")
    file = folder / address.rpartition("/")[2]
    file.write_bytes(reply.body())
    return file


@pytest.mark.nightly
def test_the_calendar_shows_each_hour_and_follows_the_symbol(page: Page, desk: str) -> None:
    look(page, desk, "Store")
    page.wait_for_function(f"({HOURS})()?.some((words) => words.includes(' trades'))")
    hours = page.evaluate(HOURS)
    assert len(hours) == 7 * 24
    assert any("not recorded" in words for words in hours)
    page.get_by_text("28 days").click()
    page.wait_for_function(f"({HOURS})()?.length === {28 * 24}")
    page.wait_for_function("() => location.search.includes('days=28')")
    page.get_by_text("gaps filled").wait_for()


def test_an_export_is_written_beside_the_page_and_fetched(page: Page, desk: str, tmp_path: Path) -> None:
    look(page, desk, "Export", "&span=last+hour&format=CSV&exported=DASHUSDT+%C2%B7+simulated")
    page.get_by_role("button", name="Write the file").click()
    lines = fetched(page, "DASHUSDT-ticks-", tmp_path).read_text().splitlines()
    assert lines[0] == TICK_HEADER
    assert len(lines) > 1
    assert all(",simulated,DASHUSDT," in line for line in lines[1:])
    page.get_by_text("SIMULATED").first.wait_for()


@pytest.mark.nightly
def test_a_backup_is_fetched_and_opens(page: Page, desk: str, tmp_path: Path) -> None:
    look(page, desk, "Store")
    page.get_by_role("button", name="Make a copy").click()
    copy = SqliteReader(fetched(page, ".db", tmp_path))
    assert page.request.get(f"{desk}/files/guessed/{copy.path.name}").status == 404
    assert ETH in copy.instruments()
    assert copy.held(ETH).ticks > 0
    copy.close()


@pytest.mark.nightly
def test_the_wrong_words_delete_nothing(page: Page, desk: str) -> None:
    look(page, desk, "Store")
    page.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("are deleted for good").wait_for()
    dialog.get_by_role("textbox").fill("delete it")
    dialog.get_by_role("textbox").press("Enter")
    expect(dialog.get_by_role("button", name="Delete", exact=True)).to_be_enabled()
    dialog.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_text("Nothing was deleted").wait_for()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_test_id("stDataFrame").first.wait_for()


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """A store with a day of trades and a gap that was given up."""
    path, now = tmp_path / "holed.db", now_ms()
    store = SqliteStore(path, clock=now_ms, commit_ms=1)
    old, new = (
        Tick(*ETH, 1, now - 40 * 3_600_000, 3_000.0, 1.0, "buy"),
        Tick(*ETH, 9, now - 39 * 3_600_000, 3_000.0, 1.0, "buy"),
    )
    store.append([old]).result()
    [key] = store.append([new], holes=[Hole(ETH, 2, 8, old.time_ms, new.time_ms, "connection lost")]).result().gaps
    store.close_gap(key, "abandoned", "older than the venue serves").result()
    store.close()
    return path


def test_a_gap_is_asked_for_again_and_a_symbol_is_deleted(
    page: Page, serve: Callable[..., str], holed: Path, tmp_path: Path
) -> None:
    desk = serve(
        ROOT / "app.py",
        PAIRSCOPE_VENUE="simulated",
        PAIRSCOPE_SYMBOLS="DASHUSDT,ETHUSDT",
        PAIRSCOPE_STORE=f"sqlite:///{holed}",
        PAIRSCOPE_LOG_FILE=f"{tmp_path}/desk.log",
    )
    look(page, desk, "Store")
    page.get_by_role("button", name="Repair all").click()
    page.get_by_text("gaps are asked for again").wait_for()
    page.get_by_role("button", name="Delete …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("delete simulated:DASHUSDT")
    dialog.get_by_role("textbox").press("Enter")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("trades deleted").first.wait_for()
    expect(dialog).to_have_count(0)
