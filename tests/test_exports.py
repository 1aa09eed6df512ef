"""Exports: about as large as was said, the same from the page as from the command, and gone when cancelled."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import analytics
from market import IMPORTED, MINUTE, Instrument, Timeframe, WrongUse
from pairscope.cli import main
from pairscope.exports import (
    KEPT_FILES,
    Expected,
    Export,
    Shelf,
    Written,
    demand_room,
    expect,
    label_of,
    write_backup,
    write_file,
)
from pairscope.files import FileError, FileFormat
from pairscope.jobs import Cancelled, Jobs, Progress
from pairscope.pairs import PairRequest
from pairscope.sqlite.schema import back_up
from store import SqliteReader, SqliteStore
from tests.contracts.store import T0, trade

BTC, ETH = Instrument("binance-spot", "BTCUSDT"), Instrument("binance-spot", "ETHUSDT")
END = T0 + 40 * MINUTE
SECONDS = Timeframe.parse("1s")
FORMATS: tuple[FileFormat, ...] = ("csv", "json", "parquet")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """Two symbols, a trade of each in every second for 40 minutes."""
    opened = SqliteStore(tmp_path_factory.mktemp("exports") / "x.db", clock=lambda: END, commit_ms=1)
    for symbol, price in (("BTCUSDT", 60_000.0), ("ETHUSDT", 3_000.0)):
        drawn = [(price + (n * 7_919) % 10_007 / 100, 0.1 + (n * 7_907) % 9_973 / 1e4) for n in range(2_400)]
        ticks = [trade(n, T0 + n * 1_000, *price_and_size, symbol=symbol) for n, price_and_size in enumerate(drawn)]
        opened.append(ticks).result()
    yield opened
    opened.close()


def asked(what: Any, **more: Any) -> Export:
    options: dict[str, Any] = {"instruments": (ETH, BTC)} if what != "ticks" else {"instruments": (BTC,)}
    if what == "analytics":
        options["options"] = PairRequest(y=ETH, x=BTC, timeframe=SECONDS, bars=10**9).options()
    return Export(what=what, timeframe=SECONDS, **(options | more))


def written(store: SqliteReader, export: Export, path: Path) -> Any:
    return write_file(store, export, path, Progress(), expected=expect(store, export), now=END)


def test_a_mix_is_labelled_by_what_is_furthest_from_a_live_market(store: SqliteStore) -> None:
    file, simulated = Instrument(IMPORTED, "A"), Instrument("simulated", "A")
    assert label_of(store, (ETH, BTC)) == "LIVE"
    assert label_of(store, (ETH, file)) == label_of(store, (file, ETH)) == "FILE"
    assert label_of(store, (file, simulated)) == label_of(store, (simulated, ETH)) == "SIMULATED"


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(("what", "rows"), [("ticks", 2_400), ("bars", 4_800), ("analytics", 2_400)])
def test_as_many_rows_are_written_as_was_said_and_the_size_is_about_right(
    store: SqliteStore, tmp_path: Path, what: str, rows: int, file_format: FileFormat
) -> None:
    export = asked(what, file_format=file_format)
    expected = expect(store, export)
    file = written(store, export, tmp_path / f"x.{file_format}")
    assert expected.rows == file.rows == rows
    assert expected.size / 3 < file.size < expected.size * 3
    assert file.size == (tmp_path / f"x.{file_format}").stat().st_size
    assert file.label == "LIVE"


def test_a_part_of_the_time_is_written_and_expected_by_the_minute(store: SqliteStore, tmp_path: Path) -> None:
    export = asked("ticks", start=T0 + 2 * MINUTE, end=T0 + 12 * MINUTE)
    assert expect(store, export).rows == written(store, export, tmp_path / "x.csv").rows == 600
    assert expect(store, replace(export, start=END, end=END + MINUTE)) == Expected(0, 0)


@pytest.mark.parametrize("what", ["ticks", "bars", "analytics"])
def test_the_page_writes_what_the_command_writes(
    store: SqliteStore, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    export = asked(what, start=T0 + MINUTE, end=T0 + 20 * MINUTE)
    symbols = [part for name in export.instruments for part in ("--symbol", str(name))]
    span = ["--start", "2023-11-14T22:15:00Z", "--end", "2023-11-14T22:34:00Z"]
    bars = [] if what == "ticks" else ["--timeframe", "1s"]
    place = ["--out", str(tmp_path / "command.csv"), "--store", f"sqlite:///{store.path}"]
    assert main(["export", what, *symbols, *span, *bars, *place]) == 0, capsys.readouterr().err
    written(store, export, tmp_path / "page.csv")
    assert (tmp_path / "page.csv").read_bytes() == (tmp_path / "command.csv").read_bytes()


def test_an_export_that_is_cancelled_leaves_no_file(store: SqliteStore, tmp_path: Path) -> None:
    class Hasty(Progress):
        def say(self, share: float, text: str = "") -> None:
            if share > 0:
                self.end()
            super().say(share, text)

    with pytest.raises(Cancelled):
        write_file(store, asked("ticks"), tmp_path / "x.csv", Hasty(), expected=Expected(2_400, 1), now=END)
    assert list(tmp_path.iterdir()) == []


def test_an_analysis_that_is_cancelled_while_it_is_made_is_not_written(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress, analyze = Progress(), analytics.analyze_pair

    def cancelled_meanwhile(*given: Any, **options: Any) -> Any:
        progress.end()
        return analyze(*given, **options)

    monkeypatch.setattr(analytics, "analyze_pair", cancelled_meanwhile)
    with pytest.raises(Cancelled):
        write_file(store, asked("analytics"), tmp_path / "x.csv", progress, expected=Expected(2_400, 1), now=END)
    assert list(tmp_path.iterdir()) == []


def shelve(shelf: Shelf, jobs: Jobs, name: str) -> Written:
    """Let a job write a small file, and wait for it."""
    path = jobs.folder() / name

    def write(progress: object) -> Written:
        path.write_text("1\n")
        return Written(path, 1, 2, "LIVE")

    job = jobs.start("Export", partial(shelf.fill, write))
    assert job.wait(30)
    return job.result


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


def test_a_file_is_found_by_its_folder_and_name_alone(jobs: Jobs) -> None:
    shelf = Shelf()
    file = shelve(shelf, jobs, "x.csv")
    here = file.path.parent
    assert shelf.find(here.name, "x.csv") == file
    for folder, name in [(here.name, "y.csv"), ("..", "x.csv"), ("", "x.csv"), (str(here), "x.csv")]:
        assert shelf.find(folder, name) is None
    jobs.close()
    assert shelf.find(here.name, "x.csv") is None


def test_a_file_stays_however_many_other_jobs_come_after_its_own(jobs: Jobs) -> None:
    shelf = Shelf()
    file = shelve(shelf, jobs, "x.csv")
    for _ in range(40):
        assert jobs.start("Reading", lambda progress: "read").wait(30)
    assert shelf.find(file.path.parent.name, "x.csv") == file


def test_the_oldest_file_leaves_the_disk_when_too_many_are_kept(jobs: Jobs) -> None:
    shelf = Shelf()
    files = [shelve(shelf, jobs, f"{number}.csv") for number in range(KEPT_FILES + 1)]
    assert shelf.listed() == files[:0:-1]
    assert [file.path.parent.exists() for file in files] == [False] + [True] * KEPT_FILES
    shelf.make_room()
    assert [file.path.parent.exists() for file in files[:3]] == [False, False, True]


def test_a_file_that_would_fill_the_disk_is_refused_with_both_sizes(tmp_path: Path) -> None:
    demand_room(tmp_path, 1_000)
    with pytest.raises(FileError, match=r"about 1,099,511,627,776 MB are needed, .* left: ask for less"):
        demand_room(tmp_path, 2**60)


def test_a_pair_has_two_legs(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="two legs"):
        written(store, asked("analytics", instruments=(BTC,)), tmp_path / "x.csv")


def test_a_backup_is_a_store_with_everything_in_it(store: SqliteStore, tmp_path: Path) -> None:
    file = write_backup(store, tmp_path / "copy.db", Progress())
    copy = SqliteReader(file.path)
    assert copy.bars(BTC, "1m").close.tolist() == store.bars(BTC, "1m").close.tolist()
    assert (file.rows, file.label, file.size) == (None, None, (tmp_path / "copy.db").stat().st_size)
    copy.close()


def test_a_backup_that_runs_cannot_be_cancelled_and_says_so(tmp_path: Path) -> None:
    progress, seen = Progress(), []

    class Watching(SqliteReader):
        def __init__(self) -> None:
            """Open nothing: only `backup` is called."""

        def backup(self, target: Path) -> None:
            seen.append(progress.can_end)
            target.write_bytes(b"1")

    write_backup(Watching(), tmp_path / "copy.db", progress)
    assert seen == [False]


def test_a_backup_that_the_disk_refuses_leaves_nothing(store: SqliteStore, tmp_path: Path) -> None:
    (tmp_path / "copy.db").mkdir()
    (tmp_path / "copy.db" / "x").write_text("in the way")
    with closing(sqlite3.connect(store.path)) as db, pytest.raises(OSError, match=r"copy\.db"):
        back_up(db, tmp_path / "copy.db")
    assert [file.name for file in tmp_path.iterdir()] == ["copy.db"]
