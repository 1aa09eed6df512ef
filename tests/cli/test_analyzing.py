"""The analysis of a pair from files and from the store: the same object as in Python, to the last digit."""

import gzip
import io
import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analytics import PairSummary, analyze_pair
from market import Instrument, Tick, iso
from pairscope.files import write_bars, write_ticks
from store import SqliteStore
from tests.cli.calling import Call, ended, start
from tests.numbers.test_pair import T0, bars, prices

Y, X = Instrument("import", "ETHUSDT"), Instrument("import", "BTCUSDT")
N = 200
PAIR = ("--y", "ETHUSDT", "--x", "BTCUSDT")


@pytest.fixture(scope="module")
def closes() -> tuple[Any, Any]:
    return prices(N)


@pytest.fixture(scope="module")
def expected(closes: tuple[Any, Any]) -> pd.DataFrame:
    y, x = closes
    return analyze_pair(bars(y, Y), bars(x, X), window=30).frame


def long_rows(closes: tuple[Any, Any]) -> list[str]:
    """Return rows of bars with a symbol, all prices the close."""
    rows = []
    for symbol, leg in zip(("ETHUSDT", "BTCUSDT"), closes, strict=True):
        rows += [f"{iso(T0 + 60_000 * i)},{symbol},{p!r},{p!r},{p!r},{p!r},2.0" for i, p in enumerate(map(float, leg))]
    return rows


def ticks_of(closes: tuple[Any, Any], venue: str = "import") -> list[Tick]:
    """Return one trade a minute whose price is the close of the bar."""
    legs = zip(("ETHUSDT", "BTCUSDT"), closes, strict=True)
    return [
        Tick(venue, symbol, i + 1, T0 + 60_000 * i + 500, float(price), 2.0, "buy")
        for symbol, leg in legs
        for i, price in enumerate(leg)
    ]


def klines(leg: Any, unit: int = 1) -> str:
    rows = (
        (T0 + 60_000 * i, p, p, p, p, 2.0, T0 + 60_000 * i + 59_999, 2 * p, 3, 1.0, p, 0)
        for i, p in enumerate(map(float, leg))
    )
    return "".join(f"{t * unit},{','.join(map(repr, rest[:5]))},{rest[5] * unit},{','.join(map(repr, rest[6:]))}\n"
                   for t, *rest in rows)  # fmt: skip


HEAD = "timestamp,symbol,open,high,low,close,volume\n"
Legs = tuple[Any, Any]


def table(closes: Legs) -> str:
    return HEAD + "\n".join(long_rows(closes)) + "\n"


def text(path: Path, content: str) -> list[Path]:
    path.write_text(content, encoding="utf-8")
    return [path]


def european(closes: Legs, folder: Path) -> list[Path]:
    turned = "\n".join(row.replace(",", ";").replace(".", ",").replace(",000Z", ".000Z") for row in long_rows(closes))
    return text(folder / "european.csv", HEAD.replace(",", ";") + turned + "\n")


def one_a_symbol(closes: Legs, folder: Path) -> list[Path]:
    paths = []
    for symbol in ("ETHUSDT", "BTCUSDT"):
        rows = [row.replace(f",{symbol}", "") for row in long_rows(closes) if symbol in row]
        paths += text(folder / f"{symbol}_1m.csv", HEAD.replace("symbol,", "") + "\n".join(rows) + "\n")
    return paths


def wide(closes: Legs, folder: Path) -> list[Path]:
    rows = [f"{iso(T0 + 60_000 * i)},{float(y)!r},{float(x)!r}\n" for i, (y, x) in enumerate(zip(*closes, strict=True))]
    return text(folder / "wide.csv", "time,ETHUSDT,BTCUSDT\n" + "".join(rows))


def our_ticks(closes: Legs, folder: Path) -> list[Path]:
    write_ticks(folder / "ticks.csv", ticks_of(closes), "csv")
    return [folder / "ticks.csv"]


def ndjson(closes: Legs, folder: Path) -> list[Path]:
    rows = ({"symbol": t.symbol, "ts": iso(t.time_ms), "price": t.price, "size": t.qty} for t in ticks_of(closes))
    return text(folder / "ticks.ndjson", "".join(json.dumps(row) + "\n" for row in rows))


def zipped_klines(closes: Legs, folder: Path) -> list[Path]:
    paths = [folder / f"{symbol}-1m-2025-06.zip" for symbol in ("ETHUSDT", "BTCUSDT")]
    for path, leg in zip(paths, closes, strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{path.stem}.csv", klines(leg, unit=1000))
    return paths


def gzipped(closes: Legs, folder: Path) -> list[Path]:
    (folder / "long.csv.gz").write_bytes(gzip.compress(table(closes).encode()))
    return [folder / "long.csv.gz"]


def parquet(closes: Legs, folder: Path) -> list[Path]:
    pd.read_csv(io.StringIO(table(closes))).to_parquet(folder / "long.parquet")
    return [folder / "long.parquet"]


def our_bars(closes: Legs, folder: Path) -> list[Path]:
    y, x = closes
    write_bars(folder / "bars.csv", [bars(y, Y), bars(x, X)], "csv", label="LIVE")
    return [folder / "bars.csv"]


def plain_long(closes: Legs, folder: Path) -> list[Path]:
    return text(folder / "long.csv", table(closes))


MAKERS: dict[str, Callable[[Legs, Path], list[Path]]] = {
    "long": plain_long,
    "semicolons and decimal commas": european,
    "one file a symbol": one_a_symbol,
    "wide closes": wide,
    "our own ticks": our_ticks,
    "NDJSON": ndjson,
    "klines in microseconds, zipped": zipped_klines,
    "gzip": gzipped,
    "Parquet": parquet,
    "our own bars": our_bars,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_any_file_gives_what_python_gives_to_the_last_digit(
    kind: str, closes: tuple[Any, Any], expected: pd.DataFrame, call: Call, tmp_path: Path
) -> None:
    files = MAKERS[kind](closes, tmp_path)
    options = [*PAIR, "--timeframe", "1m", "--window", "30", "--hedge", "ols", "--json", "--out", "a.csv"]
    said = call("analyze", "--input", *files, *options)
    assert said.code == 0, said.err
    found = pd.read_csv("a.csv", parse_dates=["time"], index_col="time")
    for name in expected.columns.drop(["why", "flags"]):
        assert found[name].to_numpy().tolist() == pytest.approx(expected[name].to_numpy().tolist(), rel=0, nan_ok=True)
    assert set(found["label"]) == {"FILE"}
    assert found["state"].tolist() == expected["state"].tolist()


def test_the_record_is_the_summary_of_python(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    files = our_bars(closes, tmp_path)
    y, x = closes
    summary = analyze_pair(bars(y, Y), bars(x, X), window=30, method="huber", fit="whole", costs="kraken").summary
    said = call("analyze", "--input", *files, *PAIR, "--window", 30, "--hedge", "huber", "--fit", "whole",
                "--costs", "kraken", "--json")  # fmt: skip
    record = said.json()
    for field in fields(PairSummary):
        wanted = getattr(summary, field.name)
        plain = None if isinstance(wanted, float) and not math.isfinite(wanted) else wanted
        assert record[field.name] == plain, field.name
    assert record["verdict"]
    assert {"about", "ok", "text"} == set(record["reasons"][0])


def test_symbols_are_found_in_any_letter_case(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    said = call("analyze", "--input", *plain_long(closes, tmp_path), "--y", "ethusdt", "--x", "btcusdt")
    assert said.code == 0, said.err


def test_a_symbol_that_the_files_lack_is_refused_with_the_nearest(
    closes: tuple[Any, Any], call: Call, tmp_path: Path
) -> None:
    said = call("analyze", "--input", *plain_long(closes, tmp_path), "--y", "ETHUSD", "--x", "BTCUSDT")
    assert said.code == 2
    assert "did you mean ETHUSDT" in said.complaint


def test_too_few_bars_are_exit_code_1_with_the_numbers_all_the_same(call: Call, tmp_path: Path) -> None:
    files = our_bars(prices(20), tmp_path)
    said = call("analyze", "--input", *files, *PAIR, "--json")
    assert said.code == 1
    assert "not enough data: 20 of 61 bars" in said.complaint
    assert said.json()["zscore"] is None
    assert said.json()["n"] == 20


def fill_store(path: Path, closes: tuple[Any, Any], venue: str = "binance-spot") -> None:
    store = SqliteStore(path, clock=lambda: T0)
    store.append(ticks_of(closes, venue)).result()
    store.close()


def test_the_store_gives_the_same_as_the_file(
    closes: tuple[Any, Any], expected: pd.DataFrame, call: Call, tmp_path: Path
) -> None:
    fill_store(tmp_path / "x.db", closes)
    said = call("analyze", *PAIR, "--window", 30, "--out", "a.csv", store=tmp_path / "x.db")
    assert said.code == 0, said.err
    assert "binance-spot:ETHUSDT against binance-spot:BTCUSDT" in said.out
    found = pd.read_csv("a.csv")
    assert found["zscore"].tolist() == pytest.approx(expected["zscore"].tolist(), rel=0, nan_ok=True)
    assert set(found["label"]) == {"LIVE"}


def test_an_export_of_analytics_is_the_file_of_analyze(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    fill_store(tmp_path / "x.db", closes)
    assert call("analyze", *PAIR, "--out", "a.csv", store=tmp_path / "x.db").code == 0
    legs = ["--symbol", "ETHUSDT", "--symbol", "BTCUSDT"]
    said = call("export", "analytics", *legs, "--out", "b.csv", store=tmp_path / "x.db")
    assert (said.code, said.out) == (0, f"{N} rows written to b.csv\n")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()
    for form in ("json", "parquet"):
        assert (
            call("export", "analytics", *legs, "--out", f"b.{form}", "--format", form, store=tmp_path / "x.db").code
            == 0
        )
    table, rows = pd.read_parquet("b.parquet"), pd.read_json("b.json")
    assert table["beta"].tolist() == pytest.approx(rows["beta"].tolist(), nan_ok=True)
    assert list(table.columns) == list(rows.columns)


def test_a_pair_has_two_legs(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    fill_store(tmp_path / "x.db", closes)
    said = call("export", "analytics", "--symbol", "ETHUSDT", "--out", "b.csv", store=tmp_path / "x.db")
    assert said.code == 2
    assert "first y, then x" in said.complaint


def test_simulated_trades_are_said_to_be(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    fill_store(tmp_path / "x.db", closes, venue="simulated")
    said = call("analyze", *PAIR, "--json", "--out", "a.csv", store=tmp_path / "x.db")
    assert said.json()["label"] == "SIMULATED"
    assert ",SIMULATED\n" in Path("a.csv").read_text()


def test_every_option_of_the_pair_changes_the_result(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    fill_store(tmp_path / "x.db", closes)
    plain = call("analyze", *PAIR, "--json", store=tmp_path / "x.db").json()
    options: list[list[object]] = [
        ["--timeframe", "5m", "--window", 20], ["--window", 30], ["--hedge", "theil_sen"], ["--fit", "whole"],
        ["--log"], ["--no-intercept"], ["--entry", 1.5], ["--exit", 0.2], ["--costs", "1,2,3"],
        ["--start", iso(T0 + 3_600_000)], ["--end", iso(T0 + 9_000_000)],
    ]  # fmt: skip
    for option in options:
        said = call("analyze", *PAIR, "--json", *option, store=tmp_path / "x.db").json()
        assert {name for name in said if said[name] != plain[name]} - {"age_bars", "reasons"}, option


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--hedge", "hubr"], "did you mean huber"),
        (["--window", 2], "window is 2"),
        (["--entry", 0.1], "exit"),
        (["--costs", "krakn"], "neither a venue"),
        (["--minimum-volume", -1], "minimum_volume"),
        (["--fill", -1], "fill is -1"),
        (["--timeframe", "1M"], "unknown timeframe"),
    ],
)
def test_wrong_options_are_exit_code_2(
    option: list[object], words: str, closes: tuple[Any, Any], call: Call, tmp_path: Path
) -> None:
    fill_store(tmp_path / "x.db", closes)
    said = call("analyze", *PAIR, *option, store=tmp_path / "x.db")
    assert (said.code, said.out) == (2, "")
    assert words in said.complaint


def test_bars_that_do_not_add_up_are_refused(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    said = call("analyze", "--input", *plain_long(closes, tmp_path), *PAIR, "--timeframe", "30s")
    assert said.code == 2
    assert "1m bars do not add up to 30s bars" in said.complaint


def test_files_are_analysed_without_touching_the_store(closes: tuple[Any, Any], call: Call, tmp_path: Path) -> None:
    files = plain_long(closes, tmp_path)
    assert call("analyze", "--input", *files, *PAIR, store=tmp_path / "none.db").code == 0
    assert not (tmp_path / "none.db").exists()


def test_the_whole_command_as_a_process(closes: tuple[Any, Any], tmp_path: Path) -> None:
    (path,) = plain_long(closes, tmp_path)
    said = ended(start("analyze", "--input", path.name, *PAIR, "--json", cwd=tmp_path), seconds=120)
    assert (said.code, said.err) == (0, "")
    assert np.isfinite(said.json()["beta"])


def test_long_bars_of_the_store_are_read(call: Call, tmp_path: Path) -> None:
    """A daily file is imported, and analysed from the store."""
    rows = ["date,symbol,open,high,low,close,volume"]
    y, x = prices(90)
    for symbol, leg in (("ETHUSDT", y), ("BTCUSDT", x)):
        days = pd.date_range("2026-01-01", periods=90).strftime("%Y-%m-%d")
        rows += [f"{day},{symbol},{p!r},{p!r},{p!r},{p!r},5" for day, p in zip(days, map(float, leg), strict=True)]
    Path("daily.csv").write_text("\n".join(rows) + "\n")
    assert call("import", "daily.csv", store=tmp_path / "x.db").code == 0
    said = call("analyze", *PAIR, "--timeframe", "1d", "--window", 20, "--json", store=tmp_path / "x.db")
    assert said.code == 0, said.err
    assert said.json()["n"] == 90
