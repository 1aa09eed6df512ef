"""Every kind of file becomes the same trades or bars, whatever it is wrapped in."""

import gzip
import io
import json
import sqlite3
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from market import Instrument, Side, Tick, Timeframe, UnknownName, WrongUse, bars_from_rows
from pairscope.feeds import binance
from pairscope.files import (
    AmbiguousFile,
    FileError,
    FileFormat,
    Upload,
    UploadOptions,
    read_ticks,
    read_upload,
    write_bars,
    write_ticks,
)

START = 1_723_161_255_000
TRADES = [(START, 61837.63, 0.02), (START + 5, 61837.64, 0.5), (START + 1000, 61830.0, 1.0)]
ROWS = "".join(f"{time},{price},{qty}\n" for time, price, qty in TRADES)
CSV = f"time,price,qty\n{ROWS}"


def upload(content: str | bytes, name: str = "BTCUSDT.csv", **options: Any) -> Upload:
    data = content if isinstance(content, bytes) else content.encode()
    return read_upload(data, name=name, options=UploadOptions(**options))


def trades(read: Upload) -> list[tuple[int, float, float]]:
    assert read.ticks is not None
    assert read.rejected == ()
    return [(tick.time_ms, tick.price, tick.qty) for tick in read.ticks]


# ------------------------------------------------------------------------------------------------ trades


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (CSV, "ticks"),
        (f"# made by hand\nsep=,\n\n{CSV}", "ticks"),
        (CSV.replace("time,price,qty", "Timestamp,PRICE,Amount"), "ticks"),
        ("".join(f"{n},{p},{q},1,1,{t},True,True\n" for n, (t, p, q) in enumerate(TRADES)), "agg_trades"),
        ("".join(f"{n},{p},{q},1,1,{t},true\n" for n, (t, p, q) in enumerate(TRADES)), "agg_trades"),
        ("".join(f"{n},{p},{q},1,{t}000,True,True\n" for n, (t, p, q) in enumerate(TRADES)), "trades"),
        ("".join(f"{n},{p},{q},1,{t},false\n" for n, (t, p, q) in enumerate(TRADES)), "trades"),
        (
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
            + "".join(f"{n},{p},{q},1,1,{t},true\n" for n, (t, p, q) in enumerate(TRADES)),
            "agg_trades",
        ),
        (
            "id,price,qty,quote_qty,time,is_buyer_maker\n"
            + "".join(f"{n},{p},{q},1,{t},true\n" for n, (t, p, q) in enumerate(TRADES)),
            "trades",
        ),
        (
            "".join(json.dumps({"symbol": "btcusdt", "ts": t, "price": p, "size": q}) + "\n" for t, p, q in TRADES),
            "ticks",
        ),
        (json.dumps([{"symbol": "BTCUSDT", "ts": t, "price": str(p), "size": q} for t, p, q in TRADES]), "ticks"),
        (json.dumps([{"ts": t, "price": p, "size": q} for t, p, q in TRADES], indent=2), "ticks"),
    ],
)
def test_trades_of_every_kind_are_the_same_trades(text: str, kind: str) -> None:
    read = upload(text, "BTCUSDT-trades-2024-08.csv")
    assert trades(read) == TRADES
    assert (read.kind, read.symbols) == (kind, ("BTCUSDT",))


def test_numbers_of_machines_have_a_point_and_no_marks_of_thousands() -> None:
    rows = "".join(json.dumps({"ts": START, "price": price, "size": 1}) + "\n" for price in (1.234, "1.234", "1,234"))
    for decimal in (None, ",", "."):
        read = upload(rows, decimal=decimal)
        assert read.ticks is not None
        assert read.ticks.price.tolist() == [1.234, 1.234]
        assert [(bad.line, bad.value, bad.rule) for bad in read.rejected] == [(3, "1,234", "not a number")]


def test_a_column_that_only_sounds_like_one_of_ours_refuses_no_row() -> None:
    text = "time,close,source,gap\n" + "".join(f"{START + 60_000 * at},1.5,binance,0.25\n" for at in range(3))
    read = upload(text)
    assert (len(read.bars["BTCUSDT"]), read.rejected, read.files[0].unused) == (3, (), ("source", "gap"))


def test_the_taker_sold_where_the_buyer_was_the_maker() -> None:
    read = upload("id,price,qty,time,is_buyer_maker\n" + "".join(f"1,1,1,{START},{m}\n" for m in ("True", "false", "")))
    assert read.ticks is not None
    assert [tick.side for tick in read.ticks] == ["sell"]  # one id, and the others contradict it
    assert [bad.line for bad in read.rejected] == [3, 4]


def test_ids_are_kept_only_where_it_is_known_whose_they_are() -> None:
    text = "id,price,qty,time\n" + "".join(f"{n},{p},{q},{t}\n" for n, (t, p, q) in enumerate(TRADES))
    kept, made = upload(text, venue="kraken").ticks, upload(text).ticks
    assert kept is not None
    assert made is not None
    assert (kept.instruments, kept.trade_id.tolist()) == ((Instrument("kraken", "BTCUSDT"),), [0, 1, 2])
    assert made.instruments == (Instrument("import", "BTCUSDT"),)
    assert made.trade_id.min() > 10**18


def test_made_ids_are_those_of_a_replay_of_the_same_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = [
        f"{START + 1000 * at},{symbol},{price},{qty}\n"
        for at, symbol, price, qty in zip(
            np.sort(rng.integers(0, 4, 9_000)), rng.choice(["A", "BTC"], 9_000), rng.integers(1, 90, 9_000),
            rng.integers(1, 9, 9_000), strict=True,
        )
    ]  # fmt: skip
    path = tmp_path / "t.csv"
    path.write_text("time,symbol,price,qty\n" + "".join(rows))
    read = read_upload(path).ticks
    assert read is not None
    assert list(read) == list(read_ticks(path, on_reject=print))


def test_recordings_are_read_like_a_replay(shared_data: Path) -> None:
    name, parse = "tradeonly_usdm_btcusdt_202304.txt.gz", partial(binance.parse, market="futures")
    read = read_upload(shared_data / "frames" / name, parse=parse)
    assert read.ticks is not None
    assert read.kind == "frames"
    assert list(read.ticks) == list(read_ticks(shared_data / "frames" / name, on_reject=lambda bad: None, parse=parse))
    assert [(bad.line, bad.rule) for bad in read.rejected] == [(5049, "not a market trade: X is INSURANCE_FUND")]
    with pytest.raises(AmbiguousFile, match="venue"):
        read_upload(shared_data / "frames" / name)


def test_recorded_tables_are_read_like_a_replay(shared_data: Path) -> None:
    path, venue = shared_data / "ticks" / "spot_btcusdt_trades.csv.gz", "binance-spot-raw"
    read = read_upload(path, options=UploadOptions(venue=venue))
    assert read.ticks is not None
    rows = list(read_ticks(path, on_reject=print, venue=venue, symbol="BTCUSDT"))
    assert list(read.ticks) == sorted(rows, key=lambda tick: tick.time_ms)


# ------------------------------------------------------------------------------------------------ bars


def test_bars_of_every_kind_are_the_same_bars() -> None:
    bars = [(START - START % 60_000 + 60_000 * at, 1.5 + at, 3.5 + at, 1.25, 2.5 + at, 10.0 * at) for at in range(5)]
    header = "timestamp,symbol,open,high,low,close,volume\n"
    long = header + "".join(f"{t},ethusdt,{o},{h},{low},{c},{v}\n" for t, o, h, low, c, v in bars)
    single = "Open Time,Open,High,Low,Close,Volume\n" + "".join(f"{','.join(map(str, row))}\n" for row in bars)
    klines = "".join(f"{','.join(map(str, row))},{row[0] + 59_999},1,2,3,4,0\n" for row in bars)
    for text, kind in ((long, "ohlc_long"), (single, "ohlc_single"), (klines, "klines")):
        read = upload(text, "ETHUSDT_1m.csv")
        made = read.bars["ETHUSDT"]
        assert (read.kind, str(made.timeframe), read.rejected) == (kind, "1m", ())
        assert [tuple(bar)[:6] for bar in made] == bars


def test_a_step_that_is_not_the_common_one_is_said() -> None:
    read = upload(
        "time,close\n" + "".join(f"{28_719_354 * 60_000 + 1000 * at},1.5\n" for at in (0, 60, 120, 240, 300, 310))
    )
    shifted = "of which 1 do not begin at a whole 1m (left where they are)"
    assert f"BTCUSDT: 6 bars of 1m, {shifted}, irregular: 1 of 5 steps are no multiple of it." in read.report
    with pytest.raises(FileError, match="whole number of seconds"):
        upload("time,close\n" + "".join(f"{START + 250 * at},1.5\n" for at in range(4)))


def test_published_closes_are_read_as_they_are(shared_data: Path) -> None:
    read = read_upload(shared_data / "published" / "arbitragelab_ANZ-ADB.csv")
    anz, adb = read.bars["ANZ"], read.bars[read.find("adb")]
    assert (read.kind, len(anz), str(anz.timeframe), read.rejected) == ("wide_closes", 421, "1d", ())
    assert np.count_nonzero(anz.time < 1_009_843_200_000) == 253  # before 2002, as published
    assert (anz.close[0], adb.close[0], anz.close[1]) == (14.0189112, 5.23, 14.039952)


@pytest.mark.parametrize("name", ["LOW", "Gap", "size"])
def test_a_symbol_that_is_named_like_a_field_is_asked_for(name: str) -> None:
    text = f"Date,{name},C,V\n2024-01-01,1,2,3\n2024-01-02,1,2,3\n"
    with pytest.raises(AmbiguousFile) as error:
        upload(text)
    assert (error.value.option, error.value.choices) == ("kind", ("wide_closes",))
    assert upload(text, kind="wide_closes").symbols == (name.upper(), "C", "V")
    assert upload(text.replace(name, "A")).symbols == ("A", "C", "V")


def test_leans_archives_of_several_days_are_one(shared_data: Path) -> None:
    read = read_upload(*sorted((shared_data / "bars").glob("*btcusd*.zip")))
    bars = read.bars["BTCUSD"]
    assert len(bars) == 1007 + 1440 + 1440
    assert (bars.time[0], bars.open[0], bars.volume[0]) == (1_522_800_000_000, 7424.91, 7.14319709)
    assert (np.diff(bars.time) > 0).all()


def test_a_symbol_is_found_in_any_letter_case_or_with_a_hint() -> None:
    read = upload("Date,ANZ,ADB\n2024-01-01,1,2\n2024-01-02,1,2\n")
    assert read.find("anz") == "ANZ"
    with pytest.raises(UnknownName, match="did you mean ANZ"):
        read.find("ANZZ")


def test_trades_make_bars() -> None:
    read = upload(CSV).ticks
    assert read is not None
    bars = read.bars(read.instruments[0], Timeframe.parse("1s"))
    assert [(bar.open, bar.high, bar.low, bar.close, bar.trades) for bar in bars] == [
        (61837.63, 61837.64, 61837.63, 61837.64, 2),
        (61830.0, 61830.0, 61830.0, 61830.0, 1),
    ]


# ------------------------------------------------------------------------------------------------ wrappings


def zipped(**members: str | bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.csv", content)
    return stream.getvalue()


def test_gzip_zip_streams_and_paths_make_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(CSV)
    packed = gzip.compress(CSV.encode())
    with path.open("rb") as stream:
        for source in (path, str(path), CSV.encode(), packed, zipped(BTCUSDT=CSV), io.BytesIO(packed), stream):
            assert trades(read_upload(source, name="BTCUSDT.csv.gz")) == TRADES


def test_a_stream_that_cannot_go_back_is_read_too() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for content in (CSV.encode(), gzip.compress(CSV.encode()), zipped(BTCUSDT=CSV)):
        assert trades(read_upload(Pipe(content), name="BTCUSDT.csv")) == TRADES


def test_the_files_of_an_archive_are_read_as_one() -> None:
    read = upload(zipped(BTCUSDT=CSV, ETHUSDT=CSV, closes="Date,A\n2024-01-01,1\n2024-01-02,2\n"), "all.zip")
    assert (read.kind, read.symbols) == ("several", ("A", "BTCUSDT", "ETHUSDT"))
    assert [reading.file for reading in read.files] == [
        "all.zip/BTCUSDT.csv",
        "all.zip/ETHUSDT.csv",
        "all.zip/closes.csv",
    ]


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    moments = pa.array([time * 10**6 for time, _, _ in TRADES], pa.timestamp("ns", tz="Europe/Berlin"))
    columns = {"Time": moments, "price": [p for _, p, _ in TRADES], "size": [q for _, _, q in TRADES]}
    parquet.write_table(pa.table(columns | {"symbol": ["btcusdt"] * 3}), tmp_path / "renamed.csv")
    read = read_upload(tmp_path / "renamed.csv")
    assert (trades(read), read.symbols) == (TRADES, ("BTCUSDT",))
    assert trades(read_upload(zipped(x=(tmp_path / "renamed.csv").read_bytes()))) == TRADES


# ------------------------------------------------------------------------------------------------ databases


def database(path: Path, *statements: str) -> Path:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()
    return path


def test_a_database_of_another_dashboard_is_read_and_not_touched(tmp_path: Path) -> None:
    path = database(
        tmp_path / "desk.db",
        "CREATE TABLE Ticks (id INTEGER PRIMARY KEY, symbol TEXT, ts TEXT, price REAL, size REAL)",
        *(f"INSERT INTO Ticks (symbol, ts, price, size) VALUES ('btcusdt', {t}, {p}, {q})" for t, p, q in TRADES),
        f"INSERT INTO Ticks (symbol, ts, price, size) VALUES ('btcusdt', {START}, 'x', NULL)",
    )
    before = path.read_bytes()
    read = read_upload(path)
    assert [(bad.line, bad.column, bad.rule) for bad in read.rejected] == [(4, "price", "not a number")]
    assert read.ticks is not None
    assert [(tick.time_ms, tick.price, tick.qty) for tick in read.ticks] == TRADES
    assert [entry.name for entry in tmp_path.iterdir()] == ["desk.db"]
    assert path.read_bytes() == before
    assert len(read_upload(before, name="upload.db").ticks or ()) == 3


def test_a_database_without_trades_or_of_ours_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"no table of trades .* its tables: users"):
        read_upload(database(tmp_path / "a.db", "CREATE TABLE users (x)"))
    ours = (f"CREATE TABLE {name} (x)" for name in ("symbols", "ticks", "bars_1s", "migrations"))
    with pytest.raises(WrongUse, match="a store of Pairscope's"):
        read_upload(database(tmp_path / "b.db", *ours))
    with pytest.raises(FileError, match="database"):
        read_upload(b"SQLite format 3\0" + b"\xff" * 5_000)


# ------------------------------------------------------------------------------------------------ our exports


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_exported_trades_are_read_again(file_format: FileFormat) -> None:
    ticks = [
        Tick(venue, symbol, 7 + at, START + at, 61837.63 + at, 1e-9, cast(Side, side))
        for at, (venue, symbol, side) in enumerate(
            [("binance-spot", "BTCUSDT", "buy"), ("kraken", "=A,1", None), ("import", "'-x", "sell"), ("k", "ab", None)]
        )
    ]
    stream = io.BytesIO()
    write_ticks(stream, ticks, file_format)
    read = read_upload(stream.getvalue(), name="export")
    assert read.ticks is not None
    assert (list(read.ticks), read.rejected) == (ticks, ())


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_exported_bars_are_read_again(file_format: FileFormat) -> None:
    rows = [
        (60_000 * key, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, buys, key + 1, key == 1, key == 1, key == 3)
        for key, buys in enumerate([4.0, float("nan"), 1.0, 2.0])
    ]
    bars = bars_from_rows(Instrument("kraken", "ADA/USD"), Timeframe.parse("1m"), rows)
    stream = io.BytesIO()
    write_bars(stream, [bars], file_format, label="REPLAY")
    read = read_upload(stream.getvalue(), name="export")
    again, bars = read.bars["ADA/USD"], bars[:3]
    assert "1 bars that were not over yet (forming) were left out." in read.report
    assert read.label(bars.instrument) == "REPLAY"
    assert (again.instrument, again.timeframe, read.rejected) == (bars.instrument, bars.timeframe, ())
    for name, column in bars.columns().items():
        np.testing.assert_array_equal(again.columns()[name], column)
        assert again.columns()[name].dtype == column.dtype
