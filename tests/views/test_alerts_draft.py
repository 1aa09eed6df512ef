"""What the form of a rule holds: choices and words agree, and a rule comes through it as it was."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from market import Instrument
from pairscope.alerts.expression import parse
from pairscope.alerts.rules import EVERY, Rule, check, rule_of, values_of
from pairscope.views.alerts_draft import (
    BANDS,
    COMPARISONS,
    ONE,
    PICKED,
    Pick,
    draft_of,
    new_values,
    pick_of,
    rule_values,
)
from pairscope.views.clock import Clock

ETH, BTC = "simulated:ETHUSDT", "simulated:BTCUSDT"
RULE = Rule(
    when="abs(z) > 2", rearm="abs(z) <= 1.5", y=ETH, x=BTC, timeframe="5s", window=90, bars=600, method="tls", log=True,
    intercept=False, fill=2, minimum_volume=0.5, duration_ms=30_000, cooldown_ms=60_000,
    quiet="22:00-07:00 Europe/Berlin", expires_ms=1_795_305_600_000, severity="critical",
    notify=("json://127.0.0.1:9000/hook", "ntfy://topic"), note="why",
)  # fmt: skip
LEVELS = some.floats(-1e9, 1e9).map(lambda level: float(f"{level:.9g}"))


@some.composite
def picks(draw: Any) -> Pick:
    value, comparison = draw(some.sampled_from(PICKED)), draw(some.sampled_from(list(COMPARISONS)))
    low = draw(LEVELS)
    return Pick(value, comparison, low, draw(LEVELS) if comparison in BANDS else None)


@given(picks())
def test_what_is_chosen_is_written_so_that_it_is_chosen_again(pick: Pick) -> None:
    assert pick_of(pick.text) == pick


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_the_parser_reads_what_the_choices_write(comparison: str) -> None:
    pick = Pick("spread", comparison, -1.5, 2.5 if comparison in BANDS else None)
    assert pick_of(parse(pick.text).text) == pick


@pytest.mark.parametrize(
    ("text", "pick"),
    [
        ("stale", Pick("stale", "is above", 0.0)),
        (" ABS( z )>2 ", Pick("abs(z)", "is above", 2.0)),
        ("volatility > 5%", Pick("volatility", "is above", 0.05)),
        ("volume Crosses  Above 1_000", Pick("volume", "crosses above", 1_000.0)),
    ],
)
def test_a_common_condition_is_known_however_it_is_written(text: str, pick: Pick) -> None:
    assert pick_of(text) == pick


@pytest.mark.parametrize(
    "text",
    ["", "z", "z > ", "abs(z) > 2 and correlation > 0.5", "zz > 1", "z > 1 to 2", "z leaves 1", "2 < z", "z >= 1"],
)
def test_any_other_condition_is_left_to_words(text: str) -> None:
    assert pick_of(text) is None


@pytest.mark.parametrize("clock", [Clock(), Clock("Asia/Kolkata"), Clock("America/New_York")])
@pytest.mark.parametrize(
    "rule",
    [
        RULE,
        replace(RULE, quiet="", expires_ms=None, notify=(), note="", rearm=""),
        replace(RULE, x="", when="price > 3000", rearm="", timeframe="tick"),
        replace(RULE, y=EVERY, x=EVERY),
    ],
)
def test_a_rule_comes_through_the_form_as_it_was(rule: Rule, clock: Clock) -> None:
    assert rule_of(rule_values(draft_of(values_of(rule), clock), clock)) == rule


def test_a_new_rule_makes_sense_with_and_without_symbols() -> None:
    names = [Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")]
    assert check(rule_of(new_values(names))).x == BTC
    assert check(rule_of(new_values(names[:1]))).y == EVERY


def test_what_is_left_empty_is_no_number_and_no_channel() -> None:
    draft = draft_of(values_of(RULE), Clock()) | {"window": None, "duration": None, "notify": " \n\n", "x": ONE}
    values = rule_values(draft, Clock())
    assert (values["window"], values["duration_ms"], values["notify"], values["x"]) == (0, 0, [], "")
