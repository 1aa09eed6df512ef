"""What the Data page tells of a store and does to it; what is dangerous happens after the right words only."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ingest import Effort
from market import DAY, HOUR, MINUTE, Gap, Hole, Instrument, Tick
from pairscope.commands import Desk, Outcome, perform
from pairscope.exports import Shelf, Written
from pairscope.jobs import Progress
from pairscope.runtime import Runtime, build, hold, let_go, now_ms
from pairscope.settings import Settings
from pairscope.views.clock import Clock
from pairscope.views.data_changes import perform_change
from pairscope.views.data_delete import said_of
from pairscope.views.data_export import moment_ms
from pairscope.views.data_files import plain_name, size_text
from pairscope.views.data_gaps import gap_columns, reason_of
from pairscope.views.data_size import kept_lines
from pairscope.views.heading import COMING, Pulse, pulse_of
from store import Deletion, Expired, SqliteReader, SqliteStore
from tests.faults.desk import wait_for
from tests.test_commands import Recording

ETH, BTC = Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")
HOSTILE = "<script>alert(1)</script>**x**[a](javascript:b)"
WAIT_SECONDS = 30


# ---- what the store tells


def fill(store: SqliteStore, instrument: Instrument, days: int, now: int) -> None:
    """Store a trade of an instrument every six hours."""
    times = range(now - days * DAY, now + 1, 6 * HOUR)
    store.append([Tick(*instrument, number, at, 100.0, 1.0, "buy") for number, at in enumerate(times)]).result()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    now = now_ms()
    opened = SqliteStore(tmp_path / "x.db", clock=now_ms, commit_ms=1)
    fill(opened, ETH, 10, now)
    fill(opened, BTC, 2, now)
    yield opened
    opened.close()


def test_the_trades_that_are_held_are_counted_without_those_that_were_pruned(store: SqliteStore) -> None:
    now = now_ms()
    assert (store.held(ETH).ticks, store.held(BTC).ticks) == (41, 9)
    assert store.held(ETH, now - DAY + HOUR, now + HOUR).ticks == 4
    assert store.held(ETH, now + HOUR).ticks == 0
    store.prune(ticks_before=now - 5 * DAY, seconds_before=0)
    held = store.held(ETH)
    assert held.ticks == sum(len(batch) for batch in store.ticks(ETH)) == 21
    assert held.first_ms is not None
    assert held.trades_from_ms is not None
    assert held.trades_from_ms - held.first_ms >= 5 * DAY - 2 * MINUTE
    assert store.held(BTC).trades_from_ms == store.held(BTC).first_ms


@pytest.mark.parametrize("days", [(0.1, 0.1), (1, 3), (5, 8), (100, 100)])
def test_what_is_told_to_expire_is_what_a_prune_deletes(store: SqliteStore, days: tuple[float, float]) -> None:
    ticks, seconds = (int(now_ms() - each * DAY) // MINUTE * MINUTE for each in days)
    told = store.expired(ticks_before=ticks, seconds_before=seconds)
    assert store.prune(ticks_before=ticks, seconds_before=seconds) == told.ticks + told.seconds
    assert store.expired(ticks_before=ticks, seconds_before=seconds) == Expired(0, 0)


# ---- repair, as a command


def missing(store: SqliteStore, *instruments: Instrument) -> list[int]:
    """Open a gap of each instrument, and return their keys."""
    holes = [Hole(each, 100, 109, now_ms(), now_ms(), "connection lost") for each in instruments]
    return list(store.append([], holes=holes).result().gaps)


def repair(store: SqliteStore, recorder: Any, **arguments: object) -> Outcome:
    return perform(Desk(store, recorder), "repair", arguments, now=now_ms())


def test_gaps_are_asked_for_by_key_or_all_at_once(store: SqliteStore) -> None:
    keys, recorder = missing(store, ETH, BTC, BTC), Recording("ETHUSDT", "BTCUSDT")
    store.close_gap(keys[1], "abandoned", "too old").result()
    store.close_gap(keys[2], "empty", "no such trades").result()
    outcome = repair(store, recorder, gaps=keys[1:])
    assert outcome == Outcome(
        0, "1 of 1 gaps are asked for again", {"asked": 1, "left": 1, "not_recorded": []}
    )  # fmt: skip
    assert [gap.key for gap in recorder.repaired] == keys[1:2]
    repair(store, recorder)
    assert [gap.key for gap in recorder.repaired] == keys[:2]


def test_a_gap_of_a_symbol_that_is_not_recorded_is_named(store: SqliteStore) -> None:
    keys, recorder = missing(store, ETH, BTC), Recording("ETHUSDT")
    outcome = repair(store, recorder)
    assert outcome.text == "1 of 2 gaps are asked for again; not being recorded: simulated:BTCUSDT"
    refused = repair(store, recorder, gaps=keys[1:])
    assert (refused.exit, refused.values) == (2, {})
    assert refused.text.startswith("simulated:BTCUSDT is not being recorded")


@pytest.mark.parametrize("keys", ["1", [True], [1.5], {}, [[1]]])
def test_what_is_no_list_of_keys_is_wrong_use(store: SqliteStore, keys: object) -> None:
    outcome = repair(store, Recording("ETHUSDT"), gaps=keys)
    assert (outcome.exit, outcome.text) == (2, f"gaps must be a list of their keys, not {keys!r}")


# ---- words and figures


def test_sizes_are_told_in_the_unit_that_says_most() -> None:
    told = [size_text(size) for size in (0, 812, 14_000, 6_500_000, 500 * 2**20, 3 * 2**30)]
    assert told == ["0 B", "812 B", "14 kB", "6.2 MB", "500 MB", "3.0 GB"]


def test_a_file_has_a_name_that_any_system_takes() -> None:
    assert plain_name("BTC/USD", "../x", "ticks") == "BTC_USD-.._x-ticks"
    assert len(plain_name("x" * 500)) == 120


def test_what_is_kept_for_ever_is_said_so() -> None:
    assert kept_lines(Settings(keep_ticks_days=7.0)) == {"Trades": "7 days", "Seconds": "for ever"}


def gap(state: Any, reason: str | None = None) -> Gap:
    return Gap(3, BTC, 10, 14, 1_700_000_000_000, 1_700_000_060_000, 0, "restart", state, 0, None, reason)


def test_a_gap_tells_what_made_it_and_why_it_is_not_filled() -> None:
    assert reason_of(gap("abandoned", "too old"), None) == "restart: too old"
    assert reason_of(gap("open"), Effort(3, "503")) == "restart: 503"
    assert reason_of(gap("open"), None) == "restart"


def test_the_table_of_gaps_shows_times_by_the_clock_and_what_is_not_known_as_nothing() -> None:
    columns: Any = gap_columns([gap("open"), gap("abandoned")], Clock("Asia/Kolkata"), lambda each: None)
    assert str(columns["from"][0]) == "2023-11-15T03:43:20.000"
    assert columns["missing"] == [5, 5]
    assert columns["tried"] == [None, None]
    assert columns["state"] == [["open"], ["abandoned"]]


def test_a_wall_clock_means_a_moment_of_its_zone() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    assert moment_ms(noon, Clock("Europe/Berlin")) == moment_ms(noon, Clock()) - 2 * HOUR


def test_a_deletion_says_what_goes_and_that_recording_begins_anew() -> None:
    plan = Deletion((Instrument("import", HOSTILE),), 1_234, "delete it")
    assert said_of(plan, going_on=False).startswith(r"**1,234 trades** of import\:\<script\>alert\(1\)")
    assert "begins anew" in said_of(plan, going_on=True)


# ---- the page itself, without a browser


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Runtime]:
    """A process that owns a store with two symbols, and records nothing."""
    finders = list(sys.meta_path)
    settings = Settings(
        venue="simulated",
        symbols=("DASHUSDT",),
        store=f"sqlite:///{tmp_path}/desk.db",
        log_file=str(tmp_path / "desk.log"),
    )
    runtime = build(settings)
    hold(runtime)
    yield runtime
    let_go()
    sys.meta_path[:] = finders


@pytest.fixture
def filled(desk: Runtime) -> Runtime:
    assert desk.store
    fill(desk.store, ETH, 3, now_ms())
    fill(desk.store, BTC, 3, now_ms())
    return desk


def store_script() -> None:
    from pairscope.runtime import current
    from pairscope.views.data_store import show_store

    show_store(current())


def export_script() -> None:
    from pairscope.runtime import current
    from pairscope.views.data_store import show_export

    show_export(current())


def page_of(script: Callable[[], None]) -> AppTest:
    page = AppTest.from_function(script, default_timeout=WAIT_SECONDS).run()
    assert not page.exception
    return page


def settle(runtime: Runtime, page: AppTest) -> None:
    """Wait until the jobs are over, and look again."""
    for job in runtime.jobs.listed():
        assert job.wait(WAIT_SECONDS)
    page.run()
    assert not page.exception


def said(page: AppTest) -> str:
    kinds = (page.markdown, page.info, page.success, page.error, page.warning, page.caption)
    return "\n".join(each.value for kind in kinds for each in kind)


@pytest.mark.usefixtures("desk")
def test_an_empty_store_says_what_comes_next() -> None:
    assert "The store is empty. With the first trade" in said(page_of(store_script))
    assert "Nothing is stored yet" in said(page_of(export_script))


def test_while_an_import_is_being_written_pages_say_so_and_no_price_looks_live(
    desk: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pairscope.advice", "pairscope.views.heading"):
        monkeypatch.setattr(f"{module}.LIVE_SECONDS", 0.3)
    assert desk.store
    begun, let_on = threading.Event(), threading.Event()

    def large() -> Iterator[list[Tick]]:
        begun.set()
        assert let_on.wait(WAIT_SECONDS)
        yield [Tick(*BTC, 1, 1_700_000_000_000, 100.0, 1.0, "buy")]

    def pulse() -> Pulse:
        [line] = (line for line in desk.recorded() if line.instrument == ETH)
        return pulse_of(desk.health(), line, desk.reader.latest().get(ETH), now_ms())

    desk.start()
    desk.add_symbol(str(ETH))
    wait_for(lambda: pulse().state in COMING)
    done = desk.store.append_whole(large)
    assert begun.wait(WAIT_SECONDS)
    wait_for(lambda: pulse().state == "writing")
    assert not pulse().is_fresh
    assert any(warning.startswith("An import is being written; what comes") for warning in desk.health().warnings)
    let_on.set()
    assert done.result(WAIT_SECONDS).stored == 1
    wait_for(lambda: pulse().state in COMING)
    assert not any("is being written" in warning for warning in desk.health().warnings)


def test_a_change_that_runs_cannot_be_cancelled_and_says_so(filled: Runtime) -> None:
    class Watching(Progress):
        def say(self, share: float, text: str = "") -> None:
            assert not self.can_end
            super().say(share, text)

    asked = {"ticks_days": 1, "seconds_days": 1}
    assert perform_change(filled, "prune", asked, Watching()).text.endswith("rows deleted")


def deleting_script() -> None:
    import streamlit as st

    from pairscope.runtime import current
    from pairscope.views.data_changes import show_change
    from pairscope.views.data_delete import ask_deletion

    show_change(current())
    if "done" not in st.session_state:
        ask_deletion(current(), st.session_state.get("chosen", "simulated:ETHUSDT"))


def pruning_script() -> None:
    from pairscope.runtime import current
    from pairscope.views.data_changes import show_change
    from pairscope.views.data_size import ask_prune

    show_change(current())
    ask_prune(current())


def confirmed(words: str, chosen: str = str(ETH)) -> AppTest:
    """Choose what is to be deleted, type the words, and press the button of the dialog."""
    page = AppTest.from_function(deleting_script, default_timeout=WAIT_SECONDS)
    page.session_state["chosen"] = chosen
    page.run()
    page.text_input(key="confirmation").set_value(words).run()
    page.button(key="delete for good").click().run()
    assert not page.exception
    return page


@pytest.mark.parametrize("words", ["delete", "delete simulated:BTCUSDT", "ETHUSDT", "Delete simulated:ETHUSDT", "yes"])
def test_the_wrong_words_delete_nothing(filled: Runtime, words: str) -> None:
    page = confirmed(words)
    assert "Nothing was deleted" in said(page)
    assert filled.jobs.listed() == []
    assert filled.reader.instruments() == (BTC, ETH)
    assert filled.reader.held(ETH).ticks == 13


def test_the_right_words_delete_one_symbol_and_the_page_says_what(filled: Runtime) -> None:
    page = confirmed("delete simulated:ETHUSDT")
    page.session_state["done"] = True
    settle(filled, page)
    assert filled.reader.instruments() == (BTC,)
    assert r"Deletion of simulated\:ETHUSDT\: 13 trades deleted" in said(page)


def test_everything_goes_only_by_its_own_words(filled: Runtime) -> None:
    page = confirmed("everything", "everything")
    assert filled.reader.instruments() == (BTC, ETH)
    page.text_input(key="confirmation").set_value("delete everything").run()
    page.button(key="delete for good").click().run()
    page.session_state["done"] = True
    settle(filled, page)
    assert filled.reader.instruments() == ()
    assert "The store is empty" in said(page_of(store_script))


def test_a_prune_says_what_goes_and_wants_to_be_confirmed(filled: Runtime) -> None:
    page = page_of(pruning_script)
    page.number_input(key="keep ticks").set_value(1.0).run()
    page.number_input(key="keep seconds").set_value(2.0).run()
    assert "**16 trades and 8 1-second bars**" in said(page)
    assert page.button(key="prune them").disabled
    page.checkbox(key="sure to prune").check().run()
    page.button(key="prune them").click().run()
    settle(filled, page)
    assert filled.reader.held(ETH).ticks == 5
    assert "24 rows deleted" in said(page)


def test_bars_are_not_kept_shorter_than_trades(filled: Runtime) -> None:
    page = page_of(pruning_script)
    page.number_input(key="keep seconds").set_value(2.0).run()
    assert "at least as long as trades" in said(page)
    assert filled.reader.held(ETH).ticks == 13


def test_a_backup_is_a_job_whose_file_opens_as_a_store(filled: Runtime) -> None:
    page = page_of(store_script)
    page.button(key="backup").click().run()
    settle(filled, page)
    [job] = filled.jobs.listed()
    assert isinstance(job.result, Written)
    copy = SqliteReader(job.result.path)
    assert copy.held(ETH) == filled.reader.held(ETH)
    copy.close()


def test_an_export_is_a_job_and_its_file_is_offered(filled: Runtime) -> None:
    page = page_of(export_script)
    page.multiselect(key="exported").set_value([str(ETH), str(BTC)]).run()
    page.button_group(key="span").set_value("everything").run()
    assert "About **26 rows**" in said(page)
    page.button(key="write file").click().run()
    settle(filled, page)
    [job] = filled.jobs.listed()
    assert job.result.rows == 26
    assert job.result.path.read_text().count("\n") == 27
    assert job.result.path.name in said(page).replace("\\", "")


@pytest.mark.parametrize(
    ("kind", "key", "value", "field"),
    [
        ("button_group", "export", "Bars", "what"),
        ("button_group", "format", "JSON", "file_format"),
        ("button_group", "span", "last hour", "start"),
        ("button_group", "span", "from – to", "start"),
        ("multiselect", "exported", [str(ETH)], "instruments"),
    ],
)
def test_each_control_of_the_export_asks_for_something_else(
    filled: Runtime, kind: str, key: str, value: Any, field: str
) -> None:
    page = AppTest.from_function(asking_script, default_timeout=WAIT_SECONDS).run()
    before = page.session_state["asked"]
    getattr(page, kind)(key=key).set_value(value).run()
    after = page.session_state["asked"]
    assert getattr(after, field) != getattr(before, field)


def asking_script() -> None:
    import streamlit as st

    from pairscope.runtime import current
    from pairscope.views.data_export import choose_export

    st.session_state["asked"] = choose_export(current(), current().reader.instruments())


def test_an_end_before_the_beginning_is_said_and_nothing_is_offered(filled: Runtime) -> None:
    page = page_of(export_script)
    page.button_group(key="span").set_value("from – to").run()
    page.datetime_input(key="export from").set_value(datetime(2030, 1, 1)).run()  # noqa: DTZ001  # a wall clock's
    assert "is not before" in said(page)
    assert [each.key for each in page.button if each.key == "write file"] == []


def test_what_the_disk_has_no_room_for_is_not_begun(filled: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=100)
    monkeypatch.setattr("pairscope.exports.shutil.disk_usage", lambda folder: usage)
    for script, key in ((export_script, "write file"), (store_script, "backup")):
        page = page_of(script)
        page.button(key=key).click().run()
        assert "ask for less" in said(page)
    assert filled.jobs.listed() == []


def test_files_beyond_those_that_are_kept_go(filled: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled, "shelf", Shelf(2))
    page = page_of(export_script)
    for _ in range(4):
        page.button(key="write file").click().run()
        settle(filled, page)
    assert sum(job.result.path.exists() for job in filled.jobs.listed()) == 2


def test_hostile_names_are_inert_everywhere(desk: Runtime) -> None:
    assert desk.store
    name = Instrument("simulated", HOSTILE)
    fill(desk.store, name, 1, now_ms())
    desk.store.append([], holes=[Hole(name, 500, 600, now_ms(), now_ms(), HOSTILE)]).result()
    for script in (store_script, export_script):
        assert "<script>" not in said(page_of(script)).replace(r"\<script\>", "")
    page = AppTest.from_function(deleting_script, default_timeout=WAIT_SECONDS)
    page.session_state["chosen"] = str(name)
    page.run()
    assert "<script>" not in said(page).replace(r"\<script\>", "")
    assert "<script>" not in page.text_input(key="confirmation").label.replace(r"\<script\>", "")


def test_a_store_of_many_gaps_is_shown_at_once(filled: Runtime) -> None:
    assert filled.store
    times = [now_ms() - each * 1_000 for each in range(3_000)]
    holes = [Hole(ETH, 1_000 + 20 * n, 1_005 + 20 * n, at, at + 500, "x") for n, at in enumerate(times)]
    filled.store.append([], holes=holes).result()
    begun = time.monotonic()
    page = page_of(store_script)
    assert time.monotonic() - begun < WAIT_SECONDS / 2
    assert "**3,000 gaps** with 18,000 missing ids, the newest 200 of them below" in said(page)
