"""Make README's pictures from a simulated desk: ``python -m docs.screenshots`` in the environment of the tests."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM_FLAGS, find_chromium
from tests.browser.looking import wait_until_settled
from tests.faults.desk import running, wait_for

FOLDER = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1500, 1000
SETTINGS: dict[str, Any] = {
    "PAIRSCOPE_VENUE": "simulated",
    "PAIRSCOPE_SYMBOLS": "",
    "PAIRSCOPE_STORE": "sqlite:///desk.db",
}
VIEWS = {
    "pair": "?y=simulated:ETHUSDT&x=simulated:BTCUSDT&bars=15s",
    "market": "market?bars=15s",
    "explore": "explore?y=simulated:ETHUSDT&x=simulated:BTCUSDT&bars=15s",
}
DRAWN = ".pairscope-chart .main-svg"
SETTLE_MS = 3_000
"""So long after the numbers are there, the last animation has ended."""


def photograph(page: Page, address: str, path: Path) -> None:
    """Open a view, wait until its chart and numbers are there, and save what is seen."""
    page.goto(address)
    page.wait_for_selector(DRAWN, timeout=60_000)
    wait_until_settled(page)
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=path)


def main() -> None:
    """Run a desk with a store of its own, photograph it, and end it."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **SETTINGS) as desk:
        wait_for(desk.whole, seconds=120)
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="dark")
            for name, path in VIEWS.items():
                photograph(page, f"http://127.0.0.1:{desk.port}/{path}", FOLDER / f"{name}.png")
                sys.stdout.write(f"docs/{name}.png\n")
            browser.close()


if __name__ == "__main__":
    main()
