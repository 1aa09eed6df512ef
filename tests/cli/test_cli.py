"""The commands: their contract, their mistakes, and their life beside a process that records."""

import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from market import HOUR, MINUTE, Instrument, Label, Tick, iso
from pairscope import __version__
from pairscope.cli import COMMANDS
from pairscope.feeds import binance
from pairscope.files import BAR_HEADER, TICK_HEADER, BadLine, read_ticks, write_ticks
from store import SqliteReader, SqliteStore, find_owner
from tests.cli.calling import Call, Said, clean_environment, ended, refuse_constant, run, start
from tests.contracts.store import assert_bars
from tests.exchange.running import ExchangeProcess, exchange_process

SUMMARY = [
    *("received", "stored", "duplicates", "rejected", "gaps_open", "gaps_filled", "reconnects", "deliveries_waiting")
]
T0 = 1_761_434_400_000
"""2025-10-25T23:20:00Z: the night in which Berlin sets its clocks back begins 40 minutes later."""

BTC, ETH = Instrument("binance-spot", "BTCUSDT"), Instrument("binance-spot", "ETHUSDT")
FUTURE = Instrument("binance-futures", "BTCUSDT")
ONLY = Instrument("kraken", "XBT/USD")


# --------------------------------------------------------------------------------------------- how it is called


def fail(line: BadLine) -> None:
    raise AssertionError(line)


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


# ------------------------------------------------------------------------------------------------- the stores


def trades_of(instrument: Instrument, count: int, *, seed: int = 0) -> list[Tick]:
    """Trades with pauses and with several in a millisecond, over some hours from T0 on."""
    rng, ticks, now, price = random.Random(seed), list[Tick](), T0, 100.0
    for number in range(count):
        now += rng.choice((0, 1, 999, 5_000, 20_000, 60_000))
        price = round(price + rng.uniform(-0.5, 0.5), 2)
        qty = round(rng.uniform(0.001, 2), 3)
        ticks.append(Tick(*instrument, 1_000 + number, now, price, qty, rng.choice(("buy", "sell", None))))
    return ticks


TICKS = {
    BTC: trades_of(BTC, 900, seed=1),
    ETH: trades_of(ETH, 500, seed=2),
    FUTURE: trades_of(FUTURE, 300, seed=3),
    ONLY: trades_of(ONLY, 50, seed=4),
}


def write_store(path: Path, ticks: Sequence[Tick], label: Label = "LIVE") -> Path:
    store = SqliteStore(path, clock=lambda: T0, commit_ms=1)
    store.begin_run(version="test", label=label, settings={}).result()
    store.append(ticks).result()
    store.close()
    return path


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live store of four instruments, for reading only."""
    return write_store(tmp_path_factory.mktemp("stored") / "x.db", list(chain.from_iterable(TICKS.values())))


@pytest.fixture
def own(stored: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copy(stored, tmp_path / "own.db"))


@dataclass(frozen=True)
class Recording:
    folder: Path
    said: Said


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """What the contract's own example recorded."""
    folder = tmp_path_factory.mktemp("recorded")
    return Recording(
        folder,
        run("ingest", "--venue", "simulated", "--seconds", 2, "--store", "sqlite:///x.db", "--json", cwd=folder),
    )


# ------------------------------------------------------------------------------------------------- recording


def test_ingest_tells_what_it_did_and_nothing_else(recorded: Recording) -> None:
    assert (recorded.said.code, recorded.said.err) == (0, "")
    summary = recorded.said.json()
    assert list(summary) == SUMMARY
    assert all(type(value) is int for value in summary.values())
    assert summary["stored"] > 1_000
    assert summary["received"] >= summary["stored"]
    assert (summary["rejected"], summary["reconnects"]) == (0, 0)


def test_check_lists_each_symbol_that_was_recorded(recorded: Recording, call: Call) -> None:
    said = call("check", "--json", store=recorded.folder / "x.db")
    assert said.code == 0
    checked = said.json()
    assert (checked["sound"], checked["faults"]) == (True, [])
    assert sum(each["ticks"] for each in checked["symbols"]) == recorded.said.json()["stored"]
    assert {each["venue"] for each in checked["symbols"]} == {"simulated"}
    wanted = ["venue", "symbol", "label", "ticks", "bar_trades", "first_time", "last_time", "first_id", "last_id"]
    assert all(list(each) == [*wanted, "open_gaps", "abandoned_gaps", "coverage"] for each in checked["symbols"])
    assert checked["gaps_open"] == recorded.said.json()["gaps_open"]
    assert call("check", store=recorded.folder / "x.db").out.startswith("sqlite:///")


def test_trades_and_bars_of_every_timeframe_agree(recorded: Recording, call: Call) -> None:
    store = recorded.folder / "x.db"
    for each in call("check", "--json", store=store).json()["symbols"][:4]:
        assert call("export", "ticks", "--symbol", each["symbol"], "--out", "t.csv", store=store).code == 0
        assert len(rows_of(Path("t.csv"))) == each["ticks"]
        for timeframe in ("1s", "5s", "1m"):
            options = ("--symbol", each["symbol"], "--timeframe", timeframe, "--out", "b.csv")
            assert call("export", "bars", *options, store=store).code == 0
            assert sum(int(row["trades"]) for row in rows_of(Path("b.csv"))) == each["ticks"]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_ingest_without_a_venue_takes_the_settings(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRSCOPE_VENUE", "simulated")
    monkeypatch.setenv("PAIRSCOPE_SYMBOLS", "ZECUSDT")
    monkeypatch.setenv("PAIRSCOPE_STORE", "sqlite:///env.db")
    said = call("ingest", "--seconds", "3")
    assert said.code == 0
    assert said.out.startswith("SIMULATED trades into sqlite:///env.db: ")
    assert said.out.count("\n") == 1
    symbols = call("check", "--json").json()["symbols"]
    assert [each["symbol"] for each in symbols] == ["ZECUSDT"]
    call("ingest", "--symbols", "DASHUSDT", "--seconds", "3")
    assert [each["symbol"] for each in call("check", "--json").json()["symbols"]] == ["DASHUSDT", "ZECUSDT"]


def test_recording_goes_on_where_it_ended(call: Call) -> None:
    options = ("ingest", "--venue", "simulated", "--symbols", "ZECUSDT", "--seconds", "1", "--json")
    first, second = (call(*options, store=Path("x.db")).json() for _ in range(2))
    [symbol] = call("check", "--json", store=Path("x.db")).json()["symbols"]
    assert symbol["ticks"] == first["stored"] + second["stored"]
    assert symbol["last_id"] - symbol["first_id"] + 1 == symbol["ticks"]
    assert (second["duplicates"], symbol["open_gaps"]) == (0, 0)


# ------------------------------------------------------------------------------------------------- reading


def test_exports_have_the_columns_of_the_contract(stored: Path, call: Call) -> None:
    call("export", "ticks", "--symbol", "ETHUSDT", "--out", "t.csv", store=stored)
    assert Path("t.csv").read_text().splitlines()[0] == "time,venue,symbol,trade_id,price,qty,side" == TICK_HEADER
    call("export", "bars", "--symbol", "ETHUSDT", "--out", "b.csv", store=stored)
    header = Path("b.csv").read_text().splitlines()[0]
    assert header.startswith("time,venue,symbol,open,high,low,close,volume,trades,")
    assert header == BAR_HEADER


def test_an_export_tells_how_much_it_wrote(stored: Path, call: Call) -> None:
    said = call("export", "ticks", "--symbol", "ETHUSDT", "--out", "t.csv", "--json", store=stored)
    assert said.json() == {"rows": 500, "file": "t.csv", "label": "LIVE"}
    assert call("export", "ticks", "--symbol", "ETHUSDT", "--out", "t.csv", store=stored).out == (
        "500 rows written to t.csv\n"
    )


def test_the_trades_come_out_as_they_went_in(stored: Path, call: Call) -> None:
    call("export", "ticks", "--symbol", "ETHUSDT", "--out", "t.csv", store=stored)
    assert list(read_ticks("t.csv", on_reject=fail)) == TICKS[ETH]


@pytest.mark.parametrize("what", ["ticks", "bars"])
def test_csv_json_and_parquet_say_the_same(what: str, stored: Path, call: Call) -> None:
    for file_format in ("csv", "json", "parquet"):
        options = ("--symbol", "ETHUSDT", "--format", file_format, "--out", f"x.{file_format}")
        assert call("export", what, *options, store=stored).code == 0
    json_rows = json.loads(Path("x.json").read_text(), parse_constant=refuse_constant)
    from_csv = pd.read_csv("x.csv", parse_dates=["time"], keep_default_na=True)
    from_json = pd.DataFrame(json_rows).assign(time=lambda frame: pd.to_datetime(frame.time))
    from_parquet = pd.read_parquet("x.parquet")
    pd.testing.assert_frame_equal(from_csv, from_parquet, check_dtype=False)
    pd.testing.assert_frame_equal(from_json, from_parquet, check_dtype=False)


def test_what_is_not_known_is_null(stored: Path, call: Call) -> None:
    call(
        "export",
        "bars",
        "--symbol",
        "ETHUSDT",
        "--timeframe",
        "1h",
        "--format",
        "json",
        "--out",
        "b.json",
        store=stored,
    )
    rows = json.loads(Path("b.json").read_text(), parse_constant=refuse_constant)
    assert [row["buy_volume"] for row in rows] == [None] * len(rows)


def test_a_range_takes_its_start_and_leaves_its_end(stored: Path, call: Call) -> None:
    first, last = TICKS[ETH][100], TICKS[ETH][300]
    options = ("--start", iso(first.time_ms), "--end", iso(last.time_ms), "--out", "t.csv")
    call("export", "ticks", "--symbol", "ETHUSDT", *options, store=stored)
    assert list(read_ticks("t.csv", on_reject=fail)) == [
        tick for tick in TICKS[ETH] if first.time_ms <= tick.time_ms < last.time_ms
    ]


@pytest.mark.parametrize("timeframe", ["7s", "1m", "15m", "1h"])
@pytest.mark.parametrize("shift", [0, 1, MINUTE, HOUR + 1])
def test_a_range_of_bars_takes_those_that_start_in_it(timeframe: str, shift: int, stored: Path, call: Call) -> None:
    start, end = T0 + HOUR + shift, T0 + 2 * HOUR + shift
    options = ("--symbol", "ETHUSDT", "--timeframe", timeframe, "--out", "b.csv")
    call("export", "bars", *options, store=stored)
    everything = rows_of(Path("b.csv"))
    call("export", "bars", *options, "--start", iso(start), "--end", iso(end), store=stored)
    assert rows_of(Path("b.csv")) == [row for row in everything if iso(start) <= row["time"] < iso(end)]


def test_bars_are_the_same_however_many_pieces_they_are_read_in(
    stored: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for timeframe in ("1s", "7s", "1m", "1d"):
        options = ("--symbol", "ETHUSDT", "--timeframe", timeframe)
        call("export", "bars", *options, "--out", "whole.csv", store=stored)
        with monkeypatch.context() as patch:
            patch.setattr("pairscope.exports.BARS_AT_ONCE", 17)
            call("export", "bars", *options, "--out", "pieces.csv", store=stored)
        assert Path("whole.csv").read_bytes() == Path("pieces.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "instrument"),
    [
        (["--symbol", "ETHUSDT"], ETH),
        (["--symbol", "XBT/USD"], ONLY),
        (["--symbol", "BTCUSDT"], BTC),
        (["--symbol", "binance-futures:BTCUSDT"], FUTURE),
        (["--symbol", "BTCUSDT", "--venue", "binance-futures"], FUTURE),
        (["--symbol", "binance-spot:BTCUSDT", "--venue", "binance-futures"], BTC),
    ],
)
def test_a_symbol_means_its_only_venue_or_the_default_one(
    options: list[str], instrument: Instrument, stored: Path, call: Call
) -> None:
    assert call("export", "ticks", *options, "--out", "t.csv", store=stored).code == 0
    assert list(read_ticks("t.csv", on_reject=fail)) == TICKS[instrument]


def test_the_default_venue_is_a_setting(stored: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRSCOPE_VENUE", "binance-futures")
    call("export", "ticks", "--symbol", "BTCUSDT", "--out", "t.csv", store=stored)
    assert list(read_ticks("t.csv", on_reject=fail)) == TICKS[FUTURE]
    monkeypatch.setenv("PAIRSCOPE_VENUE", "kraken")
    said = call("export", "ticks", "--symbol", "BTCUSDT", "--out", "t.csv", store=stored)
    assert (said.code, said.complaint) == (2, "several venues have BTCUSDT: write one as VENUE:BTCUSDT")


def test_several_symbols_go_into_one_file_and_each_once(stored: Path, call: Call) -> None:
    options = chain.from_iterable(("--symbol", name) for name in ("ETHUSDT", "XBT/USD", "binance-spot:ETHUSDT"))
    call("export", "ticks", *options, "--out", "t.csv", store=stored)
    assert Counter(row["symbol"] for row in rows_of(Path("t.csv"))) == {"ETHUSDT": 500, "XBT/USD": 50}


def test_a_range_without_trades_is_an_empty_file(stored: Path, call: Call) -> None:
    for what, header in (("ticks", TICK_HEADER), ("bars", BAR_HEADER)):
        said = call("export", what, "--symbol", "ETHUSDT", "--end", "2020-01-01", "--out", "x.csv", store=stored)
        assert (said.code, Path("x.csv").read_text()) == (0, header + "\n")


def test_the_forming_bar_is_there_and_marked(recorded: Recording, call: Call) -> None:
    call("export", "bars", "--symbol", "BTCUSDT", "--timeframe", "1d", "--out", "b.csv", store=recorded.folder / "x.db")
    assert [row["forming"] for row in rows_of(Path("b.csv"))][-1] == "true"


def test_simulated_trades_are_labelled(recorded: Recording, call: Call) -> None:
    store = recorded.folder / "x.db"
    said = call("export", "bars", "--symbol", "BTCUSDT", "--timeframe", "1h", "--out", "b.csv", store=store)
    assert said.out.endswith("b.csv (SIMULATED)\n")
    assert {row["label"] for row in rows_of(Path("b.csv"))} == {"SIMULATED"}


def test_backup_is_a_whole_store(stored: Path, call: Call) -> None:
    said = call("backup", "--out", "copy.db", "--json", store=stored)
    assert said.json() == {"file": "copy.db", "bytes": Path("copy.db").stat().st_size}
    copy, original = (call("check", "--json", store=path).json() for path in (Path("copy.db"), stored))
    assert copy["symbols"] == original["symbols"]


# ------------------------------------------------------------------------------------------------- mistakes

MISTAKES: list[tuple[str, str]] = [
    ("chek", "argument COMMAND: unknown choice 'chek' (did you mean check?); known: alerts, analyze, backup, "),
    ("", "the following arguments are required: COMMAND"),
    (
        "ingest --venue binanc-spot",
        "--venue on the command line: unknown venue 'binanc-spot' (did you mean binance-spot?)",
    ),
    (
        "ingest --venue simulated --symbols BTCUSDT,kraken:BTC/USD",
        "SIMULATED trades of simulated and LIVE trades of kraken are never recorded together: ",
    ),
    ("ingest --venue simulated --symbols BTCUSTD", "unknown simulated symbol 'BTCUSTD' (did you mean BTCUSDT?)"),
    ("ingest --venue simulated --symbols bogus:BTCUSDT", "symbols: unknown venue 'bogus'; known: "),
    ("ingest --seconds 0", "argument --seconds: '0' is not a number above 0"),
    ("ingest --seconds nan", "argument --seconds: 'nan' is not a number above 0"),
    ("ingest --seconds soon", "argument --seconds: 'soon' is not a number above 0"),
    ("ingest --sec 1", "unrecognized arguments: --sec 1"),
    ("export ticks --symbol ETHUSTD --out t", "unknown symbol 'ETHUSTD' (did you mean ETHUSDT?); known: "),
    ("export ticks --symbol kraken:ETHUSDT --out t", "unknown symbol 'kraken:ETHUSDT'"),
    (
        "export ticks --symbol ETHUSDT --venue binance-spt --out t",
        "unknown venue 'binance-spt' (did you mean binance-spot?)",
    ),
    ("export ticks --out t", "the following arguments are required: --symbol"),
    ("export ticks --symbol ETHUSDT", "the following arguments are required: --out"),
    (
        "export tiks --symbol ETHUSDT --out t",
        "argument what: unknown choice 'tiks' (did you mean ticks?); known: alerts, analytics, bars, ",
    ),
    (
        "export ticks --symbol ETHUSDT --out t --format cvs",
        "argument --format: unknown choice 'cvs' (did you mean csv?)",
    ),
    (
        "export bars --symbol ETHUSDT --out t --timeframe 1M",
        "argument --timeframe: unknown timeframe '1M': write a number ",
    ),
    ("export bars --symbol ETHUSDT --out t --start yesterday", "argument --start: 'yesterday' is not a time such as "),
    (
        "export bars --symbol ETHUSDT --out t --end 1700000000000",
        "argument --end: '1700000000000' is not a time such as ",
    ),
    ("export bars --symbol ETHUSDT --out t --start 2026-01-02 --end 2026-01-02", "--start must be before --end"),
    ("export bars --symbol ETHUSDT --out missing/t", "cannot write missing/t: No such file or directory"),
    ("export bars --symbol ETHUSDT --out .", "cannot write .: "),
    ("export bars --symbol ETHUSDT --out own.db", "--out own.db is the store itself: name another file"),
    ("backup --out own.db", "own.db exists: name a new file for the copy"),
    ("backup --out missing/copy.db", "the copy missing/copy.db could not be made: "),
    ("prune", "nothing to prune: give --ticks-days, --seconds-days, or both"),
    ("prune --ticks-days -1", "argument --ticks-days: '-1' is not a number above 0"),
    ("prune --seconds-days 5", "1-second bars must be kept at least as long as trades (for ever), not 5 days"),
    ("delete", "one of the arguments --symbol --everything is required"),
    ("delete --symbol ETHUSTD --yes", "unknown symbol 'ETHUSTD' (did you mean ETHUSDT?); known: "),
    ("symbols", "the following arguments are required: {list,add,remove}"),
    ("symbols lst", "argument {list,add,remove}: unknown choice 'lst' (did you mean list?)"),
    ("symbols list BTCUSDT", "`symbols list` takes no symbol: --search TEXT finds those of a venue"),
    ("symbols list --venue krakn", "unknown venue 'krakn' (did you mean kraken?)"),
    ("symbols add", "name the symbols to add, such as `symbols add BTCUSDT`"),
    ("symbols add BTCUSDT --search BTC", "--search goes with `symbols list`, not with `symbols add`"),
    ("symbols add BTCUSDT", "nothing is being recorded into sqlite:///own.db: start "),
    ("symbols remove BTCUSDT", "nothing is being recorded into sqlite:///own.db: start "),
    ("replay own.db", "own.db cannot be replayed into itself: name another store with --store"),
    ("replay missing.csv", "there is no file missing.csv"),
    ("replay missing.db", "there is no store at missing.db: "),
    ("replay own.db --speed 0", "argument --speed: '0' is not a number above 0"),
    ("replay own.db --speed fast", "argument --speed: 'fast' is not a number above 0"),
    ("replay t.csv --venue binance-spt", "unknown venue 'binance-spt' (did you mean binance-spot?)"),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(("arguments", "wanted"), MISTAKES, ids=[arguments for arguments, _ in MISTAKES])
def test_wrong_use_is_one_line_and_exit_code_2(
    arguments: str, wanted: str, as_json: bool, own: Path, call: Call
) -> None:
    before = own.read_bytes()
    more = ["--json"] if as_json and arguments else []
    said = call(
        *arguments.split(), *more, store=own.relative_to(Path.cwd()) if arguments and arguments != "chek" else None
    )
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith(wanted)
    assert own.read_bytes() == before
    assert not Path("t").exists()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_store_that_is_no_address_or_not_there_is_wrong_use(command: str, call: Call) -> None:
    needs = {
        "alerts": ["list"],
        "export": ["ticks", "--symbol", "A", "--out", "t"],
        "backup": ["--out", "t"],
        "prune": ["--ticks-days", "5"],
        "delete": ["--everything", "--yes"],
        "replay": ["x.csv"],
        "ingest": ["--venue", "simulated", "--seconds", "1"],
        "symbols": ["add", "BTCUSDT"],
        "record": ["pause"],
        "import": ["x.csv"],
        "analyze": ["--y", "A", "--x", "B"],
    }
    Path("x.csv").write_text(f"{TICK_HEADER}\n2026-01-01T00:00:00Z,v,S,1,1.0,1.0,buy\n")
    said = call(command, *needs.get(command, []), "--store", "ticks.db")
    assert (said.code, said.out) == (2, "")
    assert said.complaint == "the store's address 'ticks.db' must be sqlite:///FILE, such as sqlite:///ticks.db"
    said = call(command, *needs.get(command, []), "--store", "sqlite:///missing/ticks.db")
    assert (said.code, said.out) == (1 if command == "status" else 2, "")  # its answer is that nothing is recorded
    assert "missing" in said.complaint
    assert not Path("missing").exists()


def test_settings_that_are_wrong_are_told_by_every_command(call: Call) -> None:
    Path("pairscope.toml").write_text("sede = 5")
    said = call("check")
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith("unknown setting 'sede' in pairscope.toml (did you mean seed?)")
    Path("pairscope.toml").write_text("log_file = 'missing/desk.log'")
    said = call("ingest", "--venue", "simulated", "--seconds", "1")
    assert (said.code, said.complaint) == (2, "log_file: missing/desk.log cannot be written: No such file or directory")


@pytest.mark.parametrize("damage", ["head", "middle"])
def test_a_damaged_store_is_exit_code_1(damage: str, own: Path, call: Call) -> None:
    content = bytearray(own.read_bytes())
    place = 0 if damage == "head" else len(content) // 2
    content[place : place + 20_000] = random.Random(0).randbytes(20_000)
    own.write_bytes(content)
    for more in ([], ["--json"]):
        said = call("check", *more, store=own)
        assert said.code == 1
        assert "damaged" in said.complaint
        if more and said.out:
            assert said.json()["sound"] is False


def test_the_main_mistakes_as_processes(tmp_path: Path, own: Path) -> None:
    for arguments, code, wanted in (
        (["chek"], 2, "did you mean check?"),
        (["check", "--store", "sqlite:///missing.db", "--json"], 2, "there is no store at missing.db"),
        (["export", "ticks", "--symbol", "ETHUSTD", "--out", "t", "--store", "sqlite:///own.db"], 2, "ETHUSDT?"),
    ):
        said = run(*arguments, cwd=tmp_path)
        assert (said.code, said.out) == (code, "")
        assert wanted in said.complaint


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, stored: Path) -> None:
    process = start("check", "--store", f"sqlite:///{stored}", cwd=tmp_path)
    assert process.stdout
    process.stdout.close()  # long before anything is written
    assert process.stderr
    assert (process.stderr.read(), process.wait(20)) == ("", 0)
    process.stderr.close()


def test_help_and_version_are_answers(call: Call) -> None:
    assert call("--version").out == f"pairscope {__version__}\n"
    assert all(name in call("--help").out for name in COMMANDS)
    for name in COMMANDS:
        said = call(name, "--help")
        assert (said.code, said.err) == (0, "")
        assert "--store" in said.out
        assert "--json" in said.out


# ------------------------------------------------------------------------------------------------- replaying


def bars_of(path: Path, instrument: Instrument, timeframe: str) -> list[tuple[Any, ...]]:
    reader = SqliteReader(path)
    bars = list(map(tuple, reader.bars(instrument, timeframe, now=T0 * 2)))
    reader.close()
    return bars


def test_a_store_is_replayed_into_the_same_bars(stored: Path, call: Call) -> None:
    said = call("replay", stored, "--speed", "max", "--json")
    assert (said.code, said.err) == (0, "")
    assert list(said.json()) == [*SUMMARY, "refused"]
    assert (said.json()["stored"], said.json()["refused"]) == (sum(map(len, TICKS.values())), [])
    for instrument, timeframe in ((BTC, "1s"), (ETH, "1m"), (FUTURE, "1h"), (ONLY, "1d")):
        assert str(bars_of(Path("replay.db"), instrument, timeframe)) == str(bars_of(stored, instrument, timeframe))
    for path, name in ((stored, "a.csv"), (Path("replay.db"), "b.csv")):
        call("export", "ticks", "--symbol", "binance-spot:BTCUSDT", "--out", name, store=path)
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()


def test_one_symbol_of_a_store_by_its_address(stored: Path, call: Call) -> None:
    said = call("replay", f"sqlite:///{stored}", "--symbol", "ETHUSDT", "--speed", "max", "--json", store=Path("r.db"))
    assert said.json()["stored"] == len(TICKS[ETH])
    assert [each["symbol"] for each in call("check", "--json", store=Path("r.db")).json()["symbols"]] == ["ETHUSDT"]


def test_replaying_twice_stores_once(stored: Path, call: Call) -> None:
    call("replay", stored, "--symbol", "ETHUSDT", "--speed", "max")
    again = call("replay", stored, "--symbol", "ETHUSDT", "--speed", "max", "--json").json()
    assert (again["stored"], again["duplicates"]) == (0, len(TICKS[ETH]))


def test_a_recorded_csv_is_replayed_into_the_same_bars(shared_data: Path, call: Call) -> None:
    path = shared_data / "ticks" / "spot_btcusdt_trades.csv.gz"
    said = call("replay", path, "--venue", "binance-spot-raw", "--symbol", "BTCUSDT", "--speed", "max", "--json")
    assert (said.code, said.json()["stored"], said.json()["rejected"]) == (0, 19_904, 0)
    ticks = list(read_ticks(path, on_reject=fail, venue="binance-spot-raw", symbol="BTCUSDT"))
    assert_replayed(ticks, Instrument("binance-spot-raw", "BTCUSDT"))


def test_recorded_frames_are_replayed_into_the_same_bars(shared_data: Path, call: Call) -> None:
    path = shared_data / "frames" / "tradeonly_usdm_btcusdt_202408.txt.gz"
    said = call("replay", path, "--venue", "binance-futures-raw", "--speed", "max", "--json")
    assert (said.code, said.json()["stored"], said.json()["refused"]) == (0, 21_313, [])
    ticks = list(read_ticks(path, on_reject=fail, parse=lambda frame: binance.parse(frame, market="futures")))
    assert_replayed(ticks, Instrument("binance-futures-raw", "BTCUSDT"))


def assert_replayed(ticks: list[Tick], instrument: Instrument) -> None:
    reader = SqliteReader(Path("replay.db"))
    for timeframe in ("1s", "1m"):
        assert_bars(reader, ticks, timeframe, instrument)
    assert reader.label(instrument) == "REPLAY"
    reader.close()


def test_lines_that_are_no_trades_are_told(call: Call) -> None:
    Path("x.csv").write_text(f"{TICK_HEADER}\n{iso(T0)},kraken,A,1,1.0,1.0,buy\nx,kraken,A,2,1.0,1.0,buy\n")
    said = call("replay", "x.csv", "--speed", "max", "--json")
    assert (said.code, said.json()["stored"]) == (0, 1)
    assert said.json()["refused"] == [{"file": "x.csv", "line": 3, "why": "time 'x' is not a time"}]
    assert call("replay", "x.csv", "--speed", "max").out.endswith("; 1 lines were no trades\n")


@pytest.mark.parametrize("content", [TICK_HEADER + "\n", TICK_HEADER + "\nx,kraken,A,2,1.0,1.0,buy\n", "", "\0"])
def test_a_file_without_trades_gives_no_answer(content: str, call: Call) -> None:
    Path("x.csv").write_text(content)
    said = call("replay", "x.csv", "--speed", "max", "--json")
    assert (said.code, said.out) == (1, "")
    assert said.complaint.startswith("x.csv ")
    assert not Path("replay.db").exists()


def test_a_store_without_trades_gives_no_answer(call: Call) -> None:
    write_store(Path("empty.db"), [])
    said = call("replay", "empty.db", "--speed", "max")
    assert (said.code, said.complaint) == (1, "empty.db holds no trades")


@pytest.mark.parametrize("label", ["LIVE", "SIMULATED"])
def test_a_replay_never_goes_into_another_kind_of_store(label: Label, stored: Path, call: Call) -> None:
    write_store(Path("mine.db"), TICKS[ONLY], label)
    said = call("replay", stored, "--speed", "max", store=Path("mine.db"))
    assert (said.code, said.out) == (2, "")
    assert f"mine.db holds {label} trades, and REPLAY ones never go into the same store" in said.complaint
    [symbol] = call("check", "--json", store=Path("mine.db")).json()["symbols"]
    assert symbol["ticks"] == len(TICKS[ONLY])


def test_nothing_else_goes_into_a_store_of_replays(stored: Path, call: Call) -> None:
    call("replay", stored, "--symbol", "XBT/USD", "--speed", "max")
    said = call("ingest", "--venue", "simulated", "--seconds", "1", store=Path("replay.db"))
    assert said.code == 2
    assert "replay.db holds REPLAY trades, and SIMULATED ones never go into the same store" in said.complaint


def test_a_replay_can_be_stopped(stored: Path, tmp_path: Path) -> None:
    process = start("replay", stored, "--speed", "1", "--json", cwd=tmp_path)
    until(lambda: answering(tmp_path / "replay.db"))
    process.send_signal(signal.SIGTERM)
    said = ended(process, seconds=5)
    assert (said.code, said.err) == (0, "")
    assert 0 < said.json()["stored"] < 100


# ------------------------------------------------------------------------------------------------- changing


def ticks_left(call: Call, store: Path) -> dict[str, int]:
    symbols = call("check", "--json", store=store).json()["symbols"]
    return {f"{each['venue']}:{each['symbol']}": each["ticks"] for each in symbols}


ALL = {str(instrument): len(ticks) for instrument, ticks in TICKS.items()}


def test_prune_deletes_what_is_older(own: Path, call: Call) -> None:
    assert call("prune", "--ticks-days", "100000", store=own).out == "0 rows deleted\n"
    assert ticks_left(call, own) == ALL
    hours = bars_of(own, ETH, "1h")
    said = call("prune", "--ticks-days", "0.001", "--seconds-days", "0.001", "--json", store=own)
    assert said.json()["deleted"] > sum(ALL.values())
    assert sum(ticks_left(call, own).values()) < 50
    assert str(bars_of(own, ETH, "1h")) == str(hours)  # minutes stay, also when nothing else is young enough


@pytest.mark.parametrize(
    ("option", "words", "left"),
    [
        (
            ["--symbol", "ETHUSDT"],
            "delete binance-spot:ETHUSDT\n",
            {name: n for name, n in ALL.items() if "ETH" not in name},
        ),
        (["--everything"], "  delete everything  ", {}),
    ],
)
def test_delete_asks_and_takes_the_right_words(
    option: list[str], words: str, left: dict[str, int], own: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(words))
    said = call("delete", *option, store=own)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{sum(ALL.values()) - sum(left.values()):,} trades deleted\n"
    assert ticks_left(call, own) == left


@pytest.mark.parametrize("words", ["yes\n", "\n", "DELETE EVERYTHING\n", "delete binance-spot:BTCUSDT\n"])
def test_other_words_delete_nothing(words: str, own: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(words))
    said = call("delete", "--symbol", "ETHUSDT", store=own)
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith(
        "nothing was deleted: to confirm, give the words 'delete binance-spot:ETHUSDT', not "
    )
    assert ticks_left(call, own) == ALL


def test_yes_deletes_without_a_question(own: Path, call: Call) -> None:
    assert call("delete", "--symbol", "XBT/USD", "--yes", "--json", store=own).json() == {"deleted": 50}
    assert call("delete", "--everything", "--yes", "--json", store=own).json() == {"deleted": sum(ALL.values()) - 50}
    assert call("delete", "--everything", "--yes", "--json", store=own).json() == {"deleted": 0}


def test_a_person_is_told_what_will_go(own: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("delete kraken:XBT/USD\n"))
    said = call("delete", "--symbol", "XBT/USD", "--json", store=own)
    assert said.err == "kraken:XBT/USD: 50 trades will be deleted. Type 'delete kraken:XBT/USD' to go on: "
    assert said.json() == {"deleted": 50}


@pytest.mark.parametrize("closed", ["</dev/null", "<&-"])
def test_a_question_that_nobody_can_answer_deletes_nothing(closed: str, own: Path, tmp_path: Path, call: Call) -> None:
    command = f'exec "{sys.executable}" -m pairscope delete --everything --store sqlite:///own.db {closed}'
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    said = Said(done.returncode, done.stdout, done.stderr)
    assert (said.code, said.out) == (2, "")
    assert said.complaint == "nothing was deleted: to confirm, give the words 'delete everything', or --yes"
    assert ticks_left(call, own) == ALL


def test_ctrl_c_at_the_question_deletes_nothing(own: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def readline(self, *_: object) -> str:  # type: ignore[override]  # nobody asks for a length here
            raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Interrupted())
    said = call("delete", "--everything", store=own)
    assert (said.code, said.complaint) == (130, "stopped")
    assert ticks_left(call, own) == ALL


# ---------------------------------------------------------------------------------- beside a process that records


def answering(store: Path) -> bool:
    """Tell whether the owner of a store answers, and holds trades."""
    owner = find_owner(store)
    if owner is None or owner.address is None:
        return False
    try:
        status, text = ask(f"{owner.address}/api/symbols")
    except OSError:
        return False
    return status == 200 and any(row["time"] for row in json.loads(text))


def ask(address: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@dataclass(frozen=True)
class Running:
    folder: Path
    process: "subprocess.Popen[str]"

    @property
    def store(self) -> Path:
        return self.folder / "x.db"

    @property
    def address(self) -> str:
        owner = find_owner(self.store)
        assert owner
        assert owner.address
        return owner.address


def recording(folder: Path, *symbols: str) -> Running:
    options = ("--venue", "simulated", "--symbols", ",".join(symbols), "--store", "sqlite:///x.db", "--json")
    process = start("ingest", *options, cwd=folder)
    try:
        until(lambda: answering(folder / "x.db"))
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return Running(folder, process)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A process that records for as long as the tests below take."""
    found = recording(tmp_path_factory.mktemp("running"), "BTCUSDT", "ZECUSDT", "DASHUSDT")
    yield found
    found.process.terminate()
    said = ended(found.process, seconds=10)
    assert (said.code, said.err) == (0, "")


def test_the_owner_tells_its_state_over_loopback(running: Running) -> None:
    status, text = ask(f"{running.address}/api/health")
    health = json.loads(text, parse_constant=refuse_constant)
    assert (status, health["role"], health["feed"]["label"]) == (200, "owner", "SIMULATED")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", running.address)
    status, text = ask(f"{running.address}/api/symbols")
    symbols = json.loads(text, parse_constant=refuse_constant)
    assert {each["symbol"] for each in symbols} <= {"BTCUSDT", "ZECUSDT", "DASHUSDT"}


def test_the_owner_answers_nothing_else(running: Running) -> None:
    assert ask(f"{running.address}/")[0] == 404
    assert ask(f"{running.address}/api/none")[0] == 404
    assert ask(f"{running.address}/api/command")[0] == 405
    assert ask(f"{running.address}/api/health", b"{}")[0] == 405


def test_the_owner_obeys_only_who_can_read_its_lock_file(running: Running) -> None:
    command = json.dumps({"command": "delete", "arguments": {"symbol": None, "confirm": "delete everything"}}).encode()
    address = f"{running.address}/api/command"
    assert ask(address, command)[0] == 401
    assert ask(address, command, Authorization="Bearer wrong")[0] == 401
    owner = find_owner(running.store)
    assert owner
    right = {"Authorization": f"Bearer {owner.token}"}
    assert ask(address, command, Host="evil.example", **right)[0] in (400, 403)
    assert ask(f"{running.address}/api/health", Host="evil.example")[0] == 400
    for size in (70_000, 900_000):
        assert ask(address, command + b" " * size, **right)[0] == 400
    assert answering(running.store)
    if os.name == "posix":
        assert running.store.with_name("x.db.lock").stat().st_mode & 0o777 == 0o600


def test_a_second_recording_is_refused_by_the_pid_of_the_first(running: Running, stored: Path) -> None:
    wanted = f"x.db is held by process {running.process.pid}, which records into it: "
    for command in (["ingest", "--venue", "simulated", "--seconds", "1"], ["replay", stored]):
        said = run(*command, "--store", "sqlite:///x.db", "--json", cwd=running.folder)
        assert (said.code, said.out) == (2, "")
        assert wanted in said.complaint


def test_reading_goes_on_beside_the_owner(running: Running, call: Call) -> None:
    assert call("check", store=running.store).code == 0
    assert call("export", "bars", "--symbol", "BTCUSDT", "--out", "b.csv", store=running.store).code == 0
    assert len(rows_of(Path("b.csv"))) > 0
    assert call("backup", "--out", "copy.db", store=running.store).code == 0
    assert call("check", store=Path("copy.db")).code == 0


def test_recording_is_paused_and_goes_on_at_a_command(running: Running, call: Call) -> None:
    until(lambda: tick_counts(running.store)["DASHUSDT"] > 300)
    for action, states in (("pause", {"paused"}), ("stop", {"stopped"}), ("start", {"starting", "streaming"})):
        said = call("record", action, store=running.store)
        assert (said.code, said.err) == (0, "")
        assert call("status", "--json", store=running.store).json()["feed"]["state"] in states


def test_prune_runs_in_the_owner_and_its_answer_comes_back(running: Running) -> None:
    until(lambda: tick_counts(running.store)["DASHUSDT"] > 300)  # 6 hours of one a minute
    said = run("prune", "--ticks-days", 0.05, "--store", "sqlite:///x.db", "--json", cwd=running.folder)
    assert (said.code, said.err) == (0, "")
    assert said.json()["deleted"] > 100
    assert find_owner(running.store)
    said = run("prune", "--seconds-days", 5, "--store", "sqlite:///x.db", cwd=running.folder)
    assert (said.code, said.out) == (2, "")
    assert said.complaint == "1-second bars must be kept at least as long as trades (for ever), not 5 days"


def test_delete_runs_in_the_owner_after_the_right_words(running: Running) -> None:
    until(lambda: tick_counts(running.store).get("ZECUSDT", 0) > 0)
    options = ("delete", "--symbol", "ZECUSDT", "--store", "sqlite:///x.db")
    said = run(*options, cwd=running.folder, said="no\n")
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith(
        "nothing was deleted: to confirm, give the words 'delete simulated:ZECUSDT', not 'no'"
    )
    assert tick_counts(running.store)["ZECUSDT"] > 0
    said = run(*options, cwd=running.folder, said="delete simulated:ZECUSDT\n")
    assert said.code == 0
    assert re.fullmatch(r"[\d,]+ trades deleted\n", said.out)
    assert tick_counts(running.store).get("ZECUSDT", 0) < 50
    assert running.process.poll() is None


def tick_counts(store: Path) -> dict[str, int]:
    reader = SqliteReader(store)
    counts = {each.instrument.symbol: each.ticks for each in reader.check().symbols}
    reader.close()
    return counts


def test_status_is_what_the_owner_tells_of_itself(running: Running) -> None:
    said = run("status", "--store", "sqlite:///x.db", "--json", cwd=running.folder)
    told = json.loads(ask(f"{running.address}/api/health")[1])
    assert (said.code, said.err, set(said.json())) == (0, "", set(told))
    assert set(said.json()["feed"]) == set(told["feed"])
    assert said.json()["feed"]["stored"] <= told["feed"]["stored"]
    lines = run("status", "--store", "sqlite:///x.db", cwd=running.folder).out.splitlines()
    assert lines[0].startswith("SIMULATED · streaming · ")
    assert any(line.startswith("simulated:BTCUSDT ") for line in lines)


def test_a_symbol_is_added_to_and_taken_from_what_is_recorded(running: Running) -> None:
    def change(*words: str) -> Said:
        return run("symbols", *words, "--store", "sqlite:///x.db", "--json", cwd=running.folder)

    assert change("add", "LINKUSDT").json() == {"added": ["simulated:LINKUSDT"]}
    until(lambda: tick_counts(running.store).get("LINKUSDT", 0) > 0)
    states = {each["symbol"]: each["state"] for each in change("list").json()["symbols"]}
    assert states["LINKUSDT"] in ("live", "repairing", "quiet")
    assert change("remove", "LINKUSDT").json() == {"removed": ["simulated:LINKUSDT"]}
    states = {each["symbol"]: each["state"] for each in change("list").json()["symbols"]}
    assert states["LINKUSDT"] == "stored"


@pytest.mark.nightly
def test_a_symbol_that_is_recorded_already_is_told_so(running: Running) -> None:
    options = ("--store", "sqlite:///x.db")
    said = run("symbols", "add", "BTCUSDT", *options, cwd=running.folder)
    assert (said.code, said.out) == (0, "already recorded: simulated:BTCUSDT\n")
    said = run("symbols", "add", "BTCUSDT", "AVAXUSDT", *options, "--json", cwd=running.folder)
    assert said.json() == {"added": ["simulated:AVAXUSDT"], "already_recorded": ["simulated:BTCUSDT"]}
    assert run("symbols", "remove", "AVAXUSDT", *options, cwd=running.folder).code == 0


def test_a_search_that_finds_nothing_names_where_it_looked(running: Running, own: Path, call: Call) -> None:
    search = ("symbols", "list", "--search", "nothing")
    wanted = "simulated has no symbol with 'nothing' in its name; --venue V searches another\n"
    assert call(*search, "--venue", "simulated", store=own).out == wanted
    options = ("--store", "sqlite:///x.db")
    assert run(*search, "--venue", "simulated", *options, cwd=running.folder).out == wanted
    said = run(*search, *options, cwd=running.folder)
    assert said.out.startswith("the default venue of the process that records has no symbol with 'nothing'")


def test_a_slip_in_a_symbol_is_refused_by_the_owner_with_the_nearest(running: Running) -> None:
    for words, wanted in (
        (("add", "LINKUSTD"), "did you mean LINKUSDT?"),
        (("remove", "BTCUSTD"), "did you mean BTCUSDT?"),
        (("add", "BTC/USD", "--venue", "kraken"), "never recorded together"),
    ):
        said = run("symbols", *words, "--store", "sqlite:///x.db", "--json", cwd=running.folder)
        assert (said.code, said.out) == (2, "")
        assert wanted in said.complaint


def test_the_owner_is_asked_what_its_venue_has(running: Running) -> None:
    said = run("symbols", "list", "--search", "link", "--store", "sqlite:///x.db", cwd=running.folder)
    assert (said.code, said.out) == (0, "simulated:LINKUSDT\n")


def test_where_nothing_records_status_says_so_and_the_list_is_that_of_settings_and_store(own: Path, call: Call) -> None:
    said = call("status", "--json", store=own)
    assert (said.code, said.out) == (1, "")
    assert said.complaint.startswith(f"nothing is being recorded into sqlite:///{own}: start ")
    listed = [line.split(maxsplit=1) for line in call("symbols", "list", store=own).out.splitlines()]
    assert ["binance-spot:BTCUSDT", "in settings"] in listed
    assert ["kraken:XBT/USD", "stored"] in listed
    assert call("symbols", "list", "--venue", "simulated", "--search", "zec", store=own).out == "simulated:ZECUSDT\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_recording_in_order(number: signal.Signals, tmp_path: Path) -> None:
    running = recording(tmp_path, "BTCUSDT", "ETHUSDT")
    told = time.monotonic()
    running.process.send_signal(number)
    said = ended(running.process, seconds=5)
    assert time.monotonic() - told < 2
    assert (said.code, said.err) == (0, "")
    assert list(said.json()) == SUMMARY
    assert sum(tick_counts(running.store).values()) == said.json()["stored"] > 0
    assert find_owner(running.store) is None


def test_after_a_kill_a_command_opens_the_store_itself(tmp_path: Path) -> None:
    running = recording(tmp_path, "DASHUSDT")
    running.process.kill()
    ended(running.process)
    lock = json.loads((tmp_path / "x.db.lock").read_text())
    assert lock["pid"] == running.process.pid
    said = run("delete", "--everything", "--yes", "--store", "sqlite:///x.db", "--json", cwd=tmp_path)
    assert (said.code, said.err) == (0, "")
    assert said.json()["deleted"] > 0
    said = run(
        "ingest",
        "--venue",
        "simulated",
        "--symbols",
        "DASHUSDT",
        "--seconds",
        1,
        "--store",
        "sqlite:///x.db",
        cwd=tmp_path,
    )
    assert (said.code, said.err) == (0, "")


def test_an_owner_that_takes_no_commands_is_named(own: Path, call: Call) -> None:
    store = SqliteStore(own, clock=lambda: T0)
    said = call("prune", "--ticks-days", "5", store=own)
    store.close()
    assert (said.code, said.out) == (1, "")
    assert said.complaint == f"process {os.getpid()} records into the store and takes no commands: stop it first"


# ------------------------------------------------------------------------------------------------ live venues


def record_live(folder: Path, exchanges: dict[str, ExchangeProcess], *options: str) -> Said:
    """Record from exchanges for 3 seconds, in a process."""
    addresses: dict[str, Any] = {}
    for venue, exchange in exchanges.items():
        name = venue.upper().replace("-", "_")
        addresses |= {f"PAIRSCOPE_{name}_WS": exchange.ws, f"PAIRSCOPE_{name}_REST": exchange.rest}
    process = start("ingest", *options, "--store", "sqlite:///x.db", "--json", cwd=folder, **addresses)
    return ended(process)


def assert_as_the_exchange_has_it(exchange: ExchangeProcess, instrument: Instrument, folder: Path, call: Call) -> int:
    """Compare what is exported with the ledger, from the first stored trade to the last; return how many there are."""
    call("export", "ticks", "--symbol", str(instrument), "--out", "live.csv", store=folder / "x.db")
    stored = list(read_ticks("live.csv", on_reject=fail))
    made = exchange.ledger()[instrument.symbol].trades(stored[0].trade_id, stored[-1].trade_id)
    assert [(each.trade_id, each.price, each.qty, each.time_ms) for each in stored] == [
        (each.trade_id, float(each.price), float(each.qty), each.time_ms) for each in made
    ]
    assert [each.side for each in stored] == ["sell" if each.buyer_is_maker else "buy" for each in made]
    return len(stored)


def test_live_trades_are_stored_as_the_exchange_made_them(tmp_path: Path, call: Call) -> None:
    symbols = ("BTCUSDT", "ETHUSDT")
    with exchange_process("binance-spot", symbols, folder=tmp_path, rate=200) as exchange:
        options = ("--venue", "binance-spot", "--symbols", ",".join(symbols), "--seconds", "3")
        said = record_live(tmp_path, {"binance-spot": exchange}, *options)
        assert (said.code, said.err, list(said.json())) == (0, "", SUMMARY)
        counts = [
            assert_as_the_exchange_has_it(exchange, Instrument("binance-spot", each), tmp_path, call)
            for each in symbols
        ]
        assert exchange.report()["violations"] == []
    assert sum(counts) == said.json()["stored"] > 400
    assert (said.json()["rejected"], said.json()["gaps_open"], said.json()["reconnects"]) == (0, 0, 0)


@pytest.mark.nightly
def test_two_venues_are_recorded_at_once(tmp_path: Path, call: Call) -> None:
    with (
        exchange_process("binance-futures", ("BTCUSDT",), folder=tmp_path, rate=100) as futures,
        exchange_process("kraken", ("BTC/USD",), folder=tmp_path, rate=20) as kraken,
    ):
        both = {"binance-futures": futures, "kraken": kraken}
        symbols = "binance-futures:BTCUSDT,kraken:BTC/USD"
        said = record_live(tmp_path, both, "--symbols", symbols, "--seconds", "3")
        assert (said.code, said.err) == (0, "")
        stored = assert_as_the_exchange_has_it(futures, Instrument("binance-futures", "BTCUSDT"), tmp_path, call)
        stored += assert_as_the_exchange_has_it(kraken, Instrument("kraken", "BTC/USD"), tmp_path, call)
        assert (futures.report()["violations"], kraken.report()["violations"]) == ([], [])
    assert said.json()["stored"] == stored > 100


def test_a_symbol_that_the_venue_does_not_have_is_refused_before_there_is_a_store(tmp_path: Path) -> None:
    with exchange_process("binance-spot", ("BTCUSDT",), folder=tmp_path) as exchange:
        said = record_live(tmp_path, {"binance-spot": exchange}, "--symbols", "BTCUSDT,BTCUSTD", "--seconds", "3")
    assert (said.code, said.out) == (2, "")
    assert said.complaint.startswith("binance-spot has no symbol 'BTCUSTD' (did you mean BTCUSDT?); ")
    assert not (tmp_path / "x.db").exists()


# ------------------------------------------------------------------------------------------------- time zones

ZONES = [
    *("UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Europe/Berlin", "America/New_York"),
    *("Australia/Lord_Howe", "Asia/Tokyo", "Pacific/Kiritimati"),
    *("CET-1CEST,M3.5.0,M10.5.0/3", "<-0330>3:30<-0230>,M3.2.0,M11.1.0", "<+0545>-5:45"),
]
"""The last three say their rule themselves, for machines that know no names of zones."""

EVERYTHING = """
import sys, time
from pairscope.cli import main
store, recording = sys.argv[1:]
symbol = ["--symbol", "binance-spot:BTCUSDT"]
night = ["--start", "2025-10-26T00:30:00", "--end", "2025-10-26T02:30"]
for kind in ("csv", "json", "parquet"):
    options = [*symbol, "--store", store, "--format", kind]
    main(["export", "ticks", *options, *night, "--out", "ticks." + kind])
    for timeframe in ("5s", "1h", "1d"):
        main(["export", "bars", *options, "--timeframe", timeframe, "--out", timeframe + "." + kind])
main(["replay", recording, "--speed", "max"])
main(["export", "bars", *symbol, "--out", "replayed.csv", "--store", "sqlite:///replay.db"])
print(time.localtime(1761444000).tm_gmtoff)
"""


@pytest.mark.nightly
def test_in_every_time_zone_the_same_bytes_come_out(stored: Path, tmp_path: Path) -> None:
    """The range spans the hour that Berlin has twice; times without a zone are in UTC, also those of a recording."""
    write_ticks(tmp_path / "recording.csv", TICKS[BTC], "csv")
    naive = (tmp_path / "recording.csv").read_text().replace("Z,", ",")
    (tmp_path / "recording.csv").write_text(naive)

    def outcome(number: int) -> tuple[dict[str, bytes], str]:
        folder = tmp_path / str(number)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", EVERYTHING, f"sqlite:///{stored}", tmp_path / "recording.csv"],
            cwd=folder,
            env=clean_environment(TZ=ZONES[number]),
            capture_output=True,
            text=True,
            check=True,
        )
        files = [path for path in folder.iterdir() if path.suffix in (".csv", ".json", ".parquet")]
        return {path.name: path.read_bytes() for path in files}, done.stdout.splitlines()[-1]

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(outcome, range(len(ZONES))))
    assert len({offset for _, offset in outcomes}) >= 4
    assert len(outcomes[0][0]) == 13
    assert b"2025-10-26T01:00:00.000Z" in outcomes[0][0]["1h.csv"]
    assert all(files == outcomes[0][0] for files, _ in outcomes)
