"""What the Health page says: promises and whether they hold, lags, rejected trades, the log, this process."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ingest import FeedHealth, FeedStatus, SymbolHealth, VenueHealth
from market import Instrument, Reject
from pairscope.runtime import WORKERS, Health, Runtime
from pairscope.settings import Settings
from pairscope.sqlite.answers import Size
from pairscope.views.clock import Clock
from pairscope.views.health_figures import health_figures
from pairscope.views.health_log import LINES_SHOWN, entries_of, log_text
from pairscope.views.health_process import memory_bytes, versions
from pairscope.views.health_promises import JOURNAL_BYTES, MEMORY_BYTES, Promise, promises_of
from pairscope.views.health_rejects import count_rows, reject_rows
from pairscope.views.health_symbols import symbol_rows
from pairscope.views.health_trail import LEAST, TRAIL_SECONDS, Trail, percentile
from store import SqliteReader, SqliteStore, StoreStatus, WriterStatus

BTC = Instrument("binance-spot", "BTCUSDT")
SETTINGS = Settings()
LINE = SymbolHealth(BTC, "live", 100.0, 1_760_000_000_000, 0.4, 12, 3.5, 42, 0)
STATUS = FeedStatus(skew_ms=20, weight_used=30, weight_allowed=3_000)
FEED = FeedHealth(
    label="LIVE", state="streaming", message="", symbols=(LINE,), received=42, stored=42, duplicates=0, rejected={},
    venues=(VenueHealth("binance-spot", "LIVE", "streaming", "", STATUS),),
    dropped=0, gaps_filled=3, gaps_open=0, gaps_abandoned=0, gaps_left_out=0, reconnects=0, queue=0, loop_lag_ms=4.0,
)  # fmt: skip
STORE = StoreStatus(WriterStatus(0, None, 0.0, 10, 2.5), Size(2**20, 2**20, 60, 100), ())
HEALTH = Health(
    version="1", role="owner", feed=FEED, store=STORE, conflicts=0, warnings=(), workers=tuple(sorted(WORKERS)),
    threads=9,
)  # fmt: skip


def judge(health: Health = HEALTH, memory: int | None = 100 * 2**20) -> dict[str, Promise]:
    return {each.name: each for each in promises_of(health, SETTINGS, memory=memory)}


def venue(**status: Any) -> tuple[VenueHealth, ...]:
    return (replace(FEED.venues[0], status=replace(STATUS, **status)),)


# ------------------------------------------------------------------------------------------------------- promises


def test_when_all_is_well_every_promise_is_kept() -> None:
    assert {each.kept for each in judge().values()} == {True}
    assert all(each.measured and each.meaning and each.advice for each in judge().values())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("No trade is missing", {"gaps_open": 2}),
        ("No trade is dropped", {"dropped": 7}),
        ("Every symbol is heard", {"symbols": (replace(LINE, state="stale"),)}),
        ("Every symbol is heard", {"symbols": (replace(LINE, state="disconnected"),)}),
        ("The clock is right", {"venues": venue(skew_ms=-3_000)}),
        ("No venue bans this address", {"venues": venue(weight_used=3_001)}),
        ("Recording is never held up", {"loop_lag_ms": 900.0}),
    ],
)
def test_trouble_of_a_feed_breaks_its_promise_alone(name: str, change: dict[str, Any]) -> None:
    found = judge(replace(HEALTH, feed=replace(FEED, **change)))
    assert [each.name for each in found.values() if each.kept is False] == [name]


@pytest.mark.parametrize(
    ("name", "writer", "size"),
    [
        ("Stored within 250 ms", {"trouble": "database is locked"}, {}),
        ("Stored within 250 ms", {"last_commit_ms": 900.0}, {}),
        ("The queue is bounded", {"queued_rows": SETTINGS.queue_rows}, {}),
        ("The journal is bounded", {}, {"journal": JOURNAL_BYTES + 1}),
        ("The disk has room", {}, {"disk_free": 1}),
    ],
)
def test_trouble_of_the_disk_breaks_its_promise_alone(name: str, writer: dict[str, Any], size: dict[str, Any]) -> None:
    store = replace(STORE, writer=replace(STORE.writer, **writer), size=replace(STORE.size, **size))
    found = judge(replace(HEALTH, store=store))
    assert [each.name for each in found.values() if each.kept is False] == [name]


def test_trouble_of_the_process_breaks_its_promise() -> None:
    assert judge(memory=MEMORY_BYTES + 1)["Memory is bounded"].kept is False
    twice = replace(HEALTH, workers=(*HEALTH.workers, "ingest"))
    assert judge(twice)["There is exactly one recorder"].kept is False
    assert judge(replace(HEALTH, conflicts=1))["An id is one trade"].kept is False


def test_what_cannot_be_told_is_neither_kept_nor_broken() -> None:
    assert judge(memory=None)["Memory is bounded"].kept is None
    viewer = replace(HEALTH, role="viewer", feed=None, store=None, workers=())
    assert set(judge(viewer)) == {"Memory is bounded"}


def test_a_symbol_that_only_waits_or_rests_breaks_no_promise() -> None:
    for state in ("waiting", "quiet", "repairing"):
        feed = replace(FEED, symbols=(replace(LINE, state=state),))
        assert judge(replace(HEALTH, feed=feed))["Every symbol is heard"].kept


@pytest.mark.parametrize("state", ["paused", "stopped"])
def test_while_recording_rests_nobody_is_said_to_be_heard_and_no_pace_is_told(state: Any) -> None:
    feed = replace(FEED, state=state, symbols=(replace(LINE, state=state),))
    promise = judge(replace(HEALTH, feed=feed))["Every symbol is heard"]
    assert (promise.measured, promise.kept) == ("–", None)
    figures = health_figures(replace(HEALTH, feed=feed), Trail(), SETTINGS, memory=None)
    assert figures[0].value == "–"
    assert symbol_rows(feed.symbols, Trail())[0]["trades/s"] is None


def test_what_is_not_heard_is_named() -> None:
    lines = tuple(replace(LINE, instrument=Instrument("v", f"S{n}"), state="stale") for n in range(7))
    promise = judge(replace(HEALTH, feed=replace(FEED, symbols=(LINE, *lines))))["Every symbol is heard"]
    assert promise.measured == "1 of 8"
    assert promise.advice.startswith("S0, S1, S2, S3, S4 and others:")


# -------------------------------------------------------------------------------------------------- lags and figures


def test_a_trail_takes_a_sample_a_second_and_forgets_after_five_minutes() -> None:
    trail = Trail()
    for step in range(4):
        trail.note([replace(LINE, lag_ms=step)], moment=step / 2)
    assert trail.lags(BTC) == [0, 2]
    trail.note([replace(LINE, lag_ms=None)], moment=TRAIL_SECONDS + 0.5)
    assert trail.lags() == [2]
    assert trail.lags(Instrument("v", "other")) == []


def test_few_samples_make_no_percentile() -> None:
    assert percentile(range(LEAST - 1), 0.5) is None
    assert percentile(range(101), 0.95) == 95.0


def test_the_table_of_symbols_leaves_out_what_is_not_known_and_explains_what_is_wrong() -> None:
    row = symbol_rows([LINE], Trail())[0]
    assert (row["symbol"], row["state"], row["received"]) == ("BTCUSDT", ["live"], 42)
    assert row["median"] is None
    assert "why" not in row
    assert "venue" not in row
    waiting = replace(LINE, state="refused", received=0, lag_ms=None, age_seconds=None, message="BTCUSTD is unknown")
    rows = symbol_rows([LINE, replace(waiting, instrument=Instrument("kraken", "A"))], Trail())
    assert (rows[1]["trades/s"], rows[1]["why"], rows[1]["venue"]) == (None, "BTCUSTD is unknown", "kraken")


def test_six_figures_stand_above_the_page() -> None:
    trail = Trail()
    for step in range(LEAST):
        trail.note([LINE], moment=float(step))
    figures = {each.name: each for each in health_figures(HEALTH, trail, SETTINGS, memory=2**20 * 123)}
    assert figures["Trades/s"].value == "3.5"
    assert (figures["Lag, ms"].value, figures["Lag, ms"].beside) == ("12", "95 % within 12")
    assert (figures["Holes open"].value, figures["Holes open"].aged) == ("0", False)
    assert figures["Memory, MB"].value == "123"
    assert all(each.meaning for each in figures.values())


def test_a_viewer_knows_nothing_of_the_feed_and_says_so() -> None:
    viewer = replace(HEALTH, role="viewer", feed=None, store=None)
    figures = health_figures(viewer, Trail(), SETTINGS, memory=None)
    assert [each.value for each in figures] == ["–"] * 6


def test_a_disk_that_refuses_is_seen_in_the_figures() -> None:
    troubled = replace(HEALTH, store=replace(STORE, writer=replace(STORE.writer, trouble="full", queued_rows=1_234)))
    figure = health_figures(troubled, Trail(), SETTINGS, memory=None)[4]
    assert (figure.value, figure.beside, figure.aged) == ("1,234", "the disk refuses", True)


# ------------------------------------------------------------------------------------------------------------ the log

LINES = (
    "the rest of a line",
    "2026-11-21T14:06:30Z INFO ingest: begun",
    "2026-11-21T14:06:31Z ERROR ingest: a task broke <b>",
    "Traceback (most recent call last):",
    "ValueError: x",
    "2026-11-21T14:06:32Z WARNING store: slow",
)


def test_a_traceback_belongs_to_its_message() -> None:
    entries = entries_of(LINES)
    assert [each.level for each in entries] == ["INFO", "ERROR", "WARNING"]
    assert entries[1].lines == ("ingest: a task broke <b>", "Traceback (most recent call last):", "ValueError: x")


def test_the_log_is_shown_newest_first_by_the_clock_and_by_level() -> None:
    entries = entries_of(LINES)
    text = log_text(entries, "all", Clock("Europe/Berlin")).splitlines()
    assert text[0] == "21 Nov 2026 15:06:32  WARNING  store: slow"
    assert text[1:3] == [
        "21 Nov 2026 15:06:31  ERROR    ingest: a task broke <b>",
        "    Traceback (most recent call last):",
    ]
    assert log_text(entries, "warnings", Clock()).count("\n") == 3
    assert "slow" not in log_text(entries, "errors", Clock())
    assert log_text([], "all", Clock()) == ""


def test_only_the_last_lines_of_the_log_are_shown() -> None:
    entries = entries_of([f"2026-11-21T14:06:30Z INFO ingest: {n}" for n in range(500)])
    lines = log_text(entries, "all", Clock()).splitlines()
    assert len(lines) == LINES_SHOWN
    assert lines[0].endswith("ingest: 499")


# --------------------------------------------------------------------------------------- rejects, and this process


def test_rejected_trades_are_told_by_rule_and_word_for_word() -> None:
    assert count_rows({"price is not a positive number": 3}) == [
        {"trades": 3, "rule": "price is not a positive number"}
    ]
    reject = Reject("kraken", "<b>", "time is in the future", "{...}", 1_760_000_000_000)
    assert reject_rows([reject], Clock("Asia/Tokyo")) == [
        {
            "time": "9 Oct 2025 17:53:20",
            "venue": "kraken",
            "symbol": "<b>",
            "rule": "time is in the future",
            "came": "{...}",
        }
    ]


def test_the_versions_of_what_is_installed_are_told() -> None:
    assert re.fullmatch(r"Streamlit \d[\d.]+ · Plotly \d[\d.]+", versions()["Pages"])
    assert re.fullmatch(r"NumPy \d[\d.]+ · pandas \d[\d.]+ · numba \d[\d.]+", versions()["Numbers"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it in a file")
def test_the_memory_of_this_process_is_told() -> None:
    now, most = memory_bytes(), memory_bytes("VmHWM")
    assert 2**23 < (now or 0) <= (most or 0)
    assert memory_bytes("VmNothing") is None


# ------------------------------------------------------------------------------------------------- the whole page


def whole_page(runtime: "Any") -> None:
    from pairscope.views import health

    health.render(runtime)


def test_a_viewer_says_that_it_is_one_and_shows_what_is_stored(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "t.db", clock=lambda: 1_760_000_000_000)
    store.reject([Reject("kraken", "<b>", "time is in the future", "<img>")]).result(10)
    settings = Settings(store=f"sqlite:///{tmp_path}/t.db", log_file=str(tmp_path / "none.log"))
    runtime = Runtime(settings, store=None, reader=SqliteReader(tmp_path / "t.db"), ingestor=None)
    runtime.warming.end()  # nothing is to be made ready
    page = AppTest.from_function(whole_page, kwargs={"runtime": runtime}).run(timeout=30)
    assert not page.exception
    assert [each.value for each in page.metric][:5] == ["–"] * 5
    assert any("does not record" in each.value for each in page.info)
    assert any("Viewing only" in each.value for each in page.warning)
    assert list(page.dataframe[0].value.iloc[0]) == ["time is in the future", 1]
    assert page.dataframe[1].value["came"][0] == "<img>"
    assert any("Nothing was logged yet" in each.value for each in page.code)
    store.close()
