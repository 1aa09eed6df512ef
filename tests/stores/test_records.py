"""The desk's own records: put, read, replaced and removed, also by names that mean harm."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pairscope.stores.records import Record, put_record, read_records, remove_record
from store import SqliteReader, SqliteStore

HOSTILE = [
    *(f"<script>alert({number})</script>" for number in range(480)),
    "'; DROP TABLE records; --", "\u202eevil", "[x](javascript:alert(1))", "{{7*7}}", "$\\frac{1}{0}$", "%00", "é" * 60,
    ":red[a]", "NULL", "../../etc/passwd", "a\tb", "\\", "`", '"', "0", " ", "名前", "🙂", "%{x}", "\u200b",
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "a.db", clock=lambda: 0, commit_ms=1)
    yield store
    store.close()


def test_a_record_outlives_the_process_and_is_read_by_another(store: SqliteStore, tmp_path: Path) -> None:
    put_record(store, "preset", "mine", {"window": "90"}, now=5).result()
    viewer = SqliteReader(tmp_path / "a.db")
    assert read_records(viewer, "preset") == {"mine": Record("mine", {"window": "90"}, 5)}
    viewer.close()


def test_a_record_takes_the_place_of_the_one_with_its_name(store: SqliteStore) -> None:
    for time, window in ((1, "60"), (2, "90")):
        put_record(store, "preset", "mine", {"window": window}, now=time).result()
    assert list(read_records(store, "preset").values()) == [Record("mine", {"window": "90"}, 2)]


def test_a_record_is_removed_once(store: SqliteStore) -> None:
    put_record(store, "preset", "mine", {}, now=1).result()
    assert [remove_record(store, "preset", "mine").result() for _ in range(2)] == [True, False]
    assert read_records(store, "preset") == {}


def test_five_hundred_hostile_names_are_names(store: SqliteStore) -> None:
    assert len(HOSTILE) == len(set(HOSTILE)) == 500
    done = [put_record(store, "preset", name, {"y": name}, now=1) for name in HOSTILE]
    assert [each.result() for each in done] == [None] * 500
    found = read_records(store, "preset")
    assert set(found) == set(HOSTILE)
    assert all(record.values == {"y": name} for name, record in found.items())


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "null"])
def test_what_is_no_record_any_more_still_has_its_name(store: SqliteStore, text: str) -> None:
    def spoil(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO records VALUES ('preset', 'spoilt', ?, 1)", (text,))

    store.write(spoil).result()
    [record] = read_records(store, "preset").values()
    assert record.name == "spoilt"
    assert list(record.values.values()) == [None]
