"""One process, one recording, whatever is done to Streamlit: rows P1 to P3, P6, D10 and X5."""

import importlib.metadata
import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from store import SqliteReader, SymbolCheck, find_owner
from tests.faults.desk import (
    ROOT,
    STORE,
    WORKERS,
    Desk,
    Tab,
    failures,
    fragment_of,
    free_port,
    of_the_desk,
    running,
    text,
    wait_for,
)

ASSET = f"assets/plotly-{importlib.metadata.version('plotly')}.min.js"
SOURCES = ("app.py", "market.py", "analytics.py", "store.py", "ingest.py", "pairscope", ".streamlit")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A demo that several tests look at and none ends."""
    with running(tmp_path_factory.mktemp("desk")) as started:
        yield started


def assert_one_recording(desk: Desk) -> None:
    """Nobody else records, and nobody has begun to since the start."""
    assert desk.health()["workers"] == WORKERS
    owner = find_owner(desk.folder / STORE)
    assert owner
    assert owner.pid == desk.process.pid
    assert len(runs(desk.folder / STORE)) == 1


def runs(path: Path) -> list[int | None]:
    """Return when each run of the store has ended; None: it has not, or not in order."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT stopped FROM runs ORDER BY key")]


def assert_gapless(path: Path) -> tuple[SymbolCheck, ...]:
    """Every id from the first to the last trade is stored; return what there is."""
    reader = SqliteReader(path)
    check = reader.check()
    assert check.faults == ()
    assert [gap for gap in reader.gaps() if gap.state != "filled"] == []
    for each in check.symbols:
        assert each.first_id is not None
        assert each.last_id is not None
        assert each.ticks == each.last_id - each.first_id + 1, each
    reader.close()
    return check.symbols


def copy_of_sources(folder: Path) -> Path:
    """Copy the app, so that its files can be saved over and over."""
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    return folder


# ---- P1 --------------------------------------------------------------------------------------------------------------


def test_it_records_within_2_seconds_of_answering_and_without_a_browser(tmp_path: Path) -> None:
    with running(tmp_path, "--", "--demo") as desk:
        first = wait_for(desk.recorded, seconds=2)
        assert first["role"] == "owner"
        assert first["feed"]["label"] == "SIMULATED"
        wait_for(lambda: desk.health()["feed"]["stored"] > first["feed"]["stored"])
        assert_one_recording(desk)


def test_python_app_py_does_the_same(tmp_path: Path) -> None:
    home, port = copy_of_sources(tmp_path / "home"), free_port()
    config = home / ".streamlit" / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("[server]", f"[server]\nport = {port}", 1))
    desk = Desk(tmp_path, [sys.executable, str(home / "app.py"), "--demo"], port)
    try:
        wait_for(desk.recorded)
        assert_one_recording(desk)
    finally:
        seconds = desk.stop(signal.SIGINT)
    assert seconds < 2
    assert desk.process.returncode == 0
    assert "Traceback" not in "".join(desk.said)


# ---- P2 --------------------------------------------------------------------------------------------------------------


def visit(desk: Desk, tabs: int, refreshes: int) -> int:
    """Open tabs, refresh each, close them; return how many threads are left when the dust has settled."""
    with ExitStack() as stack:
        opened = [stack.enter_context(Tab(desk.port)) for _ in range(tabs)]
        for tab in opened:
            tab.ask()
        fragments = [fragment_of(tab.answer()) for tab in opened]
        for _ in range(refreshes):
            for tab, fragment in zip(opened, fragments, strict=True):
                tab.ask(fragment)
            for tab in opened:
                assert failures(tab.answer()) == []
        assert_one_recording(desk)
    threads: list[int] = []

    def settled() -> bool:
        threads.append(desk.health()["threads"])
        return len(threads) > 20 and len(set(threads[-20:])) == 1

    wait_for(settled)
    return threads[-1]


@pytest.mark.parametrize("tabs", [8, pytest.param(24, marks=pytest.mark.nightly)])
def test_many_tabs_and_visits_make_no_second_recording_and_leave_no_thread(tabs: int, desk: Desk) -> None:
    first = visit(desk, tabs=tabs, refreshes=1)
    for _ in range(2 * tabs):
        with Tab(desk.port) as tab:
            tab.ask()  # and away before the answer
    assert visit(desk, tabs=tabs, refreshes=1) <= first + 1
    assert_one_recording(desk)


@pytest.mark.nightly
def test_1000_visits_and_10000_refreshes_take_no_memory(desk: Desk) -> None:
    for _ in range(10):
        visit(desk, tabs=20, refreshes=2)
    before, threads = resident_mb(desk), desk.health()["threads"]
    for _ in range(50):
        visit(desk, tabs=20, refreshes=10)
    assert resident_mb(desk) - before <= 20
    assert desk.health()["threads"] <= threads + 1
    assert_one_recording(desk)


def resident_mb(desk: Desk) -> float:
    status = Path(f"/proc/{desk.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from /proc")
@pytest.mark.nightly
def test_150_refreshes_take_no_memory_and_no_thread(desk: Desk) -> None:
    wait_for(desk.whole)
    with Tab(desk.port) as tab:
        fragment = fragment_of(tab.show())
        for _ in range(30):
            tab.show(fragment)
        memory, threads = resident_mb(desk), desk.health()["threads"]
        for _ in range(150):
            tab.show(fragment)
        assert resident_mb(desk) - memory < 10
        assert desk.health()["threads"] <= threads + 1


# ---- P3 --------------------------------------------------------------------------------------------------------------


def save_all(home: Path, number: int) -> None:
    """Save every source file: with a comment more, every other time with a statement more."""
    line = f"# saved {number}\n" if number % 2 else f"SAVED_{number} = {number}\n"
    for file in sorted(home.rglob("*.py")):
        with file.open("a", encoding="utf-8") as source:
            source.write(line)


def save_and_look(folder: Path, rounds: int, watcher: str) -> None:
    """Save, clear the cache and look at the page, round for round; then look at what was recorded."""
    home = copy_of_sources(folder / "home")
    page = home / "pairscope" / "views" / "symbols.py"
    with running(folder, f"--server.fileWatcherType={watcher}", "--server.runOnSave=true", home=home) as desk:
        wait_for(desk.whole)
        with Tab(desk.port) as tab:
            tab.show()
            for number in range(rounds):
                save_all(home, number)
                page.write_text(page.read_text(encoding="utf-8").replace("**All symbols", f"**All symbols {number}"))
                wait_for(lambda said=f"**All symbols {number}": said in text(tab.answer()))  # type: ignore[misc]
                tab.clear_cache()
                tab.show()
                assert_one_recording(desk)
        desk.stop()
    assert_gapless(folder / STORE)


def test_saving_every_source_changes_the_page_and_never_the_recording(tmp_path: Path) -> None:
    save_and_look(tmp_path, 1, "auto")


@pytest.mark.nightly
def test_a_watcher_that_polls_sees_every_save_too(tmp_path: Path) -> None:
    save_and_look(tmp_path, 3, "poll")


@pytest.mark.nightly
def test_100_saves_of_every_source_leave_the_recording_alone(tmp_path: Path) -> None:
    save_and_look(tmp_path, 100, "auto")


# ---- P6 --------------------------------------------------------------------------------------------------------------


def clinging(port: int) -> socket.socket:
    """Ask for 5 MB and never take them, as a laptop does that falls asleep."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /{ASSET} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert client.recv(1)
    return client


SIGNALS = [
    signal.SIGTERM,
    *(
        pytest.param(getattr(signal, name), marks=pytest.mark.nightly)
        for name in ("SIGINT", "SIGHUP")
        if hasattr(signal, name)
    ),
]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_it_in_2_seconds_with_all_that_was_received_written(
    number: signal.Signals, tmp_path: Path
) -> None:
    with running(tmp_path) as desk:
        wait_for(desk.whole)
        with Tab(desk.port) as tab, clinging(desk.port):
            tab.show()
            tab.ask()
            feed = desk.health()["feed"]
            seconds = desk.stop(number)
    assert seconds < 2
    stored = assert_gapless(tmp_path / STORE)
    assert sum(each.ticks for each in stored) >= feed["received"] - feed["duplicates"]
    newest = {str(each.instrument): each.last_ms or 0 for each in stored}
    assert all(newest[each["instrument"]] >= (each["last_time_ms"] or 0) for each in feed["symbols"])
    assert None not in runs(tmp_path / STORE)
    assert "Traceback" not in "".join(desk.said)


@pytest.mark.nightly
def test_a_signal_while_the_past_is_fetched_ends_it_in_order_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as desk:
        wait_for(desk.recorded)
        assert desk.stop() < 2
    assert "Traceback" not in "".join(desk.said)
    with running(tmp_path) as desk:
        wait_for(lambda: not SqliteReader(tmp_path / STORE).gaps(state="open"))
        assert desk.stop() < 2
    assert_gapless(tmp_path / STORE)
    assert None not in runs(tmp_path / STORE)


# ---- D10 -------------------------------------------------------------------------------------------------------------


def test_a_second_app_shows_what_the_first_records_and_says_what_to_do_when_that_has_died(tmp_path: Path) -> None:
    with running(tmp_path) as owner:
        wait_for(owner.whole)
        with running(tmp_path, PAIRSCOPE_LOG_FILE="viewer.log") as viewer, Tab(viewer.port) as tab:
            warning = f"Viewing only: process {owner.process.pid} records into sqlite:///{STORE}."
            health = viewer.health()
            assert (health["role"], health["warnings"], health["workers"]) == ("viewer", [warning], [])
            assert warning in text(tab.show())
            assert_one_recording(owner)
            before = viewer.get("/api/symbols")
            wait_for(lambda: viewer.get("/api/symbols") != before)
            with Tab(viewer.port) as other:
                assert "LIVE" in text(other.show(query="symbol=ETHUSDT"))
            owner.stop(signal.SIGKILL)
            (ended,) = viewer.health()["warnings"]
            assert "has ended. Restart this app" in ended
            assert ended in text(tab.show())


# ---- what it may find at the start -----------------------------------------------------------------------------------


def test_a_damaged_store_is_set_aside_a_new_one_begun_and_the_page_says_so(tmp_path: Path) -> None:
    (tmp_path / STORE).write_bytes(os.urandom(100_000))
    with running(tmp_path) as desk, Tab(desk.port) as tab:
        wait_for(desk.recorded)
        (said,) = of_the_desk(desk.health()["warnings"])
        assert f"it was set aside as {STORE}.corrupt-" in said
        assert said in text(tab.show())
    assert len(list(tmp_path.glob(f"{STORE}.corrupt-*"))) == 1


# ---- X5 --------------------------------------------------------------------------------------------------------------


def listening(pid: int) -> Iterator[str]:
    """Yield where a process listens, as the kernel writes it."""
    sockets = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for row in table.read_text(encoding="ascii").splitlines()[1:] if table.exists() else ():
            columns = row.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in sockets:
                yield columns[1]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads the sockets from /proc")
def test_it_listens_on_the_loopback_address_only(desk: Desk) -> None:
    desk.health()
    assert list(listening(desk.process.pid)) == [f"0100007F:{desk.port:04X}"]


def test_the_lock_tells_where_it_takes_commands(desk: Desk) -> None:
    desk.health()
    lock: Callable[[], str] = (desk.folder / f"{STORE}.lock").read_text
    assert json.loads(lock())["address"] == f"http://127.0.0.1:{desk.port}"
