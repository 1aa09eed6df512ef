"""A valid table in any dialect is read back equal, or refused by naming what is ambiguous: never silently wrong."""

import csv
import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from market import WrongUse
from pairscope.files import AmbiguousFile, FileError, Upload, UploadOptions, read_upload

START = 1_723_161_255_000


def upload(content: str | bytes, name: str = "ETHUSDT.csv", **options: Any) -> Upload:
    data = content if isinstance(content, bytes) else content.encode()
    return read_upload(data, name=name, options=UploadOptions(**options))


# ------------------------------------------------------------------------------------------------ any dialect


class Dialect(NamedTuple):
    """How somebody writes a table."""

    delimiter: str
    decimal: str
    grouping: str
    places: int
    quoting: int
    encoding: str
    line_end: str
    names: tuple[str, ...]
    order: tuple[int, ...]
    time: str


TIMES = ("s", "s.fraction", "ms", "us", "ns", "iso", "iso z", "offset", "slashes", "d/m/y", "m/d/y", "d.m.y", "am pm")
DIALECTS = st.builds(
    Dialect,
    delimiter=st.sampled_from(",;\t|"),
    decimal=st.sampled_from(".,"),
    grouping=st.sampled_from(["", "", "mark", " ", "'", "\u00a0"]),
    places=st.integers(0, 8),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    names=st.tuples(
        st.sampled_from(["time", "Timestamp", "TS", "trade_time_ms", "date", "DateTime", " time "]),
        st.sampled_from(["symbol", "Ticker", "PAIR"]),
        st.sampled_from(["price", "Price", "PRICE"]),
        st.sampled_from(["qty", "Quantity", "size", "VOLUME", "amount"]),
    ),
    order=st.permutations(range(4)).map(tuple),
    time=st.sampled_from(TIMES),
)
TRADES = st.lists(
    st.tuples(
        st.integers(0, 400 * 86_400),
        st.sampled_from(["BTCUSDT", "ETHUSDT", "Ä/USD"]),
        st.integers(1, 10**12),
        st.integers(1, 10**9),
    ),
    min_size=1,
    max_size=12,
)


def number(digits: int, dialect: Dialect) -> str:
    whole, rest = divmod(digits, 10**dialect.places)
    mark = {"mark": "." if dialect.decimal == "," else ","}.get(dialect.grouping, dialect.grouping)
    text = f"{whole:,}".replace(",", mark)
    return f"{text}{dialect.decimal}{rest:0{dialect.places}d}" if dialect.places else text


def moment(seconds: int, how: str) -> str:
    ms = START + 1000 * seconds
    at = datetime.fromtimestamp(ms // 1000, UTC)
    numbers = {"s": ms // 1000, "s.fraction": f"{ms // 1000}.000", "ms": ms, "us": ms * 10**3, "ns": ms * 10**6}
    if how in numbers:
        return str(numbers[how])
    if how == "offset":
        return at.astimezone(timezone(timedelta(hours=-5, minutes=-30))).isoformat()
    forms = {
        "iso": "%Y-%m-%d %H:%M:%S",
        "iso z": "%Y-%m-%dT%H:%M:%S.000Z",
        "slashes": "%Y/%m/%d %H:%M:%S",
        "d/m/y": "%d/%m/%Y %H:%M:%S",
        "m/d/y": "%m/%d/%Y %H:%M:%S",
        "d.m.y": "%d.%m.%Y %H:%M:%S",
        "am pm": "%m/%d/%Y %I:%M:%S %p",
    }
    return at.strftime(forms[how])


def written(trades: list[tuple[int, str, int, int]], dialect: Dialect) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(
        stream,
        delimiter=dialect.delimiter,
        lineterminator=dialect.line_end,
        quoting=dialect.quoting,  # type: ignore[arg-type]
    )
    rows = [dialect.names] + [
        (moment(at, dialect.time), symbol, number(price, dialect), number(qty, dialect))
        for at, symbol, price, qty in trades
    ]
    writer.writerows([row[place] for place in dialect.order] for row in rows)
    return stream.getvalue().encode(dialect.encoding)


def read_back_or_refused(trades: list[tuple[int, str, int, int]], dialect: Dialect) -> bool:
    """Compare what is read with what was written; return whether it was read."""
    try:
        read = upload(written(trades, dialect))
    except AmbiguousFile as refusal:
        assert refusal.option in ("decimal", "dates")  # noqa: PT017
        return False
    assert read.rejected == ()
    assert read.ticks is not None
    expected = [
        (symbol, START + 1000 * at, price / 10**dialect.places, qty / 10**dialect.places)
        for at, symbol, price, qty in trades
    ]
    # Rows of one moment that run backwards with the rest of the file are turned around with it.
    assert sorted((tick.symbol, tick.time_ms, tick.price, tick.qty) for tick in read.ticks) == sorted(expected)
    assert [tick.time_ms for tick in read.ticks] == sorted(time for _, time, _, _ in expected)
    return True


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(trades=TRADES, dialect=DIALECTS)
def test_a_table_in_any_dialect_is_read_back_or_refused_by_name(
    trades: list[tuple[int, str, int, int]], dialect: Dialect
) -> None:
    read_back_or_refused(trades, dialect)


@pytest.mark.nightly
@settings(max_examples=100_000, suppress_health_check=list(HealthCheck))
@given(trades=TRADES, dialect=DIALECTS)
def test_a_hundred_thousand_tables_are_read_back_or_refused_by_name(
    trades: list[tuple[int, str, int, int]], dialect: Dialect
) -> None:
    read_back_or_refused(trades, dialect)


@settings(max_examples=100)
@given(trades=TRADES, dialect=DIALECTS)
def test_what_a_person_says_settles_every_ambiguity(trades: list[tuple[int, str, int, int]], dialect: Dialect) -> None:
    said = {"decimal": dialect.decimal}
    if dialect.time in ("d/m/y", "d.m.y"):
        said["dates"] = "day first"
    if dialect.time in ("m/d/y", "am pm"):
        said["dates"] = "month first"
    read = upload(written(trades, dialect), **said)
    assert (read.rejected, read.rows) == ((), len(trades))
    assert read.ticks is not None
    scale = 10**dialect.places
    expected = [(symbol, START + 1000 * at, price / scale, qty / scale) for at, symbol, price, qty in trades]
    assert sorted((tick.symbol, tick.time_ms, tick.price, tick.qty) for tick in read.ticks) == sorted(expected)


@settings(max_examples=100)
@given(closes=st.lists(st.integers(1, 10**9), min_size=2, max_size=20), dialect=DIALECTS)
def test_closes_in_any_dialect_are_read_back_or_refused_by_name(closes: list[int], dialect: Dialect) -> None:
    assume(dialect.encoding != "latin-1")
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=dialect.delimiter, lineterminator=dialect.line_end)
    writer.writerow((dialect.names[0], "aapl", "BRK.B"))
    for at, close in enumerate(closes):
        writer.writerow((moment(3600 * at, dialect.time), number(close, dialect), number(2 * close, dialect)))
    try:
        read = upload(stream.getvalue().encode(dialect.encoding))
    except AmbiguousFile as refusal:
        assert refusal.option in ("decimal", "dates")  # noqa: PT017
        return
    assert read.rejected == ()
    assert str(read.bars["AAPL"].timeframe) == "1h"
    assert read.bars["BRK.B"].close.tolist() == [2 * close / 10**dialect.places for close in closes]


# ------------------------------------------------------------------------------------------------ what is ambiguous


@pytest.mark.parametrize(
    ("prices", "found", "point", "comma"),
    [
        ("1.234 2.345", None, [1.234, 2.345], [1234, 2345]),
        ("1,234 2,345", None, [1234, 2345], [1.234, 2.345]),
        ("1.234 1,234", None, [1.234, 1234], [1234, 1.234]),
        ("1.5 2,5", None, [1.5], [2.5]),
        ("1.234 0.5", [1.234, 0.5], [1.234, 0.5], [1234]),
        ("1.234 1234.567", [1.234, 1234.567], [1.234, 1234.567], [1234]),
        ("1.234 5000", [1.234, 5000], [1.234, 5000], [1234, 5000]),
        ("1,234 1,234.5", [1234, 1234.5], [1234, 1234.5], [1.234]),
        ("1.234 1.234.567", [1234, 1234567], [1.234], [1234, 1234567]),
        ("1.234,5 7", [1234.5, 7], [7], [1234.5, 7]),
        ("12 15", [12, 15], [12, 15], [12, 15]),
    ],
)
def test_a_decimal_mark_is_told_by_all_numbers_or_asked_for(
    prices: str, found: list[float] | None, point: list[float], comma: list[float]
) -> None:
    text = "time;price;qty\n" + "".join(f"{START};{price};1\n" for price in prices.split())
    if found is None:
        with pytest.raises(AmbiguousFile) as error:
            upload(text)
        assert (error.value.option, error.value.choices) == ("decimal", (".", ","))
    else:
        assert (prices_of(upload(text)), upload(text).rejected) == (found, ())
    assert prices_of(upload(text, decimal=".")) == point
    assert prices_of(upload(text, decimal=",")) == comma


def prices_of(read: Upload) -> list[float]:
    assert read.ticks is not None
    prices: list[float] = read.ticks.price.tolist()
    return prices


def test_a_grouped_column_says_nothing_about_an_ungrouped_one() -> None:
    with pytest.raises(AmbiguousFile, match="decimal"):
        upload(f"time;price;qty\n{START};1,234;5000\n{START};1,235;6000\n")


@pytest.mark.parametrize(
    ("dates", "first"),
    [
        ("1/2/2001 1/13/2001", "2001-01-02"),
        ("1/2/2001 13/2/2001", "2001-02-01"),
        ("01.02.2001 28.02.2001", "2001-02-01"),
        ("1/1/2001 2/2/2001", "2001-01-01"),
    ],
)
def test_the_order_of_day_and_month_is_told_by_all_dates(dates: str, first: str) -> None:
    read = upload("Date,ANZ\n" + "".join(f"{date},1.5\n" for date in dates.split()))
    assert days_of(read)[0] == first


def days_of(read: Upload) -> list[str]:
    return [str(day) for day in read.bars["ANZ"].time.astype("datetime64[ms]").astype("datetime64[D]")]


@pytest.mark.parametrize(
    ("dates", "day_first", "month_first"),
    [
        ("1/2/2001 1/3/2001", "2001-01-01 2001-02-01 2001-03-01", "2001-01-01 2001-01-02 2001-01-03"),
        ("13/1/2001 1/13/2001", "2001-01-01 2001-01-13", "2001-01-01 2001-01-13"),
    ],
)
def test_dates_that_do_not_tell_or_contradict_are_asked_for(dates: str, day_first: str, month_first: str) -> None:
    text = "Date,ANZ\n" + "".join(f"{date},1.5\n" for date in dates.split()) + "1/1/2001,2\n"
    with pytest.raises(AmbiguousFile) as error:
        upload(text)
    assert (error.value.option, error.value.choices) == ("dates", ("month first", "day first"))
    assert days_of(upload(text, dates="day first")) == day_first.split()
    assert days_of(upload(text, dates="month first")) == month_first.split()


def test_a_date_after_a_million_others_still_settles_their_order() -> None:
    days = "".join(f"1/{day}/20{year:02d},1.5\n" for year in range(24) for day in range(1, 13))
    with pytest.raises(AmbiguousFile, match="dates"):
        upload("Date,A\n" + days * 50)
    assert upload("Date,A\n" + days + "1/13/2024,1.5\n").files[0].times == "dates, month first"


def test_a_symbol_that_nothing_tells_is_asked_for() -> None:
    with pytest.raises(AmbiguousFile) as error:
        upload(f"time,price,qty\n{START},1,1\n", name="trades.csv")
    assert error.value.option == "symbol"
    read = upload(f"time,price,qty\n{START},1.5,2\n", name="trades.csv", symbol="btcusdt")
    assert read.ticks is not None
    assert [(t.symbol, t.time_ms, t.price, t.qty) for t in read.ticks] == [("BTCUSDT", START, 1.5, 2.0)]


def test_one_bar_alone_does_not_tell_its_length() -> None:
    text = f"time,close\n{START},1\n"
    with pytest.raises(AmbiguousFile) as error:
        upload(text)
    assert error.value.option == "timeframe"
    bars = upload(text, timeframe="5m").bars["ETHUSDT"]
    assert (str(bars.timeframe), bars.time.tolist(), bars.close.tolist()) == ("5m", [START], [1.0])


def test_two_marks_that_both_part_the_cells_are_asked_for() -> None:
    with pytest.raises(AmbiguousFile) as error:
        upload("time,A;time\n2024-01-01,1;2024-01-01\n")
    assert error.value.option == "delimiter"


@pytest.mark.parametrize("twice", ["time,price,qty,Price", "time,A,a"])
def test_two_columns_of_one_name_are_refused(twice: str) -> None:
    with pytest.raises(FileError, match=r"(two|2) columns"):
        upload(f"{twice}\n{START},1,1,1\n")


@pytest.mark.parametrize(
    "said",
    [
        {"decimal": "x"},
        {"dates": "us"},
        {"zone": "Mars/Base"},
        {"kind": "tick"},
        {"timeframe": "1M"},
        {"delimiter": "x"},
    ],
)
def test_an_option_that_does_not_exist_is_wrong_use(said: dict[str, str]) -> None:
    with pytest.raises(WrongUse):
        UploadOptions(**said)  # type: ignore[arg-type]  # what a user may say


def test_what_was_understood_is_said() -> None:
    read = upload("Date;Time;Price;Volume\r\n01.02.2024;10:00:01;1.234,50;3\r\n13.02.2024;10:00:01;1.234,50;3\r\n")
    assert read.report[:4] == [
        "ETHUSDT.csv: 2 rows of trades (utf-8, cells between semicolons, decimal comma, header in line 1).",
        "Columns: time from 'Date', price from 'Price', qty from 'Volume'.",
        "Times: dates, day first; 2 name no zone: assumed UTC (say zone=... if they are local).",
        "The symbol ETHUSDT is of the file's name.",
    ]
