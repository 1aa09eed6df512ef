"""The default store keeps the promises of the port, and some of its own."""

import json
import os
import random
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from market import Tick, UnknownName, WrongUse
from pairscope.files import read_ticks
from pairscope.jobs import Cancelled
from pairscope.sqlite.cache import FOREVER
from pairscope.sqlite.survey import HIGHEST_IDS
from store import SqliteReader, SqliteStore, StoreBusy, StoreError, StoreHeld, StoreUnusable, find_owner, store_path
from tests.contracts.store import BTC, T0, OpenStore, StoreContract, assert_bars, expected, trade, walk
from tests.faults.desk import wait_for


def open_sqlite(path: Path, *, commit_ms: int = 1, queue_rows: int = 200_000) -> SqliteStore:
    return SqliteStore(path, clock=lambda: T0, commit_ms=commit_ms, queue_rows=queue_rows)


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        return open_sqlite


@pytest.mark.parametrize("url", ["ticks.db", "postgres://x", "sqlite://x", "sqlite:///", ""])
def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreUnusable, match=r"sqlite:///ticks\.db"):
        store_path(url)


def test_an_address_names_a_file() -> None:
    assert store_path("sqlite:///ticks.db") == Path("ticks.db")
    assert store_path("sqlite:////data/ticks.db") == Path("/data/ticks.db")


def test_a_second_owner_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    with pytest.raises(StoreHeld, match=f"process {os.getpid()}") as held:
        open_sqlite(tmp_path / "one.db")
    assert held.value.pid == os.getpid()
    store.close()
    open_sqlite(tmp_path / "one.db").close()


def test_the_lock_names_its_owner_to_its_user_only(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "one.db", clock=lambda: T0, address="http://127.0.0.1:9")
    lock = tmp_path / "one.db.lock"
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    written = json.loads(lock.read_text())
    assert (written["pid"], written["address"]) == (os.getpid(), "http://127.0.0.1:9")
    assert find_owner(tmp_path / "one.db") == store.owner
    store.close()
    assert find_owner(tmp_path / "one.db") is None


def test_a_link_to_a_store_is_the_same_store(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "real.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    with pytest.raises(StoreHeld):
        open_sqlite(tmp_path / "link.db")
    assert find_owner(tmp_path / "link.db") == store.owner
    store.close()


def test_a_reader_never_takes_one_symbol_for_another_that_was_deleted(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    store.append([trade(1, T0, 1.0, symbol="DOGE")]).result()
    reader = SqliteReader(tmp_path / "one.db")
    assert reader.bars("DOGE", "1s").close.tolist() == [1.0]
    store.delete("DOGE", confirm="delete binance-spot:DOGE")
    store.append([trade(1, T0, 3_000.0, symbol="ETH")]).result()
    with pytest.raises(UnknownName):
        reader.bars("DOGE", "1s")
    assert reader.bars("ETH", "1s").close.tolist() == [3_000.0]
    reader.close()
    store.close()


def test_a_deletion_that_was_cut_off_is_ended_at_the_next_start(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    store.append(walk(1_000)).result()
    store._writer.submit(lambda db: db.execute("UPDATE symbols SET kept_from = ?", (FOREVER,))).result()
    store._writer.submit(lambda db: db.execute("DELETE FROM ticks WHERE trade_id < 400")).result()
    store.close()
    store = open_sqlite(tmp_path / "one.db")
    assert store.instruments() == ()
    store.append(walk(50)).result()
    assert_bars(store, walk(50), "1s")
    store.close()


def test_finding_the_last_ids_does_not_read_the_trades(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    with store._readers.snapshot() as db:
        plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + HIGHEST_IDS)]
    assert not any("SCAN ticks" in step for step in plan), plan
    store.close()


def test_a_reader_beside_the_writer_sees_what_is_committed(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    store.append(walk(100)).result()
    reader = SqliteReader(tmp_path / "one.db")
    store.append(walk(200)[100:]).result()
    assert reader.bars(BTC, "1s").trades.sum() == 200
    reader.close()
    store.close()


def test_reading_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="record something first"):
        SqliteReader(tmp_path / "none.db")


def test_a_full_queue_takes_nothing_of_a_batch(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db", commit_ms=10_000, queue_rows=100)
    store.append(walk(90))
    with pytest.raises(StoreBusy, match="90 rows wait"):
        store.append(walk(20))
    store.close()
    reader = SqliteReader(tmp_path / "one.db")
    assert [each.ticks for each in reader.check().symbols] == [90]
    reader.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.append(walk(1))


def test_a_batch_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db", commit_ms=200)
    futures: list[Future[object]] = [
        store.append(some)  # type: ignore[misc]
        for some in (walk(10), [trade(2**70, T0)], [trade(50, T0, float("nan"))], [trade(99, T0 + 99_000)])
    ]
    assert [future.exception() is None for future in futures] == [True, False, False, True]
    assert store.bars(BTC, "1s").trades.sum() == 11
    store.close()


class HeldImport:
    """An import that stands still inside its transaction until it is let on, and then ends as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.let_on, self._error = threading.Event(), threading.Event(), error

    def __call__(self) -> Iterator[list[Tick]]:
        yield [trade(1, T0, symbol="ETHUSDT")]
        self.begun.set()
        assert self.let_on.wait(30)
        if self._error:
            raise self._error


def test_an_import_that_is_being_written_tells_for_how_long_all_else_waits(tmp_path: Path) -> None:
    store, held = open_sqlite(tmp_path / "a.db"), HeldImport()
    assert store.status().writer.waits_seconds == 0
    done = store.append_whole(held)
    assert held.begun.wait(30)
    waiting = store.append([trade(1, T0)])
    first = store.status().writer
    assert (first.long_work, first.trouble, BTC in store.instruments()) == ("an import", None, False)
    assert store.status().writer.waits_seconds > first.waits_seconds > 0
    held.let_on.set()
    assert (done.result(30).stored, waiting.result(30).stored) == (1, 1)
    wait_for(lambda: store.status().writer.waits_seconds == 0)
    assert store.status().writer.long_work == ""
    store.close()


@pytest.mark.parametrize(("error", "level"), [(Cancelled("it was cancelled"), "INFO"), (ValueError("x"), "ERROR")])
def test_what_was_cancelled_is_no_error_in_the_log(
    error: Exception, level: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, held = open_sqlite(tmp_path / "a.db"), HeldImport(error)
    held.let_on.set()
    with caplog.at_level("INFO"), pytest.raises(type(error)):
        store.append_whole(held).result(30)
    store.close()
    assert [record.levelname for record in caplog.records if "written" in record.message] == [level]


def test_pages_that_read_while_trades_come_never_see_half_a_bar(tmp_path: Path) -> None:
    store, ticks = open_sqlite(tmp_path / "one.db"), walk(6_000, step_ms=60)
    done, wrong = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            bars = store.bars(BTC, "1s", T0)
            wanted = expected(ticks[: int(bars.trades.sum())], "1s")
            if bars.volume.round(6).tolist() != wanted.volume.round(6).tolist():
                wrong.append(bars)

    store.append(ticks[:10]).result()
    pages = [threading.Thread(target=look) for _ in range(3)]
    for page in pages:
        page.start()
    for start in range(10, len(ticks), 50):
        store.append(ticks[start : start + 50]).result()
    done.set()
    for page in pages:
        page.join()
    assert not wrong
    store.close()


def test_cached_bars_cannot_be_written_to(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    store.append(walk(10)).result()
    with pytest.raises(ValueError, match="read-only"):
        store.bars(BTC, "1s").close[0] = 0.0
    store.close()


def test_a_copy_never_replaces_a_file(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "one.db")
    with pytest.raises(StoreUnusable, match="exists"):
        store.backup(tmp_path / "one.db")
    with pytest.raises(WrongUse, match="could not be made"):
        store.backup(tmp_path / "no folder" / "copy.db")
    store.close()


@pytest.mark.parametrize("name", ["btcusdt", "ethusdt"])
def test_recorded_trades_in_any_order_give_the_bars_of_pandas(name: str, shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "ticks" / f"spot_{name}_trades.csv.gz"
    ticks = list(
        read_ticks(file, on_reject=lambda line: pytest.fail(str(line)), venue="binance-spot-raw", symbol=name.upper())
    )
    shuffled = random.Random(1).sample(ticks, len(ticks))
    store = open_sqlite(tmp_path / "recorded.db")
    for start in range(0, len(ticks), 2_500):
        store.append(shuffled[start : start + 2_500] + ticks[start : start + 100])
    for timeframe in ("1s", "15s", "1m"):
        store.append([]).result()
        assert_bars(store, ticks, timeframe, name.upper())
    [found] = store.check().symbols
    assert found.ticks == found.bar_trades == {"btcusdt": 19_904, "ethusdt": 14_515}[name]
    store.close()
