"""Importing files: all or nothing, twice is once, beside a process that records, and every refusal told."""

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from market import Hole, Instrument, Tick, iso
from pairscope.files import write_ticks
from store import SqliteReader, SqliteStore, find_owner
from tests.cli.calling import Call, ended, run, start
from tests.exchange.running import wait_until

T0 = 1_750_000_020_000
SUMMARY = {"rows", "stored", "duplicates", "rejected", "notes"}
MANY = 120_000


def trades(count: int, *, venue: str = "binance-spot", first: int = 1) -> list[Tick]:
    return [
        Tick(venue, "BTCUSDT", first + i, T0 + 10 * i, 60_000.0 + i % 7, 0.5, "buy" if i % 2 else "sell")
        for i in range(count)
    ]


def write(path: Path, ticks: list[Tick]) -> Path:
    write_ticks(path, ticks, "csv")
    return path


def count(path: Path) -> int:
    reader = SqliteReader(path)
    try:
        return sum(each.ticks for each in reader.check().symbols)
    finally:
        reader.close()


def test_importing_twice_stores_once(call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", trades(500))
    first = call("import", file, "--json", store=tmp_path / "x.db").json()
    again = call("import", file, "--json", store=tmp_path / "x.db").json()
    assert set(first) == SUMMARY
    assert (first["rows"], first["stored"], first["duplicates"], first["rejected"]) == (500, 500, 0, [])
    assert (again["rows"], again["stored"], again["duplicates"]) == (500, 0, 500)
    assert count(tmp_path / "x.db") == 500


def test_bars_twice_are_stored_once(call: Call, tmp_path: Path) -> None:
    rows = "".join(f"{iso(T0 + 60_000 * i)},5,6,4,5,1\n" for i in range(9))
    (tmp_path / "ETHUSDT.csv").write_text("time,open,high,low,close,volume\n" + rows)
    first = call("import", "ETHUSDT.csv", "--json", store=tmp_path / "x.db").json()
    again = call("import", "ETHUSDT.csv", "--json", store=tmp_path / "x.db").json()
    assert (first["stored"], again["stored"], again["duplicates"]) == (9, 0, 9)


def test_a_dry_run_tells_and_stores_nothing(call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", trades(5))
    with file.open("a") as stream:
        stream.write("2025-06-15T15:07:00Z,binance-spot,BTCUSDT,77,-5.0,1.0,buy\n")
    said = call("import", file, "--dry-run", "--json", store=tmp_path / "x.db").json()
    assert (said["rows"], said["stored"]) == (6, 0)
    (rejected,) = said["rejected"]
    assert (Path(rejected["file"]).name, rejected["line"]) == ("t.csv", 7)
    assert "column price: not positive ('-5.0')" in rejected["why"]
    assert not (tmp_path / "x.db").exists()


def test_rejected_rows_are_told_and_the_rest_is_stored(call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", trades(5))
    with file.open("a") as stream:
        stream.write("2025-06-15T15:07:00Z,binance-spot,BTCUSDT,77,inf,1.0,buy\n")
    said = call("import", file, "--json", store=tmp_path / "x.db").json()
    assert (said["stored"], len(said["rejected"])) == (5, 1)
    assert said["rejected"][0]["line"] == 7


def test_an_id_with_another_price_is_told_and_what_is_stored_stays(call: Call, tmp_path: Path) -> None:
    call("import", write(tmp_path / "t.csv", trades(5)), store=tmp_path / "x.db")
    other = [trades(5)[2]._replace(price=1.0)]
    said = call("import", write(tmp_path / "u.csv", other), "--json", store=tmp_path / "x.db").json()
    assert said["stored"] == 0
    assert "another price" in said["rejected"][0]["why"]


def test_an_import_fills_the_hole_it_belongs_to(call: Call, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db", clock=lambda: T0)
    ticks, bitcoin = trades(10), Instrument("binance-spot", "BTCUSDT")
    hole = Hole(bitcoin, 4, 6, ticks[2].time_ms, ticks[6].time_ms, "test")
    store.append([*ticks[:3], *ticks[6:]], holes=[hole]).result()
    store.close()
    call("import", write(tmp_path / "t.csv", ticks[3:6]), store=tmp_path / "x.db")
    reader = SqliteReader(tmp_path / "x.db")
    assert [gap.state for gap in reader.gaps()] == ["filled"]
    reader.close()


def test_closes_are_no_candles(call: Call, tmp_path: Path) -> None:
    rows = "".join(f"{iso(T0 + 60_000 * i)},5,6\n" for i in range(9))
    (tmp_path / "wide.csv").write_text("time,ETHUSDT,BTCUSDT\n" + rows)
    said = call("import", "wide.csv", "--json", store=tmp_path / "x.db").json()
    assert said["stored"] == 0
    assert "analyze --input" in said["rejected"][0]["why"]


def test_simulated_trades_do_not_go_where_real_ones_are(call: Call, tmp_path: Path) -> None:
    call("import", write(tmp_path / "t.csv", trades(5)), store=tmp_path / "x.db")
    said = call("import", write(tmp_path / "s.csv", trades(5, venue="simulated")), store=tmp_path / "x.db")
    assert said.code == 2
    assert "simulated" in said.complaint
    assert count(tmp_path / "x.db") == 5


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("none.csv", None, 2, "none.csv"),
        ("empty.csv", b"", 1, "empty"),
        ("dates.csv", b"date,price,qty\n01/02/2026,1,1\n03/02/2026,1,1\n", 2, "day first"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    name: str, content: bytes | None, code: int, words: str, call: Call, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = call("import", name, store=tmp_path / "x.db")
    assert (said.code, said.out) == (code, "")
    assert words in said.complaint


def test_an_option_settles_what_the_file_leaves_open(call: Call, tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT.csv").write_text("date,price,qty\n01/02/2026,1.5,1\n03/02/2026,1.25,1\n")
    assert call("import", "ETHUSDT.csv", "--dates", "day first", store=tmp_path / "x.db").code == 0
    reader = SqliteReader(tmp_path / "x.db")
    (first, last), = ((each.first_ms, each.last_ms) for each in reader.check().symbols)  # fmt: skip
    reader.close()
    assert (iso(first or 0), iso(last or 0)) == ("2026-02-01T00:00:00.000Z", "2026-02-03T00:00:00.000Z")


def test_an_import_runs_in_the_process_that_records(tmp_path: Path) -> None:
    """Its path may be relative: it is that of the one who asks."""
    recorder = start("ingest", "--venue", "simulated", "--store", "sqlite:///x.db", cwd=tmp_path)
    try:
        wait_until(lambda: bool((owner := find_owner(tmp_path / "x.db")) and owner.address), within_s=30)
        (tmp_path / "files").mkdir()
        file = write(tmp_path / "files" / "t.csv", trades(1_000, venue="import"))
        said = run("import", f"../files/{file.name}", "--store", "sqlite:///../x.db", "--json", cwd=tmp_path / "files")
        assert (said.code, said.json()["stored"]) == (0, 1_000), said.err
    finally:
        recorder.send_signal(signal.SIGTERM)
        last = ended(recorder)
    assert last.code == 0
    reader = SqliteReader(tmp_path / "x.db")
    assert {each.instrument.venue: each.ticks for each in reader.check().symbols}["import"] == 1_000
    reader.close()


@pytest.mark.parametrize("kills", [1, pytest.param(60, marks=pytest.mark.nightly)])
def test_c4_an_import_that_is_killed_leaves_nothing_of_itself(kills: int, tmp_path: Path) -> None:
    """At whatever moment: all of it is there or none, and doing it again completes it."""
    write(tmp_path / "t.csv", trades(MANY))
    begun = time.monotonic()
    assert run("import", "t.csv", "--store", "sqlite:///whole.db", cwd=tmp_path).code == 0
    whole_s = time.monotonic() - begun
    dice = random.Random(5)
    for attempt in range(kills):
        importing = start("import", "t.csv", "--store", "sqlite:///x.db", cwd=tmp_path)
        try:
            importing.wait(whole_s * dice.uniform(0.4, 1.0))  # the moment of death is the fault
        except subprocess.TimeoutExpired:
            importing.kill()
        ended(importing)
        stored = count(tmp_path / "x.db") if (tmp_path / "x.db").exists() else 0
        assert stored in (0, MANY), f"attempt {attempt}"
    assert run("import", "t.csv", "--store", "sqlite:///x.db", cwd=tmp_path).code == 0
    assert count(tmp_path / "x.db") == MANY
