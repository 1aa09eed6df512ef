"""What the Alerts page and the bell say, in words and figures."""

import math
from dataclasses import replace
from typing import Any

import pytest

from pairscope.alerts.holding import Place
from pairscope.alerts.records import stand_of
from pairscope.alerts.rules import Judge, Rule, RuleState, rule_of, values_of
from pairscope.stores.alerts import Decision, Receipt, StoredRule, StoredState
from pairscope.views.alerts_active import in_order, since_text
from pairscope.views.alerts_channels import counts_text
from pairscope.views.alerts_detail import input_rows, lines_of
from pairscope.views.alerts_fields import secrets_text
from pairscope.views.alerts_history import LISTS_KEPT, clicked_id, history_rows, remember
from pairscope.views.alerts_rules import about_text, searched_text
from pairscope.views.alerts_words import (
    found_text,
    late_text,
    level_text,
    receipt_text,
    seen_text,
    standing_of,
    value_text,
    what_text,
    word_of,
)
from pairscope.views.bell import bell_text, toasts_of
from pairscope.views.clock import Clock

NOW = 1_795_298_400_000
UTC = Clock()
PAIR = "simulated:ETHUSDT/simulated:BTCUSDT"
RULE = values_of(Rule(when="abs(z) > 2", y="simulated:ETHUSDT", x="simulated:BTCUSDT", timeframe="1s", note="look"))


def decision(**change: Any) -> Decision:
    given: dict[str, Any] = {
        "id": 7, "rule_id": 3, "target": PAIR, "outcome": "fired", "reason": "", "bar_ms": NOW - 1_000, "end_ms": NOW,
        "decided_ms": NOW + 80, "late": False, "metric": "z", "direction": "above", "value": 2.3149, "threshold": 2.0,
        "inputs": {}, "rule": RULE, "label": "LIVE", "over_ms": None, "acknowledged_ms": None, "note": "",
    }  # fmt: skip
    return Decision(**(given | change))


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("z", 2.3149, "2.315 σ"), ("price", 65_123.46, "65,123.5"), ("coint_p", 0.01234, "0.01234"),
        ("stale", 12.0, "12 s"), ("half_life", math.inf, "∞ bars"), ("z", math.nan, "–"), ("z", None, "–"),
        ("unheard_of", 1.0, "1.000"),
    ],
)  # fmt: skip
def test_a_value_has_its_unit_and_a_dash_when_it_is_not_known(metric: str, value: float | None, text: str) -> None:
    assert value_text(metric, value) == text


def test_a_threshold_is_written_as_the_rule_has_it() -> None:
    assert (level_text("z", 2.0), level_text("price", 65_000.5), level_text("z", None)) == ("2 σ", "65,000.5", "–")


def test_an_absolute_value_is_told_on_the_side_where_it_was_found() -> None:
    below = decision(value=-2.4, direction="below")
    assert what_text(below) == "z-score below -2 σ"
    assert found_text(below) == "z-score -2.400 σ, below -2 σ"
    assert what_text(replace(below, rule=RULE | {"when": "z < 2"})) == "z-score below 2 σ"


def test_a_value_has_as_many_digits_as_tell_it_from_its_threshold() -> None:
    near = decision(metric="price", value=1.08523, threshold=1.0852, rule=RULE | {"when": "price > 1.0852"})
    assert (value_text("price", 1.08523), value_text("price", 1.08523, 1.0852)) == ("1.085", "1.08523")
    assert seen_text(near) == "1.08523"
    assert found_text(near) == "price 1.08523, above 1.0852"
    assert seen_text(decision(value=-2.0004, direction="below")) == "-2.0004 σ"
    assert found_text(replace(near, threshold=None)) == "price 1.085, above –"
    assert found_text(replace(near, value=math.nan)) == "price –, above 1.0852"


def test_a_decision_stands_where_its_times_say() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {}, {"acknowledged_ms": NOW}, {"over_ms": NOW}, {"outcome": "suppressed"}, {"outcome": "held"},
        {"outcome": "held", "over_ms": NOW},
    )  # fmt: skip
    words = [word_of(decision(**each)) for each in changes]
    assert words == ["active", "acknowledged", "over", "suppressed", "held", "judged"]


def test_how_late_an_alert_came_is_said_of_late_ones_only() -> None:
    assert late_text(decision()) == ""
    assert late_text(decision(late=True, decided_ms=NOW + 42_000)) == "late by 42 s"


def stored(state: RuleState) -> StoredState:
    """Return where the rule stands as the engine keeps it."""
    rule = rule_of(RULE)
    return Place(3, rule, Judge(rule), PAIR, 0, state=state, through_ms=NOW).stored()


@pytest.mark.parametrize(
    ("state", "why", "said"),
    [
        (None, "", ("begins", "its first bar is awaited")),
        (RuleState(), "", ("armed", "")),
        (RuleState(armed=False, fired_ms=NOW - 60_000), "", ("active", "fired 1 m ago")),
        (RuleState(since_ms=NOW - 9_000), "", ("holds", "for 9.0 s")),
        (RuleState(since_ms=NOW, told="cooldown until 17:05"), "", ("keeps still", "cooldown until 17:05")),
        (RuleState(told="cooldown until 17:05"), "", ("armed", "")),
        (RuleState(), "ETHUSDT is stale for 12 s", ("waits", "ETHUSDT is stale for 12 s")),
    ],
)
def test_a_rule_stands_as_its_state_is_kept(state: RuleState | None, why: str, said: tuple[str, str]) -> None:
    stand = stand_of(None if state is None else stored(state), why=why)
    found = standing_of(stand, PAIR, NOW)
    assert (found.target, found.word, found.more) == ("ETHUSDT / BTCUSDT", *said)


def test_a_rule_whose_alert_is_active_says_since_when_whatever_its_last_state_says() -> None:
    found = standing_of(stand_of(stored(RuleState()), fired_ms=NOW - 60_000), PAIR, NOW)
    assert (found.word, found.more) == ("active", "fired 1 m ago")


def test_what_nobody_has_seen_comes_first_then_the_gravest_then_the_newest() -> None:
    grave, seen = (
        decision(id=1, rule=RULE | {"severity": "critical"}, end_ms=NOW - 9),
        decision(id=2, acknowledged_ms=NOW),
    )
    old, new = decision(id=3, end_ms=NOW - 5), decision(id=4)
    assert [each.id for each in in_order((seen, old, new, grave))] == [1, 4, 3, 2]


def test_an_active_alert_says_since_when_of_which_rule_and_what_was_noted() -> None:
    text = since_text(decision(note="seen"), NOW + 90_000, Clock("Asia/Kolkata"))
    assert text.startswith("for 1 m 30 s, since 22 Nov 2026 ")
    for part in ("Asia/Kolkata", "alert 7 of rule 3", "1s bar of", "look", "noted: seen"):
        assert part in text


def test_a_row_of_the_history_says_all_that_is_special() -> None:
    [row] = history_rows([decision(outcome="held", reason="trades are missing", value=math.nan)], UTC, NOW)
    assert row["state"] == ["held"]
    assert row["value"] == "–"
    assert row["more"] == "trades are missing"
    assert history_rows([decision()], UTC, NOW)[0]["more"] is None


def test_inputs_are_told_by_their_names_and_what_is_not_known_is_a_dash() -> None:
    inputs = {
        "metrics": {"z": 2.5, "correlation": None}, "before": {"z": 1.5}, "rows": 60, "start_ms": NOW - 60_000,
        "end_ms": NOW, "state": {"armed": False, "since_ms": NOW - 5_000},
    }  # fmt: skip
    rows = input_rows(inputs, UTC)
    assert (rows["z-score"], rows["correlation"], rows["z-score, one row before"]) == ("2.500 σ", "–", "1.500 σ")
    assert rows["made of"].startswith("60 rows, ")
    assert rows["the rule was"].startswith("not armed; the condition held since ")
    assert input_rows({}, UTC) == {}


def test_details_leave_out_what_is_not_there() -> None:
    assert list(lines_of(decision(), UTC)) == ["When", "Bar", "Found"]


def test_a_receipt_tells_status_address_time_and_repetition() -> None:
    receipt = Receipt(1, 7, "json://host/x", NOW, "sent", 204, "203.0.113.7", 0.12, "taken", repeated=True)
    text = receipt_text(receipt, UTC)
    for part in ("sent", "answered 204", "taken", "203.0.113.7", "0.1 s", "may be a repetition"):
        assert part in text


def test_deliveries_are_counted_by_what_became_of_them() -> None:
    assert counts_text({}) == "none yet"
    assert counts_text({"sent": 2, "failed": 1}) == "of 3 messages 2 were taken, 1 were given up"


def test_a_rule_is_found_by_its_words_and_tells_when_it_fired_last() -> None:
    stored = StoredRule(3, RULE, on=True, created_ms=NOW, changed_ms=NOW)
    for word in ("absolute z-score", "ethusdt", "look", "warning", "3"):
        assert word in searched_text(stored)
    assert about_text(stored, None, UTC).startswith("not fired yet · no channel")
    assert about_text(stored, NOW, UTC).startswith(f"last fired {UTC.text(NOW)} UTC")


def test_secrets_are_listed_by_name_alone() -> None:
    assert "Known here: {BOT}, {HOOK}." in secrets_text(["BOT", "HOOK"])
    assert "None is known here yet." in secrets_text([])


# ---- the bell


def test_each_of_a_few_alerts_is_told_by_itself() -> None:
    [(text, icon)] = toasts_of([decision(rule=RULE | {"severity": "critical"})], 1)
    assert "ETHUSDT / BTCUSDT" in text
    assert icon == ":material/notification_important:"


def test_many_alerts_at_once_are_told_as_one_with_the_gravest_icon() -> None:
    many = [decision(id=n, rule=RULE | {"severity": "critical" if n == 3 else "info"}) for n in range(40)]
    [(text, icon)] = toasts_of(many, 40)
    assert text.startswith("**40 alerts** fired")
    assert icon == ":material/notification_important:"


def test_of_very_many_alerts_the_true_number_is_told() -> None:
    [(text, _)] = toasts_of([decision(id=n) for n in range(50)], 12_345)
    assert text == "**12,345 alerts** fired: ETHUSDT / BTCUSDT and others"


def test_a_click_opens_the_row_that_was_shown_whatever_came_in_between() -> None:
    lists: dict[int, list[int]] = {}
    shown = remember(lists, [7, 6, 5])
    assert remember(lists, [7, 6, 5]) == shown
    remember(lists, [8, 7, 6, 5])
    assert clicked_id(lists, 1, f"pair {shown}") == 6
    assert clicked_id(lists, 9, f"pair {shown}") is None
    for newest in range(LISTS_KEPT):
        remember(lists, [newest])
    assert clicked_id(lists, 1, f"pair {shown}") is None
    assert len(lists) == LISTS_KEPT


def test_foreign_words_in_a_toast_do_nothing() -> None:
    hostile = "[x](javascript:alert(1)) :material/delete: <script>"
    [(text, _)] = toasts_of([decision(rule=RULE | {"note": hostile})], 1)
    assert "](javascript" not in text
    assert r"\:material" in text
    assert r"\<script" in text


def test_the_bell_counts_what_is_active() -> None:
    assert [bell_text(count) for count in (0, 1, 1_234)] == [
        "No active alert", "**1 active alert**", "**1,234 active alerts**"
    ]  # fmt: skip
