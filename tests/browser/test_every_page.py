"""What every page keeps: it opens in time, asks nobody, cuts nothing off, is readable by all, and has no traceback."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.looking import MAIN, PATHS, barriers, cut_off, open_page, unexplained, wait_until_settled
from tests.faults.desk import Desk, Tab, of_the_desk, running, text, wait_for

SCREENS: tuple[tuple[int, int, Any], ...] = ((1500, 1000, "dark"), (1280, 720, "light"), (390, 844, "dark"))
QUICK = SCREENS[::2]
OPENS_MS = 10_000
NOBODY = "127.0.0.1:9"
"""Nobody listens there."""


@pytest.mark.parametrize("screens", [QUICK, pytest.param(SCREENS, marks=pytest.mark.nightly)], ids=["some", "all"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_whole_and_readable_on_every_screen_and_asks_nobody_else(
    page: Page, desk: str, path: str, screens: Sequence[tuple[int, int, Any]]
) -> None:
    hosts: set[str | None] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    for width, height, scheme in screens:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{desk}/{path}")
        page.wait_for_function(f"() => document.querySelector('{MAIN}')?.innerText.trim()", timeout=OPENS_MS)
        wait_until_settled(page)
        assert cut_off(page) == [], (width, scheme)
        assert width < 400 or barriers(page) == [], (width, scheme)  # the same words and colours as on a large screen
        assert unexplained(page) == []
    assert not {"None", "nan", "NaN"} & set(page.locator(MAIN).inner_text().split())
    assert hosts - {None, ""} == {"127.0.0.1"}


def test_every_menu_entry_leads_to_a_page_that_says_something(page: Page, desk: str) -> None:
    open_page(page, desk)
    entries = page.get_by_test_id("stTopNavLink").all()
    assert len(entries) == len(PATHS)
    for entry, path in zip(entries, PATHS, strict=True):
        entry.click()
        page.wait_for_function("path => location.pathname === path", arg=f"/{path}")
        wait_until_settled(page)
        assert len(page.locator(MAIN).inner_text()) > 40


# ---- without a browser -----------------------------------------------------------------------------------------------


def look_at_all(desk: Desk, query: str = "") -> dict[str, str]:
    """Open every page, refresh its live parts, and return what each says; nothing may have gone wrong."""
    said = {}
    for path in PATHS:
        with Tab(desk.port, page=path) as tab:
            answer = tab.show(query=query)
            assert_each_has_its_place(answer)
            for part in parts_of(answer):
                answer += tab.show(part, query=query)
        said[path] = text(answer)
        assert "Traceback" not in said[path]
    return said


def assert_each_has_its_place(answer: Sequence[ForwardMsg]) -> None:
    """What is drawn anew by itself is the only thing in a container of the page (live_part.py says why)."""
    deltas = [(tuple(each.metadata.delta_path), each.delta) for each in answer if each.HasField("delta")]
    of_page = {path for path, delta in deltas if delta.HasField("add_block") and not delta.fragment_id}
    tops = {part: min(path for path, delta in deltas if delta.fragment_id == part) for part in parts_of(answer)}
    assert tops
    for part, (*place, number) in tops.items():
        assert tuple(place) in of_page, part
        assert number == 0, part
        assert {path[: len(place) + 1] for path, _ in deltas if path[: len(place)] == tuple(place)} <= {
            tuple(place), (*place, 0)
        }  # fmt: skip


def parts_of(answer: Sequence[ForwardMsg]) -> list[str]:
    """Return the parts that are drawn anew by themselves."""
    return [each.auto_rerun.fragment_id for each in answer if each.HasField("auto_rerun")]


@contextmanager
def without_network(folder: Path) -> Iterator[Desk]:
    """A desk whose venue nobody answers for."""
    settings: dict[str, Any] = {
        "PAIRSCOPE_VENUE": "binance-spot",
        "PAIRSCOPE_BINANCE_SPOT_WS": f"ws://{NOBODY}",
        "PAIRSCOPE_BINANCE_SPOT_REST": f"http://{NOBODY}",
    }
    with running(folder, **settings) as desk:
        yield desk


def test_no_page_breaks_on_an_empty_store_and_the_first_says_what_to_do_without_a_network(tmp_path: Path) -> None:
    with without_network(tmp_path) as desk:
        wait_for(lambda: of_the_desk(desk.health()["warnings"]))
        said = look_at_all(desk)
    assert "simulated market" in said[""]
    assert "Upload a file" in said[""]


def test_no_page_breaks_with_one_symbol(tmp_path: Path) -> None:
    with running(tmp_path, PAIRSCOPE_SYMBOLS="DASHUSDT") as desk:
        wait_for(desk.recorded)
        said = look_at_all(desk)
    assert "A pair needs two symbols" in said[""]


def test_no_page_breaks_as_a_viewer_and_each_says_that_it_is_one(tmp_path: Path) -> None:
    with running(tmp_path) as owner, running(tmp_path, PAIRSCOPE_LOG_FILE="viewer.log") as viewer:
        wait_for(owner.recorded)
        said = look_at_all(viewer)
    for path in ("", "market", "health"):
        assert "Viewing only" in said[path], path
