"""Files that a user hands to the Data page, in a real browser: read, asked about, analysed, imported."""

import csv
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import numpy as np
import pytest
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
START = 1_700_000_040_000
FIRST_START_MS = 150_000
ANALYSE, IMPORT = "Analyse, store nothing", "Import into the store"
SCRIPTS = (
    "<img src=x onerror=pwned=1>",
    "<script>pwned=1</script>",
    "[x](javascript:pwned=1)",
    "$$\\sqrt{x}$$",
    ":red[x]",
)


@pytest.fixture(scope="module")
def url(serve: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("desk")
    return serve(
        ROOT / "app.py",
        PAIRSCOPE_VENUE="simulated",
        PAIRSCOPE_SYMBOLS="ETHUSDT",
        PAIRSCOPE_STORE=f"sqlite:///{folder}/desk.db",
        PAIRSCOPE_LOG_FILE=f"{folder}/desk.log",
    )


def upload(page: Page, *files: Path) -> None:
    page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(files)


def bars_file(path: Path, symbol: str, *, beta: float, bad: int = 0) -> Path:
    common = np.random.default_rng(7).normal(size=400).cumsum()
    own = np.random.default_rng(len(symbol)).normal(size=400)
    rows = [f"{START + row * 60_000},{symbol},{500 + beta * common[row] + own[row]:.4f},2" for row in range(400)]
    rows[10 : 10 + bad] = [row.replace(",2", ",two") for row in rows[10 : 10 + bad]]
    path.write_text("\n".join(["time,symbol,close,volume", *rows]), encoding="utf-8")
    return path


def test_two_files_are_looked_at_analysed_and_found_again_after_a_reload(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/data")
    page.get_by_text("Nothing is stored until you say so").wait_for()
    y, x = (tmp_path / name for name in ("y.csv", "x.csv"))
    upload(page, bars_file(y, "AAAUSDT", beta=2, bad=3), bars_file(x, "BBBUSDT", beta=1))
    page.get_by_text("800 rows · 2 symbols · 3 rejected").wait_for()
    page.get_by_text("y.csv: 400 rows of bars with a symbol column").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Rejected rows, CSV").click()
    download.value.save_as(tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [(row["file"], row["line"], row["value"]) for row in rows]
    assert found == [("y.csv", str(line), "two") for line in (12, 13, 14)]
    page.get_by_role("radio", name=ANALYSE).click()
    page.get_by_role("heading", name="AAAUSDT / BBBUSDT").wait_for()
    page.get_by_text("Verdict: ").wait_for(timeout=FIRST_START_MS)
    page.wait_for_selector(".pairscope-chart .scatterlayer path.js-line")
    assert page.get_by_text("FILE", exact=True).count() >= 1
    page.wait_for_function("() => location.search.includes('upload=')")
    page.reload()
    page.get_by_text("800 rows · 2 symbols · 3 rejected").wait_for()
    page.get_by_text("Verdict: ").wait_for()


def test_what_a_file_does_not_tell_is_asked_for(page: Page, url: str, tmp_path: Path) -> None:
    rows = [f"{START + row * 60_000};AAAUSDT;1,{row:03d};2" for row in range(90)]
    (tmp_path / "german.csv").write_text("\n".join(["time;symbol;close;volume", *rows]))
    page.goto(f"{url}/data")
    upload(page, tmp_path / "german.csv")
    page.get_by_text("nothing tells whether the mark is decimal").first.wait_for()
    page.get_by_role("radio", name="comma: 1,5").click()
    page.get_by_text("90 rows · 1 symbol · 0 rejected").wait_for()
    page.get_by_text("Decimal mark comma: 1,5").wait_for()


@pytest.mark.nightly
def test_files_that_cannot_be_read_get_one_clear_sentence(page: Page, url: str, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + b"x" * 300)
    page.goto(f"{url}/data")
    for name, said in (("empty.csv", "empty.csv is empty."), ("broken.zip", "broken.zip is a damaged zip archive")):
        upload(page, tmp_path / name)
        page.get_by_role("alert").get_by_text(said).wait_for()
        page.get_by_role("button", name="Remove").click()
        page.get_by_text("Nothing is stored until you say so").wait_for()


@pytest.mark.nightly
def test_an_import_says_what_it_stores_and_the_symbol_is_there_then(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/data?then={quote_plus(IMPORT)}")
    upload(page, bars_file(tmp_path / "c.csv", "CCCUSDT", beta=1))
    page.get_by_role("button", name="Import 400 rows").click()
    page.get_by_text("400 rows, 400 stored, 0 duplicates, 0 rejections.").wait_for()
    page.get_by_role("button", name="Remove").click()
    upload(page, tmp_path / "c.csv")
    page.get_by_role("button", name="Import 400 rows").click()
    page.get_by_text("400 rows, 0 stored, 400 duplicates, 0 rejections.").wait_for()
    page.goto(f"{url}/market?symbol=import:CCCUSDT")
    page.get_by_role("heading", name="CCCUSDT").wait_for()


def test_a_long_reading_leaves_the_page_live_and_can_be_cancelled(page: Page, url: str, tmp_path: Path) -> None:
    row = f"{START},AAAUSDT,100.5,2\n"
    (tmp_path / "large.csv").write_text("time,symbol,price,qty\n" + row * 2_500_000)
    page.goto(f"{url}/data")
    upload(page, tmp_path / "large.csv")
    page.get_by_text("MB read").wait_for()
    page.get_by_role("radio", name="Export").click()
    page.get_by_text("MB read").wait_for()
    page.get_by_role("radio", name="Upload").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("The reading was cancelled.").wait_for()
    page.get_by_role("button", name="Read again").wait_for()


@pytest.mark.nightly
def test_names_and_cells_of_a_file_are_text_and_nothing_else(page: Page, url: str, tmp_path: Path) -> None:
    rows = [f'{START + row * 60_000},"{symbol}",{100 + row},"{symbol}"' for row in range(9) for symbol in SCRIPTS]
    rows += [f'{START + row * 60_000},"{symbol}",{100 + row},2' for row in range(9) for symbol in SCRIPTS]
    hostile = tmp_path / "[a](javascript:pwned=1) :red[b] $x$.csv"
    hostile.write_text("\n".join(["time,symbol,close,volume", *rows]))
    page.goto(f"{url}/data")
    upload(page, hostile)
    page.get_by_text("90 rows · 5 symbols · 45 rejected").wait_for()
    for then in (ANALYSE, IMPORT):
        page.get_by_role("radio", name=then).click()
        page.get_by_role("radio", name=then, checked=True).wait_for()
        page.get_by_text("90 rows · 5 symbols").wait_for()
    assert page.evaluate("() => window.pwned") is None
    main = page.locator("[data-testid=stMain]")
    assert main.locator("a[href^=javascript], img[src=x], .katex").count() == 0
    assert hostile.name in main.inner_text()
