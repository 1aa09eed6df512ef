"""What nobody should upload is refused with a sentence, in bounded memory; no bytes make reading crash."""

import gzip
import io
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from market import WrongUse
from pairscope.feeds import binance
from pairscope.files import FileError, Limits, UploadOptions, read_upload

ROW = "1723161255342,1.5,2\n"
CSV = f"time,price,qty\n{ROW}"
SMALL = Limits(
    uncompressed_bytes=2**21, document_bytes=2**16, rows=1_000, columns=50, cells=2_000, symbols=20, members=5
)


def zipped(content: bytes, members: int = 1, name: str = "t.csv") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}{name}", content)
    return stream.getvalue()


def encrypted() -> bytes:
    data = bytearray(zipped(CSV.encode()))
    data[6] |= 1
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "holds no line of text"),
        (gzip.compress(b""), "is empty"),
        (b"\x1f\x8bno gzip", "is damaged"),
        (b"PK\x03\x04no zip", "is a damaged zip archive"),
        (zipped(b"", 0), "binary"),
        (encrypted(), "is encrypted"),
        (zipped(gzip.compress(CSV.encode())), "a gzip file inside zip, which is not opened"),
        (zipped(zipped(CSV.encode())), "a zip archive inside zip, which is not opened"),
        (gzip.compress(gzip.compress(CSV.encode())), "a gzip file inside gzip, which is not opened"),
        (b"BZh91AY&SY", "a bzip2 file, which is not opened"),
        (pickle.dumps({"price": [1.5] * 9}), "is binary, not text"),
        (pickle.dumps({"price": [1.5] * 9}, 0), "which names no columns that are known"),
        (b"PAR1 and no more", "a damaged Parquet file"),
        (b"\xff\xfe\0\xd8\0\xd8", "is not utf-16 text"),
        (b"time,price,qty\n" + b"\0" * 99, "is binary, not text"),
        (b"[1, 2", "is none"),
        (b"[1, 2]", "is a JSON array of int, not of rows"),
        (b"[" * 100_000, "is one JSON document"),
        (b"a,b,c\n1,2,3\n", "which names no columns that are known"),
        (b"time,price\n1,2\n", "which names no columns that are known"),
        (b"time,open,high\n1,2,3\n", "which names no columns that are known"),
        (b"1723161255342,1,2,3\n", "which names no columns that are known"),
        (CSV.encode() + ROW.encode() * 2_000, "more than"),
        (CSV.encode() + b"\n" * 2_001, "more than 2,000 lines"),
        (b"9" * 1_000_001, "a line of more than 1,000,000 characters"),
        (b"time" + b",x" * 60, "columns, more than 50"),
        (b"time," + b"x," * 600_000, "a line of more than 1,000,000 characters"),
        (b"time," + ",".join(f"x{n}" for n in range(40)).encode() + (b"\n2024-01-01" + b",1.5" * 40) * 60, "more than"),
        (
            b"time,symbol,price,qty\n" + b"".join(b"1723161255342,s%d,1.5,2\n" % n for n in range(30)),
            "more than 20 symbols",
        ),
        (CSV.encode() * 2**17, "is of 4,587,520 bytes, more than 2,097,152"),
        (gzip.compress(b"time,price,qty\n" + (b"a" * 999_999 + b"\n") * 3), "holds more than"),
        (zipped(b"a" * 2**22), "unpacks to more than"),
        (zipped(CSV.encode(), 6), "holds 6 files, more than 5"),
        (b"[" + b'{"a": 1},' * 10_000 + b"{}]", "one JSON document of more than"),
        (("{" + ",".join(f'"{n}": 1' for n in range(60)) + "}").encode(), "more than 50 names"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(FileError) as error:
        read_upload(content, name="A.csv", limits=SMALL)
    assert message in str(error.value)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress, zipped])
@pytest.mark.parametrize("line", [b"9", b"1,", b"\n", b"1,2\n"])
def test_a_bomb_is_refused_in_bounded_memory(wrap: Callable[[bytes], bytes], line: bytes) -> None:
    content = wrap(b"time,price,qty\n" + line * (24 * 2**20 // len(line)))
    read_upload(CSV.encode(), name="A.csv")  # what the libraries keep for themselves does not count
    tracemalloc.start()
    try:
        with pytest.raises(FileError):
            read_upload(content, name="A.csv", limits=Limits(uncompressed_bytes=16 * 2**20, rows=100_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


def test_a_file_that_was_cut_off_is_read_up_to_there() -> None:
    whole = gzip.compress(CSV.encode() + b"".join(b"1723161%06d,1.5,%d\n" % (at, at + 1) for at in range(9_000)), 1)
    read = read_upload(whole[: len(whole) // 2], name="A.csv")
    assert read.ticks is not None
    assert 1_000 < len(read.ticks) < 9_000
    assert any("the file is damaged from here on" in rule for rule in read.rejected_counts)


def test_there_must_be_a_file() -> None:
    for sources in ((), ("/nowhere/at/all.csv",), ("/",)):
        with pytest.raises(WrongUse):
            read_upload(*sources)


HEADS = [
    b"", b"time,price,qty\n", b"time;price;qty\n1723161255342;1,5;", b"Date,A,B\n", b"time,open,high,low,close\n",
    b"{", b"[", b'{"ts": 1723161255342, "price": 1, "size": ', b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"PK\x03\x04",
    b"PAR1", b"SQLite format 3\0", b"1723161255 {", b"1,1,1,1,1,1723161255342,true\n", CSV.encode(),
    gzip.compress(CSV.encode()), zipped(CSV.encode()),
]  # fmt: skip


def read_or_refuse(content: bytes) -> None:
    try:
        read = read_upload(content, name="A.csv", parse=binance.parse, limits=SMALL)
    except (FileError, WrongUse):
        return
    assert sum(read.rejected_counts.values()) >= len(read.rejected)
    assert all(isinstance(sentence, str) for sentence in read.report)


@settings(max_examples=600)
@given(content=st.binary() | st.text().map(str.encode), head=st.sampled_from(HEADS), cut=st.integers(0, 9))
@example(content=b"", head=b"", cut=0)
def test_no_content_makes_reading_crash(content: bytes, head: bytes, cut: int) -> None:
    read_or_refuse(head[: len(head) - cut] + content)


CELLS = st.sampled_from(
    [
        "", "1", "1.5", "1,5", "-1", "1e999", "1e-400", "nan", "inf", "1723161255342", "99999999999999999999",
        "2024-02-30", "2024-01-01", "31/12/2024", "12/31/2024", "9999-12-31T23:59:59+00:00", '"', '"a', "a\0", "ü",
        "\ufeff", "'=1", "x" * 99,
    ]
)  # fmt: skip


@settings(max_examples=400)
@given(
    rows=st.lists(st.lists(CELLS, max_size=8), max_size=8),
    header=st.sampled_from(
        ["time,price,qty,side,id", "Date,A,B", "date,time,close", "time,symbol,open,high,low,close,volume"]
    ),
    zone=st.sampled_from([None, "Europe/Berlin", "Australia/Lord_Howe"]),
    mark=st.sampled_from(",;\t|"),
)
def test_no_table_makes_reading_crash(rows: list[list[str]], header: str, zone: str | None, mark: str) -> None:
    text = "\n".join([header, *(",".join(row) for row in rows)]).replace(",", mark)
    with suppress(FileError, WrongUse):
        read_upload(text.encode(), name="A.csv", options=UploadOptions(zone=zone), limits=SMALL)
