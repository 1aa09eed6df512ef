"""What is kept of alerts: put, read by others, ended, delivered and marked, each once, all of it or nothing."""

import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market import DAY
from pairscope.stores import alerts
from pairscope.stores.alerts import (
    LONGEST_PAUSE_MS,
    Decision,
    NewDecision,
    Receipt,
    StoredRule,
    StoredState,
    acknowledge,
    commit_round,
    delivery_counts,
    mark_done,
    mark_sending,
    next_due,
    prune_decisions,
    put_rule,
    read_decision,
    read_decisions,
    read_due,
    read_receipts,
    read_rules,
    read_states,
    remove_rule,
)
from store import SqliteReader, SqliteStore, StoreError
from tests.contracts.store import BTC, T0, trade

PAIR = "binance-spot:ETHUSDT/binance-spot:BTCUSDT"
HOOK, MAIL = "json://127.0.0.1:9000/hook", "mailto://{MAIL}"
FIRED = NewDecision(
    rule_id=1, target=PAIR, outcome="fired", reason="", bar_ms=60_000, end_ms=120_000, decided_ms=120_100, late=False,
    metric="z", direction="below", value=-2.3, threshold=2.0, inputs={"z": -2.3, "before": {"z": -1.9}},
    rule={"when": "abs(z) > 2", "notify": [HOOK]}, label="SIMULATED", notify=(HOOK,),
)  # fmt: skip
SUPPRESSED = replace(FIRED, outcome="suppressed", reason="cooldown until 1970-01-01T00:05:00Z", notify=())
HELD = replace(FIRED, outcome="held", reason="BTCUSDT has a gap", notify=())


def open_store(path: Path) -> SqliteStore:
    return SqliteStore(path, clock=lambda: T0, commit_ms=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "a.db")
    yield store
    store.close()


def commit(store: SqliteStore, *decisions: NewDecision, **ends: Any) -> list[int | None]:
    return commit_round(store, decisions, (), **ends).result(30)


def bars(number: int, kind: NewDecision = FIRED, **changes: Any) -> list[NewDecision]:
    return [replace(kind, bar_ms=60_000 * bar, end_ms=60_000 * (bar + 1), **changes) for bar in range(number)]


def receipt(key: int, **changes: Any) -> Receipt:
    return replace(Receipt(key, 1, HOOK, 200_000, "sent", 200, "127.0.0.1", 0.01, "OK", False), **changes)


# ------------------------------------------------------------------------------------------------ rules and states


def test_a_rule_outlives_the_process_and_is_read_by_another(store: SqliteStore, tmp_path: Path) -> None:
    number = put_rule(store, {"when": "z > 2", "notify": ["ntfy://é"]}, now=5).result(30)
    viewer = SqliteReader(tmp_path / "a.db")
    assert read_rules(viewer) == {number: StoredRule(number, {"when": "z > 2", "notify": ["ntfy://é"]}, True, 5, 5)}
    viewer.close()


def test_a_rule_is_changed_under_its_number_and_keeps_its_beginning(store: SqliteStore) -> None:
    number = put_rule(store, {"when": "z > 2"}, now=5).result(30)
    assert put_rule(store, {"when": "z > 3"}, id=number, on=False, now=9).result(30) == number
    assert read_rules(store) == {number: StoredRule(number, {"when": "z > 3"}, False, 5, 9)}


def test_the_number_of_a_removed_rule_is_never_used_again(store: SqliteStore, tmp_path: Path) -> None:
    first = put_rule(store, {}, now=1).result(30)
    assert [remove_rule(store, first).result(30) for _ in range(2)] == [True, False]
    store.close()
    again = open_store(tmp_path / "a.db")
    assert put_rule(again, {}, now=2).result(30) == first + 1
    assert list(read_rules(again)) == [first + 1]
    again.close()


def test_removing_a_rule_forgets_where_it_stands_and_keeps_what_it_decided(store: SqliteStore) -> None:
    number = put_rule(store, {}, now=1).result(30)
    commit_round(store, [replace(FIRED, rule_id=number)], [StoredState(number, PAIR, 5, {})]).result(30)
    remove_rule(store, number, now=300_000).result(30)
    assert read_states(store) == {}
    [decision] = read_decisions(store)
    assert (decision.rule_id, decision.over_ms) == (number, 300_000)
    assert read_decisions(store, active=True) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "null"])
def test_what_is_no_rule_any_more_still_has_its_number(store: SqliteStore, text: str) -> None:
    number = put_rule(store, {}, now=1).result(30)
    store.write(lambda db: db.execute("UPDATE alert_rules SET json = ?", (text,))).result(30)
    assert list(read_rules(store)[number].values.values()) == [None]


def test_a_state_takes_the_place_of_the_one_before_and_goes_when_it_is_to_be_forgotten(store: SqliteStore) -> None:
    other = StoredState(1, "binance-spot:BTCUSDT", 7, {})
    commit_round(store, (), [StoredState(1, PAIR, 5, {"armed": True}), other]).result(30)
    newer = StoredState(1, PAIR, 6, {"armed": False, "before": {"z": 1.5}})
    commit_round(store, (), [newer], gone=[(1, other.target), (1, PAIR)]).result(30)
    assert read_states(store) == {(1, PAIR): newer}


# ------------------------------------------------------------------------------------------------ decisions


def test_a_decision_is_read_as_it_was_made(store: SqliteStore, tmp_path: Path) -> None:
    made = replace(FIRED, reason="ünïcode \U0001f642", late=True, trade_id=9, notify=(HOOK, MAIL))
    [number] = commit(store, made)
    viewer = SqliteReader(tmp_path / "a.db")
    expected = {name: getattr(made, name) for name in NewDecision.__slots__}
    assert number is not None
    assert read_decision(viewer, number) == Decision(**expected, id=number, over_ms=None, acknowledged_ms=None, note="")
    assert read_decisions(viewer) == [read_decision(viewer, number)]
    assert read_decision(viewer, number + 1) is None
    viewer.close()


def test_a_value_that_is_none_stays_none_and_one_that_is_missing_stays_nan_in_the_inputs(store: SqliteStore) -> None:
    commit(store, replace(FIRED, value=math.nan, threshold=None, inputs={"z": math.nan}))
    [decision] = read_decisions(store)
    assert (decision.value, decision.threshold) == (None, None)
    assert math.isnan(decision.inputs["z"])


def test_a_decision_made_again_is_neither_stored_nor_delivered_again(store: SqliteStore) -> None:
    assert commit(store, FIRED) == [1]
    again, newer = commit(store, replace(FIRED, decided_ms=999_999, value=-9.0), replace(FIRED, bar_ms=120_000))
    assert again is None
    assert [each.value for each in read_decisions(store)] == [-2.3, -2.3]
    assert [each.decision.id for each in read_due(store, 10**9)] == [1, newer]


@settings(max_examples=25)
@given(rounds=st.lists(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 3), st.sampled_from("ab")), max_size=4)))
def test_however_often_rounds_are_made_each_key_is_decided_and_delivered_once(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[int, int, str]]]
) -> None:
    store = open_store(tmp_path_factory.mktemp("rounds") / "a.db")
    made = [
        commit(store, *(replace(FIRED, rule_id=rule, bar_ms=bar, target=target) for rule, bar, target in each))
        for each in rounds
    ]
    keys = {key for each in rounds for key in each}
    assert sum(number is not None for each in made for number in each) == len(keys)
    assert {(each.rule_id, each.bar_ms, each.target) for each in read_decisions(store)} == keys
    assert delivery_counts(store) == ({"waiting": len(keys)} if keys else {})
    store.close()


@pytest.mark.parametrize("broken", [replace(FIRED, outcome="shot"), replace(FIRED, bar_ms=1, metric=None)])  # type: ignore[arg-type]
def test_a_round_that_cannot_be_kept_leaves_nothing_and_says_so(store: SqliteStore, broken: NewDecision) -> None:
    with pytest.raises(StoreError, match="constraint failed"):
        commit_round(store, [FIRED, broken], [StoredState(1, PAIR, 5, {})], over=[(1, PAIR, 10**6)]).result(30)
    assert (read_decisions(store), read_states(store), delivery_counts(store)) == ([], {}, {})


def test_only_what_fired_is_delivered_and_once_by_each_channel(store: SqliteStore) -> None:
    commit(store, replace(SUPPRESSED, notify=(HOOK,)), replace(HELD, notify=(HOOK,)))
    commit(store, replace(FIRED, notify=(HOOK, MAIL, HOOK)))
    assert [each.channel for each in read_due(store, 120_100)] == [HOOK, MAIL]


def test_what_fired_is_active_until_it_is_over(store: SqliteStore) -> None:
    commit(store, FIRED, replace(FIRED, target="other"), SUPPRESSED, HELD)
    assert {each.target for each in read_decisions(store, active=True)} == {PAIR, "other"}
    commit(store, over=[(1, PAIR, 240_000)])
    assert [each.target for each in read_decisions(store, active=True)] == ["other"]
    over = read_decisions(store, outcome="fired", active=False)
    assert [(each.target, each.over_ms) for each in over] == [(PAIR, 240_000)]
    assert len(read_decisions(store, active=False)) == 3


def test_an_end_reaches_what_fired_before_it_only_also_within_one_round(store: SqliteStore) -> None:
    first, second = bars(2)
    commit(store, first, second, over=[(1, PAIR, 90_000)])
    assert [each.over_ms for each in read_decisions(store, after_id=0)] == [90_000, None]
    commit(store, over=[(1, PAIR, 900_000), (1, PAIR, 300_000)])
    assert [each.over_ms for each in read_decisions(store, after_id=0)] == [90_000, 300_000]


def test_what_was_held_is_over_when_its_bar_is_judged(store: SqliteStore) -> None:
    commit(store, *bars(2, HELD))
    commit(store, judged=[(1, PAIR, 60_000, 999_000)])
    assert [each.bar_ms for each in read_decisions(store, outcome="held", active=True)] == [0]
    assert [each.over_ms for each in read_decisions(store, outcome="held")] == [999_000, None]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"limit": 2}, [6, 5]),
        ({"after_id": 3, "limit": 2}, [4, 5]),
        ({"outcome": "suppressed"}, [4]),
        ({"rule_id": 2}, [6]),
        ({"target": "kraken:A"}, [6]),
        ({"start": 120_000, "end": 180_000}, [5, 4, 2]),
        ({"active": True, "rule_id": 1}, [3, 2, 1]),
        ({"text": "COOLDOWN"}, [4]),
        ({"text": "naïve \\ %"}, [6]),
        ({"text": "what of it"}, [1]),
        ({"text": "É"}, [1]),
        ({"text": "Ünd"}, [6]),
        ({"text": "ethusdt", "outcome": "held"}, [5]),
        ({"text": "'; DROP TABLE alerts; --"}, []),
        ({"text": "\ud800"}, []),
    ],
)
def test_decisions_are_found_by_what_is_asked_for(store: SqliteStore, asked: dict[str, Any], found: list[int]) -> None:
    commit(store, *bars(3), SUPPRESSED, HELD)
    commit(store, replace(FIRED, rule_id=2, target="kraken:A", end_ms=10**6, rule={"note": "naïve \\ % _ Ünd"}))
    commit(store, over=[(2, "kraken:A", 10**6)])
    acknowledge(store, 1, note="What of it É", now=1).result(30)
    assert [each.id for each in read_decisions(store, **asked)] == found


def test_who_saw_it_first_is_kept_and_what_is_said_last(store: SqliteStore) -> None:
    commit(store, FIRED)
    said = [("seen", 5), (None, 6), ("half a \ud83d", 7)]
    assert [acknowledge(store, 1, note=note, now=now).result(30) for note, now in said] == [True] * 3
    assert not acknowledge(store, 2, note="nothing there", now=8).result(30)
    [decision] = read_decisions(store)
    assert (decision.acknowledged_ms, decision.note) == (5, "half a ?")


def test_deleting_a_symbol_leaves_what_was_decided_of_it(store: SqliteStore, tmp_path: Path) -> None:
    store.append([trade(1, T0)]).result(30)
    commit(store, FIRED)
    store.delete(BTC, confirm=f"delete {BTC}")
    store.delete(None, confirm="delete everything")
    assert len(read_decisions(store)) == 1
    assert store.check().faults == ()
    store.backup(tmp_path / "copy.db")
    copy = SqliteReader(tmp_path / "copy.db")
    assert (read_decisions(copy), read_due(copy, 10**9)) == (read_decisions(store), read_due(store, 10**9))
    copy.close()


def test_old_decisions_to_keep_still_go_and_what_fired_stays(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "DECISIONS_AT_ONCE", 3)
    commit(store, *bars(3), *bars(3, SUPPRESSED), *bars(3, HELD))
    assert [prune_decisions(store, 180_000).result(30) for _ in range(3)] == [3, 1, 0]
    left = read_decisions(store, after_id=0)
    assert [(each.outcome, each.end_ms) for each in left[3:]] == [("suppressed", 180_000), ("held", 180_000)]
    assert [each.outcome for each in left[:3]] == ["fired"] * 3


# ------------------------------------------------------------------------------------------------ deliveries


def test_deliveries_wait_for_their_time_and_the_longest_due_comes_first(store: SqliteStore) -> None:
    assert (next_due(store), read_due(store, 10**9), delivery_counts(store)) == (None, [], {})
    commit(store, FIRED, replace(FIRED, bar_ms=1), replace(FIRED, bar_ms=2))
    mark_done(store, [], next_ms={1: 300, 2: 200}).result(30)
    assert next_due(store) == 0
    assert [[each.decision.id for each in read_due(store, now)] for now in (0, 200, 300)] == [[3], [3, 2], [3, 2, 1]]
    assert [each.decision.id for each in read_due(store, 300, limit=2)] == [3, 2]


@pytest.mark.parametrize("decided_ms", [-DAY, 0, T0, T0 + DAY])
def test_what_fired_is_due_at_once_whatever_its_venue_s_clock_says(store: SqliteStore, decided_ms: int) -> None:
    commit(store, replace(FIRED, decided_ms=decided_ms))
    assert [each.next_ms for each in read_due(store, 0)] == [0]


def test_what_was_put_off_by_a_clock_that_was_ahead_is_due(store: SqliteStore) -> None:
    commit(store, FIRED)
    mark_done(store, [], next_ms={1: T0 + LONGEST_PAUSE_MS}).result(30)
    assert [len(read_due(store, now)) for now in (T0 - 1, T0, T0 + LONGEST_PAUSE_MS)] == [1, 0, 1]


def test_the_first_attempt_is_kept_and_never_in_the_future(store: SqliteStore) -> None:
    commit(store, FIRED)
    first = []
    for now in (200, 300, 100, 400):
        mark_sending(store, [1], now=now).result(30)
        first += [each.first_ms for each in read_due(store, 400)]
    assert first == [200, 200, 100, 100]


def test_a_delivery_that_was_begun_is_due_again_after_a_restart_and_known_by_its_attempt(
    store: SqliteStore, tmp_path: Path
) -> None:
    commit(store, FIRED)
    [before] = read_due(store, 10**9)
    mark_sending(store, [before.key], now=130_000).result(30)
    store.close()
    again = open_store(tmp_path / "a.db")
    assert read_due(again, 10**9) == [replace(before, state="sending", attempts=1, next_ms=130_000, first_ms=130_000)]
    again.close()


def test_a_receipt_ends_its_delivery_or_puts_it_off(store: SqliteStore) -> None:
    commit(store, replace(FIRED, notify=(HOOK, MAIL)))
    hook, mail = (each.key for each in read_due(store, 10**9))
    refused = receipt(hook, state="waiting", status=429, words="too many \ud83d", repeated=True)
    mark_done(store, [refused, receipt(mail, channel=MAIL, status=None)], next_ms={hook: 500_000}).result(30)
    assert delivery_counts(store) == {"waiting": 1, "sent": 1}
    assert (next_due(store), read_due(store, 499_999)) == (500_000, [])
    mark_done(store, [receipt(hook)]).result(30)
    assert (next_due(store), delivery_counts(store)) == (None, {"sent": 2})
    expected = [replace(refused, words="too many ?"), receipt(mail, channel=MAIL, status=None), receipt(hook)]
    assert read_receipts(store, 1) == expected
    assert read_receipts(store, 2) == []


def test_channels_that_rest_are_left_out(store: SqliteStore) -> None:
    commit(store, replace(FIRED, notify=(HOOK, MAIL)))
    assert [each.channel for each in read_due(store, 200, skip=[HOOK])] == [MAIL]
    assert (next_due(store, skip=[HOOK]), next_due(store, skip={HOOK, MAIL})) == (0, None)


def test_a_delivery_is_put_off_without_an_attempt(store: SqliteStore) -> None:
    commit(store, FIRED)
    mark_done(store, [], next_ms={1: 700_000}).result(30)
    assert (next_due(store), read_receipts(store, 1)) == (700_000, [])


def test_no_two_deliveries_have_one_name_not_even_those_of_a_copy(store: SqliteStore, tmp_path: Path) -> None:
    commit(store, FIRED)
    store.backup(tmp_path / "copy.db")
    copy = open_store(tmp_path / "copy.db")
    for each in (store, copy):
        commit(each, *bars(50, rule_id=2))
    names = [[each.dedupe for each in read_due(one, 10**9)] for one in (store, copy)]
    assert names[0][0] == names[1][0]
    assert len({*names[0], *names[1]}) == 101
    copy.close()


def test_rounds_and_receipts_do_not_wait_for_the_batch(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "slow.db", clock=lambda: T0, commit_ms=3_600_000)
    assert commit(store, FIRED) == [1]
    mark_sending(store, [1], now=1).result(30)
    mark_done(store, [receipt(1)]).result(30)
    assert delivery_counts(store) == {"sent": 1}
    store.close()


def test_a_kill_leaves_each_round_whole_and_loses_none_that_was_acknowledged(tmp_path: Path) -> None:
    path, acknowledged, rng = tmp_path / "killed.db", -1, random.Random(6)
    for _ in range(5):
        command = [sys.executable, str(Path(__file__).with_name("rounds.py")), str(path), str(acknowledged + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
            assert maker.stdout
            lines = [maker.stdout.readline() for _ in range(rng.randrange(2, 60))]
            maker.kill()
            lines += maker.stdout.read().splitlines(keepends=True)
        acknowledged = int([line for line in lines if line.endswith("\n")][-1])
        reader = SqliteReader(path)
        made, due = read_decisions(reader, limit=10_000, after_id=0), read_due(reader, 10**9, limit=10_000)
        assert [each.bar_ms for each in made] == list(range(len(made)))
        assert len(made) - acknowledged in (1, 2), "what was under way when it was killed is whole, or not there"
        assert [each.over_ms for each in made] == [each.end_ms for each in made[:-1]] + [None]
        assert len({(each.decision.id, each.channel) for each in due}) == len(due) == 2 * len(made)
        assert [state.through_ms for state in read_states(reader).values()] == [made[-1].bar_ms]
        reader.close()


# ------------------------------------------------------------------------------------------------ many


def plan(store: SqliteStore, call: Callable[[SqliteReader], object]) -> list[str]:
    """Return how SQLite reads what `call` asks for."""
    asked: list[str] = []
    with store.snapshot() as db:
        db.set_trace_callback(asked.append)
    call(store)
    with store.snapshot() as db:
        db.set_trace_callback(None)
        query = next(each for each in asked if "SELECT" in each)
        return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (lambda store: read_decisions(store, outcome="fired"), "alerts_by_outcome"),
        (lambda store: read_decisions(store, active=True), "alerts_not_over"),
        (lambda store: read_decisions(store, active=True, outcome="held"), "alerts_not_over"),
        (lambda store: read_decisions(store, rule_id=1), "alerts_by_rule"),
        (lambda store: read_decisions(store, target=PAIR), "alerts_by_target"),
        (lambda store: read_decisions(store, start=5, end=9), "alerts_by_end"),
        (lambda store: read_due(store, 5), "deliveries_due"),
        (next_due, "deliveries_due"),
        (lambda store: read_receipts(store, 5), "receipts_by_alert"),
    ],
)
def test_nothing_is_found_by_reading_all(
    store: SqliteStore, call: Callable[[SqliteReader], object], index: str
) -> None:
    assert index in plan(store, call)[0]


MILLION = 1_000_000
FILL = f"""
    WITH RECURSIVE numbers (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers LIMIT {MILLION})
    INSERT INTO alerts (
        rule, target, outcome, reason, bar, trade, "end", decided, late, metric, direction, value, threshold,
        inputs, text, label, notify)
    SELECT value % 50, 'venue:Y' || value % 200 || '/venue:X', 'suppressed', 'cooldown', value * 1000, 0,
        value * 1000 + 1000, 1, 0, 'z', 'above', 1.0, 1.0, '{json.dumps({"z": 1.0})}', 1, 'LIVE', '[]'
    FROM numbers"""


@pytest.mark.nightly
def test_a_million_decisions_to_keep_still_do_not_slow_the_others(store: SqliteStore) -> None:
    commit(store, *bars(100, notify=(HOOK,)))
    store.write(lambda db: db.execute(FILL)).result(600)
    commit(store, *bars(100, rule_id=2))
    asked: dict[str, Callable[[], object]] = {
        "fired": lambda: read_decisions(store, outcome="fired"),
        "active": lambda: read_decisions(store, active=True),
        "newest": lambda: read_decisions(store),
        "rule": lambda: read_decisions(store, rule_id=7),
        "target": lambda: read_decisions(store, target="venue:Y7/venue:X"),
        "range": lambda: read_decisions(store, start=MILLION * 500, end=MILLION * 500 + 60_000),
        "since": lambda: read_decisions(store, start=5),
        "fired since": lambda: read_decisions(store, start=MILLION * 500, outcome="fired"),
        "due": lambda: read_due(store, 10**9),
        "round": lambda: commit(store, replace(FIRED, rule_id=9), over=[(2, PAIR, 10**7)]),
        "prune": lambda: prune_decisions(store, 10_000_000).result(30),
        "words": lambda: read_decisions(store, text="nowhere"),
    }
    took = {name: min(timed_ms(ask) for _ in range(3)) for name, ask in asked.items()}
    print({name: round(ms, 1) for name, ms in took.items()})
    assert took.pop("words") < 5_000
    assert took.pop("prune") < 1_000
    assert max(took.values()) < 100


def timed_ms(ask: Callable[[], object]) -> float:
    begun = time.perf_counter()
    ask()
    return (time.perf_counter() - begun) * 1000
