"""What the store makes of kills, full disks, locks, damage and old files: rows D1, D4, D6 to D8, D10 to D12."""

import math
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from market import Instrument
from pairscope.sqlite import database, schema
from pairscope.sqlite.schema import MIGRATIONS, Migration, open_database
from store import SqliteReader, SqliteStore, StoreDamaged, StoreHeld, StoreSlow, StoreTooNew, StoreUnusable
from tests.contracts.store import BTC, T0, assert_bars, trade, walk
from tests.faults.recorder import STEP, ticks_from

RECORDER = Path(__file__).with_name("recorder.py")
SYMBOL = Instrument("v", "S")


def open_store(path: Path, *, commit_ms: int = 1) -> SqliteStore:
    return SqliteStore(path, clock=lambda: T0, commit_ms=commit_ms)


def wait_until(true: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Wait for an event that cannot be waited for otherwise."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        threading.Event().wait(0.005)


def start_recorder(path: Path, first: int) -> "subprocess.Popen[str]":
    command = [sys.executable, str(RECORDER), str(path), str(first)]
    recorder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert recorder.stdout
    assert recorder.stdout.readline() == "ready\n"
    return recorder


def kill_and_restart(path: Path, kills: int, seed: int) -> int:
    """Kill recorders at random instants; return how many acknowledged trades were checked."""
    rng, acknowledged = random.Random(seed), -1
    for _ in range(kills):
        recorder = start_recorder(path, acknowledged + 1)
        timer = threading.Timer(rng.uniform(0.0, 0.08), recorder.kill)
        timer.start()
        output, _ = recorder.communicate()
        timer.join()
        lines = output.split("\n")[:-1]  # what follows the last newline was cut by the kill
        acknowledged = int(lines[-1]) if lines else acknowledged
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            count, last = db.execute("SELECT count(*), max(trade_id) FROM ticks").fetchone()
        db.close()
        assert count == (last or 0) + (last is not None), "ids are contiguous"
        assert (-1 if last is None else last) >= acknowledged
    return acknowledged


def assert_sound(path: Path, count: int) -> None:
    """Compare the whole store with the trades that the recorder sends."""
    sent = [tick for first in range(0, count, STEP) for tick in ticks_from(first)]
    reader = SqliteReader(path)
    check = reader.check()
    assert check.faults == ()
    assert check.symbols[0].ticks == check.symbols[0].bar_trades
    stored = [tick for batch in reader.ticks(SYMBOL) for tick in batch]
    assert stored[: len(sent)] == sent
    for timeframe in ("1s", "1m"):
        assert_bars(reader, stored, timeframe, SYMBOL)
    reader.close()


def test_nothing_acknowledged_is_lost_in_15_kills(tmp_path: Path) -> None:
    acknowledged = kill_and_restart(tmp_path / "killed.db", kills=15, seed=1)
    assert acknowledged > 1_000
    assert_sound(tmp_path / "killed.db", acknowledged + 1)


@pytest.mark.nightly
def test_nothing_acknowledged_is_lost_in_2000_kills(tmp_path: Path) -> None:
    acknowledged = kill_and_restart(tmp_path / "killed.db", kills=2_000, seed=2)
    assert_sound(tmp_path / "killed.db", acknowledged + 1)


FULL_DISK = Path(__file__).with_name("full_disk.py")


def test_a_file_that_may_not_grow_is_said_and_nothing_is_lost_when_it_may_again(tmp_path: Path) -> None:
    command = [sys.executable, str(FULL_DISK), str(tmp_path), "1500000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("the disk does not take the writes (full or failing)\nwhole\n"), done.stderr


def test_a_full_file_system_is_said_and_nothing_is_lost_when_it_has_room_again(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("needs unshare with user and mount namespaces")
    fill = f"dd if=/dev/zero of={tmp_path}/ballast bs=1k count=1200 status=none"
    script = f"mount -t tmpfs -o size=2m tmpfs {tmp_path} && {fill} && {sys.executable} {FULL_DISK} {tmp_path}"
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "the disk is full\nwhole\n", done.stdout + done.stderr


def test_a_reader_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    store = open_store(tmp_path / "slow.db")
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StoreSlow, match="shorter range"), store._readers.snapshot(deadline=0.05) as db:
        db.execute(endless)
    assert store.append(walk(10)).result().stored == 10
    store.close()


def test_the_journal_stays_bounded_once_a_reader_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "JOURNAL_LIMIT", 2 * 2**20)
    store = open_store(tmp_path / "pinned.db")
    store.append(walk(10)).result()
    with sqlite3.connect(f"file:{tmp_path}/pinned.db?mode=ro", uri=True) as pinned:
        pinned.execute("BEGIN")
        pinned.execute("SELECT count(*) FROM ticks").fetchone()
        for first in range(10, 40_010, 1_000):
            store.append(walk(1_000, first_id=first)).result()
        assert store.size().journal > database.JOURNAL_LIMIT
        assert pinned.execute("SELECT count(*) FROM ticks").fetchone() == (10,)
        pinned.execute("ROLLBACK")
    pinned.close()
    store.append([trade(99_999, T0)]).result()
    wait_until(lambda: store.size().journal < database.JOURNAL_LIMIT)
    store.close()


def test_fifty_readers_do_not_hold_the_writer_up(tmp_path: Path) -> None:
    store, done = open_store(tmp_path / "read.db"), threading.Event()
    store.append(walk(5_000)).result()

    def read() -> None:
        while not done.is_set():
            with suppress(StoreSlow):  # fifty share one interpreter; a read that is cut off is right
                assert len(store.bars(BTC, "5s")) > 0
                assert sum(map(len, store.ticks(BTC, T0, T0 + 60_000))) > 0

    readers = [threading.Thread(target=read) for _ in range(50)]
    for reader in readers:
        reader.start()
    for first in range(5_000, 7_000, 100):
        assert store.append(walk(100, first_id=first)).result().stored == 100
    done.set()
    for reader in readers:
        reader.join()
    store.close()


def test_a_foreign_lock_is_said_and_waited_out(tmp_path: Path) -> None:
    store = open_store(tmp_path / "locked.db")
    store.append(walk(10)).result()
    foreign = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waiting = store.append(walk(100)[10:])
    wait_until(lambda: store.status().writer.trouble)
    assert store.status().writer.trouble == "the database is locked by another program"
    assert store.status().writer.queued_rows == 90
    assert store.bars(BTC, "1s").trades.sum() == 10
    foreign.execute("ROLLBACK")
    foreign.close()
    assert waiting.result(timeout=5).stored == 90
    assert store.status().writer.trouble is None
    store.close()


def test_closing_under_a_foreign_lock_ends_soon_and_fails_what_was_not_written(tmp_path: Path) -> None:
    store = open_store(tmp_path / "locked.db")
    store.append(walk(10)).result()
    foreign = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waiting = store.append(walk(100)[10:])
    for _ in range(20):
        store.append(walk(2_500))
    begun = time.monotonic()
    store.close()
    assert time.monotonic() - begun < 4
    assert "locked" in str(waiting.exception())
    foreign.execute("ROLLBACK")
    foreign.close()


# ------------------------------------------------------------------------------------------------ damage


def damage(path: Path, rng: random.Random) -> str:
    """Do something bad to a database file, and say what."""
    content = bytearray(path.read_bytes())
    kind = rng.choice(
        ["flip", "flips", "truncate", "zero page", "garbage journal", "empty", "text", "header", "random"]
    )
    place = rng.randrange(len(content))
    if kind == "flip":
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "flips":
        for _ in range(200):
            content[rng.randrange(len(content))] ^= 0xFF
    elif kind == "truncate":
        del content[place:]
    elif kind == "zero page":
        page = place // 4096 * 4096
        content[page : page + 4096] = bytes(len(content[page : page + 4096]))
    elif kind == "garbage journal":
        path.with_name(path.name + "-wal").write_bytes(rng.randbytes(rng.randrange(1, 20_000)))
    elif kind == "empty":
        content.clear()
    elif kind == "text":
        content[:] = b"time,price\n1,2\n"
    elif kind == "header":
        content[rng.randrange(100)] ^= 0xFF
    else:
        content[:] = rng.randbytes(place + 1)
    path.write_bytes(content)
    return kind


def survive_damage(folder: Path, files: int, seed: int) -> dict[str, int]:
    """Damage copies of a store; each must record again, and keep the damaged file when it is set aside."""
    sound, outcomes = folder / "sound.db", {"as new": 0, "kept": 0, "refused": 0}
    store = open_store(sound)
    store.append(walk(2_000)).result()
    store.close()
    rng = random.Random(seed)
    for number in range(files):
        path = folder / f"{number}.db"
        shutil.copy(sound, path)
        damage(path, rng)
        before = path.read_bytes()
        try:
            store = open_store(path)
        except StoreTooNew:
            outcomes["refused"] += 1  # the damage lies in the version number
            assert path.read_bytes() == before
            continue
        assert store.append([trade(10**6 + n, T0 + 10**8 + n) for n in range(50)]).result(timeout=5).stored == 50
        aside = [file for file in folder.glob(f"{number}.db.corrupt-*") if not file.name.endswith(("-wal", "-shm"))]
        outcomes["as new" if aside else "kept"] += 1
        assert bool(aside) == bool(store.status().set_aside)
        store.close()
        for file in folder.glob(f"{number}.*"):
            file.unlink()
    return outcomes


def test_damaged_files_never_stop_recording(tmp_path: Path) -> None:
    outcomes = survive_damage(tmp_path, files=90, seed=7)
    assert outcomes["as new"] > 30


@pytest.mark.nightly
def test_2000_damaged_files_never_stop_recording(tmp_path: Path) -> None:
    survive_damage(tmp_path, files=2_000, seed=8)


def test_a_damaged_file_is_set_aside_whole(tmp_path: Path) -> None:
    path = tmp_path / "ticks.db"
    path.write_bytes(b"not a database" * 1_000)
    store = open_store(path)
    [name] = store.status().set_aside
    assert name.startswith("ticks.db.corrupt-2023")
    assert (tmp_path / name).read_bytes() == b"not a database" * 1_000
    store.close()


def test_damage_met_while_recording_loses_nothing_that_waits(tmp_path: Path) -> None:
    path = tmp_path / "ticks.db"
    open_store(path).close()
    store = open_store(path)
    store.append(walk(3_000)).result()
    store._writer.submit(lambda db: db.execute("PRAGMA cache_size=0")).result()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    appended = store.append([trade(9_000 + n, T0 + n) for n in range(100)]).result(timeout=5)
    assert appended.stored == 100
    assert store.status().set_aside
    assert store.bars(BTC, "1s").trades.sum() == 100
    store.close()


def wreck(path: Path) -> None:
    """Destroy all but the first ten and the last two pages of a database."""
    content = bytearray(path.read_bytes())
    content[40_960:-8_192] = b"\xff" * (len(content) - 49_152)
    path.write_bytes(content)


def test_damage_in_the_middle_of_a_large_file_is_met_later_and_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SMALL_FILE", 0)
    monkeypatch.setattr(schema, "_look_over", lambda db, path: None)  # as when the ends of the tables look sound
    path = tmp_path / "ticks.db"
    store = open_store(path)
    store.append(walk(20_000)).result()
    store.close()
    wreck(path)
    store = open_store(path)
    late = store.append([trade(n, T0 + n) for n in range(5_000, 15_000, 500)])
    assert late.result(timeout=5).stored == 20
    assert len(store.status().set_aside) == 1
    assert store.bars(BTC, "1s").trades.sum() == 20
    store.close()


def test_a_replacement_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "ticks.db")
    store.append(walk(10)).result()
    failures = [StoreUnusable("the disk is full"), StoreUnusable("the disk is full")]

    def fail_twice(path: Path, *, stamp: str) -> schema.Opened:
        if failures:
            raise failures.pop()
        return open_database(path, stamp=stamp)

    monkeypatch.setattr(database, "open_database", fail_twice)
    break_file(store)
    assert store.append([trade(99, T0 + 99_000)]).result(timeout=5).stored == 1
    assert store.status().writer.trouble is None
    store.close()


def break_file(store: SqliteStore) -> None:
    """Let the writer meet damage, as a job would that reads a destroyed page."""

    def meet(db: sqlite3.Connection) -> None:
        if not store.status().set_aside:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error

    store._writer.submit(meet).result(timeout=5)


def test_a_replay_stays_a_replay_after_damage(tmp_path: Path) -> None:
    store = open_store(tmp_path / "replay.db")
    key = store.begin_run(version="1", label="REPLAY", settings={}).result()
    break_file(store)
    store.append(walk(10)).result()
    assert store.label(BTC) == "REPLAY"
    store.end_run(key).result()
    store.close()


def test_a_viewer_follows_the_owner_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "ticks.db"
    store = open_store(path)
    store.append(walk(10)).result()
    viewer = SqliteReader(path)
    assert viewer.bars(BTC, "1s").trades.sum() == 10
    break_file(store)
    store.append(walk(3)).result()
    assert viewer.bars(BTC, "1s").trades.sum() == 3
    viewer.close()
    store.close()


def test_a_reader_tells_of_damage_and_the_check_names_it(tmp_path: Path) -> None:
    path = tmp_path / "ticks.db"
    store = open_store(path)
    store.append(walk(3_000)).result()
    store.close()
    content = bytearray(path.read_bytes())
    content[40_960:] = b"\xff" * (len(content) - 40_960)
    path.write_bytes(content)
    reader = SqliteReader(path)
    with pytest.raises(StoreDamaged, match="pairscope check"):
        list(reader.ticks(BTC))
    assert reader.check().faults
    reader.close()


# ------------------------------------------------------------------------------------------------ places and versions


def test_a_newer_store_is_refused_by_its_version_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ticks.db"
    open_store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    for opening in (open_store, SqliteReader):
        with pytest.raises(StoreTooNew, match="schema 99"):
            opening(path)
    assert list(tmp_path.glob("*corrupt*")) == []


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE ticks (symbol, ts, price)")
    db.close()
    with pytest.raises(StoreUnusable, match="another program"):
        open_store(path)


@pytest.mark.parametrize("place", ["", "no/such/folder/ticks.db", "file/ticks.db"])
def test_a_place_that_cannot_hold_a_store_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable):
        open_store(tmp_path / place)


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_every_past_schema_is_brought_up_to_date_and_a_copy_is_kept(tmp_path: Path, version: int) -> None:
    path = tmp_path / "old.db"
    old = sqlite3.connect(path)
    for number, step in enumerate(MIGRATIONS[:version], 1):
        old.executescript(step.sql)
        if number > 1:  # the ledger of migrations came with the second
            old.executemany("INSERT OR IGNORE INTO migrations VALUES (?, ?)", [(step.name, number)])
    old.execute("INSERT INTO symbols (venue, symbol) VALUES ('binance-spot', 'BTCUSDT')")
    old.execute("INSERT INTO ticks VALUES (1, 5, ?, 100.0, 1.0, 1)", (T0,))
    old.execute("INSERT INTO bars_1s VALUES (1, ?, 100.0, 100.0, 100.0, 100.0, 1.0, 100.0, 1.0, 1, 5, 5)", (T0,))
    old.execute(f"PRAGMA user_version={version}")
    old.commit()
    old.close()
    store = open_store(path)
    store.append([trade(6, T0 + 100)]).result()
    assert store.bars(BTC, "1s").trades.tolist() == [2]
    store.close()
    [copy] = tmp_path.glob(f"old.db.backup-v{version}-*")
    with sqlite3.connect(copy) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (version,)
        assert kept.execute("SELECT trade_id FROM ticks").fetchall() == [(5,)]
    kept.close()


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ticks.db"
    open_store(path).close()
    broken = Migration("broken", "CREATE TABLE half (x);\nINSERT INTO nowhere VALUES (1);\n")
    with pytest.raises(StoreUnusable, match="nowhere"):
        open_database(path, stamp="x", migrations=[*MIGRATIONS, broken])
    opened = open_database(path, stamp="x")
    assert schema.version_of(opened.db) == len(MIGRATIONS)
    assert opened.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None
    opened.db.close()


def test_a_store_keeps_the_names_of_its_migrations(tmp_path: Path) -> None:
    opened = open_database(tmp_path / "ticks.db", stamp="x")
    names = opened.db.execute("SELECT name FROM migrations ORDER BY version").fetchall()
    assert [name for (name,) in names] == [step.name for step in MIGRATIONS]
    opened.db.close()


# ------------------------------------------------------------------------------------------------ company


def test_a_second_process_is_refused_and_told_who_has_the_store(tmp_path: Path) -> None:
    recorder = start_recorder(tmp_path / "held.db", 0)
    try:
        with pytest.raises(StoreHeld, match=f"process {recorder.pid}"):
            open_store(tmp_path / "held.db")
    finally:
        recorder.kill()
        recorder.communicate()
    open_store(tmp_path / "held.db").close()


def back_up_under_load(folder: Path, copies: int) -> None:
    store, done = open_store(folder / "busy.db"), threading.Event()
    store.append(ticks_from(0)).result()

    def load() -> None:
        first = STEP
        while not done.is_set():
            store.append(ticks_from(first)).result()
            first += STEP

    loader = threading.Thread(target=load)
    loader.start()
    for number in range(copies):
        copy = folder / f"copy{number}.db"
        store.backup(copy)
        with sqlite3.connect(copy) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            count, last, bars = db.execute(
                "SELECT count(*), max(trade_id), (SELECT sum(trades) FROM bars_1s) FROM ticks"
            ).fetchone()
            assert (count, bars) == (last + 1, last + 1)
        db.close()
        copy.unlink()
    done.set()
    loader.join()
    store.close()


def test_backups_under_load_are_whole(tmp_path: Path) -> None:
    back_up_under_load(tmp_path, copies=30)


@pytest.mark.nightly
def test_1000_backups_under_load_are_whole(tmp_path: Path) -> None:
    back_up_under_load(tmp_path, copies=1_000)


def test_recording_goes_on_while_pruning(tmp_path: Path) -> None:
    store = open_store(tmp_path / "prune.db")
    ticks = walk(30_000, step_ms=500)
    store.append(ticks).result()
    pruning = threading.Thread(target=lambda: store.prune(ticks_before=ticks[-1].time_ms, seconds_before=T0))
    pruning.start()
    late = [trade(40_000 + n, ticks[-1].time_ms + 60_000 + n) for n in range(200)]
    for tick in late:
        assert store.append([tick]).result(timeout=5).stored == 1
    pruning.join()
    kept = [tick.trade_id for batch in store.ticks(BTC) for tick in batch]
    assert kept[-200:] == [tick.trade_id for tick in late]
    assert math.isclose(store.bars(BTC, "1m").trades.sum(), 30_200)
    store.close()
