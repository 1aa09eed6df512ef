"""Alerts of a process without a browser: one excursion, one delivery, one row, whatever happens to the process."""

import http.client
import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from market import HOUR
from pairscope.alerts.preview import Mark, preview
from pairscope.alerts.rules import rule_of
from pairscope.stores.alerts import Decision, read_decisions
from store import SqliteReader, find_owner
from tests.cli.calling import Said, ended, run, start
from tests.faults.desk import wait_for
from tests.faults.sink import Sink, listening, told

STORE = "sqlite:///x.db"
PAIR = "simulated:ETHUSDT/simulated:BTCUSDT"
OFTEN = ("--y", "ETHUSDT", "--x", "BTCUSDT", "--timeframe", "1s", "--window", "20", "--when", "abs(z) > 1", "--rearm",
         "0.8")  # fmt: skip
CROSSING = (*OFTEN[:8], "--when", "z crosses 0")


class Recorder:
    """`ingest` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] = start(
            "ingest", "--venue", "simulated", "--symbols", "ETHUSDT,BTCUSDT", "--store", STORE,
            cwd=folder, PAIRSCOPE_NOTIFY_ALLOW="127.0.0.1",
        )  # fmt: skip

    def begun(self) -> "Recorder":
        """Return itself once it records."""
        wait_for(self._records, seconds=40)
        return self

    def _records(self) -> bool:
        """Return whether it records, and has the past that it begins with."""
        assert self.process.poll() is None
        health = self.get("/api/health")
        feed = (health or {}).get("feed")
        return bool(feed and feed["stored"] and not any(each["repairing"] for each in feed["symbols"]))

    def get(self, path: str) -> Any:
        """Return the JSON at a path; None while nobody answers."""
        owner = find_owner(self.folder / "x.db")
        if owner is None or owner.address is None:
            return None
        connection = http.client.HTTPConnection(urlsplit(owner.address).netloc, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except OSError:
            return None
        finally:
            connection.close()

    def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/alerts?limit=1000")
        return found

    def command(self, *arguments: object) -> Any:
        said = run(*arguments, "--store", STORE, "--json", cwd=self.folder)
        assert said.code == 0, said.err
        return said.json()

    def end(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=30)


@contextmanager
def recording(folder: Path) -> Iterator[Recorder]:
    recorder = Recorder(folder)
    try:
        yield recorder.begun()
    finally:
        recorder.end(signal.SIGKILL)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with listening() as found:
        yield found


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """One recorder for the tests that leave it alive."""
    with recording(tmp_path_factory.mktemp("alerts")) as found:
        yield found


def previewed(reader: SqliteReader, fired: list[Decision]) -> list[Mark]:
    """Return what the rule of these alerts would have done from the first of them to the last."""
    first, last = fired[0], fired[-1]
    found = preview(
        rule_of(first.rule), reader, PAIR, start=first.bar_ms, end=last.end_ms, now=last.end_ms + HOUR
    )  # fmt: skip
    return list(found.fired)


def enough(recorder: Recorder, count: int) -> Callable[[], list[dict[str, Any]] | None]:
    """Return what looks whether so many alerts fired and were delivered."""

    def look() -> list[dict[str, Any]] | None:
        rows = recorder.history()
        sent = [row for row in rows if all(each["state"] in ("sent", "digested") for each in row["deliveries"])]
        return rows if len(sent) >= count else None

    return look


def test_one_excursion_is_one_delivery_and_one_row_and_the_preview_counts_the_same(
    recorder: Recorder, sink: Sink
) -> None:
    rule = recorder.command("alerts", "add", *OFTEN, "--notify", sink.address)["id"]
    wait_for(enough(recorder, 2), seconds=60)
    recorder.command("alerts", "remove", rule)
    rows = wait_for(lambda: settled(recorder.history()), seconds=30)
    assert {row["rule_id"] for row in rows} == {rule}
    assert sink.alerts() == {row["id"]: 1 for row in rows}
    with closing(SqliteReader(recorder.folder / "x.db")) as reader:
        fired = read_decisions(reader, outcome="fired", limit=1_000)[::-1]
        marks = previewed(reader, fired)
    assert [mark.time_ms for mark in marks] == [each.bar_ms for each in fired]
    assert [mark.value for mark in marks] == pytest.approx([each.value for each in fired], rel=1e-9)
    assert recorder.command("alerts", "explain", rows[0]["id"])["same"] is True


def settled(rows: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return the rows once each is delivered."""
    return None if any(waits(row) for row in rows) else rows


def kill_between_send_and_mark(folder: Path, sink: Sink) -> None:
    """Kill the recorder while the sink holds its answer; what was held comes again after the next start."""
    with recording(folder) as recorder:
        sink.hold()
        wait_for(lambda: sink.held, seconds=60)
        recorder.end(signal.SIGKILL)
        held = {each["id"] for each in told(sink.held)}
        sink.let_go()
    with recording(folder) as recorder:
        wait_for(lambda: held <= sink.repeated(), seconds=60)
        wait_for(lambda: not any(waits(row) for row in recorder.history() if row["id"] in held), seconds=60)
        recorder.end(signal.SIGTERM)


def add_before_recording(folder: Path, sink: Sink) -> None:
    """Add a rule to a store into which nothing is recorded yet."""
    said = run("alerts", "add", *OFTEN, "--venue", "simulated", "--notify", sink.address, "--store", STORE, cwd=folder)
    assert said.code == 0, said.err
    assert "once recording runs" in said.out


def history(folder: Path) -> list[dict[str, Any]]:
    """Return what fired, the oldest first, as the command lists it where nobody records."""
    found: list[dict[str, Any]] = run("alerts", "history", "--store", STORE, "--json", cwd=folder).json()
    return found[::-1]


def waits(row: dict[str, Any]) -> bool:
    return any(each["state"] not in ("sent", "digested") for each in row["deliveries"])


def test_a_kill_between_send_and_mark_loses_nothing_and_repeats_one_that_says_so(tmp_path: Path, sink: Sink) -> None:
    add_before_recording(tmp_path, sink)
    kill_between_send_and_mark(tmp_path, sink)
    rows, counts = history(tmp_path), sink.alerts()
    assert {row["id"] for row in rows} - set(counts) <= {rows[-1]["id"]}  # the newest may have fired at the very end
    twice = {key for key, count in counts.items() if count > 1}
    assert twice == sink.repeated()
    assert max(counts.values()) == 2
    assert len({(row["pair"], row["bar"]) for row in rows}) == len(rows)
    marked = {row["id"] for row in rows if any(each["repeated"] for each in row["deliveries"])}
    assert marked == twice


@pytest.mark.nightly
def test_ten_kills_between_send_and_mark_lose_nothing(tmp_path: Path, sink: Sink) -> None:
    add_before_recording(tmp_path, sink)
    for _ in range(10):
        kill_between_send_and_mark(tmp_path, sink)
    rows, counts = history(tmp_path), sink.alerts()
    assert {row["id"] for row in rows} - set(counts) <= {rows[-1]["id"]}
    assert {key for key, count in counts.items() if count > 1} == sink.repeated()
    assert len({(row["pair"], row["bar"]) for row in rows}) == len(rows)


@pytest.mark.nightly
def test_nothing_fires_while_nothing_comes_and_what_was_missed_is_told_late(recorder: Recorder, sink: Sink) -> None:
    rule = recorder.command("alerts", "add", *CROSSING, "--notify", sink.address)["id"]

    def rows() -> list[dict[str, Any]]:
        return [row for row in recorder.history() if row["rule_id"] == rule]

    wait_for(rows, seconds=60)
    recorder.command("record", "pause")
    assert "is paused" in wait_for(lambda: stands(recorder, "waiting: "), seconds=60)
    before = rows()
    wait_for(lambda: silent(recorder, 15.0), seconds=60)
    assert rows() == before
    recorder.command("record", "resume")
    late = wait_for(lambda: [row for row in rows() if row["late"]], seconds=60)
    assert all(row["late_seconds"] > 5 for row in late)
    wait_for(lambda: {row["id"] for row in late} <= set(sink.alerts()), seconds=60)
    recorder.command("alerts", "remove", rule)
    assert set(sink.alerts().values()) == {1}


def silent(recorder: Recorder, seconds: float) -> bool:
    """Return whether no trade came for so long."""
    return all((each["age_seconds"] or 0) > seconds for each in recorder.get("/api/symbols") or [{"age_seconds": 0}])


def stands(recorder: Recorder, words: str) -> str:
    """Return how the one rule stands, once these words are in it."""
    rules = recorder.get("/api/alerts/rules") or []
    states = [each["state"] for rule in rules for each in rule["states"]]
    return next((state for state in states if words in state), "")


# ------------------------------------------------------------------------------------------------ the end of a replay

TRADES = """time,venue,symbol,trade_id,price,qty,side
2026-11-21T08:00:00.000Z,simulated,ETHUSDT,1,100,1,buy
2026-11-21T08:00:05.000Z,simulated,ETHUSDT,2,101,1,buy
2026-11-21T08:00:09.000Z,simulated,ETHUSDT,3,120,1,buy
"""


def replayed(folder: Path, address: str, rules: int, *options: str) -> Said:
    """Replay trades of which the last one fires each of so many rules."""
    (folder / "t.csv").write_text(TRADES)
    for level in range(rules):
        rule = ("--y", "simulated:ETHUSDT", "--timeframe", "tick", "--when", f"price > {110 + level}")
        assert run("alerts", "add", *rule, "--notify", address, "--store", STORE, cwd=folder).code == 0
    place = ("--speed", "max", "--store", STORE)
    return ended(start("replay", "t.csv", *place, *options, cwd=folder, PAIRSCOPE_NOTIFY_ALLOW="127.0.0.1"))


def test_what_fires_at_the_end_of_a_replay_is_delivered_before_it_ends(tmp_path: Path, sink: Sink) -> None:
    said = replayed(tmp_path, sink.address, 3, "--json")
    assert (said.code, said.json()["deliveries_waiting"]) == (0, 0)
    assert sink.alerts() == {1: 1, 2: 1, 3: 1}


def test_what_cannot_be_delivered_at_the_end_of_a_replay_is_told(tmp_path: Path) -> None:
    with listening() as gone:
        address = gone.address
    said = replayed(tmp_path, address, 1)
    assert said.code == 0
    assert "; 1 delivery waits; it goes out at the next start" in said.out
