"""What the form of a rule holds: choices and words agree, and a rule comes through it as it was."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from market import EARLIEST_MS, Instrument
from pairscope.alerts.expression import parse
from pairscope.alerts.rules import EVERY, LATEST_MS, METHODS, SEVERITIES, Rule, check, rule_of, values_of
from pairscope.views.alerts_draft import (
    BANDS,
    COMPARISONS,
    ONE,
    PICKED,
    Pick,
    draft_complaint,
    draft_of,
    kept_values,
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


ZONES = ("UTC", "Europe/Berlin", "Etc/GMT+5", "CET", "Asia/Kolkata")
CLOCK_TIMES = some.times().map(lambda each: f"{each:%H:%M}")


@some.composite
def rules(draw: Any) -> Rule:
    """Any rule about a pair that makes sense, as it is kept."""
    begins, ends = draw(some.lists(CLOCK_TIMES, min_size=2, max_size=2, unique=True))
    return check(Rule(
        when=draw(some.sampled_from(("abs(z) > 2", "z >= 1 or correlation < 80%", "half_life<3 or p<5%"))),
        y=ETH, x=BTC, timeframe=draw(some.sampled_from(("1s", "7m", "4h"))), window=draw(some.integers(5, 1_000)),
        bars=draw(some.integers(1_001, 100_000)), method=draw(some.sampled_from(METHODS)), log=draw(some.booleans()),
        intercept=draw(some.booleans()), fill=draw(some.integers(0, 100_000)),
        minimum_volume=draw(some.floats(0, 1e300)), duration_ms=draw(some.integers(0, 10**10)),
        cooldown_ms=draw(some.integers(0, 10**10)), severity=draw(some.sampled_from(SEVERITIES)),
        quiet=draw(some.sampled_from(("", f"{begins}-{ends} {draw(some.sampled_from(ZONES))}"))),
        expires_ms=draw(some.none() | some.integers(EARLIEST_MS, LATEST_MS)),
        notify=draw(some.sampled_from(((), ("json://127.0.0.1:9000/hook", "ntfy://topic")))),
        note=draw(some.text(max_size=20)),
    ))  # fmt: skip


@given(rules(), some.sampled_from([Clock(name) for name in ZONES]))
def test_a_rule_that_is_saved_untouched_stays_as_it_was(rule: Rule, clock: Clock) -> None:
    given = values_of(rule)
    assert kept_values(draft_of(given, clock), given, clock) == given


def test_what_is_touched_is_taken_and_the_rest_stays() -> None:
    given = values_of(replace(RULE, expires_ms=1_795_305_600_123))
    draft = draft_of(given, Clock()) | {"window": 70, "quiet zone": "UTC"}
    assert kept_values(draft, given, Clock()) == given | {"window": 70, "quiet": "22:00-07:00 UTC"}


def test_quiet_hours_with_one_end_are_refused_in_words() -> None:
    draft = draft_of(values_of(RULE), Clock())
    assert draft_complaint(draft) == ""
    assert draft_complaint(draft | {"quiet from": None, "quiet to": None}) == ""
    assert "have not an end" in draft_complaint(draft | {"quiet to": None})
    assert "have not a beginning" in draft_complaint(draft | {"quiet from": None})


def test_a_new_rule_makes_sense_with_and_without_symbols() -> None:
    names = [Instrument("simulated", "ETHUSDT"), Instrument("simulated", "BTCUSDT")]
    assert check(rule_of(new_values(names))).x == BTC
    assert check(rule_of(new_values(names[:1]))).y == EVERY


def test_what_is_left_empty_is_no_number_and_no_channel() -> None:
    draft = draft_of(values_of(RULE), Clock()) | {"window": None, "duration": None, "notify": " \n\n", "x": ONE}
    values = rule_values(draft, Clock())
    assert (values["window"], values["duration_ms"], values["notify"], values["x"]) == (0, 0, [], "")
