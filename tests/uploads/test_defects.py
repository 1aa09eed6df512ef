"""Each defect of a row is reported with its line, column, value and rule, and the rest of the file is read."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairscope.files import Limits, Upload, UploadOptions, read_upload

START = 1_723_161_255_000


def upload(content: str | bytes, *, latest_ms: int = 2**42, limits: Limits | None = None, **options: Any) -> Upload:
    data = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
    said = UploadOptions(**{"symbol": "ETHUSDT", **options})
    return read_upload(data, name="file.csv", options=said, latest_ms=latest_ms, limits=limits)


TRADE_DEFECTS = [
    ("{t},,1,buy", "price", "", "blank"),
    ("{t},abc,1,buy", "price", "abc", "not a number"),
    ("{t},1_000.5,1,buy", "price", "1_000.5", "not a number"),
    ("{t},１,1,buy", "price", "１", "not a number"),
    ("{t},0x10,1,buy", "price", "0x10", "not a number"),
    ("{t},1,inf,buy", "qty", "inf", "infinite"),
    ("{t},1,1e999,buy", "qty", "1e999", "infinite"),
    ("{t},NaN,1,buy", "price", "NaN", "not a number (nan)"),
    ("{t},null,1,buy", "price", "null", "not a number (nan)"),
    ("{t},-1.5,1,buy", "price", "-1.5", "not positive"),
    ("{t},1,0,buy", "qty", "0", "not positive"),
    (",1,1,buy", "time", "", "blank"),
    ("soon,1,1,buy", "time", "soon", "not a time"),
    ("1,1,1,buy", "time", "1", "not a time"),
    ("4000000000000,1,1,buy", "time", "4000000000000", "in the future"),
    ("1985-01-01,1,1,buy", "time", "1985-01-01", "a time before 1990"),
    ("{t},1,1,long", "side", "long", "neither buy nor sell"),
    ("{t},1,1", "", "", "3 cells where the header has 4"),
    ("{t},1,1,buy,", "", "", "5 cells where the header has 4"),
    ("0,{t},1,1,buy", "", "", "5 cells where the header has 4"),
    ('{t},"1,1,buy', "", "", "an unclosed quote"),
    ("{t},1\0,1,buy", "price", "1\0", "not a number"),
    ("{t}," + "9" * 200_000 + ",1,buy", "price", "9" * 40, "not a number"),
    ("{t},\udcff\udcfe,1,buy,ü", "", "{t},??,1,buy,ü", "not utf-8 text"),
]


@pytest.mark.parametrize(("row", "column", "value", "rule"), TRADE_DEFECTS)
def test_a_defect_is_reported_and_the_other_rows_are_read(row: str, column: str, value: str, rule: str) -> None:
    good = [f"{START + 1000 * at},{at + 1.5},1.25,sell" for at in range(5_000 if "\0" in row else 4)]
    lines = ["time,price,qty,side", *good[:-2], "", row.replace("{t}", str(START)), *good[-2:]]
    read = upload("\n".join(lines), latest_ms=START * 2)
    ((_, line, *told),) = read.rejected
    assert (line, *told) == (len(good) + 1, column, value.replace("{t}", str(START))[:40], rule)
    assert read.rejected_counts == {rule: 1}
    assert read.rows == len(good) + 1
    assert read.ticks is not None
    assert read.ticks.price.tolist() == [at + 1.5 for at in range(len(good))]


@settings(max_examples=100)
@given(planted=st.lists(st.sampled_from([None, *TRADE_DEFECTS[:20]]), min_size=1, max_size=30))
def test_as_many_defects_are_reported_as_were_planted(planted: list[tuple[str, str, str, str] | None]) -> None:
    rows = [defect[0].replace("{t}", str(START)) if defect else f"{START},1.5,2.5,buy" for defect in planted]
    read = upload("time,price,qty,side\n1723161255000,1.25,1,buy\n" + "\n".join(rows), latest_ms=START * 2)
    found = [(reject.line, reject.column, reject.rule) for reject in read.rejected]
    assert found == [(line, defect[1], defect[3]) for line, defect in enumerate(planted, 3) if defect]
    assert read.mostly_rejected is (2 * len(found) > len(planted) + 1)
    assert ("MORE THAN HALF" in read.report[0]) is read.mostly_rejected


@pytest.mark.parametrize(
    ("row", "column", "rule"),
    [
        ("1,2,3,1,5", "high", "high below low"),
        ("3,2,1,1,5", "high", "high below open or close"),
        ("1,2,1,3,5", "high", "high below open or close"),
        ("1,3,2,2,5", "low", "low above open or close"),
        ("1,2,1,2,-5", "volume", "negative"),
        ("1,2,1,2,", "volume", "blank"),
        ("0,2,1,2,5", "open", "not positive"),
    ],
)
def test_a_bar_that_cannot_be_is_reported(row: str, column: str, rule: str) -> None:
    good = "".join(f"{START + 60_000 * at},1,2,0.5,1.5,{at}\n" for at in range(3))
    read = upload(f"time,open,high,low,close,volume\n{good}{START + 180_000},{row}\n")
    assert [(bad.line, bad.column, bad.rule) for bad in read.rejected] == [(5, column, rule)]
    assert read.bars["ETHUSDT"].volume.tolist() == [0, 1, 2]


def test_a_bad_cell_of_a_table_of_closes_leaves_the_other_symbols() -> None:
    read = upload("Date,A,B,C\n2024-01-01,1,x,3\n2024-01-02,1.5,2,\n2024-01-03,-1,2,3\nnever,1,2,3\n", symbol=None)
    assert [len(bars) for bars in read.bars.values()] == [2, 2, 2]
    assert [reject[1:] for reject in read.rejected] == [
        (2, "B", "x", "not a number"),
        (4, "A", "-1", "not positive"),
        (5, "Date", "never", "not a time"),
    ]
    assert "1 cells are blank: no bar of that symbol then." in read.report


def test_rows_out_of_order_are_sorted_and_counted() -> None:
    times = [START + 1000 * at for at in (0, 1, 5, 2, 3, 6)]
    read = upload("time,price,qty\n" + "".join(f"{time},1.5,{at + 1}\n" for at, time in enumerate(times)))
    assert read.ticks is not None
    assert read.ticks.time.tolist() == sorted(times)
    assert read.ticks.qty.tolist() == [1, 2, 4, 5, 3, 6]
    assert (read.out_of_order, read.rejected) == (2, ())
    assert "2 rows were out of time order and were sorted." in read.report


def test_a_file_that_runs_backwards_is_turned_around_with_its_equal_moments() -> None:
    read = upload("time,price,qty\n" + "".join(f"{START - at // 2 * 1000},1.5,{at + 1}\n" for at in range(6)))
    assert read.ticks is not None
    assert read.ticks.qty.tolist() == [6, 5, 4, 3, 2, 1]


def test_a_trade_that_comes_twice_is_a_duplicate_and_another_of_its_id_is_told_apart() -> None:
    rows = ["7,1.5,1", "8,2.5,1", "7,1.5,1", "8,3.5,1"]
    read = upload("id,price,qty,time\n" + "".join(f"{row},{START}\n" for row in rows), venue="kraken")
    assert read.ticks is not None
    assert read.ticks.trade_id.tolist() == [7, 8]
    assert read.duplicates == 1
    assert [(bad.line, bad.rule) for bad in read.rejected] == [(5, "the id of another trade")]
    assert "1 rows repeat another row and were left out." in read.report


def test_identical_trades_without_ids_are_two_trades() -> None:
    read = upload(f"time,price,qty\n{START},1.5,1\n{START},1.5,1\n")
    assert read.ticks is not None
    assert len(set(read.ticks.trade_id.tolist())) == 2


def test_a_bar_that_comes_twice_is_a_duplicate_and_another_of_its_time_is_refused() -> None:
    rows = [f"{START},1.5", f"{START + 1000},2.5", f"{START},1.5", f"{START + 1000},3.5"]
    read = upload("time,close\n" + "\n".join(rows))
    assert read.bars["ETHUSDT"].close.tolist() == [1.5, 2.5]
    assert read.duplicates == 1
    assert [(bad.line, bad.rule) for bad in read.rejected] == [(5, "another bar of a time that there is a bar of")]


def test_rows_of_another_symbol_or_venue_than_was_said_are_refused() -> None:
    rows = "".join(f"{START},{name},1.5,1\n" for name in ("kraken,ethusdt", "kraken,X", "okx,ETHUSDT"))
    read = upload(f"time,venue,symbol,price,qty\n{rows}", venue="kraken")
    assert [(bad.line, bad.column, bad.rule) for bad in read.rejected] == [
        (3, "symbol", "another symbol than was said"),
        (4, "venue", "another venue than was said"),
    ]


def test_rejected_rows_are_kept_up_to_a_bound_and_all_counted() -> None:
    rows = "".join(f"{START},x,1\n{START},1\n" for _ in range(1_000))
    read = upload("time,price,qty\n" + rows, limits=Limits(kept_rejects=7))
    assert len(read.rejected) == 7
    assert read.rejected_counts == {"not a number": 1_000, "2 cells where the header has 3": 1_000}
    assert read.mostly_rejected


def test_a_wrong_name_for_a_symbol_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{START},{symbol},1.5,1\n" for symbol in ("A", "", "B" * 65, "C\0"))
    (tmp_path / "t.csv").write_text("time,symbol,price,qty\n" + f"{START},A,1.5,1\n" * 5_000 + rows)
    read = read_upload(tmp_path / "t.csv")
    assert [(bad.line, bad.rule) for bad in read.rejected] == [
        (5003, "blank"),
        (5004, "not a name"),
        (5005, "not a name"),
    ]
