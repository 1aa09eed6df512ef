"""A page that stays open for half an hour still updates, and grows neither in the browser nor in the server.

SOAK_MINUTES=2 python start.py test -m nightly tests/browser/test_soak.py
"""

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from playwright.sync_api import CDPSession, Page

from tests.browser.looking import FIRST_START_MS, MAIN, visit
from tests.faults.desk import Desk

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
LOOKS = 24
HEAP_MB, NODES, SERVER_MB, THREADS = 8.0, 300, 24.0, 1
"""So much more may be there in the last third than in the second."""


@dataclass(frozen=True)
class Look:
    """What is held at one moment, after the browser has thrown away what it no longer needs."""

    heap_mb: float
    nodes: float
    server_mb: float
    threads: float


def look(browser: CDPSession, desk: Desk) -> Look:
    """Measure once."""
    for _ in range(2):  # what the first lets go of, the second takes
        browser.send("HeapProfiler.collectGarbage")
    told = {each["name"]: each["value"] for each in browser.send("Performance.getMetrics")["metrics"]}
    status = Path(f"/proc/{desk.process.pid}/status").read_text(encoding="ascii")
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    return Look(told["JSHeapUsedSize"] / 2**20, told["Nodes"], resident, desk.health()["threads"])


def middle(looks: list[Look], name: str) -> float:
    """Return the median of one figure."""
    return median(float(getattr(each, name)) for each in looks)


@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from /proc")
@pytest.mark.parametrize("path", ["", "market"])
def test_an_open_page_stays_live_and_grows_nowhere(page: Page, tmp_path: Path, path: str) -> None:
    with visit(page, tmp_path, f"{path}?bars=1s&history=600&window=30") as desk:
        page.wait_for_selector(".pairscope-chart .main-svg", timeout=FIRST_START_MS)
        browser = page.context.new_cdp_session(page)
        browser.send("Performance.enable")
        looks = []
        for _ in range(LOOKS):
            page.wait_for_timeout(MINUTES * 60_000 / LOOKS)
            looks.append(look(browser, desk))
            print(looks[-1])
        before = page.locator(MAIN).inner_text()
        page.wait_for_function(f"before => document.querySelector('{MAIN}').innerText !== before", arg=before)
    second, last = looks[LOOKS // 3 : LOOKS * 2 // 3], looks[LOOKS * 2 // 3 :]
    for name, more in (("heap_mb", HEAP_MB), ("nodes", NODES), ("server_mb", SERVER_MB), ("threads", THREADS)):
        assert middle(last, name) - middle(second, name) <= more, (name, looks)
