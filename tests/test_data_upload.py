"""Files that are handed to the page: taken in, asked about, read behind it, analysed and imported."""

import csv
import gc
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from market import Instrument, Timeframe, WrongUse
from pairscope.commands import HANDED_OVER, Outcome, plan_import
from pairscope.files import FileError, Rejected, Upload, UploadOptions, read_upload
from pairscope.jobs import Cancelled, Jobs, Progress
from pairscope.pairs import PairRequest
from pairscope.views.clock import Clock
from pairscope.views.data_upload import summary_text
from pairscope.views.data_upload_choices import lengths_of
from pairscope.views.data_upload_files import MOST_FILES, Basket, Reading, find_basket, held_in, with_option
from pairscope.views.data_upload_import import hand_files_over, plan_rows, store_plan, with_names
from pairscope.views.data_upload_options import OPTIONS, page_words, said_text
from pairscope.views.data_upload_pair import analysed, legs_of, span_text
from pairscope.views.data_upload_report import first_rows, held_row, rejected_csv, report_lines, rule_rows
from pairscope.views.pair_sight import Sight
from store import SqliteStore
from tests.test_commands import owner

SECONDS = 20.0
NOW = 1_800_000_000_000
START = 1_700_000_040_000  # a whole minute
CLOCK = Clock()


def bars_csv(symbol: str, count: int = 300, *, price: float = 100.0, start: int = START) -> bytes:
    noise = np.random.default_rng(len(symbol)).normal(size=count).cumsum()
    rows = [f"{start + row * 60_000},{symbol},{price + noise[row]:.4f},2" for row in range(count)]
    return "\n".join(["time,symbol,close,volume", *rows]).encode()


def ticks_csv(count: int = 400, *, symbols: tuple[str, ...] = ("ETHUSDT",)) -> bytes:
    rows = [f"{START + row * 500},{symbol},{100 + row % 7},{1 + row % 3}" for row in range(count) for symbol in symbols]
    return "\n".join(["time,symbol,price,qty", *rows]).encode()


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


@pytest.fixture
def basket(jobs: Jobs) -> Basket:
    return Basket(jobs.folder())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "s.db", clock=lambda: NOW)
    yield made
    made.close()


def read(jobs: Jobs, basket: Basket, **files: bytes) -> Reading:
    for name, content in files.items():
        basket.take(f"{name}.csv", io.BytesIO(content))
    basket.read(jobs, NOW)
    assert basket.reading
    assert basket.reading.job.wait(SECONDS)
    return basket.reading


def upload_of(reading: Reading) -> Upload:
    assert reading.upload, reading.job.status.text
    return reading.upload


# ---------------------------------------------------------------------------------------------------- taking files in


def test_several_files_are_read_as_one_and_say_what_each_symbol_has(jobs: Jobs, basket: Basket) -> None:
    reading = read(jobs, basket, a=bars_csv("ETHUSDT"), b=bars_csv("BTCUSDT", 200))
    assert [(each.name, each.what, each.count) for each in reading.held] == [
        ("ETHUSDT", "bars of 1m", 300),
        ("BTCUSDT", "bars of 1m", 200),
    ]
    assert summary_text(reading) == "500 rows · 2 symbols · 0 rejected"
    assert reading.job.result == "500 rows, 2 symbols"


def test_a_file_of_the_same_name_replaces_the_one_before(jobs: Jobs, basket: Basket) -> None:
    read(jobs, basket, a=bars_csv("ETHUSDT"))
    assert [each.name for each in read(jobs, basket, a=bars_csv("BTCUSDT")).held] == ["BTCUSDT"]
    assert list(basket.files) == ["a.csv"]


def test_the_files_go_with_the_last_session_that_holds_them(jobs: Jobs) -> None:
    folder = jobs.folder()
    basket = Basket(folder)
    read(jobs, basket, a=bars_csv("ETHUSDT"))
    assert find_basket(basket.token) is basket
    token = basket.token
    del basket
    gc.collect()
    assert (find_basket(token), folder.exists()) == (None, False)


def test_a_file_that_is_taken_out_is_gone_from_the_disk(jobs: Jobs, basket: Basket) -> None:
    read(jobs, basket, a=bars_csv("ETHUSDT"))
    place = basket.files["a.csv"]
    basket.leave_out("a.csv")
    basket.read(jobs, NOW)
    assert (place.exists(), basket.reading) == (False, None)


def test_more_files_than_are_read_at_once_are_refused_by_name(basket: Basket) -> None:
    for number in range(MOST_FILES):
        basket.take(f"{number}.csv", io.BytesIO(b"x"))
    with pytest.raises(WrongUse, match=r"one more\.csv was left out: at most 50 files"):
        basket.take("one more.csv", io.BytesIO(b"x"))


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b\\c.csv", "<script>alert(1)</script>.csv", "\u202e.csv", ".", "x" * 400]
)
def test_no_name_leads_out_of_the_folder(basket: Basket, name: str) -> None:
    basket.take(name, io.BytesIO(b"x"))
    place = basket.files[name]
    assert place.read_bytes() == b"x"
    assert place.resolve().parents[1] == basket._folder.resolve()
    assert len(place.name) <= 100


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "a.csv is empty"),
        (b"PK\x03\x04" + b"x" * 300, "a.csv is a damaged zip archive"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "a.csv is binary"),
        (b"hello\nworld\n", "a.csv begins with 'hello'"),
        (b"\x1f\x8b\x08" + b"x" * 50, "a.csv is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_answered_with_one_sentence(
    jobs: Jobs, basket: Basket, content: bytes, said: str
) -> None:
    reading = read(jobs, basket, a=content)
    assert reading.job.state == "failed"
    assert reading.job.status.text.startswith(said)
    assert isinstance(reading.job.failure, FileError)


def test_a_reading_says_how_much_it_has_read_and_ends_when_it_is_cancelled(jobs: Jobs, basket: Basket) -> None:
    basket.take("big.csv", io.BytesIO(ticks_csv(200_000)))
    shares: list[float] = []

    class Watching(Progress):
        def say(self, share: float, text: str = "") -> None:
            super().say(share, text)
            shares.append(share)
            assert text.startswith("big.csv: ") or text == "put together"
            if len(shares) == 8:
                self.end()

    from pairscope.views.data_upload_files import _read

    with pytest.raises(Cancelled):
        _read(Reading(("big.csv",)), basket.files, {}, NOW, Watching())
    assert shares == sorted(shares)
    assert 0 < shares[-1] < 1


# ------------------------------------------------------------------------------------------- what must be asked for


def test_what_is_ambiguous_is_asked_for_and_the_answer_is_of_that_file_alone(jobs: Jobs, basket: Basket) -> None:
    german = b"time;symbol;close\n" + b"\n".join(b"%d;AAA;1,%03d" % (START + row * 60_000, row) for row in range(9))
    reading = read(jobs, basket, a=german, b=bars_csv("ETHUSDT", 9))
    assert reading.question
    assert (reading.question.file, reading.question.option, reading.job.state) == ("a.csv", "decimal", "done")
    basket.say("a.csv", with_option(basket.said_of("a.csv"), "decimal", ","))
    upload = upload_of(read(jobs, basket))
    assert upload.bars["AAA"].close.tolist()[:2] == [1.0, 1.001]
    assert [reading.decimal for reading in upload.files] == [",", "."]


def test_two_files_without_a_symbol_get_one_each(jobs: Jobs, basket: Basket) -> None:
    plain = b"time,price,qty\n" + b"\n".join(b"%d,%d,1" % (START + row * 500, 100 + row) for row in range(9))
    reading = read(jobs, basket, trades=plain, prices=plain)
    for file, symbol in (("trades.csv", "AAA"), ("prices.csv", "BBB")):
        assert reading.question
        assert (reading.question.file, reading.question.option) == (file, "symbol")
        basket.say(file, UploadOptions(symbol=symbol))
        reading = read(jobs, basket)
    assert sorted(each.name for each in reading.held) == ["AAA", "BBB"]


def test_an_answer_for_a_member_of_an_archive_is_kept_for_the_archive(basket: Basket) -> None:
    basket.take("a.zip", io.BytesIO(b"x"))
    basket.take("b.csv.gz", io.BytesIO(b"x"))
    basket.say("a.zip/inner.csv", UploadOptions(symbol="AAA"))
    basket.say("b.csv", UploadOptions(decimal=","))
    assert basket.said_of("a.zip").symbol == "AAA"
    assert said_text(basket.said_of("b.csv.gz")) == "Decimal mark comma: 1,5"


def test_every_option_of_a_reading_can_be_said_on_the_page() -> None:
    assert set(OPTIONS) == set(UploadOptions.__dataclass_fields__)
    for name, asked in OPTIONS.items():
        for choice in asked.choices or {}:
            assert getattr(with_option(UploadOptions(), name, choice), name) == choice


def test_an_answer_that_makes_no_sense_is_refused_with_a_sentence() -> None:
    with pytest.raises(WrongUse, match="Mars"):
        with_option(UploadOptions(), "zone", "Mars/Olympus")
    assert with_option(UploadOptions(zone="UTC"), "zone", "") == UploadOptions()


def test_errors_speak_of_the_options_as_the_page_calls_them() -> None:
    assert page_words("store them with venue='import'") == "store them with “Venue” 'import'"
    assert page_words("say timeframe=... if they are bars") == "say “Bar length” if they are bars"
    assert page_words("use them with `analyze --input`") == "analyse them here instead"


# ------------------------------------------------------------------------------------------------- what is shown of it


def test_the_table_shows_times_by_the_clock_that_was_chosen(jobs: Jobs, basket: Basket) -> None:
    held = read(jobs, basket, a=bars_csv("ETHUSDT", 2)).held[0]
    berlin = held_row(held, Clock("Europe/Berlin"))
    assert berlin["from, Europe/Berlin"] == "14 Nov 2023 23:14:00"
    assert held_row(held, CLOCK)["to, UTC"] == "14 Nov 2023 22:16:00"


def test_the_first_rows_are_shown_as_the_file_has_them(jobs: Jobs, basket: Basket) -> None:
    upload = upload_of(read(jobs, basket, a=ticks_csv(20), b=bars_csv("BTCUSDT", 20)))
    ticks, bars = first_rows(upload, "ETHUSDT", CLOCK), first_rows(upload, "BTCUSDT", CLOCK)
    assert ticks[1]["time, UTC"] == "14 Nov 2023 22:14:00.500"
    assert (ticks[1]["price"], ticks[1]["quantity"], ticks[1]["side"]) == ("101", "2", "–")
    assert bars[0]["volume"] == "2"
    assert bars[0]["close"] == f"{upload.bars['BTCUSDT'].close[0]:.12g}"


def test_every_rejected_row_has_its_line_column_value_and_rule(jobs: Jobs, basket: Basket) -> None:
    lines = bars_csv("ETHUSDT", 5).split(b"\n")
    lines[2] = lines[2].replace(b",2", b",=1+cmd|'/C calc'")
    upload = upload_of(read(jobs, basket, a=b"\n".join(lines)))
    (rejected,) = upload.rejected
    assert (rejected.file, rejected.line, rejected.column) == ("a.csv", 3, "volume")
    assert rule_rows(upload.rejected_counts) == [{"rule": rejected.rule, "rows": 1}]
    assert any(line.startswith("a.csv: 5 rows") for line in report_lines(upload))
    (row,) = csv.DictReader(io.StringIO(rejected_csv(upload.rejected).decode()))
    assert row["value"] == "'=1+cmd|'/C calc'"  # no spreadsheet takes it for a formula


def test_a_csv_of_rejected_rows_survives_any_text() -> None:
    odd = [Rejected('a",b.csv', 1, "x\ny", "\udc80<script>", "not a number")]
    (row,) = csv.DictReader(io.StringIO(rejected_csv(odd).decode()))
    assert (row["file"], row["column"], row["value"]) == ('a",b.csv', "x\ny", "?<script>")


# ---------------------------------------------------------------------------------------------------- analysed as it is


def test_two_symbols_of_files_are_analysed_and_called_file(jobs: Jobs, basket: Basket) -> None:
    reading = read(jobs, basket, a=bars_csv("ETHUSDT"), b=bars_csv("BTCUSDT", 280))
    upload = upload_of(reading)
    lengths, first = lengths_of(upload, "ETHUSDT", "BTCUSDT")
    assert [str(each) for each in lengths] == ["1m", "5m", "15m", "1h", "4h", "1d"]
    y, x = legs_of(upload, "ETHUSDT", "BTCUSDT", first)
    request = PairRequest(y=y.instrument, x=x.instrument, timeframe=first, bars=86_400, window=30)
    sight = analysed(Sight(y, x, upload.label(y.instrument, x.instrument)), request)
    assert sight.found
    assert (sight.label, sight.found.summary.n, sight.refused) == ("FILE", 280, "")
    assert span_text(sight, CLOCK) == "14 Nov 2023 22:14:00 to 15 Nov 2023 02:53:00 UTC"


def test_options_that_make_no_sense_together_are_refused_in_the_sight(jobs: Jobs, basket: Basket) -> None:
    upload = upload_of(read(jobs, basket, a=bars_csv("ETHUSDT"), b=bars_csv("BTCUSDT")))
    y, x = legs_of(upload, "ETHUSDT", "BTCUSDT", Timeframe.parse("1m"))
    request = PairRequest(y=y.instrument, x=x.instrument, timeframe=y.timeframe, entry=0.5, exit=1.0)
    assert "xit" in analysed(Sight(y, x, "FILE"), request).refused


def test_legs_that_cannot_be_a_pair_are_refused_with_a_sentence(jobs: Jobs, basket: Basket) -> None:
    apart = bars_csv("BTCUSDT", start=START + 10**9 - 10**9 % 60_000)
    upload = upload_of(read(jobs, basket, a=bars_csv("ETHUSDT"), b=apart))
    minute = Timeframe.parse("1m")
    with pytest.raises(WrongUse, match="both legs are ETHUSDT"):
        legs_of(upload, "ETHUSDT", "ETHUSDT", minute)
    with pytest.raises(FileError, match="ETHUSDT and BTCUSDT share no bar of 1m"):
        legs_of(upload, "ETHUSDT", "BTCUSDT", minute)


def test_trades_begin_with_bars_of_which_there_are_enough(jobs: Jobs, basket: Basket) -> None:
    upload = upload_of(read(jobs, basket, a=ticks_csv(4_000, symbols=("ETHUSDT", "BTCUSDT"))))  # 2,000 s
    lengths, first = lengths_of(upload, "ETHUSDT", "BTCUSDT")
    assert (str(lengths[0]), str(first)) == ("1s", "5s")


def test_bars_that_begin_anywhere_stay_as_they_are(jobs: Jobs, basket: Basket) -> None:
    upload = upload_of(read(jobs, basket, a=bars_csv("ETHUSDT", start=START + 20_000)))
    assert [str(each) for each in lengths_of(upload, "ETHUSDT", "ETHUSDT")[0]] == ["1m"]


def controls() -> None:
    """Show the controls for two symbols of one minute, and what they ask for."""
    import streamlit as st

    from pairscope.files import read_upload
    from pairscope.views.data_upload_choices import choose_pair
    from pairscope.views.data_upload_files import Reading, held_in

    rows = [
        f"{1_700_000_040_000 + row * 60_000},{name},{100 + row}.5,2" for row in range(9) for name in ("AAA_1", "BBB-2")
    ]
    reading = Reading(("a.csv",))
    reading.upload = read_upload("\n".join(["time,symbol,close,volume", *rows]).encode(), name="a.csv")
    reading.held = held_in(reading.upload)
    st.text(str(choose_pair(reading, reading.upload)))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("selectbox", "file y", "BBB-2"), ("selectbox", "file x", "AAA_1"), ("button_group", "file bars", "5m"),
        ("slider", "file window", 90), ("button_group", "file hedge", "Huber"),
        ("button_group", "file fit", "whole window"), ("slider", "file entry", 2.5), ("slider", "file exit", 0.2),
        ("number_input", "file stop", 4.0), ("number_input", "file timestop", 30), ("toggle", "file log", True),
        ("toggle", "file intercept", False),
        ("number_input", "file fill", 2), ("number_input", "file volume", 1.0), ("selectbox", "file costs", "kraken"),
        ("toggle", "file rebased", True),
    ],
)  # fmt: skip
def test_each_control_asks_for_something_else(kind: str, key: str, value: object) -> None:
    page = AppTest.from_function(controls, default_timeout=SECONDS).run()
    before = page.text[0].value
    getattr(page, kind)(key=key).set_value(value).run()
    assert not page.exception
    assert page.text[0].value != before


def test_symbols_to_choose_from_are_written_as_the_file_has_them() -> None:
    page = AppTest.from_function(controls, default_timeout=SECONDS).run()
    assert page.selectbox(key="file y").options == page.selectbox(key="file x").options == ["AAA_1", "BBB-2"]


# -------------------------------------------------------------------------------------------------------- and imported


def test_an_import_says_first_what_it_would_store_and_then_stores_it_once(
    jobs: Jobs, basket: Basket, store: SqliteStore
) -> None:
    reading = read(jobs, basket, a=ticks_csv(400), b=bars_csv("BTCUSDT"))
    plan = reading.plan(store.instruments())
    assert plan is reading.plan(store.instruments())
    rows = {row["symbol"]: (row["stored as"], row["rows"]) for row in plan_rows(plan, reading.held, CLOCK)}
    assert rows == {"import:ETHUSDT": ("trades", 400), "import:BTCUSDT": ("candles of 1m", 300)}
    assert plan.rows == 700
    progress = Progress()
    first = store_plan(plan, store, progress)
    assert first.text.splitlines()[-1] == "700 rows, 700 stored, 0 duplicates, 0 rejections"
    assert progress.text.endswith(" of 700 rows")
    again = store_plan(reading.plan(store.instruments()), store, Progress())
    assert again.values["stored"] == 0
    assert Instrument("import", "ETHUSDT") in store.instruments()


def test_an_import_that_is_cancelled_stores_nothing(jobs: Jobs, basket: Basket, store: SqliteStore) -> None:
    reading = read(jobs, basket, a=ticks_csv(21_000), b=bars_csv("BTCUSDT"))
    plan, gate, progress = reading.plan(store.instruments()), threading.Event(), Progress()

    def cancelled_midway(progress: Progress) -> object:
        say = progress.say

        def told(share: float, text: str = "") -> None:
            if share > 0.5:
                gate.set()
                progress.end()
            say(share, text)

        progress.say = told  # type: ignore[method-assign]
        return store_plan(plan, store, progress)

    job = jobs.start("Import", cancelled_midway)
    assert job.wait(SECONDS)
    assert gate.is_set()
    assert (job.state, store.instruments()) == ("cancelled", ())
    assert store_plan(plan, store, progress).values["stored"] == 21_300  # and the store takes more work


def test_what_cannot_be_imported_says_why_each_time_it_is_asked(jobs: Jobs, basket: Basket) -> None:
    reading = read(jobs, basket, a=bars_csv("ETHUSDT", start=START + 20_000))
    for _ in range(2):
        with pytest.raises(WrongUse, match="do not begin at a whole 1m"):
            reading.plan(())


def test_without_an_owner_a_viewer_says_what_to_do() -> None:
    with pytest.raises(WrongUse, match="restart this app to import"):
        hand_files_over(None, {}, [UploadOptions()], Progress())


def test_a_viewer_hands_its_files_to_the_owner_and_passes_the_answer_on() -> None:
    files, said = {"/tmp/x/ab/ETH.csv": "ETH.csv"}, [UploadOptions(decimal=",")]
    done = Outcome(0, "3 rows, 3 stored", {"rejected": [], "rows": 3})
    progress = Progress()
    with owner(200, json.dumps(done.to_record()).encode()) as (address, asked):
        assert hand_files_over(address, files, said, progress) == done
    assert asked[0][2]["arguments"] == {"files": ["/tmp/x/ab/ETH.csv"], "options": {"decimal": ","}}
    assert not progress.can_end  # the owner would go on
    refused = Outcome(2, "/tmp/x/ab/ETH.csv line 3 is odd", {})
    with (
        owner(200, json.dumps(refused.to_record()).encode()) as (address, _),
        pytest.raises(WrongUse, match=r"^ETH\.csv line 3 is odd$"),
    ):
        hand_files_over(address, files, said, progress)
    with pytest.raises(WrongUse, match="one at a time"):
        hand_files_over(address, files, [*said, UploadOptions()], progress)


def test_an_answer_of_the_owner_names_the_files_as_the_user_does() -> None:
    assert with_names("/tmp/x/ab/ETH.csv line 3: no number", {"/tmp/x/ab/ETH.csv": "ETH.csv"}) == (
        "ETH.csv line 3: no number"
    )


def test_the_page_and_the_command_store_the_same(tmp_path: Path, store: SqliteStore) -> None:
    assert "import" in HANDED_OVER
    (tmp_path / "a.csv").write_bytes(ticks_csv(100))
    upload = read_upload(tmp_path / "a.csv")
    outcome = store_plan(plan_import(upload, ()), store, Progress())
    assert outcome.values["stored"] == held_in(upload)[0].count == 100


@pytest.mark.parametrize(
    ("rows", "many"),
    [
        ("1700000040,A,5,1 1700000040,A,6,1 1700000041,A,7,1", 2),
        ("1700000040,A,5,1 1700000041,A,6,1", 0),
        ("1700000040,A,5,1 1700000040,A,5,2 1700000040,B,6,1", 0),
        ("1700000041,A,5,1 1700000040,B,7,1 1700000041,B,6,1 1700000041,A,9,1 1700000040,B,8,1", 4),
    ],
)
def test_an_import_tells_of_trades_whose_order_is_lost(rows: str, many: int) -> None:
    upload = read_upload("\n".join(["time,symbol,price,qty", *rows.split()]).encode(), name="a.csv")
    notes = plan_import(upload, ()).notes
    assert [note.split(" trades")[0] for note in notes if "order is lost" in note] == ([str(many)] if many else [])


def test_trades_with_ids_of_their_own_keep_their_order() -> None:
    rows = ["time,symbol,price,qty,trade_id,venue", "1700000040000,A,5,1,8,import", "1700000040000,A,6,1,9,import"]
    upload = read_upload("\n".join(rows).encode(), name="a.csv")
    assert not [note for note in plan_import(upload, ()).notes if "order is lost" in note]
