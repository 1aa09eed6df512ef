"""What commands that read files refuse, say and keep apart; each once went wrong in silence."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from market import Bar, Instrument, Tick, Timeframe, bars_from_rows, iso
from pairscope.commands import Desk, perform
from pairscope.files import write_bars, write_ticks
from store import SqliteReader, SqliteStore
from tests.cli.calling import Call
from tests.cli.test_importing import T0, count, trades, write

MINUTE_START = T0 - T0 % 60_000
OHLC = "time,open,high,low,close,volume\n"
LEGS = ("--y", "A", "--x", "B")


def rows_of_bars(count: int = 9, *, first: int = MINUTE_START, close: float = 5.0, step: int = 60_000) -> str:
    return "".join(f"{iso(first + step * at)},5,{close + 1},4,{close},1\n" for at in range(count))


def pair_file(path: Path, *, venue: str = "", count: int = 90) -> Path:
    """Write bars of A and B, which are cointegrated enough to be analysed."""
    head, lead = ("time,venue,symbol,open,high,low,close,volume\n", f"{venue},") if venue else (
        "time,symbol,open,high,low,close,volume\n", "")  # fmt: skip
    rows = []
    for at in range(count):
        for symbol, price in (("A", 20 + at % 7), ("B", 10 + at % 5)):
            rows.append(f"{iso(MINUTE_START + 60_000 * at)},{lead}{symbol},{price},{price},{price},{price},1\n")
    path.write_text(head + "".join(rows))
    return path


# ------------------------------------------------------------------------------------------------ import


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (f"time,price,qty\n{T0},1.5,1\n", ["--file-venue", "binance-spot"]),
        (f"time,venue,price,qty,symbol\n{T0},binance-spot,1.5,1,BTCUSDT\n", []),
    ],
)
def test_trades_of_a_venue_without_ids_are_not_imported(
    text: str, options: list[str], call: Call, tmp_path: Path
) -> None:
    """Made ids would become the last ones of the venue, and no gap would be seen any more."""
    Path("BTCUSDT.csv").write_text(text)
    call("import", write(tmp_path / "t.csv", trades(5)), store=tmp_path / "x.db")
    said = call("import", "BTCUSDT.csv", *options, store=tmp_path / "x.db")
    assert said.code == 2
    assert "BTCUSDT.csv line 2 is a trade of binance-spot:BTCUSDT without an id" in said.complaint
    assert "--file-venue 'import'" in said.complaint
    assert call("import", "BTCUSDT.csv", "--file-venue", "import", store=tmp_path / "x.db").code == 0
    reader = SqliteReader(tmp_path / "x.db")
    last = {str(each.instrument): each.last_id or 0 for each in reader.check().symbols}
    reader.close()
    assert last["binance-spot:BTCUSDT"] == 5
    assert last["import:BTCUSDT"] > 10**18


def test_a_candle_with_other_values_is_told_and_the_stored_one_stays(call: Call, tmp_path: Path) -> None:
    for close in (5.0, 5.5):
        Path("ETHUSDT.csv").write_text(OHLC + rows_of_bars(close=close))
        said = call("import", "ETHUSDT.csv", "--json", store=tmp_path / "x.db").json()
    assert (said["stored"], said["duplicates"]) == (0, 0)
    assert "9 rows contradict what is stored" in said["rejected"][0]["why"]
    reader = SqliteReader(tmp_path / "x.db")
    assert set(reader.bars("ETHUSDT", "1m").close.tolist()) == {5.0}
    reader.close()


def test_candles_of_an_exchange_that_a_file_brings_are_of_the_file(call: Call, tmp_path: Path) -> None:
    rows = [(MINUTE_START + at, 1, 2, 1, 2, 3, 4, 5, 6) for at in (0, 60_000)]
    bars = bars_from_rows(Instrument("binance-spot", "BTCUSDT"), Timeframe.parse("1m"), rows)
    write_bars("bars.csv", [bars], "csv", label="REPLAY")
    said = call("import", "bars.csv", store=tmp_path / "x.db")
    assert "are stored as import:BTCUSDT" in said.out
    reader = SqliteReader(tmp_path / "x.db")
    assert [(str(each), reader.label(each)) for each in reader.instruments()] == [("import:BTCUSDT", "FILE")]
    reader.close()


def test_bars_off_the_grid_are_not_imported(call: Call, tmp_path: Path) -> None:
    Path("ETHUSDT.csv").write_text(OHLC + rows_of_bars(first=1_704_069_000_000, step=3_600_000))
    for option in ([], ["--dry-run"]):
        said = call("import", "ETHUSDT.csv", *option, store=tmp_path / "x.db")
        assert said.code == 2
        assert "9 of 9 bars of ETHUSDT do not begin at a whole 1h" in said.complaint


@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_what_is_not_stored_is_said_in_text_too(option: list[str], call: Call, tmp_path: Path) -> None:
    Path("wide.csv").write_text("time,ETHUSDT\n" + "".join(f"{iso(T0 + 60_000 * at)},5\n" for at in range(3)))
    said = call("import", "wide.csv", *option, store=tmp_path / "x.db")
    assert said.code == 0
    assert "Not stored: ETHUSDT: closes without volume are no candles" in said.out
    Path("ETHUSDT.csv").write_text(OHLC + rows_of_bars().replace(",1\n", ",0\n", 2))
    said = call("import", "ETHUSDT.csv", *option, store=tmp_path / "x.db")
    assert "Not stored: ETHUSDT: 2 bars without a trade (volume 0)." in said.out
    assert "0 duplicates" in said.out


def test_a_dry_run_refuses_what_the_import_would(call: Call, tmp_path: Path) -> None:
    call("import", write(tmp_path / "t.csv", trades(5)), store=tmp_path / "x.db")
    simulated = write(tmp_path / "s.csv", trades(5, venue="simulated"))
    told = [call("import", simulated, *option, store=tmp_path / "x.db") for option in ([], ["--dry-run"])]
    assert [said.code for said in told] == [2, 2]
    assert told[0].complaint == told[1].complaint


@pytest.mark.parametrize("command", [["import"], ["import", "--dry-run"], ["analyze", *LEGS, "--input"]])
def test_a_file_of_which_nothing_is_left_is_exit_code_1(command: list[str], call: Call, tmp_path: Path) -> None:
    Path("A.csv").write_text("time,price,qty\n" + f"{T0},x,1\n" * 8)
    Path("B.csv").write_text("time,price,qty\n")
    for file, why in (("A.csv", "8 of 8 rows rejected: not a number"), ("B.csv", "B.csv holds no row")):
        said = call(*command, file, store=tmp_path / "x.db")
        assert (said.code, said.out) == (1, "")
        assert why in said.complaint


def test_duplicates_are_counted_and_not_rejected(call: Call, tmp_path: Path) -> None:
    file = write(tmp_path / "t.csv", [*trades(5), *trades(5)])
    said = call("import", file, "--json", store=tmp_path / "x.db").json()
    assert (said["rows"], said["stored"], said["duplicates"], said["rejected"]) == (10, 5, 5, [])


@pytest.mark.parametrize("command", ["import", "analyze"])
def test_what_is_asked_for_is_named_as_the_commands_option(command: str, call: Call, tmp_path: Path) -> None:
    begin = ["import"] if command == "import" else ["analyze", *LEGS, "--input"]
    Path("trades.csv").write_text(f"time,price,qty\n{T0},1.5,1\n")
    Path("A.csv").write_text(f"time,close,volume\n{T0},1.5,1\n")
    Path("C.csv").write_text("date,price,qty\n01/02/2026,1.5,1\n03/02/2026,1.25,1\n")
    for file, option in (
        ("trades.csv", "--file-symbol ..."), ("A.csv", "--file-timeframe ..."), ("C.csv", "--dates 'day first'"),
    ):  # fmt: skip
        said = call(*begin, file, store=tmp_path / "x.db")
        assert said.code == 2
        assert option in said.complaint
    said = call("import", "A.csv", "--file-timeframe", "1m", "--dry-run", store=tmp_path / "x.db")
    assert said.code in (0, 2)
    assert "--file-timeframe" not in said.err


def test_recorded_frames_are_imported_as_they_are_replayed(call: Call, shared_data: Path, tmp_path: Path) -> None:
    frames = shared_data / "frames" / "hft_spot_btcusdt_20240808.gz"
    said = call("import", frames, "--file-venue", "binance-spot-raw", store=tmp_path / "x.db")
    assert said.code == 0, said.err
    assert count(tmp_path / "x.db") == 9757


@pytest.mark.parametrize("name", ["x.db", "hard.csv", "soft.csv"])
def test_the_store_itself_is_no_upload(name: str, call: Call, tmp_path: Path) -> None:
    call("import", write(tmp_path / "t.csv", trades(5)), store=tmp_path / "x.db")
    os.link(tmp_path / "x.db", tmp_path / "hard.csv")
    (tmp_path / "soft.csv").symlink_to(tmp_path / "x.db")
    for command in (["import"], ["import", "--dry-run"], ["analyze", *LEGS, "--input"]):
        said = call(*command, name, store=tmp_path / "x.db")
        assert said.code == 2
        assert "is the store itself" in said.complaint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"files": ["a.csv"], "options": {"zon": "UTC"}}, "unknown option 'zon' (did you mean zone?)"),
        ({"files": ["a.csv"], "options": {"zone": 5}}, "the option zone must be a text, not 5"),
        ({"files": ["a.csv"], "options": {"timeframe": [1]}}, "the option timeframe must be a text"),
        ({"files": ["a.csv"], "options": ["zone"]}, "options must be names and texts"),
        ({"files": ["a.csv"], "options": {"kind": "x"}}, "unknown kind 'x'"),
        ({"files": [5]}, "files must be a list of paths"),
        ({"files": "a.csv"}, "files must be a list of paths"),
        ({"files": ["a.csv"], "option": {}}, "unknown argument 'option'"),
    ],
)
def test_a_wrong_import_over_the_api_is_wrong_use(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db", clock=lambda: T0)
    try:
        outcome = perform(Desk(store), "import", arguments, now=T0)
    finally:
        store.close()
    assert outcome.exit == 2
    assert words in outcome.text


# ------------------------------------------------------------------------------------------------ analyze


def test_a_venue_of_files_is_honoured_or_refused(call: Call, tmp_path: Path) -> None:
    file = pair_file(tmp_path / "pair.csv", venue="kraken")
    said = call("analyze", "--input", file, *LEGS, "--venue", "kraken", "--window", 20)
    assert "kraken:A against kraken:B" in said.out
    said = call("analyze", "--input", file, *LEGS, "--venue", "krakn")
    assert said.code == 2
    assert "unknown venue 'krakn' (did you mean kraken?)" in said.complaint


def test_an_analysis_of_simulated_files_says_so(call: Call, tmp_path: Path) -> None:
    file = pair_file(tmp_path / "pair.csv", venue="simulated")
    said = call("analyze", "--input", file, *LEGS, "--window", 20, "--json", "--out", "a.csv")
    assert said.json()["label"] == "SIMULATED"
    assert ",SIMULATED\n" in Path("a.csv").read_text()


def test_the_file_of_an_analysis_replaces_neither_its_input_nor_the_store(call: Call, tmp_path: Path) -> None:
    file = pair_file(tmp_path / "pair.csv")
    before = file.read_bytes()
    os.link(file, tmp_path / "hard.csv")
    for out in ("pair.csv", "hard.csv"):
        said = call("analyze", "--input", file, *LEGS, "--out", out)
        assert said.code == 2
        assert f"--out {out} is an input" in said.complaint
    call("import", write(tmp_path / "t.csv", trades(5)), store=tmp_path / "x.db")
    for options in ([], ["--input", file]):
        said = call("analyze", *options, *LEGS, "--out", "x.db", store=tmp_path / "x.db")
        assert said.code == 2
        assert "--out x.db is the store itself" in said.complaint
    assert file.read_bytes() == before


def test_rows_of_the_future_are_not_analysed(call: Call, tmp_path: Path) -> None:
    file = pair_file(tmp_path / "pair.csv")
    with file.open("a") as stream:
        stream.write("2099-01-01T00:00:00Z,A,1,1,1,1,1\n")
    notes = call("analyze", "--input", file, *LEGS, "--window", 20, "--json").json()["notes"]
    assert "Rejected: 1 × in the future." in notes


def test_legs_that_share_no_time_are_said_with_their_spans(call: Call, tmp_path: Path) -> None:
    Path("A.csv").write_text(OHLC + rows_of_bars())
    Path("B.csv").write_text(OHLC + rows_of_bars(first=MINUTE_START + 3_600_000))
    said = call("analyze", "--input", "A.csv", "B.csv", *LEGS)
    assert said.code == 1
    assert f"the legs share no time: import:A is from {iso(MINUTE_START)} to " in said.complaint
    said = call("analyze", "--input", "A.csv", "B.csv", *LEGS, "--end", "2001-01-01")
    assert said.code == 1
    assert "there is nothing between --start and --end" in said.complaint


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["analyze", *LEGS, "--start", "2026-01-02", "--end", "2026-01-01"], "--start must be before --end"),
        (["analyze", *LEGS, "--format", "csv"], "--format is of the file that --out names"),
        (["analyze", *LEGS, "--zone", "UTC"], "--zone says how files are read, and goes with --input"),
        (["analyze", *LEGS, "--file-symbol", "A"], "--file-symbol says how files are read"),
        (["analyze", *LEGS, "--costs=-11,1"], "a fee below -10 bp"),
        (["export", "bars", "--symbol", "A", "--out", "b.csv", "--window", "9"], "--window has no effect on"),
        (["export", "ticks", "--symbol", "A", "--out", "b.csv", "--timeframe", "5m"], "--timeframe has no effect on"),
        (["export", "ticks", "--symbol", "A", "--out", "b.csv", "--log"], "--log has no effect on `export ticks`"),
    ],
)
def test_options_without_an_effect_are_refused(command: list[str], words: str, call: Call, tmp_path: Path) -> None:
    said = call(*command, store=tmp_path / "x.db")
    assert (said.code, said.out) == (2, "")
    assert words in said.complaint


def test_ticks_of_a_replay_keep_their_label_in_an_analysis(call: Call, tmp_path: Path) -> None:
    ticks = [
        Tick("kraken", symbol, at + 1, T0 + 60_000 * at, 10.0 + at % size, 1.0, None)
        for symbol, size in (("A", 7), ("B", 5))
        for at in range(90)
    ]
    write_ticks("t.parquet", ticks, "parquet", label="REPLAY")
    said = call("analyze", "--input", "t.parquet", *LEGS, "--window", 20, "--json")
    assert (said.json()["label"], said.json()["notes"][0]) == ("REPLAY", "REPLAY trades")
    assert json.dumps(said.json())


def test_the_exchanges_own_candles_still_replace_older_ones(tmp_path: Path) -> None:
    store, name = SqliteStore(tmp_path / "x.db", clock=lambda: T0), Instrument("kraken", "A")
    for close in (1.0, 2.0):
        bar = Bar(MINUTE_START, 1.0, 2.0, 1.0, close, 1.0, 1.0, 1.0, 1)
        store.add_klines(name, Timeframe.parse("1m"), [bar]).result()
    assert store.bars(name, "1m").close.tolist() == [2.0]
    store.close()
