"""Commands about alerts: rules are kept whole or refused with the reason, and what fired is told."""

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from market import DAY, MINUTE, Instrument, Tick
from pairscope.alerts.holding import Place
from pairscope.alerts.notify import privacy_note
from pairscope.alerts.records import (
    Asked,
    alert_record,
    all_alerts,
    link_of,
    pages_of,
    read_alerts,
    rule_records,
    target_named,
    targets_of,
)
from pairscope.alerts.rules import Judge, Rule, RuleState, rule_of
from pairscope.commands import Desk, Outcome, perform
from pairscope.exports import export_alerts
from pairscope.settings import Settings
from pairscope.stores.alerts import (
    Decision,
    NewDecision,
    Receipt,
    commit_round,
    mark_done,
    mark_sending,
    read_decision,
    read_rules,
)
from store import SqliteStore
from tests.alerts.decisions import HOOK, NOW, fired

SETTINGS = Settings(venue="simulated", notify_allow=("127.0.0.1",))
PAIR = {"when": "abs(z) > 2", "y": "ETHUSDT", "x": "BTCUSDT"}


@dataclass
class Judging:
    """Stands for what judges, and counts how often it was told."""

    told: int = 0
    live: Mapping[str, Any] = field(default_factory=dict)

    def rules_changed(self) -> None:
        self.told += 1

    def status(self) -> Mapping[str, Any]:
        return self.live


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with a trade of two simulated symbols, and one of Kraken."""
    opened = SqliteStore(tmp_path / "x.db", clock=lambda: NOW, commit_ms=1, default_venue="simulated")
    names = [("simulated", "ETHUSDT"), ("simulated", "BTCUSDT"), ("kraken", "BTC/USD")]
    opened.append([Tick(venue, symbol, 1, NOW - MINUTE, 100.0, 1.0, None) for venue, symbol in names]).result()
    yield opened
    opened.close()


@pytest.fixture
def run(store: SqliteStore) -> Callable[..., Outcome]:
    def perform_here(deed: str, arguments: Mapping[str, object], desk: Desk | None = None) -> Outcome:
        return perform(desk or Desk(store, settings=SETTINGS), f"alerts {deed}", arguments, now=NOW)

    return perform_here


Run = Callable[..., Outcome]


def kept(store: SqliteStore, *decisions: NewDecision) -> list[Decision]:
    keys = commit_round(store, decisions, ()).result()
    return [decision for key in keys if key is not None and (decision := read_decision(store, key))]


# ---------------------------------------------------------------------------------------------- rules


def test_a_rule_is_kept_with_the_full_names_of_its_symbols_and_judged_at_once(store: SqliteStore, run: Run) -> None:
    judging = Judging()
    outcome = run("add", {**PAIR, "window": 30}, Desk(store, None, judging, SETTINGS))
    assert (outcome.exit, judging.told) == (0, 1)
    [stored] = read_rules(store).values()
    assert (stored.id, stored.on) == (outcome.values["id"], True)
    assert (stored.values["y"], stored.values["x"]) == ("simulated:ETHUSDT", "simulated:BTCUSDT")
    assert (stored.values["timeframe"], stored.values["window"]) == ("1m", 30)
    assert outcome.values["rule"] == stored.values
    assert str(outcome.values["sentence"]).startswith("ETHUSDT / BTCUSDT")


def test_where_nothing_is_recorded_a_rule_is_kept_and_that_is_said(run: Run) -> None:
    assert "once recording runs" in run("add", PAIR).text


def test_a_price_alone_is_judged_on_every_trade_and_anything_else_on_minutes(run: Run) -> None:
    def timeframe(**values: object) -> object:
        rule = run("add", values).values["rule"]
        assert isinstance(rule, dict)
        return rule["timeframe"]

    assert timeframe(when="price > 3", y="ETHUSDT") == "tick"
    assert timeframe(when="volume > 3", y="ETHUSDT") == "1m"
    assert timeframe(when="price > 3", y="ETHUSDT", x="BTCUSDT") == "1m"
    assert timeframe(when="price > 3", y="ETHUSDT", timeframe="5s") == "5s"


def test_a_rule_that_names_nothing_is_about_every_pair(store: SqliteStore, run: Run) -> None:
    rule = run("add", {"when": "abs(z) > 2"}).values["rule"]
    assert isinstance(rule, dict)
    assert (rule["y"], rule["x"]) == ("*", "*")
    stored = store.instruments()
    assert targets_of(Rule(when="abs(z) > 2"), recorded=[], stored=stored) == ["simulated:BTCUSDT/simulated:ETHUSDT"]


def test_every_pair_is_of_what_is_recorded_and_no_order_turns_it() -> None:
    sol, eth, btc, new = (Instrument("simulated", symbol) for symbol in ("SOLUSDT", "ETHUSDT", "BTCUSDT", "NEWUSDT"))
    rule, stored = Rule(when="abs(z) > 2"), [btc, eth, sol]
    for recorded in ([sol, new, eth], [eth, sol, new]):
        assert targets_of(rule, recorded=recorded, stored=stored) == [f"{eth}/{sol}"]
    assert targets_of(rule, recorded=[new], stored=stored) == []
    assert len(targets_of(rule, recorded=[], stored=stored)) == 3


def test_a_private_channel_is_kept_and_what_lets_it_be_reached_is_said(store: SqliteStore, run: Run) -> None:
    desk = Desk(store, settings=Settings(venue="simulated"))
    outcome = run("add", {**PAIR, "notify": [HOOK]}, desk)
    assert outcome.exit == 0
    assert "PAIRSCOPE_NOTIFY_ALLOW=127.0.0.1" in outcome.text
    assert outcome.values["notes"] == [privacy_note(HOOK, desk.settings)]
    changed = run("change", {"rule": outcome.values["id"], "values": {"window": 30}}, desk)
    assert changed.values["notes"] == outcome.values["notes"]
    assert run("add", {**PAIR, "notify": [HOOK]}).values["notes"] == []


def test_a_secret_that_is_not_known_is_refused_with_where_it_belongs(run: Run) -> None:
    said = run("add", {**PAIR, "notify": ["json://example.com/{HOOK}"]}).text
    assert 'add PAIRSCOPE_SECRET_HOOK to the environment or a line hook = "…" to secrets.toml' in said
    assert "restart the process that records" in said


@pytest.mark.parametrize("notify", ["json://u:pw-7d1f@host/x", [["json://u:pw-7d1f@host/x"]], {"pw-7d1f": 1}])
def test_an_address_is_never_said_again(run: Run, notify: object) -> None:
    for outcome in (run("add", {**PAIR, "notify": notify}), run("test", {"notify": notify})):
        assert outcome.exit == 2
        assert "pw-7d1f" not in outcome.text


@pytest.mark.parametrize("name", ["window", "duration_ms", "expires_ms", "minimum_volume", "fill"])
def test_a_number_beyond_all_measure_is_refused_by_name(run: Run, name: str) -> None:
    outcome = run("add", {**PAIR, name: 10**5_000})
    assert outcome.exit == 2
    assert outcome.text.startswith(f"{name} has more than 15 digits; expected")


def test_a_symbol_that_is_not_there_yet_is_kept_with_the_venue_of_the_settings_and_said(run: Run) -> None:
    outcome = run("add", {**PAIR, "y": "ETHUSD"})
    rule = outcome.values["rule"]
    assert isinstance(rule, dict)
    assert rule["y"] == "simulated:ETHUSD"
    assert "did you mean ETHUSDT?" in outcome.text
    assert outcome.exit == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"when": "abs(zz) > 2"}, "zz"),
        ({**PAIR, "rearm": "2.5"}, "rearm"),
        ({"when": "z > 2", "x": "BTCUSDT"}, "x has no y"),
        ({**PAIR, "x": "ETHUSDT"}, "simulated:ETHUSDT"),
        ({**PAIR, "windw": 3}, "window"),
        ({**PAIR, "on": 1}, "on must be true or false"),
        ({**PAIR, "y": 7}, "a leg must be the name of a symbol"),
        ({**PAIR, "y": "simulatd:ETHUSDT"}, "did you mean simulated?"),
        ({**PAIR, "notify": ["jsn://127.0.0.1/x"]}, "json"),
        ({}, "when is missing"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_and_nothing_is_kept(
    store: SqliteStore, run: Run, values: dict[str, object], words: str
) -> None:
    outcome = run("add", values)
    assert outcome.exit == 2
    assert words in outcome.text
    assert read_rules(store) == {}


def test_a_window_that_is_longer_than_bars_are_kept_is_refused(store: SqliteStore, run: Run) -> None:
    short = Settings(venue="simulated", keep_ticks_days=0.01, keep_seconds_days=0.01)
    desk = Desk(store, settings=short)
    assert run("add", {**PAIR, "timeframe": "5s", "window": 1_000}, desk).exit == 2
    assert run("add", {**PAIR, "timeframe": "1m", "window": 1_000}, desk).exit == 0


def test_a_change_takes_the_place_of_what_was_there_and_leaves_the_rest(store: SqliteStore, run: Run) -> None:
    key = run("add", {**PAIR, "window": 30}).values["id"]
    outcome = run("change", {"rule": key, "values": {"when": "abs(z) > 3"}, "on": False})
    stored = read_rules(store)[int(str(key))]
    assert (outcome.exit, stored.on) == (0, False)
    assert (stored.values["when"], stored.values["window"]) == ("abs(z) > 3", 30)
    run("change", {"rule": key, "on": True})
    assert read_rules(store)[int(str(key))].on


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rule": 9}, "there is no rule 9"),
        ({"rule": "1"}, "rule must be the number of one"),
        ({"rule": True}, "rule must be the number of one"),
        ({"rule": 1, "values": [1]}, "values must be the fields of a rule"),
        ({"rule": 1, "valus": {}}, "did you mean values?"),
        ({"rule": 1, "values": {"when": "abs(z) >"}}, "when"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    store: SqliteStore, run: Run, arguments: dict[str, object], words: str
) -> None:
    run("add", PAIR)
    before = read_rules(store)
    outcome = run("change", arguments)
    assert (outcome.exit, words in outcome.text) == (2, True), outcome.text
    assert read_rules(store) == before


def test_a_rule_that_is_removed_leaves_its_history_which_is_over(store: SqliteStore, run: Run) -> None:
    key = run("add", PAIR).values["id"]
    [decision] = kept(store, fired(rule_id=key))
    assert run("remove", {"rule": key}).values == {"removed": key}
    assert read_rules(store) == {}
    [row] = read_alerts(store, Asked())
    assert (row["id"], row["state"]) == (decision.id, "over")
    assert run("remove", {"rule": key}).exit == 2


def test_a_number_is_never_used_again(run: Run) -> None:
    first = run("add", PAIR).values["id"]
    run("remove", {"rule": first})
    assert run("add", PAIR).values["id"] != first


def test_the_test_of_a_channel_tells_what_came_of_it(store: SqliteStore, run: Run) -> None:
    """Nobody listens on port 9."""
    outcome = run("test", {"notify": [HOOK]})
    assert outcome.exit == 1
    receipts = outcome.values["receipts"]
    assert isinstance(receipts, list)
    assert (receipts[0]["channel"], receipts[0]["state"], receipts[0]["status"]) == (HOOK, "failed", None)
    key = run("add", {**PAIR, "notify": [HOOK]}).values["id"]
    assert run("test", {"rule": key}).exit == 1
    bare = run("add", PAIR).values["id"]
    assert "has no channel" in run("test", {"rule": bare}).text


def test_an_alert_is_acknowledged_once_it_is_there(store: SqliteStore, run: Run) -> None:
    [decision] = kept(store, fired())
    assert run("acknowledge", {"alert": decision.id, "note": "seen"}).exit == 0
    [row] = read_alerts(store, Asked())
    assert (row["state"], row["note"]) == ("acknowledged", "seen")
    assert "there is no alert 99" in run("acknowledge", {"alert": 99}).text
    assert run("acknowledge", {"alert": decision.id, "note": "x" * 501}).exit == 2


def test_the_state_is_that_of_what_judges(store: SqliteStore, run: Run) -> None:
    judging = Judging(live={"rules": 3})
    assert run("state", {}, Desk(store, None, judging, SETTINGS)).values == {"rules": 3}
    assert run("state", {}).exit == 2


# ---------------------------------------------------------------------------------------------- records


def test_a_record_tells_all_there_is_to_an_alert(store: SqliteStore) -> None:
    [decision] = kept(store, fired(late=True, decided_ms=NOW + 42_000))
    row = alert_record(decision, link="L")
    assert row["time"] == "2023-11-14T22:14:00.000Z"
    assert row["bar"] == "2023-11-14T22:13:00.000Z"
    assert (row["pair"], row["y"], row["x"]) == ("ETHUSDT / BTCUSDT", "simulated:ETHUSDT", "simulated:BTCUSDT")
    assert (row["state"], row["metric"], row["direction"], row["value"], row["threshold"]) == (
        "active", "z", "above", 2.3, 2.0,
    )  # fmt: skip
    assert (row["late"], row["late_seconds"], row["severity"], row["link"]) == (True, 42.0, "warning", "L")
    assert row["deliveries"] == [
        {"channel": HOOK, "state": "waiting", "attempts": 0, "status": None, "words": "", "repeated": False}
    ]
    assert row["sentence"].startswith("ETHUSDT / BTCUSDT")


def test_a_delivery_stands_where_the_last_attempt_left_it_whatever_clocks_say(store: SqliteStore) -> None:
    [decision] = kept(store, fired())
    mark_sending(store, [1], now=NOW).result()
    assert read_alerts(store, Asked())[0]["deliveries"][0]["state"] == "sending"
    first = Receipt(1, decision.id, HOOK, NOW, "waiting", None, "", 0.1, "refused", repeated=False)
    mark_done(store, [first]).result()
    last = replace(first, time_ms=NOW - 60_000, state="sent", status=204, words="taken")
    mark_done(store, [last]).result()
    [delivery] = read_alerts(store, Asked())[0]["deliveries"]
    assert (delivery["state"], delivery["status"], delivery["words"], delivery["attempts"]) == ("sent", 204, "taken", 2)


def test_a_list_tells_where_a_rule_stands_as_the_engine_keeps_it(store: SqliteStore, run: Run) -> None:
    key = int(str(run("add", PAIR).values["id"]))
    target, rule = "simulated:ETHUSDT/simulated:BTCUSDT", rule_of(read_rules(store)[key].values)
    words = {
        "armed": RuleState(),
        "active since 2023-11-14T22:14:00.000Z": RuleState(armed=False, fired_ms=NOW),
        "holds since 2023-11-14T22:14:00.000Z": RuleState(since_ms=NOW),
        "keeps still since 2023-11-14T22:14:00.000Z: quiet hours": RuleState(since_ms=NOW, told="quiet hours"),
    }
    for said, state in words.items():
        place = Place(key, rule, Judge(rule), target, 0, state=state, through_ms=NOW)
        commit_round(store, (), [place.stored()]).result()
        assert rule_records(store, {})[0]["states"][0]["state"] == said


def test_the_address_of_the_pages_is_that_of_the_settings_or_of_what_shows_them() -> None:
    assert pages_of(Settings(url="https://desk.example/"), "http://127.0.0.1:1") == "https://desk.example"
    assert pages_of(Settings(), "http://127.0.0.1:1/") == "http://127.0.0.1:1"
    assert pages_of(Settings()) == ""


def test_the_newest_come_first_in_a_list_and_the_oldest_in_a_file(store: SqliteStore) -> None:
    many = [fired(bar_ms=NOW + n * MINUTE, end_ms=NOW + (n + 1) * MINUTE) for n in range(3)]
    held = fired(outcome="held", reason="trades are missing", bar_ms=NOW + 9 * MINUTE)
    keys = [each.id for each in kept(store, *many, held)]
    assert [row["id"] for row in read_alerts(store, Asked())] == keys[2::-1]
    assert [row["state"] for row in read_alerts(store, Asked(outcome=None, limit=1))] == ["held"]
    assert [row["id"] for piece in all_alerts(store, Asked()) for row in piece] == keys[:3]


def test_an_export_that_is_held_in_memory_has_an_end(store: SqliteStore) -> None:
    commit_round(store, [fired(bar_ms=NOW + n, notify=()) for n in range(1_500)], ()).result()
    assert export_alerts(io.BytesIO(), store, Asked(), "csv", most=1_000) == 1_000
    assert export_alerts(io.BytesIO(), store, Asked(), "csv") == 1_500


def test_the_link_opens_the_view_as_the_rule_sees_it(store: SqliteStore) -> None:
    [decision] = kept(store, fired())
    link = link_of(decision, "https://desk.example")
    assert link == (
        "https://desk.example/?y=simulated%3AETHUSDT&x=simulated%3ABTCUSDT&bars=1m&window=90&hedge=Huber&log=false"
        "&intercept=true&fill=0&volume=0"
    )
    assert link_of(decision, "") == ""
    one = replace(decision, target="kraken:BTC/USD")
    assert link_of(one, "https://desk.example") == "https://desk.example/market?symbols=kraken%3ABTC%2FUSD"


def test_what_the_page_cannot_show_is_left_out_of_the_link(store: SqliteStore) -> None:
    [decision] = kept(store, fired(rule={**fired().rule, "window": 5_000, "timeframe": "7m"}))
    assert "window" not in link_of(decision, "https://desk.example")
    assert "bars" not in link_of(decision, "https://desk.example")


def test_a_rule_tells_where_it_stands_with_each_pair(store: SqliteStore, run: Run) -> None:
    key = run("add", PAIR).values["id"]
    [decision] = kept(store, fired(rule_id=key))
    waits = {"rule_id": key, "target": "simulated:ETHUSDT/kraken:BTC/USD", "since_ms": NOW, "why": "ETHUSDT is stale"}
    assert rule_records(store, {})[0]["states"] == []
    [row] = rule_records(store, {"waiting": [waits]})
    assert [(each["pair"], each["state"]) for each in row["states"]] == [
        ("ETHUSDT / BTC/USD", "waiting: ETHUSDT is stale")
    ]
    known = {"waiting": [{**waits, "target": decision.target}]}
    [state] = rule_records(store, known)[0]["states"]
    assert state["state"] == "active since 2023-11-14T22:14:00.000Z, waiting: ETHUSDT is stale"
    problem = {"problems": [{"rule_id": key, "why": "no such symbol"}]}
    assert rule_records(store, problem)[0]["states"][0]["state"] == "waiting: no such symbol"


def test_a_kept_rule_that_is_none_any_more_does_not_hide_its_history(store: SqliteStore) -> None:
    [decision] = kept(store, fired(rule={"when": 3}))
    assert alert_record(decision)["sentence"].startswith("this rule cannot be read")


def test_a_pair_is_found_by_its_names_also_with_a_slash_in_them(store: SqliteStore) -> None:
    def found(text: str) -> str:
        return target_named(text, store.instruments(), default_venue="simulated")

    assert found("ETHUSDT/BTCUSDT") == "simulated:ETHUSDT/simulated:BTCUSDT"
    assert found("ETHUSDT / kraken:BTC/USD") == "simulated:ETHUSDT/kraken:BTC/USD"
    assert found("BTC/USD") == "kraken:BTC/USD"
    assert found("ETHUSDT") == "simulated:ETHUSDT"
    with pytest.raises(Exception, match="unknown pair 'ETHUSD'"):
        found("ETHUSD")


def test_bars_of_minutes_are_kept_for_ever_and_those_of_seconds_as_the_settings_say() -> None:
    from pairscope.alerts.commands import kept_ms

    settings = Settings(keep_ticks_days=1, keep_seconds_days=2)
    kept_of = {each: kept_ms(Rule(when="z > 1", timeframe=each), settings) for each in ("5s", "1m", "1h", "tick", "?")}
    assert kept_of == {"5s": 2 * DAY, "1m": math.inf, "1h": math.inf, "tick": math.inf, "?": math.inf}
