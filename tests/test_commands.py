"""Commands that change a store, wherever they run, and their way to the process that owns it."""

import json
import math
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ingest import FeedHealth, FeedStatus, Resting, SymbolHealth, VenueHealth
from market import DAY, Gap, Instrument, Tick, UnknownName
from pairscope.commands import HANDED_OVER, Desk, Keep, Outcome, perform, plain
from pairscope.handover import hand_over
from pairscope.stores.records import read_records
from store import Owner, SqliteStore, StoreError

NOW = 1_700_000_040_000 + 30 * DAY
BTC, ETH = "binance-spot:BTCUSDT", "binance-spot:ETHUSDT"
BTC_NAME = Instrument("binance-spot", "BTCUSDT")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with one trade a day of two symbols, for 30 days up to now."""
    opened = SqliteStore(tmp_path / "x.db", clock=lambda: NOW, commit_ms=1)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        days = [Tick("binance-spot", symbol, day, NOW - (30 - day) * DAY, 100.0, 1.0, "buy") for day in range(31)]
        opened.append(days).result()
    yield opened
    opened.close()


def run(store: SqliteStore, name: str, **arguments: object) -> Outcome:
    return perform(Desk(store), name, arguments, now=NOW)


def count(store: SqliteStore) -> dict[str, int]:
    return {str(each.instrument): each.ticks for each in store.check().symbols}


# --------------------------------------------------------------------------------------------------- prune


def test_prune_keeps_the_days_that_were_asked_for(store: SqliteStore) -> None:
    outcome = run(store, "prune", ticks_days=10)
    assert outcome == Outcome(0, "40 rows deleted", {"deleted": 40})
    assert count(store) == {BTC: 11, ETH: 11}
    assert len(store.bars(BTC, "1s")) == 31
    run(store, "prune", ticks_days=5, seconds_days=20)
    assert len(store.bars(BTC, "1s")) == 21
    assert len(store.bars(BTC, "1m")) == 31


@pytest.mark.parametrize("days", [None, math.inf, 1e300, 10**400, 1e9, 40])
def test_prune_of_more_days_than_there_are_deletes_nothing(store: SqliteStore, days: Any) -> None:
    assert run(store, "prune", ticks_days=days).values == {"deleted": 0}
    assert count(store) == {BTC: 31, ETH: 31}


@pytest.mark.parametrize("days", [0, -1, math.nan, True, "5", [5], -(10**400)])
def test_prune_of_no_number_of_days_is_wrong_use(store: SqliteStore, days: Any) -> None:
    outcome = run(store, "prune", ticks_days=days)
    assert (outcome.exit, outcome.values) == (2, {})
    assert outcome.text == f"ticks days must be a number above 0, not {days!r}"
    assert count(store) == {BTC: 31, ETH: 31}


def test_bars_are_kept_at_least_as_long_as_the_trades_that_they_index(store: SqliteStore) -> None:
    wanted = "1-second bars must be kept at least as long as trades ({}), not 5 days"
    assert run(store, "prune", ticks_days=9, seconds_days=5) == Outcome(2, wanted.format("9 days"), {})
    assert run(store, "prune", seconds_days=5) == Outcome(2, wanted.format("for ever"), {})


def test_what_is_kept_for_ever_costs_housekeeping_nothing(store: SqliteStore) -> None:
    assert Keep(math.inf, math.inf).prune(store, NOW) == 0
    assert Keep(1.0, math.inf).prune(store, NOW) == 58


# -------------------------------------------------------------------------------------------------- delete


def test_delete_needs_the_words_and_takes_only_what_they_say(store: SqliteStore) -> None:
    assert run(store, "delete", symbol=BTC, confirm=f"delete {BTC}") == Outcome(0, "31 trades deleted", {"deleted": 31})
    assert count(store) == {ETH: 31}
    assert run(store, "delete", symbol=None, confirm="delete everything").values == {"deleted": 31}
    assert count(store) == {}


@pytest.mark.parametrize("confirm", [None, "", "yes", "delete everything ", "delete binance-spot:ETHUSDT", True, 5])
def test_other_words_delete_nothing(store: SqliteStore, confirm: object) -> None:
    for symbol in (BTC, *([None] if confirm != "delete everything" else [])):
        outcome = run(store, "delete", symbol=symbol, confirm=confirm)
        assert outcome.exit == 2
        assert outcome.text.startswith("nothing was deleted: to confirm, give the words 'delete ")
    assert count(store) == {BTC: 31, ETH: 31}


def test_a_symbol_that_is_not_there_is_told_with_the_nearest(store: SqliteStore) -> None:
    outcome = run(store, "delete", symbol="BTCUSTD", confirm="x")
    assert (outcome.exit, outcome.values) == (2, {})
    assert outcome.text == "unknown symbol 'BTCUSTD' (did you mean BTCUSDT?); known: BTCUSDT, ETHUSDT"


@pytest.mark.parametrize("name", ["", "ingest", "perform", "__class__", "PRUNE"])
def test_only_writing_commands_can_be_handed_over(store: SqliteStore, name: str) -> None:
    assert run(store, name) == Outcome(2, f"{name!r} is not a command that can be handed over", {})
    changing, asking = {"import", "prune", "delete", "repair"}, {"status"}
    symbols = {"symbols list", "symbols add", "symbols remove"}
    recording = {"recording pause", "recording stop", "recording go on"}
    presets = {"preset save", "preset delete"}
    alerts = {f"alerts {deed}" for deed in ("add", "change", "remove", "test", "acknowledge", "state")}
    assert set(HANDED_OVER) == changing | asking | symbols | recording | presets | alerts


# ------------------------------------------------------------------------------------------- what records


class Recording:
    """A recorder of the simulated market with nothing behind it."""

    def __init__(self, *symbols: str) -> None:
        self.names = [Instrument("simulated", symbol) for symbol in symbols]
        self.repaired: list[Gap] = []

    def snapshot(self) -> dict[str, Any]:
        feed = FeedHealth(
            label="SIMULATED",
            state="streaming",
            message="",
            symbols=self.recorded(),
            venues=VENUES,
            received=1_234,
            stored=1_200,
            duplicates=30,
            rejected={"time is in the future": 4},
            dropped=0,
            gaps_filled=2,
            gaps_open=1,
            gaps_abandoned=0,
            gaps_left_out=0,
            reconnects=1,
            queue=0,
            loop_lag_ms=0.5,
        )
        health: dict[str, Any] = plain({"feed": feed, "warnings": ["The disk is 81% full, 3.0 GB are left."]})
        return health

    def recorded(self) -> tuple[SymbolHealth, ...]:
        return tuple(SymbolHealth(each, "live", 100.0, NOW, 0.4, 12, 5.25, 40, 0) for each in self.names)

    def add_symbol(self, text: str, venue: str | None = None) -> Instrument:
        if text == "SLOWUSDT":
            raise TimeoutError
        if text == "BTCUSTD":
            raise UnknownName("symbol", text, ["BTCUSDT"])
        self.names.append(Instrument.parse(text, venue=venue or "simulated"))
        return self.names[-1]

    def remove_symbol(self, text: str, venue: str | None = None) -> Instrument:
        self.names.remove(Instrument.parse(text, venue=venue or "simulated"))
        return Instrument.parse(text, venue=venue or "simulated")

    def repair(self, gaps: Sequence[Gap]) -> None:
        self.repaired = list(gaps)

    def rest(self, why: Resting) -> None:
        self.state: str = why

    def go_on(self) -> None:
        self.state = "recording"

    def search(self, text: str = "", venue: str | None = None) -> dict[Instrument, str]:
        return {Instrument(venue or "simulated", "BTCUSDT"): "", Instrument(venue or "simulated", f"{text}X"): "BREAK"}


VENUES = (VenueHealth("simulated", "SIMULATED", "streaming", "", FeedStatus()),)


def desk_run(store: SqliteStore, recorder: Recording, name: str, **arguments: object) -> Outcome:
    return perform(Desk(store, recorder), name, arguments, now=NOW)


@pytest.mark.parametrize(
    ("name", "state"),
    [("recording pause", "paused"), ("recording stop", "stopped"), ("recording go on", "recording")],
)
def test_recording_is_paused_stopped_and_goes_on(store: SqliteStore, name: str, state: str) -> None:
    recorder = Recording("BTCUSDT")
    outcome = desk_run(store, recorder, name)
    assert (outcome.exit, outcome.values, recorder.state) == (0, {"state": state}, state)
    assert run(store, name).exit == 2  # where nothing is recorded


def test_a_stop_says_how_long_it_lasts_and_what_is_fetched_all_the_same(store: SqliteStore) -> None:
    said = desk_run(store, Recording("BTCUSDT"), "recording stop").text
    assert "until `record start`, or until Pairscope is started again" in said
    assert "what was owed before is fetched" in said


def test_a_preset_is_saved_and_deleted(store: SqliteStore) -> None:
    outcome = run(store, "preset save", preset=" mine ", values={"window": "90", "log": "true"})
    assert (outcome.exit, outcome.values["saved"]) == (0, "mine")
    assert read_records(store, "preset")["mine"].values == outcome.values["values"]
    assert run(store, "preset delete", preset="mien").text == "unknown preset 'mien' (did you mean mine?); known: mine"
    assert run(store, "preset delete", preset="mine").exit == 0
    assert read_records(store, "preset") == {}


@pytest.mark.parametrize("name", ["", "  ", "a" * 61, "a\nb", None, 5])
def test_a_preset_has_a_name_that_can_be_seen(store: SqliteStore, name: object) -> None:
    outcome = run(store, "preset save", preset=name, values={})
    assert (outcome.exit, outcome.text.partition(",")[0]) == (2, "a preset's name is 1 to 60 letters that can be seen")


@pytest.mark.parametrize("values", [None, [], {"window": "abc"}, {"secret": "x"}])
def test_a_preset_that_cannot_be_is_not_saved(store: SqliteStore, values: object) -> None:
    assert run(store, "preset save", preset="mine", values=values).exit == 2
    assert read_records(store, "preset") == {}


def test_status_tells_what_page_and_api_tell(store: SqliteStore) -> None:
    recorder = Recording("BTCUSDT")
    outcome = desk_run(store, recorder, "status")
    assert (outcome.exit, outcome.values) == (0, recorder.snapshot())
    lines = outcome.text.splitlines()
    assert lines[0].startswith("SIMULATED · streaming · 1,234 received · 1,200 stored · 30 duplicates · 4 rejected")
    assert [line.split() for line in lines[1:2]] == [["simulated", "streaming"]]
    assert lines[2].split(maxsplit=2) == ["simulated:BTCUSDT", "live", "0.4 s ago · 5.2/s · lag 12 ms"]
    assert lines[3] == "The disk is 81% full, 3.0 GB are left."


def test_symbols_are_added_and_removed_at_once_and_it_says_for_how_long(store: SqliteStore) -> None:
    recorder = Recording("BTCUSDT")
    outcome = desk_run(store, recorder, "symbols add", symbols=["ETHUSDT", "kraken:BTC/USD"])
    assert (outcome.exit, outcome.values) == (0, {"added": ["simulated:ETHUSDT", "kraken:BTC/USD"]})
    assert "until this process ends" in outcome.text
    assert "setting `symbols`" in outcome.text
    outcome = desk_run(store, recorder, "symbols remove", symbols=["BTC/USD"], venue="kraken")
    assert outcome.values == {"removed": ["kraken:BTC/USD"]}
    assert list(map(str, recorder.names)) == ["simulated:BTCUSDT", "simulated:ETHUSDT"]


def test_a_wrong_symbol_is_told_with_the_nearest_and_with_what_was_done_before_it(store: SqliteStore) -> None:
    outcome = desk_run(store, Recording(), "symbols add", symbols=["ETHUSDT", "BTCUSTD"])
    assert (outcome.exit, outcome.values) == (2, {})
    assert "'BTCUSTD' (did you mean BTCUSDT?)" in outcome.text
    assert outcome.text.endswith("; added before it: simulated:ETHUSDT")


def test_recording_that_is_too_busy_for_a_change_is_said_so(store: SqliteStore) -> None:
    outcome = desk_run(store, Recording(), "symbols add", symbols=["SLOWUSDT"])
    assert (outcome.exit, outcome.values) == (1, {})
    assert outcome.text.startswith("recording did not get to 'symbols add' in time")


@pytest.mark.parametrize("symbols", [None, [], "BTCUSDT", [5]])
def test_what_is_no_list_of_symbols_is_wrong_use(store: SqliteStore, symbols: object) -> None:
    outcome = desk_run(store, Recording(), "symbols add", symbols=symbols)
    assert (outcome.exit, outcome.text) == (2, f"symbols must be a list of names, not {symbols!r}")


def test_the_list_has_what_is_recorded_first_and_then_what_is_only_stored(store: SqliteStore) -> None:
    outcome = desk_run(store, Recording("SOLUSDT"), "symbols list")
    rows: Any = outcome.values["symbols"]
    assert [(each["venue"], each["symbol"], each["state"]) for each in rows] == [
        ("simulated", "SOLUSDT", "live"),
        ("binance-spot", "BTCUSDT", "stored"),
        ("binance-spot", "ETHUSDT", "stored"),
    ]
    only = desk_run(store, Recording("SOLUSDT"), "symbols list", venue="simulated").text
    assert only.split() == ["simulated:SOLUSDT", "live"]


def test_a_search_lists_what_the_venue_has_with_its_status(store: SqliteStore) -> None:
    outcome = desk_run(store, Recording(), "symbols list", search="BTC", venue="kraken")
    assert [line.split() for line in outcome.text.splitlines()] == [["kraken:BTCUSDT"], ["kraken:BTCX", "BREAK"]]
    rows: Any = outcome.values["symbols"]
    assert rows[1] == {"venue": "kraken", "symbol": "BTCX", "status": "BREAK"}


@pytest.mark.parametrize("name", ["status", "symbols list", "symbols add", "symbols remove"])
def test_where_nothing_is_recorded_that_is_said(store: SqliteStore, name: str) -> None:
    outcome = run(store, name, symbols=["BTCUSDT"])
    assert (outcome.exit, outcome.values) == (2, {})
    assert outcome.text.startswith("nothing is being recorded into this store: start ")


# --------------------------------------------------------------------------------------------- plain values


def test_results_become_what_json_can_say() -> None:
    nested = {"a": math.nan, 5: [math.inf, -math.inf, 1.5], "i": BTC_NAME, "t": (1, None, True), BTC_NAME: {2}}
    assert plain(nested) == {"a": None, "5": [None, None, 1.5], "i": BTC, "t": [1, None, True], BTC: [2]}


def test_a_mapping_of_any_kind_becomes_an_object() -> None:
    status = FeedStatus(ignored=Counter(ack=2), refused=MappingProxyType({BTC_NAME: "BREAK"}))
    record = plain(VenueHealth("binance-spot", "LIVE", "refused", "", status))
    assert record["status"]["ignored"] == {"ack": 2}
    assert record["status"]["refused"] == {BTC: "BREAK"}


# ----------------------------------------------------------------------------------------------- hand-over


@contextmanager
def owner(status: int, body: bytes) -> Iterator[tuple[Owner, list[Any]]]:
    """An owner that gives one answer, and notes what it was asked."""
    asked: list[Any] = []

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], content))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Owner(4711, f"http://127.0.0.1:{server.server_port}/base", "t0ken"), asked
        server.shutdown()
        thread.join()


def test_a_command_goes_to_the_owner_and_its_answer_comes_back() -> None:
    outcome = Outcome(1, "no room", {"deleted": 0})
    with owner(200, json.dumps(outcome.to_record()).encode()) as (address, asked):
        assert hand_over(address, "prune", {"ticks_days": 3.0}) == outcome
    assert asked == [("/base/api/command", "Bearer t0ken", {"command": "prune", "arguments": {"ticks_days": 3.0}})]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b'{"error": "this needs the token"}', "did not run the command: this needs the token"),
        (503, b'{"error": "just starting"}', "did not run the command: just starting"),
        (200, b"[]", r"did not run the command: \[\]"),
        (200, b'{"exit": 0}', "did not run the command"),
        (200, b'{"exit": 0, "text": "", "values": {}, "more": 1}', "did not run the command"),
        (200, b"<html>", "did not answer"),
        (200, b"", "did not answer"),
    ],
)
def test_an_answer_that_is_none_is_an_error_that_names_the_owner(status: int, body: bytes, why: str) -> None:
    with owner(status, body) as (address, _), pytest.raises(StoreError, match=f"^process 4711.*{why}"):
        hand_over(address, "prune", {})


def test_an_owner_that_does_not_listen_is_named() -> None:
    with owner(200, b"") as (address, _):
        pass
    with pytest.raises(StoreError, match=r"^process 4711 at http://127\.0\.0\.1:\d+/base .* did not answer$"):
        hand_over(address, "prune", {})


def test_an_owner_without_an_address_takes_no_commands() -> None:
    with pytest.raises(StoreError, match=r"^process 4711 records into the store and takes no commands: stop it first$"):
        hand_over(Owner(4711, None, ""), "prune", {})


@pytest.mark.parametrize(
    "address", ["http://10.0.0.1:80", "http://example.com", "https://127.0.0.1", "", "x", "http://"]
)
def test_the_token_leaves_this_machine_under_no_address(address: str) -> None:
    with pytest.raises(StoreError, match=r"which is not this machine$") as caught:
        hand_over(Owner(4711, address, "t0ken"), "prune", {})
    assert "t0ken" not in str(caught.value)
