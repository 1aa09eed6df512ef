"""What several files, venues and lengths of bars have in common is told apart, asked for or refused; never mixed."""

import gzip
import json
import zipfile
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from market import Instrument, Tick, Timeframe, WrongUse
from pairscope.feeds import binance
from pairscope.files import AmbiguousFile, FileError, UploadOptions, nearest_name, read_upload, write_ticks
from pairscope.uploads.headers import symbol_of
from pairscope.uploads.upload import Limits, Settled
from tests.uploads.test_kinds import CSV, START, TRADES, trades, upload, zipped


def saved(folder: Path, **contents: str) -> list[Path]:
    """Write files of these names, ``.csv`` at their end."""
    paths = [folder / f"{name}.csv" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_text(content)
    return paths


def closes(step_ms: int, count: int = 9, first: int = 28_719_354 * 60_000) -> str:
    return "time,close,volume\n" + "".join(f"{first + step_ms * at},{at + 1.5},1\n" for at in range(count))


# ------------------------------------------------------------------------------- what is said of single files


class Named(BytesIO):
    """A file under the name that its owner gave it."""

    def __init__(self, name: str, content: str) -> None:
        super().__init__(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
        self.name = name


TICKS = "time,price,qty\n" + "".join(f"{START + 1000 * at},{at + 1.5},1\n" for at in range(3))


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_said_of_a_file_is_not_said_of_one_that_is_called_nearly_the_same(order: int) -> None:
    names = {"a.csv.gz": "ETHUSDT", "a.csv": "BTCUSDT", "a.csv.gz.csv": "DASHUSDT"}
    own = {name: UploadOptions(symbol=symbol) for name, symbol in list(names.items())[::order]}
    sources = [Named(name, TICKS.replace(",1.5", f",{100 + place}.5")) for place, name in enumerate(names)]
    ticks = read_upload(*sources, own=own).ticks
    assert ticks is not None
    found = {each.symbol: next(iter(ticks.of(each))).price for each in ticks.held}
    assert found == {"ETHUSDT": 100.5, "BTCUSDT": 101.5, "DASHUSDT": 102.5}


def test_what_is_asked_of_a_compressed_file_is_not_asked_of_another_that_is_called_like_its_content() -> None:
    sources = [Named("data.csv", TICKS), Named("data.csv.gz", TICKS)]
    with pytest.raises(AmbiguousFile) as asked:
        read_upload(*sources, own={"data.csv": UploadOptions(symbol="BTCUSDT")})
    assert (asked.value.file, asked.value.source, asked.value.option) == ("data.csv", "data.csv.gz", "symbol")


def test_the_nearest_name_is_the_same_then_the_compressed_one_then_the_longest_archive() -> None:
    names = ["z.zip", "a.csv.gz", "a.csv", "z.zip/in.zip", "b.csv.gz"]
    meant = ["a.csv", "a.csv.gz", "b.csv", "z.zip/x.csv", "z.zip/in.zip/x.csv", "none.csv", "z.zi"]
    found = ["a.csv", "a.csv.gz", "b.csv.gz", "z.zip", "z.zip/in.zip", None, None]
    assert [nearest_name(each, file) for file in meant for each in (names, names[::-1])] == [
        name for name in found for _ in range(2)
    ]


def test_a_bar_length_that_is_said_of_one_file_is_not_that_of_another() -> None:
    sources = [Named("BTCUSDT.csv", closes(86_400_000, 1)), Named("ETHUSDT.csv", closes(60_000))]
    read = read_upload(*sources, own={"BTCUSDT.csv": UploadOptions(timeframe="1d")})
    assert {name: str(bars.timeframe) for name, bars in read.bars.items()} == {"BTCUSDT": "1d", "ETHUSDT": "1m"}


def test_one_bar_alone_of_which_nothing_is_said_is_asked_about_by_its_name() -> None:
    sources = [Named("BTCUSDT.csv", closes(86_400_000, 1)), Named("ETHUSDT.csv", closes(60_000, 1))]
    with pytest.raises(AmbiguousFile, match="one bar only") as asked:
        read_upload(*sources, own={"BTCUSDT.csv": UploadOptions(timeframe="1d")})
    assert (asked.value.file, asked.value.option) == ("ETHUSDT.csv", "timeframe")


def test_two_lengths_that_are_said_of_one_symbol_are_refused() -> None:
    sources = [Named(name, closes(60_000, 2)) for name in ("ETHUSDT-a.csv", "ETHUSDT-b.csv")]
    own = {"ETHUSDT-a.csv": UploadOptions(timeframe="1m"), "ETHUSDT-b.csv": UploadOptions(timeframe="5m")}
    said = {name: replace(each, symbol="ETHUSDT") for name, each in own.items()}
    with pytest.raises(WrongUse, match=r"60 s long, and ETHUSDT-b\.csv some of 300 s"):
        read_upload(*sources, own=said)


def test_a_venue_that_is_said_of_one_file_reads_the_frames_of_that_one_alone() -> None:
    parse_own = partial(partial, binance.parse)  # takes the venue as a market would be
    own = {"a.jsonl": UploadOptions(venue="binance-futures"), "b.jsonl": UploadOptions(symbol="ETHUSDT")}
    settled = Settled(UploadOptions(), 0, Limits(), parse=binance.parse, own=own, parse_own=parse_own)
    assert settled.of("b.jsonl", "b.jsonl").parse is settled.of("c.jsonl", "c.jsonl").parse is binance.parse
    read = settled.of("a.jsonl", "a.jsonl").parse
    assert isinstance(read, partial)
    assert read.args == ("binance-futures",)


# ------------------------------------------------------------------------------------------------ overlaps


def test_trades_without_ids_that_two_files_share_are_counted_once(tmp_path: Path) -> None:
    rows = [f"{START + 1000 * at},{at + 1.5},1\n" for at in range(6)]
    twice = [rows[3]] * 2  # two trades of one price and moment
    head = "time,price,qty\n"
    first, second = head + "".join(rows[:3] + twice), head + "".join([*twice, rows[4], rows[5]])
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = saved(tmp_path / "a", BTCUSDT=first) + saved(tmp_path / "b", BTCUSDT=second)
    read = read_upload(*paths)
    assert [price for _, price, _ in trades(read)] == [1.5, 2.5, 3.5, 4.5, 4.5, 5.5, 6.5]
    assert read.duplicates == 2
    assert read.ticks is not None
    whole = upload(head + "".join(rows[:3] + twice + rows[4:])).ticks
    assert whole is not None
    assert list(read.ticks) == list(whole)


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, BTCUSDT=CSV)
    (tmp_path / "link.csv").symlink_to(path)
    read = read_upload(path, str(path), tmp_path / "link.csv")
    assert (trades(read), read.rows, read.duplicates) == (TRADES, 3, 0)
    assert any("was given twice" in sentence for sentence in read.report)


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTCUSDT_240329-1m-2025-01.csv", "BTCUSDT_240329"),
        ("BTCUSDT_240628-1m-2025-01.csv.gz", "BTCUSDT_240628"),
        ("BTCUSDT_PERP-trades-2025-01-02.zip", "BTCUSDT_PERP"),
        ("BTC-USDT-SWAP.csv", "BTC-USDT-SWAP"),
        ("1000SHIBUSDT-aggTrades-2025-01.csv", "1000SHIBUSDT"),
        ("BTCUSDT-1m-2025-01.csv", "BTCUSDT"),
        ("20180404_btcusd_minute_trade.csv", "BTCUSD"),
        ("hft_2024-08-08_eth-usd_spot.csv", None),
        ("eth-usd_spot_20240808.csv", "ETH-USD"),
        ("btcusdt_202304.csv", "BTCUSDT"),
        ("BTCUSDT (1).csv", "BTCUSDT"),
        ("ETHUSDT_1h_2024-01-01_2024-06-30.csv", "ETHUSDT"),
        ("600519.SS.csv", None),
        ("BTCUSDT_7.csv", None),
        ("BTCUSDT_ETHUSDT.csv", None),
        ("trades.csv", None),
    ],
)
def test_a_files_name_tells_the_whole_symbol_or_none(name: str, symbol: str | None) -> None:
    assert symbol_of(name) == symbol


def test_files_of_two_markets_that_tell_one_symbol_are_asked_for(tmp_path: Path) -> None:
    for folder in ("spot", "um"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ETHUSDT.csv").write_text(CSV)
    with pytest.raises(AmbiguousFile, match="two markets"):
        read_upload(tmp_path / "spot" / "ETHUSDT.csv", tmp_path / "um" / "ETHUSDT.csv")
    paths = saved(tmp_path, spot_BTCUSDT=CSV, perp_BTCUSDT=CSV)
    with pytest.raises(AmbiguousFile, match="two markets") as error:
        read_upload(*paths)
    assert error.value.option == "symbol"
    assert read_upload(*paths, options=UploadOptions(symbol="BTCUSDT")).symbols == ("BTCUSDT",)


# ------------------------------------------------------------------------------------------------ venues

TWO_VENUES = "time,venue,symbol,id,price,qty\n" + "".join(
    f"{START},{venue},BTCUSDT,{number},{number + 0.5},1\n" for number, venue in enumerate(("kraken", "coinbase"), 1)
)


def test_a_symbol_of_two_venues_is_named_with_its_venue() -> None:
    read = upload(TWO_VENUES)
    assert read.symbols == ("kraken:BTCUSDT", "coinbase:BTCUSDT")
    with pytest.raises(WrongUse, match="kraken:BTCUSDT, coinbase:BTCUSDT"):
        read.leg("BTCUSDT")
    assert [read.leg(f"{venue}:btcusdt").close.tolist() for venue in ("kraken", "coinbase")] == [[1.5], [2.5]]


def test_files_without_a_venue_are_those_of_import() -> None:
    assert upload(CSV).leg("import:BTCUSDT").instrument == Instrument("import", "BTCUSDT")


def test_trades_of_a_venue_without_ids_are_told_by_their_line() -> None:
    read = upload(f"time,venue,price,qty,symbol,id\n{START},kraken,1,1,A,5\n{START},kraken,2,1,A,\n")
    assert [(each.line, str(each.instrument)) for each in read.made_ids] == [(3, "kraken:A")]
    assert upload(CSV).made_ids == ()
    assert upload(TWO_VENUES.replace("coinbase", "kraken"), venue="import").ticks is not None


def test_a_dump_of_single_trades_is_not_of_the_venue_of_aggregates() -> None:
    rows = "".join(f"{n},{p},{q},1,{t},true\n" for n, (t, p, q) in enumerate(TRADES))
    read = upload(rows, venue="binance-spot")
    assert read.instruments == (Instrument("binance-spot-raw", "BTCUSDT"),)
    assert any("binance-spot-raw" in note for note in read.report)
    rows = "".join(f"{n},{p},{q},1,1,{t},true\n" for n, (t, p, q) in enumerate(TRADES))
    assert upload(rows, venue="binance-spot").instruments == (Instrument("binance-spot", "BTCUSDT"),)


def test_a_file_that_says_it_is_simulated_or_replayed_keeps_saying_so(tmp_path: Path) -> None:
    ticks = [Tick("kraken", "A", 1, START, 1.5, 1.0, None), Tick("simulated", "B", 1, START, 1.5, 1.0, None)]
    write_ticks(tmp_path / "t.parquet", ticks, "parquet", label="REPLAY")
    write_ticks(tmp_path / "t.csv", ticks, "csv")
    kraken, simulated = (tick.instrument for tick in ticks)
    assert read_upload(tmp_path / "t.parquet").label(kraken) == "REPLAY"
    assert read_upload(tmp_path / "t.csv").label(kraken) == "FILE"
    assert read_upload(tmp_path / "t.csv").label(kraken, simulated) == "SIMULATED"


# ------------------------------------------------------------------------------------------------ bars


def test_bars_off_the_grid_stay_where_they_are() -> None:
    first = 1_704_069_000_000  # half past
    read = upload(closes(3_600_000, first=first))
    assert "9 bars of 1h, of which 9 do not begin at a whole 1h (left where they are)" in read.report[-1]
    assert read.leg("BTCUSDT", Timeframe.parse("1h")).time[0] == first
    with pytest.raises(WrongUse, match="not be put together into 4h bars"):
        read.leg("BTCUSDT", Timeframe.parse("4h"))


def test_bars_of_two_lengths_of_one_symbol_are_refused_by_their_files(tmp_path: Path) -> None:
    paths = saved(tmp_path, **{"SS-1m": closes(60_000, 99), "SS-5m": closes(300_000)})
    with pytest.raises(WrongUse, match=r"SS-1m\.csv has bars of SS that are 60 s long, and .*SS-5m\.csv some of 300 s"):
        read_upload(*paths)
    with_a_hole = closes(120_000, 2, first=28_819_354 * 60_000)
    bars = read_upload(paths[0], *saved(tmp_path, **{"SS-sample": with_a_hole})).bars["SS"]
    assert (len(bars), str(bars.timeframe)) == (101, "1m")


def test_bars_and_trades_of_one_symbol_are_not_read_together(tmp_path: Path) -> None:
    paths = saved(tmp_path, **{"BTCUSDT-1m": closes(60_000), "BTCUSDT-trades": CSV})
    with pytest.raises(WrongUse, match="give one of them at a time"):
        read_upload(*paths)


@pytest.mark.parametrize(
    "header", ["Date,Price,Open,High,Low,Vol.", "Date,Open,High,Low,Price,Volume", "Date,Open,High,Low,Close,Volume"]
)
def test_a_price_beside_open_high_and_low_is_the_close(header: str) -> None:
    prices = {"Open": 2.0, "High": 4.0, "Low": 1.0, "Price": 3.0, "Close": 3.0, "Vol.": 7.0, "Volume": 7.0}
    days = ("2024-01-02", "2024-01-03", "2024-01-04")
    rows = [",".join([day, *(str(prices[name]) for name in header.split(",")[1:])]) for day in days]
    read = upload("\n".join([header, *rows]))
    bars = read.bars["BTCUSDT"]
    assert [tuple(bar)[1:6] for bar in bars] == [(2.0, 4.0, 1.0, 3.0, 7.0)] * 3
    assert ("is taken for the close" in " ".join(read.report)) is ("Price" in header)


# ------------------------------------------------------------------------------------------------ cells


def test_times_that_a_spreadsheet_has_shortened_are_refused() -> None:
    rows = "".join(f"1.70407E+12,{at + 1.5},1\n" for at in range(4))
    read = upload(f"time,price,qty\n{rows}1.704067200000E+12,9.5,1\n")
    assert read.ticks is not None
    assert list(zip(read.ticks.time.tolist(), read.ticks.price.tolist(), strict=True)) == [(1_704_067_200_000, 9.5)]
    assert read.rejected_counts == {"a time in scientific notation that has lost its last digits": 4}


@pytest.mark.parametrize("whole", [False, True])
def test_an_object_for_a_symbol_and_a_name_that_comes_twice_are_refused(whole: bool) -> None:
    good = json.dumps({"symbol": "A", "ts": START, "price": 1.5, "size": 1})
    rows = [
        good,
        good.replace('"A"', '{"base": "A"}'),
        good.replace('"size": 1', '"size": 1, "price": 2.5'),
        good.replace('"A"', '"a\\":b"'),
    ]
    read = upload(f"[{', '.join(rows)}]" if whole else "\n".join(rows))
    assert [(bad.line, bad.rule) for bad in read.rejected] == [(2, "not a name"), (3, "a name comes twice in it")]
    assert read.ticks is not None
    assert [tick.symbol for tick in read.ticks] == ["A", 'A":B']


def test_pandas_index_without_a_name_is_the_time(tmp_path: Path) -> None:
    index = pd.date_range("2024-01-01", periods=3, freq="1min")
    pd.DataFrame({"close": [1.5, 2.5, 3.5]}, index=index).to_parquet(tmp_path / "BTCUSDT.parquet")
    bars = read_upload(tmp_path / "BTCUSDT.parquet").bars["BTCUSDT"]
    assert (bars.time[0], bars.close.tolist()) == (1_704_067_200_000, [1.5, 2.5, 3.5])


def test_what_is_no_data_in_an_archive_is_passed_over_and_said(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (("README", "x"), ("a.CHECKSUM", "x"), ("about.txt", "prices\n"), ("BTCUSDT.csv", CSV)):
            archive.writestr(name, content)
    read = read_upload(path)
    assert trades(read) == TRADES
    assert [note.split()[0].rsplit("/")[-1] for note in read.notes[:3]] == ["README", "a.CHECKSUM", "about.txt"]
    with pytest.raises(FileError, match="without a file in it"):
        upload(zipped(x="").replace(b"x.csv", b"x.pdf"), "all.zip")


def test_a_column_of_many_wrong_symbols_is_refused_row_by_row() -> None:
    """Each of them was once looked for in all rows."""
    rows = "".join(f"{START},{'x' * 65}{at},1.5,1\n" for at in range(60_000))
    read = upload(f"time,symbol,price,qty\n{rows}")
    assert read.rejected_counts == {"not a name": 60_000}


# ------------------------------------------------------------------------------------------------ stores


def test_the_lock_of_an_owner_is_told_by_what_is_in_it(tmp_path: Path) -> None:
    (path,) = saved(tmp_path, BTCUSDT=CSV)
    lock = tmp_path / "BTCUSDT.csv.lock"
    for foreign in ("", "4711", '{"pid": 4711}'):
        lock.write_text(foreign)
        assert trades(read_upload(path)) == TRADES
    lock.write_text(json.dumps({"pid": 4711, "address": None, "token": "x"}))
    (tmp_path / "other.csv").symlink_to(path)
    for name in (path, tmp_path / "other.csv"):
        with pytest.raises(WrongUse, match="a store of Pairscope's"):
            read_upload(name)


def test_nothing_is_told_with_the_most_frequent_reason() -> None:
    assert upload("time,price,qty\n").nothing == "BTCUSDT.csv holds no row"
    rows = [f"{START},x,1\n"] * 3 + [f"{START},-1,1\n"]
    assert upload("time,price,qty\n" + "".join(rows)).nothing == "4 of 4 rows rejected: not a number"
    assert upload(CSV).nothing == ""
    assert np.isfinite(upload(CSV).leg("BTCUSDT").close).all()
