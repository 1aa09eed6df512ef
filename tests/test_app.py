"""The front door: what is wrong at the start is one sentence; what is wrong later is said on the page."""

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store import SqliteStore
from tests.exchange.running import exchange_process
from tests.faults.desk import ROOT, Desk, Tab, environment, free_port, running, streamlit, text, wait_for


@dataclass(frozen=True)
class Mistake:
    """One way to get it wrong, and how the answer begins."""

    name: str
    answer: str
    key: str = ""
    value: str = ""
    config: str = ""
    argument: str = ""


MISTAKES = (
    Mistake("unknown key", "unknown setting 'PAIRSCOPE_STOER'", "PAIRSCOPE_STOER", "x"),
    Mistake(
        "unknown venue", "PAIRSCOPE_VENUE in the environment: unknown venue 'binanec'", "PAIRSCOPE_VENUE", "binanec"
    ),
    Mistake("bad toml", "pairscope.toml is not valid TOML", config="venue = ["),
    Mistake("no folder", "{folder}/none does not exist", "PAIRSCOPE_STORE", "sqlite:///{folder}/none/x.db"),
    Mistake(
        "newer schema", "newer.db has schema 999, written by a newer Pairscope", "PAIRSCOPE_STORE", "sqlite:///newer.db"
    ),
    Mistake("no log", "log_file: {folder}/none/x.log cannot be written", "PAIRSCOPE_LOG_FILE", "{folder}/none/x.log"),
    Mistake("wrong argument", "unknown argument '--dmeo'", argument="--dmeo"),
)
WAYS = ("streamlit run app.py", "python app.py")
QUICK = ("unknown key", "newer schema", "wrong argument")
CASES = [
    pytest.param(each, way, marks=() if each.name in QUICK else pytest.mark.nightly, id=f"{each.name}-{way}")
    for each in MISTAKES
    for way in WAYS
]


def begin(mistake: Mistake, way: str, folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True)
    if mistake.config:
        (folder / "pairscope.toml").write_text(mistake.config, encoding="utf-8")
    if mistake.name == "newer schema":
        SqliteStore(folder / "newer.db", clock=lambda: 0).close()
        with closing(sqlite3.connect(folder / "newer.db")) as db:
            db.execute("PRAGMA user_version = 999")
    command = [sys.executable, str(ROOT / "app.py")] if way == WAYS[1] else streamlit(ROOT, free_port())
    command += (["--"] if way == WAYS[0] else []) + [mistake.argument] if mistake.argument else []
    env = environment(**({mistake.key: mistake.value.format(folder=folder)} if mistake.key else {}))
    with (folder / "errors").open("wb") as errors:
        return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=errors)


@pytest.mark.parametrize(("mistake", "way"), CASES)
def test_a_mistake_is_answered_by_one_sentence_and_exit_code_2(mistake: Mistake, way: str, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    process = begin(mistake, way, folder)
    try:
        code = process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    errors = (folder / "errors").read_text(encoding="utf-8")
    assert errors.startswith("pairscope: ")
    assert mistake.answer.format(folder=folder) in errors
    assert errors.count("\n") == 1
    assert code == 2


# ------------------------------------------------------------------------------------------- live venues


def addresses(venue: str, ws: str, rest: str) -> dict[str, Any]:
    name = venue.upper().replace("-", "_")
    return {f"PAIRSCOPE_{name}_WS": ws, f"PAIRSCOPE_{name}_REST": rest}


def nowhere(venue: str) -> dict[str, Any]:
    """Addresses at which nobody listens."""
    port = free_port()
    return addresses(venue, f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}")


def states_of(desk: Desk) -> dict[str, str]:
    return {each["instrument"]: each["state"] for each in desk.health()["feed"]["symbols"]}


def test_the_page_tells_how_each_venue_and_symbol_does(tmp_path: Path) -> None:
    """One venue streams and lacks a symbol, one is not there; then the first falls silent."""
    symbols = "binance-spot:BTCUSDT,binance-spot:BTCUSTD,coinbase:BTC-USD"
    with exchange_process("binance-spot", ("BTCUSDT",), folder=tmp_path, rate=50) as exchange:
        env = addresses("binance-spot", exchange.ws, exchange.rest) | nowhere("coinbase")
        with (
            running(tmp_path, **env, PAIRSCOPE_SYMBOLS=symbols) as desk,
            Tab(desk.port, page="health") as health,
            Tab(desk.port) as tab,
        ):
            wanted = ["live", "refused", "disconnected"]
            wait_for(lambda: list(states_of(desk).values()) == wanted)
            said = text(health.show())
            for words in ("STREAMING", "DISCONNECTED", "1 of 2 venues streaming", "weight "):
                assert words in said, words
            said = text(tab.show())
            assert "LIVE 0." in said
            assert "Not recorded: binance-spot has no symbol 'BTCUSTD' (did you mean BTCUSDT?)." in said
            exchange.control("pace", rate=0.0)
            wait_for(lambda: states_of(desk)["binance-spot:BTCUSDT"] in ("quiet", "stale"))
            said = text(tab.show())
            assert " s ago" in said
            assert "LIVE 0." not in said
            assert "cannot be reached" in said


def test_without_a_network_the_page_says_so_and_what_to_do(tmp_path: Path) -> None:
    env = nowhere("kraken") | {"PAIRSCOPE_VENUE": "kraken", "PAIRSCOPE_SYMBOLS": ""}
    with running(tmp_path, **env) as desk, Tab(desk.port) as tab:
        wait_for(lambda: desk.health()["feed"]["state"] == "disconnected")
        said = text(tab.show())
    assert "kraken is not being recorded: " in said
    assert "No venue is reached, and nothing is stored yet" in said
    assert "python start.py --demo" in said
    assert "Upload a file" in said
    assert "Its venue is not reached; the chart begins when it is." in said


def test_a_bookmark_opens_the_symbol_that_it_names_or_says_that_there_is_none(tmp_path: Path) -> None:
    """Two venues have the symbol, and neither is reached."""
    env = nowhere("binance-spot") | nowhere("binance-futures")
    symbols = "binance-spot:ETHUSDT,binance-futures:BTCUSDT,binance-spot:BTCUSDT"
    with running(tmp_path, **env, PAIRSCOPE_VENUE="binance-spot", PAIRSCOPE_SYMBOLS=symbols) as desk:
        for query, shown in (
            ("symbols=BTCUSDT", "binance-spot%3ABTCUSDT"),
            ("symbols=binance-futures%3ABTCUSDT", "binance-futures%3ABTCUSDT"),
        ):
            with Tab(desk.port) as tab:
                said = text(tab.show(query=query))
                written = set(re.findall(r"symbols=([\w%-]+)", said)) or {query.partition("=")[2]}
                assert written == {shown}
                assert "No trade of BTCUSDT yet" in said
                assert "not here" not in said
        with Tab(desk.port) as tab:
            said = text(tab.show(query="symbols=BTCUSTD"))
        assert "unknown symbol 'BTCUSTD' (did you mean BTCUSDT?)" in said
        assert "Others are shown." in said


def test_a_symbol_that_its_venue_does_not_have_is_not_awaited(tmp_path: Path) -> None:
    with exchange_process("binance-spot", ("BTCUSDT",), folder=tmp_path, rate=50) as exchange:
        env = addresses("binance-spot", exchange.ws, exchange.rest)
        with running(tmp_path, **env, PAIRSCOPE_SYMBOLS="binance-spot:BTCUSDT,binance-spot:NOPEUSDT") as desk:
            wait_for(lambda: "refused" in states_of(desk).values())
            with Tab(desk.port) as tab:
                said = text(tab.show(query="symbols=binance-spot%3ANOPEUSDT"))
    assert "NOPEUSDT is not recorded" in said
    assert "no trade yet" not in said
    assert "recorded, whole" not in said
