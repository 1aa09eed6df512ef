"""Foreign text is shown as it is and does nothing: 500 names of symbols that would run if they could."""

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Page

from market import SECOND, Tick
from pairscope.runtime import now_ms
from pairscope.views.notices import inert
from store import SqliteStore
from tests.browser.looking import MAIN, PATHS, open_page, wait_until_settled
from tests.faults.desk import Desk, running

RUNS = "window.pwned=1"
PATTERNS = (
    "<script>{run}</script>",
    "<img src=x onerror={run}>",
    "<svg/onload={run}>",
    '"><iframe srcdoc="<script>parent.{run}</script>">',
    "<a href=javascript:{run}>x</a>",
    "[x](javascript:{run})",
    "![x](http://example.com/{n}.png)",
    "[x](http://example.com/{n})",
    "<http://example.com/{n}>",
    "http://example.com/{n}",
    "$$\\href{{javascript:{run}}}{{x}}$$",
    "$x_{{{n}}}$",
    ":material/delete: {n}",
    ":smile: :red[x] {n}",
    ":red-badge[x{n}]",
    "# x{n}",
    "- x{n}",
    "| x | {n} |",
    "`x{n}`",
    "**x{n}**",
    "<b>x{n}</b>",
    "%{{y}} %{{customdata[{n}]}}",
    "{{{{{n}}}}}",
    "${{{run}}}",
    "=HYPERLINK(1;{n})",
    "'; DROP TABLE ticks; -- {n}",
    "&lt;script&gt;{run}&lt;/script&gt;",
    "&#60;script&#62;{run}",
    "\u202e{n}USDT",
    "\u200b\u200d{n}\ufeffUSDT",
    "x\u0000\u0007{n}",
    "\U0001f4a3{n}",
    "a\n# {n}",
    "../../{n}",
    "?y={n}&x=<script>{run}</script>#",
    "x" * 10_000 + "{n}",
    "A-![x](http://example.com/{n}.png)",
    "![x](http://example.com/{n}.png)-USD",
    "A-<img src=x onerror={run}>",
    "$x_{{{n}}}$-USD",
)
COUNT = 500
MADE = "img[src='x'], img[src*='example.com'], iframe[srcdoc], a[href*='javascript:'], a[href*='example.com']"
LOADS = "made => [...document.querySelectorAll(made)].map((each) => each.outerHTML)"


def names() -> list[str]:
    """Return all the names: each pattern again and again, with another number or place of the script."""
    dice = random.Random(7)
    made = []
    for n in range(COUNT):
        text = PATTERNS[n % len(PATTERNS)].format(run=RUNS, n=n)
        made.append(text if n < len(PATTERNS) else f"{dice.choice(['', 'BTC', ' ', '<', '$', '`', '*', '|'])}{text}{n}")
    return made


PAIRS = tuple(pairwise(names()[: len(PATTERNS)]))[0:24:5]
CURRENCIES = tuple(each for each in names()[: len(PATTERNS)] if each.startswith("A-") or each.endswith("-USD"))
NAMED = """pair => [...document.querySelectorAll("[data-testid=stHeading]")]
    .some((each) => each.innerText.replaceAll("\u2060", "") === pair)"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose store holds trades of every one of these symbols."""
    folder = tmp_path_factory.mktemp("hostile")
    store = SqliteStore(folder / "desk.db", clock=now_ms)
    begun = now_ms() - 100 * SECOND
    for at, name in enumerate(names()):
        seconds = range(90) if at < len(PATTERNS) else range(2)
        store.append([Tick("import", name, n, begun + n * SECOND, 100.0 + n % 7, 1.0, None) for n in seconds])
    store.close()
    with running(folder, PAIRSCOPE_STORE="sqlite:///desk.db", PAIRSCOPE_SYMBOLS="DASHUSDT") as desk:
        yield desk


@pytest.fixture
def hosts(page: Page) -> set[str | None]:
    """Whom the page has asked for anything; a dialog that opens is told here, too."""
    asked: set[str | None] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname))
    page.on("dialog", lambda dialog: asked.add(f"a dialog says {dialog.message}"))
    return asked


def assert_inert(page: Page, hosts: set[str | None]) -> None:
    """Nothing has run, nothing was made of the text, and nobody was asked for anything."""
    assert page.evaluate("window.pwned") is None
    assert page.evaluate(LOADS, MADE) == []
    assert hosts - {None, ""} == {"127.0.0.1"}
    assert page.get_by_test_id("stException").count() == 0


def test_500_hostile_symbols_are_inert_on_every_page(page: Page, hosts: set[str | None], hostile: Desk) -> None:
    for path in PATHS:
        open_page(page, f"http://127.0.0.1:{hostile.port}/{path}")
        assert_inert(page, hosts)


@pytest.mark.nightly
def test_a_pair_of_hostile_symbols_is_named_as_it_is(page: Page, hosts: set[str | None], hostile: Desk) -> None:
    for y, x in PAIRS:
        legs = f"y={quote(f'import:{y}')}&x={quote(f'import:{x}')}&bars=1s&window=20"
        page.goto(f"http://127.0.0.1:{hostile.port}/?{legs}")
        page.wait_for_function(NAMED, arg=f"{y} / {x}")
        wait_until_settled(page)
        assert_inert(page, hosts)


@pytest.mark.nightly
def test_the_currencies_of_a_hostile_symbol_are_inert_in_its_figures(
    page: Page, hosts: set[str | None], hostile: Desk
) -> None:
    for name in CURRENCIES:
        page.goto(f"http://127.0.0.1:{hostile.port}/market?symbols={quote(f'import:{name}')}&bars=1s")
        page.get_by_test_id("stMetric").first.wait_for()
        wait_until_settled(page)
        assert_inert(page, hosts)


def test_hostile_cells_of_an_upload_are_shown_and_do_nothing(
    page: Page, hosts: set[str | None], hostile: Desk, tmp_path: Path
) -> None:
    cells = [each for each in names() if len(each) < 500 and not set(each) & set('"\n\0')]
    rows = [
        f'2026-11-21T08:{n // 60:02}:{n % 60:02}Z,"{cell}","{cell if n % 2 else 100}",{n}'
        for n, cell in enumerate(cells)
    ]
    file = tmp_path / "<img src=x onerror=window.pwned=1>.csv"
    file.write_text("\n".join(["time,symbol,price,qty", *rows]), encoding="utf-8")
    page.goto(f"http://127.0.0.1:{hostile.port}/data")
    page.locator("input[type=file]").first.set_input_files(file)
    page.locator(MAIN).get_by_text("rejected").first.wait_for()
    wait_until_settled(page)
    assert_inert(page, hosts)


def test_what_would_become_a_link_by_itself_does_not() -> None:
    for address in ("http://example.com", "HTTPS://example.com", "www.example.com", "a@example.com"):
        assert "\u2060" in inert(address)
        assert inert(address).replace("\u2060", "").replace("\\", "") == address
    assert inert("binance-futures:BTC/USD") == r"binance\-futures\:BTC/USD"
