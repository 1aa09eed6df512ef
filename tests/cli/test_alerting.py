"""The commands about alerts: rules in and out, what they would have done, what they did."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from market import SECOND, Tick
from pairscope.cli.alerting import DEEDS
from pairscope.runtime import now_ms
from pairscope.stores.alerts import commit_round, read_rules
from store import SqliteReader, SqliteStore
from tests.alerts.decisions import fired
from tests.cli.calling import Call, run

PAIR = ("--y", "ETHUSDT", "--x", "BTCUSDT")
Z = ("--when", "abs(z) > 2")
COUNT, PERIOD = 600, 60


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A store whose price goes above 105 for ten seconds of each minute, ten times, up to a minute ago."""
    path, begin = tmp_path / "x.db", (now_ms() - 700 * SECOND) // SECOND * SECOND
    prices = [110.0 if n % PERIOD >= PERIOD - 10 else 100.0 + n % 3 for n in range(COUNT)]
    with_store(path, [
        Tick("simulated", symbol, n + 1, begin + n * SECOND + 100, price * times, 1.0, None)
        for symbol, times in (("ETHUSDT", 1.0), ("BTCUSDT", 20.0))
        for n, price in enumerate(prices)
    ])  # fmt: skip
    return path


def with_store(path: Path, ticks: Sequence[Tick]) -> None:
    store = SqliteStore(path, clock=now_ms, commit_ms=1)
    store.append(ticks).result()
    store.close()


def with_history(path: Path) -> list[int]:
    """Let four things be decided; return their numbers."""
    store = SqliteStore(path, clock=now_ms, commit_ms=1)
    kinds = [
        fired(),
        fired(bar_ms=fired().bar_ms + 1, rule_id=2, target="simulated:ETHUSDT", late=True),
        fired(outcome="suppressed", reason="cooldown until 2026-11-21T08:30:00Z"),
        fired(outcome="held", reason="trades of ETHUSDT are missing"),
    ]
    keys = commit_round(store, kinds, ()).result()
    store.close()
    return [key for key in keys if key is not None]


def test_the_command_of_the_issue_keeps_the_rule_and_tells_its_number(stored: Path, call: Call) -> None:
    said = call(
        "alerts", "add", *PAIR, "--timeframe", "1s", "--window", 60, *Z, "--rearm", "1.5", "--cooldown", "30s",
        "--notify", "json://127.0.0.1:9000/hook", "--json", store=stored,
    )  # fmt: skip
    found = said.json()
    assert (said.code, said.err) == (0, "")
    assert found["sentence"].startswith("ETHUSDT / BTCUSDT, 1s bars: the absolute z-score is above 2")
    with SqliteReaderOf(stored) as reader:
        assert read_rules(reader)[found["id"]].values == found["rule"]
    assert (found["rule"]["cooldown_ms"], found["rule"]["window"]) == (30_000, 60)


class SqliteReaderOf:
    """A reader for the length of a block."""

    def __init__(self, path: Path) -> None:
        self._reader = SqliteReader(path)

    def __enter__(self) -> SqliteReader:
        return self._reader

    def __exit__(self, *_: object) -> None:
        self._reader.close()


def test_every_option_of_a_rule_is_kept(stored: Path, call: Call) -> None:
    said = call(
        "alerts", "add", *PAIR, "--when", "half_life < 30 and abs(z) > 2", "--rearm", "abs(z) < 1", "--bars", 900,
        "--method", "huber", "--log", "--no-intercept", "--fill", 2, "--minimum-volume", 0.5, "--duration", "5m",
        "--quiet", "22:00-07:00 Europe/Berlin", "--expires", "2099-01-01T00:00:00Z", "--severity", "critical",
        "--note", "look at it", "--off", "--json", store=stored,
    )  # fmt: skip
    rule = said.json()["rule"]
    assert {name: rule[name] for name in ("bars", "method", "log", "intercept", "fill", "minimum_volume")} == {
        "bars": 900, "method": "huber", "log": True, "intercept": False, "fill": 2, "minimum_volume": 0.5,
    }  # fmt: skip
    assert (rule["duration_ms"], rule["severity"], rule["note"]) == (300_000, "critical", "look at it")
    assert rule["expires_ms"] == 4_070_908_800_000
    assert not said.json()["on"]


def test_a_list_is_json_even_when_there_is_nothing_in_it(stored: Path, call: Call) -> None:
    for deed in ("list", "history"):
        assert call("alerts", deed, "--json", store=stored).out == "[]\n"
    assert "no rules yet" in call("alerts", "list", store=stored).out
    assert "no alerts yet" in call("alerts", "history", store=stored).out


def test_rules_are_listed_changed_put_off_and_removed(stored: Path, call: Call) -> None:
    call("alerts", "add", *PAIR, *Z, store=stored)
    call("alerts", "add", "--all-pairs", "--when", "correlation < 0.5", store=stored)
    first, second = call("alerts", "list", "--json", store=stored).json()
    assert [first["id"], first["on"], first["values"]["y"]] == [1, True, "simulated:ETHUSDT"]
    assert second["values"]["y"] == second["values"]["x"] == "*"
    assert call("alerts", "change", 1, "--when", "abs(z) > 3", "--off", store=stored).code == 0
    assert call("alerts", "remove", 2, store=stored).code == 0
    [left] = call("alerts", "list", "--json", store=stored).json()
    assert (left["on"], left["values"]["when"], left["values"]["x"]) == (False, "abs(z) > 3", "simulated:BTCUSDT")
    assert " 1 off " in call("alerts", "list", store=stored).out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("add --y ETHUSDT --x BTCUSDT", "--when"),
        ("add --when z>2", "--all-pairs"),
        ("add --when z>2 --all-pairs --y ETHUSDT", "--all-pairs is instead of"),
        ("add --when z>>2 --y ETHUSDT --x BTCUSDT", "when"),
        ("add --when abs(zz)>2 --y ETHUSDT --x BTCUSDT", "zz"),
        ("add --when abs(z)>2 --rearm 2.5 --y ETHUSDT --x BTCUSDT", "rearm"),
        ("add --when abs(z)>2 --y ETHUSDT --x BTCUSDT --cooldown soon", "30s"),
        ("add --when abs(z)>2 --y ETHUSDT --x BTCUSDT --notify http://127.0.0.1/x", "json://"),
        ("add --when abs(z)>2 --y ETHUSDT", "x"),
        ("change 1", "nothing to change"),
        ("change 7 --off", "there is no rule 7"),
        ("remove 7", "there is no rule 7"),
        ("test", "--notify"),
        ("test 7", "there is no rule 7"),
        ("explain 7", "there is no alert 7"),
        ("acknowledge 7", "there is no alert 7"),
        ("history --limit 0", "--limit"),
        ("history --pair ETHUSD", "did you mean ETHUSDT?"),
        ("preview --when abs(z)>2", "--all-pairs"),
        ("lst", "did you mean list?"),
        ("", "DEED"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_exit_code_2(command: str, words: str, stored: Path, call: Call) -> None:
    said = call("alerts", *command.split(), *(("--store", f"sqlite:///{stored}") if command not in ("", "lst") else ()))
    assert said.code == 2
    assert words in said.complaint


def test_a_preview_counts_and_keeps_nothing(stored: Path, call: Call) -> None:
    rule = ("--y", "ETHUSDT", "--when", "price > 105")
    said = call("alerts", "preview", *rule, "--hours", 1, store=stored)
    assert said.out.splitlines()[0] == "would have fired 10 times in 1 h"
    found = call("alerts", "preview", *rule, "--hours", 1, "--json", store=stored).json()
    assert (found["fired"], len(found["marks"])) == (10, 10)
    assert found["marks"][0]["value"] == 110.0
    assert call("alerts", "list", "--json", store=stored).json() == []


def test_a_preview_in_which_nothing_fires_says_so(stored: Path, call: Call) -> None:
    said = call("alerts", "preview", "--y", "ETHUSDT", "--when", "price > 1000", "--hours", 1, store=stored)
    assert said.out == "would not have fired in 1 h\n"


@pytest.mark.parametrize("wrong", [("--when", "abs(zz) > 2"), (*Z, "--window", 3), (*Z, "--notify", "http://h/x")])
def test_a_rule_that_is_refused_begins_no_store(wrong: Sequence[str], tmp_path: Path, call: Call) -> None:
    said = call("alerts", "add", *PAIR, *wrong, store=tmp_path / "new.db")
    assert (said.code, list(tmp_path.glob("new.db*"))) == (2, [])


def test_a_password_in_an_address_is_not_said_again(call: Call) -> None:
    address = "json://u:pw-7d1f here@127.0.0.1/x"
    for arguments in (("--notfy", address), (f"--notfy={address}",), ("--window", address), ("--severity", address)):
        said = call("alerts", "add", *PAIR, *Z, *arguments)
        assert said.code == 2
        assert "json://…" in said.complaint
        assert "pw-7d1f" not in said.err
        assert "127.0.0.1" not in said.err


def test_an_address_of_the_pages_stands_in_every_answer(
    stored: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRSCOPE_URL", "https://desk.example/")
    keys, out = with_history(stored), tmp_path / "a.json"
    call("export", "alerts", "--format", "json", "--out", out, store=stored)
    told = [
        call("alerts", "history", "--json", store=stored).json()[1],
        call("alerts", "explain", keys[0], "--json", store=stored).json()["alert"],
        json.loads(out.read_text(encoding="utf-8"))[0],
    ]
    assert {row["link"].split("?")[0] for row in told} == {"https://desk.example/"}


def test_a_preview_of_every_pair_adds_them_up(stored: Path, call: Call) -> None:
    found = call(
        "alerts", "preview", "--all-pairs", "--when", "price > 105", "--timeframe", "1s", "--json", store=stored
    )
    values = found.json()
    assert [each["target"] for each in values["targets"]] == ["simulated:BTCUSDT/simulated:ETHUSDT"]
    assert values["fired"] == sum(each["fired"] for each in values["targets"])


def test_history_tells_what_fired_and_all_of_it_what_did_not(stored: Path, call: Call) -> None:
    keys = with_history(stored)
    rows = call("alerts", "history", "--json", store=stored).json()
    assert [row["id"] for row in rows] == keys[1::-1]
    assert {"id", "time", "rule_id", "state"} <= set(rows[0])
    everything = call("alerts", "history", "--all", "--json", store=stored).json()
    assert [row["state"] for row in everything] == ["held", "suppressed", "active", "active"]
    assert [row["id"] for row in call("alerts", "history", "--rule", 2, "--json", store=stored).json()] == [keys[1]]
    pair = call("alerts", "history", "--pair", "ETHUSDT/BTCUSDT", "--json", store=stored).json()
    assert [row["id"] for row in pair] == [keys[0]]
    assert call("alerts", "history", "--end", "2001-01-01", "--json", store=stored).json() == []
    assert "late by" in call("alerts", "history", store=stored).out


def test_history_tells_the_level_on_the_side_of_zero_on_which_it_was_reached(stored: Path, call: Call) -> None:
    store = SqliteStore(stored, clock=now_ms, commit_ms=1)
    commit_round(store, [fired(value=-2.3, direction="below")], ()).result()
    store.close()
    assert "z below -2: -2.3" in call("alerts", "history", store=stored).out
    [row] = call("alerts", "history", "--json", store=stored).json()
    assert (row["threshold"], row["level"], row["value"]) == (2.0, -2.0, -2.3)


def test_an_alert_is_acknowledged_with_a_note(stored: Path, call: Call) -> None:
    keys = with_history(stored)
    assert call("alerts", "acknowledge", keys[0], "--note", "seen", store=stored).code == 0
    rows = {row["id"]: row for row in call("alerts", "history", "--json", store=stored).json()}
    assert (rows[keys[0]]["state"], rows[keys[0]]["note"]) == ("acknowledged", "seen")


def test_a_decision_that_cannot_be_made_again_is_exit_code_1(stored: Path, call: Call) -> None:
    """The trades of that time were never stored."""
    keys = with_history(stored)
    said = call("alerts", "explain", keys[0], "--json", store=stored)
    assert (said.code, said.json()["same"]) == (1, False)


def test_a_test_over_a_channel_that_is_not_there_is_exit_code_1(stored: Path, call: Call) -> None:
    said = call("alerts", "test", "--notify", "json://127.0.0.1:9/x", "--json", store=stored)
    assert said.code == 1
    assert said.json()["receipts"][0]["state"] == "failed"


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_alerts_are_exported_the_oldest_first(file_format: str, stored: Path, call: Call, tmp_path: Path) -> None:
    keys, out = with_history(stored), tmp_path / "alerts.out"
    said = call("export", "alerts", "--format", file_format, "--out", out, "--json", store=stored)
    assert said.json() == {"rows": 2, "file": str(out)}
    assert [int(str(row["id"])) for row in read_rows(out, file_format)] == keys[:2]
    assert call("export", "alerts", "--symbol", "ETHUSDT", "--out", out, store=stored).code == 2


def read_rows(path: Path, file_format: str) -> Sequence[dict[str, object]]:
    if file_format == "csv":
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    if file_format == "json":
        rows: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))
        return rows
    import pandas as pd

    table = pd.read_parquet(path)
    return [dict(zip(table.columns, row, strict=True)) for row in table.itertuples(index=False)]


def test_a_formula_in_a_note_is_text_in_a_spreadsheet(stored: Path, call: Call, tmp_path: Path) -> None:
    keys = with_history(stored)
    call("alerts", "acknowledge", keys[0], "--note", "=1+1", store=stored)
    call("export", "alerts", "--out", tmp_path / "a.csv", store=stored)
    assert read_rows(tmp_path / "a.csv", "csv")[0]["note"] == "'=1+1"


@pytest.mark.parametrize("deed", DEEDS)
def test_each_deed_has_help(deed: str, call: Call) -> None:
    said = call("alerts", deed, "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: pairscope alerts {deed}")


def test_a_store_may_be_named_before_or_after_the_deed(stored: Path, tmp_path: Path) -> None:
    place = ("--store", f"sqlite:///{stored}")
    before = run("alerts", *place, "--json", "list", cwd=tmp_path)
    after = run("alerts", "list", *place, "--json", cwd=tmp_path)
    assert before == after
    assert replace(before, code=0) == after


@pytest.mark.parametrize("about", [("--y", "ETHUSDT"), (*PAIR, "--timeframe", "1s")])
def test_a_preview_counts_what_a_replay_gives(about: Sequence[str], stored: Path, call: Call, tmp_path: Path) -> None:
    rule = (*about, "--venue", "simulated", "--when", "price > 105")
    call("alerts", "add", *rule, store=tmp_path / "replay.db")
    assert call("replay", stored, "--speed", "max", store=tmp_path / "replay.db").code == 0
    rows = call("alerts", "history", "--json", store=tmp_path / "replay.db").json()
    marks = call("alerts", "preview", *rule, "--hours", 1, "--json", store=tmp_path / "replay.db").json()["marks"]
    assert [row["bar"] for row in rows[::-1]] == [mark["bar"] for mark in marks]
    assert len(marks) == 10
    assert {row["label"] for row in rows} == {"SIMULATED"}
