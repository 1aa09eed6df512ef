"""What every page is looked over for: words cut off, what a screen reader stumbles over, unexplained numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.faults.desk import Desk, running

FIRST_START_MS = 150_000
"""Kernels that were never compiled on this machine take 20 s, and more on a busy one."""

FAR_ZONE = "America/New_York"
"""Where all tests' browsers are: a page that takes their clock for UTC, or for the one chosen, is found out."""

PATHS = ("", "market", "explore", "alerts", "data", "health")
"""Where the pages are; the first is the one that opens."""

MAIN = "[data-testid=stMain]"
SETTLED = """() => {
    const app = document.querySelector("[data-testid=stApp]"), main = document.querySelector("[data-testid=stMain]");
    return app?.dataset.testScriptState === "notRunning" && main?.innerText.trim()
        && !document.querySelector("[data-testid=stSkeleton], [data-stale=true]")
        && !main.innerText.includes("being made ready");
}"""
CUT = """() => {
    const cut = [];
    const lowest = (each) => {
        const words = document.createTreeWalker(each, NodeFilter.SHOW_TEXT), range = document.createRange();
        let bottom = 0;
        for (let next = words.nextNode(); next; next = words.nextNode()) {
            range.selectNodeContents(next);
            bottom = Math.max(bottom, range.getBoundingClientRect().bottom);
        }
        return bottom;
    };
    for (const each of document.querySelectorAll("[data-testid=stMain] *")) {
        if (each.closest("svg, [data-testid=stDataFrame], [data-testid=stCode]") || !each.innerText?.trim()) continue;
        const style = getComputedStyle(each);
        const across = style.overflowX !== "visible" && each.clientWidth > 1 && each.scrollWidth > each.clientWidth + 1;
        const hides = style.overflowY === "hidden" && each.clientHeight > 1;
        const taller = hides && each.scrollHeight > each.clientHeight + 2;
        const down = taller && lowest(each) > each.getBoundingClientRect().bottom;
        const needs = across ? [each.scrollWidth, each.clientWidth] : [each.scrollHeight, each.clientHeight];
        if (across || down) cut.push(`${each.innerText}: needs ${needs[0]} px, has ${needs[1]}`);
    }
    const wide = document.documentElement.scrollWidth - innerWidth;
    return wide > 0 ? [...cut, `the page is ${wide} px too wide`] : cut;
}"""
UNEXPLAINED = """() => [...document.querySelectorAll("[data-testid=stMetric]")]
    .filter((card) => !card.querySelector("[data-testid=stTooltipIcon], [data-testid=stTooltipHoverTarget]"))
    .map((card) => card.innerText)"""
AXE_SCRIPT = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
NOT_OURS = {
    "color-contrast": "[data-testid=stMultiSelect] span[title]",  # white on the accent colour
    "scrollable-region-focusable": "[data-testid=stCode] pre",  # its copy button has the focus
}
"""What Streamlit's own markup fails in and no setting mends: the rule, and where it is let pass."""
AXE = """async (notOurs) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    const isOurs = (rule, node) => !(rule in notOurs && document.querySelector(node.target[0])?.matches(notOurs[rule]));
    return violations.filter((each) => ["serious", "critical"].includes(each.impact)).flatMap(({ id, nodes }) =>
        nodes.filter((node) => isOurs(id, node)).map((node) => [id, node.target.join(" "), node.failureSummary]));
}"""


@contextmanager
def visit(page: Page, folder: Path, query: str = "", **env: Any) -> Iterator[Desk]:
    """Open a desk of its own in a folder, and leave it before it ends."""
    with running(folder, **env) as desk:
        page.goto(f"http://127.0.0.1:{desk.port}/{query}")
        try:
            yield desk
        finally:
            page.goto("about:blank")


def open_page(page: Page, address: str) -> None:
    """Open a page and wait until it stands, numbers included."""
    page.goto(address)
    wait_until_settled(page)


def wait_until_settled(page: Page) -> None:
    """Wait until a run of the page has ended, and nothing is left that it still makes ready."""
    page.wait_for_function(SETTLED, timeout=FIRST_START_MS, polling=100)


def cut_off(page: Page) -> list[str]:
    """Return the words that do not fit where they stand."""
    found: list[str] = page.evaluate(CUT)
    return found


def unexplained(page: Page) -> list[str]:
    """Return the number cards without a tooltip."""
    found: list[str] = page.evaluate(UNEXPLAINED)
    return found


def barriers(page: Page) -> list[Any]:
    """Return what axe-core calls serious or critical: the rule, the element, and what to do."""
    page.evaluate(AXE_SCRIPT)
    found: list[Any] = page.evaluate(AXE, NOT_OURS)
    return found
