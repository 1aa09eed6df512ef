"""Recorded trades in, exports out: real recordings, round trips, and files nobody should have made."""

import csv
import gzip
import io
import itertools
import json
import os
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market import EARLIEST_MS, Bars, Instrument, Tick, Timeframe, UnknownName, WrongUse, bars_from_rows, iso
from pairscope.feeds import binance
from pairscope.files import (
    BAR_HEADER,
    MAX_LINE,
    TICK_HEADER,
    BadLine,
    FileError,
    FileFormat,
    read_ticks,
    write_bars,
    write_ticks,
)

START_MS = 1_723_161_255_342
TICK = Tick("binance-spot", "BTCUSDT", 7, START_MS, 61837.63, 0.02, "sell")
ROW = "2024-08-08T23:54:15.342Z,binance-spot,BTCUSDT,7,61837.63,0.02,sell"


def saved(folder: Path, content: str | bytes, name: str = "trades") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **options: Any) -> tuple[list[Tick], list[BadLine]]:
    refused: list[BadLine] = []
    return list(read_ticks(path, on_reject=refused.append, **options)), refused


def whys(path: Path, **options: Any) -> list[tuple[int, str]]:
    return [(bad.line, bad.why) for bad in read(path, **options)[1]]


# ------------------------------------------------------------------------------------------------ recordings


def test_recorded_frames_are_read_with_the_venues_parser(shared_data: Path) -> None:
    ticks, refused = read(shared_data / "frames" / "hft_spot_btcusdt_20240808.gz", parse=binance.parse)
    assert [tick.trade_id for tick in ticks] == list(range(3735683259, 3735693016))
    assert refused == []


def test_the_insurance_funds_print_is_refused_in_frames_and_in_the_table(shared_data: Path) -> None:
    frames, table = "frames/tradeonly_usdm_btcusdt_202304.txt.gz", "ticks/usdm_btcusdt_202304_trades.csv.gz"
    from_frames, refused_frames = read(shared_data / frames, parse=partial(binance.parse, market="futures"))
    from_table, refused_rows = read(shared_data / table, venue="binance-futures-raw", symbol="BTCUSDT")
    assert [(bad.line, bad.why) for bad in refused_frames] == [(5049, "not a market trade: X is INSURANCE_FUND")]
    assert [(bad.line, bad.why) for bad in refused_rows] == [(5050, "not a market trade: 'INSURANCE_FUND'")]
    assert len(from_frames) == 12934
    assert from_frames == from_table


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_a_table_holds_the_same_trades_as_the_frames_it_was_made_of(shared_data: Path, symbol: str) -> None:
    frames, _ = read(shared_data / "frames" / f"hft_spot_{symbol.lower()}_20240808.gz", parse=binance.parse)
    table = shared_data / "ticks" / f"spot_{symbol.lower()}_trades.csv.gz"
    rows, refused = read(table, venue="binance-spot-raw", symbol=symbol)
    assert refused == []
    assert rows[: len(frames)] == frames
    assert len(rows) == {"BTCUSDT": 19904, "ETHUSDT": 14515}[symbol]


@pytest.mark.parametrize(
    ("name", "count"), [("cryptofeed_BINANCE.ws.1.0@202108.gz", 28), ("cryptofeed_BINANCE_FUTURES.ws.1.0.gz", 91)]
)
def test_cryptofeeds_recordings_are_frames_too(shared_data: Path, name: str, count: int) -> None:
    ticks, refused = read(shared_data / "frames" / name, parse=binance.parse)
    assert (len(ticks), refused) == (count, [])


def test_frames_without_a_trade_for_the_parser_are_not_passed_over_in_silence(shared_data: Path) -> None:
    path = shared_data / "frames" / "cryptofeed_COINBASE.ws.28.0.gz"
    why = "no frame of the file is a trade that this venue's parser knows"
    assert read(path, parse=binance.parse) == ([], [BadLine(str(path), 9950, why)])


# ------------------------------------------------------------------------------------------------ formats


def test_our_own_table_is_read(tmp_path: Path) -> None:
    assert read(saved(tmp_path, f"{TICK_HEADER}\n{ROW}\n")) == ([TICK], [])


def test_gzip_a_byte_order_mark_and_windows_line_ends_make_no_difference(tmp_path: Path) -> None:
    text = f"{TICK_HEADER}\r\n\r\n{ROW}\r\n".encode("utf-8-sig")
    assert read(saved(tmp_path, gzip.compress(text), "trades.csv")) == ([TICK], [])


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-08T23:54:15.342Z",
        "2024-08-08T23:54:15.342999999Z",
        "2024-08-08 23:54:15.342",
        "2024-08-09T01:54:15.342+02:00",
        "1723161255342",
        "1723161255342000",
        "1723161255342000000",
        "1723161255.342",
        "1723161255342.0",
        "1.723161255342e12",
    ],
)
def test_a_time_is_told_by_its_form_and_size(tmp_path: Path, text: str) -> None:
    assert read(saved(tmp_path, f"{TICK_HEADER}\n{ROW.replace(ROW[:24], text)}\n")) == ([TICK], [])


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "20240808", "0", "-5", "1e300", "9" * 30, "2140-01-01T00:00:00Z", "1969-12-31T23:00:00Z", "０"],
)
def test_what_is_no_time_is_refused(tmp_path: Path, text: str) -> None:
    ((line, why),) = whys(saved(tmp_path, f"{TICK_HEADER}\n{ROW.replace(ROW[:24], text)}\n"))
    assert line == 2
    assert why.startswith("time ")


def test_objects_are_read_one_a_line(tmp_path: Path) -> None:
    text = """
        {"symbol": "BTCUSDT", "ts": "2024-08-08T23:54:15.342Z", "price": 61837.63, "size": 0.02}
        {"symbol": "BTCUSDT", "time": 1723161255, "price": "61837.63", "qty": 1, "side": "buy", "more": [{}]}
    """
    ticks, refused = read(saved(tmp_path, text))
    assert refused == []
    assert [tick[:2] + tick[3:] for tick in ticks] == [
        ("import", "BTCUSDT", START_MS, 61837.63, 0.02, None),
        ("import", "BTCUSDT", 1723161255000, 61837.63, 1.0, "buy"),
    ]


def test_an_array_is_read_where_it_has_one_row_a_line(tmp_path: Path) -> None:
    row = json.dumps(dict(zip(TICK_HEADER.split(","), ROW.split(","), strict=True)))
    assert read(saved(tmp_path, f"[\n{row},\n{row}\n]\n")) == ([TICK, TICK], [])
    assert whys(saved(tmp_path, f"[{row}, {row}]")) == [(1, "not one JSON object")]


def test_the_side_can_be_told_by_the_maker(tmp_path: Path) -> None:
    text = "time,symbol,price,qty,is_buyer_maker\n" + "".join(f"{START_MS},A,1,1,{m}\n" for m in ("true", "False", ""))
    assert [tick.side for tick in read(saved(tmp_path, text))[0]] == ["sell", "buy", None]


def test_cells_may_be_quoted_or_spaced(tmp_path: Path) -> None:
    header = ", ".join(f'"{name}"' for name in TICK_HEADER.split(","))
    assert read(saved(tmp_path, header + "\n" + ROW.replace(",", ", ").replace("BTCUSDT", '"BTCUSDT"'))) == ([TICK], [])


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,price,qty,time", "does not say its venue and symbol: give it (--venue NAME --symbol NAME)"),
        ("id,symbol,price,qty,time", "does not say its venue: give it (--venue NAME)"),
        ("price,qty,time", "does not say its symbol: give it (--symbol NAME)"),
    ],
)
def test_a_name_that_is_missing_is_asked_for_at_once(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(WrongUse) as error:
        read_ticks(saved(tmp_path, f"{header}\n"), on_reject=print)
    assert message in str(error.value)


def test_frames_ask_for_their_parser(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="name their venue"):
        read_ticks(saved(tmp_path, '1723161255342000000 {"e":"trade"}'), on_reject=print)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"venue": "kraken"}, "the file says venue binance-spot, the call says kraken"),
        ({"symbol": "ETHUSDT"}, "the file says symbol BTCUSDT, the call says ETHUSDT"),
    ],
)
def test_a_trade_is_never_relabelled(tmp_path: Path, said: dict[str, str], why: str) -> None:
    assert whys(saved(tmp_path, f"{TICK_HEADER}\n{ROW}\n"), **said) == [(2, why)]


def test_the_venue_of_frames_is_what_their_parser_says_and_the_symbol_what_they_say(tmp_path: Path) -> None:
    spot = {"e": "trade", "s": "BTCUSDT", "t": 7, "p": "1", "q": "1", "T": START_MS, "m": True, "M": True}
    frames = saved(tmp_path, f"1723161255342000 {json.dumps(spot)}")
    assert read(frames, parse=binance.parse, venue="binance-spot")[0][0].venue == "binance-spot-raw"
    why = "the file says symbol BTCUSDT, the call says ETHUSDT"
    assert whys(frames, parse=binance.parse, symbol="ETHUSDT") == [(1, why)]


# ------------------------------------------------------------------------------------------------ made ids


def idless(folder: Path, *rows: str) -> list[int]:
    ticks, refused = read(saved(folder, "\n".join(["time,symbol,price,qty", *rows])))
    assert refused == []
    return [tick.trade_id for tick in ticks]


def test_made_ids_are_the_same_in_every_version(tmp_path: Path) -> None:
    """Golden values: if they change, importing a file again stores everything twice."""
    row = f"{START_MS},BTCUSDT,61837.63,0.02"
    assert idless(tmp_path, row, row) == [3613731072964039941, 3613731072964695451]


def test_made_ids_tell_identical_trades_apart_and_do_not_depend_on_how_numbers_are_written(tmp_path: Path) -> None:
    first, second, third = idless(tmp_path, f"{START_MS},A,1.50,2", f"{START_MS},A,1.5,2.0", f"{START_MS},A,2,1.5")
    assert len({first, second, third}) == 3
    assert idless(tmp_path, f"{iso(START_MS)},A,15e-1,2.000", f"{START_MS},A,2,1.5") == [first, third]


def test_made_ids_rise_with_time_and_fit_into_the_store(tmp_path: Path) -> None:
    times = [EARLIEST_MS, START_MS, START_MS + 1, 2**42 - 1]
    ids = idless(tmp_path, *(f"{time},A,1,1" for time in times))
    assert ids == sorted(set(ids))
    assert ids[-1] < 2**63


def test_made_ids_of_many_trades_in_one_millisecond_are_all_different(tmp_path: Path) -> None:
    rows = [f"{START_MS},A,{price},{qty}" for price in range(1, 101) for qty in range(1, 51)]
    ids = idless(tmp_path, *rows, *rows[:10])
    assert len(set(ids)) == 5010
    assert ids == idless(tmp_path, *rows, *rows[:10])


# ------------------------------------------------------------------------------------------------ broken files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (gzip.compress(b""), "is empty"),
        (b" \n\n", "holds no line of text"),
        (b"\x00\x01\x02", "is binary, not text"),
        (gzip.compress(b"PK\x03\x04rest"), "is a zip archive, not text"),
        (b"PAR1", "is a Parquet file, not text"),
        (b"SQLite format 3\0", "is an SQLite database, not text"),
        (b"\x1f\x8bno gzip at all", "cannot read"),
        (b"\xff\xfe\xfd\n", "has no time and no price and no qty in its first line"),
        (b"3735683259,61837.63,0.02,1723161255342\n", "has no time and no price and no qty in its first line"),
        (b"date,price,qty\n", "has no time in its first line 'date,price,qty'"),
        (b'{"e": "trade"}\n', "has no time and no price and no qty in its first line"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong_with_it(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FileError) as error:
        read_ticks(saved(tmp_path, content), on_reject=print)
    assert message in str(error.value)


def test_a_file_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="there is no file"):
        read_ticks(tmp_path / "none", on_reject=print)
    with pytest.raises(WrongUse, match="is not a file"):
        read_ticks(tmp_path, on_reject=print)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,2", "2 cells where the header has 7"),
        (ROW + ",x", "8 cells where the header has 7"),
        (ROW.replace("61837.63", "nan"), "price 'nan' is not a positive number"),
        (ROW.replace("61837.63", "1e999"), "price is not a positive number"),
        (ROW.replace("61837.63", "61.837,63"), "8 cells where the header has 7"),
        (ROW.replace("0.02", "0"), "quantity is not a positive number"),
        (ROW.replace("0.02", "-1"), "qty '-1' is not a positive number"),
        (ROW.replace(",7,", ",7.5,"), "trade id '7.5' is not an integer"),
        (ROW.replace(",7,", ",9223372036854775808,"), "trade id is not an integer from 0 to 2**63 - 1"),
        (ROW.replace("sell", "long"), "side 'long' is not known"),
        (ROW.replace("BTCUSDT", ""), "no symbol"),
        (ROW.replace("BTCUSDT", "B" * 65), f"symbol '{'B' * 40}' is not a name"),
        (ROW.replace("BTCUSDT", "B\0"), "symbol 'B\\x00' is not a name"),
        (ROW.replace("binance-spot", ""), "a trade id but no venue"),
        (ROW.replace("BTCUSDT", '"BTCUSDT'), "3 cells where the header has 7"),
    ],
)
def test_a_bad_row_is_refused_and_the_rest_is_read(tmp_path: Path, row: str, why: str) -> None:
    before = 2_000 if "\0" in row else 0  # at the beginning it would make the whole file binary
    ticks, refused = read(saved(tmp_path, f"{TICK_HEADER}\n" + f"{ROW}\n" * before + f"{row}\n{ROW}\n"))
    assert [bad.why for bad in refused] == [why]
    assert ticks[-1] == TICK


def test_a_line_that_is_too_long_or_no_text_is_refused(tmp_path: Path) -> None:
    long = b"9" * (3 * MAX_LINE)
    path = saved(tmp_path, f"{TICK_HEADER}\n{ROW}\n".encode() + long + b"\n\xff\n" + ROW.encode())
    ticks, refused = read(path)
    assert ticks == [TICK, TICK]
    assert [bad.line for bad in refused] == [3, 4]
    assert refused[0].why == "longer than 1,000,000 bytes"


def test_a_recording_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    rows = [ROW.replace(",7,", f",{key},") for key in range(5_000)]
    whole = gzip.compress("\n".join([TICK_HEADER, *rows]).encode())
    ticks, refused = read(saved(tmp_path, whole[: len(whole) // 2]))
    assert [tick.trade_id for tick in ticks] == list(range(len(ticks)))
    assert len(ticks) > 100
    ((line, why),) = [(bad.line, bad.why) for bad in refused]
    assert line > len(ticks)
    assert why.startswith("the file is damaged from here on")


def test_nested_objects_and_odd_values_are_refused(tmp_path: Path) -> None:
    good = '{"symbol":"A","time":1723161255342,"price":1,"qty":1}'
    deep = "[" * 1_000 + "]" * 1_000
    odd = [good.replace(":1}", f":{value}}}") for value in (deep, "true", "{}", "-1")]
    odd += [good.replace('"A"', deep), good.replace("1723161255342", deep), good[:-1] + f',"side":{deep}}}']
    odd += [good[:-1] + f',"trade_id":{value}}}' for value in ("1.5", deep)]
    odd += [good[:-1] + f',"exec_type":{deep}}}', "[]]", "5", "{" + good, "[" * 100_000]
    ticks, refused = read(saved(tmp_path, "\n".join([good, *odd])), venue="import")
    assert len(ticks) == 1
    assert [bad.line for bad in refused] == list(range(2, len(odd) + 2))


@settings(max_examples=300)
@given(
    content=st.binary() | st.text().map(str.encode),
    head=st.sampled_from(["", f"{TICK_HEADER}\n", "{", '1723161255 {"e":']),
)
@example(content=b"", head="1723161255 {")
def test_no_content_makes_reading_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes, head: str) -> None:
    path = saved(tmp_path_factory.getbasetemp(), head.encode() + content, "noise")
    try:
        ticks, refused = read(path, venue="v", symbol="s", parse=binance.parse)
    except (FileError, WrongUse) as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert len(ticks) + len(refused) <= content.count(b"\n") + head.count("\n") + 2


def test_reading_needs_memory_for_one_line_only(tmp_path: Path) -> None:
    path = saved(tmp_path, gzip.compress(f"{TICK_HEADER}\n".encode() + f"{ROW}\n".encode() * 15_000, 1))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_ticks(path, on_reject=print))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 15_000
    assert peak < 1_000_000


# ------------------------------------------------------------------------------------------------ exports

NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12) | st.sampled_from(
    ["=1+1", "'=1", "''@x", "-5", "'", "a,b", 'a"b', "a, b", '"', "币安人生USDT"]
)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False)
TICKS = st.builds(
    Tick,
    NAMES,
    NAMES,
    st.integers(0, 2**63 - 1),
    st.integers(EARLIEST_MS, 2**42 - 1),
    POSITIVE,
    POSITIVE,
    st.sampled_from(["buy", "sell", None]),
)


@settings(max_examples=150)
@given(ticks=st.lists(TICKS, max_size=5), file_format=st.sampled_from(["csv", "json"]))
@example(ticks=[TICK], file_format="csv")
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, ticks: list[Tick], file_format: Literal["csv", "json"]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round"
    assert write_ticks(path, ticks, file_format) == len(ticks)
    assert read(path) == (ticks, [])


def test_the_table_of_trades_is_as_documented() -> None:
    stream = io.BytesIO()
    write_ticks(stream, [TICK, TICK._replace(price=0.00001, qty=1e22, side=None)], "csv")
    assert stream.getvalue().decode() == (
        f"{TICK_HEADER}\n{ROW}\n2024-08-08T23:54:15.342Z,binance-spot,BTCUSDT,7,1e-05,1e+22,\n"
    )


def test_numpys_numbers_are_written_as_numbers() -> None:
    stream = io.BytesIO()
    write_ticks(stream, [TICK._replace(price=np.float64(2.5))], "csv")
    assert ",2.5," in stream.getvalue().decode()


def test_a_spreadsheet_takes_no_name_for_a_formula() -> None:
    stream = io.BytesIO()
    starts = ("=", "+", "-", "@", "\t", "\r", "\0", "\n")
    write_ticks(stream, [TICK._replace(symbol=f"{start}1") for start in starts], "csv")
    symbols = [row[2] for row in csv.reader(io.StringIO(stream.getvalue().decode(), newline=""))][1:]
    assert symbols == [f"'{start}1" for start in starts]


def some_bars() -> list[Bars]:
    ada = Instrument("kraken", "ADA/USD")
    rows = [
        (60_000 * key, 1.0, 2.0, 0.5, 1.5, 10.0, 15.0, buys, key + 1, key == 1, key == 1, key == 2)
        for key, buys in enumerate([4.0, float("nan"), 1.0])
    ]
    bars = bars_from_rows(ada, Timeframe.parse("1m"), rows)
    return [bars[:2], bars[2:]]


def test_the_table_of_bars_is_as_documented() -> None:
    stream = io.BytesIO()
    assert write_bars(stream, some_bars(), "csv", label="REPLAY") == 3
    assert stream.getvalue().decode().splitlines() == [
        BAR_HEADER,
        "1970-01-01T00:00:00.000Z,kraken,ADA/USD,1.0,2.0,0.5,1.5,10.0,1,15.0,4.0,trades,false,false,REPLAY",
        "1970-01-01T00:01:00.000Z,kraken,ADA/USD,1.0,2.0,0.5,1.5,10.0,2,15.0,,klines,true,false,REPLAY",
        "1970-01-01T00:02:00.000Z,kraken,ADA/USD,1.0,2.0,0.5,1.5,10.0,3,15.0,1.0,trades,false,true,REPLAY",
    ]


def test_json_bars_are_an_array_of_objects() -> None:
    stream = io.BytesIO()
    write_bars(stream, some_bars(), "json", label="LIVE")
    rows = json.loads(stream.getvalue())
    assert list(rows[0]) == BAR_HEADER.split(",")
    assert [row["buy_volume"] for row in rows] == [4.0, None, 1.0]
    assert [row["forming"] for row in rows] == [False, False, True]
    assert rows[1]["time"] == "1970-01-01T00:01:00.000Z"


def test_parquet_keeps_types_and_the_label() -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    write_bars(stream, some_bars(), "parquet", label="SIMULATED")
    table = parquet.read_table(stream)
    assert table.schema.names == BAR_HEADER.split(",")
    assert table.schema.field("time").type == pa.timestamp("ms", tz="UTC")
    assert table.schema.metadata[b"label"] == b"SIMULATED"
    assert table["buy_volume"].to_pylist() == [4.0, None, 1.0]
    assert table["gap"].to_pylist() == [False, True, False]


def test_parquet_trades_are_the_same_trades(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    ticks = [TICK, TICK._replace(trade_id=2**63 - 1, price=1e-9, side=None)]
    write_ticks(tmp_path / "t", ticks, "parquet")
    rows = parquet.read_table(tmp_path / "t").to_pylist()
    assert [tuple(row.values())[1:] for row in rows] == [tick[:3] + tick[4:] for tick in ticks]
    assert [int(row["time"].timestamp() * 1000) for row in rows] == [START_MS, START_MS]


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_an_export_of_nothing_is_a_whole_file(tmp_path: Path, file_format: FileFormat) -> None:
    assert write_ticks(tmp_path / "t", [], file_format) == 0
    assert write_bars(tmp_path / "b", [], file_format, label="LIVE") == 0
    if file_format != "parquet":
        assert read(tmp_path / "t") == ([], [])


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_an_export_that_breaks_leaves_what_was_there(tmp_path: Path, file_format: FileFormat) -> None:
    def broken() -> Iterator[Tick]:
        yield from itertools.repeat(TICK, 60_000)
        raise ZeroDivisionError

    path = saved(tmp_path, "the export before")
    with pytest.raises(ZeroDivisionError):
        write_ticks(path, broken(), file_format)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("trades", "the export before")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is always full")  # noqa: PTH110
def test_a_full_disk_is_told_as_such() -> None:
    with pytest.raises(FileError, match="cannot write /dev/full: No space left"):
        write_ticks(Path("/dev/full"), [TICK], "csv")


def test_a_place_that_cannot_be_written_is_wrong_use(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "out.csv", tmp_path):
        with pytest.raises(WrongUse, match="cannot write"):
            write_ticks(path, [TICK], "csv")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = saved(tmp_path, "old", "target"), tmp_path / "link"
    link.symlink_to(target)
    write_ticks(link, [TICK], "csv")
    assert link.is_symlink()
    assert read(target) == ([TICK], [])


def test_an_unknown_format_names_the_known_ones() -> None:
    stream: BinaryIO = io.BytesIO()
    with pytest.raises(UnknownName, match=r"did you mean parquet.*csv, json, parquet"):
        write_ticks(stream, [], "parket")  # type: ignore[arg-type]  # what a user may ask for


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_writing_needs_memory_for_one_chunk_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: FileFormat
) -> None:
    monkeypatch.setattr("pairscope.files.CHUNK", 1_000)
    write_ticks(tmp_path / "warm", [TICK], file_format)  # what the library keeps for itself does not count
    tracemalloc.start()
    try:
        write_ticks(tmp_path / "out", itertools.repeat(TICK, 20_000), file_format)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_an_object_with_two_values_of_one_name_is_refused(tmp_path: Path) -> None:
    good = f'{{"symbol": "A", "ts": {START_MS}, "price": 1.5, "size": 1}}'
    rows = [good, good.replace('"size"', '"price": 2.5, "size"'), good.replace('"size"', '"price" : 2.5, "size"')]
    path = saved(tmp_path, "\n".join(rows))
    assert whys(path) == [(2, "not one JSON object"), (3, "not one JSON object")]
